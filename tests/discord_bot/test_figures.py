"""What the bot counts of itself while people talk to it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from functools import partial

import pytest

from bot.core import summarizing
from bot.core.summarizing import ASKED_FOR
from bot.core.usage import MICRO, Price, Prices
from bot.standin.faults import RateLimited
from bot.standin.script import REFUSALS, Reply
from tests.discord_bot.commands.test_summaries import talk as talk_at_length
from tests.discord_bot.conftest import OPTIONS, Start, World
from tests.discord_bot.inbound.test_voice import speak
from tests.figures import counted

pytestmark = pytest.mark.virtual_time

PRICED = replace(OPTIONS, prices=Prices({"demo": Price(2 * MICRO, 4 * MICRO, MICRO)}))
MESSAGES = {
    "POST": "/channels/{channel_id}/messages",
    "PATCH": "/channels/{channel_id}/messages/{message_id}",
}


async def talk(world: World) -> None:
    """A turn of each outcome: complete, after a 429; failed; stopped."""
    world.discord.faults.add(RateLimited(0.05, "shared"), method="POST", route=MESSAGES["POST"])
    world.model.script.append(Reply("The whole answer.", usage=Counts(100, 20)))
    await world.answered("tell me the watchword")
    world.model.script.append(REFUSALS["bad key"])
    await world.ask_and_wait("and now?")
    world.model.script.append(Reply(["word "] * 400, tokens_per_second=60))
    await world.ask("a long one")
    await world.reply(world.discord.general, "word word")
    stopped = await world.discord.slash(world.discord.bo, world.discord.general, "stop")
    assert (await stopped.answered()).content == "Stopped."
    await world.idle()


@dataclass(frozen=True)
class Counts:
    prompt_tokens: int
    reply_tokens: int


def asked_for(world: World, call: str) -> float:
    return counted(world.figures)[f"discord_requests {call}"]


async def test_turns_are_counted_by_outcome(start: Start) -> None:
    async with start(options=PRICED) as world:
        await talk(world)
        for call, method in ("post", "POST"), ("edit", "PATCH"):
            counting = partial(asked_for, world, call)
            await world.until(counting, len(world.discord.calls(method, MESSAGES[method])))
        seen = counted(world.figures)
    assert {name: value for name, value in seen.items() if name.startswith("turns ")} == {
        "turns complete none": 1,
        "turns failed configuration": 1,
        "turns stopped person": 1,
    }
    assert seen["first_word_seconds"] == 2, "the failed one had no word"
    assert seen["finish_delay_seconds"] == 3
    assert seen["discord_rate_limited shared"] == 1
    assert seen["discord_requests interaction"] >= 1
    assert seen["staleness_seconds"] >= 1
    assert seen["model_requests demo answered"] == 1
    assert seen["model_requests demo configuration"] == 1
    assert seen["model_requests demo ended_early"] == 1
    assert seen["tokens demo prompt"] > 100
    assert seen["tokens demo reply"] > 20
    cost = 2 * seen["tokens demo prompt"] + 4 * seen["tokens demo reply"]
    assert seen["cost demo"] == pytest.approx(cost / MICRO)
    assert seen["database_read_seconds"] > 3 < seen["database_commit_seconds"]
    assert "replies_running" not in seen
    assert "model_requests_under_way" not in seen


async def test_what_waits_and_what_is_under_way_can_be_seen(start: Start) -> None:
    async with start() as world:
        held = asyncio.Event()
        world.model.default = Reply("At last.", held_until=held)
        await world.ask("first")
        await world.ask("second")
        await world.asked(0)
        await world.until(lambda: counted(world.figures).get("prompts_waiting"), 1)
        seen = counted(world.figures)
        assert (seen["replies_running"], seen["model_requests_under_way"]) == (1, 1)
        held.set()
        await world.reply(world.discord.general, count=2)
        await world.idle()
        assert not {"prompts_waiting", "replies_running", "model_requests_under_way"} & counted(world.figures).keys()


async def test_a_shutdown_counts_what_it_interrupts(start: Start) -> None:
    async with start() as world:
        world.model.default = Reply(["word "] * 4000, tokens_per_second=60)
        await world.ask()
        await world.reply(world.discord.general, "word")
    assert counted(world.figures)["turns interrupted shutdown"] == 1


def used(world: World, model: str) -> tuple[float, float]:
    """The tokens of a model that were counted, of contexts and of replies."""
    seen = counted(world.figures)
    prompt, cached, reply, reasoning = (
        seen.get(f"tokens {model} {kind}", 0) for kind in ("prompt", "cached", "reply", "reasoning")
    )
    return prompt + cached, reply + reasoning


async def test_tokens_that_are_counted_are_those_that_are_charged(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of every kind of request: answers, one that broke off, the fallback in its place, summaries, what was heard."""
    monkeypatch.setattr(summarizing, "PACE", 2.0)
    monkeypatch.setattr(summarizing, "LOOK_EVERY", 0.2)
    how = {"fallback_model": "spare", "transcription_model": "ears", "context_tokens": 2000, "summaries": True}
    models = ("demo", "spare", "ears")
    async with start(**how) as world:
        discord = world.discord
        await talk_at_length(world, discord.general, discord.bo)
        await world.taken(await speak(world))
        world.model.script += [REFUSALS["bad key"], Reply("From the fallback.")]
        await world.ask_and_wait("first", discord.random_channel)
        world.model.script.append(Reply(["half ", "of ", "it"], cut_after=2, reasoning="I think. " * 20))
        await world.ask_and_wait("second", discord.random_channel)
        await world.idle()

        async def differences() -> dict[str, object]:
            rows = await world.store.usage.by_day(0)
            charged = {
                model: (
                    sum(row.prompt_tokens for row in rows if row.model == model),
                    sum(row.reply_tokens for row in rows if row.model == model),
                )
                for model in models
            }
            return {
                model: (found, charged[model]) for model in models if (found := used(world, model)) != charged[model]
            }

        await world.until(differences, {})
        assert all(used(world, model)[0] for model in models)
        assert any(ASKED_FOR in str(request.messages[-1]) for request in world.model.requests), "also for summaries"

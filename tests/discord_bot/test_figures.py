"""What the bot counts of itself while people talk to it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from functools import partial

import pytest

from bot.core.usage import MICRO, Price, Prices
from bot.standin.faults import RateLimited
from bot.standin.script import REFUSALS, Reply
from tests.discord_bot.conftest import OPTIONS, Start, World
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

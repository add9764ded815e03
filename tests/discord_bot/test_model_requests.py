"""A model server that takes other requests than most: people get their answers, and a restart forgets nothing of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from bot.standin.model import ModelStandin
from bot.standin.profiles import PROFILES
from bot.standin.script import REFUSALS, Refusal, Reply, openai_error
from bot.standin.server import DiscordStandin
from tests.discord_bot.conftest import Start

pytestmark = pytest.mark.virtual_time

Body = Mapping[str, Any]
WEEK = 7 * 24 * 3600


def bad(message: str, param: str | None = None) -> Refusal:
    return openai_error(400, message, "invalid_request_error", None, param)


def extra(name: str) -> Refusal:
    return Refusal(422, {"detail": [{"type": "extra_forbidden", "loc": ["body", name], "msg": "Extra inputs …"}]})


SHORT_REPLIES: tuple[Callable[[Body], bool], Refusal, int] = (
    lambda body: body.get("max_tokens", 0) > 1000,
    bad("max_tokens is too large: 4000. This model supports at most 1000 completion tokens."),
    2,
)
PECULIAR: dict[str, tuple[Callable[[Body], bool], Refusal, int]] = {
    "Gemma, without a system role": (
        lambda body: body["messages"][0]["role"] == "system",
        Refusal(400, [{"error": {"code": 400, "message": "Developer instruction is not enabled for models/gemma-3"}}]),
        2,
    ),
    "OpenAI, not verified": (
        lambda body: body["stream"],
        bad("Your organization must be verified to stream this model.", "stream"),
        2,
    ),
    "short replies": SHORT_REPLIES,
    "Mistral, vLLM": (lambda body: "stream_options" in body, extra("stream_options"), 2),
    "OpenAI, a reasoning model": (
        lambda body: "max_tokens" in body,
        bad("Unsupported parameter: 'max_tokens' is not supported. Use 'max_completion_tokens'.", "max_tokens"),
        2,
    ),
    "saying nothing": (lambda body: len(body) > 3, Refusal(400, "Bad Request"), 2),
}


@pytest.mark.parametrize(("minds", "refusal", "requests"), PECULIAR.values(), ids=PECULIAR)
async def test_peculiar_server_is_asked_as_it_likes(
    discord: DiscordStandin,
    model: ModelStandin,
    start: Start,
    minds: Callable[[Body], bool],
    refusal: Refusal,
    requests: int,
) -> None:
    later = 0.0
    model.default = Reply(lambda messages: f"Answer {sum(message.role == 'user' for message in messages)}.")
    model.objects = lambda body: refusal if minds(body) else None
    for number, expected in enumerate((requests, 1), 1):
        async with start(clock=lambda: time.time() + later) as world:
            for _ in range(2):
                message = await world.answered()
            assert message.content == f"Answer {2 * number}."
        assert len(model.requests) == expected + 1, "at once, and in the next process too"
        model.requests.clear()
    later = WEEK
    async with start(clock=lambda: time.time() + later) as world:
        assert (await world.answered()).content == "Answer 5."
        assert len(model.requests) == requests, "the server may have been updated"
        # It has: all that was learned is of no use.
        model.objects = lambda body: None if minds(body) else bad("Not like this any more.")
        model.requests.clear()
        answer = (await world.answered()).content
        if minds is SHORT_REPLIES[0]:
            # No longer a reply is asked for than was reserved, so only the next question can be.
            assert answer.startswith("-# I can't reach my AI provider.")
            answer = (await world.answered()).content
        assert answer == "Answer 6."
        asked = len(model.requests)
        assert asked == (4 if minds is SHORT_REPLIES[0] else 2)
        assert (await world.answered()).content == "Answer 7."
        assert len(model.requests) == asked + 1


async def test_reply_that_is_not_streamed_can_be_stopped(
    discord: DiscordStandin, model: ModelStandin, start: Start
) -> None:
    model.objects = lambda body: bad("streaming is not supported") if body["stream"] else None
    model.default = Reply("Never.", held_until=asyncio.Event())
    async with start() as world:
        await world.ask()
        request = await world.asked(1)
        await discord.slash(discord.bo, discord.general, "stop")
        await request.over()
        await world.reply(discord.general, "Stopped")
    assert request.left


async def test_loading_model_is_waited_for(
    discord: DiscordStandin, model: ModelStandin, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.llm.client._POLLS", (0.05,))
    model.default = REFUSALS["overloaded"]
    async with start() as world:
        await world.ask()
        await world.asked(5)
        await discord.wait_for(lambda: discord.typing(discord.general))
        assert discord.bot_messages(discord.general) == []
        model.default = Reply("Here I am.")
        await world.reply(discord.general, "Here I am.")


async def test_questions_for_a_loading_server_wait_for_its_slots(
    discord: DiscordStandin, model: ModelStandin, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.discord_bot.delivery.activity.HOURGLASS_AFTER", 0.05)
    monkeypatch.setattr("bot.llm.client._POLLS", (0.05,))
    model.profile = llama = replace(PROFILES["llama_cpp"], props=lambda _window: {"total_slots": 2})
    assert llama.loading is not None
    model.default = llama.loading
    people = (discord.bo, discord.cleo, discord.ada, discord.max)
    async with start() as world:
        asked = [await world.ask(author=person) for person in people]
        await discord.wait_for(lambda: sum("⏳" in said.reactions for said in asked) == 3)
        before = len(model.requests)
        held = asyncio.Event()
        model.default = Reply("Ready.", held_until=held)
        await discord.wait_for(lambda: sum("⏳" in said.reactions for said in asked) == 2)
        await discord.wait_for(lambda: sum(request.step is model.default for request in model.requests) == 2)
        assert len(model.requests) <= before + 3
        held.set()
        await discord.wait_for(lambda: [shown.partition("\n")[0] for shown in world.shown()] == ["Ready."] * 4)


async def test_questions_beyond_the_slots_of_the_server_wait_visibly(
    discord: DiscordStandin, model: ModelStandin, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.discord_bot.delivery.activity.HOURGLASS_AFTER", 0.05)
    model.profile = replace(PROFILES["llama_cpp"], props=lambda _window: {"total_slots": 2})
    guest = discord.world.add_user("guest", "Guest")
    discord.world.add_member(discord.guild, guest)
    held = [asyncio.Event() for _ in range(5)]
    model.script += [Reply(f"Answer {number}.", held_until=event) for number, event in enumerate(held)]
    async with start() as world:
        people = (discord.bo, discord.cleo, discord.ada, discord.max, guest)
        asked = [await world.ask(str(number), author=person) for number, person in enumerate(people)]
        await world.asked(1)
        # It does not have to wait for all of those.
        asked.append(await world.ask("elsewhere", discord.random_channel))
        for waiting in asked[2:]:
            await discord.wait_for(partial(waiting.reactions.get, "⏳"))
        assert not any(said.reactions for said in asked[:2])
        tokens = await world.store.quotas.usage_today()
        assert 8000 < tokens.total < 12_000, "nothing is reserved for those that wait"
        await discord.delete(asked[3])
        await discord.edit(asked[5], f"{discord.bot.mention} by then")
        while not await world.store.engine.read("SELECT 1 FROM turns WHERE prompt LIKE '%by then'"):
            await asyncio.sleep(0.05)
        for number, event in enumerate(held):
            assert len(model.requests) == min(2 + number, 5)
            event.set()
            if number < 3:
                await world.asked(2 + number)
        await world.idle()
        assert len(discord.bot_messages(discord.general)) == 4
    order = [request.messages[-1]["content"].splitlines()[-1] for request in model.requests]
    assert [*sorted(order[:2]), *order[2:]] == ["0", "1", "2", "by then", "4"], (
        "channels take turns; what is asked is new"
    )

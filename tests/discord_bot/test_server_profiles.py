"""The whole bot on each model server of the profiles: it answers, stops, goes on, overflows, and says what is wrong."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from bot.standin.limits import Limit
from bot.standin.model import ModelStandin
from bot.standin.profile import Profile, UsagePlace
from bot.standin.profiles import PROFILES
from bot.standin.script import Refusal, Reply
from bot.standin.server import DiscordStandin
from tests.discord_bot.conftest import World, serving

pytestmark = pytest.mark.virtual_time

SETUP = "-# I can't reach my AI provider. My owner has been told."
BUSY = "-# My model is busy. Try again in a moment."
CUT = "-# Cut at the length limit."
REPLY_TOKENS = 600
LONG = "word " * 300
"""A reply that fits one message."""


@pytest.mark.parametrize("name", PROFILES)
async def test_whole_bot_works_on(
    name: str, discord: DiscordStandin, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    profile = PROFILES[name]
    discord.limits.messages = Limit(5, 0.1)
    async with (
        ModelStandin(profile=profile) as model,
        serving(
            discord, model, tmp_path / "parley.db", asyncio.Event(), patience=1.0, reply_tokens=REPLY_TOKENS
        ) as world,
    ):
        await answers(world, profile)
        await stops(world)
        await goes_on(world)
        await overflows(world)
        await loads(world, profile)
        await says(world, profile.bad_key, SETUP, ("wants a key",), caplog)
        await says(world, profile.no_credit, SETUP, ("no credit left",), caplog)
        await says(world, profile.busy, BUSY, ("allows no more requests", "is too busy"), caplog)


async def answers(world: World, profile: Profile) -> None:
    """Its reasoning is not shown, and its count of tokens is charged."""
    world.model.default = Reply("Light is scattered.", reasoning="Let me think about the sky first.")
    assert (await world.answered()).content == "Light is scattered."
    [row] = await world.store.usage.by_day(0)
    if profile.stream.usage is not UsagePlace.NOWHERE:
        request = world.model.requests[-1]
        assert (row.prompt_tokens, row.reply_tokens) == (request.prompt_tokens, len(request.sent_at))


async def stops(world: World) -> None:
    """The model server sees the client leave."""
    room = world.discord.add_channel("stops")
    world.model.default = Reply("word " * 2000, tokens_per_second=50)
    count = len(world.model.requests)
    await world.ask(channel=room)
    message = await world.reply(room, "word")
    await world.discord.slash(world.discord.bo, room, "stop")
    await world.discord.wait_for(lambda: message.content.endswith("-# Stopped by Bo."))
    await world.idle()
    request = await world.asked(count)
    async with asyncio.timeout(world.discord.patience):
        await request.over()
    assert request.left


async def goes_on(world: World) -> None:
    """A reply that was cut at the length limit goes on."""
    room = world.discord.add_channel("goes-on")
    world.model.default = Reply("one two three ", finish="length")
    message = await world.answered(channel=room)
    assert message.content == f"one two three\n{CUT}"
    world.model.default = Reply("four five six.")
    await world.press(message)
    await world.discord.wait_for(lambda: message.content == "one two three four five six.")
    await world.idle()


async def overflows(world: World) -> None:
    """A conversation that outgrows the server's window goes on, with its latest part."""
    room = world.discord.add_channel("overflows")
    world.model.default = Reply(LONG)
    for _ in range(3):
        assert (await world.answered(channel=room)).content == LONG.strip()
    world.model.context_tokens = world.model.requests[-1].prompt_tokens + 20
    world.model.default = Reply("Still here.")
    for _ in range(2):
        assert (await world.answered(channel=room)).content == "Still here."
    request = world.model.requests[-1]
    assert request.read == request.messages, "it reads all that it is sent"
    assert len(request.messages) > 2, "and remembers something"
    world.model.context_tokens = None


async def loads(world: World, profile: Profile) -> None:
    """A server that has yet to load its model is waited for."""
    if profile.loading is None:
        return
    world.model.script += [profile.loading] * 2
    world.model.default = Reply("Loaded.")
    assert (await world.answered(channel=world.discord.add_channel("loads"))).content == "Loaded."


async def says(
    world: World,
    refusal: Refusal | None,
    sentence: str,
    advice: tuple[str, ...],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Say what is wrong to the person, and what to do about it to the operator."""
    if refusal is None:
        return
    caplog.clear()
    world.model.default = refusal
    room = world.discord.add_channel(f"says-{refusal.status}")
    assert (await world.answered(channel=room)).content == sentence
    warnings = "\n".join(record.message for record in caplog.records if record.levelname == "WARNING")
    assert any(words in warnings for words in advice), warnings

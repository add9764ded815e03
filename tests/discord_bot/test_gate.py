"""A process whose right to act is not confirmed: it holds back what it would do, and drops it if it is another's."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import pytest
from aiohttp.abc import ResolveResult

from bot.core.gate import Gate
from bot.discord_bot.delivery.http_trace import http_trace
from bot.discord_bot.delivery.scheduler import Scheduler
from bot.standin.entities import Channel
from bot.standin.model import ModelStandin
from bot.standin.script import Reply
from bot.standin.server import DiscordStandin
from bot.standin.sessions import Frame
from tests.discord_bot.conftest import Start, World


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def gate(clock: Clock) -> Gate:
    gate = Gate(open_for=9.0, clock=clock)
    gate.confirm(0.0)
    return gate


@pytest.fixture
def long_reply(model: ModelStandin) -> None:
    model.script.append(Reply("word " * 200, tokens_per_second=100))


async def nothing_goes_out(world: World) -> Channel:
    """What happens while the gate is closed: a question elsewhere and a command. The first reply goes on."""
    discord = world.discord
    other = discord.add_channel("other")
    await asyncio.sleep(0.5)  # what was on its way has arrived
    shown, calls = world.shown(), len(discord.requests)
    await world.ask("and this?", channel=other)
    await discord.slash(discord.ada, discord.general, "help")
    await asyncio.sleep(1.5)
    assert len(discord.requests) == calls
    assert world.shown() == shown
    assert world.shown(other) == []
    return other


@pytest.mark.usefixtures("long_reply")
async def test_what_comes_before_the_next_confirmation_is_done_after_it(
    discord: DiscordStandin, start: Start, gate: Gate, clock: Clock
) -> None:
    async with start(gate=gate) as world:
        await world.ask("write")
        await discord.wait_for(world.shown)
        clock.now = 9.0
        other = await nothing_goes_out(world)
        gate.confirm(9.0)
        await world.reply(other)
        await discord.wait_for(lambda: world.shown()[0].count("word") == 200)


@pytest.mark.usefixtures("long_reply")
async def test_what_is_anothers_is_left_without_a_word(
    discord: DiscordStandin, start: Start, gate: Gate, clock: Clock
) -> None:
    async with start(gate=gate) as world:
        await world.ask("write")
        await discord.wait_for(world.shown)
        clock.now = 9.0
        await nothing_goes_out(world)
        shown, calls = world.shown(), len(discord.requests)
        gate.shut()
    assert len(discord.requests) == calls
    assert world.shown() == shown


async def test_no_request_passes_a_closed_gate(discord: DiscordStandin, gate: Gate, clock: Clock) -> None:
    trace = http_trace(Scheduler(gate=gate), lambda _: None)
    url = f"{discord.url}/gateway"
    async with aiohttp.ClientSession(
        headers={"Authorization": f"Bot {discord.token}"}, trace_configs=[trace]
    ) as session:
        clock.now = 9.0
        waiting = asyncio.create_task(session.get(url))
        await asyncio.sleep(0.2)
        assert not discord.requests
        gate.confirm(9.0)
        assert (await waiting).status == 200
        clock.now = 18.0
        waiting = asyncio.create_task(session.get(url))
        await asyncio.sleep(0.2)
        gate.shut()
        with pytest.raises(aiohttp.ClientConnectionError):
            await waiting
    assert len(discord.requests) == 1


class SlowNames(aiohttp.ThreadedResolver):
    """Finds no address before it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.may_answer = asyncio.Event(), asyncio.Event()

    async def resolve(self, *where: Any, **how: Any) -> list[ResolveResult]:
        self.asked.set()
        await self.may_answer.wait()
        return await super().resolve(*where, **how)


@pytest.mark.parametrize("shut", [False, True])
async def test_no_request_leaves_once_its_connection_was_made_behind_a_closed_gate(
    discord: DiscordStandin, gate: Gate, clock: Clock, shut: bool
) -> None:
    trace, names = http_trace(Scheduler(gate=gate), lambda _: None), SlowNames()
    url = f"{discord.url}/gateway".replace("127.0.0.1", "localhost")
    async with aiohttp.ClientSession(
        headers={"Authorization": f"Bot {discord.token}"},
        trace_configs=[trace],
        connector=aiohttp.TCPConnector(resolver=names),
    ) as session:
        waiting = asyncio.create_task(session.get(url))
        await names.asked.wait()
        clock.now = 9.0
        names.may_answer.set()
        await asyncio.sleep(0.2)
        assert not discord.requests
        if shut:
            gate.shut()
            with pytest.raises(aiohttp.ClientConnectionError):
                await waiting
        else:
            gate.confirm(9.0)
            assert (await waiting).status == 200
    assert len(discord.requests) == (not shut)


async def test_events_that_were_too_many_to_hold_are_looked_up(
    discord: DiscordStandin, start: Start, gate: Gate, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.discord_bot.held_events.MOST_HELD", 2)
    async with start(gate=gate) as world:
        places = [discord.add_channel(f"place-{number}") for number in range(4)]
        for place in places:
            await world.answered("hello", place)
        clock.now = 9.0
        asked = [await world.ask("and now?", place) for place in places]
        await asyncio.sleep(0.5)
        gate.confirm(9.0)
        for said, place in zip(asked, places, strict=True):
            await world.taken(said)
            assert len(world.shown(place)) == 2


async def test_session_that_begins_while_nothing_may_be_done_is_whole(
    discord: DiscordStandin, start: Start, gate: Gate, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It names more servers than messages are held."""
    monkeypatch.setattr("bot.discord_bot.held_events.MOST_HELD", 2)
    places = [discord.add_channel("talk", discord.add_guild(f"Server {number}")) for number in range(6)]
    async with start() as world:
        for place in places:
            await world.answered("hello", place, discord.ada)

    heard: list[Frame] = []

    def close(frame: Frame) -> None:
        if frame.name == "IDENTIFY":
            clock.now = 9.0
        heard.append(frame)

    async def go_on() -> None:
        await discord.wait_for(lambda: sum(frame.name == "GUILD_CREATE" for frame in heard) == 7)
        for place in places:
            await discord.say(place, discord.ada, f"{discord.bot.mention} and now?")
        await asyncio.sleep(0.5)
        gate.confirm(9.0)

    discord.gateway.on_frame.append(close)
    going_on = asyncio.create_task(go_on())
    async with start(gate=gate) as world:
        await going_on
        for place in places:
            await discord.wait_for(lambda place=place: len(world.shown(place)) == 2)  # type: ignore[misc]
        await world.idle()
        assert await world.store.engine.read("SELECT 1 FROM conversations WHERE left_at IS NOT NULL") == []

"""Discord's faults, as one table of faults and phases of a reply.

In every cell: the person sees the whole text once if there is any way to show it; else what was shown before stays, the
turn is on record, and the log has the reason. Others are answered meanwhile, and the next prompt afterwards.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from enum import Enum

import pytest

from bot import texts
from bot.core.errors import DiscordError
from bot.standin.directory import Event
from bot.standin.entities import Channel, Message, Permission
from bot.standin.faults import (
    ALWAYS,
    AUTOMOD,
    FORBIDDEN,
    ConnectionReset,
    RateLimited,
    RestAction,
    ServerError,
    Slow,
)
from bot.standin.limits import MESSAGE, MESSAGES, Limit
from bot.standin.rest import Exchange
from bot.standin.script import Reply
from bot.standin.server import DiscordStandin
from bot.standin.sessions import Close, Frame
from tests.discord_bot.conftest import OPTIONS, Start, World
from tests.discord_bot.people import shown
from tests.waiting import PATIENCE

pytestmark = pytest.mark.virtual_time

TYPE = "/channels/{channel_id}/typing"
SHORT = ["begun ", *["and "] * 4, "going ", *["on "] * 12, "ended."]
LONG = ["begun " + "long " * 358, "further ", *["on "] * 8, "ended."]
"""The first delta fills a message but for four characters, so that the second begins another."""


class Phase(Enum):
    """Which call of the bot is struck: the first of this route that carries the word."""

    TYPING = "POST", TYPE, ""
    FIRST = "POST", MESSAGES, "begun"
    MID = "PATCH", MESSAGE, "going"
    END = "PATCH", MESSAGE, "ended."
    FURTHER = "POST", MESSAGES, "further"

    @property
    def deltas(self) -> list[str]:
        """The reply that has such a call."""
        return LONG if self is Phase.FURTHER else SHORT

    def matches(self, call: Exchange) -> bool:
        method, route, word = self.value
        return (call.method, call.route) == (method, route) and word in _content(call.body)


class Seen(Enum):
    """What the person has in the end."""

    WHOLE = "W"
    """The whole text, once."""
    ENDED = "E"
    """What was shown before, and that the rest may not be shown."""
    REFUSED = "R"
    """What was shown before, and that Discord refuses the rest."""
    BEGUN = "B"
    """What was shown before: Discord lets no word be added."""
    NOTHING = "N"
    """Nothing may be said there."""
    DELETED = "D"
    """Nothing: somebody took it away, and it is not remembered."""


@dataclass
class Scene:
    """Where it strikes, and the event of the prompt."""

    discord: DiscordStandin
    channel: Channel
    phase: Phase
    asked: Event


Strike = RestAction | Callable[[Scene], Coroutine[None, None, None] | None]
"""What becomes of the call; or what happens just before it arrives."""


def may_no_more(permission: Permission) -> Strike:
    return lambda scene: scene.discord.deny(scene.channel, permission)


def archived(scene: Scene) -> None:
    scene.discord.world.update_thread(scene.channel, archived=True)


def archived_and_locked(scene: Scene) -> None:
    scene.discord.world.update_thread(scene.channel, archived=True, locked=True)


def refused_by_automod(scene: Scene) -> None:
    word = scene.phase.value[2]
    scene.discord.faults.add(AUTOMOD, times=ALWAYS, when=lambda call: word in _content(call.body))


def first_message_deleted(scene: Scene) -> None:
    scene.discord.world.delete(scene.discord.bot_messages(scene.channel)[0])


def channel_deleted(scene: Scene) -> None:
    scene.discord.world.delete_channel(scene.channel)
    scene.channel.messages.clear()


def told_twice(scene: Scene) -> None:
    scene.discord.gateway.dispatch(scene.asked)


async def away_for_a_while(scene: Scene) -> None:
    async with scene.discord.gateway.outage():
        await asyncio.sleep(0.5)


TABLE: list[tuple[str, Strike, str]] = [
    # What is seen, by its letter, for each phase in its order. -: there is no such call, or this cannot happen to it.
    ("429 of the route", RateLimited(0.3), "W W W W W"),
    ("429 of the bot", RateLimited(0.3, "global"), "W W W W W"),
    ("429 of the route, without Via", RateLimited(0.3, via=False), "W W W W W"),
    ("429 of the bot, without Via", RateLimited(0.3, "global", via=False), "W W W W W"),
    ("500", ServerError(500), "W W W W W"),
    ("500, applied", ServerError(500, applied=True), "W W W W W"),
    ("502", ServerError(502), "- - W - -"),
    ("502, applied", ServerError(502, applied=True), "- - W - -"),
    ("503", ServerError(503), "W W W W W"),
    ("503, applied", ServerError(503, applied=True), "W W W W W"),
    ("reset", ConnectionReset(), "W W W W W"),
    ("reset, applied", ConnectionReset(applied=True), "W W W W W"),
    ("1 s late", Slow(1.0), "W W W W W"),
    ("1 s late, applied", Slow(1.0, applied=True), "W W W W W"),
    ("10 s late", Slow(10.0), "- - W - -"),
    ("typing forbidden", FORBIDDEN, "W - - - -"),
    ("may not write any more", may_no_more(Permission.SEND_MESSAGES), "N N W W E"),
    ("may not see the channel any more", may_no_more(Permission.VIEW_CHANNEL), "N N B B B"),
    ("refused by AutoMod", refused_by_automod, "- R R R R"),
    ("message deleted", first_message_deleted, "- - D D D"),
    ("channel deleted", channel_deleted, "- D D D D"),
    ("thread archived", archived, "W W W W W"),
    ("thread archived and locked", archived_and_locked, "N N B B B"),
    ("prompt told twice", told_twice, "W W W W W"),
    ("gateway dropped", lambda scene: scene.discord.gateway.drop(), "W W W W W"),
    ("gateway closed (4000)", lambda scene: scene.discord.gateway.drop(4000), "- - W - -"),
    ("gateway away for a while", away_for_a_while, "W W W W W"),
    ("asked to reconnect (op 7)", lambda scene: scene.discord.gateway.reconnect(), "W W W W W"),
    ("asked to resume (op 9)", lambda scene: scene.discord.gateway.invalidate(resumable=True), "W W W W W"),
    ("session invalid (op 9)", lambda scene: scene.discord.gateway.invalidate(), "W W W W W"),
]
CELLS = [
    pytest.param(strike, phase, Seen(letter), id=f"{name} - {phase.name.lower()}")
    for name, strike, row in TABLE
    for phase, letter in zip(Phase, row.split(), strict=True)
    if letter != "-"
]


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """What else would come after seconds has to come within a cell's one: Stop, typing anew, a new session."""
    monkeypatch.setattr("bot.discord_bot.delivery.reconciler.STOP_AFTER", 0.1)
    monkeypatch.setattr("bot.discord_bot.delivery.activity.TYPING_INTERVAL", 0.4)
    monkeypatch.setattr("bot.standin.server.TYPING_SECONDS", 0.6)
    monkeypatch.setattr("bot.discord_bot.session_starts.IDENTIFY_EVERY", 0.3)


@pytest.mark.parametrize(("strike", "phase", "seen"), CELLS)
async def test_person_sees_the_reply_despite_discord_faults(
    world: World, strike: Strike, phase: Phase, seen: Seen, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "bot")
    discord = world.discord
    discord.limits.messages = Limit(5, 0.1)
    discord.limits.others["POST", TYPE] = Limit(50, 0.1)
    channel, elsewhere = discord.general, discord.random_channel
    if strike in (archived, archived_and_locked):
        channel = await discord.open_thread(discord.general, "side", discord.bo)
    pause = 0.3 if phase is Phase.TYPING else 0.0
    world.model.script.append(Reply(phase.deltas, tokens_per_second=40, first_token_after=pause))
    world.model.default = Reply("Here I am.")
    struck = arm(discord, channel, phase, strike)

    prompt = await world.ask("tell me", channel)
    async with asyncio.timeout(PATIENCE):
        await struck.wait()
    await world.ask("and you?", elsewhere, discord.cleo)
    await discord.wait_for(lambda: shown(discord, elsewhere) == ["Here I am."])
    await world.idle(15)

    text = "".join(phase.deltas)
    assert_seen(seen, discord.bot_messages(channel), text)
    on_record = [] if seen is Seen.DELETED else [("tell me", text, "complete")]
    assert await world.turns(channel) == on_record
    if seen not in (Seen.WHOLE, Seen.DELETED):
        assert any(" can no longer be shown" in line or "Discord refused a text" in line for line in caplog.messages)
        assert await reasons(world), "on record"
    assert prompt.reactions == {}
    await nobody_types(discord, channel)

    make_good(discord, channel)
    if channel.id not in discord.world.channels:
        channel = elsewhere
    before = shown(discord, channel)
    await world.ask("are you there?", channel, discord.cleo)
    await discord.wait_for(lambda: shown(discord, channel) == [*before, "Here I am."])
    await world.idle()
    assert len(world.model.requests) == 3


@pytest.mark.parametrize(
    ("close", "sentence"),
    [
        (Close.AUTHENTICATION_FAILED, "Discord refused DISCORD_TOKEN"),
        (Close.DISALLOWED_INTENTS, "Discord refused the bot's intents"),
        (Close.INVALID_SHARD, r"Discord closed the connection for good \(code 4010\)"),
    ],
)
async def test_gateway_refusal_ends_the_bot(discord: DiscordStandin, start: Start, close: Close, sentence: str) -> None:
    def refuse(frame: Frame) -> None:
        if frame.name == "IDENTIFY":
            closing.append(asyncio.create_task(discord.gateway.drop(close)))

    closing: list[asyncio.Task[None]] = []
    discord.gateway.on_frame.append(refuse)
    with pytest.raises(ExceptionGroup) as failed:
        async with start():
            await asyncio.sleep(5)
    assert failed.group_contains(DiscordError, match=sentence)


async def test_intent_that_is_switched_off_ends_the_bot(discord: DiscordStandin, start: Start) -> None:
    """Discord answers the identify that asks for Message Content by closing the connection with 4014."""
    with pytest.raises(ExceptionGroup) as failed:
        async with start(options=replace(OPTIONS, message_content=True)):
            await asyncio.sleep(5)
    assert failed.group_contains(
        DiscordError, match=r"Switch on Message Content Intent .* or set MESSAGE_CONTENT=false"
    )


def arm(discord: DiscordStandin, channel: Channel, phase: Phase, strike: Strike) -> asyncio.Event:
    """Let it strike at the phase's call in the channel. The event is set then."""
    struck, asked, under_way = asyncio.Event(), list[Event](), set[asyncio.Task[None]]()

    def heard(event: Event) -> None:
        if event.name == "MESSAGE_CREATE" and event.channel_id == channel.id:
            asked.append(event)

    def arrived(call: Exchange) -> None:
        if struck.is_set() or f"/channels/{channel.id}/" not in call.path or not phase.matches(call):
            return
        struck.set()
        if not callable(strike):
            discord.faults.add(strike)
        elif (course := strike(Scene(discord, channel, phase, asked[0]))) is not None:
            under_way.add(asyncio.create_task(course))

    discord.world.on_event.append(heard)
    discord.on_exchange.append(arrived)
    return struck


def assert_seen(seen: Seen, replies: list[Message], text: str) -> None:
    if seen in (Seen.NOTHING, Seen.DELETED):
        assert replies == []
        return
    contents = [message.content for message in replies]
    if seen in (Seen.ENDED, Seen.REFUSED):
        contents[-1], _, note = contents[-1].rpartition("-# ")
        assert f"-# {note}" == {Seen.ENDED: texts.NO_MORE_HERE, Seen.REFUSED: texts.REFUSED}[seen]
    words = " ".join(contents).split()
    if seen is Seen.WHOLE:
        assert words == text.split()
    else:
        assert words == text.split()[: len(words)]
    if seen is not Seen.BEGUN:
        assert [message.buttons for message in replies] == [[]] * len(replies)


async def reasons(world: World) -> list[str]:
    """Why replies could not be shown, as the database has it."""
    rows = await world.store.engine.read("SELECT delivery_error FROM turns WHERE delivery_error IS NOT NULL")
    return [row["delivery_error"] for row in rows]


async def nobody_types(discord: DiscordStandin, channel: Channel) -> None:
    async with asyncio.timeout(2):
        while discord.typing(channel):
            await asyncio.sleep(0.02)


def make_good(discord: DiscordStandin, channel: Channel) -> None:
    discord.faults.clear()
    if channel.is_thread:
        discord.world.update_thread(channel, archived=False, locked=False)
    else:
        discord.allow(channel, Permission.NONE)


def _content(body: object) -> str:
    return str(body["content"]) if isinstance(body, dict) and "content" in body else ""

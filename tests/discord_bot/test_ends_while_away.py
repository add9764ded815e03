"""A database that is away for a while: replies go on, their ends wait for it, and nothing of them is lost."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from bot import texts
from bot.core.errors import StoreError
from bot.core.outages import AWAY_FOR
from bot.discord_bot.channels import PLATFORM
from bot.standin.entities import Message
from bot.standin.script import Raw, Reply
from bot.store.databases import Database, DatabaseServer
from bot.store.sqlite import SQLiteEngine
from tests.discord_bot.conftest import Start, World
from tests.figures import counted
from tests.llm.wire import DONE, STOP, say
from tests.postgresql import Server
from tests.store.steps import disk_full

pytestmark = pytest.mark.virtual_time

CANNOT_SAVE = "-# I can't save right now, so I'd forget this. Please try again later."
BEGINNING, MIDDLE = "Because ", "every day "
END = f"{'的' * 9} " * 155
"""Within one message, and more than is left of a page of the database."""
WHOLE = BEGINNING + MIDDLE + END


@dataclass
class Outage:
    """A way for a database to be away: a server that is gone, a file that another program holds, or a full disk."""

    database: Database
    server: Server | None = None
    disk: bool = False

    @asynccontextmanager
    async def __call__(self, world: World) -> AsyncIterator[None]:
        before = failures(world)
        if self.server is not None:
            await asyncio.to_thread(self.server.stop)
            try:
                yield
            finally:
                await asyncio.to_thread(self.server.start)
        elif self.disk:
            assert isinstance(world.store.engine, SQLiteEngine)
            async with disk_full(world.store.engine):
                yield
        else:
            assert isinstance(self.database, Path)
            holder = sqlite3.connect(self.database, isolation_level=None)
            try:
                holder.execute("BEGIN IMMEDIATE")
                yield
            finally:
                holder.close()
        assert failures(world) > before


def failures(world: World) -> float:
    return counted(world.figures).get("database_failures", 0)


@pytest.fixture(params=["server", "lock", "disk"])
def outage(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Outage:
    if request.param == "server":
        monkeypatch.setattr("bot.operator.health._FOLDER", tmp_path)
        return Outage(
            DatabaseServer(request.getfixturevalue("postgresql_url")), request.getfixturevalue("postgresql_server")
        )
    # Threads wait in real time.
    monkeypatch.setattr("bot.store.sqlite.connection.BUSY_S", 0.01)
    return Outage(tmp_path / "parley.db", disk=request.param == "disk")


@pytest.fixture
def file(outage: Outage) -> Database:
    return outage.database


server_and_lock = pytest.mark.parametrize("outage", ["server", "lock"], indirect=True)


@dataclass
class Answering:
    """A reply whose beginning is shown. Its middle and its end follow when a test says so."""

    question: Message
    reply: Message
    go_on: asyncio.Event
    finish: asyncio.Event

    def reads(self, text: str) -> bool:
        return self.reply.content.split() == text.split()


async def answering(world: World) -> Answering:
    go_on, finish = asyncio.Event(), asyncio.Event()
    world.model.script.append(Raw([say(BEGINNING), go_on, say(MIDDLE), finish, say(END), STOP + DONE]))
    question = await world.ask()
    begun = Answering(question, await world.reply(world.discord.general, BEGINNING.strip()), go_on, finish)
    await world.until(lambda: progress(world), BEGINNING)
    return begun


async def progress(world: World) -> str:
    [running] = world.conversations.running
    turn = await world.store.turns.of_attempt(running.attempt)
    return turn.reply if turn else ""


async def left_over(world: World) -> list[object]:
    """What the next start would have to do: turns, and reservations."""
    turns = await world.store.turns.undelivered(PLATFORM)
    return [*turns, *await world.store.engine.read("SELECT 1 FROM charges WHERE settled = 0")]


async def test_absence_during_and_at_the_end_of_a_reply_is_not_noticed(start: Start, outage: Outage) -> None:
    async with start() as world:
        reply = await answering(world)
        async with outage(world):
            reply.go_on.set()
            await world.until(lambda: reply.reads(BEGINNING + MIDDLE))
            other = world.discord.add_channel("other")
            await world.ask("和" * 1500, other)
            await world.reply(other, CANNOT_SAVE)
            await asyncio.sleep(2.0)
        await back(world)
        await world.until(lambda: progress(world), BEGINNING + MIDDLE)
        async with outage(world):
            reply.finish.set()
            await world.until(lambda: reply.reads(WHOLE))
            await asyncio.sleep(AWAY_FOR / 2)
            assert reply.reads(WHOLE)
            assert len(world.conversations.running) == 1, "its end is not shown yet"
        await back(world)
        await world.idle()
        assert reply.reads(WHOLE)
        assert not reply.reply.buttons
        assert await world.turns(world.discord.general) == [("why?", WHOLE, "complete")]
        assert await left_over(world) == []
        usage = world.store.quotas.usage_today
        assert (await usage()).total == (await usage(reserved=False)).total > 0
    async with start() as world:
        await world.answered("and then?")
        [request] = world.model.requests[-1:]
        assert WHOLE in str(request.messages)


async def test_absence_that_lasts_is_told_and_its_end_is_written_without_a_restart(
    start: Start, outage: Outage
) -> None:
    async with start() as world:
        reply = await answering(world)
        async with outage(world):
            reply.go_on.set()
            reply.finish.set()
            await world.until(lambda: reply.reads(WHOLE))
            await world.until(lambda: reply.reads(f"{WHOLE}\n{CANNOT_SAVE}"))
            await world.idle()
            pressed = await world.press(reply.reply)
            await world.discord.wait_for(lambda: pressed.followups or pressed.ephemeral)
            told = pressed.followups[0].content if pressed.followups else pressed.content
            assert told in (texts.ONE_MOMENT, texts.CANNOT_SAVE)
            await asyncio.sleep(60.0)
        await back(world)
        world.model.default = Reply("Then it is so.")
        await world.answered("and then?")
        assert WHOLE.strip() in str(world.model.requests[-1].messages)
        await world.until(lambda: left_over(world), [])
        assert (await world.turns(world.discord.general))[0] == ("why?", WHOLE, "failed")
        world.model.default = Reply("Since the sky is blue.")
        await world.press(reply.reply)
        await world.until(lambda: reply.reads("Since the sky is blue."))
        await world.idle()
        requests = len(world.model.requests)
        shown = world.shown()
    async with start() as world:
        await world.caught_up()
        assert (world.shown(), len(world.model.requests)) == (shown, requests + 1)


@server_and_lock
async def test_end_of_the_process_during_an_absence_leaves_the_turn_to_the_next_one(
    start: Start, outage: Outage
) -> None:
    now = asyncio.get_running_loop().time
    async with AsyncExitStack() as away:
        async with start() as world:
            reply = await answering(world)
            await away.enter_async_context(outage(world))
            reply.go_on.set()
            reply.finish.set()
            await world.until(lambda: reply.reads(WHOLE))
            stopped_at = now()
        assert now() - stopped_at < AWAY_FOR / 2
    world.model.default = Reply("Again.")
    async with start() as world:
        await world.until(lambda: reply.reads("Again."))
        await world.idle()
        assert await world.turns(world.discord.general) == [("why?", "Again.", "complete")]
        assert await left_over(world) == []


async def test_end_of_the_process_after_an_absence_leaves_nothing(start: Start, outage: Outage) -> None:
    """Also where the pause until the next try is long by then."""
    async with start() as world:
        reply = await answering(world)
        async with outage(world):
            reply.go_on.set()
            reply.finish.set()
            await world.until(lambda: reply.reads(f"{WHOLE}\n{CANNOT_SAVE}"))
            await asyncio.sleep(120.0)
        await back(world)
    requests = len(world.model.requests)
    async with start() as world:
        assert await left_over(world) == []
        assert (await world.turns(world.discord.general))[0] == ("why?", WHOLE, "failed")
    assert len(world.model.requests) == requests


@server_and_lock
@pytest.mark.parametrize("seconds", [AWAY_FOR / 4, 2 * AWAY_FOR])
async def test_question_deleted_during_an_absence_is_forgotten(start: Start, outage: Outage, seconds: float) -> None:
    async with start() as world:
        reply = await answering(world)
        async with outage(world):
            reply.go_on.set()
            reply.finish.set()
            await world.until(lambda: reply.reads(WHOLE))
            await asyncio.sleep(seconds)
            await world.discord.delete(reply.question)
            if seconds < AWAY_FOR:
                async with asyncio.timeout(AWAY_FOR / 4):
                    await world.until(world.shown, [])
        await back(world)
        await world.until(lambda: rows(world, "SELECT 1 FROM turns"), [])
        await world.idle()
        await world.until(lambda: left_over(world), [])
        assert await rows(world, "SELECT 1 FROM turns") == []
        await world.answered("and then?")
        assert BEGINNING not in str(world.model.requests[-1].messages)


async def back(world: World) -> None:
    """Wait until the database answers again: a connection that failed is not tried again at once."""

    async def answers() -> bool:
        try:
            await world.store.engine.ping()
            return await rows(world, "SELECT 1") != []
        except StoreError:
            return False

    await world.until(answers)


async def rows(world: World, sql: str) -> list[object]:
    return list(await world.store.engine.read(sql))

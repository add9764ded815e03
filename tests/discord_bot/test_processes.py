"""Several processes of one bot on one PostgreSQL: each serves its shards, and a standby takes over what is free."""

from __future__ import annotations

import asyncio
import re
import signal
import socket
import sys
import time
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import psycopg
import pytest

from bot.core.errors import BotError
from bot.core.gate import OPEN_FOR
from bot.core.outages import AWAY_FOR
from bot.operator.health import HealthReport, read_health
from bot.operator.processes import read_all
from bot.standin.entities import Channel, Intent, Message, User
from bot.standin.faults import RateLimited, Refused, ServerError
from bot.standin.model import ModelStandin
from bot.standin.script import Raw, Reply
from bot.standin.server import DiscordStandin
from bot.standin.sharding import Sharding, shard_of
from bot.store.databases import Database, DatabaseServer
from bot.store.postgresql.requests import IDENTIFY_EVERY_MS
from tests.discord_bot.conftest import Launch
from tests.discord_bot.people import ask, shown
from tests.llm.wire import DONE, STOP, say
from tests.postgresql import Server
from tests.waiting import FOR_A_PROCESS, until

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX"),
    pytest.mark.standin(sharding=Sharding(identify_every=0.0, max_concurrency=16)),
]

SHARD_LOCKS = 0x5348_0001
TAKEN_OVER_WITHIN = 20.0
"""Seconds from the end of a process's connection until another one serves its servers."""


class Running:
    """A process of the bot, and what it has logged."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.log = ""
        self.reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self.process.stderr is not None
        async for line in self.process.stderr:
            self.log += line.decode()

    async def says(self, pattern: str) -> None:
        async with asyncio.timeout(FOR_A_PROCESS):
            while not re.search(pattern, self.log):
                assert self.process.returncode is None, self.log
                await asyncio.sleep(0.02)


StartProcess = Callable[[str], AbstractAsyncContextManager[Running]]


@pytest.fixture
def file(postgresql_url: str) -> Database:
    return DatabaseServer(postgresql_url)


@pytest.fixture
def start_process(launch: Launch) -> StartProcess:
    @asynccontextmanager
    async def started(shards: str) -> AsyncIterator[Running]:
        async with launch(SHARDS=shards, SHUTDOWN_GRACE="20") as process:
            running = Running(process)
            try:
                yield running
            finally:
                if process.returncode is None:
                    process.send_signal(signal.SIGCONT)
                    process.kill()
                await running.reading

    return started


@pytest.fixture
def places(discord: DiscordStandin) -> list[Channel]:
    """A channel on each of two shards."""
    assert discord.general.guild is not None
    found = {shard_of(discord.general.guild.id, 2): discord.general}
    while len(found) < 2:
        guild = discord.add_guild(f"Server {len(discord.world.guilds)}")
        discord.world.add_member(guild, discord.bo)
        found.setdefault(shard_of(guild.id, 2), discord.add_channel("talk", guild))
    return [found[0], found[1]]


async def reply(discord: DiscordStandin, place: Channel, reads: Callable[[str], bool]) -> Message:
    await discord.wait_for(lambda: any(reads(each) for each in shown(discord, place)))
    return discord.bot_messages(place)[-1]


def words(number: int) -> Callable[[str], bool]:
    return lambda text: text.count("word") >= number


LONG = Reply("word " * 300, tokens_per_second=20)


@pytest.mark.long
async def test_killed_process_is_taken_over_and_a_restart_of_the_database_cuts_nothing(
    discord: DiscordStandin,
    model: ModelStandin,
    places: list[Channel],
    start_process: StartProcess,
    postgresql_server: Server,
) -> None:
    async with start_process("0-0/2") as first, start_process("1-1/2") as second:
        await discord.ready()
        async with start_process("1/2") as standby:
            await standby.says("standing by")
            dan = discord.world.add_user("dan", "Dan")
            assert places[1].guild is not None
            discord.world.add_member(places[1].guild, dan)
            direct = discord.open_dm(dan)
            model.script.append(Reply("Directly."))
            await discord.say(direct, dan, "hello")
            await reply(discord, direct, lambda text: text.startswith("Directly."))

            model.script.extend([LONG, LONG])
            for place in places:
                await ask(discord, "write", place)
                await reply(discord, place, words(40))
            model.default = Reply("Short.")

            await asyncio.to_thread(postgresql_server.stop)
            await asyncio.to_thread(postgresql_server.start)
            await first.says("holds its shards again")
            await second.says("holds its shards again")

            first.process.kill()
            await first.process.wait()
            at = time.monotonic()
            # The reply that was cut off is begun again, and its first words are its last.
            await reply(discord, places[0], lambda text: text == "Short.")
            took = time.monotonic() - at
            await ask(discord, "and now?", places[0])
            await discord.wait_for(lambda: shown(discord, places[0]) == ["Short.", "Short."])
            await discord.wait_for(lambda: " ".join(shown(discord, places[1])).count("word") == 300)
            assert took < TAKEN_OVER_WITHIN
            assert "was interrupted" not in second.log
    assert not any("-#" in text for text in shown(discord, places[1])), "it is whole"


@pytest.mark.long
async def test_what_is_asked_or_ends_as_the_database_goes_is_whole_however_long_it_is_away(
    discord: DiscordStandin,
    model: ModelStandin,
    start_process: StartProcess,
    postgresql_server: Server,
    postgresql_url: str,
) -> None:
    """Nothing is shown any more after some seconds without a confirmation, so nobody is told of a failure either."""
    finish = asyncio.Event()
    async with start_process("auto") as first:
        await discord.ready()
        model.script.append(Raw([say("Because "), say("of the sea."), finish, STOP + DONE]))
        await ask(discord, "why?")
        await reply(discord, discord.general, "Because of the sea.".__eq__)
        await asyncio.to_thread(postgresql_server.stop)
        try:
            finish.set()
            await ask(discord, "and the sky?", discord.random_channel)
            await first.says("a question waits for the database")
            await first.says("its end waits for the database")
            await asyncio.sleep(AWAY_FOR + OPEN_FOR)
            assert shown(discord) == ["Because of the sea."]
        finally:
            await asyncio.to_thread(postgresql_server.start)
        model.default = Reply("Of the sky.")
        await reply(discord, discord.random_channel, "Of the sky.".__eq__)
        await first.says("holds its shards again")
        ended = "SELECT state, delivered FROM turns WHERE reply = 'Because of the sea.'"
        database = psycopg.conninfo.conninfo_to_dict(postgresql_url)["dbname"]
        assert isinstance(database, str)
        await until(lambda: postgresql_server.execute(ended, database) == [("complete", 1)], within=FOR_A_PROCESS)
        first.process.terminate()
        assert await first.process.wait() == 0
        assert shown(discord) == ["Because of the sea."]
        assert "the end of the reply could not be saved" not in first.log
    async with start_process("auto"):
        await discord.ready()
        await ask(discord, "and then?")
        await discord.wait_for(lambda: len(shown(discord)) == 2)
        assert "Because of the sea." in str(model.requests[-1].messages)
    assert len(model.requests) == 3


async def test_processes_are_restarted_one_after_the_other_without_a_question_lost(
    discord: DiscordStandin, model: ModelStandin, places: list[Channel], start_process: StartProcess
) -> None:
    model.default = Reply(lambda messages: f"To {messages[-1].content.splitlines()[-1]}.")
    async with start_process("2/2") as first:
        await discord.ready()
        async with start_process("2/2") as second:
            await second.says("standing by")
            model.script.append(Reply("word " * 60, tokens_per_second=20))
            busy = discord.add_channel("busy", places[0].guild)
            await ask(discord, "write", busy)
            await reply(discord, busy, words(10))
            first.process.terminate()
            await first.says("stopping")
            # It is still there, and finishes its reply.
            for number, place in enumerate(places):
                await ask(discord, f"question {number}", place)
            await second.says("serving shards 0-1 of 2")
            assert await first.process.wait() == 0
            assert words(60)(shown(discord, busy)[0])
            for number, place in enumerate(places):
                await reply(discord, place, f"To question {number}.".__eq__)
                assert len(shown(discord, place)) == 1
            assert "was interrupted" not in second.log


@pytest.mark.long
async def test_process_that_was_frozen_says_nothing_more(
    discord: DiscordStandin,
    model: ModelStandin,
    places: list[Channel],
    start_process: StartProcess,
    postgresql_url: str,
) -> None:
    async with start_process("2/2") as frozen:
        await discord.ready()
        async with start_process("2/2") as standby:
            await standby.says("standing by")
            model.script.append(LONG)
            await ask(discord, "write", places[0])
            await reply(discord, places[0], words(40))
            model.default = Reply("Short.")
            frozen.process.send_signal(signal.SIGSTOP)
            async with await psycopg.AsyncConnection.connect(postgresql_url, autocommit=True) as connection:
                await connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND classid = %s",
                    [SHARD_LOCKS],
                )
            await reply(discord, places[0], lambda text: text == "Short.")
            frozen.process.send_signal(signal.SIGCONT)
            await ask(discord, "and now?", places[0])
            await frozen.says("another process has taken over")
            await discord.wait_for(lambda: shown(discord, places[0]) == ["Short.", "Short."])
            # It has become the standby.
            await frozen.says("(?s)another process has taken over.*standing by")
            assert shown(discord, places[0]) == ["Short.", "Short."]
            standby.process.terminate()
            await standby.process.wait()
            await frozen.says("(?s)standing by.*serving shards 0-1 of 2")
            await ask(discord, "and you?", places[1])
            await discord.wait_for(lambda: shown(discord, places[1]) == ["Short."])


async def test_process_waits_for_a_database_that_is_away(
    discord: DiscordStandin,
    model: ModelStandin,
    start_process: StartProcess,
    postgresql_server: Server,
    file: Database,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert isinstance(file, DatabaseServer)
    monkeypatch.setattr("bot.operator.health._FOLDER", tmp_path / "data")

    async def health() -> HealthReport | None:
        with suppress(BotError):
            return await read_health(file)
        return None

    await asyncio.to_thread(postgresql_server.stop)
    try:
        async with start_process("auto") as stopped:
            await stopped.says("waiting for the database")
            stopped.process.terminate()
            assert await stopped.process.wait() == 0
            await stopped.reading
            assert len(stopped.log.splitlines()) == 1, stopped.log
        async with start_process("auto") as waiting:
            await waiting.says("waiting for the database.*does not accept connections: start the server")
            await until(health, within=FOR_A_PROCESS)
            report = await read_health(file)
            assert not report.well
            assert "Discord: not connected before the database answers." in report.text
            assert "does not accept connections: start the server" in report.text
            await asyncio.to_thread(postgresql_server.start)
            await discord.ready()
            model.default = Reply("Here.")
            await ask(discord, "anybody?")
            await reply(discord, discord.general, "Here.".__eq__)
            assert waiting.log.count("waiting for the database") == 1
    finally:
        await asyncio.to_thread(postgresql_server.stop)
        await asyncio.to_thread(postgresql_server.start)


@pytest.mark.parametrize("route", ["/users/@me", "/gateway/bot"])
@pytest.mark.parametrize("fault", [ServerError(503), RateLimited(2.0, via=False)], ids=repr)
async def test_process_tries_again_where_discord_fails_at_its_start(
    discord: DiscordStandin,
    model: ModelStandin,
    start_process: StartProcess,
    route: str,
    fault: ServerError | RateLimited,
) -> None:
    model.default = Reply("Here.")
    discord.faults.add(fault, method="GET", route=route)
    async with start_process("auto") as process:
        await process.says("not connected to Discord, trying again in")
        await discord.ready()
        await ask(discord, "anybody?")
        await reply(discord, discord.general, "Here.".__eq__)
        process.process.terminate()
        assert await process.process.wait() == 0
    discord.faults.add(Refused(401, 0, "401: Unauthorized"), method="GET", route="/users/@me")
    async with start_process("auto") as process:
        assert await process.process.wait() == 1


async def test_session_is_started_once_the_database_knows_who_else_starts_one(
    discord: DiscordStandin, start_process: StartProcess, postgresql_server: Server
) -> None:
    async with start_process("auto") as process:
        await discord.ready()
        await asyncio.to_thread(postgresql_server.stop)
        try:
            sessions = discord.gateway.identifies
            await discord.gateway.invalidate()
            await process.says("connecting to Discord once the database says that no other process does so")
            assert discord.gateway.identifies == sessions
        finally:
            await asyncio.to_thread(postgresql_server.start)
        await discord.ready()
        assert discord.gateway.identifies == sessions + 1


@pytest.mark.standin(sharding=Sharding(identify_every=5.0, max_concurrency=1))
async def test_processes_that_start_at_once_connect_one_after_the_other(
    discord: DiscordStandin, model: ModelStandin, start_process: StartProcess
) -> None:
    async with start_process("1/2"), start_process("1/2"):
        await discord.ready()
        assert discord.gateway.starts.too_early == 0


@pytest.mark.standin(sharding=Sharding(identify_every=5.0, max_concurrency=1))
async def test_processes_whose_connections_are_made_at_once_start_their_sessions_one_after_the_other(
    discord: DiscordStandin, start_process: StartProcess, file: Database, postgresql_server: Server
) -> None:
    assert isinstance(file, DatabaseServer)
    database = file.url.partition("?")[0].rpartition("/")[2]

    def turns_that_have_come() -> list[tuple[object, ...]]:
        """The last one, by when the next may come."""
        sql = "SELECT next_at FROM identify_turns WHERE next_at < clock_timestamp() + interval '{} ms'"
        return postgresql_server.execute(sql.format(IDENTIFY_EVERY_MS), database)

    async with AsyncExitStack() as outage, start_process("1/2"):
        await outage.enter_async_context(discord.gateway.outage())
        await until(turns_that_have_come, within=FOR_A_PROCESS)
        of_first = turns_that_have_come()
        async with start_process("1/2"):
            await until(lambda: turns_that_have_come() not in ([], of_first), within=FOR_A_PROCESS)
            await outage.aclose()
            await discord.wait_for(lambda: len(discord.gateway.shards) == 2)
            assert discord.gateway.starts.too_early == 0


async def test_every_process_reports_its_health(
    discord: DiscordStandin, start_process: StartProcess, file: Database
) -> None:
    assert isinstance(file, DatabaseServer)

    async def health(*processes: tuple[Running, str]) -> None:
        """Wait until these are all, and each does that."""
        async with asyncio.timeout(FOR_A_PROCESS):
            while True:
                with suppress(BotError):
                    report = await read_all(file)
                    rows = [f"{running.process.pid:<8}  {does:19}  well" for running, does in processes]
                    if report.well and [line for line in report.text.splitlines() if "  well" in line] == [
                        f"{socket.gethostname()[:32]:32}  {row}" for row in rows
                    ]:
                        return
                await asyncio.sleep(0.1)

    async with start_process("auto") as first:
        await discord.ready()
        async with start_process("auto") as second:
            await health((first, "everything"), (second, "stands by"))
            first.process.terminate()
            await first.process.wait()
            await health((second, "everything"))


@pytest.mark.standin(sharding=Sharding(identify_every=0.0, max_concurrency=16), privileged=Intent.MESSAGE_CONTENT)
async def test_person_who_is_forgotten_in_one_process_is_forgotten_in_the_other(
    discord: DiscordStandin, model: ModelStandin, places: list[Channel], launch: Launch, postgresql_url: str
) -> None:
    """Their messages go along no more, and what they used counts on, though no row has it."""
    here, there = places
    assert there.guild is not None
    for place in places:
        assert place.guild is not None
        if discord.cleo.id not in place.guild.members:
            discord.world.add_member(place.guild, discord.cleo)
    with psycopg.connect(postgresql_url) as connection:
        connection.execute(
            "INSERT INTO channel_settings (channel_id, guild_id, recent) VALUES (%s, %s, 10)",
            [there.id, there.guild.id],
        )
    model.default = Reply("Sure.")

    async def answered(place: Channel, person: User) -> str:
        """A question and its answer; what the model was sent."""
        count, asked = len(shown(discord, place)), len(model.requests)
        await ask(discord, "why?", place, person)
        await discord.wait_for(lambda: shown(discord, place)[count:] == ["Sure."])
        return str(model.requests[asked].messages[-1]["content"])

    settings = {"DATABASE_URL": postgresql_url, "MESSAGE_CONTENT": "true", "HOURLY_QUESTIONS_PER_USER": "3"}
    async with launch(**settings, SHARDS="0-0/2"), launch(**settings, SHARDS="1-1/2"):
        await discord.ready()
        assert "sea" not in await answered(there, discord.cleo)
        await discord.say(there, discord.bo, "I live by the sea")
        for _ in range(3):
            await answered(here, discord.bo)
        assert "sea" in await answered(there, discord.cleo)
        confirm = await (await discord.slash(discord.bo, here, "forget-me")).answered()
        pressed = await discord.press(discord.bo, confirm, f"forget-me:yes:{discord.bo.id}")
        await discord.wait_for(lambda: "I have forgotten everything about you" in (pressed.content or ""))
        assert "sea" not in await answered(there, discord.cleo)
        requests, count = len(model.requests), len(shown(discord, there))
        await ask(discord, "and now?", there)
        await discord.wait_for(lambda: len(shown(discord, there)) > count)
        assert "3 questions" in shown(discord, there)[-1]
        assert len(model.requests) == requests

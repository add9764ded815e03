"""The lives of several processes of the bot in a soak, on one PostgreSQL, with one more of them as a standby.

Processes are killed, frozen and updated one after the other, and the database is killed too. At the end all shards must
be served, processes must have taken over from others, and Discord must not have been asked more than it allows: at most
50 requests in any second but that in which the database went, and no session too early. No takeover may last longer
than `benchmarks.soak_takeovers` allows.
"""

from __future__ import annotations

import asyncio
import math
import signal
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import psycopg

from benchmarks.harness import bot
from benchmarks.soak_lives import AWAY, SETTINGS, Scene
from benchmarks.soak_takeovers import WITHIN, Takeovers
from bot.standin.entities import Channel, Message
from bot.standin.rest import Exchange
from bot.standin.server import DiscordStandin
from bot.standin.sharding import shard_of
from bot.store.engine import Row
from bot.store.postgresql.pipeline import Record
from tests.postgresql import Server, installed, running
from tests.waiting import FOR_A_PROCESS

_PAUSE = (3.0, 15.0)
"""Seconds from one thing that is done to the processes or the database to the next."""
_FROZEN = (1.0, 20.0)
_DATABASE_AWAY = (0.5, 20.0)
_START = 60.0
"""Seconds until all shards are connected, of which one may start a session every five."""
_UPDATE = 40.0
"""Seconds for a process to end by itself after SIGTERM."""
_A_SECOND = 50
"""Requests that Discord allows in any second."""
_DATABASE = "kill -9 of the database"
_RETURN = "its return"
_UNDER_WAY = 1.0
"""Seconds before the database went in which something may have been posted that was not on record yet."""
_CATCHING_UP = 5.0
"""Seconds after its return within which all that was posted meanwhile is on record."""
_NEEDED = ("kill -9", _DATABASE, "frozen processes", "rolling restarts", "takeovers")
"""What a run that had none of it does not try, as the ledger names it."""


@contextmanager
def database_server() -> Iterator[Server]:
    """A PostgreSQL server of the soak's own."""
    binaries = installed()
    if binaries is None:
        raise SystemExit("PostgreSQL is not installed: on Debian, `apt-get install postgresql`")
    with running(binaries) as server:
        yield server


class Fleet:
    """`count` processes that serve a shard each, and a standby, on the database of this `url`."""

    def __init__(self, scene: Scene, count: int, server: Server, url: str) -> None:
        self._scene = scene
        self._count = count
        self._server = server
        self._url = url
        self._members: list[asyncio.Task[None]] = []
        self._processes: dict[int, asyncio.subprocess.Process] = {}
        """Those that run, by number."""
        self._ended: set[int] = set()
        """The ids of processes that were told to end, or killed."""
        self._done: list[tuple[float, str]] = []
        """What was done to the processes and the database, and when on the monotonic clock."""
        self._takeovers = Takeovers(url, scene.discord, self._logs)
        self._rate = _Rate(scene.discord)

    def serves(self, channel: Channel) -> bool:
        shard = shard_of(channel.guild.id if channel.guild else None, self._count)
        return (shard, self._count) in self._scene.discord.gateway.shards

    @asynccontextmanager
    async def first(self) -> AsyncIterator[None]:
        self._members = [asyncio.create_task(self._member(number)) for number in range(self._count + 1)]
        await self._scene.discord.ready(FOR_A_PROCESS)
        self._watching = asyncio.create_task(self._takeovers.watch())
        yield

    @asynccontextmanager
    async def last(self) -> AsyncIterator[None]:
        try:
            with suppress(AssertionError):
                await self._scene.discord.ready(_START)
            yield
        finally:
            for task in (*self._members, self._watching):
                task.cancel()
            await asyncio.gather(*self._members, self._watching, return_exceptions=True)

    def rows(self, sql: str) -> list[Row]:
        with psycopg.connect(self._url) as connection:
            cursor = connection.execute(sql.encode())
            places = {column.name: place for place, column in enumerate(cursor.description or ())}
            return [Record(places, values) for values in cursor.fetchall()]

    def log(self) -> str:
        return "\n".join(file.read_text() for file in sorted(self._scene.folder.glob("bot-*.log")))

    def progress(self) -> str:
        did = self._scene.ledger.did
        return ", ".join(f"{name} {did[name]}" for name in _NEEDED if did[name])

    def _log(self, number: int) -> Path:
        return self._scene.folder / f"bot-{number}.log"

    def _logs(self) -> dict[int, Path]:
        return {number: self._log(number) for number in range(self._count + 1) if self._log(number).exists()}

    async def _member(self, number: int) -> None:
        """One process, started again whenever it has ended."""
        while True:
            with self._log(number).open("ab") as log:
                begins = log.tell()
                settings = {**SETTINGS, "SHARDS": f"1/{self._count}", "DATABASE_URL": self._url, "DATABASE_PATH": ""}
                async with bot(self._scene.discord, self._scene.model, log, **settings) as process:
                    self._processes[number] = process
                    try:
                        await process.wait()
                    finally:
                        del self._processes[number]
                        self._takeovers.ended(number)
                self._judge(number, process, begins)
            await asyncio.sleep(self._scene.pick.uniform(*AWAY))

    def _judge(self, number: int, process: asyncio.subprocess.Process, begins: int) -> None:
        if process.pid in self._ended:
            return
        said = self._log(number).read_bytes()[begins:].decode()
        if process.returncode == 1 and "has connected to Gateway" not in said:
            self._scene.ledger.did["refused by Discord at the start"] += 1
        else:
            self._scene.ledger.wrong.append(f"process {number} left by itself with {process.returncode}: {said[-400:]}")

    # What is done to the processes

    async def go_on(self, ends: float) -> None:
        """Kill, freeze and update processes, and kill the database: each beside the others, and no two of a kind."""
        under_way: dict[str, asyncio.Task[None]] = {}
        deeds = {"kill": self._kill, "freeze": self._freeze, "update": self._update, "database": self._kill_database}
        while time.monotonic() < ends:
            await asyncio.sleep(self._scene.pick.uniform(*_PAUSE))
            deed = self._scene.pick.choices(list(deeds), [45, 20, 10, 25])[0]
            if deed not in under_way or under_way[deed].done():
                under_way[deed] = asyncio.create_task(deeds[deed]())
        await asyncio.gather(*under_way.values())

    async def _kill(self) -> None:
        if self._processes:
            process = self._scene.pick.choice(list(self._processes.values()))
            self._ended.add(process.pid)
            process.kill()
            self._note("kill -9")
            self._scene.killed()

    async def _freeze(self) -> None:
        if self._processes:
            number, process = self._scene.pick.choice(list(self._processes.items()))
            process.send_signal(signal.SIGSTOP)
            self._done.append((time.monotonic(), "SIGSTOP"))
            self._takeovers.frozen[number] = process.pid
            await asyncio.sleep(self._scene.pick.uniform(*_FROZEN))
            self._takeovers.frozen.pop(number, None)
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGCONT)
            self._note("frozen processes")
            self._scene.killed()

    async def _update(self) -> None:
        """End one after the other, each when the one before runs again."""
        for number in range(self._count + 1):
            process = self._processes.get(number)
            if process is None:
                continue
            self._ended.add(process.pid)
            with suppress(ProcessLookupError):
                process.terminate()
                self._done.append((time.monotonic(), "SIGTERM"))
            try:
                await asyncio.wait_for(process.wait(), _UPDATE)
            except TimeoutError:
                self._scene.ledger.wrong.append(f"process {number} did not end within {_UPDATE:g} s of SIGTERM")
                process.kill()
            self._scene.killed()
            await asyncio.sleep(AWAY[1])
        self._note("rolling restarts")

    async def _kill_database(self) -> None:
        self._note(_DATABASE)
        await asyncio.to_thread(self._server.stop)
        await asyncio.sleep(self._scene.pick.uniform(*_DATABASE_AWAY))
        await asyncio.to_thread(self._server.start)
        self._done.append((time.monotonic(), _RETURN))

    def _note(self, what: str) -> None:
        self._scene.ledger.did[what] += 1
        self._done.append((time.monotonic(), what))

    # The audit

    def lost_track_of(self, message: Message) -> bool:
        """Whether a process ended, or was held up, after it had posted this and before the database was back."""
        at = message.shown[0].at
        went = max((when for when, what in self._done if what == _DATABASE and when <= at + _UNDER_WAY), default=None)
        if went is None:
            return False
        back = min((when for when, what in self._done if what == _RETURN and when > went), default=math.inf)
        ended = [when for when, what in self._done if what not in (_DATABASE, _RETURN)]
        return at <= back and any(at <= when <= back + _CATCHING_UP for when in ended)

    def audit(self) -> list[str]:
        wrong = []
        self._server.dump(self._url, self._scene.folder / "parley.sql")
        shards = self.rows("SELECT shard, released FROM shards")
        served = sorted(row["shard"] for row in shards if not row["released"])
        gateway, did = self._scene.discord.gateway, self._scene.ledger.did
        if served != list(range(self._count)) or not gateway.connected:
            wrong.append(f"of {self._count} shards, {served} are served, {gateway.shards} are connected")
        if took := self._takeovers.done:
            print(self._takeovers.summary(), flush=True)
        did["takeovers"] = len(took)
        wrong += [f"{each}: more than {WITHIN:g} s" for each in took if each.seconds > WITHIN]
        wrong += [f"the run had no {each}: make it longer" for each in _NEEDED if not did[each]]
        wrong += self._takeovers.early
        did["requests in the busiest second"] = self._rate.most
        busy = [
            (count, at)
            for at, count in self._rate.busy
            if not any(-1 <= at - went <= 2 for went, what in self._done if what == _DATABASE)
        ]
        if busy:
            most, at = max(busy)
            before = ", ".join(f"{what} {at - when:.1f} s before" for when, what in self._done if 0 <= at - when < 30)
            wrong.append(f"{most} requests within a second; {before}")
        return wrong


class _Rate:
    """The requests that count towards Discord's limit of a second, as they come in from all processes."""

    def __init__(self, discord: DiscordStandin) -> None:
        self.most = 0
        self.busy: list[tuple[float, int]] = []
        """When more came within a second than are allowed, and how many."""
        self._lately: deque[float] = deque()
        discord.on_exchange.append(self._count)

    def _count(self, exchange: Exchange) -> None:
        if exchange.answered is not None or exchange.route.startswith(("/interactions/", "/webhooks/")):
            return
        self._lately.append(exchange.started)
        while self._lately[0] <= exchange.started - 1:
            self._lately.popleft()
        self.most = max(self.most, len(self._lately))
        if len(self._lately) > _A_SECOND:
            self.busy.append((exchange.started, len(self._lately)))

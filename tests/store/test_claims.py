"""Claims on a real PostgreSQL: no two processes act for one shard, and none stays without."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import tempfile
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import psycopg
import pytest

from bot.core.errors import SettingsError
from bot.core.shards import WantedShards
from bot.store.postgresql.claims import _SHARD, Claims, Timing
from bot.store.postgresql.connection import Connection
from tests import forkserver
from tests.postgresql import Server
from tests.waiting import FOR_A_PROCESS, PATIENCE, until

QUICK = Timing(own_for=1.0, open_for=0.6, look_every=0.1)
NEVER = Timing(own_for=3600.0, open_for=3600.0, look_every=0.1)
"""Who has this takes nothing that was not released, and is not late with it, however slow the machine is."""


@pytest.fixture
def url(postgresql_url: str) -> str:
    return postgresql_url


@pytest.fixture
def answers_are_awaited(monkeypatch: pytest.MonkeyPatch) -> None:
    """No answer counts as lost because the machine is slow."""
    monkeypatch.setattr("bot.store.postgresql.claims._ANSWER_TIMEOUT", FOR_A_PROCESS)


@asynccontextmanager
async def claimant(url: str, timing: Timing = QUICK) -> AsyncIterator[Process]:
    process = await forkserver.start(
        "-m",
        "tests.store.claimant",
        url,
        str(timing.own_for),
        str(timing.open_for),
        env=os.environ,
        cwd=Path.cwd(),
        stdout=PIPE,
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


async def says(process: Process, start: str) -> str:
    """The next line that begins so."""
    assert process.stdout is not None
    async with asyncio.timeout(FOR_A_PROCESS):
        async for line in process.stdout:
            if line.decode().startswith(start):
                return line.decode()
    raise AssertionError(f"it never said {start!r}")


class Link:
    """A socket in front of the server's, whose connections can be left without an end."""

    def __init__(self, folder: Path, server: str) -> None:
        self.folder = folder
        self._server = server
        self._pumps: set[asyncio.Task[None]] = set()
        self._kept: list[asyncio.StreamWriter] = []

    def sever(self) -> None:
        """Carry nothing over the present connections any more, in either direction."""
        for pump in self._pumps:
            pump.cancel()

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind, to_server = await asyncio.open_unix_connection(self._server)
        self._kept += writer, to_server
        for source, target in ((reader, to_server), (behind, writer)):
            pump = asyncio.create_task(_carry(source, target))
            self._pumps.add(pump)
            pump.add_done_callback(self._pumps.discard)

    def close(self) -> None:
        self.sever()
        for each in self._kept:
            each.close()


async def _carry(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    while data := await source.read(65536):
        target.write(data)
    target.close()


@asynccontextmanager
async def severable(server: str) -> AsyncIterator[Link]:
    with tempfile.TemporaryDirectory(prefix="pg") as folder:
        link = Link(Path(folder), server)
        async with await asyncio.start_unix_server(link.connected, f"{folder}/.s.PGSQL.5432"):
            try:
                yield link
            finally:
                link.close()


async def end_connections(url: str) -> None:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND pid <> pg_backend_pid()"
        )


async def test_killed_process_is_waited_for_and_then_replaced(url: str) -> None:
    async with claimant(url) as killed, Claims(url, WantedShards(), QUICK) as standby:
        await says(killed, "serves")
        waiting = asyncio.create_task(standby.take())
        await says(killed, "acts")
        killed.kill()
        await killed.wait()
        at = time.monotonic()
        async with asyncio.timeout(PATIENCE):
            claim = await waiting
        assert time.monotonic() - at >= QUICK.own_for - QUICK.look_every
        assert QUICK.own_for <= claim.unserved_for <= time.monotonic() - at + QUICK.look_every
        await until(lambda: claim.gate.is_open)


async def test_process_that_waits_for_a_holder_to_come_back_looks_again_when_it_may_take_over(url: str) -> None:
    async with claimant(url) as killed:
        await says(killed, "serves")
        killed.kill()
        await killed.wait()
    seldom = Timing(own_for=1.0, open_for=3600.0, look_every=3600.0)
    async with Claims(url, WantedShards(), seldom) as standby, asyncio.timeout(PATIENCE):
        assert (await standby.take()).gate.is_open


@pytest.mark.usefixtures("answers_are_awaited")
async def test_released_shards_are_taken_without_waiting(
    postgresql_server: Server, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = Timing(own_for=3600.0, open_for=3600.0, look_every=3600.0)
    async with Claims(url, WantedShards(), QUICK) as first, Claims(url, WantedShards(), told) as second:
        claim = await first.take()
        waiting = asyncio.create_task(second.take())
        listening = "SELECT 1 FROM pg_stat_activity WHERE query LIKE 'LISTEN%'"
        await until(lambda: postgresql_server.execute(listening) != [])
        await until(lambda: claim.gate.is_open)
        disconnect = first._disconnect

        async def disconnect_late() -> None:
            async with asyncio.timeout(PATIENCE):
                taken = await waiting
            assert taken.gate.is_open
            assert taken.unserved_for == 0.0
            await disconnect()

        with monkeypatch.context() as patched:
            patched.setattr(first, "_disconnect", disconnect_late)
            await first.release()
        assert claim.gate.is_shut


@pytest.mark.usefixtures("answers_are_awaited")
async def test_process_that_is_told_to_end_while_it_takes_shards_releases_them(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Claims(url, WantedShards(), QUICK) as ending:
        take, taken = ending._take_free, asyncio.Event()

        async def take_and_hang(connection: Connection) -> Sequence[int]:
            await take(connection)
            taken.set()
            return await asyncio.Future()

        monkeypatch.setattr(ending, "_take_free", take_and_hang)
        waiting = asyncio.create_task(ending.take())
        await taken.wait()
        waiting.cancel()
        await asyncio.wait([waiting])
    async with Claims(url, WantedShards(), NEVER) as other, asyncio.timeout(PATIENCE):
        assert (await other.take()).gate.is_open


@pytest.mark.usefixtures("answers_are_awaited")
async def test_shards_that_were_taken_without_an_answer_are_taken_again_at_once(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Claims(url, WantedShards(), NEVER) as claims:
        take = claims._take_free

        async def take_and_fail(connection: Connection) -> Sequence[int]:
            await take(connection)
            monkeypatch.setattr(claims, "_take_free", take)
            raise psycopg.OperationalError("the connection was lost")

        monkeypatch.setattr(claims, "_take_free", take_and_fail)
        async with asyncio.timeout(PATIENCE):
            assert (await claims.take()).gate.is_open


@pytest.mark.parametrize("away", [0.0, 1.5 * QUICK.own_for])
async def test_restart_of_the_database_costs_nobody_a_shard(postgresql_server: Server, url: str, away: float) -> None:
    # The standby would take what is free for 3 s, which the holder has 12 tries a second at.
    patient = Timing(own_for=3.0, open_for=0.6, look_every=0.1)
    async with Claims(url, WantedShards(), QUICK) as holder, Claims(url, WantedShards(), patient) as standby:
        claim = await holder.take()
        waiting = asyncio.create_task(standby.take())
        await asyncio.to_thread(postgresql_server.stop)
        try:
            await asyncio.sleep(away)
            assert claim.gate.is_open == (away < QUICK.open_for)
        finally:
            await asyncio.to_thread(postgresql_server.start)
        await until(lambda: claim.gate.is_open)
        await asyncio.sleep(patient.own_for)
        assert claim.gate.is_open
        assert not waiting.done()
        waiting.cancel()


async def test_bug_while_shards_are_held_ends_nothing(
    url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with Claims(url, WantedShards(), QUICK) as holder:
        claim = await holder.take()

        async def fail(*_: object) -> None:
            raise ValueError("a bug")

        with monkeypatch.context() as patched:
            patched.setattr(holder, "_look_after", fail)
            await until(lambda: "cannot hold the shards because of a bug" in caplog.text)
        await asyncio.sleep(QUICK.open_for)
        await until(lambda: claim.gate.is_open)


async def test_frozen_process_keeps_its_shards_until_its_connection_ends_and_does_no_harm_then(
    url: str,
) -> None:
    async with AsyncExitStack() as stack:
        frozen = await stack.enter_async_context(claimant(url))
        acted = [await says(frozen, "acts")]
        standby = await stack.enter_async_context(claimant(url))
        frozen.send_signal(signal.SIGSTOP)
        assert standby.stdout is not None
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(2 * QUICK.own_for):
                await standby.stdout.readline()
        await end_connections(url)
        began = _time(await says(standby, "acts"))
        frozen.send_signal(signal.SIGCONT)
        assert frozen.stdout is not None
        async with asyncio.timeout(FOR_A_PROCESS):
            acted += [line.decode() async for line in frozen.stdout if line.startswith(b"acts")]
        assert _time(acted[-1]) < began, "it did nothing after it had woken up"
        assert await frozen.wait() == 0


def _time(line: str) -> float:
    return float(line.rpartition(" ")[2])


async def test_takers_at_once_share_what_is_free(url: str) -> None:
    async with AsyncExitStack() as stack:
        takers = [await stack.enter_async_context(Claims(url, WantedShards(8, None, 3), QUICK)) for _ in range(4)]
        waiting = [asyncio.create_task(each.take()) for each in takers]
        await until(lambda: sum(each.done() for each in waiting) == 3)
        taken = [set(each.result().shards.ids) for each in waiting if each.done()]
        assert sorted(map(len, taken)) == [2, 3, 3]
        assert set.union(*taken) == set(range(8))
        for each in waiting:
            each.cancel()


async def test_shards_of_a_process_whose_locks_go_one_after_the_other_are_taken_together(url: str) -> None:
    """Who takes some of them takes no more later, and nobody would serve the rest."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as ending:
        await ending.execute(
            "INSERT INTO shards (count, shard, epoch, holder, released) SELECT 4, id, id, 'ending', true"
            " FROM generate_series(0, 3) AS id"
        )
        await ending.execute(f"SELECT pg_advisory_lock({_SHARD}, 2)".encode())
        async with Claims(url, WantedShards(4, None, 4), NEVER) as standby:
            waiting = asyncio.create_task(standby.take())
            looked = "SELECT 1 FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND datname = current_database()"

            async def stands_by() -> bool:
                return waiting.done() or bool(await (await ending.execute(looked)).fetchall())

            await until(stands_by)
            await ending.execute("SELECT pg_advisory_unlock_all()")
            async with asyncio.timeout(PATIENCE):
                assert (await waiting).shards.ids == [0, 1, 2, 3]


async def test_named_shards_are_waited_for_until_all_are_free(url: str) -> None:
    async with (
        Claims(url, WantedShards(8, (2, 3), 2), QUICK) as some,
        Claims(url, WantedShards(8, (0, 1, 2), 3), QUICK) as others,
        Claims(url, WantedShards(8, None, 4), QUICK) as any_four,
    ):
        assert (await some.take()).shards.ids == (2, 3)
        waiting = asyncio.create_task(others.take())
        assert (await any_four.take()).shards.ids == [0, 1, 4, 5]
        await any_four.release()
        assert not waiting.done()
        await some.release()
        async with asyncio.timeout(PATIENCE):
            assert (await waiting).shards.ids == (0, 1, 2)


async def test_another_number_of_shards_is_refused_while_others_run_and_waits_for_those_that_may_come_back(
    postgresql_server: Server, url: str
) -> None:
    async with claimant(url) as running, Claims(url, WantedShards(4, None, 2), QUICK) as other:
        await says(running, "serves")
        with pytest.raises(SettingsError, match=re.escape("SHARDS=2/4 does not go with the processes")):
            await other.take()
        running.kill()
        await running.wait()
        at = time.monotonic()
        locks = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory'"
        await until(lambda: postgresql_server.execute(locks) == [])
        async with asyncio.timeout(PATIENCE):
            assert (await other.take()).shards.ids == [0, 1]
        assert time.monotonic() - at >= QUICK.own_for


async def test_shards_of_which_one_was_taken_meanwhile_are_lost_and_the_rest_is_free_at_once(
    url: str,
) -> None:
    async with Claims(url, WantedShards(2, None, 2), QUICK) as first:
        claim = await first.take()
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
            await connection.execute("UPDATE shards SET holder = 'another', epoch = 100 WHERE shard = 0")
        await end_connections(url)
        await until(lambda: claim.gate.is_shut)
        async with Claims(url, WantedShards(2, (1,), 1), NEVER) as second, asyncio.timeout(PATIENCE):
            assert (await second.take()).shards.ids == (1,)


async def test_connection_whose_end_the_server_has_not_noticed_is_ended(postgresql_server: Server, url: str) -> None:
    folder = str(postgresql_server.folder)
    async with (
        severable(f"{folder}/.s.PGSQL.5432") as link,
        Claims(url.replace(folder, str(link.folder)), WantedShards(), QUICK) as holder,
    ):
        claim = await holder.take()
        link.sever()
        await until(lambda: not claim.gate.is_open)
        await until(lambda: claim.gate.is_open)

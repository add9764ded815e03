"""What goes wrong with a PostgreSQL server: each is one sentence, and nothing is done twice."""

from __future__ import annotations

import asyncio
import gc
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest

from bot.core.errors import StoreError
from bot.core.turns import Attempt, Prompt
from bot.store import Store
from bot.store.engine import Statement
from bot.store.postgresql import open_store
from tests.postgresql import Server
from tests.store.steps import HERE, begin, told
from tests.waiting import until

NOTE = "INSERT INTO notices (key, until) VALUES (:key, 1) RETURNING key"


@pytest.fixture
async def store(postgresql_url: str) -> AsyncIterator[Store]:
    async with open_store(postgresql_url, serving=True) as opened:
        yield opened


async def note(store: Store, key: str) -> list[str]:
    return [row["key"] for row in await store.engine.write(NOTE, key=key)]


async def notes(store: Store) -> list[str]:
    return [row["key"] for row in await store.engine.read("SELECT key FROM notices ORDER BY key")]


async def works(store: Store) -> bool:
    try:
        await store.engine.ping()
    except StoreError:
        return False
    return True


async def test_restart_between_two_calls_is_not_noticed(store: Store, postgresql_server: Server) -> None:
    await asyncio.gather(*(note(store, f"a{number}") for number in range(6)))
    await asyncio.gather(*(notes(store) for _ in range(6)))
    for how in (signal.SIGINT, signal.SIGQUIT):
        await asyncio.to_thread(postgresql_server.stop, how)
        await asyncio.to_thread(postgresql_server.start)
        await asyncio.gather(*(notes(store) for _ in range(3)))
        await asyncio.gather(*(note(store, f"{how.name}{number}") for number in range(3)))
    assert len(await notes(store)) == 12


async def test_server_that_is_gone_is_a_sentence_until_it_is_back(store: Store, postgresql_server: Server) -> None:
    await note(store, "before")
    await asyncio.to_thread(postgresql_server.stop)
    try:
        for work in (store.engine.ping(), notes(store), note(store, "meanwhile")):
            assert "does not accept connections: start the server" in await told(work)
    finally:
        await asyncio.to_thread(postgresql_server.start)
    await until(lambda: works(store))
    await note(store, "after")
    assert await notes(store) == ["after", "before"]


async def test_what_was_committed_at_a_kill_is_there_once(store: Store, postgresql_server: Server) -> None:
    """Each write that was answered is there; each that failed is there once or not at all."""
    made, failed, stop = set[int](), set[int](), False

    async def writes(first: int) -> None:
        position = first
        while not stop:
            position += 8
            try:
                await begin(store, position)
                made.add(position)
            except StoreError:
                failed.add(position)
                await asyncio.sleep(0.05)

    writers = [asyncio.create_task(writes(first)) for first in range(1, 9)]
    for _ in range(3):
        count = len(made)
        await until(lambda before=count: len(made) > before + 30)  # type: ignore[misc]
        await asyncio.to_thread(postgresql_server.stop, signal.SIGQUIT)
        await asyncio.to_thread(postgresql_server.start)
    await until(lambda: works(store))
    stop = True
    await asyncio.gather(*writers)
    rows = [row["position"] for row in await store.engine.read("SELECT position FROM turns")]
    assert len(rows) == len(set(rows))
    assert made <= set(rows) <= made | failed


class Proxy:
    """A connection's way to the server, on which it can be cut or stopped."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket
        self.cut_before: bytes | None = None
        """What, sent by the client, is not passed on any more, with the end of the connection."""
        self.cut_answer: bytes | None = None
        """What, answered by the server, is not passed on any more, with the end of the connection."""
        self.cuts = 0
        self.served = set[asyncio.Task[None]]()
        self.open = asyncio.Event()
        self.open.set()

    def accept(self, client: asyncio.StreamReader, answers: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(client, answers))
        self.served.add(task)
        task.add_done_callback(self.served.discard)

    async def _serve(self, client: asyncio.StreamReader, answers: asyncio.StreamWriter) -> None:
        server, requests = await asyncio.open_unix_connection(self._socket)
        ways = [
            asyncio.create_task(self._pass(client, requests, "cut_before")),
            asyncio.create_task(self._pass(server, answers, "cut_answer")),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.wait(ways)
            for writer in (requests, answers):
                writer.transport.abort()

    async def _pass(self, source: asyncio.StreamReader, to: asyncio.StreamWriter, fault: str) -> None:
        with suppress(ConnectionError):
            while data := await source.read(1 << 16):
                await self.open.wait()
                if (mark := getattr(self, fault)) is not None and mark in data:
                    setattr(self, fault, None)
                    self.cuts += 1
                    to.write(data[: data.index(mark)])
                    await to.drain()
                    # So that whoever has it reads it before the end.
                    await asyncio.sleep(0.05)
                    return
                to.write(data)
                await to.drain()


@pytest.fixture
async def proxy(postgresql_server: Server, tmp_path: Path) -> AsyncIterator[Proxy]:
    found = Proxy(postgresql_server.folder / ".s.PGSQL.5432")
    listening = await asyncio.start_unix_server(found.accept, postgresql_server.folder / ".s.PGSQL.6432")
    yield found
    listening.close()
    for task in found.served:
        task.cancel()
    if found.served:
        await asyncio.wait(found.served)


@pytest.fixture
async def distant(postgresql_url: str, proxy: Proxy) -> AsyncIterator[Store]:
    """A store whose way to the server is the proxy."""
    async with open_store(f"{postgresql_url}&port=6432", serving=True) as opened:
        yield opened


@pytest.mark.parametrize(
    ("side", "mark"),
    [
        # The message with which a transaction ends, behind that which has its answers sent, and what answers it.
        ("cut_before", b"S\x00\x00\x00\x04"),
        ("cut_answer", b"Z\x00\x00\x00\x05I"),
    ],
)
async def test_connection_lost_around_a_commit_is_not_noticed(
    distant: Store, proxy: Proxy, side: str, mark: bytes
) -> None:
    """Where it was made, its answers are known already; where it was not, it is made again."""
    await note(distant, "before")  # opens the connection, which ends like this too
    setattr(proxy, side, mark)
    attempt = await begin(distant, 1)
    assert proxy.cuts == 1
    [turn] = [turn async for turn in _turns(distant)]
    assert turn == attempt.turn_id
    setattr(proxy, side, mark)
    assert await note(distant, "a") == ["a"]
    assert proxy.cuts == 2
    assert sorted(await notes(distant)) == ["a", "before"]


async def _turns(store: Store) -> AsyncIterator[int]:
    for row in await store.engine.read("SELECT id FROM turns"):
        yield row["id"]


async def test_answers_of_a_transaction_are_known_before_it_is_committed(
    distant: Store, proxy: Proxy, postgresql_server: Server
) -> None:
    """Whoever loses the connection while the commit waits for a standby finds the answers when it was made."""
    await note(distant, "before")
    held = "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
    _settings(postgresql_server, "SET synchronous_standby_names = 'nobody'")
    try:
        writing = asyncio.create_task(note(distant, "a"))
        await until(lambda: bool(postgresql_server.execute(held)))
        # The answers have left the server, and are still to be passed on and read.
        for _ in range(10):
            await asyncio.sleep(0.01)
        for connection in proxy.served:
            connection.cancel()
    finally:
        _settings(postgresql_server, "RESET synchronous_standby_names")
    assert await writing == ["a"]
    assert sorted(await notes(distant)) == ["a", "before"]


def _settings(server: Server, change: str) -> None:
    server.execute(f"ALTER SYSTEM {change}")
    server.execute("SELECT pg_reload_conf()")


async def test_commit_without_any_answer_is_not_made_again(distant: Store, proxy: Proxy) -> None:
    # The first byte of the answers to a transaction: that to the parsing of its first statement.
    proxy.cut_answer = b"1\x00\x00\x00\x04"
    assert "during a write, which may or may not have been made" in await told(note(distant, "a"))
    assert await notes(distant) == ["a"]
    # Whoever asks again finds what is there.
    proxy.cut_answer = b"1\x00\x00\x00\x04"
    prompt = Prompt(HERE, 1, "Why?", message_id=1)
    assert "may or may not" in await told(distant.turns.begin(prompt))
    assert await distant.turns.begin(prompt) is None
    assert await distant.turns.count(HERE) == 1


async def test_read_is_asked_again_where_its_connection_is_lost(distant: Store, proxy: Proxy) -> None:
    await note(distant, "a")
    proxy.cut_answer = b"T\x00"
    assert await notes(distant) == ["a"]
    assert proxy.cuts == 1


async def test_server_that_does_not_answer_is_given_up(
    postgresql_url: str, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.store.postgresql.engine.SERVING_S", 0.3)
    monkeypatch.setattr("bot.store.postgresql.engine._HANGS_S", 0.1)
    async with open_store(f"{postgresql_url}&port=6432", serving=True) as store:
        await note(store, "before")
        proxy.open.clear()
        assert "does not answer: look at its server" in await told(note(store, "meanwhile"))
        assert "does not answer: look at its server" in await told(notes(store))
        proxy.open.set()
        await until(lambda: works(store))
        await note(store, "after")
        assert {"before", "after"} <= set(await notes(store))


async def test_process_that_was_frozen_reads_the_answer_that_came_meanwhile(
    postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.store.postgresql.engine.SERVING_S", 1.0)
    monkeypatch.setattr("bot.store.postgresql.engine._HANGS_S", 0.1)
    async with open_store(postgresql_url, serving=True) as store:
        await note(store, "before")
        with psycopg.connect(postgresql_url) as other:
            other.execute("LOCK TABLE notices IN SHARE ROW EXCLUSIVE MODE")
            writing = asyncio.create_task(note(store, "meanwhile"))
            await asyncio.sleep(0.1)
            other.rollback()
            time.sleep(3)  # as a process that is frozen
        assert await writing == ["meanwhile"]


async def test_write_that_fails_after_its_caller_was_cancelled_is_no_bug(
    postgresql_url: str, proxy: Proxy, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_store(f"{postgresql_url}&port=6432", serving=True) as store:
        await note(store, "before")
        proxy.open.clear()
        writing = asyncio.create_task(note(store, "before"))
        await asyncio.sleep(0.1)
        writing.cancel()
        with suppress(asyncio.CancelledError):
            await writing
        proxy.open.set()
    gc.collect()
    assert not caplog.records


async def test_whoever_gives_up_waiting_for_a_server_goes_on_at_once(distant: Store, proxy: Proxy) -> None:
    await distant.engine.ping()
    proxy.open.clear()
    asking = asyncio.create_task(distant.engine.ping())
    await asyncio.sleep(0.1)
    asking.cancel()
    # The driver itself gives the server 10 seconds.
    assert asking in (await asyncio.wait([asking], timeout=3))[0]
    proxy.open.set()


async def test_lock_of_another_program_is_waited_for_briefly(
    postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.store.postgresql.connection.LOCK_S", 0.2)
    async with (
        open_store(postgresql_url, serving=True) as store,
        await psycopg.AsyncConnection.connect(postgresql_url) as other,
    ):
        await note(store, "before")
        await other.execute("LOCK TABLE notices IN SHARE ROW EXCLUSIVE MODE")
        assert "did not answer in time" in await told(note(store, "meanwhile"))
        assert await notes(store) == ["before"], "reading does not wait"
        await other.rollback()
        await note(store, "after")
        assert await notes(store) == ["after", "before"]


async def test_full_disk_is_a_sentence(store: Store, postgresql_server: Server, name: str) -> None:
    postgresql_server.execute(
        """
        CREATE FUNCTION fill() RETURNS TRIGGER LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION 'could not extend file "base/1/2": No space left on device' USING ERRCODE = 'disk_full';
        END $$;
        CREATE TRIGGER full_disk BEFORE INSERT ON notices EXECUTE FUNCTION fill();
        """,
        name,
    )
    assert "no space left on its server's disk" in await told(note(store, "a"))
    postgresql_server.execute("DROP TRIGGER full_disk ON notices", name)
    assert await note(store, "a") == ["a"]


async def test_standby_is_a_sentence_and_the_next_server_is_found(
    store: Store, postgresql_server: Server, name: str
) -> None:
    await note(store, "a")
    # Waits until they have ended.
    end = f"SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = '{name}'"
    postgresql_server.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    postgresql_server.execute(f"{end} AND pid <> pg_backend_pid()")
    assert "takes no writes, as a standby does not" in await told(note(store, "b"))
    assert "takes no writes" in await told(store.engine.ping())
    postgresql_server.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")
    await until(lambda: works(store))
    await note(store, "c")
    assert await notes(store) == ["a", "c"]


async def test_deadlock_is_tried_again(store: Store) -> None:
    for key in ("a", "b"):
        await note(store, key)
    waits = "UPDATE notices SET until = until + 1 WHERE key = :key"
    sleep: Statement = ("SELECT 1 FROM (SELECT pg_sleep(0.3)) AS slept", {})
    orders: list[tuple[str, str]] = [("a", "b"), ("b", "a")]
    await asyncio.gather(
        *(store.engine.transaction((waits, {"key": one}), sleep, (waits, {"key": other})) for one, other in orders)
    )
    assert [row["until"] for row in await store.engine.read("SELECT until FROM notices")] == [3, 3]


async def test_forgetting_beside_a_purge_is_never_undone(store: Store) -> None:
    """The record of what is forgotten goes only with what it names."""
    gone: Callable[[], Awaitable[object]] = store.engine.erase_deleted
    for position in range(1, 41):
        prompt = Prompt(HERE, position, "Why?", user_id=7, message_id=position)
        assert isinstance(await store.turns.begin(prompt), Attempt)
        await asyncio.gather(store.people.forget(7), gone(), gone())
        assert await store.turns.count(HERE) == 0
    await gone()
    assert await store.engine.read("SELECT 1 FROM forgotten_users UNION ALL SELECT 1 FROM stored_turns") == []

"""When what was deleted leaves the file's bytes: late enough to harm nobody, and never not at all."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from bot.discord_bot.health import HealthChecks
from bot.operator.health import publish_health, read_health
from bot.store import Store
from bot.store.sqlite import open_store
from bot.store.sqlite.engine import SQLiteEngine
from tests.places import on_discord
from tests.store.steps import HERE, Hold, answer, begin, eraser_of, files, rows, said, set_clocks, trace
from tests.waiting import PATIENCE, until


class Ticking:
    """Seconds on a clock that stands, but for what a VACUUM takes."""

    def __init__(self, vacuum: float) -> None:
        self.now = 1e9
        self._vacuum = vacuum
        self.done: list[str] = []

    def __call__(self) -> float:
        return self.now

    def began(self, sql: str) -> None:
        self.done.append(sql)
        if sql == "VACUUM":
            self.now += self._vacuum


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let it look whether a wipe is due every few milliseconds, and take each file for a large one."""
    monkeypatch.setattr("bot.store.sqlite.erasing._EVERY_S", 0.01)
    monkeypatch.setattr("bot.store.sqlite.erasing._SMALL", 0)


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """All that is done by any connection, from the first statement on."""
    done: list[str] = []
    connect = sqlite3.connect

    def traced(*args: Any, **more: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(*args, **more)
        connection.set_trace_callback(done.append)
        return connection

    monkeypatch.setattr("bot.store.sqlite.connection.sqlite3.connect", traced)
    return done


async def looked(done: list[str]) -> None:
    """Return when it was looked from now on whether a wipe is due, and done what is done then."""
    seen = len(done)
    await until(lambda: sum("max(id)" in sql for sql in done[seen:]) > 1)


def secret(path: Path) -> bool:
    return any(b"SECRET" in content for content in files(path).values())


async def test_start_and_stop_skip_the_wipe(path: Path, monkeypatch: pytest.MonkeyPatch, statements: list[str]) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("bot.store.sqlite.erasing._EVERY_S", 60)
        async with open_store(path, exclusive=False) as store:
            await answer(store, 1, "SECRET")
            await store.retention.forget_conversation(HERE)
        async with open_store(path, exclusive=True) as store:
            await answer(store, 2, "served")
    assert "VACUUM" not in statements
    assert rows(path, "SELECT count(*) FROM pending_erasures") == [(1,)]
    async with open_store(path, exclusive=True) as store:
        await until(lambda: rows(path, "SELECT count(*) FROM pending_erasures"), [(0,)])
        assert said(await store.turns.history(HERE, 9)) == [(2, "served")]
        assert not secret(path)
    assert statements.count("VACUUM") == 1


async def test_quick_restarts_share_one_wipe(path: Path, statements: list[str]) -> None:
    for position in range(5):
        async with open_store(path, exclusive=True) as store:
            await answer(store, position, "SECRET")
            await store.retention.forget_conversation(HERE)
            await looked(statements)
    assert statements.count("VACUUM") == 1


@pytest.mark.parametrize(("takes", "pause"), [(40, 800), (1, 600)])
async def test_wiping_takes_a_twentieth_of_the_time(
    database: SQLiteEngine, store: Store, path: Path, takes: int, pause: int
) -> None:
    clock = Ticking(takes)
    set_clocks(database, clock)
    await trace(database, clock.began)
    await answer(store, 1, "SECRET")
    await store.retention.forget_conversation(HERE)
    await until(lambda: rows(path, "SELECT count(*) FROM pending_erasures"), [(0,)])
    ended = clock.now
    for position in range(2, 12):
        await answer(store, position, "SECRET", on_discord(position))
        await store.retention.forget_conversation(on_discord(position))
    clock.now = ended + pause - 1
    await looked(clock.done)
    assert clock.done.count("VACUUM") == 1
    assert not secret(path), "but for copies that were left in the gaps of pages"
    clock.now = ended + pause
    await until(lambda: rows(path, "SELECT count(*) FROM pending_erasures"), [(0,)])
    await looked(clock.done)
    assert clock.done.count("VACUUM") == 2, "the ten of them share one"


async def health_says(path: Path, line: str) -> bool:
    return line in (await read_health(path)).text.splitlines()


async def test_database_is_readable_during_a_wipe(
    database: SQLiteEngine, store: Store, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.operator.health.DATABASE_TIMEOUT", 0.5)
    monkeypatch.setattr("bot.operator.health.INTERVAL", 0.01)
    kept = await answer(store, 1, "kept", on_discord(2))
    await answer(store, 2, "SECRET")
    async with (
        Hold(database) as held,
        publish_health(path, HealthChecks(lambda: None, lambda: 0.0, store.engine.ping, lambda: None)),
    ):
        await store.retention.forget_conversation(HERE)
        await until(held.begun.is_set)
        async with asyncio.timeout(PATIENCE):
            await store.engine.ping()
            await until(lambda: health_says(path, "Database: answers."))
            assert await store.turns.of_message(5) is None
            assert said(await store.turns.history(on_discord(2), 9)) == [(1, "kept")]
        writing = asyncio.create_task(begin(store, 3))
        eraser = eraser_of(database)
        now = eraser._monotonic()
        eraser._monotonic = lambda: now + 61
        await until(lambda: health_says(path, "Database: no answer within 0.5 s."))
        held.release()
        assert (await writing).turn_id > kept.turn_id
        await store.engine.ping()


async def test_stop_abandons_the_running_wipe(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with SQLiteEngine.open(path, exclusive=True) as database:
        store = Store(database)
        await answer(store, 1, "SECRET")
        held, eraser = Hold(database), eraser_of(database)
        interrupt = eraser._interrupt

        async def interrupted() -> None:
            await interrupt()
            held.release()

        eraser._interrupt = interrupted
        await held.__aenter__()
        await store.retention.forget_conversation(HERE)
        await until(held.begun.is_set)
    assert held.count == 1
    assert rows(path, "SELECT count(*) FROM pending_erasures") == [(1,)], "it was not done, and the next start knows"
    assert "see to its disk" not in caplog.text


async def test_running_bot_owns_the_wipe(database: SQLiteEngine, path: Path) -> None:
    """Another process's VACUUM would let the bot's writes fail."""
    async with SQLiteEngine.open(path, exclusive=False) as other, Hold(database) as held:
        done: list[str] = []
        await trace(other, done.append)
        await answer(Store(other), 1, "SECRET")
        await Store(other).retention.forget_conversation(HERE)
        assert not await other.erase_deleted()
        await until(held.begun.is_set)
        held.release()
        await until(lambda: rows(path, "SELECT count(*) FROM pending_erasures"), [(0,)])
        assert await other.erase_deleted()
    assert "VACUUM" not in done
    assert not secret(path)

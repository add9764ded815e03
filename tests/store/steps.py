"""What the tests of the store do and look at."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import psycopg
import pytest

from bot.core.errors import StoreError, StoreUnusable
from bot.core.turns import Attempt, Conversation, Outcome, Prompt, Turn, TurnState
from bot.store import Store
from bot.store.databases import Database, DatabaseServer
from bot.store.engine import Engine
from bot.store.part import Part
from bot.store.sqlite import open_store
from bot.store.sqlite.engine import SQLiteEngine
from bot.store.timed import TimedEngine
from tests import forkserver
from tests.places import on_discord

ROOT = Path(__file__).parents[2]
HERE = on_discord(1)


class Clock:
    """Seconds since the epoch, as a test sets them."""

    now = 1000.9

    def __call__(self) -> float:
        return self.now


posix_only = pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions and limits")


async def begin(store: Store, position: int, text: str = "Why?", conversation: Conversation = HERE) -> Attempt:
    message_id = position if conversation.platform == "discord" else None
    attempt = await store.turns.begin(Prompt(conversation, position, text, message_id=message_id))
    assert isinstance(attempt, Attempt)
    return attempt


async def answer(store: Store, position: int, reply: str, conversation: Conversation = HERE) -> Attempt:
    attempt = await begin(store, position, conversation=conversation)
    assert await store.turns.close(attempt, Outcome(TurnState.COMPLETE, reply))
    return attempt


# What only these look at from outside: a store's database, and the database's connection and lock for writing.


def database_of(store: Store) -> SQLiteEngine:
    assert isinstance(store.engine, SQLiteEngine)
    return store.engine


async def trace(database: Engine, told: Callable[[str], object]) -> None:
    """Have each statement that the database's writer begins told of from now on, on the writer's own thread."""
    engine = database._engine if isinstance(database, TimedEngine) else database
    assert isinstance(engine, SQLiteEngine)
    await engine._writer.set_trace_callback(told)


@asynccontextmanager
async def read_only(store: Store) -> AsyncIterator[None]:
    """Let every write fail."""
    writer = database_of(store)._writer
    await writer.execute("PRAGMA query_only = ON")
    try:
        yield
    finally:
        await writer.execute("PRAGMA query_only = OFF")


@asynccontextmanager
async def failing(engine: Engine, when: str, condition: str = "true") -> AsyncIterator[None]:
    """Let each change of a kind (such as `BEFORE INSERT ON notes`) fail that meets a condition, on either engine."""
    if isinstance(engine, SQLiteEngine):
        await engine.write(f"CREATE TRIGGER fails {when} WHEN {condition} BEGIN SELECT RAISE(ABORT, 'it fails'); END")
    else:
        await engine.write(
            "CREATE FUNCTION fail() RETURNS TRIGGER LANGUAGE plpgsql AS $$ BEGIN RAISE 'it fails'; END $$"
        )
        await engine.write(f"CREATE TRIGGER fails {when} FOR EACH ROW WHEN ({condition}) EXECUTE FUNCTION fail()")
    yield
    on = "" if isinstance(engine, SQLiteEngine) else f"ON {when.split()[-1]}"
    await engine.write(f"DROP TRIGGER fails {on}")


@asynccontextmanager
async def disk_full(database: SQLiteEngine, pages_left: int = 0) -> AsyncIterator[None]:
    """Let every write fail that needs more pages than these."""
    [[pages]] = await database.write("PRAGMA page_count")
    await database.write(f"PRAGMA max_page_count = {pages + pages_left}")
    try:
        yield
    finally:
        await database.write("PRAGMA max_page_count = 1000000")


@asynccontextmanager
async def slow_disk(store: Store) -> AsyncIterator[Callable[[str], bool]]:
    """Let no write begin until the end of the block, which may ask whether one with this SQL waits by now."""
    database = database_of(store)
    async with database._write_lock:
        yield lambda sql: any(sql in each for write in database._waiting for each, _ in write.statements)


def set_clock(store: Store, clock: Callable[[], float]) -> None:
    """Give every part of a store another clock."""
    for part in vars(store).values():
        if isinstance(part, Part):
            part._clock = clock


def rows(path: Database, *statements: str) -> list[tuple[Any, ...]]:
    """The rows of the last of these statements."""
    if isinstance(path, DatabaseServer):
        with psycopg.connect(path.url) as server:
            return [server.execute(sql.encode()).fetchall() for sql in statements][-1]
    with closing(sqlite3.connect(path)) as connection, connection:
        return [connection.execute(sql).fetchall() for sql in statements][-1]


def assert_it_adds_up(path: Database) -> None:
    """The sums are those of the ledger, for everybody, for each server and for each person."""
    of_day = "sum(quota_tokens), sum(coalesce(cost, 0)) FROM charges"
    sums = f"SELECT day, 'total', 0, {of_day} GROUP BY day"
    for scope, column in (("user", "user_id"), ("guild", "guild_id")):
        sums += f" UNION SELECT day, '{scope}', {column}, {of_day} WHERE {column} IS NOT NULL GROUP BY day, {column}"
    used = "tokens <> 0 OR cost <> 0"
    summed = rows(path, f"WITH sums (day, scope, id, tokens, cost) AS ({sums}) SELECT * FROM sums WHERE {used}")
    assert sorted(summed) == sorted(rows(path, f"SELECT day, scope, id, tokens, cost FROM daily_usage WHERE {used}"))


def files(path: Path) -> dict[str, bytes]:
    """Everything that lies beside a database, and itself."""
    return {file.name: file.read_bytes() for file in path.parent.iterdir()}


def write(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def said(turns: Sequence[Turn]) -> list[tuple[int, str]]:
    return [(turn.position, turn.reply) for turn in turns]


async def context_of(
    store: Store, attempt: Attempt, before: int | None = None, limit: int = 9
) -> list[tuple[int | None, str]]:
    """The numbers and the replies of the turns in the context of an attempt, those that are running first."""
    page = await store.windows.earlier(attempt.turn_id, before, limit)
    return [(turn.number, turn.reply) for turn in (*page.running, *page.turns)]


async def child(script: str, *arguments: object, **environ: object) -> asyncio.subprocess.Process:
    return await forkserver.start(
        "-c",
        script,
        *map(str, arguments),
        cwd=ROOT,
        env=os.environ | {name: str(value) for name, value in environ.items()},
        stdout=asyncio.subprocess.PIPE,
    )


async def refusal(path: Path) -> str:
    """What an opening says that fails; it leaves no thread behind, which would keep the process alive."""
    threads = set(threading.enumerate())
    with pytest.raises(StoreUnusable) as caught:
        async with open_store(path, exclusive=False):
            pass
    for thread in set(threading.enumerate()) - threads:
        thread.join(1)
        assert not thread.is_alive()
    sentence = str(caught.value)
    assert str(path) in sentence
    assert sentence.count(". ") == 0
    assert sentence.endswith(".")
    return sentence


async def contents(store: Store) -> list[tuple[object, ...]]:
    """All rows of all tables."""
    tables = await store.engine.read("SELECT name FROM sqlite_schema WHERE type = 'table'")
    return [tuple(row) for [name] in tables for row in await store.engine.read(f"SELECT * FROM {name}")]


async def told(work: Awaitable[object]) -> str:
    """The sentence of the error that something ends in."""
    with pytest.raises(StoreError) as caught:
        await work
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert sentence.endswith(".")
    return sentence

"""The database file: opened, made ready, and asked one statement at a time.

Every write is a single statement and so a transaction of its own: a caller that is cancelled leaves it whole or undone,
and no other task's rollback can reach it. Reading has its own connection, and never waits for a commit.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import re
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Self, TypeAlias

import aiosqlite

from bot.errors import StoreError, StoreUnusable
from bot.store.advice import advice, result_code
from bot.store.lock import sole_use
from bot.store.schema import migrate, recognise

MEMORY = ":memory:"
"""A path that keeps everything in memory, gone when the store is closed."""

_OLDEST_SQLITE = (3, 37)
"""STRICT tables."""
_BUSY_S = 5.0
"""How long a write waits for another process's write."""
_EMPTY_LOG = f"""
    PRAGMA busy_timeout = 250;
    PRAGMA wal_checkpoint(TRUNCATE);
    PRAGMA busy_timeout = {round(_BUSY_S * 1000)};
    """
"""The wait is for readers, and shorter than others' waits for us, since the write lock is held meanwhile."""

_SURROGATE = re.compile("[\ud800-\udfff]")

_log = logging.getLogger(__name__)

Value: TypeAlias = str | int | float | None
Values: TypeAlias = Mapping[str, Value] | Sequence[Value]
Run: TypeAlias = Callable[[str, Values], Awaitable[list[sqlite3.Row]]]


class Database:
    """The connections to one database. Made by `open`."""

    def __init__(self, file: Path | None, writer: aiosqlite.Connection, reader: aiosqlite.Connection) -> None:
        self._file = file
        self._writer = writer
        self._reader = reader
        self._write_lock = asyncio.Lock()

    @classmethod
    @asynccontextmanager
    async def open(cls, path: str | Path, *, exclusive: bool) -> AsyncIterator[Self]:
        """Open the database at `path` (or `MEMORY`), made with its folder where missing, its schema brought up to date.

        `exclusive` refuses a second opener that asks for it too, until this process has ended, however it ends.
        Raises `StoreUnusable`.
        """
        file = None if path == MEMORY else _real(path)
        async with AsyncExitStack() as stack:
            try:
                writer, reader = await _connect(stack, file, exclusive)
            except (OSError, sqlite3.Error) as error:
                raise StoreUnusable(advice(error, file)) from error
            database = cls(file, writer, reader)
            try:
                yield database
            finally:
                await database.empty_log()

    async def read(self, sql: str, **values: Value) -> list[sqlite3.Row]:
        """The rows of a query. Raises `StoreError`, as the others do."""
        return await self._run(self._reader, sql, values)

    async def write(self, sql: str, **values: Value) -> list[sqlite3.Row]:
        """Run and commit one statement; the answer is the rows it returns."""
        async with self.writing() as run:
            return await run(sql, values)

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[Run]:
        """What runs a statement, for several that no other write may come between; each commits by itself."""
        async with self._write_lock:
            yield partial(self._run, self._writer)

    async def rewrite(self) -> None:
        """Write the whole file anew. Costs about 7 ms for each megabyte.

        secure_delete wipes the deleted rows, but not the copies that rows leave behind in a page when its neighbours
        grow and it is laid out anew.
        """
        await self._housekeep("VACUUM")

    async def empty_log(self) -> None:
        """Move the write-ahead log, which holds what was deleted, into the database and cut it to nothing."""
        await self._housekeep(_EMPTY_LOG)

    async def _run(self, connection: aiosqlite.Connection, sql: str, values: Values) -> list[sqlite3.Row]:
        """One statement to its end, in one step of the connection's thread."""
        bound = (
            {name: _storable(value) for name, value in values.items()}
            if isinstance(values, Mapping)
            else [_storable(value) for value in values]
        )
        try:
            return list(await connection.execute_fetchall(sql, bound))
        except sqlite3.Error as error:
            damaged = result_code(error) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
            raise (StoreUnusable if damaged else StoreError)(advice(error, self._file)) from error

    async def _housekeep(self, script: str) -> None:
        """Work on the file that changes no content. What hinders it is left to the next time."""
        try:
            await self._writer.executescript(script)
        except sqlite3.Error as error:
            _log.warning("What was forgotten may still be in the file's bytes: %s", advice(error, self._file))


async def _connect(
    stack: AsyncExitStack, file: Path | None, exclusive: bool
) -> tuple[aiosqlite.Connection, aiosqlite.Connection]:
    """The connections to write and to read with. Raises OSError, sqlite3.Error and StoreUnusable."""
    if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
        oldest = ".".join(map(str, _OLDEST_SQLITE))
        raise StoreUnusable(
            f"This Python comes with SQLite {sqlite3.sqlite_version}, and {oldest} is needed: use a newer Python."
        )
    if file is None:
        writer = await _connection(stack, MEMORY)
        await migrate(writer)
        await writer.execute("PRAGMA foreign_keys = ON")
        return writer, writer

    _create(file)
    if exclusive:
        stack.enter_context(sole_use(file))
    writer = await _connection(stack, str(file))
    await recognise(writer, file)
    if not await _switch_to_wal(writer):
        raise StoreUnusable(
            f"The database {file} is on a file system that SQLite cannot share: set DATABASE_PATH to a local disk."
        )
    await migrate(writer)
    await writer.executescript("PRAGMA synchronous = FULL; PRAGMA secure_delete = ON; PRAGMA foreign_keys = ON;")
    # SQLite opens a file that may only be read without a word; this fails then, and writes nothing otherwise.
    await writer.execute("DELETE FROM turns WHERE false")
    reader = await _connection(stack, str(file))
    await reader.execute("PRAGMA query_only = ON")
    return writer, reader


async def _connection(stack: AsyncExitStack, path: str) -> aiosqlite.Connection:
    # isolation_level=None: no transaction is opened behind our back, a statement commits itself.
    connection = await stack.enter_async_context(aiosqlite.connect(path, isolation_level=None, timeout=_BUSY_S))
    connection.row_factory = sqlite3.Row
    return connection


def _real(path: str | Path) -> Path:
    """The file itself, so that two links to it share one lock."""
    return Path(os.path.realpath(path))


def _create(file: Path) -> None:
    """Make a missing file, readable to its owner alone; SQLite gives its -wal and -shm the same mode.

    One that exists is left unopened: closing it would drop the locks of this process's other connections to it.
    """
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if file.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), file)
    try:
        os.close(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError:
        return


async def _switch_to_wal(connection: aiosqlite.Connection) -> bool:
    """Whether the file system allows it. Unlike other statements this one does not itself wait for another opener's."""
    deadline = time.monotonic() + _BUSY_S
    while True:
        try:
            [[mode]] = await connection.execute_fetchall("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if result_code(error) != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.05)
        else:
            return bool(mode == "wal")


def _storable(value: Value) -> Value:
    """A lone surrogate, which no UTF-8 can hold, becomes U+FFFD: one code point for one, so that offsets stay true."""
    return _SURROGATE.sub("\ufffd", value) if isinstance(value, str) else value

"""One connection to a database file: made ready for it, and asked on a thread of its own."""

from __future__ import annotations

import asyncio
import errno
import os
import sqlite3
import time
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from functools import partial
from pathlib import Path
from typing import TypeVar

import aiosqlite

from bot.core.errors import StoreError, StoreUnusable
from bot.store.sqlite.error_messages import result_code
from bot.store.sqlite.lock import exclusive_lock
from bot.store.sqlite.schema import migrate, verify_ownership

MEMORY = ":memory:"
"""A path that keeps everything in memory, gone when the store is closed."""
BEGIN_TO_WRITE = "DELETE FROM turns WHERE false"
"""Takes the lock that writing takes, and writes nothing."""
BUSY_S = 5.0
"""How long a write waits for another process's write."""

_OLDEST_SQLITE = (3, 37)
"""STRICT tables."""
_T = TypeVar("_T")


class Connection(aiosqlite.Connection):
    """A connection with a thread of its own. A statement outside of a transaction commits itself."""

    def __init__(self, path: str) -> None:
        super().__init__(partial(sqlite3.connect, path, isolation_level=None, timeout=BUSY_S), iter_chunk_size=64)

    async def do(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        """Have the connection's thread do several things in one step: every step costs two switches between threads.

        Raises what `work` does, and StoreError after the connection was closed: the bot is ending.
        """
        if not self._running or self._connection is None:
            raise StoreError("The database is closed.")
        # What aiosqlite's own methods are made of, and has no types.
        return await self._execute(work, self._conn)  # type: ignore[no-any-return, no-untyped-call]


async def connect(stack: AsyncExitStack, file: Path | None, exclusive: bool) -> tuple[Connection, Connection]:
    """The connections to write and to read with, to the file or to memory, until the end of the stack.

    Raises OSError, sqlite3.Error and StoreUnusable.
    """
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
        stack.enter_context(exclusive_lock(file))
    writer = await _connection(stack, str(file))
    await verify_ownership(writer, file)
    _hide(file)
    if not await _switch_to_wal(writer):
        raise StoreUnusable(
            f"The database {file} is on a file system that SQLite cannot share: set DATABASE_PATH to a local disk."
        )
    await migrate(writer)
    await writer.executescript("PRAGMA synchronous = FULL; PRAGMA secure_delete = ON; PRAGMA foreign_keys = ON;")
    # SQLite opens a file that may only be read without a word; this fails then, and writes nothing otherwise.
    await writer.execute(BEGIN_TO_WRITE)
    reader = await _connection(stack, str(file))
    await reader.execute("PRAGMA query_only = ON")
    return writer, reader


async def _connection(stack: AsyncExitStack, path: str) -> Connection:
    connection = Connection(path)
    await stack.enter_async_context(connection)
    connection.row_factory = sqlite3.Row
    return connection


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


def _hide(file: Path) -> None:
    """Take the rights of others from a database made otherwise, and from what lies beside it, if that is ours to do."""
    for suffix in ("", "-wal", "-shm", ".lock"):
        with suppress(OSError):
            each = file.with_name(file.name + suffix)
            each.chmod(each.stat().st_mode & 0o700)


async def _switch_to_wal(connection: aiosqlite.Connection) -> bool:
    """Whether the file system allows it. Unlike other statements this one does not itself wait for another opener's."""
    deadline = time.monotonic() + BUSY_S
    while True:
        try:
            [[mode]] = await connection.execute_fetchall("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if result_code(error) != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.05)
        else:
            return bool(mode == "wal")

"""Connections to a SQLite database, each with a thread of its own."""

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
from bot.store.sqlite.own_file import BESIDE
from bot.store.sqlite.schema import migrate, verify_ownership

MEMORY = ":memory:"
"""The path of a database in memory, which is gone when the store is closed."""
BEGIN_TO_WRITE = "DELETE FROM stored_turns WHERE false"
"""Takes the write lock and writes nothing."""
BUSY_S = 5.0
"""Seconds that a write waits for the write of another process."""

_OLDEST_SQLITE = (3, 37)
"""The first version with STRICT tables: https://www.sqlite.org/stricttables.html"""
_T = TypeVar("_T")


class Connection(aiosqlite.Connection):
    """A connection with a thread of its own. A statement outside of a transaction commits itself."""

    def __init__(self, path: str) -> None:
        super().__init__(partial(sqlite3.connect, path, isolation_level=None, timeout=BUSY_S), iter_chunk_size=64)

    async def do(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        """Run `work` on the connection's thread.

        Several statements in one call are faster than several calls, since each call costs two thread switches.
        Raises what `work` raises, and StoreError after the connection was closed.
        """
        if not self._running or self._connection is None:
            raise StoreError("The database is closed.")
        # aiosqlite's own methods are built on this private method, which has no types.
        return await self._execute(work, self._conn)  # type: ignore[no-any-return, no-untyped-call]


async def connect(stack: AsyncExitStack, file: Path | None, exclusive: bool) -> tuple[Connection, Connection]:
    """A connection for writes and one for reads, to the file or to memory, closed with the stack.

    Raises OSError, sqlite3.Error and StoreUnusable.
    """
    if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
        oldest = ".".join(map(str, _OLDEST_SQLITE))
        raise StoreUnusable(
            f"This Python comes with SQLite {sqlite3.sqlite_version}, and {oldest} is needed: use a newer Python."
        )
    if file is None:
        writer = await _connection(stack, MEMORY)
        await migrate(writer, None)
        await writer.execute("PRAGMA foreign_keys = ON")
        return writer, writer

    _create(file)
    if exclusive:
        stack.enter_context(exclusive_lock(file))
    writer = await _connection(stack, str(file))
    await verify_ownership(writer, file)
    _hide(file)
    # What the schema counts on (0010_forgetting.sql), and the default of most builds. The first write settles it.
    await writer.execute("PRAGMA page_size = 4096")
    if not await _switch_to_wal(writer):
        raise StoreUnusable(
            f"The database {file} is on a file system that SQLite cannot share: use a file on a local disk, such as"
            " ~/parley.db."
        )
    # Before a migration, which rewrites tables with text.
    await writer.execute("PRAGMA secure_delete = ON")
    await migrate(writer, file)
    await writer.executescript("PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;")
    # SQLite opens a read-only file without an error; this statement fails on one.
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
    """Create a missing file that only its owner can read; SQLite gives its -wal and -shm files the same mode.

    An existing file is not opened: closing it would drop the POSIX locks of this process's other connections
    (https://www.sqlite.org/howtocorrupt.html, section 2.2).
    """
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if file.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), file)
    try:
        os.close(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError:
        return


def _hide(file: Path) -> None:
    """Remove the rights of other users from the database and the files beside it, where this user may."""
    for suffix in ("", *BESIDE):
        with suppress(OSError):
            each = file.with_name(file.name + suffix)
            each.chmod(each.stat().st_mode & 0o700)


async def _switch_to_wal(connection: aiosqlite.Connection) -> bool:
    """Switch to write-ahead logging; False: the file system does not allow it.

    Unlike other statements, this one does not wait by itself while another process switches.
    """
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

"""Takes what was forgotten out of the bytes of a database's files, in the background.

The commit that forgets makes rows unreachable. What follows is deleting them, in short transactions between which other
writes have their turn. A row is overwritten as it is deleted (https://www.sqlite.org/pragma.html#pragma_secure_delete),
and leaves no copy of its text behind, since texts lie in pages of their own: see `bot/migrations/0010_forgetting.sql`.
The log holds earlier versions of pages; at last it is moved into the file and truncated.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Protocol, TypeVar

from bot.core.errors import StoreError
from bot.store.purge import PURGE
from bot.store.sqlite.connection import BUSY_S

_CHECKPOINT_STEPS = 5
"""Steps after which the log is moved into the file, before it is so long that a commit would have to do it."""
_READERS_S = 0.02
"""Seconds that truncating the log waits for readers. Other writes wait meanwhile."""
_TRIES = 10
_BETWEEN_TRIES_S = 0.1

_T = TypeVar("_T")


class Do(Protocol):
    """Runs work on the connection that writes. Raises StoreError."""

    async def __call__(self, work: Callable[[sqlite3.Connection], _T]) -> _T: ...


def purge_some(connection: sqlite3.Connection) -> bool:
    """Delete the next few rows of what was forgotten, in one transaction. False: nothing is left."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        some = any(connection.execute(sql).fetchall() for sql in PURGE)
        connection.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):  # SQLite has done it itself, after the graver errors
            connection.execute("ROLLBACK")
        raise
    return some


class FileEraser:
    """The steps of erasing from a file and its log.

    `do` runs work on the connection that writes, and `lock` is held meanwhile. A database in memory has no `file`.
    """

    def __init__(self, file: Path | None, do: Do, lock: asyncio.Lock) -> None:
        self._file = file
        self._do = do
        self._write_lock = lock
        self._steps = 0

    async def step(self) -> bool:
        async with self._write_lock:
            some = await self._do(purge_some)
        if some:
            self._steps += 1
            if self._steps % _CHECKPOINT_STEPS == 0:
                await self._checkpoint()
        return some

    async def finish(self) -> None:
        if self._file is None:
            return
        await self._checkpoint()
        for _ in range(_TRIES):
            async with self._write_lock:
                if await self._do(_truncate_log):
                    return
            await asyncio.sleep(_BETWEEN_TRIES_S)
        raise StoreError("Another program reads it.")

    async def _checkpoint(self) -> None:
        """Move what the log holds into the file while other writes go on. The least that this does is nothing."""
        if self._file is not None:
            with suppress(sqlite3.Error):
                await asyncio.to_thread(_checkpoint, self._file)


def _checkpoint(file: Path) -> None:
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()


def _truncate_log(connection: sqlite3.Connection) -> bool:
    """Move the log into the file and truncate it. False: another connection reads from the log."""
    try:
        connection.execute(_wait_up_to(_READERS_S))
        # Unlike other statements, this one does not fail where it could not do its work, but says so.
        [[busy, *_]] = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        connection.execute(_wait_up_to(BUSY_S))
    return not busy


def _wait_up_to(seconds: float) -> str:
    return f"PRAGMA busy_timeout = {round(seconds * 1000)}"

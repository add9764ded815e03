"""Takes what was forgotten out of the bytes of a database's files, in the background.

The commit that forgets makes rows unreachable. What follows is deleting them, in short transactions between which other
writes have their turn. A row is overwritten as it is deleted (https://www.sqlite.org/pragma.html#pragma_secure_delete),
and leaves no copy of its text behind, since texts lie in pages of their own: see `bot/migrations/0010_forgetting.sql`.
The log holds earlier versions of pages; at last it is moved into the file and truncated.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Protocol, TypeVar

from bot.core.errors import StoreError
from bot.store.purge import PURGE
from bot.store.sqlite.connection import BUSY_S

_DELAY_S = 60.0
"""Seconds from a deletion to its erasing, which all deletions until then share."""
_EVERY_S = 1800.0
"""Seconds to the next erasing where this process deletes nothing: another one may have been killed after it did."""
_RETRIES_S = (1.0, 10.0)
"""Seconds before the first retries after a failure: another process reads the file, or the disk is full."""
_STOP_S = 1.0
"""Seconds for which a stop goes on deleting rows. The next start deletes the rest."""
_CHECKPOINT_STEPS = 5
"""Steps after which the log is moved into the file, before it is so long that a commit would have to do it."""
_READERS_S = 0.02
"""Seconds that truncating the log waits for readers. Other writes wait meanwhile."""
_TRIES = 10
_BETWEEN_TRIES_S = 0.1

_log = logging.getLogger(__name__)
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


class Eraser:
    """Erases a while after each deletion, and now and then what another process has left behind.

    `do` runs work on the connection that writes, and `lock` is held meanwhile. A database in memory has no `file`.
    """

    def __init__(self, file: Path | None, do: Do, lock: asyncio.Lock) -> None:
        self._file = file
        self._do = do
        self._write_lock = lock
        self._run_lock = asyncio.Lock()
        self._runs: set[asyncio.Task[StoreError | None]] = set()
        self._next: asyncio.Task[StoreError | None] | None = None
        """The run that has not begun: it covers everything that is deleted until it begins."""
        self._timer: asyncio.TimerHandle | None = None
        self._stop_at: float | None = None
        """When a stop ends the run under way, on the monotonic clock; None while nothing stops."""
        self._failures = 0
        """The number of failures since the last success."""
        self._due = False
        """Whether this process deleted something since the last run began."""
        self._due_since: float | None = None
        """When the oldest deletion was that no run has erased, on the monotonic clock. None: there is none."""
        self._later(_DELAY_S)

    def deleted(self) -> None:
        """Erase before long what this process deletes now."""
        self._due_since = self._due_since or time.monotonic()
        if not self._due:
            self._due = True
            self._later(_DELAY_S)

    @property
    def due_for(self) -> float:
        """Seconds since the oldest deletion that is not erased, or since a run failed; 0 if nothing is due."""
        return 0.0 if self._due_since is None else time.monotonic() - self._due_since

    async def erase(self) -> None:
        """Erase what was deleted until now from the file and its log. Raises StoreError."""
        if error := await asyncio.shield(self._begin()):
            raise error

    async def drain(self) -> None:
        """Erase what is due, for a short time. The next start does the rest."""
        self._stop_at = time.monotonic() + _STOP_S
        if self._timer is not None:
            self._timer.cancel()
        self._begin()
        while self._runs:
            await asyncio.wait(self._runs)

    def _begin(self) -> asyncio.Task[StoreError | None]:
        if self._next is None:
            self._next = asyncio.create_task(self._run_once())
            self._runs.add(self._next)
            self._next.add_done_callback(self._runs.discard)
        return self._next

    async def _run_once(self) -> StoreError | None:
        async with self._run_lock:
            self._next = None
            self._due, begun = False, time.monotonic()
            try:
                await self._erase()
            except StoreError as error:
                if not self._failures and self._stop_at is None:
                    _log.warning("What was forgotten is not erased from the file yet, trying again: %s", error)
                self._failures += 1
                # Another process may have left something behind.
                self._due_since = self._due_since or begun
                self._later(_RETRIES_S[self._failures - 1] if self._failures <= len(_RETRIES_S) else _DELAY_S)
                return error
        if self._failures:
            _log.info("What was forgotten is now erased from the file.")
        self._failures = 0
        self._due_since = begun if self._due else None
        self._later(_DELAY_S if self._due else _EVERY_S)
        return None

    async def _erase(self) -> None:
        steps = 0
        while await self._purge_some():
            steps += 1
            if steps % _CHECKPOINT_STEPS == 0:
                await self._checkpoint()
            if self._stop_at is not None and time.monotonic() > self._stop_at:
                raise StoreError("The rest is left to the next start.")
        if self._file is None:
            return
        await self._checkpoint()
        for _ in range(_TRIES):
            async with self._write_lock:
                if await self._do(_truncate_log):
                    return
            await asyncio.sleep(_BETWEEN_TRIES_S)
        raise StoreError("Another program reads it.")

    async def _purge_some(self) -> bool:
        async with self._write_lock:
            return await self._do(purge_some)

    async def _checkpoint(self) -> None:
        """Move what the log holds into the file while other writes go on. The least that this does is nothing."""
        if self._file is not None:
            with suppress(sqlite3.Error):
                await asyncio.to_thread(_checkpoint, self._file)

    def _later(self, pause: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._stop_at is None:
            self._timer = asyncio.get_running_loop().call_later(pause, self._begin)


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

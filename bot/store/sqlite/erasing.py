"""Erases deleted rows from the bytes of a database file, in the background and for a limited share of the time.

SQLite's secure_delete (https://www.sqlite.org/pragma.html#pragma_secure_delete) overwrites a deleted row at once, in
the log, which is moved into the file and emptied within about a minute. Copies of the row can be left in unused bytes
of pages that were rebuilt; only VACUUM removes these. VACUUM writes the whole file, and no other write can run
meanwhile: about 7 ms for each megabyte on an idle machine, three times as long on a busy one. So all deletions until it
begins share one VACUUM, and the next one begins no sooner than after ten minutes and twenty times its duration.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

from bot.core.errors import StoreError, StoreUnusable
from bot.store.engine import Rows
from bot.store.sqlite.connection import BUSY_S
from bot.store.sqlite.lock import exclusive_lock

MARK_ERASE_DUE = "INSERT INTO pending_erasures DEFAULT VALUES"
"""Records that erasing is due. Committed with the deletion, so that a kill cannot come between."""

_EVERY_S = 60.0
"""Seconds between two looks at whether erasing is due."""
_RETRIES_S = (1.0, 10.0)
"""Seconds before the first retries after a failure: another process reads the file, or the disk is full."""
_READERS_S = 0.25
"""Seconds that emptying the log waits for readers. It holds the write lock, so it waits less than other writers do."""
_PAUSE_S = 600.0
"""The least seconds from the end of one VACUUM to the next, so that nobody can cause more by deleting often."""
_PAUSE_TIMES = 20
"""The least pause as a multiple of the last VACUUM's duration: writes wait for at most a twentieth of the time."""
_SMALL = 64 * 1024 * 1024
"""Bytes that a VACUUM writes in about a second. A stop waits for the VACUUM of such a file, not of a larger one."""
_SLOWEST = 5_000_000
"""Bytes a second below which a VACUUM counts as hanging, after a minute on top."""

_log = logging.getLogger(__name__)


class Run(Protocol):
    """Runs and commits one statement of what writes. Raises StoreError."""

    async def __call__(self, sql: str, values: dict[str, float] = ...) -> Rows: ...


class Eraser:
    """Erases on the connection that writes. `lock` is held while it does; `interrupt` ends the running statement.

    `keeper`: this process holds the lock on the file and erases whatever any process deleted. Another process looks
    from its first deletion on, and leaves VACUUM to the keeper while there is one.
    """

    def __init__(
        self, file: Path, run: Run, lock: asyncio.Lock, interrupt: Callable[[], Awaitable[None]], *, keeper: bool
    ) -> None:
        self._file = file
        self._run = run
        self._lock = lock
        self._interrupt = interrupt
        self._keeper = keeper
        self._looks = keeper
        self._clock: Callable[[], float] = time.time
        self._monotonic: Callable[[], float] = time.monotonic
        self._runs: set[asyncio.Task[bool | StoreError]] = set()
        self._next: asyncio.Task[bool | StoreError] | None = None
        """The run that has not begun: it covers everything that is deleted until it begins."""
        self._at_once = False
        """Whether somebody waits for the next run."""
        self._timer: asyncio.TimerHandle | None = None
        self._closing = False
        self._failures = 0
        """The number of failures since the last success."""
        self._logged = 0
        """The id of the last deletion that has left the log."""
        self._rewritten = 0
        """The id of the last deletion that has left all pages; it may still be in the log."""
        self._rewriting: tuple[float, float] | None = None
        """When the VACUUM under way began and when it will have taken too long, on the monotonic clock."""
        self._in_vacuum = False
        """Whether VACUUM itself runs. The move of the log into the file after it is part of every stop anyway."""
        self._given_up = False
        self._free_at = 0.0
        """When the next VACUUM may begin, on the monotonic clock, as far as this process knows."""
        if keeper:
            self._later(_EVERY_S)

    @property
    def rewriting(self) -> bool:
        """Whether a VACUUM holds up all writes just now, and not for longer than it may take."""
        return self._rewriting is not None and self._monotonic() < self._rewriting[1]

    def keep(self) -> None:
        """Make this process look for due erasing, since it deletes something."""
        if not self._looks:
            self._looks = True
            self._later(_EVERY_S)

    async def erase(self) -> bool:
        """As `SQLiteEngine.erase_deleted`."""
        self._at_once = True
        end = await asyncio.shield(self._begin())
        if isinstance(end, StoreError):
            raise end
        return end

    async def drain(self) -> None:
        """Erase what is due if that is quick. Otherwise it stays due, and a running VACUUM is interrupted."""
        self._closing = True
        if self._timer is not None:
            self._timer.cancel()
        if self._looks:
            self._begin()
        while self._runs:
            if self._in_vacuum and not self._small():
                # Again and again: the statement may not have begun yet.
                self._given_up = True
                await self._interrupt()
            await asyncio.wait(self._runs, timeout=0.1)

    async def empty_log(self) -> bool:
        """Move the log into the file and truncate it. False: another connection is reading from the log.

        Raises StoreError.
        """
        try:
            await self._run(_wait_up_to(_READERS_S))
            # Unlike other statements, this one does not fail where it could not do its work, but says so.
            [[busy, *_]] = await self._run("PRAGMA wal_checkpoint(TRUNCATE)")
        finally:
            await self._run(_wait_up_to(BUSY_S))
        return not busy

    def _begin(self) -> asyncio.Task[bool | StoreError]:
        if self._next is None:
            self._next = asyncio.create_task(self._run_once())
            self._runs.add(self._next)
            self._next.add_done_callback(self._runs.discard)
        return self._next

    async def _run_once(self) -> bool | StoreError:
        async with self._lock:
            self._next = None
            at_once, self._at_once = self._at_once, False
            end: bool | StoreError
            try:
                end = await self._erase_due(at_once=at_once)
            except StoreError as error:
                end = error
        if isinstance(end, StoreError):
            if not self._failures:
                _log.warning("What was forgotten is still in the file's bytes, to be tried again: %s", end)
            self._failures += 1
            self._later(_RETRIES_S[self._failures - 1] if self._failures <= len(_RETRIES_S) else _EVERY_S)
            return end
        if end:
            if self._failures:
                _log.info("What was forgotten is in the file's bytes no more.")
            self._failures = 0
        self._later(_EVERY_S)
        return end

    async def _erase_due(self, *, at_once: bool) -> bool:
        """Whether nothing is due any more. False: the rest is done later or by the keeper."""
        [[due]] = await self._run("SELECT max(id) FROM pending_erasures")
        if due is None:
            return True
        with ExitStack() as stack:
            if due > self._rewritten and await self._may_rewrite(stack, at_once=at_once):
                await self._rewrite(due)
            await self._cut_log(due)
        if self._rewritten:
            await self._run("DELETE FROM pending_erasures WHERE id <= :rewritten", {"rewritten": self._rewritten})
        return self._rewritten >= int(due)

    async def _may_rewrite(self, stack: ExitStack, *, at_once: bool) -> bool:
        if self._closing:
            if not self._small():
                return False
        elif not at_once and not await self._pause_is_over():
            return False
        if not self._keeper:
            # The keeper's own writes wait for its VACUUM. For that of another process they would not wait long enough.
            try:
                stack.enter_context(exclusive_lock(self._file))
            except (OSError, StoreUnusable):
                return False
        return True

    async def _pause_is_over(self) -> bool:
        [[at, seconds]] = await self._run("SELECT at, seconds FROM last_vacuum")
        # A time to come was noted before the clock was set back, and says nothing.
        return self._monotonic() >= self._free_at and not 0 <= self._clock() - at < _pause(seconds)

    async def _rewrite(self, due: int) -> None:
        # Before it begins: a process that is killed meanwhile does not begin with it again.
        await self._run("UPDATE last_vacuum SET at = :at", {"at": self._clock()})
        began = self._monotonic()
        self._rewriting = (began, began + 60 + self._size() / _SLOWEST)
        self._in_vacuum = True
        try:
            await self._run("VACUUM")
            self._in_vacuum = False
            self._rewritten = due
            # The log holds the whole file now, and the file what was deleted, until the log is moved into it.
            self._logged = 0
            await self._cut_log(due)
        except StoreError:
            if not self._given_up:
                raise
        finally:
            self._rewriting, self._in_vacuum = None, False
            seconds = self._monotonic() - began
            self._free_at = self._monotonic() + _pause(seconds)
            await self._run("UPDATE last_vacuum SET at = :at, seconds = :s", {"at": self._clock(), "s": seconds})

    async def _cut_log(self, due: int) -> None:
        if due > self._logged:
            if not await self.empty_log():
                raise StoreError("Another program reads it.")
            self._logged = due

    def _small(self) -> bool:
        return self._size() <= _SMALL

    def _size(self) -> int:
        try:
            return self._file.stat().st_size
        except OSError:
            return 0

    def _later(self, pause: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._closing and (self._looks or self._failures):
            self._timer = asyncio.get_running_loop().call_later(pause, self._begin)


def _pause(seconds: float) -> float:
    """The least seconds from the end of a VACUUM with this duration to the next."""
    return max(_PAUSE_S, _PAUSE_TIMES * seconds)


def _wait_up_to(seconds: float) -> str:
    return f"PRAGMA busy_timeout = {round(seconds * 1000)}"

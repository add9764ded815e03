"""Takes what was deleted out of the bytes of a database's files, now, later, or once what hinders it is over."""

from __future__ import annotations

import asyncio
import logging
from sqlite3 import Row
from typing import Protocol

from bot.errors import StoreError
from bot.store.connection import BUSY_S

OWE_A_WIPE = "INSERT INTO wipes_due DEFAULT VALUES"
"""To be committed with what deletes: it is due until it was done, whatever happens to this process."""

_EVERY_S = 60.0
"""How often the file's keeper looks whether a wipe is due: deletions that nobody waits for share one."""
_RETRIES_S = (1.0, 10.0)
"""The pauses before the first tries at a wipe that failed, as another process reads the file or the disk is full."""
_READERS_S = 0.25
"""How long emptying the log waits for readers: less than others wait for us, as the write lock is held meanwhile."""

_log = logging.getLogger(__name__)


class Run(Protocol):
    """Runs and commits one statement of what writes. Raises StoreError."""

    async def __call__(self, sql: str, values: dict[str, int] = ...) -> list[Row]: ...


class Wiper:
    """Over what writes to one database, which `lock` gives to one at a time.

    `keeper`: whether it is this process's to look for wipes that are due, whoever deleted something.
    """

    def __init__(self, run: Run, lock: asyncio.Lock, *, keeper: bool) -> None:
        self._run = run
        self._lock = lock
        self._keeper = keeper
        self._wipes: set[asyncio.Task[bool]] = set()
        self._next: asyncio.Task[bool] | None = None
        """The one that has not begun, and so will see what is deleted until then."""
        self._timer: asyncio.TimerHandle | None = None
        self._closing = False
        self._failures = 0
        """Since the last one that worked."""
        self._rewritten = 0
        """The last deletion that is in no page any more, though it may be in the log."""

    def keep(self) -> None:
        """Something is deleted here, so it is this process's to look from now on."""
        if not self._keeper:
            self._keeper = True
            self._later()

    async def wipe(self) -> bool:
        """As `Database.wipe`."""
        return await asyncio.shield(self._begin())

    async def settle(self) -> None:
        """Wipe what is due, for the last time."""
        self._closing = True
        self._later()
        if self._keeper:
            self._begin()
        while self._wipes:
            await asyncio.wait(self._wipes)

    async def empty_log(self) -> bool:
        """Move what is in the log into the file, and cut it. False: somebody is reading what it holds.

        Raises StoreError.
        """
        try:
            await self._run(_wait_up_to(_READERS_S))
            # Unlike other statements, this one does not fail where it could not do its work, but says so.
            [[busy, *_]] = await self._run("PRAGMA wal_checkpoint(TRUNCATE)")
        finally:
            await self._run(_wait_up_to(BUSY_S))
        return not busy

    def _begin(self) -> asyncio.Task[bool]:
        if self._next is None:
            self._next = asyncio.create_task(self._wipe())
            self._wipes.add(self._next)
            self._next.add_done_callback(self._wipes.discard)
        return self._next

    async def _wipe(self) -> bool:
        async with self._lock:
            self._next = None
            try:
                hindered = None if await self._wipe_what_is_due() else "Another program reads it."
            except StoreError as error:
                hindered = str(error)
        if hindered and not self._failures:
            _log.warning("What was forgotten is still in the file's bytes, to be tried again: %s", hindered)
        elif self._failures and not hindered:
            _log.info("What was forgotten is in the file's bytes no more.")
        self._failures = self._failures + 1 if hindered else 0
        self._later()
        return not hindered

    async def _wipe_what_is_due(self) -> bool:
        [[due]] = await self._run("SELECT max(id) FROM wipes_due")
        if due is None:
            return True
        if due > self._rewritten:
            # secure_delete wipes the deleted rows, but not the copies that rows leave behind in a page when its
            # neighbours grow and it is laid out anew. Costs about 7 ms for each megabyte.
            await self._run("VACUUM")
            self._rewritten = due
        # It holds what was deleted too, and so does the file until the log's pages are in it.
        if not await self.empty_log():
            return False
        await self._run("DELETE FROM wipes_due WHERE id <= :due", {"due": due})
        return True

    def _later(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._closing or not (self._keeper or self._failures):
            return
        pause = _RETRIES_S[self._failures - 1] if 0 < self._failures <= len(_RETRIES_S) else _EVERY_S
        self._timer = asyncio.get_running_loop().call_later(pause, self._begin)


def _wait_up_to(seconds: float) -> str:
    return f"PRAGMA busy_timeout = {round(seconds * 1000)}"

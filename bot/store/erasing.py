"""Erases what was forgotten a while after each deletion, in the background, whatever the engine."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from bot.core.errors import StoreError

_DELAY_S = 60.0
"""Seconds from a deletion to its erasing, which all deletions until then share. No transaction takes as long."""
_EVERY_S = 1800.0
"""Seconds to the next erasing where this process deletes nothing: another one may have been killed after it did."""
_RETRIES_S = (1.0, 10.0)
"""Seconds before the first retries after a failure: another process reads the file, or the disk is full."""
_STOP_S = 1.0
"""Seconds for which a stop goes on deleting rows. The next start deletes the rest."""

_log = logging.getLogger(__name__)


class Eraser:
    """Erases a while after each deletion, and now and then what another process has left behind.

    `step` deletes the next few rows of what was forgotten, with False where nothing is left; `finish` does what the
    storage needs then. Both raise StoreError.
    """

    def __init__(self, step: Callable[[], Awaitable[bool]], finish: Callable[[], Awaitable[None]]) -> None:
        self._step = step
        self._finish = finish
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
        """Erase what was deleted until now. Raises StoreError."""
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
                    _log.warning("What was forgotten is not erased from the database yet, trying again: %s", error)
                self._failures += 1
                # Another process may have left something behind.
                self._due_since = self._due_since or begun
                self._later(_RETRIES_S[self._failures - 1] if self._failures <= len(_RETRIES_S) else _DELAY_S)
                return error
        if self._failures:
            _log.info("What was forgotten is now erased from the database.")
        self._failures = 0
        self._due_since = begun if self._due else None
        self._later(_DELAY_S if self._due else _EVERY_S)
        return None

    async def _erase(self) -> None:
        while await self._step():
            if self._stop_at is not None and time.monotonic() > self._stop_at:
                raise StoreError("The rest is left to the next start.")
        await self._finish()

    def _later(self, pause: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._stop_at is None:
            self._timer = asyncio.get_running_loop().call_later(pause, self._begin)

"""Writes that are made now or, where the database is away, once it is back: those about one subject in their order.

Each is a compare-and-set, so that it does no harm where a try without an answer was made after all, or where the turn
was forgotten meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from bot.core.errors import ClaimLost, StoreBug, StoreError

log = logging.getLogger(__name__)

_PAUSE = 0.25
"""Seconds between two tries at a shutdown."""
_PAUSES = (1.0, 10.0)
"""The first and the longest pause, in seconds, between two other tries. Each is twice the last."""
_MOST = 1000
"""Subjects of which something is kept. What is left out of a turn is recovered by the next start."""

Write: TypeAlias = Callable[[], Awaitable[object]]


def about_turn(turn_id: int) -> str:
    """The subject of what is written about a turn."""
    return f"turn {turn_id}"


@dataclass(slots=True, eq=False)
class _Late:
    """Writes about one subject that are being made or still to be made, in their order."""

    writes: deque[Write] = field(default_factory=deque)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    failed: bool = False
    """Whether one of them has failed. All others are under way."""
    pause: float = 0.0
    due_at: float = 0.0
    """When to try again, in the event loop's time."""

    def put_off(self) -> None:
        first, longest = _PAUSES
        self.failed = True
        self.pause = min(longest, 2 * self.pause or first)
        self.due_at = asyncio.get_running_loop().time() + self.pause


class LateWrites:
    """The writes of one process. Those that failed are kept in memory until a caller has them made again."""

    def __init__(self) -> None:
        self._late: dict[str, _Late] = {}

    async def write(self, subject: str, *writes: Write) -> None:
        """Make writes, or keep them for later. Nobody waits for those behind others that failed or are being made."""
        late = self._of(subject)
        late.writes.extend(writes)
        if not late.pause and not late.lock.locked():
            await self._make(subject, late)

    def keep(self, subject: str, write: Write) -> None:
        """Keep a write for later that has failed. It goes with the next about the same subject."""
        late = self._of(subject)
        late.failed = True
        late.writes.append(write)

    def __contains__(self, subject: str) -> bool:
        """Whether something could not be written about a subject yet, so that what is on record of it is old."""
        late = self._late.get(subject)
        return late is not None and late.failed

    async def complete(self, subject: str) -> None:
        """Write what is still to be written about a subject. Raises StoreError, and what is left then is still kept."""
        if (late := self._late.get(subject)) is not None and (error := await self._make(subject, late)) is not None:
            raise error

    async def try_again(self, *, only_due: bool = False) -> None:
        """Try what could not be written, or only what was not tried a short time ago."""
        now = asyncio.get_running_loop().time()
        failed = [(subject, late) for subject, late in self._late.items() if late.failed]
        due = [(subject, late) for subject, late in failed if not only_due or late.due_at <= now]
        await asyncio.gather(*(self._make(*each) for each in due))

    async def written(self) -> None:
        """Try again until nothing is left to be written."""
        while self._late:
            await self.try_again()
            if self._late:
                await asyncio.sleep(_PAUSE)

    def _of(self, subject: str) -> _Late:
        late = self._late.setdefault(subject, _Late())
        if len(self._late) > _MOST:
            oldest = next(iter(self._late))
            del self._late[oldest]
            log.error("%s: could not be saved, and too much else waits to be", oldest)
        return late

    async def _make(self, subject: str, late: _Late) -> StoreError | None:
        """Make what is to be written about a subject, as far as the database takes it. Returns why not all of it."""
        async with late.lock:
            while late.writes:
                try:
                    await late.writes[0]()
                except ClaimLost as error:
                    log.warning("%s: left to another process: %s", subject, error)
                    late.writes.clear()
                    break
                except StoreBug:
                    log.error("%s: something of it cannot be saved", subject)
                except StoreError as error:
                    if not late.pause:
                        log.warning("%s: could not be saved, trying again: %s", subject, error)
                    late.put_off()
                    return error
                except Exception:
                    log.exception("%s: something of it cannot be saved because of a bug", subject)
                late.writes.popleft()
            else:
                if late.pause:
                    log.info("%s: saved now", subject)
            if self._late.get(subject) is late:
                del self._late[subject]
        return None

"""Whether this process may act now: take prompts, call the platform, write.

Where several processes share the work, each has its right to its share confirmed again and again. One that was frozen
finds the gate closed when it wakes up, before it does anything that is another's by then.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Self

OPEN_FOR = 5.0
"""Seconds for which a confirmation holds, from when it was asked for."""

_BOOTTIME = getattr(time, "CLOCK_BOOTTIME", None)


def elapsed() -> float:
    """Seconds on a clock that never goes back and, where there is such a one, goes on while the computer sleeps."""
    return time.monotonic() if _BOOTTIME is None else time.clock_gettime(_BOOTTIME)


class Gate:
    """Open for `open_for` seconds from each confirmation, until it is shut for good."""

    def __init__(self, open_for: float = OPEN_FOR, clock: Callable[[], float] = elapsed) -> None:
        self._open_for = open_for
        self._clock = clock
        self._until = float("-inf")
        self._shut = asyncio.Event()
        self._changed = asyncio.Event()

    @property
    def is_open(self) -> bool:
        return not self._shut.is_set() and self._clock() < self._until

    @property
    def is_shut(self) -> bool:
        """Whether it never opens again."""
        return self._shut.is_set()

    def confirm(self, asked_at: float) -> None:
        """Note that the right was confirmed, when that was asked for at this time of the clock."""
        self._until = max(self._until, asked_at + self._open_for)
        self._tell()

    def shut(self) -> None:
        """Close the gate for good: what this process did is another's now."""
        self._shut.set()
        self._tell()

    @classmethod
    def always_open(cls) -> Self:
        """The gate of a process that shares its work with no other."""
        gate = cls()
        gate.confirm(float("inf"))
        return gate

    async def opened(self) -> bool:
        """Wait until the gate is open. False: it is shut for good."""
        while not self.is_open:
            if self.is_shut:
                return False
            await self._changed.wait()
        return True

    async def until_shut(self) -> None:
        """Wait until the gate is shut for good."""
        await self._shut.wait()

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

"""The order of the prompts of one person in one channel: a database that is asked at once may answer in any order."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeAlias

Queue: TypeAlias = tuple[int, int]
"""A channel and a person in it, by their ids."""


class Place:
    """A message's place behind the one that came before it."""

    def __init__(self, before: Place | None) -> None:
        self._before = before
        self._left = asyncio.Event()

    async def first(self) -> None:
        """Return once nothing is before it any more."""
        if self._before is not None:
            await self._before._left.wait()
            self._before = None

    def leave(self) -> None:
        """Let the next message go on. Leaving twice does nothing more."""
        self._left.set()


class Order:
    """The places of all messages that are neither in the queue of prompts nor known not to be."""

    def __init__(self) -> None:
        self._last: dict[Queue, Place] = {}

    @contextmanager
    def place(self, queue: Queue) -> Iterator[Place]:
        """Hold the last place until it is left, at the latest at the end of the block. Entering it does not wait."""
        place = self._last[queue] = Place(self._last.get(queue))
        try:
            yield place
        finally:
            place.leave()
            if self._last.get(queue) is place:
                del self._last[queue]

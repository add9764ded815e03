"""A deadline for the reads of a stream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Self


class ReadDeadline:
    """`asyncio.timeout_at` around one read after another. One timer serves all reads, for a tenth of the CPU."""

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._reader: asyncio.Task[Any] | None = None
        self._expired = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._disarm()

    def reschedule(self, deadline: float) -> None:
        """Move the deadline of later reads."""
        self.deadline = deadline
        if self._timer is not None and deadline < self._timer.when():
            self._disarm()

    async def next(self, chunks: AsyncIterator[bytes]) -> bytes:
        """The next chunk, or empty bytes at the end. Raises TimeoutError if the deadline passes first."""
        # A read that does not wait cannot be cancelled, and a flood of what is no progress has only such reads.
        if self._loop.time() >= self.deadline:
            raise TimeoutError
        self._reader = reader = asyncio.current_task()
        cancelling = reader.cancelling() if reader is not None else 0
        if self._timer is None:
            self._timer = self._loop.call_at(self.deadline, self._check)
        try:
            return await anext(chunks)
        except StopAsyncIteration:
            return b""
        except asyncio.CancelledError:
            # As in `asyncio.timeout`, a cancellation from outside takes precedence over the deadline.
            if self._expired and reader is not None and reader.uncancel() <= cancelling:
                raise TimeoutError from None
            raise
        finally:
            self._reader = None

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _check(self) -> None:
        self._timer = None
        if self._reader is None:
            return
        if self._loop.time() < self.deadline:
            self._timer = self._loop.call_at(self.deadline, self._check)
        else:
            self._expired = True
            self._reader.cancel()

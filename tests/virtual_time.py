"""An event loop whose clock jumps to the next timer instead of waiting for it. It is `time.monotonic` as well.

The clock stands still while something is on its way between two sockets on this loop, and while the loop's executor, a
database or the process that reads files works, or a process is about to end. Nothing tells of the work of other threads
and processes: tests with these need the real time. The calendar, `time.time`, goes on as ever.
"""

from __future__ import annotations

import asyncio
import selectors
import sys
import time
from array import array
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from contextlib import suppress
from typing import Any, Final, TypeVar, TypeVarTuple

import aiosqlite
import psycopg.waiting
import pytest

from bot.files.reader import _ask
from bot.store.postgresql.pipeline import Pipeline
from tests.waiting import PATIENCE

T = TypeVar("T")
Arguments = TypeVarTuple("Arguments")

_ON_ITS_WAY: Final = 0.02 if sys.platform == "win32" else 0.1
"""Seconds of real time after which what was written to a socket is not waited for: the other end does not read."""
_REAL: Final = time.monotonic


if sys.platform == "win32":

    def _is_sending(_descriptor: int) -> bool:
        return True  # There is no telling.

else:
    from fcntl import ioctl
    from termios import TIOCOUTQ

    def _is_sending(descriptor: int) -> bool:
        """Whether something that was written to a socket has not come to its other end."""
        unsent = array("i", [0])
        with suppress(OSError):
            ioctl(descriptor, TIOCOUTQ, unsent)
        return unsent[0] > 0


class _Jumping(selectors.DefaultSelector):
    """Polls, and turns what would have been waiting into time gone by."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.working = 0
        """Calls to threads, databases and processes that are not over."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or (timeout > 0 and self.working):
            ready = super().select(PATIENCE)
            if not ready:
                raise RuntimeError("everything waits for something that will never happen")
            return ready
        ready = super().select(0)
        # One descriptor is the loop's own.
        if timeout > 0 and len(self.get_map()) > 1:
            give_up = _REAL() + _ON_ITS_WAY
            while not ready and any(_is_sending(key.fd) for key in self.get_map().values()) and _REAL() < give_up:
                ready = super().select(0.001)
        if not ready:
            self.now += max(0.0, timeout)
        return ready


class Loop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._clock = _Jumping()
        super().__init__(self._clock)

    def time(self) -> float:
        return self._clock.now

    def run_forever(self) -> None:
        def counted(call: Callable[..., Coroutine[Any, Any, Any]]) -> Callable[..., Coroutine[Any, Any, Any]]:
            async def counting(*arguments: Any, **more: Any) -> Any:
                self._clock.working += 1
                try:
                    return await call(*arguments, **more)
                finally:
                    self._clock.working -= 1

            return counting

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(time, "monotonic", self.time)
            # By this one, connections are kept open for another call.
            patch.setattr("aiohttp.connector.monotonic", self.time)
            for name in ("_connect", "_execute", "close"):
                patch.setattr(aiosqlite.Connection, name, counted(getattr(aiosqlite.Connection, name)))
            for name in ("wait_async", "wait_conn_async"):
                patch.setattr(psycopg.waiting, name, counted(getattr(psycopg.waiting, name)))
            patch.setattr(Pipeline, "_exchange", counted(Pipeline._exchange))
            patch.setattr("bot.files.reader._ask", counted(_ask))
            patch.setattr(asyncio.subprocess.Process, "wait", counted(asyncio.subprocess.Process.wait))
            super().run_forever()

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[*Arguments], T], *args: *Arguments
    ) -> asyncio.Future[T]:
        def done(_: object) -> None:
            self._clock.working -= 1

        future = super().run_in_executor(executor, func, *args)
        self._clock.working += 1
        future.add_done_callback(done)
        return future


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end in virtual time."""
    with asyncio.Runner(loop_factory=Loop) as runner:
        return runner.run(main)

"""An event loop whose clock jumps to the next timer instead of waiting for it: for code without threads of its own.

The clock stands still while something is on its way between two sockets on this loop, or the loop's executor works.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from typing import Any, Final, TypeVar, TypeVarTuple

from tests.waiting import PATIENCE

T = TypeVar("T")
Arguments = TypeVarTuple("Arguments")

_ON_ITS_WAY: Final = 0.02
"""Seconds of real time in which what was written to a socket of this machine is there."""


class _Jumping(selectors.DefaultSelector):
    """Polls, and turns what would have been waiting into time gone by."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.working = 0
        """Calls that the executor has not finished."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or (timeout > 0 and self.working):
            ready = super().select(PATIENCE)
            if not ready:
                raise RuntimeError("everything waits for something that will never happen")
            return ready
        # One descriptor is the loop's own.
        has_sockets = len(self.get_map()) > 1
        ready = super().select(_ON_ITS_WAY if timeout > 0 and has_sockets else 0)
        if not ready:
            self.now += max(0.0, timeout)
        return ready


class Loop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._clock = _Jumping()
        super().__init__(self._clock)

    def time(self) -> float:
        return self._clock.now

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

"""Finds callbacks of event loops that keep everybody else waiting: those that use too much of their thread's CPU.

Neither waiting nor a busy machine counts, nor garbage collection, nor the first import of a module. What a test does
in tasks of its own is not looked at: only what the code under test, or a library on its behalf, runs as a callback.
"""

from __future__ import annotations

import asyncio
import gc
import importlib._bootstrap as bootstrap
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Final

LIMIT: Final = 0.05
"""Seconds of CPU time that one callback may use on a machine that takes `_REFERENCE` for the loop below."""
_REFERENCE: Final = 0.0025
_TESTS: Final = str(Path(__file__).parent)
_RUN: Final[Callable[[asyncio.Handle], None]] = asyncio.Handle._run


class _Excepted(threading.local):
    """Seconds of CPU time that this thread has used for what no callback is to blame for."""

    seconds = 0.0
    depth = 0
    since = 0.0

    def enter(self) -> None:
        if self.depth == 0:
            self.since = time.thread_time()
        self.depth += 1

    def leave(self) -> None:
        self.depth -= 1
        if self.depth == 0:
            self.seconds += time.thread_time() - self.since


_excepted: Final = _Excepted()


def loop() -> float:
    """The seconds of CPU time that this machine takes now for what takes a fast one `_REFERENCE`."""
    before = time.thread_time()
    table: dict[int, str] = {}
    for number in range(15_000):
        table[number % 100] = str(number) + table.get(number % 7, "")[:20]
    return time.thread_time() - before


@cache
def _calibrated() -> float:
    return min(loop() for _ in range(3))


def _slowest() -> float:
    return max(loop() for _ in range(20))


def limit(calibrate: Callable[[], float] = _calibrated) -> float:
    """What a callback may use on this machine."""
    return LIMIT * max(1.0, calibrate() / _REFERENCE)


def _task(callback: Any) -> asyncio.Task[Any] | None:
    """The task that a callback is a step of."""
    task = getattr(callback, "__self__", None)
    return task if isinstance(task, asyncio.Task) else None


def _of_a_test(callback: Any) -> bool:
    """Whether it is a step of a task that a test has begun, pytest's own for the test included."""
    code = getattr((task := _task(callback)) and task.get_coro(), "cr_code", None)
    return code is not None and (code.co_filename.startswith(_TESTS) or "pytest_asyncio" in code.co_filename)


def _on_collection(phase: str, _details: object) -> None:
    if phase == "start":
        _excepted.enter()
    else:
        _excepted.leave()


@contextmanager
def watched() -> Iterator[list[str]]:
    """A list of the callbacks that used too much within the block, on whatever loop."""
    slow: list[str] = []
    before, find = asyncio.Handle._run, vars(bootstrap)["_find_and_load"]

    def measured(handle: asyncio.Handle) -> None:
        callback = handle._callback  # type: ignore[attr-defined]
        began, excepted = time.thread_time(), _excepted.seconds
        _RUN(handle)
        used = time.thread_time() - began - (_excepted.seconds - excepted)
        # The machine may have become slower since it was measured first, and go on being so now and then.
        if used > LIMIT and used > limit() and not _of_a_test(callback) and used > (most := limit(_slowest)):
            what = _task(callback) or callback
            slow.append(f"{what!r} used {used * 1000:.0f} ms of CPU time, {most * 1000:.0f} at most")

    def imported(name: str, import_: object) -> object:
        _excepted.enter()
        try:
            return find(name, import_)
        finally:
            _excepted.leave()

    limit()
    asyncio.Handle._run = measured  # type: ignore[assignment, method-assign]
    bootstrap._find_and_load = imported  # type: ignore[attr-defined]
    gc.callbacks.append(_on_collection)
    try:
        yield slow
    finally:
        gc.callbacks.remove(_on_collection)
        bootstrap._find_and_load = find  # type: ignore[attr-defined]
        asyncio.Handle._run = before  # type: ignore[method-assign]

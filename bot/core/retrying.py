"""Repeated calls after a failure, and polling for conditions that no event reports."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

T = TypeVar("T")


async def retrying(
    work: Callable[[], Awaitable[T]],
    delays: Iterable[float],
    *,
    on: tuple[type[Exception], ...],
    log_retry: Callable[[Exception, float], None] | None = None,
) -> T:
    """Call `work` until it succeeds and return its result.

    After an error of a type in `on`, the next delay (seconds) passes before the next call; `log_retry` gets the error
    and that delay first. Once the delays are used up, the next error is raised. Other errors are raised at once.
    """
    for delay in delays:
        try:
            return await work()
        except on as error:
            if log_retry is not None:
                log_retry(error, delay)
        await asyncio.sleep(delay)
    return await work()


async def poll_until(condition: Callable[[], Awaitable[T]], *, every: float, timeout: float) -> T:
    """Check a condition every `every` seconds until its value is true or `timeout` seconds have passed.

    Returns the last value. The condition is checked at least once, and once more when the time is up.
    """
    clock = asyncio.get_running_loop().time
    deadline = clock() + timeout
    while True:
        value = await condition()
        left = deadline - clock()
        if value or left <= 0:
            return value
        await asyncio.sleep(min(every, left))

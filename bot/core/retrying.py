"""Repeated calls after a failure, and polling for conditions that no event reports."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

from bot.core.errors import ClaimUnconfirmed, StoreBug

T = TypeVar("T")

_UNCONFIRMED_PAUSE = 1.0
"""Seconds at the most until what is unconfirmed is tried again."""


async def retrying(
    work: Callable[[], Awaitable[T]],
    delays: Iterable[float],
    *,
    on: tuple[type[Exception], ...],
    log_retry: Callable[[Exception, float], None] | None = None,
) -> T:
    """Call `work` until it succeeds and return its result.

    After an error of a type in `on`, the next delay (seconds) passes before the next call; `log_retry` gets the error
    and that delay first. Once the delays are used up, the next error is raised. Other errors are raised at once, and so
    is a StoreBug.

    ClaimUnconfirmed uses up no delay, is logged once, and is waited for a second at a time at most: while it lasts,
    nobody could be told of a failure, and it is over as soon as the database is back.
    """
    waits = False
    for delay in delays:
        while True:
            try:
                return await work()
            except StoreBug:
                raise
            except on as error:
                unconfirmed = isinstance(error, ClaimUnconfirmed)
                pause = min(delay, _UNCONFIRMED_PAUSE) if unconfirmed else delay
                if log_retry is not None and not (unconfirmed and waits):
                    log_retry(error, pause)
                waits = unconfirmed
            await asyncio.sleep(pause)
            if not waits:
                break
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

"""Waiting for what no event tells of, and how long any wait may take before its test fails."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Final

PATIENCE: Final = 30.0
"""Seconds for what this process does itself. It usually takes milliseconds: the limit only ends a test that hangs."""
FOR_A_PROCESS: Final = 180.0
"""Seconds for another process to start, to answer or to end, on a machine that is busy with something else."""
WHAT_IS_TRUE: Final = object()


async def until(ask: Callable[[], object], answer: object = WHAT_IS_TRUE, within: float = PATIENCE) -> None:
    """Ask every few milliseconds, until the answer is this one, or else a true one.

    `ask` may be asynchronous. AssertionError after `within` seconds shows the last answer.
    """
    last: object = None
    try:
        async with asyncio.timeout(within):
            while True:
                last = ask()
                if inspect.isawaitable(last):
                    last = await last
                if last if answer is WHAT_IS_TRUE else last == answer:
                    return
                await asyncio.sleep(0.005)
    except TimeoutError:
        raise AssertionError(f"not within {within} s; the last answer: {last!r}") from None

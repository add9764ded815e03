"""Measures how late the event loop calls what is due: the time for which some callback has kept all others waiting."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from bot.core.figures import MOMENTS, Figures

EVERY = 0.25
"""Seconds between two measurements."""


@asynccontextmanager
async def loop_delay_measured(figures: Figures) -> AsyncIterator[None]:
    """Measure until the block ends."""
    delays = figures.histogram(
        "event_loop_delay_seconds", f"How late the event loop was, measured every {EVERY:g} s.", MOMENTS
    )
    measuring = asyncio.create_task(_measure(delays.observe))
    try:
        yield
    finally:
        measuring.cancel()
        await asyncio.wait([measuring])


async def _measure(observe: Callable[[float], None]) -> None:
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + EVERY
        await asyncio.sleep(EVERY)
        observe(max(0.0, loop.time() - due))

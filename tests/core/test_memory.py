"""Neither a flood nor a large number of conversations leaves anything behind in the process."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from collections.abc import Awaitable, Callable
from itertools import count, islice
from pathlib import Path

import pytest

from bot.core.errors import Overloaded
from bot.store.sqlite import open_store
from tests.places import on_discord
from tests.talking import Model, Talk, conversations


async def grown_by(several_times: Callable[[], Awaitable[None]]) -> int:
    """Bytes that are held after four times and were not after two."""
    await several_times()
    tracemalloc.start()
    try:
        await several_times()
        gc.collect()
        before, _ = tracemalloc.get_traced_memory()
        await several_times()
        await several_times()
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return after - before


async def test_flood_leaves_no_memory_behind(talk: Talk) -> None:
    async def flood() -> None:
        go = asyncio.Event()
        talk.model.replies = [[go, "done"]]
        prompts = [talk.say("x" * 4000) for _ in range(300)]
        done = await asyncio.gather(*prompts[6:], return_exceptions=True)
        assert all(isinstance(each, Overloaded) for each in done)
        go.set()
        await asyncio.gather(*prompts[:6])
        talk.sinks.clear()
        talk.model.asked.clear()

    # The test's log keeps the twelve prompts that were answered, 74 kB; of the 588 refused one in ten would be 235 kB.
    assert await grown_by(flood) < 200_000


@pytest.mark.long
async def test_memory_does_not_grow_with_conversations(tmp_path: Path) -> None:
    model = Model()
    async with open_store(tmp_path / "chat.db", exclusive=True) as store, conversations(store, model) as core:
        talk, numbers = Talk(core, model, store), count()

        async def newcomers() -> None:
            for number in islice(numbers, 500):
                await talk.say("hi", by=number, where=on_discord(number))
            talk.sinks.clear()
            model.asked.clear()
            model.asked_for.clear()

        # A thousand of them: a key and its place in a table would be 90 kB. The database driver keeps up to 25 kB of
        # references to cursors that are gone, and drops them together.
        assert await grown_by(newcomers) < 45_000

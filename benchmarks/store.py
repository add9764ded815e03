"""What the store costs on this machine's disk: `python -m benchmarks.store [folder]`."""

from __future__ import annotations

import asyncio
import itertools
import os
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path

from bot.store import SQLiteStore
from bot.turns import Attempt, Outcome, Prompt, State

HERE = "discord:1"
REPLY = "A sentence of an answer, of the usual length. " * 20


async def fill(path: Path, turns: int) -> None:
    """A conversation of `turns` answered turns, and one of a single turn to forget."""
    async with SQLiteStore.open(path, exclusive=True) as store:
        for conversation, position in ((HERE, 1), ("discord:2", 2**40)):
            attempt = await store.begin(Prompt(conversation, position, "Why?"))
            if attempt:
                await store.close(attempt, Outcome(State.COMPLETE, REPLY))
    with closing(sqlite3.connect(path)) as filler, filler:
        filler.execute(
            """
            WITH RECURSIVE numbers (n) AS (SELECT 2 UNION ALL SELECT n + 1 FROM numbers WHERE n < ?)
            INSERT INTO turns (conversation_id, position, prompt, reply, state, created_at, told)
            SELECT 1, n, 'Why?', ?, 'complete', 0, 1 FROM numbers
            """,
            (turns, REPLY),
        )
    os.sync()  # or the first commits would wait for the filling to reach the disk


async def median_ms(call: Callable[[], Awaitable[object]], times: int = 50) -> float:
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        await call()
        taken.append((time.perf_counter() - began) * 1000)
    return statistics.median(taken)


async def measure(folder: Path, turns: int) -> dict[str, float]:
    """Milliseconds for each operation in a conversation of so many turns."""
    path = folder / f"{turns}.db"
    await fill(path, turns)
    async with SQLiteStore.open(path, exclusive=True) as store:
        running: list[Attempt] = []

        async def begin() -> None:
            attempt = await store.begin(Prompt(HERE, turns + len(running) + 1, "Why?"))
            if attempt:
                running.append(attempt)

        result = {"begin": await median_ms(begin, times=100)}
        unstarted = iter(running)
        result["start"] = await median_ms(lambda: store.start(next(unstarted)), times=100)
        result["context of 50 turns"] = await median_ms(lambda: store.earlier(running[-1].turn_id, None, 50))
        result["save 1 reply"] = await median_ms(lambda: store.save({running[0]: REPLY}))
        result["save 100 replies"] = await median_ms(lambda: store.save(dict.fromkeys(running, REPLY)))
        unclosed = iter(running)
        result["close"] = await median_ms(lambda: store.close(next(unclosed), Outcome(State.COMPLETE, REPLY)))
        began = itertools.count(2 * turns + 200)

        async def begin_many() -> None:
            await asyncio.gather(*(store.begin(Prompt(HERE, next(began), "Why?")) for _ in range(100)))

        result["begin 100 at once"] = await median_ms(begin_many, times=10)
        result["forget 1 turn"] = await median_ms(lambda: store.forget("discord:2"), times=1)
    return result


async def main() -> None:
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as folder:
        short, long = [await measure(Path(folder), turns) for turns in (100, 100_000)]
    sys.stdout.write(f"{'median, ms':22}{'100 turns':>12}{'100,000':>12}\n")
    for name, value in short.items():
        sys.stdout.write(f"{name:22}{value:12.2f}{long[name]:12.2f}\n")


asyncio.run(main())

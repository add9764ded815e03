"""How long others' writes wait while much is forgotten: `python -m benchmarks.forgetting [--gigabytes N] [folder]`."""

from __future__ import annotations

import argparse
import asyncio
import os
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from pathlib import Path
from unittest import mock

from bot.core.turns import Conversation, Prompt
from bot.store import Store
from bot.store.sqlite import erasing, open_store

HERE = Conversation("discord", "1")
"""The conversation of every tenth turn."""
SOMEBODY = 10**17
"""The person who asked in every twentieth turn."""
PROMPT = "What is this about, and what would you do in my place? "
REPLY = "A sentence of an answer, of the usual length. "


async def make(path: Path) -> None:
    async with open_store(path, exclusive=True) as store:
        for channel in range(1, 5001):
            await store.turns.begin(Prompt(Conversation("discord", str(channel)), 1, "Why?"))


def fill(path: Path, size: float) -> int:
    """Turns in 5,000 conversations of 3,000 people, until the file has this size in bytes. The answer is how many."""
    turns = 0
    with closing(sqlite3.connect(path)) as filler:
        filler.execute("PRAGMA synchronous = OFF")
        while (written := path.stat().st_size) < size:
            with filler:
                filler.executemany(
                    """
                    INSERT INTO stored_turns (
                        conversation_id, position, user_id, display_name, user_name, prompt, reply, state, created_at,
                        delivered
                    )
                    VALUES (?, ?, ?, 'Somebody', 'somebody', ?, ?, 'complete', ?, 1)
                    """,
                    (
                        (
                            1 if n % 10 == 0 else 2 + n * 7919 % 4999,
                            n + 2,
                            SOMEBODY if n % 20 == 1 else SOMEBODY + 1 + n * 104_729 % 3000,
                            PROMPT * (1 + n % 3),
                            REPLY * (5 + n % 31),
                            n * 10,  # seconds: few questions of anybody's are of the same hour
                        )
                        for n in range(turns, turns + 5000)
                    ),
                )
                filler.execute(
                    """
                    INSERT INTO charges
                        (turn_id, attempt, user_id, guild_id, model, day, prompt_tokens, reply_tokens, settled)
                    SELECT id, 1, user_id, 7, 'm', id % 60, 900, 300, 1 FROM stored_turns
                    WHERE user_id IS NOT NULL ORDER BY id DESC LIMIT 5000
                    """
                )
            filler.execute("PRAGMA wal_checkpoint(PASSIVE)")
            turns += 5000
            print(f"\rfilling: {min(1, written / size):4.0%}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    os.sync()  # or the first commits would wait for the filling to reach the disk
    return turns


@asynccontextmanager
async def others(store: Store) -> AsyncIterator[list[float]]:
    """Milliseconds that each write of somebody else takes, one after the other."""
    taken: list[float] = []
    some = asyncio.Event()

    async def write() -> None:
        number = time.time_ns()
        while True:
            number += 1
            began = time.perf_counter()
            await store.processed.mark(number)
            taken.append((time.perf_counter() - began) * 1000)
            some.set()
            await asyncio.sleep(0.002)

    writing = asyncio.create_task(write())
    try:
        await asyncio.sleep(0)
        yield taken
    finally:
        await some.wait()
        writing.cancel()
        with suppress(asyncio.CancelledError):
            await writing


async def measure(name: str, store: Store, work: Callable[[], Awaitable[object]]) -> None:
    async with others(store) as taken:
        began = time.perf_counter()
        await work()
        seconds = time.perf_counter() - began
    print(f"{name:32}{seconds:10.3f}{figures(taken)}", flush=True)


def figures(taken: list[float]) -> str:
    p95 = statistics.quantiles(taken, n=20)[-1] if len(taken) > 1 else taken[0]
    return f"{len(taken):9}{statistics.median(taken):9.1f}{p95:9.1f}{max(taken):9.1f}"


@contextmanager
def timed_steps() -> Iterator[list[float]]:
    """Milliseconds of each step in which rows go."""
    taken: list[float] = []
    purge_some = erasing.purge_some

    def timed(connection: sqlite3.Connection) -> bool:
        began = time.perf_counter()
        some = purge_some(connection)
        taken.append((time.perf_counter() - began) * 1000)
        return some

    with mock.patch.object(erasing, "purge_some", timed):
        yield taken


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gigabytes", type=float, default=0.05, help="size of the file (default: 0.05)")
    parser.add_argument("folder", nargs="?", help="where the file is made, and removed in the end")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        path = Path(folder) / "parley.db"
        await make(path)
        turns = fill(path, given.gigabytes * 1e9)
        print(f"{turns} turns in {given.gigabytes * 1000:,.0f} MB. Others' writes, ms:")
        print(f"{'':32}{'seconds':>10}{'writes':>9}{'p50':>9}{'p95':>9}{'longest':>9}")
        async with open_store(path, exclusive=True) as store:
            await store.engine.erase_deleted()
            await measure("nothing", store, lambda: asyncio.sleep(3))
            with timed_steps() as steps:
                await measure(
                    f"/reset of {turns // 10} turns", store, lambda: store.retention.forget_conversation(HERE)
                )
                await measure("  their rows and bytes", store, store.engine.erase_deleted)
                await measure(f"/forget-me of {turns // 20} turns", store, lambda: store.people.forget(SOMEBODY))
                await measure("  their rows and bytes", store, store.engine.erase_deleted)
                await measure("a deleted question", store, lambda: store.retention.forget_turn(77))
                await measure("  its bytes", store, store.engine.erase_deleted)
            print(f"{'each step':42}{figures(steps)}")


if __name__ == "__main__":
    asyncio.run(main())

"""What reading a turn's context costs, by the number of turns that the conversation has: it is to stay the same.

    python -m benchmarks.context [--turns 1000000]

A conversation of 100 turns and one of so many are read by turns, each in a database of its own. That of a million turns
takes 5 GB meanwhile. The exit code is 1 if the median of the large one is more than 10 % above that of the small one,
summaries aside: of a million turns 16 of them are read, of 100 turns one, and never more than 40.
"""

from __future__ import annotations

import argparse
import asyncio
import sqlite3
import statistics
import sys
import tempfile
import time
from contextlib import closing
from functools import partial
from pathlib import Path

from benchmarks.store import GUILD, HERE, fill
from bot.core.preparing import TYPICAL_TURN_TOKENS
from bot.core.turns import Attempt, Prompt, UserName
from bot.store import Store
from bot.store.sqlite import open_store
from bot.store.summaries import TOGETHER

FEW = 100
READ = 8000 // TYPICAL_TURN_TOKENS
"""The turns that are read for a window of 8,000 tokens."""
BLOCK = 20
SUMMARY = "- Bo: the boat is called Marigold, and she is moored in the harbour until 14 March. " * 8
"""About as long as the model may make one."""
READINGS = 100
"""Readings of one conversation in a row, in each round."""
PERSON = 1
MOST = 1.10


def summarize(path: Path, turns: int) -> None:
    """Summaries of all turns but the latest `READ`, and of those summaries, as many as there are in the long run."""
    with closing(sqlite3.connect(path)) as filler, filler:
        blocks, size, level = (turns - READ) // BLOCK, BLOCK, 1
        while blocks > 0:
            filler.execute(
                """
                WITH RECURSIVE numbers (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n < :blocks - 1)
                INSERT INTO stored_summaries
                    (conversation_id, level, begins, ends, shown_from, due_at, since, until, text)
                SELECT 1, :level, n * :size + 1, (n + 1) * :size + 1, (n + 1) * :size + 1, NULL, 0, 0, :text
                FROM numbers
                """,
                {"blocks": blocks, "level": level, "size": size, "text": SUMMARY},
            )
            # The two latest of the blocks wait for more.
            blocks, size, level = (blocks - (2 if level == 1 else 0)) // TOGETHER, size * TOGETHER, level + 1


async def asked(store: Store, turns: int) -> int:
    """The id of a turn that waits for its answer, of somebody with notes."""
    for text in ("Call me Kim.", "I am vegan. " * 40):
        await store.notes.add(PERSON, GUILD, text, len(text))
    attempt = await store.turns.begin(
        Prompt(HERE, turns + 1, "Why?", PERSON, UserName("Bo", "bo"), GUILD, message_id=turns + 1)
    )
    if not isinstance(attempt, Attempt):
        raise RuntimeError("the question was not accepted")
    return attempt.turn_id


async def read_ms(store: Store, turn_id: int, *, summaries: bool) -> float:
    """Milliseconds in which all is read that a request needs of its conversation and of its author."""
    began = time.perf_counter()
    notes = await store.notes.texts_of(PERSON, GUILD)
    page = await store.windows.earlier(turn_id, None, READ)
    if summaries:
        await store.summaries.in_context(turn_id, page.begins)
    taken = (time.perf_counter() - began) * 1000
    if len(page.turns) < READ or len(notes) != 2:
        raise RuntimeError("not all of the context was read")
    return taken


async def measure(folder: Path, turns: int, rounds: int) -> bool:
    """Print the figures. Returns whether the context of so many turns is read as fast as that of few."""
    questions: dict[int, int] = {}
    for number in (FEW, turns):
        await fill(path := database(folder, number), number, told=partial(stored, number))
        summarize(path, number)
        async with open_store(path, exclusive=True) as store:
            questions[number] = await asked(store, number)
    flat = True
    for title, standing, summaries in (
        ("nothing has left the window", False, False),
        ("the window stands", True, False),
        ("the window stands, with summaries", True, True),
    ):
        taken: dict[int, list[float]] = {number: [] for number in questions}
        for at in range(rounds):
            progress(f"{title}: {at} of {rounds} rounds")
            for number, turn_id in questions.items():
                async with open_store(database(folder, number), exclusive=True) as store:
                    begins = number - READ + 1 if standing else 0
                    await store.engine.write("UPDATE conversations SET window_begins = :to WHERE id = 1", to=begins)
                    values = [await read_ms(store, turn_id, summaries=summaries) for _ in range(READINGS)]
                    # A connection is slow at first, whatever it reads.
                    taken[number] += values[READINGS // 10 :]
        progress("")
        medians = {number: statistics.median(values) for number, values in taken.items()}
        print(f"{title + ', milliseconds':48}{'p50':>8}{'p95':>8}")
        for number, values in taken.items():
            p95 = statistics.quantiles(values, n=20)[-1]
            print(f"  {f'{number:,} turns':46}{medians[number]:8.2f}{p95:8.2f}")
        ratio = medians[turns] / medians[FEW]
        print(f"  {'ratio of the medians':46}{ratio:8.2f}")
        # More has left the one window than the other, so more summaries are read.
        flat = flat and (summaries or ratio <= MOST)
    return flat


def database(folder: Path, turns: int) -> Path:
    return folder / f"{turns}.db"


def stored(turns: int, so_far: int) -> None:
    progress(f"{so_far:,} of {turns:,} turns stored")


def progress(what: str) -> None:
    """Show how far it is, in the place of what was shown before."""
    print(f"\r\x1b[K{what}", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=40, help=f"of {READINGS} readings of each")
    parser.add_argument("--folder", help="where the databases are made; else where the system keeps such things")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        sys.exit(0 if asyncio.run(measure(Path(folder), options.turns, options.rounds)) else 1)

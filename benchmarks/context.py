"""What reading a turn's context costs, by the number of turns that the conversation has: it is to stay the same.

    python -m benchmarks.context [--turns 1000000] [--engine postgresql]

Conversations of 100 turns and one of so many are read by turns, each in a database of its own. That of a million turns
takes 5 GB meanwhile. For PostgreSQL, the files are moved to a server of the benchmark's own. The exit code is 1 if the
median of the large one is more than 10 % above that of a small one with as many summaries, of which each stands for
less, or if more summaries are read than there may be of any conversation.
"""

from __future__ import annotations

import argparse
import asyncio
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import NamedTuple

from benchmarks.harness import progress
from benchmarks.store import GUILD, HERE, fill
from bot.core.preparing import TYPICAL_TURN_TOKENS
from bot.core.turns import Attempt, Prompt, UserName
from bot.store import Store
from bot.store.databases import Database, DatabaseServer, open_store
from bot.store.moving import move
from bot.store.summaries import MOST_SHOWN, TOGETHER
from tests.postgresql import MISSING, installed, running

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
    blocks, size, level = (turns - READ) // BLOCK, BLOCK, 1
    while blocks > 0:
        add_summaries(path, level, blocks, size)
        # The two latest of the blocks wait for more.
        blocks, size, level = (blocks - (2 if level == 1 else 0)) // TOGETHER, size * TOGETHER, level + 1


def add_summaries(path: Path, level: int, blocks: int, size: int) -> None:
    """Summaries of so many blocks of `size` turns each, from the first turn on."""
    with closing(sqlite3.connect(path)) as filler, filler:
        filler.execute(
            """
            WITH RECURSIVE numbers (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n < :blocks - 1)
            INSERT INTO stored_summaries (conversation_id, level, begins, ends, shown_from, due_at, since, until, text)
            SELECT 1, :level, n * :size + 1, (n + 1) * :size + 1, (n + 1) * :size + 1, NULL, 0, 0, :text
            FROM numbers
            """,
            {"blocks": blocks, "level": level, "size": size, "text": SUMMARY},
        )


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


async def read_ms(store: Store, turn_id: int, summaries: int | None) -> float:
    """Milliseconds in which all is read that a request needs of its conversation and of its author."""
    began = time.perf_counter()
    notes = await store.notes.texts_of(PERSON, GUILD)
    page = await store.windows.earlier(turn_id, None, READ)
    found = () if summaries is None else (await store.summaries.in_context(turn_id, page.begins)).latest_first
    taken = (time.perf_counter() - began) * 1000
    if len(page.turns) < READ or len(notes) != 2 or len(found) != (summaries or 0):
        raise RuntimeError("not all of the context was read")
    return taken


class Talk(NamedTuple):
    """A conversation that is read."""

    database: Database
    turns: int
    asked: int
    summaries: int

    def title(self, *, summaries: bool) -> str:
        """What it is called in the figures."""
        number = f", {self.summaries} {'summary' if self.summaries == 1 else 'summaries'}"
        return f"{self.turns:,} turns{number if summaries else ''}"

    async def read(self, *, standing: bool, summaries: bool) -> list[float]:
        """Milliseconds of the readings of one round."""
        begins = self.turns - READ + 1 if standing else 0
        async with open_store(self.database, exclusive=True) as store:
            await store.engine.write("UPDATE conversations SET window_begins = :to WHERE id = 1", to=begins)
            wanted = self.summaries if summaries else None
            taken = [await read_ms(store, self.asked, wanted) for _ in range(READINGS)]
        # A connection is slow at first, whatever it reads.
        return taken[READINGS // 10 :]


async def made(path: Path, turns: int, summarize: Callable[[Path], None], url: str | None) -> Talk:
    """A conversation of so many turns, with a question that waits, in a file or moved from it to a server."""
    await fill(path, turns, told=partial(stored, turns))
    summarize(path)
    async with open_store(path, exclusive=True) as store:
        turn_id = await asked(store, turns)
        shown = (await store.summaries.in_context(turn_id, turns - READ + 1)).latest_first
    if url is None:
        return Talk(path, turns, turn_id, len(shown))
    await move(path, url, lambda at: progress(f"{at.step} {at.done:,} of {at.of:,} rows"))
    await asyncio.to_thread(path.unlink)
    return Talk(DatabaseServer(url), turns, turn_id, len(shown))


async def measure(folder: Path, turns: int, rounds: int, urls: Sequence[str | None]) -> bool:
    """Print the figures. Returns whether the context of so many turns is read as fast as that of few.

    `urls` are those of three databases on a server, or None for files.
    """
    long = await made(folder / "long.db", turns, partial(summarize, turns=turns), urls[0])
    short = await made(folder / "short.db", FEW, partial(summarize, turns=FEW), urls[1])
    # Its summaries stand for one turn each, so that there are as many of them.
    as_many = partial(add_summaries, level=1, blocks=long.summaries, size=1)
    alike = await made(folder / "alike.db", FEW, as_many, urls[2])
    flat = long.summaries <= MOST_SHOWN
    for title, standing, summaries, talks in (
        ("nothing has left the window", False, False, (short, long)),
        ("the window stands", True, False, (short, long)),
        ("the window stands, with summaries", True, True, (short, alike, long)),
    ):
        taken: dict[Talk, list[float]] = {talk: [] for talk in talks}
        for at in range(rounds):
            progress(f"{title}: {at} of {rounds} rounds")
            for talk, values in taken.items():
                values += await talk.read(standing=standing, summaries=summaries)
        progress("")
        medians = {talk: statistics.median(values) for talk, values in taken.items()}
        print(f"{title + ', milliseconds':48}{'p50':>8}{'p95':>8}")
        for talk, values in taken.items():
            p95 = statistics.quantiles(values, n=20)[-1]
            print(f"  {talk.title(summaries=summaries):46}{medians[talk]:8.2f}{p95:8.2f}")
        for talk in talks[:-1]:
            print(f"  {'ratio to ' + talk.title(summaries=summaries):46}{medians[long] / medians[talk]:8.2f}")
        flat = flat and medians[long] / medians[talks[-2]] <= MOST
    return flat


def stored(turns: int, so_far: int) -> None:
    progress(f"{so_far:,} of {turns:,} turns stored")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=40, help=f"of {READINGS} readings of each")
    parser.add_argument("--engine", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--folder", help="where the databases are made; else where the system keeps such things")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder, ExitStack() as stack:
        urls: list[str | None] = [None] * 3
        if options.engine == "postgresql":
            if (binaries := installed()) is None:
                sys.exit(f"{MISSING}.")
            server = stack.enter_context(running(binaries, loopback=True))
            urls = [stack.enter_context(server.new_database()) for _ in urls]
        sys.exit(0 if asyncio.run(measure(Path(folder), options.turns, options.rounds, urls)) else 1)

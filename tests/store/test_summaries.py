"""How summaries are read and stored, however long their conversation is."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from bot.store.sqlite import open_store
from bot.store.summaries import MOST_SHOWN, TOGETHER
from tests.store.steps import HERE, answer, begin, database_of

BLOCK = 20
"""Turns of which a summary is made."""


def summarize(path: Path, blocks: int, *, up: bool) -> None:
    """Turns and summaries of so many blocks, and with `up` summaries of these, as many as there come to be."""
    turns = blocks * BLOCK
    with closing(sqlite3.connect(path)) as filler, filler:
        filler.execute(
            """
            WITH RECURSIVE numbers (n) AS (SELECT 2 UNION ALL SELECT n + 1 FROM numbers WHERE n < ?)
            INSERT INTO stored_turns (conversation_id, position, number, prompt, reply, state, created_at, delivered)
            SELECT 1, n, n, 'p', 'r', 'complete', 0, 1 FROM numbers
            """,
            (turns,),
        )
        filler.execute("UPDATE conversations SET last_number = ?, window_begins = ?", (turns, turns + 1))
        level, size = 1, BLOCK
        while blocks > 0:
            filler.executemany(
                """
                INSERT INTO stored_summaries
                    (conversation_id, level, begins, ends, shown_from, due_at, since, until, text)
                VALUES (1, ?, ?, ?, 0, NULL, 0, 0, ?)
                """,
                [(level, n * size + 1, (n + 1) * size + 1, f"{level}.{n}") for n in range(blocks)],
            )
            # The two latest of the blocks wait for more.
            blocks, size, level = (
                (blocks - (2 if level == 1 else 0)) // TOGETHER if up else 0,
                size * TOGETHER,
                level + 1,
            )


async def test_so_many_are_read_at_most_and_at_the_same_cost(tmp_path: Path) -> None:
    async def read(blocks: int, *, up: bool) -> tuple[list[str], int]:
        """The texts, latest first, and how many instructions SQLite's machine runs for them."""
        path = tmp_path / f"{blocks}.db"
        async with open_store(path, exclusive=True) as store:
            await answer(store, 1, "r")
        summarize(path, blocks, up=up)
        steps = 0

        def count() -> None:
            nonlocal steps
            steps += 1

        async with open_store(path, exclusive=True) as store:
            this = await begin(store, blocks * BLOCK + 1)
            await database_of(store)._reader.set_progress_handler(count, 1)
            found = await store.summaries.in_context(this.turn_id, None)
        return [summary.text for summary in found.latest_first], steps

    # So many that each level has the most that it ever has.
    blocks = TOGETHER**5 + 1
    long, steps_of_long = await read(blocks, up=True)
    short, steps_of_short = await read(MOST_SHOWN, up=False)
    assert len(long) == len(short) == MOST_SHOWN
    assert long[:5] == [f"1.{blocks - 1 - n}" for n in range(5)]
    assert [text[0] for text in long[5:]] == [*"222333444", *"55"]
    assert steps_of_long <= steps_of_short * 1.05


async def test_job_of_all_that_was_said_is_split_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "chat.db"
    async with open_store(path, exclusive=True) as store:
        await answer(store, 1, "r")
    summarize(path, 50, up=False)
    async with open_store(path, exclusive=True) as store:
        await store.engine.write("UPDATE stored_turns SET reply = :reply", reply="r" * 1000)
        assert await store.summaries.remake(HERE)

        def limit(connection: sqlite3.Connection) -> None:
            connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 100_000)

        await database_of(store)._reader.do(limit)
        job = await store.summaries.next_due([])
        assert job is not None
        assert await store.summaries.block_of(job, 20_000) is None
        latest = await store.summaries.next_due([])
        assert latest is not None
        block = await store.summaries.block_of(latest, 20_000)
    assert block is not None
    assert [turn.number for turn in block.turns] == list(range(982, 1001))


async def test_summary_does_not_wait_for_a_title_that_is_to_be_tried_again(tmp_path: Path) -> None:
    async with open_store(tmp_path / "chat.db", exclusive=True) as store:
        await answer(store, 1, "r")
        await store.engine.write(
            """
            INSERT INTO stored_summaries (conversation_id, level, begins, ends, shown_from, due_at)
            VALUES (1, 0, 1, 2, 0, 9999999999), (1, 1, 1, 2, 2, 0)
            """
        )
        job = await store.summaries.next_due([])
    assert job is not None
    assert job.level == 1

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

from bot.core.quotas import Quotas, Usage
from bot.core.turns import Attempt, Conversation, Outcome, Prompt, TurnState, UserName
from bot.store import Store
from bot.store.sqlite import open_store

HERE = Conversation("discord", "1")
GUILD = 7
PEOPLE = 5000
PLENTY = Quotas(100, daily_tokens_per_user=10**12, daily_tokens_per_server=10**12, daily_tokens_total=10**12)
REPLY = "A sentence of an answer, of the usual length. " * 20


FILLED_AT_ONCE = 50_000


async def fill(path: Path, turns: int, told: Callable[[int], None] = lambda _stored: None) -> None:
    """A conversation of `turns` answered turns that were all paid for today, and one of a single turn to forget.

    `told` gets the number of turns that are there so far.
    """
    async with open_store(path, exclusive=True) as store:
        for conversation, position in ((HERE, 1), (Conversation("discord", "2"), 2**40)):
            attempt = await store.turns.begin(Prompt(conversation, position, "Why?"))
            if isinstance(attempt, Attempt):
                await store.turns.close(attempt, Outcome(TurnState.COMPLETE, REPLY))
    with closing(sqlite3.connect(path)) as filler, filler:
        for first in range(2, turns + 1, FILLED_AT_ONCE):
            last = min(first + FILLED_AT_ONCE - 1, turns)
            filler.execute(
                """
                WITH RECURSIVE numbers (n) AS (SELECT ? UNION ALL SELECT n + 1 FROM numbers WHERE n < ?)
                INSERT INTO stored_turns
                    (conversation_id, position, number, prompt, reply, state, created_at, delivered)
                SELECT 1, n, n, 'Why?', ?, 'complete', 0, 1 FROM numbers
                """,
                (first, last, REPLY),
            )
            filler.commit()
            told(last)
        filler.execute("UPDATE conversations SET last_number = ? WHERE id = 1", (turns,))
        filler.execute(
            """
            INSERT INTO charges
                (turn_id, attempt, user_id, guild_id, model, day, prompt_tokens, reply_tokens, settled)
            SELECT id, attempt, id % ?, ?, 'm', ?, 2000, 300, 1 FROM turns
            """,
            (PEOPLE, GUILD, int(time.time()) // 86_400),
        )
    os.sync()  # or the first commits would wait for the filling to reach the disk


async def median_ms(call: Callable[[], Awaitable[object]], times: int = 50) -> float:
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        await call()
        taken.append((time.perf_counter() - began) * 1000)
    return statistics.median(taken)


async def way_of_a_turn(store: Store, position: int) -> None:
    """All that the store does for a turn with one message, but its context."""
    person = position % PEOPLE
    await store.guild_rules.rules_for(GUILD, person)
    attempt = await store.turns.begin(
        Prompt(HERE, position, "Why?", person, UserName("Bo", "bo"), GUILD, message_id=position),
        PLENTY.hourly_questions_per_user,
    )
    if isinstance(attempt, Attempt):
        await store.turns.of_attempt(attempt)
        await store.personas.settings_of(HERE)
        await store.token_statistics.of("m")
        await store.quotas.reserve(attempt, "m", 2000, 4000, 100, PLENTY)
        await store.deliveries.posting(attempt, 0, 0, str(position))
        await store.deliveries.posted(attempt, 0, position)
        await store.turns.close(attempt, Outcome(TurnState.COMPLETE, REPLY, usage=Usage(2000, 300)))
        await store.turns.mark_delivered(attempt)


async def measure(folder: Path, turns: int) -> dict[str, float]:
    """Milliseconds for each operation in a conversation of so many turns."""
    path = folder / f"{turns}.db"
    await fill(path, turns)
    async with open_store(path, exclusive=True) as store:
        running: list[Attempt] = []

        async def begin() -> None:
            attempt = await store.turns.begin(Prompt(HERE, turns + len(running) + 1, "Why?"))
            if isinstance(attempt, Attempt):
                running.append(attempt)

        result = {"begin": await median_ms(begin, times=100)}
        result["context of 50 turns"] = await median_ms(lambda: store.windows.earlier(running[-1].turn_id, None, 50))
        result["save 1 reply"] = await median_ms(lambda: store.turns.save({running[0]: REPLY}))
        result["save 100 replies"] = await median_ms(lambda: store.turns.save(dict.fromkeys(running, REPLY)))
        unclosed = iter(running)
        result["close"] = await median_ms(lambda: store.turns.close(next(unclosed), Outcome(TurnState.COMPLETE, REPLY)))
        began = itertools.count(2 * turns + 200)

        async def begin_many() -> None:
            await asyncio.gather(*(store.turns.begin(Prompt(HERE, next(began), "Why?")) for _ in range(100)))

        result["begin 100 at once"] = await median_ms(begin_many, times=10)
        began = itertools.count(3 * turns + 10_000)
        taken = []
        for _ in range(300):
            at = time.perf_counter()
            await way_of_a_turn(store, next(began))
            taken.append((time.perf_counter() - at) * 1000)
        result["the way of a turn"] = statistics.median(taken)
        result["  its 95th percentile"] = statistics.quantiles(taken, n=20)[-1]
        result["forget 1 turn"] = await median_ms(
            lambda: store.retention.forget_conversation(Conversation("discord", "2")), times=1
        )
        result["erase what is due"] = await median_ms(store.engine.erase_deleted, times=1)
    return result


async def size_of_a_turn(folder: Path, length: int) -> float:
    """KB that the file grows by with each turn whose question and reply have so many characters together."""
    path, turns = folder / f"{length}.db", 500
    async with open_store(path, exclusive=True) as store:
        await store.turns.begin(Prompt(Conversation("discord", "2"), 1, "Why?"))
    before = path.stat().st_size
    async with open_store(path, exclusive=True) as store:
        for position in range(turns):
            prompt = Prompt(HERE, position + 1, "Why?", 1, UserName("Bo", "bo"), GUILD, message_id=position + 1)
            attempt = await store.turns.begin(prompt)
            if isinstance(attempt, Attempt):
                await store.turns.close(attempt, Outcome(TurnState.COMPLETE, "a" * (length - len("Why?"))))
    return (path.stat().st_size - before) / turns / 1000


async def main() -> None:
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as folder:
        short, long = [await measure(Path(folder), turns) for turns in (100, 100_000)]
        sizes = {length: await size_of_a_turn(Path(folder), length) for length in (500, 3500, 7500, 15_500)}
    sys.stdout.write(f"{'median, ms':24}{'100 turns':>12}{'100,000':>12}\n")
    for name, value in short.items():
        sys.stdout.write(f"{name:24}{value:12.2f}{long[name]:12.2f}\n")
    for length, size in sizes.items():
        sys.stdout.write(f"a turn of {length:6,} characters takes {size:5.1f} KB of the file\n")


if __name__ == "__main__":
    asyncio.run(main())

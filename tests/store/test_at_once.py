"""What is read and then written: of two processes that do it at once, each sees what the other has done before.

The processes' transactions are held between their reads and their writes until all of them are in each other's way.
Without the locks that they name, all would go by what was there before the first of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import psycopg
import pytest

from bot.core.quotas import Contended, Quotas, Reservation, Usage
from bot.core.records import NoteResult
from bot.core.turns import Attempt, Outcome, Prompt, TurnState
from bot.store import Store
from bot.store.postgresql import connection, open_store
from tests.places import on_discord
from tests.store.steps import HERE, begin
from tests.waiting import until

BO, GUILD = 7, 9
AT_ONCE = 6
"""No more than the connections for writing that two processes have."""
_HELD = 4711
"""The advisory lock for which what is held waits."""
_WAITING = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"

Step = Callable[[], Awaitable[object]]


@pytest.fixture
async def stores(postgresql_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Sequence[Store]]:
    """Those of two processes, which wait for each other as long as a slow machine needs."""
    monkeypatch.setattr(connection, "LOCK_S", 120)
    async with open_store(postgresql_url, serving=False) as one, open_store(postgresql_url, serving=False) as other:
        yield one, other


@asynccontextmanager
async def held(url: str, write: str) -> AsyncIterator[Callable[[int], Coroutine[Any, Any, None]]]:
    """Hold every write of a kind (such as `INSERT ON notes`) until the block ends.

    The block is given a call that waits until so many transactions wait for others.
    """
    async with (
        await psycopg.AsyncConnection.connect(url, autocommit=True) as holding,
        await psycopg.AsyncConnection.connect(url, autocommit=True) as looking,
    ):
        await holding.execute(
            f"""
            CREATE FUNCTION hold() RETURNS TRIGGER LANGUAGE plpgsql AS $$
            BEGIN PERFORM pg_advisory_xact_lock_shared({_HELD}); RETURN NEW; END $$
            """.encode()
        )
        await holding.execute(f"CREATE TRIGGER a_hold BEFORE {write} FOR EACH ROW EXECUTE FUNCTION hold()".encode())
        await holding.execute(f"SELECT pg_advisory_lock({_HELD})".encode())

        async def waiting() -> int:
            [count] = await (await looking.execute(_WAITING)).fetchone() or [0]
            return int(count)

        async def all_wait(number: int) -> None:
            await until(waiting, number)

        yield all_wait
        await holding.execute(f"SELECT pg_advisory_unlock({_HELD})".encode())


async def at_once(url: str, write: str, steps: Sequence[Step]) -> list[object]:
    """What these answer that all get as far as they can before the first of them has written."""
    async with held(url, write) as all_wait:
        begun = [asyncio.ensure_future(step()) for step in steps]
        await all_wait(len(steps))
    return list(await asyncio.gather(*begun))


async def test_what_is_left_of_a_quota_is_promised_once(stores: Sequence[Store], postgresql_url: str) -> None:
    quotas = Quotas(100, daily_tokens_total=2000)
    attempts = [await begin(stores[0], position) for position in range(1, AT_ONCE + 1)]
    steps = [
        partial(stores[number % 2].quotas.reserve, each, "m", 600, 400, 400, quotas)
        for number, each in enumerate(attempts)
    ]
    granted = await at_once(postgresql_url, "INSERT ON charges", steps)
    assert sorted(map(type, granted), key=str) == [Contended] * (AT_ONCE - 2) + [Reservation] * 2
    assert (await stores[0].quotas.usage_today()).total == 2000


async def test_as_many_questions_begin_as_an_hour_has(stores: Sequence[Store], postgresql_url: str) -> None:
    prompts = [Prompt(on_discord(n), n, "Why?", BO, message_id=n) for n in range(1, AT_ONCE + 1)]
    steps = [partial(stores[number % 2].turns.begin, each, 2) for number, each in enumerate(prompts)]
    begun = await at_once(postgresql_url, "INSERT ON stored_turns", steps)
    assert sum(isinstance(each, Attempt) for each in begun) == 2


async def test_as_many_notes_are_kept_as_there_is_room_for(stores: Sequence[Store], postgresql_url: str) -> None:
    steps = [partial(stores[number % 2].notes.add, BO, None, f"note {number}", 400) for number in range(AT_ONCE)]
    added = await at_once(postgresql_url, "INSERT ON notes", steps)
    assert sorted(added, key=str) == sorted([NoteResult.ADDED] * 2 + [NoteResult.FULL] * (AT_ONCE - 2), key=str)


async def test_message_is_begun_or_marked_but_not_both(stores: Sequence[Store], postgresql_url: str) -> None:
    prompt = Prompt(HERE, 1, "Why?", BO, message_id=1)
    async with held(postgresql_url, "INSERT ON stored_turns") as all_wait:
        begun = asyncio.create_task(stores[0].turns.begin(prompt))
        await all_wait(1)
        marked = asyncio.create_task(stores[1].processed.mark(1))
        waits = asyncio.create_task(all_wait(2))
        await asyncio.wait([marked, waits], return_when=asyncio.FIRST_COMPLETED)
        waits.cancel()
    assert isinstance(await begun, Attempt)
    assert await marked is False


async def test_turn_that_is_closed_twice_is_numbered_and_charged_once(
    stores: Sequence[Store], postgresql_url: str
) -> None:
    attempt = await begin(stores[0], 1)
    done = Outcome(TurnState.COMPLETE, "So.", usage=Usage(3, 4))
    steps = [partial(stores[number % 2].turns.close, attempt, done) for number in range(AT_ONCE)]
    assert sum(map(bool, await at_once(postgresql_url, "UPDATE ON conversations", steps))) == 1
    await stores[1].turns.close(await begin(stores[0], 2), done)
    rows = await stores[0].engine.read("SELECT number FROM turns ORDER BY number")
    assert [row["number"] for row in rows] == [1, 2]


async def test_turn_is_tried_again_once(stores: Sequence[Store], postgresql_url: str) -> None:
    attempt = await begin(stores[0], 1)
    await stores[0].turns.close(attempt, Outcome(TurnState.FAILED, "half"))
    steps = [
        partial(stores[number % 2].turns.reopen, attempt, TurnState.FAILED, user_id=number, hourly_limit=5)
        for number in range(1, AT_ONCE + 1)
    ]
    again = await at_once(postgresql_url, "INSERT ON recent_questions", steps)
    assert [each for each in again if each is not None] == [Attempt(attempt.turn_id, 2)]
    asked = await stores[0].engine.read("SELECT user_id FROM recent_questions WHERE attempt = 2")
    assert len(asked) == 1, "and counts for the one who is answered"

"""PostgreSQL finds rows by indexes: what a turn costs, and a deletion, does not grow with all that is stored."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote

import psycopg
import pytest

from bot.core.quotas import Quotas, Reservation, Usage
from bot.core.turns import Attempt, Outcome, Prompt, TurnState, UserName
from bot.core.usage import LeastRequest
from bot.store import Store
from bot.store.postgresql import open_store
from tests.places import on_discord
from tests.postgresql import Server

GUILD, BO = 9, 7
PLENTY = Quotas(10_000, 10**12, 10**12, 10**12)
_STORED = """
    SET session_replication_role = replica;
    INSERT INTO conversations (platform, channel, guild_id, used_at, last_number)
    SELECT 'discord', n::text, 9, 0, 20 FROM generate_series(1, 2000) AS n;
    INSERT INTO stored_turns (
        conversation_id, number, position, message_id, user_id, prompt, reply, state, created_at, delivered
    )
    SELECT n % 100 * 20 + 1, n / 100 + 1, n, n, n % 500, 'Why?', 'So.', 'complete', 0, 1
    FROM generate_series(1, 20000) AS n;
    INSERT INTO charges (turn_id, attempt, user_id, guild_id, model, day, prompt_tokens, reply_tokens, settled)
    SELECT n, 1, n % 500, 9, 'm', n / 100, 10, 10, 1 FROM generate_series(1, 20000) AS n;
    INSERT INTO daily_usage (day, scope, id, tokens, cost)
    SELECT n / 100, 'user', n, 20, 0 FROM generate_series(1, 20000) AS n;
    INSERT INTO processed_messages (message_id, at) SELECT n, 0 FROM generate_series(1, 20000) AS n;
    INSERT INTO recent_questions (user_id, at, turn_id, attempt)
    SELECT n % 500, n, n, 1 FROM generate_series(1, 20000) AS n;
    INSERT INTO messages (turn_id, part, start, nonce, message_id)
    SELECT n, 0, 0, n, n FROM generate_series(1, 20000) AS n;
    INSERT INTO notes (user_id, guild_id, size, created_at, used_at, text)
    SELECT n % 5000, 9, 5, 0, 0, 'Vegan' FROM generate_series(1, 10000) AS n;
    """
_LARGE = "conversations|stored_turns|charges|daily_usage|processed_messages|recent_questions|messages|notes"
_UNDER_WAY = "charges_open|turns_undelivered"
_WHOLE = re.compile(
    rf"Seq Scan on ({_LARGE})\b|Index (Only )?Scan using (?!{_UNDER_WAY})\w+ on ({_LARGE})\b.*\n(?!.*Index Cond:)"
)
"""A part of a plan that reads all of a table, or of an index other than those of what is under way."""
_EXPLAIN = (
    "-c session_preload_libraries=auto_explain -c auto_explain.log_min_duration=0"
    " -c auto_explain.log_nested_statements=on -c compute_query_id=off"
)


@pytest.fixture
def explained(postgresql_server: Server, postgresql_url: str) -> str:
    """The URL of a database with much in it, whose server logs how it finds what it is asked for."""
    with psycopg.connect(postgresql_url, autocommit=True) as connection:
        connection.execute(_STORED)
        connection.execute("ANALYZE")
    return f"{postgresql_url}&options={quote(_EXPLAIN)}"


@contextmanager
def nothing_large_is_read_as_a_whole(server: Server, statement: str) -> Iterator[None]:
    """In the block, which runs this statement."""
    log = server.folder / "log"
    before = len(log.read_text(errors="replace"))
    yield
    plans = re.split(r"\n(?=\d{4}-\d\d-\d\d )", log.read_text(errors="replace")[before:])
    assert any(statement in plan and "Index Scan" in plan for plan in plans), "plans are logged"
    assert [plan for plan in plans if _WHOLE.search(plan)] == []


async def test_way_of_a_turn(postgresql_server: Server, explained: str) -> None:
    async with open_store(explained, serving=True) as store:
        with nothing_large_is_read_as_a_whole(postgresql_server, "INSERT INTO charges"):
            # More often than a statement is planned for its values. What it is planned for later is for all values.
            for number in range(30_000, 30_012):
                await turn(store, number)


async def test_deletion_of_what_was_forgotten(postgresql_server: Server, explained: str) -> None:
    """Each step, however late its rows are in their table, and before the server knows that few are forgotten."""
    async with open_store(explained, serving=True) as store:
        await store.retention.forget_conversation(on_discord(1981))
        await store.people.forget(BO)
        with nothing_large_is_read_as_a_whole(postgresql_server, "DELETE FROM stored_turns"):
            await store.engine.erase_deleted()
        [left] = await store.engine.read("SELECT count(*) AS turns FROM stored_turns")
        assert left["turns"] == 20_000 - 200 - 40


async def turn(store: Store, number: int) -> None:
    here = on_discord(number % 7 * 20 + 1)
    prompt = Prompt(here, number, "Why?", BO, UserName("Bo", "bo"), GUILD, message_id=number)
    least = LeastRequest(10, 10, PLENTY)
    assert await store.quotas.exceeded(prompt, least) is None
    attempt = await store.turns.begin(prompt, 10_000, least)
    assert isinstance(attempt, Attempt)
    assert await store.turns.of_attempt(attempt) is not None
    assert await store.notes.texts_of(BO, GUILD)
    assert (await store.windows.earlier(attempt.turn_id, None, 32)).turns
    await store.summaries.in_context(attempt.turn_id, None)
    assert await store.quotas.reserve(attempt, "m", 100, 100, 10, PLENTY) == Reservation(100)
    await store.turns.save({attempt: "So"}, {attempt: 1})
    await store.deliveries.posting(attempt, 0, 0, str(number))
    await store.deliveries.posted(attempt, 0, number)
    assert await store.turns.close(attempt, Outcome(TurnState.COMPLETE, "So.", usage=Usage(100, 10)))
    await store.turns.mark_delivered(attempt)

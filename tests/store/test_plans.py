"""PostgreSQL finds what a turn needs by indexes: what a turn costs does not grow with what is stored."""

from __future__ import annotations

import re
from urllib.parse import quote

import psycopg

from bot.core.quotas import Quotas, Reservation, Usage
from bot.core.turns import Attempt, Outcome, Prompt, TurnState, UserName
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
    SELECT n % 2000 + 1, n / 2000 + 1, n, n, n % 500, 'Why?', 'So.', 'complete', 0, 1
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
_EXPLAIN = (
    "-c session_preload_libraries=auto_explain -c auto_explain.log_min_duration=0"
    " -c auto_explain.log_nested_statements=on -c compute_query_id=off"
)


async def test_nothing_large_is_read_as_a_whole_on_the_way_of_a_turn(
    postgresql_server: Server, postgresql_url: str
) -> None:
    with psycopg.connect(postgresql_url, autocommit=True) as connection:
        connection.execute(_STORED)
        connection.execute("ANALYZE")
    log = postgresql_server.folder / "log"
    before = len(log.read_text(errors="replace"))
    async with open_store(f"{postgresql_url}&options={quote(_EXPLAIN)}", serving=True) as store:
        # More often than a statement is planned for its values: what it is planned for later is for all values.
        for number in range(30_000, 30_012):
            here = on_discord(number % 7 + 1)
            prompt = Prompt(here, number, "Why?", BO, UserName("Bo", "bo"), GUILD, message_id=number)
            assert await store.quotas.exceeded(prompt, 10, 10, PLENTY) is None
            attempt = await store.turns.begin(prompt, 10_000)
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
        told = log.read_text(errors="replace")[before:]
    plans = re.split(r"\n(?=\d{4}-\d\d-\d\d )", told)
    assert any("INSERT INTO charges" in plan and "Index Scan" in plan for plan in plans), "they are told"
    assert [plan for plan in plans if re.search(rf"Seq Scan on ({_LARGE})\b", plan)] == []

"""Both engines are the same to the store: their schemas, their SQL, and what happens when many write at once."""

from __future__ import annotations

import asyncio
from importlib import resources
from pathlib import Path

import psycopg
import pytest

from bot.core.errors import StoreError
from bot.core.quotas import Quotas, Reservation, Usage
from bot.core.turns import Attempt, Outcome, Prompt, TurnState
from bot.store import Store
from bot.store.engine import Lock
from bot.store.postgresql import PostgreSQLEngine, open_store
from bot.store.postgresql.statements import bound
from bot.store.sqlite.engine import SQLiteEngine
from tests.places import on_discord
from tests.postgresql import Server
from tests.store.steps import HERE, answer, begin
from tests.waiting import until

_ALIKE = {"INTEGER": "bigint", "TEXT": "text", "REAL": "double precision"}
_OF_SEVERAL_PROCESSES = {"shards", "request_budget", "identify_turns", "session_starts", "processes"}
_OF_A_FILE = {"forgotten_by_commands"}


async def test_schemas_have_the_same_tables_views_columns_and_triggers(path: Path, postgresql_url: str) -> None:
    async with (
        SQLiteEngine.open(path, exclusive=True) as file,
        PostgreSQLEngine.open(postgresql_url, serving=True) as server,
    ):
        columns = await file.read(
            """
            SELECT t.name AS of, c.name, c.type, c."notnull", c.pk, c.hidden FROM sqlite_schema AS t
            JOIN pragma_table_xinfo(t.name) AS c
            WHERE t.type IN ('table', 'view') AND t.name NOT LIKE 'sqlite_%' AND c.name <> 'padding'
            """
        )
        is_view = {row["name"] for row in await file.read("SELECT name FROM sqlite_schema WHERE type = 'view'")}
        twins = await server.read(
            """
            SELECT table_name AS of, column_name AS name, data_type AS type, is_nullable, is_generated, collation_name
            FROM information_schema.columns
            WHERE table_schema = 'public' AND table_name NOT IN ('schema_version', 'commits')
            """
        )
        # A server tells the other processes by itself; what several share is not in a file of SQLite's.
        columns = [row for row in columns if row["of"] not in _OF_A_FILE]
        twins = [row for row in twins if row["of"] not in _OF_SEVERAL_PROCESSES]
        assert {(row["of"], row["name"]) for row in columns} == {(row["of"], row["name"]) for row in twins}
        here = {
            (row["of"], row["name"]): (_ALIKE[row["type"]], bool(row["notnull"] or row["pk"]), row["hidden"] > 1)
            for row in columns
            if row["of"] not in is_view
        }
        there = {
            (row["of"], row["name"]): (row["type"], row["is_nullable"] == "NO", row["is_generated"] == "ALWAYS")
            for row in twins
            if row["of"] not in is_view
        }
        assert here == there
        assert all(row["collation_name"] == "C" for row in twins if row["type"] == "text"), "sorted as SQLite sorts"

        named = "SELECT name FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL"
        indexes = {row["name"] for row in await file.read(named)}
        found = {row["indexname"] for row in await server.read("SELECT indexname FROM pg_indexes")}
        assert indexes <= found
        on = {row["tbl_name"] for row in await file.read("SELECT tbl_name FROM sqlite_schema WHERE type = 'trigger'")}
        triggers = await server.read("SELECT event_object_table AS of FROM information_schema.triggers")
        assert on == {row["of"] for row in triggers}


def test_each_migration_has_its_twin() -> None:
    """PostgreSQL's first file makes the schema of SQLite's migrations up to its number."""
    folder = resources.files("bot") / "migrations"
    ours, theirs = (
        sorted(entry.name for entry in where.iterdir() if entry.name.endswith(".sql"))
        for where in (folder, folder / "postgresql")
    )
    first, *later = theirs
    assert [name for name in ours if name > first] == later
    assert int(first[:4]) == len([name for name in ours if name < first])


async def test_schema_is_made_once_however_many_open_at_once(postgresql_server: Server) -> None:
    postgresql_server.execute("CREATE DATABASE opened_at_once")

    async def opened() -> int:
        url = postgresql_server.url("opened_at_once")
        async with PostgreSQLEngine.open(url, serving=False) as engine:
            return len(await engine.read("SELECT version FROM schema_version"))

    assert await asyncio.gather(*(opened() for _ in range(5))) == [1] * 5


async def test_request_that_is_let_through_counts_for_all_that_wait(postgresql_url: str) -> None:
    """Whoever waits for the sums looks at them when they are free: of four, the one that fits is let through."""
    quotas = Quotas(100, daily_tokens_total=2000)
    async with (
        open_store(postgresql_url, serving=True) as store,
        await psycopg.AsyncConnection.connect(postgresql_url) as other,
    ):
        first, *more = [await begin(store, position) for position in range(1, 6)]
        assert isinstance(await store.quotas.reserve(first, "m", 600, 400, 400, quotas), Reservation)
        await other.execute("UPDATE daily_usage SET tokens = tokens WHERE scope = 'total'")
        asked = [asyncio.create_task(store.quotas.reserve(each, "m", 600, 400, 400, quotas)) for each in more]
        waiting = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"

        async def all_wait() -> bool:
            return len(await store.engine.read(waiting)) == len(asked)

        await until(all_wait)
        await other.rollback()
        granted = await asyncio.gather(*asked)
        assert sum(isinstance(each, Reservation) for each in granted) == 1


async def test_hourly_questions_are_counted_when_asked_at_once(store: Store) -> None:
    await five_of_forty_begin(store)


async def test_operators_isolation_level_lets_no_more_questions_through(
    postgresql_server: Server, postgresql_url: str
) -> None:
    name = postgresql_url.removeprefix("postgresql:///").partition("?")[0]
    postgresql_server.execute(f"ALTER DATABASE {name} SET default_transaction_isolation = 'repeatable read'")
    async with open_store(postgresql_url, serving=True) as store:
        await five_of_forty_begin(store)


async def five_of_forty_begin(store: Store) -> None:
    """Where 5 questions are allowed, 5 of 40 begin, in as many channels."""
    prompts = [
        Prompt(type(HERE)("discord", str(number)), number, "Why?", user_id=7, message_id=number)
        for number in range(1, 41)
    ]
    begun = await asyncio.gather(*(store.turns.begin(prompt, 5) for prompt in prompts))
    assert sum(isinstance(each, Attempt) for each in begun) == 5


@pytest.mark.parametrize("change", ["DELETE FROM stored_turns", "UPDATE stored_turns SET prompt = 'Why not?'"])
async def test_summary_that_is_saved_while_a_turn_of_it_changes_does_not_outlive_that(
    postgresql_url: str, change: str
) -> None:
    async with (
        open_store(postgresql_url, serving=True) as store,
        await psycopg.AsyncConnection.connect(postgresql_url) as other,
    ):
        for position in range(1, 4):
            await answer(store, position, "Because.")
        await store.summaries.plan((await begin(store, 4)).turn_id, 0, 4)
        job = await store.summaries.next_due(())
        assert job is not None
        block = await store.summaries.block_of(job, 20_000)
        assert block is not None
        await other.execute(f"{change} WHERE position = 2".encode())
        saving = asyncio.create_task(store.summaries.commit(job, block, "They asked why."))
        waiting = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"

        async def saved_or_waits() -> bool:
            return saving.done() or bool(await store.engine.read(waiting))

        await until(saved_or_waits)
        await other.commit()
        await saving
        assert not await store.engine.read("SELECT 1 FROM stored_summaries WHERE text IS NOT NULL")


async def test_name_goes_with_the_last_two_that_mention_it_at_once(postgresql_url: str) -> None:
    async with (
        open_store(postgresql_url, serving=True) as store,
        await psycopg.AsyncConnection.connect(postgresql_url) as other,
    ):
        here = on_discord(7)
        first, second = [
            await store.turns.begin(Prompt(here, number, "Who is ⟦@9⟧?", message_id=number, names={9: "Ada"}))
            for number in (1, 2)
        ]
        assert isinstance(first, Attempt)
        assert isinstance(second, Attempt)
        await other.execute("DELETE FROM stored_turns WHERE id = %s", [first.turn_id])
        deleting = asyncio.create_task(store.retention.forget_turn(second.turn_id))
        waiting = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"

        async def deleted_or_waits() -> bool:
            return deleting.done() or bool(await store.engine.read(waiting))

        await until(deleted_or_waits)
        await other.commit()
        await deleting
        assert not await store.engine.read("SELECT 1 FROM names")


async def test_of_many_at_once_one_is_first(store: Store) -> None:
    """What one statement compares and writes, without a lock: a message, an end, and a notice."""
    same = Prompt(HERE, 1, "Why?", user_id=7, message_id=1)
    begun = await asyncio.gather(*(store.turns.begin(same) for _ in range(8)))
    [attempt] = [each for each in begun if each is not None]
    assert isinstance(attempt, Attempt)
    done = Outcome(TurnState.FAILED, "half", usage=Usage(3, 4))
    assert sum(await asyncio.gather(*(store.turns.close(attempt, done) for _ in range(8)))) == 1
    assert sum(await asyncio.gather(*(store.processed.claim_notice("k", 2000) for _ in range(8)))) == 1
    assert sum(await asyncio.gather(*(store.processed.mark(2) for _ in range(8)))) == 1


async def test_everybody_who_ends_at_once_gets_a_number_of_their_own(store: Store) -> None:
    attempts = [await begin(store, position) for position in range(1, 31)]
    await asyncio.gather(*(store.turns.close(each, Outcome(TurnState.COMPLETE, "So.")) for each in attempts))
    rows = await store.engine.read("SELECT number FROM turns ORDER BY number")
    assert [row["number"] for row in rows] == list(range(1, 31))


async def test_transaction_is_whole_or_not_made(store: Store) -> None:
    insert = "INSERT INTO notices (key, until) VALUES (:key, 1)"
    with pytest.raises(StoreError):
        await store.engine.transaction((insert, {"key": "a"}), (insert, {"key": "a"}), locks=[Lock("guild", 1)])
    assert await store.engine.read("SELECT 1 FROM notices") == []
    await store.engine.transaction((insert, {"key": "a"}), locks=[Lock("guild", 1)])


@pytest.mark.parametrize("turns_of_the_loop", [0, 1, 3, 10])
async def test_cancelled_caller_leaves_all_of_a_write_or_nothing(store: Store, turns_of_the_loop: int) -> None:
    writing = asyncio.create_task(begin(store, 1))
    for _ in range(turns_of_the_loop):
        await asyncio.sleep(0)
    writing.cancel()
    await asyncio.wait([writing])
    [whole] = await store.engine.read(
        """
        SELECT (SELECT count(*) FROM stored_turns) AS turns, (SELECT count(*) FROM conversations) AS conversations,
            (SELECT count(*) FROM processed_messages) AS processed
        """
    )
    assert len(set(whole)) == 1


def test_no_parameter_has_two_types() -> None:
    """The type of a NULL is told by its name, so that a name is that of texts everywhere, or nowhere."""
    text, values = bound(
        "SELECT ':a', b::text, :user -- :c\nFROM t INDEXED BY t_by WHERE x = :user AND y = :text",
        {
            "user": 1,
            "text": None,
        },
    )
    assert text == "SELECT ':a', b::text, $1::bigint -- :c\nFROM t WHERE x = $1::bigint AND y = $2::text"
    assert list(values) == [1, None]
    assert bound("VALUES (?, ?)", [1, "a\0"]) == ("VALUES ($1::bigint, $2::text)", [1, "a\ufffd"])
    with pytest.raises(TypeError, match="user is a text"):
        bound("SELECT :user", {"user": "a"})
    with pytest.raises(TypeError, match="text is no text"):
        bound("SELECT :text", {"text": 1})

"""Files of other programs and of other versions."""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bot.core.access import Block, GuildRules
from bot.core.model_events import TokenStatistics
from bot.core.turns import Behaviour, Conversation, FailureReason, Turn, TurnState, UserName
from bot.store.sqlite import connection, open_store, schema
from tests.places import on_discord
from tests.store import old_databases
from tests.store.kills import Kills, Left
from tests.store.steps import (
    HERE,
    answer,
    assert_it_adds_up,
    begin,
    context_of,
    files,
    refusal,
    rows,
    said,
    write,
)


@pytest.mark.parametrize("foreign", ["a short text", "a long one", "a database"])
async def test_foreign_file_is_left_alone(path: Path, foreign: str) -> None:
    if foreign == "a database":
        rows(path, "CREATE TABLE diary (entry)")
    else:
        write(path, b"Dear diary" * (1 if foreign == "a short text" else 10_000))
    before = files(path)
    another = path.with_name(f"{path.stem}-2{path.suffix}")
    assert f"not a file of this bot's: use another file, such as {another}." in await refusal(path)
    assert files(path) == before


async def test_newer_database_is_left_alone(path: Path) -> None:
    async with open_store(path, exclusive=True) as store:
        await answer(store, 1, "from tomorrow")
    rows(path, "PRAGMA user_version = 1000")
    before = files(path)
    assert "newer version of this bot" in await refusal(path)
    assert files(path) == before


@pytest.mark.parametrize("filled", [True, False], ids=["with rows", "without rows"])
async def test_first_schema_is_migrated(path: Path, filled: bool) -> None:
    old_databases.make(path, 1, filled=filled)
    async with open_store(path, exclusive=True) as store:
        assert said(await store.turns.history(HERE, 9)) == ([(1, "Because.")] if filled else [])
        left = await store.turns.undelivered(HERE.platform, HERE.channel)
        assert [(turn.position, turn.message_id) for turn in left] == ([(1, 1), (2, 2)] if filled else [])
        assert await store.processed.among([1, 2, 3]) == ({1, 2} if filled else set())
        await store.retention.prune(unused_days=90)
        this = await begin(store, 3)
        assert await context_of(store, this) == ([(1, "Because.")] if filled else [])
    assert_is_current(path)


@pytest.mark.parametrize("version", range(3, len(schema.migrations())))
async def test_every_table_of_an_earlier_version_comes_along(path: Path, version: int) -> None:
    old_databases.make(path, version)
    channel, thread, named = on_discord(11), on_discord(12), Conversation("terminal", "a:b")
    async with open_store(path, exclusive=True, clock=lambda: 4_000_000_000) as store:
        [turn] = await store.turns.history(channel, 9)
        assert turn == Turn(
            id=1,
            conversation=channel,
            position=101,
            prompt="Why?",
            reply="Because.",
            state=TurnState.COMPLETE,
            attempt=2,
            user_id=7,
            author_name=UserName("Bo B", "bo"),
            failure=None,
            created_at=4_000_000_000,
            guild_id=9,
            message_id=101,
        )
        [untold] = await store.turns.undelivered("discord")
        assert (untold.author_name, untold.failure, untold.tries) == (
            UserName("", "cleo"),
            FailureReason.CONFIGURATION,
            3,
        )
        assert str(untold.author_name) == "@cleo"
        [here] = await store.turns.history(named, 9)
        assert (here.prompt, here.message_id, here.author_name) == ("Here?", None, None)
        assert await store.turns.of_message(5) == turn
        in_thread = await begin(store, 110, conversation=thread)
        assert await context_of(store, in_thread) == [(0, "Because.")], "its origin"
        assert in_thread.turn_id == 10, "no id is used twice"
        assert await store.processed.among([101, 106, 200]) == {101, 200}
        assert await store.deliveries.pending_reactions() == [(11, 300)]
        assert await store.token_statistics.of("m") == TokenStatistics(4.5, 9000)
        assert [(row.user_id, row.guild_id, row.tokens) for row in await store.usage.by_day(0)] == [
            (8, None, 2),
            (7, 9, 42),
        ]
        assert not await store.processed.claim_notice("blocked", 5_000_000_000, 7)
        assert not await store.processed.claim_notice("model", 5_000_000_000)
        assert await store.guild_rules.rules_for(9, 70) == GuildRules(True, Block(None), {11: True, 12: False})
        assert await store.guilds.refused_at(9) == 5
        assert await store.personas.settings_of(thread) == Behaviour("A pirate.", "large"), "its channel's"
        assert (await store.people.record_of(7)).turns == 4
        assert len(await store.people.forget(7)) == 4
        assert await store.personas.settings_of(on_discord(13)) == Behaviour()
    failures = "SELECT failure FROM turns WHERE id IN (2, 6) ORDER BY id"
    assert rows(path, failures) == [("configuration",), ("busy",)]
    assert_it_adds_up(path)
    assert_is_current(path)


async def test_turns_come_along_in_their_order(path: Path) -> None:
    old_databases.make(path, 21, filled=False)
    rows(
        path,
        """
        INSERT INTO conversations (id, platform, channel, used_at) VALUES (1, 'discord', '1', 0), (2, 'discord', '2', 0)
        """,
        """
        INSERT INTO stored_turns (conversation_id, position, prompt, reply, state, created_at)
        VALUES (1, 30, 'Why?', 'r30', 'complete', 0), (1, 10, 'Why?', 'r10', 'complete', 0),
               (2, 15, 'Why?', 'r15', 'complete', 0), (1, 20, 'Why?', 'so far', 'streaming', 0)
        """,
    )
    async with open_store(path, exclusive=True) as store:
        await store.turns.interrupt_left_over(HERE.platform)
        await answer(store, 40, "r40")
        this = await begin(store, 50)
        assert await context_of(store, this) == [(4, "r40"), (3, "r30"), (2, "so far"), (1, "r10")]


async def test_names_come_along_with_the_prompts_that_hold_them(path: Path) -> None:
    old_databases.make(path, 15)
    async with open_store(path, exclusive=True) as store:
        [page] = [page async for page in store.people.exchanges_of(7)]
        assert page[0].prompt == "Is it @Dee?"
        assert rows(path, "SELECT user_id FROM names") == [(70,)]
        await store.retention.forget_turn(5)
    assert rows(path, "SELECT * FROM names") == []


def test_reasons_and_scopes_get_their_new_words(path: Path) -> None:
    old_databases.make(path, 4)
    asyncio.run(_open(path))
    assert rows(path, "SELECT failure, delivery_error FROM turns ORDER BY id") == [
        (None, "too many"),
        ("configuration", None),
        ("content filtered", None),
        ("empty reply", None),
        ("quota", None),
        ("busy", None),
    ]
    assert set(rows(path, "SELECT scope, id, tokens FROM daily_usage")) == {
        ("user", 7, 42),
        ("user", 8, 2),
        ("guild", 9, 42),
        ("total", 0, 44),
    }


async def _open(path: Path) -> None:
    async with open_store(path, exclusive=True):
        pass


SHAPE = (
    """
    SELECT tables.name, columns.name, columns.type, "notnull", dflt_value, pk
    FROM sqlite_schema AS tables, pragma_table_info(tables.name) AS columns
    """,
    "SELECT name, sql FROM sqlite_schema WHERE type IN ('index', 'trigger', 'view') AND sql IS NOT NULL",
    "PRAGMA user_version",
)


@cache
def shape_of_a_new_one() -> list[set[tuple[object, ...]]]:
    with tempfile.TemporaryDirectory() as folder:
        fresh = Path(folder, "new.db")
        old_databases.make(fresh, len(schema.migrations()), filled=False)
        return [set(rows(fresh, query)) for query in SHAPE]


def assert_is_current(path: Path) -> None:
    """The schema is that of a new database, column by column, index by index."""
    assert [set(rows(path, query)) for query in SHAPE] == shape_of_a_new_one()
    assert rows(path, "PRAGMA foreign_key_check") == []
    assert rows(path, "PRAGMA integrity_check") == [("ok",)]


async def test_killed_at_each_statement_of_a_migration_it_is_the_old_one_or_the_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    current = len(schema.migrations())
    old = tmp_path / "at work" / "chat.db"
    old.parent.mkdir()
    old_databases.make(old, 3)
    before, kills = content(old), Kills(old.parent)

    def connect(*arguments: Any, **options: Any) -> sqlite3.Connection:
        opened: sqlite3.Connection = sqlite3.connect(*arguments, **options)
        opened.set_trace_callback(kills)
        return opened

    with monkeypatch.context() as patch:
        patch.setattr(connection, "sqlite3", SimpleNamespace(**{**vars(sqlite3), "connect": connect}))
        await _open(old)
    found: dict[Left, int] = {}
    for left, folder in kills.distinct(tmp_path / "left"):
        file = folder / "chat.db"
        [[found[left]]] = rows(file, "PRAGMA user_version")
        assert found[left] == current or content(file) == before
        await _open(file)
        assert rows(file, "SELECT count(*) FROM turns") == [(6,)]
        assert rows(file, "PRAGMA user_version") == [(current,)]
    versions = [found[left] for left in kills.left]
    assert versions == sorted(versions)
    assert {*versions} == {3, current}
    assert versions.count(3) > 60, "each statement has had its turn"


def content(path: Path) -> list[tuple[object, ...]]:
    """Everything that a database holds."""
    tables = rows(path, "SELECT name, sql FROM sqlite_schema ORDER BY name")
    return tables + [
        row
        for name, sql in tables
        if sql and sql.startswith("CREATE TABLE")
        for row in rows(path, f"SELECT * FROM {name}")
    ]


async def test_failed_migration_changes_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_store(path, exclusive=True) as store:
        await answer(store, 1, "before")
    known = schema.migrations()
    with monkeypatch.context() as patched:
        patched.setattr(schema, "migrations", lambda: [*known, "DROP TABLE messages;\nDROP TABLE nothing;\n"])
        await refusal(path)
    async with open_store(path, exclusive=True) as store:
        [turn] = await store.turns.history(HERE, 9)
        assert await store.deliveries.sent(turn.id) == []


def test_migrations_are_numbered_one_after_another() -> None:
    names = sorted(file.name for file in (Path(schema.__file__).parents[2] / "migrations").glob("*.sql"))
    assert [int(name.partition("_")[0]) for name in names] == [*range(1, len(names) + 1)]

"""Files of other programs and of other versions."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from importlib import resources
from pathlib import Path

import pytest

from bot.store.sqlite import open_store, schema
from tests.store.steps import HERE, answer, begin, files, refusal, rows, said, write


@pytest.mark.parametrize("foreign", ["a short text", "a long one", "a database"])
async def test_a_file_that_is_not_ours_is_left_alone(path: Path, foreign: str) -> None:
    if foreign == "a database":
        rows(path, "CREATE TABLE diary (entry)")
    else:
        write(path, b"Dear diary" * (1 if foreign == "a short text" else 10_000))
    before = files(path)
    assert "not a file of this bot's: set DATABASE_PATH" in await refusal(path)
    assert files(path) == before


async def test_a_newer_database_is_left_alone(path: Path) -> None:
    async with open_store(path, exclusive=True) as store:
        await answer(store, 1, "from tomorrow")
    rows(path, "PRAGMA user_version = 1000")
    before = files(path)
    assert "newer version of this bot" in await refusal(path)
    assert files(path) == before


FIRST = (resources.files("bot") / "migrations" / "0001_conversations.sql").read_text()


@pytest.mark.parametrize("filled", [True, False], ids=["with rows", "without rows"])
async def test_the_first_schema_is_brought_up_to_date(path: Path, filled: bool) -> None:
    with closing(sqlite3.connect(path)) as first:
        first.executescript(FIRST)
        if filled:
            first.executescript(
                """
                INSERT INTO conversations (id, key) VALUES (1, 'discord:1');
                INSERT INTO turns (conversation_id, position, prompt, reply, state, created_at)
                VALUES (1, 1, 'Why?', 'Because.', 'complete', strftime('%s', 'now') + 0),
                       (1, 2, 'And?', '', 'streaming', 2);
                INSERT INTO messages (turn_id, part, start, nonce, message_id) VALUES (1, 0, 0, 'n', 5);
                """
            )
        first.executescript("PRAGMA application_id = 0x5061726C; PRAGMA user_version = 1")
    async with open_store(path, exclusive=True) as store:
        assert said(await store.turns.history(HERE, 9)) == ([(1, "Because.")] if filled else [])
        assert [turn.position for turn in await store.turns.undelivered(HERE)] == ([1, 2] if filled else [])
        assert await store.processed.among([1, 2, 3]) == ({1, 2} if filled else set())
        await store.retention.prune(unused_days=90)
        this = await begin(store, 3)
        assert said(await store.turns.earlier(this.turn_id, None, 9)) == ([(1, "Because.")] if filled else [])
    assert rows(path, "PRAGMA user_version") == [(len(schema.migrations()),)]
    assert rows(path, "PRAGMA foreign_key_check") == []


async def test_a_migration_that_fails_half_way_changes_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_store(path, exclusive=True) as store:
        await answer(store, 1, "before")
    known = schema.migrations()
    with monkeypatch.context() as patched:
        patched.setattr(schema, "migrations", lambda: [*known, "DROP TABLE messages;\nDROP TABLE nothing;\n"])
        await refusal(path)
    async with open_store(path, exclusive=True) as store:
        [turn] = await store.turns.history(HERE, 9)
        assert await store.deliveries.sent(turn.id) == []

"""The database file: who may read it, and what is said when it cannot be opened or written."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from bot.errors import StoreError
from bot.store import SQLiteStore
from bot.store.database import Database
from tests.store.steps import HERE, answer, begin, posix_only, refusal, said, write


async def test_reading_does_not_wait_for_a_commit(store: SQLiteStore, path: Path) -> None:
    await answer(store, 1, "done")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        writing = asyncio.create_task(begin(store, 2))
        assert said(await asyncio.wait_for(store.history(HERE, 9), 1)) == [(1, "done")]
        assert not writing.done()
        other.execute("COMMIT")
    await writing


@pytest.mark.parametrize("in_company", [False, True])
async def test_several_statements_are_written_all_or_none(database: Database, in_company: bool) -> None:
    insert = "INSERT INTO handled (prompt_id, at) VALUES (:id, 0)"
    writes = [database.write_in_turn((insert, {"id": 1}), (insert, {"id": 2}), (insert, {"id": 1}))]
    if in_company:
        writes.append(database.write_in_turn((insert, {"id": 3}), (insert, {"id": 4})))
    refused, *taken = await asyncio.gather(*writes, return_exceptions=True)
    assert isinstance(refused, StoreError)
    assert taken == [[[], []]] * in_company
    kept = await database.read("SELECT prompt_id FROM handled")
    assert [row["prompt_id"] for row in kept] == [3, 4] * in_company


async def test_nobody_sees_half_of_a_write(database: Database, path: Path) -> None:
    insert = "INSERT INTO handled (prompt_id, at) VALUES (:id, 0)"
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        writing = asyncio.create_task(database.write_in_turn(*((insert, {"id": n}) for n in range(200))))
        seen = set()
        while not writing.done():
            seen.add(other.execute("SELECT count(*) FROM handled").fetchone()[0])
            await asyncio.sleep(0)
    assert seen <= {0, 200}


@posix_only
async def test_its_files_are_the_owners_alone(path: Path) -> None:
    before = os.umask(0)
    try:
        async with SQLiteStore.open(path, exclusive=True) as store:
            await answer(store, 1, "private")
            modes = {file.name: file.stat().st_mode & 0o777 for file in path.parent.iterdir()}
    finally:
        os.umask(before)
    assert modes == dict.fromkeys(("chat.db", "chat.db-wal", "chat.db-shm", "chat.db.lock"), 0o600)


@posix_only
async def test_a_file_that_others_may_read_becomes_the_owners_alone(path: Path) -> None:
    async with SQLiteStore.open(path, exclusive=True) as first:
        await answer(first, 1, "private")
        for file in path.parent.iterdir():
            file.chmod(0o664)
        async with SQLiteStore.open(path, exclusive=False):
            modes = {file.stat().st_mode & 0o777 for file in path.parent.iterdir()}
    assert modes == {0o600}
    diary = path.with_name("diary")
    write(diary, b"Dear diary" * 1000)
    diary.chmod(0o644)
    await refusal(diary)
    assert diary.stat().st_mode & 0o777 == 0o644, "not a file of ours"


async def test_several_may_open_a_new_database_at_once(path: Path) -> None:
    async def visit(number: int) -> None:
        async with SQLiteStore.open(path, exclusive=False) as store:
            await answer(store, number, "hello")

    await asyncio.gather(*map(visit, range(8)))
    async with SQLiteStore.open(path, exclusive=True) as store:
        assert await store.count(HERE) == 8


async def test_a_path_that_cannot_be_a_database(tmp_path: Path) -> None:
    assert "is a directory" in await refusal(tmp_path)
    (tmp_path / "file").touch()
    assert "a file where its folder should be" in await refusal(tmp_path / "file" / "chat.db")
    assert "a file where its folder should be" in await refusal(tmp_path / "file" / "folder" / "chat.db")
    async with SQLiteStore.open(tmp_path / "new" / "folder" / "chat.db", exclusive=True):
        assert (tmp_path / "new" / "folder" / "chat.db").exists()

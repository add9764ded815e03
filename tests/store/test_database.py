"""Writes are whole or undone, seen whole by everybody, and kept from nobody who reads."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from bot.core.errors import StoreBug, StoreError
from bot.store import Store
from bot.store.sqlite.engine import SQLiteEngine
from tests.store.steps import HERE, answer, begin, said
from tests.waiting import PATIENCE


async def test_reading_does_not_wait_for_a_commit(store: Store, path: Path) -> None:
    await answer(store, 1, "done")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        writing = asyncio.create_task(begin(store, 2))
        assert said(await asyncio.wait_for(store.turns.history(HERE, 9), PATIENCE)) == [(1, "done")]
        assert not writing.done()
        other.execute("COMMIT")
    await writing


@pytest.mark.parametrize("in_company", [False, True])
async def test_grouped_statements_are_atomic(database: SQLiteEngine, in_company: bool) -> None:
    insert = "INSERT INTO processed_messages (message_id, at) VALUES (:id, 0)"
    writes = [database.transaction((insert, {"id": 1}), (insert, {"id": 2}), (insert, {"id": 1}))]
    if in_company:
        writes.append(database.transaction((insert, {"id": 3}), (insert, {"id": 4})))
    refused, *taken = await asyncio.gather(*writes, return_exceptions=True)
    assert isinstance(refused, StoreError)
    assert taken == [[[], []]] * in_company
    kept = await database.read("SELECT message_id FROM processed_messages")
    assert [row["message_id"] for row in kept] == [3, 4] * in_company


@pytest.mark.parametrize(
    "error", [OverflowError, MemoryError, ValueError, TypeError, sqlite3.Warning, sqlite3.DataError]
)
async def test_driver_errors_are_one_store_error(
    database: SQLiteEngine, path: Path, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def fail(*_: object) -> None:
        raise error("'secret'")

    with monkeypatch.context() as broken:
        broken.setattr("bot.store.sqlite.engine._fetch", fail)
        insert = ("INSERT INTO processed_messages (message_id, at) VALUES (:id, 0)", {"id": 1})
        calls = [database.read("SELECT 1"), database.write(*insert[:1], id=1), database.transaction(insert, insert)]
        results = await asyncio.gather(
            *calls, database.delete_securely(insert), database.ping(), return_exceptions=True
        )
    assert {type(result) for result in results} == {StoreBug}
    assert all(str(result).startswith(f"The database {path} ") for result in results)
    await database.write(*insert[:1], id=1)
    assert len(await database.read("SELECT 1 FROM processed_messages")) == 1


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1, 10**400])
async def test_oversized_number_fails_its_whole_write(database: SQLiteEngine, value: int) -> None:
    with pytest.raises(StoreError, match="OverflowError"):
        await database.write("INSERT INTO processed_messages (message_id, at) VALUES (:id, 0)", id=value)


async def test_nobody_reads_half_a_write(database: SQLiteEngine, path: Path) -> None:
    insert = "INSERT INTO processed_messages (message_id, at) VALUES (:id, 0)"
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        writing = asyncio.create_task(database.transaction(*((insert, {"id": n}) for n in range(200))))
        seen = set()
        while not writing.done():
            seen.add(other.execute("SELECT count(*) FROM processed_messages").fetchone()[0])
            await asyncio.sleep(0)
    assert seen <= {0, 200}

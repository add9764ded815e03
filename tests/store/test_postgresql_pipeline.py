"""Statements that go to PostgreSQL together: what one of them does to the others, and how much may be on its way."""

from __future__ import annotations

import asyncio
import ctypes
import gc
from collections.abc import AsyncIterator

import psycopg
import pytest

from bot.core.errors import StoreError
from bot.store.postgresql import PostgreSQLEngine


@pytest.fixture
async def postgresql(postgresql_url: str) -> AsyncIterator[PostgreSQLEngine]:
    async with PostgreSQLEngine.open(postgresql_url, serving=True) as engine:
        yield engine


async def test_reads_that_are_asked_for_at_once_share_a_connection(postgresql: PostgreSQLEngine) -> None:
    which = "SELECT :id AS id, pg_backend_pid() AS connection"
    answers = await asyncio.gather(*(postgresql.read(which, id=number) for number in range(50)))
    assert [row["id"] for [row] in answers] == list(range(50))
    assert len({row["connection"] for [row] in answers}) == 1


async def test_much_may_be_on_its_way_in_both_directions(postgresql: PostgreSQLEngine) -> None:
    """More than the buffers between two processes hold, so that one that only sends would wait for ever."""
    text = "wide " * 400_000
    echo = ("SELECT :text AS text, length(:text) AS size", {"text": text})
    answers = await postgresql.transaction(*[echo] * 5)
    assert [(row["text"] == text, row["size"]) for [row] in answers] == [(True, len(text))] * 5


async def test_statement_that_is_used_often_survives_a_change_of_the_schema(
    postgresql: PostgreSQLEngine, postgresql_url: str
) -> None:
    """As in a rolling update, whose first process changes it while the others go on."""
    with psycopg.connect(postgresql_url, autocommit=True) as other:
        other.execute("CREATE TABLE things (a bigint)")
        other.execute("INSERT INTO things VALUES (1)")
        for columns in ({"a"}, {"a", "b"}, {"a", "b", "c"}):
            for _ in range(5):
                [row] = await postgresql.read("SELECT * FROM things")
                assert set(row.keys()) == columns
                [[row]] = await postgresql.transaction(("SELECT * FROM things WHERE a = :id", {"id": 1}))
                assert set(row.keys()) == columns
            other.execute(f"ALTER TABLE things ADD {'bcd'[len(columns) - 1]} bigint")


async def test_statement_is_prepared_again_where_that_failed(postgresql: PostgreSQLEngine) -> None:
    """What stands behind a statement that fails is not even looked at, and so not prepared either."""
    for number in range(6):
        with pytest.raises(StoreError, match="division by zero"):
            await postgresql.transaction(
                ("SELECT 1 / :id AS never", {"id": 0}), ("SELECT :id + :number AS sum", {"id": 1, "number": number})
            )
    _, [row] = await postgresql.transaction(
        ("SELECT :id AS id", {"id": 1}), ("SELECT :id + :number AS sum", {"id": 1, "number": 2})
    )
    assert row["sum"] == 3


class _Allocated(ctypes.Structure):
    _fields_ = [(str(number), ctypes.c_size_t) for number in range(7)] + [
        ("bytes", ctypes.c_size_t),
        ("", ctypes.c_size_t),
    ]


async def test_idle_connection_keeps_nothing_of_what_was_read(postgresql: PostgreSQLEngine) -> None:
    library = ctypes.CDLL(None)
    if not hasattr(library, "mallinfo2"):
        pytest.skip("this C library does not tell how much memory is in use")
    library.mallinfo2.restype = _Allocated

    async def read(number: int) -> int:
        """The bytes that are in use after reading so many."""
        rows = await postgresql.read(f"SELECT repeat('wide', 1000) FROM generate_series(1, {number} / 4000)")
        assert len(rows) == number // 4000
        del rows
        await asyncio.sleep(0.01)  # what has read them ends
        gc.collect()
        return int(library.mallinfo2().bytes)

    before = await read(0)
    assert await read(10_000_000) < before + 4_000_000

"""Reads that are asked for at once, and so go to the database together."""

from __future__ import annotations

import asyncio

from bot.core.errors import StoreError
from bot.store.engine import Engine

_LEAST = -(2**63)
"""It has no absolute value in 64 bits."""


async def test_read_that_fails_leaves_those_beside_it(engine: Engine) -> None:
    for _ in range(5):  # PostgreSQL takes one that comes often as a prepared statement
        answers = await asyncio.gather(
            *(engine.read("SELECT abs(:id) AS id", id=number) for number in (1, _LEAST, 3, _LEAST, 5)),
            return_exceptions=True,
        )
        failed = [isinstance(answer, StoreError) for answer in answers]
        assert failed == [False, True, False, True, False]
        assert [answer[0]["id"] for answer in answers if not isinstance(answer, BaseException)] == [1, 3, 5]


async def test_whoever_stops_waiting_leaves_the_reads_beside_it(engine: Engine) -> None:
    leaving, staying = (asyncio.create_task(engine.read("SELECT :id AS id", id=number)) for number in (1, 2))
    await asyncio.sleep(0)
    leaving.cancel()
    [row] = await staying
    assert row["id"] == 2
    assert leaving.cancelled()
    [row] = await engine.read("SELECT :id AS id", id=3)
    assert row["id"] == 3

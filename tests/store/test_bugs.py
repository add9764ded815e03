"""A statement that fails through a bug, on either engine: it is told from a database that is away, and logged once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from bot.core.errors import StoreBug
from bot.core.outages import Outages
from bot.store import Store
from bot.store.engine import Engine, Statement
from tests.store.steps import begin

pytestmark = pytest.mark.virtual_time

MISSING = "SELECT missing FROM stored_turns"
TWICE = "INSERT INTO clock (id, looked_at) VALUES (1, 0), (1, 0)"
NO_JSON = "SELECT json_extract('{', '$.a')"


async def asks(engine: Engine, sql: str) -> None:
    await engine.read(sql)


async def writes(engine: Engine, sql: str) -> None:
    statements: list[Statement] = [("DELETE FROM notices", {}), (sql, {})]
    await engine.transaction(*statements)


@pytest.mark.parametrize(
    ("work", "sql"), [(asks, MISSING), (asks, NO_JSON), (writes, MISSING), (writes, NO_JSON), (writes, TWICE)]
)
async def test_bug_is_tried_once_and_logged_once_with_where_it_was_asked_for(
    engine: Engine, caplog: pytest.LogCaptureFixture, sql: str, work: Callable[[Engine, str], Awaitable[None]]
) -> None:
    tries = 0

    async def trying() -> None:
        nonlocal tries
        tries += 1
        await work(engine, sql)

    for times in (1, 2):
        with pytest.raises(StoreBug):
            await Outages().wait_out(trying)
        assert tries == times
    first, again = [each for each in caplog.records if "because of a bug" in each.message]
    assert first.exc_info is not None
    assert "trying" in str(first.stack_info)
    assert (again.exc_info, again.stack_info) == (None, None)
    if work is writes:
        assert await engine.read("SELECT 1 FROM notices") == []


async def test_bug_of_one_read_is_not_that_of_those_beside_it(store: Store) -> None:
    attempt = await begin(store, 1)
    found, bug = await asyncio.gather(
        store.turns.of_attempt(attempt), store.engine.read("SELECT missing"), return_exceptions=True
    )
    assert getattr(found, "id", None) == attempt.turn_id
    assert isinstance(bug, StoreBug)

"""What a process writes that may not act for its guilds: nothing, until it may, or never."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import psycopg
import pytest

from bot.core.errors import StoreBug, StoreError
from bot.core.figures import Figures
from bot.core.gate import Gate
from bot.core.shards import WantedShards
from bot.core.turns import Attempt
from bot.store import Store
from bot.store.databases import DatabaseServer, serving
from bot.store.engine import Engine
from bot.store.gated import GatedEngine
from bot.store.postgresql.claims import Claims
from tests.postgresql import Server
from tests.store.steps import HERE, Clock, answer, begin
from tests.waiting import PATIENCE, until


async def test_nothing_is_written_without_a_confirmation(
    engine: Engine, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.store.gated._PATIENCE", 0.1)
    gate, others = Gate(9.0, lambda: clock.now), Store(engine, clock)
    store = Store(GatedEngine(engine, gate, ("SELECT 1 WHERE false", {})), clock)
    gate.confirm(clock.now)
    await answer(store, 1, "Because.")
    clock.now += 9.0
    with pytest.raises(StoreError, match="has not confirmed yet"):
        await begin(store, 2)
    with pytest.raises(StoreError, match="has not confirmed yet"):
        await store.retention.forget_conversation(HERE)
    assert await store.turns.count(HERE) == 1
    gate.confirm(clock.now)
    await begin(store, 3)
    gate.shut()
    with pytest.raises(StoreError, match="Another process"):
        await store.retention.forget_conversation(HERE)
    assert await others.turns.count(HERE) == 2


async def test_bug_behind_a_closed_gate_is_none_of_the_gate(engine: Engine, clock: Clock) -> None:
    gated = GatedEngine(engine, Gate(9.0, lambda: clock.now), ("SELECT 1 WHERE false", {}))
    with pytest.raises(StoreBug):
        await gated.read("SELECT missing FROM stored_turns")


@pytest.fixture
async def outside(postgresql_url: str) -> AsyncIterator[psycopg.AsyncConnection]:
    """A connection that is not the bot's."""
    async with await psycopg.AsyncConnection.connect(postgresql_url, autocommit=True) as connection:
        yield connection


@pytest.mark.parametrize(
    "write",
    [
        lambda store, attempt: store.turns.mark_delivered(attempt),
        lambda store, _: store.guilds.sync([]),
        lambda store, _: store.retention.forget_conversation(HERE),
    ],
    ids=["delivered", "left", "forgotten"],
)
async def test_nothing_is_written_by_a_process_frozen_after_its_look_at_the_gate(
    postgresql_url: str, outside: psycopg.AsyncConnection, write: Callable[[Store, Attempt], Awaitable[None]]
) -> None:
    async with serving(DatabaseServer(postgresql_url), WantedShards(2, None, 2), Figures()) as terms:
        term = await terms.next()
        attempt = await begin(term.store, 1)
        await term.store.deliveries.posting(attempt, 0, 0, "nonce")
        await outside.execute("UPDATE conversations SET guild_id = 1")
        # The gate is open, as for one that was frozen behind it.
        await outside.execute("UPDATE shards SET holder = 'another' WHERE shard = 0")
        with pytest.raises(StoreError, match="another process serve"):
            await write(term.store, attempt)
        assert len(await term.store.deliveries.sent(attempt.turn_id)) == 1
        left = await outside.execute("SELECT count(left_at), count(*) FROM conversations")
        assert await left.fetchone() == (0, 1)


async def test_shards_are_not_released_before_all_is_written(
    postgresql_server: Server, postgresql_url: str, outside: psycopg.AsyncConnection
) -> None:
    async with Claims(postgresql_url, WantedShards()) as other:
        async with serving(DatabaseServer(postgresql_url), WantedShards(), Figures()) as terms:
            term = await terms.next()
            assert term.limits is not None
            assert term.limits.unserved_since <= time.monotonic()
            taking = asyncio.create_task(other.take())
            await outside.execute("BEGIN")
            await outside.execute("LOCK TABLE stored_turns IN EXCLUSIVE MODE")
            writing = asyncio.create_task(begin(term.store, 1))
            database = psycopg.conninfo.conninfo_to_dict(postgresql_url)["dbname"]
            waiting = f"SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = '{database}'"
            await until(lambda: postgresql_server.execute(waiting) != [])
            writing.cancel()

            async def unlocked() -> None:
                await asyncio.wait([taking], timeout=0.5)
                assert not taking.done()
                await outside.execute("COMMIT")

            unlocking = asyncio.create_task(unlocked())
        await unlocking
        async with asyncio.timeout(PATIENCE):
            await taking
        written = await outside.execute("SELECT count(*) FROM stored_turns")
        assert await written.fetchone() == (1,)

"""Compacting gives the space of deleted rows back, and never under a running bot."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from bot.core.errors import StoreUnusable
from bot.store.engine import Rows, Value
from bot.store.sqlite import compact, open_store
from bot.store.sqlite.engine import SQLiteEngine
from tests.store.forgetting import THERE, secret
from tests.store.steps import HERE, answer, begin, said


async def test_compacting_gives_space_back_while_no_bot_runs(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[float | None] = []
    write = SQLiteEngine.write

    async def once_told(engine: SQLiteEngine, sql: str, **values: Value) -> Rows:
        # Or a copy this small may be made before anybody looks how far it is.
        while sql == "VACUUM" and not told:
            await asyncio.sleep(0)
        return await write(engine, sql, **values)

    monkeypatch.setattr(SQLiteEngine, "write", once_told)
    async with open_store(path, exclusive=True) as store:
        for position in range(1, 401):
            await answer(store, position, "SECRET " * 3000)
        await answer(store, 1001, "kept", THERE)
        await store.retention.forget_conversation(HERE)
        with pytest.raises(StoreUnusable, match="already in use"):
            await compact(path, told.append)
    before, after = await compact(path, told.append, every_s=0)
    assert before > 8_000_000
    assert path.stat().st_size == after < before / 10
    assert all(part is None or 0 < part <= 1 for part in told)
    assert None in told
    assert not secret(path)
    async with open_store(path, exclusive=True) as store:
        assert said(await store.turns.history(THERE, 9)) == [(1001, "kept")]
        assert (await begin(store, 2000)).turn_id > 401
    with pytest.raises(StoreUnusable, match="does not exist"):
        await compact(path.with_name("none.db"), told.append)

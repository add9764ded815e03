"""What a process writes that may not act for its guilds: nothing, until it may, or never."""

from __future__ import annotations

import pytest

from bot.core.errors import StoreError
from bot.core.gate import Gate
from bot.store import Store
from bot.store.engine import Engine
from bot.store.gated import GatedEngine
from tests.store.steps import HERE, Clock, answer, begin


async def test_nothing_is_written_without_a_confirmation(
    engine: Engine, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.store.gated._PATIENCE", 0.1)
    gate, others = Gate(9.0, lambda: clock.now), Store(engine, clock)
    store = Store(GatedEngine(engine, gate), clock)
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

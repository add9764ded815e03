"""No kill loses a summary."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.core.quotas import NO_LIMITS
from bot.store.sqlite import open_store
from tests.core.summaries.summarized import LONG, Summarized, Summarizer, beginning, jobs, service
from tests.store.kills import Kills
from tests.store.steps import rows, trace


@pytest.mark.parametrize("filled", ["to the plan", "to the move"])
async def test_kill_at_any_statement_loses_no_summary(tmp_path: Path, filled: str) -> None:
    original = tmp_path / "at work" / "chat.db"
    async with open_store(original, exclusive=True) as store:
        model = Summarizer()
        async with service(store, model, NO_LIMITS) as core:
            talk = Summarized(core, model, store)
            number = 0
            while not await jobs(store) or (filled == "to the move" and await beginning(store) == 0):
                await store.engine.erase_deleted()
                whole = original.read_bytes()
                model.replies = [[LONG]]
                await talk.say(f"question {number}", guild=5)
                number += 1
    original.write_bytes(whole)
    kills = Kills(original.parent)
    async with open_store(original, exclusive=True) as store:
        await trace(store.engine, kills)
        model = Summarizer()
        async with service(store, model, NO_LIMITS) as core:
            talk = Summarized(core, model, store)
            talk.position = 1000
            await talk.say("question 99", guild=5)
            await talk.summarize()
    for _, folder in kills.distinct(tmp_path / "left"):
        file = folder / "chat.db"
        model = Summarizer()
        async with open_store(file, exclusive=True) as store, service(store, model, NO_LIMITS) as core:
            await store.turns.interrupt_left_over("discord")
            talk = Summarized(core, model, store)
            talk.position = 2000
            await talk.say("question 100", guild=5)
            await talk.summarize()
            await talk.say("question 101", guild=5)
            known = await jobs(store)
            assert known
            assert all(made for *_, made, _ in known)
            assert await beginning(store) == 0 or known[-1][2] >= await beginning(store)
            assert rows(file, "SELECT count(*) FROM charges WHERE settled = 0") == [(0,)]
    assert len(kills.left) > 10

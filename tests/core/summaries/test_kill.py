"""No kill loses a summary."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.core.quotas import NO_LIMITS
from bot.store.sqlite import open_store
from tests.core.summaries.summarized import LONG, Summarized, Summarizer, beginning, jobs, service
from tests.store.steps import child, posix_only, rows

KILLED = """
import asyncio, os, pathlib, signal, sys
from bot.core import summarizing
from bot.store.sqlite import open_store
from bot.core.quotas import NO_LIMITS
from tests.core.summaries.summarized import Summarized, Summarizer, service
from tests.store.steps import database_of, trace

summarizing.PACE = 0.0

async def main(path, number):
    async with open_store(path, exclusive=True) as store:
        seen = 0
        def count(sql):
            nonlocal seen
            seen += not sql.startswith("--")
            if seen == number:
                os.kill(os.getpid(), signal.SIGKILL)
        await trace(database_of(store), count)
        model = Summarizer()
        async with service(store, model, NO_LIMITS) as core:
            talk = Summarized(core, model, store)
            talk.position = 1000
            await talk.say("question 99", guild=5)
            await talk.summarize()

folder = pathlib.Path(sys.argv[1])
kills, status = 0, signal.SIGKILL
while status == signal.SIGKILL:
    kills += 1
    file = folder / str(kills) / "chat.db"
    file.parent.mkdir()
    file.write_bytes((folder / "chat.db").read_bytes())
    process = os.fork()
    if not process:
        asyncio.run(main(file, kills))
        os._exit(0)
    _, status = os.waitpid(process, 0)
assert status == 0, status
print(kills - 1)
"""


@posix_only
@pytest.mark.parametrize("filled", ["to the plan", "to the move"])
async def test_kill_at_any_statement_loses_no_summary(tmp_path: Path, filled: str) -> None:
    original = tmp_path / "chat.db"
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
    process = await child(KILLED, tmp_path)
    out, _ = await process.communicate()
    kills = int(out)
    for number in range(1, kills + 1):
        file = tmp_path / f"{number}" / "chat.db"
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
    assert kills > 10

"""A call that fails inside a turn, whichever it is: the turn ends visibly, and the next one works."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from bot import texts
from bot.core.attempt import ActiveAttempt
from bot.core.errors import StoreError
from bot.core.quotas import Quotas, Usage
from bot.core.turns import FailureReason, Outcome, Prompt, TurnState
from bot.store import Store
from tests.store.steps import database_of, disk_full, read_only
from tests.talking import HERE, Model, Sink, Talk, conversations
from tests.waiting import until

pytestmark = pytest.mark.virtual_time


async def test_unsaved_prompt_is_not_accepted(talk: Talk) -> None:
    async with read_only(talk.store):
        with pytest.raises(StoreError):
            await talk.say("lost?")
    assert talk.model.asked == []
    assert await talk.say("saved") == Outcome(TurnState.COMPLETE, "Yes.")


@dataclass
class Fault:
    """What is raised, and where: the name of a call, on which of its times."""

    where: str
    error: Exception
    at: int = 1
    calls: int = 0

    def on(self, target: object, name: str) -> Callable[..., object]:
        """The call of an object, which fails at its time."""
        call = getattr(target, name)

        async def slowly(*arguments: object, **named: object) -> object:
            self._strike()
            return await call(*arguments, **named)

        def at_once(*arguments: object, **named: object) -> object:
            self._strike()
            return call(*arguments, **named)

        return slowly if inspect.iscoroutinefunction(call) else at_once

    def _strike(self) -> None:
        self.calls += 1
        if self.calls == self.at:
            raise self.error


STORED = [
    "turns.of_attempt",
    "personas.settings_of",
    "token_statistics.of_all",
    "windows.earlier",
    "quotas.reserve",
    "turns.close",
    "turns.mark_delivered",
    "token_statistics.record",
]


@pytest.mark.parametrize("error", [StoreError, OverflowError, MemoryError, RecursionError])
@pytest.mark.parametrize("where", [*STORED, "open", "start", "update", "finish", "stream", "events", "today"])
async def test_any_exception_ends_visibly_and_frees_tokens(
    store: Store, monkeypatch: pytest.MonkeyPatch, where: str, error: type[Exception]
) -> None:
    fault = Fault(where, error("a defect"))
    # The request and the end wait until the database is back.
    is_away = error is StoreError and where in (*STORED, "today")
    model = Model()
    model.replies = [["Some ", *([fault.error] if where == "events" else []), "text.", Usage(20, 3)]]
    async with conversations(store, model, allowances=Quotas()) as core, asyncio.timeout(10):
        talk = Talk(core, model, store)
        if where in STORED:
            part, verb = where.split(".")
            monkeypatch.setattr(getattr(store, part), verb, fault.on(getattr(store, part), verb))
        elif where == "stream":
            monkeypatch.setattr(model, where, fault.on(model, where))
        elif where == "today":
            preparer = core._generator._preparer
            monkeypatch.setattr(preparer, "_today", fault.on(preparer, "_today"))

        def open_sink(running: ActiveAttempt) -> Sink:
            if where == "open":
                fault._strike()
            sink = talk.open(running)
            if where in ("start", "update", "finish"):
                monkeypatch.setattr(sink, where, fault.on(sink, where))
            return sink

        answering = core.answer(Prompt(HERE, 1, "Hi", user_id=1), open_sink)
        if where == "open":
            with pytest.raises(error):
                await answering
        else:
            outcome = await answering
            assert talk.sinks[0].outcome is not None
            assert outcome is not None
            unharmed = is_away or where in ("turns.mark_delivered", "token_statistics.record")
            assert (texts.note(talk.sinks[0].outcome) is None) is unharmed
        assert where == "events" or fault.calls >= 1
        [turn] = await store.engine.read("SELECT state, failure, ended_at FROM turns")
        complete = is_away or where in ("turns.mark_delivered", "token_statistics.record", "finish")
        assert turn["state"] == ("complete" if complete else "failed")
        assert turn["ended_at"] is not None
        open_charges = await store.engine.read("SELECT 1 FROM charges WHERE settled = 0")
        assert open_charges == []
        assert (await store.quotas.usage_today()).total == (await store.quotas.usage_today(reserved=False)).total < 100
        assert core.running == ()
        model.replies = []
        assert await talk.say("And now?", position=2) == Outcome(TurnState.COMPLETE, "Yes.")


async def test_failed_save_is_repeated(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.core.service.SAVE_EVERY", 0.02)
    fault = Fault("save", MemoryError())
    monkeypatch.setattr(store.turns, "save", fault.on(store.turns, "save"))
    model = Model()
    async with conversations(store, model) as core:
        talk = Talk(core, model, store)
        go = asyncio.Event()
        model.replies = [["so far", go]]
        answering = talk.say("1")
        await until(talk.kept, ["so far"])
        assert fault.calls > 1
        go.set()
        await answering


async def test_unsaved_outcome_is_recorded_later(talk: Talk) -> None:
    more = asyncio.Event()
    talk.model.replies = [["Half", more, "🦉" * 3000]]
    answering = talk.say("Why?")
    sink = await talk.sink(0)
    await sink.said()
    async with disk_full(database_of(talk.store)):
        sink.seen.clear()
        more.set()
        await until(lambda: sink.outcome)
    sink.seen.set()
    await answering
    assert sink.outcome is not None
    assert sink.outcome.failure is FailureReason.STORAGE
    [turn] = await talk.store.turns.history(HERE, 9)
    assert (turn.reply, turn.state, turn.failure) == (sink.outcome.text, TurnState.FAILED, FailureReason.STORAGE)
    assert await talk.store.turns.undelivered(HERE.platform, HERE.channel) == []

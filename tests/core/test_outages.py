"""Questions that wait for a database that is away: each is answered once, and none waits where nobody does any more."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from bot.core.errors import StoreError
from bot.core.outages import AWAY_FOR
from bot.core.quotas import QuotaExceeded, Quotas, Usage
from bot.core.turns import Attempt, Outcome, Prompt, RecentMessage, StopReason, TurnState, UserName
from bot.store import Store
from tests.core.test_saving import Away, Gated, stored
from tests.talking import HERE, Model, Talk, conversations
from tests.waiting import until

pytestmark = pytest.mark.virtual_time

YES = Outcome(TurnState.COMPLETE, "Yes.")


async def test_question_whose_commit_had_no_answer_is_answered_once(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin, lost = store.turns.begin, 1

    async def beginning(prompt: Prompt, *limits: Any) -> Attempt | QuotaExceeded | None:
        nonlocal lost
        begun = await begin(prompt, *limits)
        if lost:
            lost -= 1
            raise StoreError("may or may not have been made")
        return begun

    monkeypatch.setattr(store.turns, "begin", beginning)
    model = Model()
    async with conversations(store, model, allowances=Quotas(hourly_questions_per_user=1)) as core:
        talk = Talk(core, model, store)
        model.replies = [["Yes.", Usage(20, 3)]]
        assert await talk.say("Hi") == YES
        assert lost == 0
        assert await stored(store) == [("complete", "Yes.", 1)]
        assert len(model.asked) == 1


@pytest.mark.parametrize("recovery", [False, True])
async def test_attempt_whose_commit_had_no_answer_is_made_once(
    store: Store, monkeypatch: pytest.MonkeyPatch, recovery: bool
) -> None:
    reopen, lost = store.turns.reopen, 1

    async def reopening(ended: Attempt, expected: TurnState, **more: Any) -> Attempt | QuotaExceeded | None:
        nonlocal lost
        reopened = await reopen(ended, expected, **more)
        if lost:
            lost -= 1
            raise StoreError("may or may not have been made")
        return reopened

    monkeypatch.setattr(store.turns, "reopen", reopening)
    model = Model()
    async with conversations(store, model, allowances=Quotas(hourly_questions_per_user=2)) as core:
        talk = Talk(core, model, store)
        model.replies = [["Perhaps."], ["Yes.", Usage(20, 3)]]
        await talk.say("Hi")
        [turn] = await store.turns.history(HERE, 1)
        assert await talk.again(turn, recovery=recovery) == YES
        assert lost == 0
        assert await stored(store) == [("complete", "Yes.", 1)]
        assert len(model.asked) == 2
        assert await talk.again(turn) is None, "it has ended since"


async def test_of_two_attempts_at_once_one_is_made_though_the_other_had_to_wait(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    reopen, calls = store.turns.reopen, 0

    async def reopening(ended: Attempt, expected: TurnState, **more: Any) -> Attempt | QuotaExceeded | None:
        nonlocal calls
        calls = number = calls + 1
        if number == 2:
            raise StoreError("away")
        reopened = await reopen(ended, expected, **more)
        if number == 1:
            await asyncio.sleep(1.0)  # for as long as the answer is under way
        return reopened

    monkeypatch.setattr(store.turns, "reopen", reopening)
    model = Model()
    async with conversations(store, model) as core:
        talk = Talk(core, model, store)
        await talk.say("Hi")
        [turn] = await store.turns.history(HERE, 1)
        first, second = await asyncio.gather(talk.again(turn), talk.again(turn, by=2))
        assert (first, second) == (YES, None)
        assert calls > 2
        assert len(model.asked) == 2


@pytest.mark.parametrize("write", ["turns.begin", "quotas.reserve"])
async def test_nothing_waits_at_the_end_of_the_process(
    store: Store, monkeypatch: pytest.MonkeyPatch, write: str
) -> None:
    away = Away(store, monkeypatch, write)
    model = Model()
    async with conversations(store, model, allowances=Quotas()) as core:
        talk = Talk(core, model, store)
        waiting = talk.say("Hi")
        await until(lambda: away.failed > 1)
        async with asyncio.timeout(AWAY_FOR / 4):
            await core.close()
            if write == "turns.begin":
                with pytest.raises(StoreError):
                    await waiting
            else:
                assert await waiting == Outcome(TurnState.INTERRUPTED, stop_reason=StopReason.SHUTDOWN)
        assert model.asked == []


async def test_stop_ends_the_wait(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    away = Away(store, monkeypatch, "quotas.reserve")
    model = Model()
    async with conversations(store, model, allowances=Quotas()) as core:
        talk = Talk(core, model, store)
        waiting = talk.say("Hi")
        sink = await talk.sink(0)
        await sink.started.wait()
        sink.running.stop(StopReason.USER, "Bo")
        async with asyncio.timeout(AWAY_FOR / 4):
            assert await waiting == Outcome(TurnState.STOPPED, stop_reason=StopReason.USER, stopped_by="Bo")
        assert away.is_away
        assert model.asked == []


async def test_question_waits_for_as_long_as_nothing_may_be_shown(store: Store) -> None:
    gated, model = Gated(store), Model()
    gated.clock.now += 9.0
    async with conversations(gated.store, model) as core:
        answering = Talk(core, model, gated.store).say("Hi")
        await asyncio.sleep(10 * AWAY_FOR)
        assert not answering.done()
        gated.gate.confirm(gated.clock.now)
        assert await answering == YES


async def test_question_waits_for_that_long_where_nothing_can_be_read_either(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As while PostgreSQL is away, which could not confirm what the process serves either."""
    gated, model = Gated(store), Model()
    away = Away(store, monkeypatch, "engine.read")
    async with conversations(gated.store, model, allowances=Quotas()) as core:
        answering = Talk(core, model, gated.store).say("Hi")
        await until(lambda: away.failed)
        gated.clock.now += 9.0
        await asyncio.sleep(10 * AWAY_FOR)
        assert not answering.done()
        away.is_away = False
        gated.gate.confirm(gated.clock.now)
        assert await answering == YES


async def test_what_is_forgotten_while_recent_messages_wait_for_the_database_is_not_sent(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Model()
    async with conversations(store, model) as core:
        talk = Talk(core, model, store)
        await talk.say("a secret", by=2)
        away = Away(store, monkeypatch, "recent_authors.add")

        async def find(_: Prompt) -> list[RecentMessage]:
            return [RecentMessage(9, 3, UserName("Cleo", "cleo"), "a word")]

        core.recent.find = find
        asking = talk.say("Hi")
        await until(lambda: away.failed)
        await core.forgetting.forget_user(2)
        away.is_away = False
        assert await asking == YES
        assert "a word" in str(model.asked[-1])
        assert "a secret" not in str(model.asked[-1])

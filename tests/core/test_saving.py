"""What is written about a turn while the database is away: once it is back, and never what must not be any more."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import pytest

from bot.core.errors import StoreBug, StoreError
from bot.core.gate import Gate
from bot.core.outages import AWAY_FOR
from bot.core.quotas import Quotas, Usage
from bot.core.turns import Attempt, FailureReason, Outcome, StopReason, Turn, TurnState
from bot.store import Store
from bot.store.gated import GatedEngine
from tests.places import on_discord
from tests.store.steps import Clock
from tests.talking import HERE, Model, Talk, conversations
from tests.waiting import until

pytestmark = pytest.mark.virtual_time

STORAGE = Outcome(TurnState.FAILED, "Yes.", FailureReason.STORAGE)


class Away:
    """Writes of a store that fail while the database is away."""

    def __init__(self, store: Store, monkeypatch: pytest.MonkeyPatch, *writes: str) -> None:
        self.is_away = True
        self.failed = 0
        for write in writes:
            part, verb = write.split(".")
            monkeypatch.setattr(getattr(store, part), verb, self._failing(getattr(getattr(store, part), verb)))

    def _failing(self, write: Callable[..., Awaitable[object]]) -> Callable[..., Awaitable[object]]:
        async def writing(*arguments: object, **named: object) -> object:
            if self.is_away:
                self.failed += 1
                raise StoreError("away")
            return await write(*arguments, **named)

        return writing


async def stored(store: Store) -> list[tuple[str, str, int]]:
    rows = await store.engine.read("SELECT state, reply, delivered FROM turns ORDER BY id")
    return [(row["state"], row["reply"], row["delivered"]) for row in rows]


async def test_what_follows_an_end_is_written_when_the_database_is_back(
    talk: Talk, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = Away(talk.store, monkeypatch, "turns.mark_delivered", "token_statistics.record", "retention.forget_turn")
    talk.model.replies = [["Yes.", Usage(2000, 3)], ["No.", asyncio.Event()]]
    await talk.say("1")
    deleted = talk.say("2")
    sink = await talk.sink(1)
    await sink.said()
    sink.running.stop(StopReason.PROMPT_DELETED)
    await deleted
    await asyncio.sleep(5.0)
    assert away.failed > 3
    assert [each[-1] for each in await stored(talk.store)] == [0, 0]
    away.is_away = False
    await until(lambda: stored(talk.store), [("complete", "Yes.", 1)])
    known = await talk.store.token_statistics.of(talk.core.settings.servers.key("m"))
    assert known.bytes_per_token is not None


async def test_end_whose_answer_was_lost_is_not_taken_for_forgotten(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    close, lost = store.turns.close, 1

    async def closing(attempt: Attempt, outcome: Outcome, **more: bool) -> bool:
        nonlocal lost
        closed = await close(attempt, outcome, **more)
        if lost:
            lost -= 1
            raise StoreError("may or may not have been made")
        return closed

    monkeypatch.setattr(store.turns, "close", closing)
    model = Model()
    async with conversations(store, model, allowances=Quotas()) as core:
        talk = Talk(core, model, store)
        model.replies = [["Yes.", Usage(20, 3)]]
        assert await talk.say("Hi") == Outcome(TurnState.COMPLETE, "Yes.")
        assert lost == 0
        assert await stored(store) == [("complete", "Yes.", 1)]
        assert (await store.quotas.usage_today(reserved=False)).total == 23


async def erased(talk: Talk, turn: Turn) -> None:
    await talk.store.retention.forget_turn(turn.id)


async def reset(talk: Talk, _: Turn) -> None:
    await talk.store.retention.forget_conversation(HERE)


async def forgotten(talk: Talk, _: Turn) -> None:
    await talk.store.people.forget(1)


@pytest.mark.parametrize("forget", [erased, reset, forgotten])
async def test_end_of_a_turn_that_was_forgotten_meanwhile_is_not_written(
    store: Store, monkeypatch: pytest.MonkeyPatch, forget: Callable[[Talk, Turn], Awaitable[None]]
) -> None:
    """Whoever has it forgotten: this process, another one, or an operator's command."""
    away = Away(store, monkeypatch, "turns.close")
    model = Model()
    async with conversations(store, model, allowances=Quotas()) as core:
        talk = Talk(core, model, store)
        model.replies = [["Yes.", Usage(20, 3)]]
        assert await talk.say("Hi") == STORAGE
        [running] = await store.turns.undelivered(HERE.platform)
        await forget(talk, running)
        away.is_away = False
        await until(lambda: store.engine.read("SELECT 1 FROM charges WHERE settled = 0"), [])
        await until(lambda: not core.saver.is_late(running.id))
        assert await stored(store) == []
        assert list(await store.engine.read("SELECT 1 FROM stored_turns WHERE state = 'failed'")) == []
        assert (await store.quotas.usage_today(reserved=False)).total == 23


async def test_another_attempt_waits_until_the_end_is_on_record(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    away = Away(store, monkeypatch, "turns.close")
    model = Model()
    async with conversations(store, model, allowances=Quotas()) as core:
        talk = Talk(core, model, store)
        model.replies = [["Yes.", Usage(20, 3)]]
        assert await talk.say("Hi") == STORAGE
        [running] = await store.turns.undelivered(HERE.platform)
        assert core.saver.is_late(running.id)
        away.is_away = False
        await until(lambda: stored(store), [("failed", "Yes.", 1)])
        [failed] = await store.turns.history(HERE, 1)
        model.replies = [["Better.", Usage(20, 3)]]
        assert await talk.again(failed) == Outcome(TurnState.COMPLETE, "Better.")
        await asyncio.sleep(30.0)
        assert await stored(store) == [("complete", "Better.", 1)]
        assert (await store.quotas.usage_today()).total == 46


class Gated:
    """People who talk to a process whose right to write depends on a gate."""

    def __init__(self, store: Store) -> None:
        self.clock = Clock()
        self.gate = Gate(9.0, lambda: self.clock.now)
        self.gate.confirm(self.clock.now)
        self.store = Store(GatedEngine(store.engine, self.gate, ("SELECT 1", {})))


async def test_end_waits_for_as_long_as_nothing_may_be_shown(store: Store) -> None:
    gated, model, go_on = Gated(store), Model(), asyncio.Event()
    async with conversations(gated.store, model) as core:
        talk = Talk(core, model, gated.store)
        model.replies = [["Y", go_on, "es."]]
        answering = talk.say("Hi")
        await (await talk.sink(0)).said()
        gated.clock.now += 9.0
        go_on.set()
        await asyncio.sleep(10 * AWAY_FOR)
        assert not answering.done()
        gated.gate.confirm(gated.clock.now)
        assert await answering == Outcome(TurnState.COMPLETE, "Yes.")
        assert await stored(store) == [("complete", "Yes.", 1)]


async def test_what_is_anothers_is_not_written(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    gated, model = Gated(store), Model()
    away = Away(gated.store, monkeypatch, "turns.close")
    async with conversations(gated.store, model) as core:
        talk = Talk(core, model, gated.store)
        assert await talk.say("Hi") == STORAGE
        before = await stored(store)
        model.replies = [["No."]]
        tries = away.failed
        waiting = talk.say("And?")
        await until(lambda: away.failed > tries + 10)
        gated.gate.shut()
        away.is_away = False
        async with asyncio.timeout(AWAY_FOR / 4):
            await waiting
        await until(lambda: not any(map(core.saver.is_late, (1, 2))))
        assert (await stored(store))[:1] == before
        assert {state for state, *_ in await stored(store)} <= {"pending", "streaming"}


async def test_what_waits_for_the_database_is_bounded(talk: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.core.late_writes._MOST", 2)
    away = Away(talk.store, monkeypatch, "turns.mark_delivered")
    for number in range(5):
        await talk.say(str(number))
    away.is_away = False
    await asyncio.sleep(60.0)
    assert [each[-1] for each in await stored(talk.store)] == [0, 0, 0, 1, 1]


@pytest.mark.parametrize("error", [StoreBug("a bug"), ValueError("a bug")])
async def test_bug_in_what_is_written_late_holds_nothing_up(
    talk: Talk, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    tries = 0

    async def failing(*_: object) -> None:
        nonlocal tries
        tries += 1
        raise error

    monkeypatch.setattr(talk.store.token_statistics, "record", failing)
    talk.model.replies = [["Yes.", Usage(2000, 3)], ["No."]]
    await talk.say("1")
    await asyncio.sleep(30.0)
    await talk.say("2")
    assert tries == 1
    assert [each[-1] for each in await stored(talk.store)] == [1, 1]


async def test_end_that_a_bug_keeps_from_being_saved_is_told_at_once(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[TurnState] = []

    async def failing(_: Attempt, outcome: Outcome, **__: bool) -> bool:
        tries.append(outcome.state)
        raise StoreBug("a bug")

    monkeypatch.setattr(store.turns, "close", failing)
    model = Model()
    async with conversations(store, model) as core:
        talk = Talk(core, model, store)
        begun = asyncio.get_running_loop().time()
        assert await talk.say("Hi") == STORAGE
        assert asyncio.get_running_loop().time() - begun < AWAY_FOR / 4
        await asyncio.sleep(30.0)
        assert tries == [TurnState.COMPLETE, TurnState.FAILED]


async def test_progress_that_a_bug_keeps_from_being_saved_costs_no_other_its_own(
    talk: Talk, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = talk.store.turns.save

    async def saving(progress: Mapping[Attempt, str], *more: Mapping[Attempt, int]) -> set[Attempt]:
        if any("bad" in text for text in progress.values()):
            raise StoreBug("a bug")
        return await save(progress, *more)

    monkeypatch.setattr(talk.store.turns, "save", saving)
    go_on = asyncio.Event()
    talk.model.replies = [["bad", go_on], ["good", go_on]]
    both = [talk.say("1", by=1), talk.say("2", by=2)]
    await until(lambda: replies(talk.store), ["", "good"])
    go_on.set()
    assert [outcome.text for outcome in await asyncio.gather(*both) if outcome] == ["bad", "good"]


async def replies(store: Store) -> list[str]:
    return sorted(row["reply"] for row in await store.engine.read("SELECT reply FROM turns"))


async def test_question_does_not_wait_for_what_is_being_written_about_others(
    talk: Talk, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark, begun, written = talk.store.turns.mark_delivered, asyncio.Event(), asyncio.Event()

    async def marking(attempt: Attempt, *more: str | None) -> None:
        begun.set()
        await written.wait()
        await mark(attempt, *more)

    monkeypatch.setattr(talk.store.turns, "mark_delivered", marking)
    talk.model.replies = [["Yes."], ["No."]]
    first = talk.say("1")
    await begun.wait()
    second = talk.say("2", by=2, where=on_discord(77))
    await until(lambda: replies(talk.store), ["No.", "Yes."])
    assert not any(map(talk.core.saver.is_late, (1, 2)))
    written.set()
    await asyncio.gather(first, second)

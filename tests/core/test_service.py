"""The life of turns on a real store, with a model that does as the test says."""

from __future__ import annotations

import asyncio
from itertools import chain, repeat

import pytest

from bot import texts
from bot.core.attempt import ActiveAttempt
from bot.core.context import RESUME
from bot.core.errors import ModelError, Overloaded, QueueLimit
from bot.core.model_events import End, Reasoning
from bot.core.queues import QueueLimits
from bot.core.reply_reader import CHARACTERS_PER_TOKEN
from bot.core.turns import FailureReason, Outcome, Prompt, StopReason, TurnState
from bot.discord_bot.delivery.view import Button, buttons_after
from bot.store import Store
from bot.texts import note
from tests.places import on_discord
from tests.store.steps import slow_disk
from tests.talking import HERE, Model, Sink, Step, Talk, conversations
from tests.waiting import until

pytestmark = pytest.mark.virtual_time


async def test_prompt_and_reply_are_sent_and_stored(talk: Talk) -> None:
    talk.model.replies = [["Hel", "lo."], ["Again."]]
    await talk.say("Hi")
    await talk.say("Once more")
    assert [message.content for message in talk.model.asked[1]] == [
        "Be brief.",
        "Hi",
        "Hello.",
        "⟦Today is Sunday, 22 November 2026.⟧\nOnce more",
    ]
    assert talk.sent(1) == ["Hi", "Hello.", "Once more"]
    assert (await talk.sink(0)).texts == ["Hel", "Hello."]
    kept = await talk.store.turns.history(HERE, 10)
    assert [(turn.reply, turn.state) for turn in kept] == [
        ("Again.", TurnState.COMPLETE),
        ("Hello.", TurnState.COMPLETE),
    ]


async def test_one_persons_prompts_run_in_order(talk: Talk) -> None:
    go = asyncio.Event()
    talk.model.replies = [["first, ", go, "done"], ["for another"], ["second"]]
    first = talk.say("1")
    await (await talk.sink(0)).said()
    second, other = talk.say("2"), talk.say("3", by=2)
    assert await other == Outcome(TurnState.COMPLETE, "for another")
    assert not (await talk.sink(1)).started.is_set()
    assert talk.sent(1) == ["1", "first, \n\n[This reply was cut off here.]", "3"], (
        "a neighbour's reply as far as it got"
    )
    go.set()
    await first
    await second
    assert talk.sent(2) == ["3", "for another", "1", "first, done", "2"], "in the order in which they ended"


async def test_leaving_the_queue_early_keeps_its_order(talk: Talk) -> None:
    go = asyncio.Event()
    talk.model.replies = [["first", go], ["fourth"]]
    first = talk.say("1")
    await (await talk.sink(0)).said()
    assert await talk.say("1", position=1) is None, "the same event twice"
    third, fourth = talk.say("3"), talk.say("4")
    (await talk.sink(1)).running.stop(StopReason.USER)
    await third
    assert not (await talk.sink(2)).started.is_set()
    go.set()
    await first
    await fourth
    assert talk.sent(1) == ["1", "first", "4"]


async def test_first_cause_ends_a_reply(talk: Talk) -> None:
    talk.model.replies = [["A part", asyncio.Event()]]
    answering = talk.say("1")
    sink = await talk.sink(0)
    await sink.said()
    sink.running.stop(StopReason.USER, "Bo")
    sink.running.stop(StopReason.SHUTDOWN)
    assert await answering == Outcome(TurnState.STOPPED, "A part", stop_reason=StopReason.USER, stopped_by="Bo")
    assert talk.model.left_early == 1
    await talk.say("2")
    assert talk.sent(1) == ["1", "A part\n\n[This reply was cut off here.]", "2"]


async def test_waiting_prompt_can_be_ended(talk: Talk) -> None:
    go = asyncio.Event()
    talk.model.replies = [[go, "late"]]
    first, second = talk.say("1"), talk.say("2")
    (await talk.sink(1)).running.stop(StopReason.USER)
    ended = await second
    assert ended is not None
    assert ended.state is TurnState.STOPPED
    go.set()
    await first
    assert len(talk.model.asked) == 1


async def test_forgotten_turn_stays_forgotten(talk: Talk) -> None:
    go = asyncio.Event()
    talk.model.replies = [["secret"], ["running", go]]
    await talk.say("0")
    running = talk.say("1")
    await (await talk.sink(1)).said()
    waiting, elsewhere = talk.say("2"), talk.say("3", where=on_discord(2))
    await talk.sink(3)
    forgotten = await talk.core.forgetting.forget(HERE, "Cleo")
    assert forgotten
    for ended in (await running, await waiting):
        assert ended is not None
        assert (ended.stop_reason, ended.stopped_by) == (StopReason.RESET, "Cleo")
    assert (await elsewhere) == Outcome(TurnState.COMPLETE, "Yes.")
    assert await talk.store.turns.history(HERE, 10) == []
    await talk.say("4")
    assert talk.sent(-1) == ["4"]


async def test_turn_forgotten_by_another_process_stays_unnamed(talk: Talk) -> None:
    go = asyncio.Event()
    talk.model.replies = [[go, "secret"]]
    running, waiting = talk.say("0"), talk.say("1")
    await (await talk.sink(0)).started.wait()
    await talk.sink(1)
    await talk.store.people.forget(1)
    go.set()
    ended = [await running, await waiting]
    assert [outcome and texts.note(outcome) for outcome in ended] == [
        "-# Stopped.",
        "-# This was forgotten before I could answer.",
    ]


async def test_failure_is_shown_and_the_next_prompt_works(talk: Talk) -> None:
    talk.model.replies = [
        [ModelError(FailureReason.BUSY, "429", retry_after=7)],
        ["half", ModelError(FailureReason.UNREACHABLE, "cut")],
        [],
        [RuntimeError("a defect")],
    ]
    outcomes = [await talk.say(str(n)) for n in range(4)]
    assert outcomes == [
        Outcome(TurnState.FAILED, "", FailureReason.BUSY, retry_after=7),
        Outcome(TurnState.FAILED, "half", FailureReason.UNREACHABLE),
        Outcome(TurnState.FAILED, "", FailureReason.EMPTY_REPLY),
        Outcome(TurnState.FAILED, "", FailureReason.INTERNAL),
    ]
    await talk.say("next")
    assert talk.sent(-1) == ["1", "half\n\n[This reply was cut off here.]", "next"]


async def test_progress_of_all_replies_is_saved_every_second(talk: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.core.service.SAVE_EVERY", 0.02)
    async with conversations(talk.store, talk.model) as core:
        saving = Talk(core, talk.model, talk.store)
        go = asyncio.Event()
        talk.model.replies = [["so far", go, " and on"]]
        answering = saving.say("1")
        await until(saving.kept, ["so far"])
        go.set()
        await answering
    assert await talk.kept() == ["so far and on"]


async def test_shutdown_lets_replies_end_within_the_grace(store: Store) -> None:
    model = Model()
    async with conversations(store, model) as core:
        talk = Talk(core, model, store)
        go = asyncio.Event()
        model.replies = [[go, "just made it"], ["never ", asyncio.Event()]]
        quick, slow = talk.say("1"), talk.say("2", by=2)
        for n in range(2):
            await (await talk.sink(n)).started.wait()
        asyncio.get_running_loop().call_later(0.02, go.set)
        await core.close(grace=0.2)
        assert await quick == Outcome(TurnState.COMPLETE, "just made it")
        ended = await slow
        assert ended is not None
        assert (ended.state, ended.text) == (TurnState.INTERRUPTED, "never ")


async def test_prompt_saved_during_shutdown_is_interrupted(store: Store) -> None:
    model = Model()
    async with conversations(store, model) as core:
        talk = Talk(core, model, store)
        async with slow_disk(store) as waits:
            late = talk.say("1")
            await until(lambda: waits("INSERT INTO stored_turns"))
            await core.close()
        ended = await late
        assert ended is not None
        assert ended.state is TurnState.INTERRUPTED
    assert model.asked == []


async def test_only_undelivered_outcomes_are_shown_again(talk: Talk) -> None:
    await talk.say("1")
    assert await talk.store.turns.undelivered(HERE.platform, HERE.channel) == []
    sinks: list[Sink] = []

    def open_sink(running: ActiveAttempt) -> Sink:
        sinks.append(Sink(running))
        sinks[-1].visible = False
        return sinks[-1]

    await talk.core.answer(Prompt(HERE, 99, "2"), open_sink)
    assert [turn.prompt for turn in await talk.store.turns.undelivered(HERE.platform, HERE.channel)] == ["2"]


async def test_retry_replaces_and_continue_extends_a_reply_once(talk: Talk) -> None:
    talk.model.replies = [["half", ModelError(FailureReason.UNREACHABLE, "cut")], ["whole"], [" and more"]]
    await talk.say("1")
    for go_on, text in ((False, "whole"), (True, "whole and more")):
        [turn] = await talk.store.turns.history(HERE, 9)
        tries = [talk.again(turn, go_on=go_on) for _ in range(3)]
        outcomes = [outcome for outcome in await asyncio.gather(*tries) if outcome]
        assert outcomes == [Outcome(TurnState.COMPLETE, text)]
    assert talk.sent(2) == ["1", "whole", RESUME]
    assert [(turn.reply, turn.attempt) for turn in await talk.store.turns.history(HERE, 9)] == [("whole and more", 3)]


@pytest.mark.parametrize("first", [[], ["hm", *repeat(Reasoning(), 3000)]])
async def test_endless_reply_is_cut_and_can_be_continued(talk: Talk, first: list[Step]) -> None:
    talk.model.replies = [chain(first, repeat("on and ")), [*repeat(Reasoning(), 3000), "on."]]
    cut = await talk.say("1")
    assert cut is not None
    assert (cut.state, cut.failure) == (TurnState.COMPLETE, FailureReason.LENGTH)
    assert len(cut.text) + 3000 * bool(first) == 100 * CHARACTERS_PER_TOKEN
    assert talk.model.left_early == 1, "and the server is told"
    [turn] = await talk.store.turns.history(HERE, 1)
    assert await talk.again(turn, go_on=True) == Outcome(TurnState.COMPLETE, turn.reply + "on.")


async def test_endless_reasoning_is_cut(talk: Talk) -> None:
    talk.model.replies = [repeat(Reasoning())]
    ended = await talk.say("1")
    assert ended is not None
    assert (ended.state, ended.text, ended.failure) == (TurnState.FAILED, "", FailureReason.OUT_OF_ROOM)


async def test_reply_cut_before_its_text_keeps_the_old(talk: Talk, caplog: pytest.LogCaptureFixture) -> None:
    unseen: list[Step] = [*repeat(Reasoning(), 9), " \n\u200b", End(FailureReason.LENGTH)]
    twice = [unseen, unseen]
    talk.model.replies = [*twice, ["Half ", End(FailureReason.LENGTH)], *twice, *twice, ["and half."]]
    failed = await talk.say("1")
    assert failed is not None
    assert (failed.state, failed.text, failed.failure) == (TurnState.FAILED, "", FailureReason.OUT_OF_ROOM)
    assert buttons_after(failed) == (Button.RETRY,)
    [line] = caplog.messages
    assert line.endswith("Raise REPLY_TOKENS or lower REASONING_EFFORT in .env and restart.")
    await talk.say("2")
    for go_on in (True, False):
        still = await talk.again(*await talk.store.turns.history(HERE, 1), go_on=go_on)
        assert still is not None
        assert (still.state, still.text, still.failure) == (TurnState.FAILED, "Half ", FailureReason.OUT_OF_ROOM)
        assert (buttons_after(still), note(still)) == (
            (Button.CONTINUE,),
            "-# I ran out of room before I could write more. Try again, or ask for something shorter.",
        )
    whole = await talk.again(*await talk.store.turns.history(HERE, 1), go_on=True)
    assert whole == Outcome(TurnState.COMPLETE, "Half and half.")


async def test_queue_limit_refuses_prompts_but_not_retries(store: Store) -> None:
    model = Model()
    async with conversations(store, model, QueueLimits(queue_per_user=1)) as core:
        talk = Talk(core, model, store)
        go = asyncio.Event()
        model.replies = [["half", ModelError(FailureReason.UNREACHABLE, "")], [go, "one"], ["two"], ["three"]]
        await talk.say("0")
        [failed] = await store.turns.history(HERE, 1)
        first, second = talk.say("1"), talk.say("2")
        with pytest.raises(Overloaded):
            await talk.say("3")
        assert core.queue_limit(failed) is QueueLimit.USER
        third = talk.again(failed, recovery=True)
        go.set()
        assert [each and each.text for each in (await first, await second, await third)] == ["one", "two", "three"]
        assert [(turn.prompt, turn.tries) for turn in await store.turns.history(HERE, 9)] == [
            ("2", 1),
            ("1", 1),
            ("0", 2),
        ]

"""The beginning of a conversation's requests: it stands still, and is moved by large steps."""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pytest

from bot.core.context import KEPT_OF_FULL, UNFINISHED
from bot.core.errors import ModelError
from bot.core.model_events import Message
from bot.core.quotas import Quotas
from bot.core.turns import FailureReason, Outcome, Turn, TurnState
from bot.store import Store
from bot.store.sqlite import open_store
from tests.store.steps import child, posix_only
from tests.talking import HERE, Model, Talk, conversations
from tests.waiting import until

HALF = "r" * 240
LONG = HALF * 2
"""A reply with which a turn takes about a fiftieth of the window."""
FULL = 55
"""More turns than the window has room for."""


def standing(messages: Sequence[Message]) -> list[Message]:
    """What stands in a request before the turns that are being answered and the prompt."""
    return list(messages[: next((n - 1 for n, each in enumerate(messages) if UNFINISHED in each.content), -1)])


def goes_on(before: Sequence[Message], after: Sequence[Message]) -> bool:
    """Whether one of the two is the beginning of the other."""
    return all(one == other for one, other in zip(before, after, strict=False))


async def beginning(store: Store) -> int:
    [[number]] = await store.engine.read("SELECT window_begins FROM conversations ORDER BY id LIMIT 1")
    return int(number)


async def fill(talk: Talk, turns: int = FULL) -> None:
    for number in range(turns):
        talk.model.replies = [[LONG]]
        await talk.say(f"question {number}")


def questions(messages: Sequence[Message]) -> list[int]:
    """The numbers of the questions in a request, with that to be answered."""
    return [int(found[1]) for each in messages if (found := re.search(r"question (\d+)$", each.content))]


async def turn_of(store: Store, number: int) -> Turn:
    return next(turn for turn in await store.turns.history(HERE, 999) if turn.prompt == f"question {number}")


async def test_request_goes_on_from_the_one_before(talk: Talk) -> None:
    await fill(talk, 130)
    moved = []
    for number, (before, after) in enumerate(pairwise(talk.model.asked), 1):
        if goes_on(before[:-1], after):
            assert len(after) == len(before) + 2, "the latest turn is added"
        else:
            moved.append(number)
            assert after[1:-3] == before[-len(after) + 3 : -1], "the oldest turns are left out"
            size = [sum(len(message.content) for message in messages) for messages in (before, after)]
            assert size[1] / size[0] == pytest.approx(KEPT_OF_FULL, abs=0.05)
    steps = [later - earlier for earlier, later in pairwise(moved)]
    assert len(steps) >= 3
    assert min(steps) >= 18


async def test_no_turn_comes_between_those_that_were_sent(talk: Talk) -> None:
    """Four people have replies under way at any time. The oldest one ends, and its author asks again."""
    running: deque[tuple[int, asyncio.Event, asyncio.Task[Outcome | None]]] = deque()

    async def ask(person: int, number: int) -> None:
        go = asyncio.Event()
        talk.model.replies = [[HALF, go, HALF]]
        running.append((person, go, talk.say(f"question {number}", by=person)))
        await (await talk.sink(number)).said()

    for number in range(4):
        await ask(number, number)
    for number in range(4, 120):
        person, go, answering = running.popleft()
        go.set()
        await answering
        await ask(person, number)
    for before, after in pairwise(talk.model.asked[4:]):
        assert sum(UNFINISHED in each.content for each in after) == 3, "and what is beside them is told too"
        assert len(after) == len(standing(after)) + 2 * 3 + 1
        assert goes_on(standing(before), standing(after)) or len(standing(after)) < KEPT_OF_FULL * 1.1 * len(before)
    moves = [pair for pair in pairwise(talk.model.asked[4:]) if not goes_on(*map(standing, pair))]
    assert 3 <= len(moves) <= 5
    for _, go, answering in running:
        go.set()
        await answering


@pytest.mark.parametrize("again", [2, 12, 30, FULL - 1])
async def test_retry_keeps_its_place_and_moves_nothing(talk: Talk, again: int) -> None:
    """The window begins between the second of these turns and the third."""
    await fill(talk)
    begins, whole = await beginning(talk.store), talk.model.asked[-1]
    first = begins - 1
    assert 12 < first < 30
    await talk.again(await turn_of(talk.store, again))
    retried = talk.model.asked[-1]
    assert questions(retried)[-2:] == [again - 1, again]
    assert goes_on(retried[:-1], whole) == (again >= first), "a turn that has left has others before it"
    assert await beginning(talk.store) == begins
    await talk.say("question 99")
    assert questions(talk.model.asked[-1]) == [*range(first, FULL), 99]
    assert goes_on(talk.model.asked[-1][: 1 + 2 * max(0, again - first)], whole)


async def test_retry_in_a_full_window_moves_nothing(talk: Talk) -> None:
    await fill(talk)
    await talk.store.engine.write("UPDATE conversations SET window_begins = 0")
    await talk.again(await turn_of(talk.store, FULL - 1))
    assert await beginning(talk.store) == 0
    assert 40 < len(questions(talk.model.asked[-1])) < FULL, "it has the latest turns that fit"
    await talk.say("question 99")
    assert await beginning(talk.store) > FULL * (1 - KEPT_OF_FULL)


async def test_halved_request_moves_nothing(talk: Talk) -> None:
    await fill(talk)
    begins, before = await beginning(talk.store), talk.model.asked[-1]
    talk.model.replies = [[ModelError(FailureReason.TOO_LONG, "")], [ModelError(FailureReason.UNREACHABLE, "")]]
    await talk.say("refused")
    whole, halved = talk.model.asked[-2:]
    assert goes_on(before[:-1], whole)
    assert len(halved) < len(whole) * 0.6
    assert await beginning(talk.store) == begins
    await talk.say("next")
    assert talk.model.asked[-1][:-1] == whole[:-1], "it is not known that the model's own window is smaller"


async def test_smaller_window_of_the_model_moves_it(talk: Talk) -> None:
    await fill(talk)
    begins, before = await beginning(talk.store), talk.model.asked[-1]
    talk.model.replies = [[ModelError(FailureReason.TOO_LONG, "")], [LONG]]
    await talk.say("refused once")
    assert await beginning(talk.store) == begins
    await talk.say("next")
    assert await beginning(talk.store) > begins
    moved = talk.model.asked[-1]
    assert len(moved) < len(before)
    await talk.say("and on")
    assert goes_on(moved[:-1], talk.model.asked[-1]), "it stands still there"


async def test_small_quota_moves_nothing(store: Store) -> None:
    model = Model()
    async with conversations(store, model) as core:
        await fill(Talk(core, model, store), 45)
    before = model.asked[-1]
    async with conversations(store, model, allowances=Quotas(100, 6000, 10**9, 10**9)) as core:
        poor = Talk(core, model, store)
        poor.position = 100
        assert (await poor.say("question 45")) == Outcome(TurnState.COMPLETE, "Yes.")
    assert len(model.asked[-1]) < len(before) * 0.7
    async with conversations(store, model) as core:
        rich = Talk(core, model, store)
        rich.position = 200
        await rich.say("question 46", by=2)
    assert goes_on(before[:-1], model.asked[-1])
    assert await beginning(store) == 0


async def test_long_question_moves_nothing_that_it_has_no_room_for(talk: Talk) -> None:
    await fill(talk)
    begins, before = await beginning(talk.store), talk.model.asked[-1]
    talk.model.replies = [[]]
    await talk.say("q" * 20_000)
    assert await beginning(talk.store) == begins
    assert len(talk.model.asked[-1]) < len(before) * 0.6
    await talk.say("next")
    assert talk.model.asked[-1][: len(before) - 1] == before[:-1], "the window is what it was"


async def test_deleted_turn_is_missing_and_nothing_else(talk: Talk) -> None:
    await fill(talk)
    before = talk.model.asked[-1]
    first, *_ = questions(before)
    await talk.store.retention.forget_turn((await turn_of(talk.store, first + 5)).id)
    await talk.say("question 99")
    assert talk.model.asked[-1][:-3] == [*before[:11], *before[13:-1]]
    await talk.store.retention.forget_turn((await turn_of(talk.store, 99)).id)
    await talk.say("question 100")
    assert questions(talk.model.asked[-1])[-2:] == [FULL - 1, 100], "the number of a deleted turn is not used again"


async def test_those_who_find_it_full_at_once_move_it_once(talk: Talk) -> None:
    await fill(talk)
    await talk.store.engine.write("UPDATE conversations SET window_begins = 0")
    go, before = asyncio.Event(), len(talk.model.asked)
    talk.model.replies = [[go, "Yes."] for _ in range(4)]
    tasks = [talk.say(f"question {99 + person}", by=person) for person in range(4)]
    await until(lambda: len(talk.model.asked) == before + 4)
    go.set()
    await asyncio.gather(*tasks)
    asked = talk.model.asked[-4:]
    assert all(messages[:-1] == asked[0][:-1] for messages in asked)
    assert questions(asked[0])[0] == await beginning(talk.store) - 1


async def test_beginning_is_moved_by_one_and_never_back(tmp_path: Path, talk: Talk) -> None:
    await fill(talk, 5)
    turn = await turn_of(talk.store, 4)
    async with open_store(tmp_path / "chat.db", exclusive=False) as other:
        raced = await asyncio.gather(*(each.windows.move(turn.id, 0, 3) for each in (talk.store, other)))
        assert sorted(raced) == [False, True]
        assert not await other.windows.move(turn.id, 0, 4), "it does not begin there any more"
        assert not await other.windows.move(turn.id, 3, 2)
        assert await beginning(other) == 3
        await talk.store.retention.forget_conversation(HERE)
        assert not await other.windows.move(turn.id, 3, 4), "of a conversation that is gone"
    await talk.say("question 5")
    await talk.say("question 6")
    assert questions(talk.model.asked[-1]) == [5, 6], "what begins after a reset is all sent"


KILLED = """
import asyncio, os, signal, sys
from bot.store.sqlite import open_store
from tests.store.steps import database_of, trace
from tests.talking import Model, Talk, conversations

async def main(path, moment):
    async with open_store(path, exclusive=True) as store:
        moving = False
        def told(sql):
            nonlocal moving
            moving = moving or "SET window_begins" in sql
            if moving and (moment == "before" or "SET window_begins" not in sql):
                os.kill(os.getpid(), signal.SIGKILL)
        await trace(database_of(store), told)
        async with conversations(store, Model()) as core:
            talk = Talk(core, Model(), store)
            talk.position = 1000
            await talk.say("question 99")

asyncio.run(main(*sys.argv[1:]))
"""


@posix_only
@pytest.mark.parametrize("moment", ["before", "after"])
async def test_kill_at_the_move_leaves_a_whole_window(tmp_path: Path, moment: str) -> None:
    path = tmp_path / "chat.db"
    async with open_store(path, exclusive=True) as store:
        model = Model()
        async with conversations(store, model) as core:
            await fill(Talk(core, model, store))
        await store.engine.write("UPDATE conversations SET window_begins = 0")
    process = await child(KILLED, path, moment)
    await process.communicate()
    assert process.returncode == -9
    async with open_store(path, exclusive=True) as store, conversations(store, model) as core:
        assert (await beginning(store) == 0) == (moment == "before")
        await store.turns.interrupt_left_over(HERE.platform)
        [left] = await store.turns.undelivered(HERE.platform)
        talk = Talk(core, model, store)
        talk.position = 2000
        assert await talk.again(left, recovery=True) == Outcome(TurnState.COMPLETE, "Yes.")
        assert questions(model.asked[-1])[-2:] == [FULL - 1, 99]
        await talk.say("question 100")
        first, *others = questions(model.asked[-1])
        assert first == await beginning(store) - 1
        assert [first, *others] == [*range(first, FULL), 99, 100]

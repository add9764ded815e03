"""What is summarized goes with the turns that it was made from, and is made again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.core.summaries.summarized import ONE_BLOCK, SIX_BLOCKS, Summarized, jobs, numbers
from tests.talking import HERE
from tests.waiting import until

pytestmark = pytest.mark.virtual_time


async def edit(talk: Summarized, number: int) -> None:
    turn = await talk.turn(number)
    await talk.store.engine.write("UPDATE stored_turns SET message_id = 777 WHERE id = :turn", turn=turn.id)
    assert await talk.store.turns.correct(777, "other words")


async def retry(talk: Summarized, number: int) -> None:
    talk.model.replies = [["Another answer."]]
    await talk.again(await talk.turn(number))


async def forget_me(talk: Summarized, number: int) -> None:
    turn = await talk.turn(number)
    await talk.store.engine.write("UPDATE stored_turns SET user_id = 2 WHERE id = :turn", turn=turn.id)
    await talk.core.forgetting.forget_user(2)


async def forget_whom_it_mentions(talk: Summarized, number: int) -> None:
    await talk.core.forgetting.forget_user(MENTIONED)


MENTIONED = 77
CHANGES = [Summarized.delete, edit, retry, forget_me]


@pytest.mark.parametrize("change", CHANGES)
async def test_what_was_made_from_it_goes_with_it(
    talk: Summarized, tmp_path: Path, change: Callable[[Summarized, int], Awaitable[None]]
) -> None:
    await talk.fill(SIX_BLOCKS)
    before = await jobs(talk.store)
    assert [job[0] for job in before].count(2) == 1
    second = before[1]
    gone = second[1] + 1
    talk.model.summarized.clear()
    assert secrets(tmp_path, gone)

    await change(talk, gone - 1)

    _, told, _ = await talk.told()
    assert not set(range(second[1] - 1, second[2] - 1)) & set(told), "the whole block is untold at once"
    left = [number for number in range(before[5][2] - 1) if number not in range(second[1] - 1, second[2] - 1)]
    assert set(told) >= set(left), "those of the level below take its place, without the one"
    await talk.store.engine.erase_deleted()
    if change is not retry:
        assert not secrets(tmp_path, gone), "no copy of it is in the file"
    dropped = [job[:3] for job in await jobs(talk.store) if job[4]]
    assert dropped == [second[:3], next(job[:3] for job in before if job[0] == 2)]

    await talk.summarize()
    assert len(talk.model.summarized) == 2, "only these are made again"
    made_again, _ = talk.model.summarized
    if change is not retry:
        assert gone - 1 not in numbers(str(made_again))
    _, told, _ = await talk.told("question 9998")
    assert (gone - 1 in told) == (change is retry)
    assert set(range(second[1] - 1, second[2] - 1)) - {gone - 1} <= set(told)


def secrets(folder: Path, number: int) -> bool:
    """Whether the file or its log has a line of a summary with the question before the number."""
    line = f"- question {number - 1}\n".encode()
    return any(line in file.read_bytes() for file in folder.iterdir() if file.name.startswith("chat.db"))


@pytest.mark.parametrize("change", [*CHANGES, forget_whom_it_mentions])
async def test_what_changes_while_it_is_summarized_is_discarded(
    talk: Summarized, change: Callable[[Summarized, int], Awaitable[None]]
) -> None:
    go = asyncio.Event()
    talk.model.summaries = [[go, "- question 3\n- stale"]]
    await talk.ask(ONE_BLOCK)
    mentioning = await talk.turn(3)
    for sql in ("INSERT INTO mentions VALUES (:turn, :user, 1)", "INSERT INTO names VALUES (1, :user, 'Zerlina')"):
        await talk.store.engine.write(sql, turn=mentioning.id, user=MENTIONED)
    making = asyncio.create_task(talk.core.summaries.make_next())
    await until(lambda: talk.model.summarized)
    await change(talk, 3)
    go.set()
    await making
    assert not [job for job in await jobs(talk.store) if job[3]]
    await talk.store.engine.erase_deleted()
    await talk.summarize()
    await talk.fill(5, first=ONE_BLOCK)
    told, *_ = await talk.told()
    assert "stale" not in told
    assert "question 4" in told


async def test_reset_takes_all(talk: Summarized, tmp_path: Path) -> None:
    await talk.fill(30)
    assert secrets(tmp_path, 2)
    await talk.core.forgetting.forget(HERE)
    assert await talk.told() == ("", [], [])
    await talk.store.engine.erase_deleted()
    assert not await jobs(talk.store)
    assert not secrets(tmp_path, 2)


async def test_block_with_a_reply_that_is_tried_again_waits_for_its_end(talk: Summarized) -> None:
    await talk.ask(ONE_BLOCK)
    go = asyncio.Event()
    talk.model.replies = [["Beg", go, "un."]]
    retrying = talk.again(await talk.turn(3))
    await (await talk.sink(ONE_BLOCK)).said()
    assert not await talk.core.summaries.make_next()
    go.set()
    await retrying
    assert await talk.core.summaries.make_next()
    assert any(each.content == "Begun." for each in talk.model.summarized[0])

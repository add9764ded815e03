"""The requests for summaries: their failures, pace, quotas and slots."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from bot.core import preparing, summarizing
from bot.core.context import BYTES_PER_TOKEN
from bot.core.errors import ModelError
from bot.core.model_events import TokenStatistics
from bot.core.queues import QueueLimits, Queues
from bot.core.quotas import NO_LIMITS, Contended, QuotaExceeded, Quotas, Reservation, Usage
from bot.core.summarizing import BACK_OFF, NO_ROOM_FOR
from bot.core.turns import FailureReason
from bot.store import Store
from tests.core.summaries.summarized import ONE_BLOCK, Summarized, Summarizer, jobs, numbers, service
from tests.places import on_discord
from tests.store.steps import Clock, set_clock
from tests.talking import HERE
from tests.waiting import until

pytestmark = pytest.mark.virtual_time


async def test_failing_it_is_tried_again_later_and_then_given_up(store: Store) -> None:
    clock, model = Clock(), Summarizer()
    set_clock(store, clock)
    async with service(store, model) as core:
        talk = Summarized(core, model, store)
        failure = ModelError(FailureReason.UNREACHABLE, "down")
        model.summaries = [[failure], [" \n"], [failure], [failure]]
        await talk.fill(ONE_BLOCK)
        for tries, pause in enumerate(BACK_OFF, 1):
            assert len(model.summarized) == tries
            clock.now += pause - 2
            await talk.summarize()
            assert len(model.summarized) == tries
            clock.now += 2
            await talk.summarize()
        assert len(model.summarized) == 4
        clock.now += 10**6
        await talk.fill(5, first=ONE_BLOCK)
        told, _, turns = await talk.told()
        assert turns[0] > 0
        assert 0 not in numbers(told), "the block goes without"
        assert (await store.summaries.remembered(HERE)).failed == 1
        assert await store.summaries.remake(HERE)
        await talk.summarize()
        assert (await talk.told("question 9998"))[1] == list(range(turns[0]))
        assert (await store.summaries.remembered(HERE)).failed == 0


async def test_one_a_minute_in_a_conversation(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    model = Summarizer()
    async with service(store, model) as core:
        talk = Summarized(core, model, store)
        await talk.fill(45)
        made = len(model.summarized)
        await talk.delete(2)
        await talk.delete(8)
        monkeypatch.setattr(summarizing, "PACE", 60.0)
        await talk.summarize()
        assert len(model.summarized) == made + 1


async def test_it_is_reserved_and_charged_to_the_server_or_in_a_dm_to_the_person(store: Store) -> None:
    for where, guild, user in ((HERE, 5, None), (on_discord(3), None, 1)):
        model = Summarizer()
        async with service(store, model, NO_LIMITS) as core:
            talk = Summarized(core, model, store)
            model.summaries = [["- question 0\n", Usage(2000, 30, 700)]]
            await talk.ask(ONE_BLOCK, where=where, guild=guild)
            assert await core.summaries.make_next()
        [charge] = await store.engine.read(
            "SELECT user_id, guild_id, model, prompt_tokens, reply_tokens, cached_tokens, settled FROM charges"
            " WHERE turn_id < 0 ORDER BY id DESC LIMIT 1"
        )
        assert tuple(charge) == (user, guild, "m", 2000, 30, 700, 1)


async def test_without_room_in_the_quotas_nothing_is_asked(store: Store) -> None:
    clock, model = Clock(), Summarizer()
    set_clock(store, clock)
    async with service(store, model, NO_LIMITS) as core:
        talk = Summarized(core, model, store)
        await talk.ask(ONE_BLOCK, guild=5)
    async with service(store, model, Quotas(None, None, 1000, None)) as core:
        assert await core.summaries.make_next()
        assert not await core.summaries.make_next()
        assert not model.summarized
        assert not await store.engine.read("SELECT 1 FROM charges WHERE turn_id < 0")
    async with service(store, model, NO_LIMITS) as core:
        clock.now += NO_ROOM_FOR
        assert await core.summaries.make_next()
    assert len(model.summarized) == 1
    assert (await jobs(store))[0][3]


async def test_one_slot_is_taken_only_while_nobody_waits_and_given_to_a_question(store: Store) -> None:
    model = Summarizer()
    model.queue = Queues(QueueLimits(1, 1))
    async with service(store, model, NO_LIMITS) as core, asyncio.timeout(30):
        talk = Summarized(core, model, store)
        await talk.ask(ONE_BLOCK)
        go = asyncio.Event()
        model.replies = [["Long", go]]
        answering = talk.say(f"question {ONE_BLOCK}")
        await (await talk.sink(ONE_BLOCK)).said()
        await core.summaries.make_next()
        assert not model.summarized, "the slot is somebody's"
        go.set()
        await answering

        never, left = asyncio.Event(), model.left_early
        model.summaries = [["- begun", never]]
        making = asyncio.create_task(core.summaries.make_next())
        await until(lambda: model.summarized)
        model.replies = [["At once."]]
        await talk.say("question 41")
        assert await talk.kept() == ["At once."]
        await making
        assert model.left_early == left + 1
        assert not [job for job in await jobs(store) if job[3]]
        await talk.summarize()
        assert (await jobs(store))[0][3], "it is tried again"
        open_charges = await store.engine.read("SELECT 1 FROM charges WHERE settled = 0")
        assert not open_charges, "and what it used is charged"


async def test_bug_counts_as_a_failure(talk: Summarized, caplog: pytest.LogCaptureFixture) -> None:
    await talk.ask(ONE_BLOCK)
    talk.model.summaries = [[RuntimeError("odd")]]
    await talk.summarize()
    assert len(talk.model.summarized) == 1
    assert "it could not be made because of a bug" in caplog.text
    [[failures, due_at]] = await talk.store.engine.read("SELECT failures, due_at FROM stored_summaries")
    assert failures == 1
    assert due_at > 0


async def test_question_gets_what_a_summary_has_reserved_and_not_used(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, go = Summarizer(), asyncio.Event()
    async with service(store, model, NO_LIMITS) as core:
        await Summarized(core, model, store).ask(ONE_BLOCK, guild=5)
    await store.token_statistics.record("m", TokenStatistics(BYTES_PER_TOKEN))
    [[used]] = await store.engine.read("SELECT tokens FROM daily_usage WHERE scope = 'total'")
    [[last]] = await store.engine.read("SELECT prompt_tokens FROM charges ORDER BY id DESC LIMIT 1")
    monkeypatch.setattr(preparing, "RESERVATION_TIMEOUT", 1000.0)
    answers: list[Reservation | QuotaExceeded | Contended | None] = []
    reserve = store.quotas.reserve

    async def noted(*args: Any, **options: Any) -> Reservation | QuotaExceeded | Contended | None:
        answer = await reserve(*args, **options)
        answers.append(answer)
        return answer

    monkeypatch.setattr(store.quotas, "reserve", noted)
    # Enough for the question, and for half of what the summary may use.
    limits = Quotas(None, daily_tokens_total=used + last + 1400)
    async with service(store, model, limits) as core, asyncio.timeout(30):
        talk = Summarized(core, model, store)
        talk.position = 100
        model.summaries = [["- question 0", go, Usage(300, 30)]]
        making = asyncio.create_task(core.summaries.make_next())
        await until(lambda: model.summarized)
        model.replies = [["At last."]]
        asked = talk.say("and now?", guild=5)
        await until(lambda: answers)
        assert answers == [Contended()]
        go.set()
        await asked
        await making
        assert await talk.kept() == ["At last."]

"""What is learned of a model: a request for a summary reserves and asks as one for a reply does."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from bot.core.context import BYTES_PER_TOKEN, SAFE_BYTES_PER_TOKEN, tokens
from bot.core.errors import ContextTooLong
from bot.core.model_events import Message, Reasoning
from bot.core.quotas import NO_LIMITS, Usage
from bot.core.summarizing import BACK_OFF
from bot.core.window import REASONING_TOKENS, read_window
from bot.store import Store
from tests.core.summaries.summarized import LONG, ONE_BLOCK, WINDOW, Summarized, Summarizer, jobs, service
from tests.store.steps import Clock, set_clock
from tests.talking import HERE
from tests.waiting import until

THINKING = 100 + REASONING_TOKENS["medium"]
"""What a request allows a model that thinks."""


def size(messages: list[Message]) -> int:
    return sum(tokens(each.content, BYTES_PER_TOKEN) for each in messages)


async def window(store: Store) -> int | None:
    return (await store.token_statistics.of("m")).window


async def test_reply_shows_that_the_model_thinks(talk: Summarized) -> None:
    await talk.ask(ONE_BLOCK, reply=[Reasoning(), LONG])
    await talk.summarize()
    assert talk.model.asked_for[-1] == ("m", THINKING)


async def test_summary_shows_that_the_model_thinks(talk: Summarized) -> None:
    talk.model.summaries = [[Reasoning(), "- question 0"]]
    await talk.ask(ONE_BLOCK)
    await talk.summarize()
    assert talk.model.asked_for[-1] == ("m", 100)
    await talk.say("and now?")
    assert talk.model.asked_for[-1] == ("m", THINKING)


async def test_room_for_thoughts_makes_no_summary_longer(talk: Summarized) -> None:
    await talk.ask(ONE_BLOCK, reply=[Reasoning(), LONG])
    talk.model.summaries = [["- question 0\n"] * 500]
    await talk.summarize()
    [[text]] = await talk.store.engine.read("SELECT text FROM stored_summaries")
    assert 90 < len(text) / BYTES_PER_TOKEN <= 100
    assert text.endswith("\n- question 0")


@pytest.mark.parametrize(("counted", "reserved"), [(None, SAFE_BYTES_PER_TOKEN), (4.0, 4.0)])
async def test_more_is_reserved_only_until_a_server_has_counted(
    store: Store, counted: float | None, reserved: float
) -> None:
    go, model = asyncio.Event(), Summarizer()
    async with service(store, model, NO_LIMITS) as core:
        talk = Summarized(core, model, store)
        await talk.ask(ONE_BLOCK, guild=5)
        await store.token_statistics.record("m", replace(await store.token_statistics.of("m"), bytes_per_token=counted))
        model.summaries = [["- question 0", go, Usage(900, 30)]]
        making = asyncio.create_task(core.summaries.make_next())
        await until(lambda: model.summarized)
        [charge] = await store.engine.read("SELECT prompt_tokens FROM charges WHERE turn_id < 0")
        go.set()
        await making
    assert charge[0] == sum(tokens(each.content, reserved) for each in model.summarized[0])
    learned = await store.token_statistics.of("m")
    assert learned.bytes_per_token not in (None, counted), "its count is learned from too"


@pytest.mark.parametrize("named", [None, 1500])
async def test_block_that_the_server_refuses_as_too_long_is_made_in_parts(talk: Summarized, named: int | None) -> None:
    await talk.ask(ONE_BLOCK)
    talk.model.summaries = [[ContextTooLong("too long", named)]]
    await talk.summarize()
    refused, *asked = talk.model.summarized
    assert len(asked) == 2
    assert max(map(size, asked)) < size(refused)
    known = await window(talk.store)
    assert (known is None) == (named is None)
    assert known is None or max(map(size, asked)) + 100 <= known < 1500
    await talk.fill(6, first=ONE_BLOCK)
    _, summary, turns = await talk.told()
    assert [*summary, *turns] == list(range(ONE_BLOCK + 6))


async def test_server_that_refuses_everything_is_asked_for_each_turn_once(talk: Summarized) -> None:
    await talk.ask(ONE_BLOCK)
    talk.model.summaries = [[ContextTooLong("too long")]] * 99
    await talk.summarize()
    blocks = await jobs(talk.store)
    assert len(blocks) == blocks[-1][2] - 1 > 4, "none has more than one turn"
    assert len(talk.model.summarized) == 2 * len(blocks) - 1
    assert not await talk.store.engine.read("SELECT 1 FROM stored_summaries WHERE failures <> 1 OR due_at = 0")


async def test_nothing_is_kept_of_a_block_that_the_server_did_not_read_to_its_end(store: Store) -> None:
    clock, model = Clock(), Summarizer()
    set_clock(store, clock)
    async with service(store, model) as core:
        talk = Summarized(core, model, store)
        await talk.ask(ONE_BLOCK, reply=["so it " * 150])
        model.summaries = [["- question 5", Usage(1000, 30)]]
        await talk.summarize()
        assert not [job for job in await jobs(store) if job[3]]
        known = await window(store)
        assert known == read_window(1000)
        clock.now += BACK_OFF[0]
        await talk.summarize()
        assert all(made for *_, made, _ in await jobs(store))
        assert max(map(size, model.summarized[1:])) + 100 <= known < size(model.summarized[0])


async def test_once_after_a_start_it_is_tried_whether_the_window_has_grown(store: Store) -> None:
    model = Summarizer()
    async with service(store, model) as core:
        await Summarized(core, model, store).fill(45)
    await store.token_statistics.record("m", replace(await store.token_statistics.of("m"), window=WINDOW // 2))
    for summary, now in (([ContextTooLong("too long")], WINDOW // 2), (["- question 0"], None)):
        assert await store.summaries.remake(HERE)
        model.summarized.clear()
        model.summaries = [summary]
        async with service(store, model) as core:
            await Summarized(core, model, store).summarize()
        first, *others = model.summarized
        assert size(first) > WINDOW // 2
        assert await window(store) == now
        assert now is None or max(map(size, others)) + 100 <= now

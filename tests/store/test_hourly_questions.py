"""The questions that a person may ask in an hour, and what is left of one that was refused."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from bot.core.quotas import Quota, QuotaExceeded, Quotas
from bot.core.turns import Attempt, Conversation, Outcome, Prompt, TurnState
from bot.core.usage import LeastRequest
from bot.store import Store
from tests.places import TERMINAL, on_discord
from tests.store.steps import HERE, Clock, rows


async def test_hour_is_a_sliding_window(store: Store, clock: Clock) -> None:
    async def begin(
        position: int, person: int | None = 1, where: Conversation = HERE
    ) -> Attempt | QuotaExceeded | None:
        message_id = position if where.platform == "discord" else None
        return await store.turns.begin(Prompt(where, position, "Why?", person, message_id=message_id), 3)

    began = int(clock.now)
    first = await begin(1)
    assert isinstance(first, Attempt)
    for position in (2, 3):
        clock.now += 60
        assert isinstance(await begin(position, where=on_discord(position)), Attempt)
    used_up = QuotaExceeded(Quota.QUESTIONS, 3, until=began + 3600)
    assert await begin(4) == used_up
    assert await begin(4, where=on_discord("new")) == used_up
    assert await begin(3) is None, "the event of one that was taken"
    assert isinstance(await begin(5, person=2), Attempt)
    assert isinstance(await begin(6, person=None, where=TERMINAL), Attempt)
    await store.turns.interrupt_left_over("discord", HERE.channel)
    again = await store.turns.reopen(first, TurnState.INTERRUPTED, recovery=True)
    assert isinstance(again, Attempt)
    await store.turns.close(again, Outcome(TurnState.COMPLETE, "Because."))
    assert await store.turns.reopen(again, TurnState.COMPLETE, user_id=1, hourly_limit=3) == used_up
    await store.retention.forget_conversation(HERE)
    assert await begin(4) == used_up, "whatever was forgotten since"
    clock.now = began + 3599
    assert await begin(4) == used_up
    clock.now = began + 3600
    assert isinstance(await begin(4), Attempt)
    assert await begin(7) == QuotaExceeded(Quota.QUESTIONS, 3, until=began + 60 + 3600), "then one at a time"
    assert (await store.quotas.usage_today(1)).questions == 3


async def test_forgotten_prompt_counts_for_its_own_hour(store: Store, clock: Clock) -> None:
    first = int(clock.now)
    for position in range(1, 4):
        assert isinstance(await store.turns.begin(Prompt(HERE, position, "Why?", 77, message_id=position), 3), Attempt)
        clock.now += 600
        await store.people.forget(77)
    refused = await store.turns.begin(Prompt(HERE, 4, "Why?", 77, message_id=4), 3)
    assert refused == QuotaExceeded(Quota.QUESTIONS, 3, until=first + 3600)
    clock.now = first + 3600
    assert (await store.quotas.usage_today(77)).questions == 2
    assert isinstance(await store.turns.begin(Prompt(HERE, 5, "Why?", 77, message_id=5), 3), Attempt)
    refused = await store.turns.begin(Prompt(HERE, 6, "Why?", 77, message_id=6), 3)
    assert refused == QuotaExceeded(Quota.QUESTIONS, 3, until=first + 600 + 3600)


@pytest.mark.sqlite("transactions on several connections of a server come in any order")
async def test_prompts_at_once_are_begun_in_their_order(store: Store) -> None:
    """Also where the conversation begins with them, however closely they follow each other."""
    least = LeastRequest(100, 100, Quotas())
    for turns_of_the_loop in range(40):
        here, person = on_discord(1000 + turns_of_the_loop), 1000 + turns_of_the_loop
        beginning = []
        for number in range(1, 5):
            prompt = Prompt(here, number, "Why?", person, message_id=1000 * number + turns_of_the_loop)
            beginning.append(asyncio.create_task(store.turns.begin(prompt, 2, least)))
            for _ in range(turns_of_the_loop):
                await asyncio.sleep(0)
        begun = [isinstance(await each, Attempt) for each in beginning]
        assert begun == [True, True, False, False]


async def test_concurrent_prompts_respect_the_hourly_limit(store: Store) -> None:
    prompts = [Prompt(on_discord(n), n, "Why?", 1, message_id=n) for n in range(1, 51)]
    begun = await asyncio.gather(*(store.turns.begin(prompt, 20) for prompt in prompts))
    assert sum(isinstance(each, Attempt) for each in begun) == 20
    assert sum(isinstance(each, QuotaExceeded) for each in begun) == 30


async def test_refused_first_prompt_leaves_no_trace(store: Store, path: Path) -> None:
    for position in (1, 2):
        await store.turns.begin(Prompt(on_discord(position), position, "Why?", 1, message_id=position), 1)
    too_much = LeastRequest(100, 100, Quotas(daily_tokens_per_user=199))
    refused = await store.turns.begin(Prompt(on_discord(3), 3, "Why?", 2, message_id=3), None, too_much)
    assert isinstance(refused, QuotaExceeded)
    assert rows(path, "SELECT channel FROM conversations") == [(HERE.channel,)]
    assert rows(path, "SELECT message_id FROM processed_messages") == [(1,)]

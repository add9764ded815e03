"""A prompt is taken once, with a turn or without one, and a notice is sent once in its time."""

from __future__ import annotations

import asyncio

from bot.core.turns import Prompt
from bot.store import Store
from tests.places import TERMINAL
from tests.store.steps import HERE, Clock, answer, begin


async def test_prompt_is_processed_once_even_if_forgotten(store: Store) -> None:
    await answer(store, 1, "done")
    await begin(store, 2)
    assert await store.processed.mark(3), "refused"
    assert not await store.processed.mark(3)
    assert not await store.processed.mark(1), "it has a turn"
    await store.retention.forget_conversation(HERE)
    assert await store.processed.among([1, 2, 3, 4]) == {1, 2, 3}
    assert await store.processed.among([]) == set()
    for position in (1, 2, 3):
        assert await store.turns.begin(Prompt(HERE, position, "the event again", message_id=position)) is None
    await answer(store, 4, "new")
    assert await store.turns.begin(Prompt(TERMINAL, 1, "a terminal's times are not Discord's ids"))
    await store.turns.begin(Prompt(TERMINAL, 5, "Why?"))
    assert await store.processed.among([5]) == set()


async def test_notice_is_not_repeated_too_soon(store: Store, clock: Clock) -> None:
    began = int(clock.now)
    answers = await asyncio.gather(*(store.processed.claim_notice("used up", began + 60, 1) for _ in range(5)))
    assert sorted(answers) == [False] * 4 + [True]
    assert await store.processed.claim_notice("used up", began + 60, 2)
    assert await store.processed.claim_notice("used up", began + 60)
    clock.now += 59
    assert not await store.processed.claim_notice("used up", began + 7200, 1)
    clock.now += 1
    assert await store.processed.claim_notice("used up", began + 7200, 1)
    assert not await store.processed.claim_notice("used up", began + 9999, 1)

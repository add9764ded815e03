"""A prompt is taken once, with a turn or without one."""

from __future__ import annotations

from bot.core.turns import Prompt
from bot.store import Store
from tests.places import TERMINAL
from tests.store.steps import HERE, answer, begin


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

"""Turns that other people's recent messages went along with, once one of these people is forgotten."""

from __future__ import annotations

from pathlib import Path

from bot.core.turns import Attempt, Outcome, Prompt, TurnState
from bot.store import Store
from tests.store.forgetting import BO, CLEO, DAN, left, secret
from tests.store.steps import HERE, rows, said


async def turn_with(store: Store, position: int, *authors: int, asker: int = BO, reply: str = "A SECRET.") -> Attempt:
    """A question that messages of these people went along with, and its reply."""
    attempt = await store.turns.begin(Prompt(HERE, position, "Why?", asker, guild_id=5, message_id=position))
    assert isinstance(attempt, Attempt)
    if authors:
        assert await store.recent_authors.add(attempt, authors)
    if reply:
        assert await store.turns.close(attempt, Outcome(TurnState.COMPLETE, reply))
    return attempt


async def test_turn_goes_with_each_of_the_authors(store: Store, path: Path) -> None:
    await turn_with(store, 1, CLEO, DAN)
    kept = await turn_with(store, 2, DAN, reply="Kept.")
    assert not (await store.people.record_of(CLEO)).is_empty
    assert await store.people.forget(CLEO) == set(), "none of them is a question of hers"
    assert said(await store.turns.history(HERE, 9)) == [(2, "Kept.")], "at once"
    assert await store.turns.exists(kept.turn_id)
    assert (await store.people.record_of(CLEO)).is_empty
    await store.engine.erase_deleted()
    assert not secret(path)
    assert left(path) == 0
    assert rows(path, "SELECT user_id FROM recent_authors") == [(DAN,)]


async def test_running_attempt_finds_its_turn_gone(store: Store) -> None:
    running = await turn_with(store, 1, CLEO, reply="")
    await store.people.forget(CLEO)
    assert await store.turns.of_attempt(running) is None
    assert not await store.turns.close(running, Outcome(TurnState.COMPLETE, "A SECRET."))
    assert not await store.recent_authors.add(running, [DAN])


async def test_nothing_goes_along_for_who_may_not_read_the_history(store: Store, path: Path) -> None:
    asked = Prompt(HERE, 1, "Why?", BO, guild_id=5, message_id=1, reads_history=False)
    attempt = await store.turns.begin(asked)
    assert isinstance(attempt, Attempt)
    assert not await store.recent_authors.add(attempt, [CLEO])
    assert rows(path, "SELECT * FROM recent_authors") == []


async def test_later_turns_stay_when_somebody_was_forgotten_before(store: Store) -> None:
    await turn_with(store, 1, CLEO)
    await store.people.forget(CLEO)
    await turn_with(store, 2, CLEO, reply="Later.")
    assert said(await store.turns.history(HERE, 9)) == [(2, "Later.")]
    await store.engine.erase_deleted()
    assert said(await store.turns.history(HERE, 9)) == [(2, "Later.")]


async def test_reset_of_ones_own_questions_leaves_other_peoples_turns(store: Store) -> None:
    await turn_with(store, 1, CLEO)
    await store.retention.forget_own(HERE, CLEO)
    assert said(await store.turns.history(HERE, 9)) == [(1, "A SECRET.")]


async def test_authors_go_with_the_turn(store: Store, path: Path) -> None:
    attempt = await turn_with(store, 1, CLEO)
    await store.retention.forget_turn(attempt.turn_id)
    assert rows(path, "SELECT * FROM recent_authors") == []

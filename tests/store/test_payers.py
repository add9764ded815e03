"""Who pays for an attempt: whoever asked for it, unless it failed through no fault of theirs."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from bot.core.quotas import NO_LIMITS, Quota, QuotaExceeded, Reservation, Usage
from bot.core.turns import Attempt, FailureReason, Outcome, Prompt, TurnState
from bot.store import Store
from tests.places import on_discord
from tests.store.steps import Clock, assert_it_adds_up, rows

AUTHOR, FIRST, SECOND = 701, 702, 703
GUILD = 9
UNREACHABLE = Outcome(TurnState.FAILED, failure=FailureReason.UNREACHABLE, usage=Usage(100, 0))


async def ask(store: Store, position: int, most: int | None = None) -> Attempt | QuotaExceeded | None:
    prompt = Prompt(on_discord(1), position, "Why?", AUTHOR, guild_id=GUILD, message_id=position)
    return await store.turns.begin(prompt, most)


async def asked(store: Store, position: int) -> Attempt:
    attempt = await ask(store, position)
    assert isinstance(attempt, Attempt)
    return attempt


async def reserve(store: Store, attempt: Attempt) -> None:
    assert await store.quotas.reserve(attempt, "m", 100, 400, 100, NO_LIMITS) == Reservation(400)


async def failed(store: Store, position: int) -> Attempt:
    """A question of the author's that the model's server did not answer."""
    attempt = await asked(store, position)
    await reserve(store, attempt)
    await store.turns.close(attempt, UNREACHABLE, free=True)
    return attempt


async def recovered(store: Store, attempt: Attempt) -> Attempt:
    """The next attempt, after a kill of the process."""
    await store.turns.interrupt_left_over("discord")
    again = await store.turns.reopen(attempt, TurnState.INTERRUPTED, recovery=True)
    assert isinstance(again, Attempt)
    await reserve(store, again)
    return again


async def used(store: Store, *people: int) -> list[tuple[int, int]]:
    """Questions and tokens of each person."""
    usage = [await store.quotas.usage_today(person) for person in people]
    return [(each.questions, each.user) for each in usage]


async def test_one_of_two_presses_at_once_is_charged(store: Store, path: Path, clock: Clock) -> None:
    ended = await failed(store, 1)
    assert await used(store, AUTHOR) == [(0, 0)]
    pressed = await asyncio.gather(
        *(store.turns.reopen(ended, TurnState.FAILED, user_id=each, hourly_limit=1) for each in (FIRST, SECOND))
    )
    assert pressed == [Attempt(ended.turn_id, 2), None]
    await reserve(store, Attempt(ended.turn_id, 2))
    assert await used(store, AUTHOR, FIRST, SECOND) == [(0, 0), (1, 500), (0, 0)]
    other = await failed(store, 2)
    refused = QuotaExceeded(Quota.QUESTIONS, 1, until=int(clock.now) + 3600)
    assert await store.quotas.questions_exceeded(FIRST, 1) == refused
    assert await store.turns.reopen(other, TurnState.FAILED, user_id=FIRST, hourly_limit=1) == refused
    assert await store.turns.reopen(other, TurnState.FAILED, user_id=SECOND, hourly_limit=1), "it is as it was"
    assert_it_adds_up(path)


async def test_killed_press_is_charged_to_the_same_person(store: Store, path: Path, clock: Clock) -> None:
    ended = await failed(store, 1)
    pressed = await store.turns.reopen(ended, TurnState.FAILED, user_id=FIRST, hourly_limit=1)
    assert isinstance(pressed, Attempt)
    # Killed before anything was reserved, then while the reply was written, each time for longer than the hour.
    clock.now += 3 * 3600
    await store.retention.prune(0)
    again = await recovered(store, pressed)
    assert await used(store, AUTHOR, FIRST) == [(0, 0), (0, 500)]
    await store.turns.save({again: "Beca"}, {again: 2})
    clock.now += 3 * 3600
    await store.retention.prune(0)
    again = await recovered(store, again)
    await store.turns.close(again, Outcome(TurnState.COMPLETE, "Because.", usage=Usage(100, 5)))
    assert await used(store, AUTHOR, FIRST) == [(0, 0), (0, 102 + 105)]
    await store.turns.mark_delivered(again)
    await store.retention.prune(0)
    assert rows(path, "SELECT count(*) FROM recent_questions") == [(0,)]
    assert_it_adds_up(path)


async def test_forgotten_payer_is_charged_nothing_more(store: Store, path: Path) -> None:
    ended = await failed(store, 1)
    pressed = await store.turns.reopen(ended, TurnState.FAILED, user_id=FIRST)
    assert isinstance(pressed, Attempt)
    await reserve(store, pressed)
    assert await store.people.forget(FIRST) == set(), "the turn is somebody else's"
    await store.engine.erase_deleted()
    before = await used(store, AUTHOR, FIRST)
    again = await recovered(store, pressed)
    await store.turns.close(again, Outcome(TurnState.COMPLETE, "Because.", usage=Usage(100, 5)))
    assert await used(store, AUTHOR, FIRST) == before == [(0, 0), (1, 500)], "and nobody else instead"
    names = "SELECT user_id FROM recent_questions UNION SELECT user_id FROM charges"
    assert FIRST not in {name for [name] in rows(path, names)}
    assert_it_adds_up(path)


@pytest.mark.parametrize(
    ("outcome", "counts"),
    [
        *(
            (Outcome(TurnState.FAILED, failure=failure), False)
            for failure in (
                FailureReason.UNREACHABLE,
                FailureReason.BUSY,
                FailureReason.CONFIGURATION,
                FailureReason.STORAGE,
                FailureReason.INTERNAL,
                FailureReason.EMPTY_REPLY,
                FailureReason.OUT_OF_ROOM,
                FailureReason.QUOTA,
            )
        ),
        (Outcome(TurnState.INTERRUPTED), False),
        (Outcome(TurnState.FAILED, "A half", FailureReason.UNREACHABLE), False),
        (Outcome(TurnState.FAILED, failure=FailureReason.CONTENT_FILTERED), True),
        (Outcome(TurnState.FAILED, failure=FailureReason.TOO_LONG), True),
        (Outcome(TurnState.COMPLETE, "Because.", FailureReason.LENGTH), True),
        (Outcome(TurnState.COMPLETE, "Because.", FailureReason.QUOTA), True),
        (Outcome(TurnState.COMPLETE, "Because."), True),
        (Outcome(TurnState.STOPPED), True),
    ],
    ids=lambda value: f"{value.state} {value.failure}" if isinstance(value, Outcome) else "",
)
async def test_what_counts_as_a_question(store: Store, outcome: Outcome, counts: bool) -> None:
    for position in (1, 2):
        await store.turns.close(await asked(store, position), outcome)
    assert (await store.quotas.usage_today(AUTHOR)).questions == (2 if counts else 0)
    assert isinstance(await ask(store, 3, 2), QuotaExceeded) == counts


@pytest.mark.parametrize("forget", [False, True])
async def test_failures_are_bounded_too(store: Store, clock: Clock, forget: bool) -> None:
    first = int(clock.now)
    for position in range(1, 7):
        attempt = await ask(store, position, 2)
        assert isinstance(attempt, Attempt)
        await store.turns.close(attempt, UNREACHABLE)
        if forget:
            await store.people.forget(AUTHOR)
        clock.now += 60
    assert await ask(store, 7, 2) == QuotaExceeded(Quota.QUESTIONS, 6, until=first + 3600)
    assert (await store.quotas.usage_today(AUTHOR)).questions == 0
    clock.now = first + 3600
    assert isinstance(await ask(store, 7, 2), Attempt)


async def test_failed_attempt_without_text_costs_its_person_no_tokens(store: Store, path: Path) -> None:
    await failed(store, 1)
    replaced = await asked(store, 2)
    await reserve(store, replaced)
    await store.quotas.settle_replaced(replaced, Usage(30, 0))
    await reserve(store, replaced)
    await store.turns.close(replaced, Outcome(TurnState.COMPLETE, "Because.", usage=Usage(100, 5)))
    killed = await asked(store, 3)
    await reserve(store, killed)
    await store.turns.interrupt_left_over("discord")
    usage = await store.quotas.usage_today(AUTHOR, GUILD)
    assert (usage.user, usage.guild, usage.total) == (105, 335, 335)
    assert_it_adds_up(path)

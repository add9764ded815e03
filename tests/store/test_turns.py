"""What becomes of a turn later: its prompt is corrected, it is tried again; and where people talk directly."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from bot.core.turns import Attempt, Conversation, Outcome, Prompt, Quote, TurnState, UserName
from bot.store import Store
from tests.places import TERMINAL, on_discord
from tests.store.steps import HERE, Clock, answer, begin, rows

DAY = 24 * 3600


async def test_edited_prompt_is_stored(store: Store, path: Path) -> None:
    await answer(store, 1, "done")
    assert await store.turns.correct(1, "Why not?", Quote(7, 3))
    assert not await store.turns.correct(2, "of nobody")
    [turn] = await store.turns.history(HERE, 9)
    assert (turn.prompt, turn.reply) == ("Why not?", "done")
    quoted = "SELECT quoted_id, quote_length FROM stored_turns"
    assert rows(path, quoted) == [(7, 3)]
    await store.turns.correct(1, "Why?")
    assert rows(path, quoted) == [(None, 0)]


async def test_automatic_retries_are_counted(store: Store) -> None:
    attempt = await begin(store, 1)
    for recovery, tries in ((True, 2), (True, 3), (False, 1), (True, 2)):
        await store.turns.close(attempt, Outcome(TurnState.INTERRUPTED, "so far"))
        reopened = await store.turns.reopen(attempt, TurnState.INTERRUPTED, recovery=recovery)
        assert isinstance(reopened, Attempt)
        attempt = reopened
        [turn] = await store.turns.history(HERE, 1)
        assert turn.tries == tries


async def test_latest_direct_conversations_are_found(store: Store, clock: Clock) -> None:
    for position in range(1, 111):
        clock.now += DAY
        await begin(store, position, conversation=on_discord(position))
    assert await store.turns.begin(Prompt(on_discord(200), 200, "Why?", guild_id=7))
    await begin(store, 1, conversation=TERMINAL)
    clock.now += DAY
    await begin(store, 300, conversation=on_discord(50))
    since = int(clock()) - 61 * DAY
    assert await store.conversations.direct(since) == [
        on_discord(50),
        *(on_discord(position) for position in range(110, 49, -1) if position != 50),
    ]
    assert len(await store.conversations.direct(0)) == 100


async def test_turn_without_history_lists_its_author_only(store: Store) -> None:
    async def ask(
        position: int, person: int, where: Conversation = HERE, *, reads: bool = True, origin: int = 0
    ) -> Attempt:
        prompt = Prompt(where, position, f"{position}?", person, UserName("P", "p"), 5, origin, reads_history=reads)
        begun = await store.turns.begin(replace(prompt, message_id=position))
        assert isinstance(begun, Attempt)
        return begun

    async def listed(attempt: Attempt) -> list[int]:
        return [turn.position for turn in await store.turns.earlier(attempt.turn_id, None, 10)]

    for position, person in ((1, 1), (2, 2), (3, 1)):
        attempt = await ask(position, person)
        await store.deliveries.posting(attempt, 0, 0, "nonce")
        await store.deliveries.posted(attempt, 0, 100 + position)
        await store.turns.close(attempt, Outcome(TurnState.COMPLETE, "Because."))
    running = await ask(4, 2)
    await store.turns.save({running: "Becau"})
    for reads, here, thread in ((True, [4, 3, 2, 1], [2]), (False, [3, 1], [])):
        assert await listed(await ask(5 + reads, 1, reads=reads)) == here
        there = on_discord(900 + reads)
        assert await listed(await ask(1000 + reads, 1, there, reads=reads, origin=102)) == thread
    again = await ask(7, 1)
    for reads, recovery, positions in (
        (True, False, [4, 3, 2, 1]),
        (False, False, [3, 1]),
        (True, False, [3, 1]),
        (True, True, [3, 1]),
    ):
        await store.turns.close(again, Outcome(TurnState.INTERRUPTED))
        reopened = await store.turns.reopen(
            again, TurnState.INTERRUPTED, user_id=1, reads_history=reads, recovery=recovery
        )
        assert isinstance(reopened, Attempt)
        again = reopened
        assert await listed(again) == positions

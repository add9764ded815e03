"""What becomes of a turn later: its prompt is corrected, it is tried again; and where people talk directly."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from bot.core.turns import Attempt, Conversation, Outcome, Prompt, Quote, TurnState, UserName
from bot.store import Store
from tests.places import TERMINAL, on_discord
from tests.store.steps import HERE, Clock, answer, begin, context_of, rows

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
    assert await store.conversations.direct(since, 100) == [
        on_discord(50),
        *(on_discord(position) for position in range(110, 49, -1) if position != 50),
    ]
    assert len(await store.conversations.direct(0, 100)) == 100


async def test_turn_without_history_lists_its_author_only(store: Store) -> None:
    async def ask(
        position: int, person: int, where: Conversation = HERE, *, reads: bool = True, origin: int = 0
    ) -> Attempt:
        prompt = Prompt(where, position, f"{position}?", person, UserName("P", "p"), 5, origin, reads_history=reads)
        begun = await store.turns.begin(replace(prompt, message_id=position))
        assert isinstance(begun, Attempt)
        return begun

    async def listed(attempt: Attempt) -> list[int | None]:
        return [number for number, _ in await context_of(store, attempt)]

    for position, person in ((1, 1), (2, 2), (3, 1)):
        attempt = await ask(position, person)
        await store.deliveries.posting(attempt, 0, 0, "nonce")
        await store.deliveries.posted(attempt, 0, 100 + position)
        await store.turns.close(attempt, Outcome(TurnState.COMPLETE, "Because."))
    running = await ask(4, 2)
    await store.turns.save({running: "Becau"})
    for reads, here, thread in ((True, [None, 3, 2, 1], [0]), (False, [3, 1], [])):
        assert await listed(await ask(5 + reads, 1, reads=reads)) == here
        there = on_discord(900 + reads)
        assert await listed(await ask(1000 + reads, 1, there, reads=reads, origin=102)) == thread
    assert not await store.windows.move((await ask(8, 1, reads=False)).turn_id, 0, 3), "it saw only a part"
    again = await ask(7, 1)
    for reads, recovery, numbers in (
        (True, False, [None, 3, 2, 1]),
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
        assert await listed(again) == numbers


async def test_turn_has_its_place_from_its_first_end_on(store: Store) -> None:
    first, second, third = [await begin(store, position) for position in (1, 2, 3)]
    for attempt in (first, second, third):
        await store.turns.save({attempt: f"so far {attempt.turn_id}"})
    last = await begin(store, 9)
    running = [(None, f"so far {attempt.turn_id}") for attempt in (third, second, first)]
    assert await context_of(store, last) == running
    for attempt in (third, first):
        await store.turns.close(attempt, Outcome(TurnState.COMPLETE, f"r{attempt.turn_id}"))
    third_and_first = [(2, f"r{first.turn_id}"), (1, f"r{third.turn_id}")]
    assert await context_of(store, last) == [running[1], *third_and_first]

    again = await store.turns.reopen(third, TurnState.COMPLETE)
    assert isinstance(again, Attempt)
    assert await context_of(store, again) == [running[1]], "only what came before it"
    assert await context_of(store, last) == [(None, f"r{third.turn_id}"), running[1], third_and_first[0]]
    await store.turns.interrupt_left_over(HERE.platform)
    assert await context_of(store, await begin(store, 10)) == [(3, f"so far {second.turn_id}"), *third_and_first]
    closed = await answer(store, 11, "r11")
    await store.retention.forget_turn(closed.turn_id)
    await answer(store, 12, "r12")
    assert (await context_of(store, await begin(store, 13)))[0] == (6, "r12"), "the number of none is used again"


async def test_what_a_kill_left_unfinished_gets_its_place_in_the_order_of_asking(store: Store) -> None:
    await answer(store, 1, "r1")
    elsewhere = await begin(store, 2, conversation=on_discord(2))
    late, early = await begin(store, 30), await begin(store, 20)
    for attempt in (late, early, elsewhere):
        await store.turns.save({attempt: "so far"})
    await store.turns.interrupt_left_over(HERE.platform, HERE.channel)
    await store.turns.interrupt_left_over(HERE.platform)
    await answer(store, 40, "r40")
    this = await begin(store, 50)
    page = await store.windows.earlier(this.turn_id, None, 9)
    assert [(turn.number, turn.reply) for turn in page.turns] == [
        (4, "r40"),
        (3, "so far"),
        (2, "so far"),
        (1, "r1"),
    ]
    again = await store.turns.reopen(early, TurnState.INTERRUPTED, recovery=True)
    assert isinstance(again, Attempt)
    assert await context_of(store, again) == [(1, "r1")]
    assert await context_of(store, await begin(store, 60, conversation=on_discord(2))) == [(1, "so far")]


async def test_what_is_read_ahead_of_a_prompt_is_what_its_turn_finds(store: Store) -> None:
    for position, (author, reply) in enumerate([(1, "r1"), (2, "r2"), (3, "r3"), (1, "r4"), (2, "")], 1):
        attempt = await _asked(store, HERE, position, author)
        assert await store.turns.close(attempt, Outcome(TurnState.COMPLETE, reply))
    for position, author in ((6, 1), (99, 2)):
        await store.turns.save({await _asked(store, HERE, position, author): f"so far {position}"})
    await store.deliveries.posting(Attempt(1), 0, 0, "n")
    await store.deliveries.posted(Attempt(1), 0, 11)
    thread = on_discord(11)
    opened = await store.turns.begin(Prompt(thread, 20, "And?", 1, origin_message_id=11))
    assert isinstance(opened, Attempt)
    assert await store.turns.close(opened, Outcome(TurnState.COMPLETE, "in the thread"))
    await store.people.forget(3)
    assert await store.windows.move(4, 0, 2)
    sizes = set()
    for position, (where, guild) in enumerate([(HERE, None), (thread, None), (on_discord(12), 7)], 30):
        for number, (by, reads_history) in enumerate([(1, True), (2, True), (1, False), (None, False)]):
            prompt = Prompt(where, 10 * position + number, "Why\0\ud800?", by, UserName("Ada\0", "ada"), guild)
            # The first of the last ones has its thread opened on it.
            message_id, asked_in = 4 * (position - 29) + number, HERE if guild else None
            prompt = replace(prompt, message_id=message_id, reads_history=reads_history, asked_in=asked_in)
            window, summaries = await store.windows.ahead(prompt, 9), await store.summaries.ahead(prompt)
            begun = await store.turns.begin(prompt)
            assert isinstance(begun, Attempt)
            assert window == await store.windows.earlier(begun.turn_id, None, 9)
            if window.turns:
                # Else there may be no conversation yet.
                assert summaries == await store.summaries.in_context(begun.turn_id, None)
            assert store.turns.as_begun(prompt, begun) == await store.turns.of_attempt(begun)
            sizes.add((len(window.running), len(window.turns)))
    assert {(2, 2), (1, 1), (0, 0)} <= sizes


async def _asked(store: Store, where: Conversation, position: int, by: int) -> Attempt:
    attempt = await store.turns.begin(Prompt(where, position, "Why?", by))
    assert isinstance(attempt, Attempt)
    return attempt

"""Search in the questions and replies of a conversation: what is found, how far it looked, and what it never finds."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from bot.core.matching import Query
from bot.core.prompt_text import mention
from bot.core.records import FoundTurn, SearchResult
from bot.core.turns import Attempt, Conversation, Outcome, Prompt, Quote, TurnState, UserName
from bot.store import Store
from bot.store.engine import Rows
from bot.store.search import matching
from bot.store.sqlite import open_store
from bot.store.sqlite.engine import SQLiteEngine
from tests.facts import FACTS
from tests.places import on_discord
from tests.store.steps import HERE, begin, rows

BO, CLEO = 1, 2
FILLER = "so it goes on, and on "
_AT_ONCE = 2000
"""Turns of one statement."""


async def turn(store: Store, position: int, prompt: str, reply: str = FILLER, where: Conversation = HERE) -> Attempt:
    """A turn of Bo or, at an even position, of Cleo."""
    user = CLEO if position % 2 == 0 else BO
    prompt_ = Prompt(where, position, prompt, user, UserName("Bo", "bo"), message_id=position, names={CLEO: "Zerlina"})
    attempt = await store.turns.begin(prompt_)
    assert isinstance(attempt, Attempt)
    await store.turns.close(attempt, Outcome(TurnState.COMPLETE, reply))
    return attempt


async def search(
    store: Store, query: str, position: int | None = None, *, newer: bool = False, most: int = 6, seconds: float = 60
) -> SearchResult:
    return await store.search.find(HERE, Query(query), position, newer=newer, most=most, seconds=seconds)


def positions(found: SearchResult) -> list[int]:
    return [each.position for each in found.turns]


async def test_questions_and_replies_are_found_newest_first(store: Store) -> None:
    for position in range(1, 10):
        prompt = "a blue boat" if position % 3 == 0 else FILLER
        await turn(store, position, prompt, "a BOAT, blue" if position == 4 else FILLER)
    await turn(store, 10, "the boat elsewhere", where=on_discord(2))
    await begin(store, 11, "boat, not answered yet")
    assert positions(await search(store, "boat")) == [11, 9, 6, 4, 3]
    assert positions(await search(store, "boat blue")) == [9, 6, 4, 3]
    assert positions(await search(store, "boat", 9)) == [6, 4, 3]
    assert positions(await search(store, "boat", 4, newer=True)) == [6, 9, 11]
    first = await search(store, "boat", most=2)
    assert (positions(first), first.looked_to, first.whole) == ([11, 9], 9, False)
    assert (await search(store, "boat")).whole
    assert (await search(store, "harbour")).turns == []


async def test_fifty_facts_are_found_by_one_shared_word(store: Store) -> None:
    """Told 300 to 3,000 turns ago."""
    told = {300 + number * 55: fact for number, (fact, _) in enumerate(FACTS)}
    turns = [(3100 - ago, fact) for ago, fact in told.items()]
    await _fill(store, 3100, dict(turns))
    assert (min(told), max(told)) == (300, 2995)
    found = 0
    for (position, fact), (_, word) in zip(turns, FACTS, strict=True):
        result = await search(store, word)
        found += positions(result) == [position] and fact in result.turns[0].prompt
    assert found == len(FACTS) == 50


async def test_it_says_how_far_it_has_looked(store: Store) -> None:
    await _fill(store, 1000, {5: "the boat", 700: "the boat"})
    hasty = await search(store, "boat", seconds=0)
    assert (positions(hasty), hasty.looked_to, hasty.looked_at, hasty.whole) == ([], 901, 901, False)
    found: list[int] = []
    presses, result = 0, hasty
    while not result.whole:
        result = await search(store, "boat", result.looked_to, seconds=0)
        found += positions(result)
        presses += 1
    assert found == [700, 5]
    assert presses < 12
    nothing = await search(store, "boat", 1)
    assert (nothing.turns, nothing.looked_at, nothing.whole) == ([], None, True)


@pytest.mark.parametrize("act", ["reset", "own", "person", "prompt", "reply", "turn"])
async def test_forgotten_turn_is_never_found(store: Store, act: str) -> None:
    mine = await turn(store, 1, "my boat")
    await store.deliveries.posting(mine, 0, 0, "n")
    await store.deliveries.posted(mine, 0, 1001)
    await turn(store, 2, "the boat of Cleo")
    if act == "reset":
        await store.retention.forget_conversation(HERE)
    elif act == "own":
        await store.retention.forget_own(HERE, BO)
    elif act == "person":
        await store.people.forget(BO)
    elif act == "prompt":
        await store.retention.forget_prompts([1])
    elif act == "reply":
        await store.retention.forget_replies([1001])
    else:
        await store.retention.forget_turn(mine.turn_id)
    assert positions(await search(store, "boat")) == ([] if act == "reset" else [2])


async def test_turn_forgotten_during_the_search_is_left_out(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    await _fill(store, 300, {290: "the boat", 5: "the boat"})
    read = store.engine.read
    reads = 0

    async def reading(sql: str, **values: object) -> object:
        nonlocal reads
        reads += 1
        if reads == 3:
            await store.retention.forget_prompts([290])
        return await read(sql, **values)  # type: ignore[arg-type]

    monkeypatch.setattr(store.engine, "read", reading)
    assert positions(await search(store, "boat")) == [5]
    assert reads > 3


async def test_forgotten_quote_is_never_found(store: Store, path: Path) -> None:
    quote = "⟦In reply to Bo:⟧\n> my boat"
    prompt = Prompt(HERE, 1, f"{quote}\n\nHm?", CLEO, quote=Quote(BO, len(quote)), message_id=1)
    assert await store.turns.begin(prompt)
    assert positions(await search(store, "boat")) == [1]
    await store.people.forget(BO)
    assert rows(path, "SELECT quoted_id FROM stored_turns") == [(BO,)], "its row is still as it was"
    assert positions(await search(store, "boat")) == []
    [found] = (await search(store, "hm")).turns
    assert found.prompt.startswith("⟦They are replying to a message that was forgotten.⟧")


async def test_names_are_found_and_gone_names_are_not(store: Store) -> None:
    await turn(store, 1, f"Is {mention(CLEO)} in?")
    assert positions(await search(store, "@zerlina")) == [1]
    await store.people.forget(CLEO)
    assert positions(await search(store, "zerlina")) == []
    [found] = (await search(store, "someone")).turns
    assert found.prompt == "Is @someone in?"


async def test_result_names_the_messages_that_show_it(store: Store) -> None:
    attempt = await turn(store, 1, "the boat", "a" * 3000)
    for part, (start, message) in enumerate([(0, 1001), (1900, 1002)]):
        await store.deliveries.posting(attempt, part, start, f"n{part}")
        await store.deliveries.posted(attempt, part, message)
    await store.deliveries.posting(attempt, 2, 2900, "n2")
    [found] = (await search(store, "boat")).turns
    parts = [(0, 1001), (1900, 1002)]
    name = UserName("Bo", "bo")
    assert found == FoundTurn(attempt.turn_id, 1, 1, found.asked_at, name, "the boat", "a" * 3000, parts)


async def test_long_conversation_is_searched_beside_other_work(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its reading is in pieces and its matching in a thread, so that others are read and answered meanwhile."""
    await _fill(store, 2000, {1: "the boat"})
    answered = threading.Event()
    pieces: list[int] = []

    def matching_once_another_is_answered(query: Query, rows: Rows, prompts: Sequence[str]) -> list[FoundTurn]:
        answered.clear()
        assert answered.wait(20), "nobody else is answered"
        pieces.append(len(rows))
        return matching(query, rows, prompts)

    monkeypatch.setattr("bot.store.search.matching", matching_once_another_is_answered)
    searching = asyncio.create_task(search(store, "boat"))
    while not searching.done():
        await store.turns.count(on_discord(2))
        answered.set()
    assert positions(await searching) == [1]
    assert sum(pieces) == 2000
    assert max(pieces) <= 200


async def test_search_leaves_nothing_in_the_file(path: Path) -> None:
    async with open_store(path, exclusive=True) as store:
        await turn(store, 1, "the boat")
        before = rows(path, "SELECT name FROM sqlite_schema ORDER BY name")
        await search(store, "SECRET-QUERY boat")
        assert rows(path, "SELECT name FROM sqlite_schema ORDER BY name") == before
    assert not any(b"SECRET-QUERY" in file.read_bytes() for file in path.parent.iterdir())


async def _fill(store: Store, turns: int, prompts: dict[int, str]) -> None:
    """Turns at positions from 1 on, asked at as many seconds, with these prompts among others."""
    await begin(store, turns + 1)
    await store.retention.forget_prompts([turns + 1])
    if not isinstance(store.engine, SQLiteEngine):
        # PostgreSQL goes through all earlier versions of the conversation, which each row of a statement changes.
        await store.engine.write("ALTER TABLE stored_turns DISABLE TRIGGER turns_begun")
    for first in range(1, turns + 1, _AT_ONCE):
        await store.engine.write(
            """
            WITH RECURSIVE numbers (n) AS (SELECT :first UNION ALL SELECT n + 1 FROM numbers WHERE n < :last)
            INSERT INTO stored_turns (
                conversation_id, position, message_id, user_id, display_name, user_name, prompt, reply, state,
                created_at
            )
            SELECT 1, n, n, n % 2 + 1, 'P', 'p', :text || n, 'It is so.', 'complete', n FROM numbers
            """,
            first=first,
            last=min(turns, first + _AT_ONCE - 1),
            text=FILLER,
        )
    for position, prompt in prompts.items():
        await store.engine.write(
            "UPDATE stored_turns SET prompt = :text WHERE position = :position", text=prompt, position=position
        )

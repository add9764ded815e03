"""What the store remembers of conversations, and what it forgets."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from bot.core.errors import StoreError
from bot.core.model_events import TokenStatistics
from bot.core.quotas import Usage
from bot.core.records import SentPart
from bot.core.turns import (
    Attempt,
    Conversation,
    EarlierTurn,
    FailureReason,
    Outcome,
    Prompt,
    Quote,
    Turn,
    TurnState,
    UserName,
)
from bot.store import Store
from bot.store.sqlite import MEMORY, open_store
from bot.store.sqlite.engine import SQLiteEngine
from tests.places import on_discord
from tests.store.steps import HERE, answer, begin, context_of, files, rows, said
from tests.waiting import PATIENCE

ADA = UserName("Ada", "ada_l")


async def test_turn_from_prompt_to_the_next_start(path: Path) -> None:
    async with open_store(path, exclusive=True, clock=lambda: 1000.9) as store:
        prompt = Prompt(
            HERE, 5, "Why?", user_id=2**63 - 1, author_name=ADA, guild_id=3, quote=Quote(8, 2), message_id=5
        )
        attempt = await store.turns.begin(prompt)
        assert isinstance(attempt, Attempt)
        assert await store.turns.begin(prompt) is None
        pending = await store.turns.of_attempt(attempt)
        expected = Turn(attempt.turn_id, HERE, 5, "Why?", "", TurnState.PENDING, 1, 2**63 - 1, ADA, None, 1000)
        assert pending == replace(expected, guild_id=3, message_id=5)
        assert await store.turns.save({attempt: "Bec"}) == {attempt}
        assert await store.turns.close(
            attempt, Outcome(TurnState.COMPLETE, "Because.", FailureReason.LENGTH, usage=Usage(7, 2))
        )
        await store.token_statistics.record("m", TokenStatistics(3.5, None))
        await store.token_statistics.record("m", TokenStatistics(4.5, 9000, 8.25))

    async with open_store(path, exclusive=True) as store:
        [turn] = await store.turns.history(HERE, 10)
        assert await store.turns.undelivered(HERE.platform, HERE.channel) == [turn]
        assert turn.guild_id == 3
        assert (turn.reply, turn.state, turn.failure) == ("Because.", TurnState.COMPLETE, FailureReason.LENGTH)
        assert await store.turns.count(HERE) == 1
        assert await store.token_statistics.of("m") == TokenStatistics(4.5, 9000, 8.25)
        assert await store.token_statistics.of("other") == TokenStatistics()
    columns = "prompt_tokens, reply_tokens, ended_at, guild_id, quoted_id, quote_length"
    assert rows(path, f"SELECT {columns} FROM stored_turns, conversations") == [(7, 2, 1000, 3, 8, 2)]


async def test_text_that_was_no_reply_is_replaced(store: Store) -> None:
    attempt = await begin(store, 1)
    await store.turns.save({attempt: "Hm."})
    for text in ("Tea.", ""):
        await store.turns.replace(attempt, text)
        await store.turns.replace(replace(attempt, number=7), "of another attempt")
        turn = await store.turns.of_attempt(attempt)
        assert turn is not None
        assert (turn.reply, turn.state) == (text, TurnState.STREAMING)
    await store.turns.close(attempt, Outcome(TurnState.COMPLETE, "Because."))
    await store.turns.replace(attempt, "late")
    [ended] = await store.turns.history(HERE, 1)
    assert ended.reply == "Because."


async def test_text_is_stored_without_lone_surrogates(store: Store) -> None:
    attempt = await begin(store, 1, "a\0b\ud83d", conversation=Conversation("terminal", "\udcff"))
    await store.turns.save({attempt: "\0 \udc00 🦜 'quoted' \r\n"})
    [turn] = await store.turns.history(Conversation("terminal", "\udcff"), 1)
    nul = store.engine.storable("\0")
    assert (turn.prompt, turn.reply) == (f"a{nul}b\ufffd", f"{nul} \ufffd 🦜 'quoted' \r\n")


async def test_superseded_attempt_changes_nothing(store: Store) -> None:
    first = await begin(store, 1)
    assert await store.turns.reopen(first, TurnState.FAILED) is None, "it is not ended"
    assert await store.turns.close(first, Outcome(TurnState.FAILED, "half", FailureReason.UNREACHABLE))
    assert not await store.turns.close(first, Outcome(TurnState.COMPLETE, "again")), "an attempt ends once"
    assert await store.turns.of_attempt(first) is None
    assert await store.turns.save({first: "late"}) == set()

    second = await store.turns.reopen(first, TurnState.FAILED)
    assert second == Attempt(first.turn_id, 2)
    assert await store.turns.reopen(first, TurnState.FAILED) is None, "pressed twice"
    assert not await store.turns.close(first, Outcome(TurnState.COMPLETE, "late"))
    assert await store.turns.of_attempt(first) is None
    assert not await store.deliveries.posting(first, 0, 0, "late")
    turn = await store.turns.of_attempt(second)
    assert turn
    assert (turn.reply, turn.state, turn.failure) == ("half", TurnState.PENDING, None)
    assert await store.turns.save({first: "late", Attempt(99): "of nobody"}) == set()
    assert await store.turns.save({first: "late", second: "whole", Attempt(99): "of nobody"}) == {second}
    assert await store.turns.save({}) == set()
    assert said(await store.turns.history(HERE, 9)) == [(1, "whole")]


async def test_forgotten_conversation_stays_forgotten(store: Store) -> None:
    kept = await answer(store, 9, "kept", conversation=on_discord(10))
    done = await answer(store, 1, "done")
    failed = await begin(store, 2)
    await store.turns.close(failed, Outcome(TurnState.FAILED, failure=FailureReason.CONFIGURATION))
    running = await begin(store, 3)
    await store.deliveries.posting(running, 0, 0, "n")

    gone = {attempt.turn_id for attempt in (done, failed, running)}
    assert await store.turns.count(HERE) == len(gone)
    assert await store.retention.forget_conversation(HERE) == gone
    assert await store.turns.save({running: "late"}) == set()
    assert not await store.turns.close(running, Outcome(TurnState.COMPLETE, "late"))
    assert not await store.deliveries.posting(running, 1, 9, "n")
    await store.deliveries.posted(running, 0, 77)
    assert await store.turns.of_message(77) is None
    assert await context_of(store, running) == []
    assert await store.turns.count(HERE) == 0
    assert await store.retention.forget_conversation(HERE) == set()
    assert await store.retention.forget_conversation(on_discord("nobody")) == set()

    assert (await begin(store, 4)).turn_id > max(gone), "ids are not used again"
    assert said(await store.turns.history(on_discord(10), 9)) == [(9, "kept")]
    assert kept.turn_id not in gone


@pytest.mark.parametrize("seed", [31, 38, 39, 44])
async def test_forgetting_leaves_no_bytes(store: Store, path: Path, seed: int) -> None:
    """Two conversations grow side by side in the same pages; without `padding` there are copies under these seeds."""
    draw = random.Random(seed)
    words: dict[Attempt, str] = {}
    for position in range(60):
        conversation, word = draw.choice([(on_discord("mine"), "SECRET"), (on_discord("theirs"), "public")])
        attempt = await begin(store, position, word * draw.randrange(1, 100), conversation)
        words[attempt] = word
    replies = dict.fromkeys(words, "")
    for _ in range(10):
        growing = draw.sample(list(words), 20)
        replies |= {attempt: replies[attempt] + words[attempt] * draw.randrange(1, 100) for attempt in growing}
        await store.turns.save({attempt: replies[attempt] for attempt in growing})

    await store.retention.forget_conversation(on_discord("mine"))
    await store.engine.erase_deleted()
    found = {name: content.count(b"SECRET") for name, content in files(path).items()}
    assert found == {"chat.db": 0, "chat.db-wal": 0, "chat.db-shm": 0, "chat.db.lock": 0}
    assert b"public" in files(path)["chat.db"]


@pytest.mark.parametrize("then", ["by itself", "pressed again", "closed"])
async def test_forgetting_beside_a_reader_finishes_later(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, then: str
) -> None:
    monkeypatch.setattr("bot.store.erasing._RETRIES_S", (0.05, 0.1) if then == "by itself" else (60.0, 60.0))
    async with open_store(path, exclusive=True) as store:
        await store.turns.begin(Prompt(HERE, 1, "SECRET", 7))
        with closing(sqlite3.connect(path)) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT * FROM turns").fetchall()
            assert len(await store.people.forget(7)) == 1
            with pytest.raises(StoreError, match="Another program reads it"):
                await asyncio.wait_for(store.engine.erase_deleted(), PATIENCE)
            assert (await store.people.record_of(7)).is_empty
            assert b"SECRET" in path.read_bytes() + path.with_name("chat.db-wal").read_bytes()
        assert "not erased from the database yet" in caplog.text
        if then == "pressed again":
            assert await store.people.forget(7) == set()
            await store.engine.erase_deleted()
            assert not any(b"SECRET" in content for content in files(path).values())
        while then == "by itself" and any(b"SECRET" in content for content in files(path).values()):
            await asyncio.sleep(0.02)
    assert not any(b"SECRET" in content for content in files(path).values())
    assert rows(path, "SELECT * FROM forgotten_users") == []


async def test_context_is_paged_newest_first(store: Store) -> None:
    for position in (10, 30, 20, 40):
        await answer(store, position, f"r{position}")
    failed = await begin(store, 35)
    await store.turns.close(failed, Outcome(TurnState.FAILED, failure=FailureReason.BUSY))
    await answer(store, 15, "elsewhere", conversation=on_discord(2))
    neighbour = await begin(store, 45)
    await store.turns.save({neighbour: "so far"})
    this = await begin(store, 50)
    await answer(store, 60, "later")

    assert await context_of(store, this, None, 3) == [(None, "so far"), (6, "later"), (4, "r40"), (3, "r20")]
    assert await context_of(store, this, 3, 3) == [(2, "r30"), (1, "r10")]
    assert await context_of(store, this, 99, 1) == [(6, "later")]
    assert await context_of(store, this, 1, 3) == []


@pytest.mark.parametrize(
    ("state", "problem", "finished"),
    [
        (TurnState.COMPLETE, None, True),
        (TurnState.COMPLETE, FailureReason.LENGTH, False),
        (TurnState.STOPPED, None, False),
        (TurnState.INTERRUPTED, None, False),
    ],
)
async def test_context_tells_whole_replies_from_others(
    store: Store, state: TurnState, problem: FailureReason | None, finished: bool
) -> None:
    ended = await begin(store, 1)
    await store.turns.close(ended, Outcome(state, "Because.", problem))
    this = await begin(store, 2)
    page = await store.windows.earlier(this.turn_id, None, 9)
    assert page.turns == [EarlierTurn(1, None, "Why?", "Because.", finished)]


async def test_thread_starts_from_its_opening_turn(store: Store) -> None:
    origin = await answer(store, 10, "the opening")
    await store.deliveries.posting(origin, 0, 0, "n")
    await store.deliveries.posted(origin, 0, 11)

    async def in_thread(position: int) -> Attempt:
        attempt = await store.turns.begin(Prompt(on_discord(11), position, "And?", origin_message_id=11))
        assert isinstance(attempt, Attempt)
        assert await store.turns.close(attempt, Outcome(TurnState.COMPLETE, f"r{position}"))
        return attempt

    await in_thread(20)
    last = await in_thread(30)
    assert await context_of(store, last) == [(1, "r20"), (0, "the opening")]
    assert await context_of(store, last, None, 1) == [(1, "r20")]
    assert await context_of(store, last, 1, 9) == [(0, "the opening")]
    assert await context_of(store, last, 0, 9) == []

    await store.retention.forget_conversation(on_discord(11))
    again = await in_thread(40)
    assert await context_of(store, again) == [], "a reset forgets where the thread came from"
    assert said(await store.turns.history(HERE, 9)) == [(10, "the opening")]


async def test_thread_outlives_its_opening_turn(store: Store) -> None:
    origin = await answer(store, 10, "the opening")
    await store.deliveries.posting(origin, 0, 0, "n")
    await store.deliveries.posted(origin, 0, 11)
    thread = await store.turns.begin(Prompt(on_discord(11), 20, "And?", origin_message_id=11))
    assert isinstance(thread, Attempt)
    await store.retention.forget_conversation(HERE)
    assert await context_of(store, thread) == []
    assert await store.turns.of_attempt(thread)


async def test_messages_are_recorded_before_and_after_posting(store: Store) -> None:
    attempt = await answer(store, 1, "a long reply")
    assert await store.deliveries.posting(attempt, 1, 6, "b")
    assert await store.deliveries.posting(attempt, 0, 0, "a")
    await store.deliveries.posted(attempt, 0, 100)
    assert await store.deliveries.sent(attempt.turn_id) == [SentPart(0, 0, "a", 100), SentPart(1, 6, "b", None)]
    turn = await store.turns.of_message(100)
    assert turn
    assert turn.reply == "a long reply"

    assert await store.deliveries.posting(attempt, 0, 0, "anew")
    assert await store.deliveries.sent(attempt.turn_id) == [SentPart(0, 0, "anew", None), SentPart(1, 6, "b", None)]
    assert await store.deliveries.stale(attempt.turn_id) == [100], "it is to be removed"
    assert await store.turns.of_message(100) is None
    await store.deliveries.posted(attempt, 1, 101)
    await store.deliveries.removed(101)
    assert await store.deliveries.sent(attempt.turn_id) == [SentPart(0, 0, "anew", None)]


async def test_unposted_message_is_dropped_at_the_end(store: Store) -> None:
    attempt = await answer(store, 1, "a reply that was longer before")
    for part in (0, 1):
        await store.deliveries.posting(attempt, part, 0, "n")
    await store.deliveries.posted(attempt, 0, 100)
    await store.turns.mark_delivered(replace(attempt, number=2))
    assert len(await store.deliveries.sent(attempt.turn_id)) == 2, "of another attempt"
    await store.turns.mark_delivered(attempt)
    assert await store.deliveries.sent(attempt.turn_id) == [SentPart(0, 0, "n", 100)]


async def test_start_finds_its_undelivered_turns(store: Store) -> None:
    await store.turns.mark_delivered(await answer(store, 1, "done and told"))
    untold = await answer(store, 5, "done")
    pending = await begin(store, 3)
    streaming = await begin(store, 2, conversation=on_discord(2))
    await store.turns.save({streaming: "so far"})
    named = [await begin(store, 4, conversation=Conversation("terminal", name)) for name in ("a%", "ab", "a%b")]

    await store.turns.interrupt_left_over("terminal", "a%")
    assert [turn.conversation for turn in await store.turns.undelivered("terminal", "a%")] == [
        Conversation("terminal", "a%")
    ]
    found = await store.turns.undelivered("discord")
    assert [turn.state for turn in found] == [TurnState.STREAMING, TurnState.PENDING, TurnState.COMPLETE], (
        "looking changes nothing"
    )
    for _ in range(2):
        await store.turns.interrupt_left_over("discord")
        found = await store.turns.undelivered("discord")
        assert [(turn.id, turn.reply, turn.state) for turn in found] == [
            (streaming.turn_id, "so far", TurnState.INTERRUPTED),
            (pending.turn_id, "", TurnState.INTERRUPTED),
            (untold.turn_id, "done", TurnState.COMPLETE),
        ]
    for attempt in (streaming, pending, untold):
        await store.turns.mark_delivered(attempt)
    assert await store.turns.undelivered("discord") == []
    assert [bool(await store.turns.of_attempt(attempt)) for attempt in named] == [False, True, True]
    assert await store.turns.reopen(pending, TurnState.INTERRUPTED) == Attempt(pending.turn_id, 2)


async def test_temporary_store_touches_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    async with open_store(MEMORY, exclusive=True) as store, open_store(MEMORY, exclusive=True) as other:
        this = await begin(store, 2)
        await answer(store, 1, "here")
        assert await context_of(store, this) == [(1, "here")]
        assert await other.turns.count(HERE) == 0
        assert len(await store.retention.forget_conversation(HERE)) == 2
    assert files(tmp_path / MEMORY) == {}


@pytest.mark.parametrize("text", ["r", ""], ids=["answered", "mostly failed"])
async def test_long_history_costs_no_more(tmp_path: Path, text: str) -> None:
    async def steps(turns: int) -> int:
        """How many instructions SQLite's machine runs for one turn's context and its writes."""
        path = tmp_path / f"{turns}.db"
        async with open_store(path, exclusive=True) as store:
            for position in range(1, 11):
                await answer(store, position, f"r{position}")
        with closing(sqlite3.connect(path)) as filler, filler:
            filler.execute(
                """
                WITH RECURSIVE numbers (n) AS (SELECT 11 UNION ALL SELECT n + 1 FROM numbers WHERE n < ?)
                INSERT INTO stored_turns (
                    conversation_id, position, number, prompt, reply, state, created_at, delivered
                )
                SELECT 1, n, n, 'p', ?, 'failed', 0, 1 FROM numbers
                """,
                (turns, text),
            )
            filler.execute("UPDATE conversations SET last_number = ?", (turns,))
        taken = 0

        def count() -> None:
            nonlocal taken
            taken += 1

        async with SQLiteEngine.open(path, exclusive=True) as database:
            store = Store(database)
            for connection in (database._writer, database._reader):
                await connection.set_progress_handler(count, 1)
            this = await begin(store, turns + 1)
            await store.turns.of_attempt(this)
            page = await context_of(store, this, None, 10)
            assert len(await context_of(store, this, page[-1][0], 10)) == (10 if text else 0)
            assert await store.windows.move(this.turn_id, 0, page[-1][0] or 0)
            assert len(page) == 10
            await store.turns.save({this: "s"})
            await store.turns.close(this, Outcome(TurnState.COMPLETE, "s"))
            await store.turns.history(HERE, 1)
            await store.turns.interrupt_left_over(HERE.platform, HERE.channel)
            await store.turns.undelivered(HERE.platform, HERE.channel)
            await store.processed.mark(turns + 2)
            await store.processed.among(range(turns, turns + 100))
            await store.turns.correct(turns + 1, "p")
            await store.conversations.direct(0, 100)
            await store.guilds.sync([])
            await store.engine.ping()
        return taken

    assert await steps(100_000) <= await steps(100) * 1.05

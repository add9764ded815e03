"""What is handled once and for all, what is corrected, and what goes when Discord's messages, servers and years go."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from bot.store import SQLiteStore
from bot.store import database as database_module
from bot.store.database import Database
from bot.turns import Attempt, Outcome, Prompt, Quote, State
from tests.store.steps import HERE, answer, begin, files, rows, said

DAY = 24 * 3600


class Clock:
    def __init__(self) -> None:
        self.day = 1000.0

    def __call__(self) -> float:
        return self.day * DAY


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(database: Database, clock: Clock) -> SQLiteStore:
    return SQLiteStore(database, clock)


async def in_server(store: SQLiteStore, guild: int, position: int) -> str:
    """A conversation in a server's channel, by its key."""
    key = f"discord:{position}"
    assert await store.begin(Prompt(key, position, "Why?", guild_id=guild))
    return key


def kept(path: Path) -> set[str]:
    return {key for (key,) in rows(path, "SELECT DISTINCT key FROM conversations")}


async def test_a_prompt_is_handled_once_even_if_it_is_forgotten(store: SQLiteStore) -> None:
    await answer(store, 1, "done")
    await begin(store, 2)
    assert await store.handle(3), "refused"
    assert not await store.handle(3)
    assert not await store.handle(1), "it has a turn"
    await store.forget(HERE)
    assert await store.handled([1, 2, 3, 4]) == {1, 2, 3}
    assert await store.handled([]) == set()
    for position in (1, 2, 3):
        assert await store.begin(Prompt(HERE, position, "the event again")) is None
    await answer(store, 4, "new")
    assert await store.begin(Prompt("terminal:main", 1, "a terminal's times are not Discord's ids"))
    await store.begin(Prompt("terminal:main", 5, "Why?"))
    assert await store.handled([5]) == set()


async def test_what_was_tried_by_itself_is_counted_until_a_person_asks(store: SQLiteStore) -> None:
    attempt: Attempt | None = await begin(store, 1)
    for recovery, tries in ((True, 2), (True, 3), (False, 1), (True, 2)):
        assert attempt
        await store.close(attempt, Outcome(State.INTERRUPTED, "so far"))
        attempt = await store.reopen(attempt, State.INTERRUPTED, recovery=recovery)
        [turn] = await store.history(HERE, 1)
        assert turn.tries == tries


async def test_an_edited_prompt_is_the_one_that_is_remembered(store: SQLiteStore, path: Path) -> None:
    await answer(store, 1, "done")
    assert await store.correct(HERE, 1, "Why not?", Quote(7, 3))
    assert not await store.correct(HERE, 2, "of nobody")
    assert not await store.correct("discord:2", 1, "elsewhere")
    [turn] = await store.history(HERE, 9)
    assert (turn.prompt, turn.reply) == ("Why not?", "done")
    quoted = "SELECT quoted_id, quote_length FROM turns"
    assert rows(path, quoted) == [(7, 3)]
    await store.correct(HERE, 1, "Why?")
    assert rows(path, quoted) == [(None, 0)]


async def test_what_people_delete_on_discord_is_forgotten(store: SQLiteStore) -> None:
    first, second, third = [await answer(store, position, f"r{position}") for position in (1, 2, 3)]
    for part, message in enumerate((30, 31)):
        await store.posting(third, part, part, "n")
        await store.posted(third, part, message)
    running = await begin(store, 4)

    assert await store.forget_prompts("discord:2", [1]) == set()
    assert await store.forget_prompts(HERE, [1, 4, 77]) == {first.turn_id, running.turn_id}
    assert not await store.close(running, Outcome(State.COMPLETE, "late"))
    assert said(await store.history(HERE, 9)) == [(3, "r3"), (2, "r2")]
    assert await store.forget_replies([31, 99]) == {third.turn_id}
    assert await store.turn_of_message(30) is None
    assert said(await store.history(HERE, 9)) == [(2, "r2")]
    assert await store.forget_prompts(HERE, []) == set()
    assert second.turn_id


async def test_many_resets_at_once_share_the_rewriting(database: Database, store: SQLiteStore, path: Path) -> None:
    """Each returns with its own bytes gone, and none of those that go on writing waits for all of them."""
    for position in range(1, 31):
        await answer(store, position, f"SECRET-{position}-" * 50, f"discord:{position + 100}")
    talking = await begin(store, 99)
    done: list[str] = []
    await database._writer.set_trace_callback(done.append)

    async def reset(position: int) -> None:
        await asyncio.sleep(position // 10 * 0.002)
        await store.forget(f"discord:{position + 100}")
        assert not any(f"SECRET-{position}-".encode() in content for content in files(path).values())

    await asyncio.gather(*map(reset, range(1, 31)), store.save({talking: "meanwhile"}))
    assert 1 <= done.count("VACUUM") <= 6
    assert 1 <= sum("wal_checkpoint" in sql for sql in done) <= 6
    assert said(await store.history(HERE, 9)) == [(99, "meanwhile")]


@pytest.mark.parametrize("closed", [False, True])
async def test_single_deletions_wait_for_one_rewriting(
    path: Path, monkeypatch: pytest.MonkeyPatch, *, closed: bool
) -> None:
    """However fast somebody deletes, nobody else is kept waiting; it is done a while later, or as the bot stops."""
    monkeypatch.setattr(database_module, "_WIPE_EVERY_S", 60.0 if closed else 0.5)
    done: list[str] = []
    async with Database.open(path, exclusive=True) as database:
        store = SQLiteStore(database)
        for position in range(1, 11):
            await answer(store, position, f"SECRET-{position}-" * 50)
        await database._writer.set_trace_callback(done.append)
        for position in range(1, 10):
            await store.forget_prompts(HERE, [position])
        await store.set_persona(HERE, None, "SECRET")
        await store.set_persona(HERE, None, None)
        await store.forget_turn(10)
        assert "VACUUM" not in done
        assert rows(path, "SELECT count(*) FROM wipes_due") == [(11,)], "a kill now would not make it forgotten"
        while not closed and rows(path, "SELECT count(*) FROM wipes_due") != [(0,)]:
            await asyncio.sleep(0.05)
    assert done.count("VACUUM") == 1
    assert not any(b"SECRET" in content for content in files(path).values())


async def test_what_is_being_forgotten_as_the_store_closes_is_forgotten(path: Path) -> None:
    async with Database.open(path, exclusive=True) as database:
        store = SQLiteStore(database)
        await answer(store, 1, "SECRET")
        forgetting = asyncio.create_task(store.forget(HERE))
        while not database._wipes:
            await asyncio.sleep(0)
        [wiping] = database._wipes
        forgetting.cancel()
    assert wiping.done()
    assert wiping.exception() is None
    assert not any(b"SECRET" in content for content in files(path).values())


async def test_the_latest_direct_conversations_are_found(store: SQLiteStore, clock: Clock) -> None:
    for position in range(1, 111):
        clock.day += 1
        await begin(store, position, conversation=f"discord:{position}")
    await in_server(store, 7, 200)
    await begin(store, 1, conversation="terminal:main")
    clock.day += 1
    await begin(store, 300, conversation="discord:50")
    since = int(clock()) - 61 * DAY
    assert await store.direct_conversations(since) == [
        "discord:50",
        *(f"discord:{position}" for position in range(110, 49, -1) if position != 50),
    ]
    assert len(await store.direct_conversations(0)) == 100


async def test_what_nobody_used_is_forgotten_after_a_time(store: SQLiteStore, clock: Clock, path: Path) -> None:
    for position in range(1, 26):
        await answer(store, position, "SECRET" * 20, conversation=f"discord:{position}")
    await answer(store, 1, "kept", conversation="terminal:main")
    asked_again = await begin(store, 30, conversation="discord:asked again")
    await store.close(asked_again, Outcome(State.FAILED))
    clock.day += 80
    await answer(store, 31, "kept", conversation="discord:in use")
    await store.reopen(asked_again, State.FAILED)
    clock.day += 10
    assert await store.prune(unused_days=0) == 0, "never"
    assert await store.prune(unused_days=90) == 0, "not before its time"
    clock.day += 1
    assert await store.prune(unused_days=90) == 25
    assert kept(path) == {"terminal:main", "discord:in use", "discord:asked again"}
    assert not any(b"SECRET" in content for content in files(path).values())
    assert rows(path, "PRAGMA foreign_key_check") == []


async def test_a_server_that_was_left_is_forgotten_unless_it_comes_back(
    store: SQLiteStore, clock: Clock, path: Path
) -> None:
    mine, _, lost = [await in_server(store, guild, guild) for guild in (1, 2, 3)]
    dm, back, asks = "discord:9", await in_server(store, 4, 4), await in_server(store, 5, 5)
    await begin(store, 9, conversation=dm)
    await store.left(2)
    clock.day += 1
    await store.joined([1, 2**62])
    clock.day += 1
    await store.left(2)  # said again, this does not begin the days again
    await store.joined([1, 4])
    await store.begin(Prompt(asks, 50, "I'm here", guild_id=5))
    clock.day += 5.5
    assert await store.prune(unused_days=90) == 1
    assert kept(path) == {mine, lost, back, asks, dm}
    clock.day += 1
    assert await store.prune(unused_days=90) == 1
    assert kept(path) == {mine, back, asks, dm}
    await store.joined([])
    clock.day += 8
    assert await store.prune(unused_days=90) == 3
    assert kept(path) == {dm}, "it is in no server"


async def test_marks_on_prompts_are_kept_for_as_long_as_they_are_asked_about(store: SQLiteStore, clock: Clock) -> None:
    await store.handle(1)
    await answer(store, 2, "done")
    clock.day += 1
    await store.handle(3)
    clock.day += 1.5
    assert await store.prune(unused_days=90) == 0
    assert await store.handled([1, 2, 3]) == {3}
    assert said(await store.history(HERE, 9)) == [(2, "done")]

"""What goes: with Discord's messages and servers, when somebody resets, and after years in which nobody came."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from bot.core.quotas import Quotas, Reservation
from bot.core.turns import Attempt, Conversation, Outcome, Prompt, TurnState
from bot.store import Store
from bot.store.sqlite import open_store
from bot.store.sqlite.engine import SQLiteEngine
from tests.places import TERMINAL, on_discord
from tests.store.steps import HERE, Clock, answer, begin, files, rows, said, trace

DAY = 24 * 3600


async def in_server(store: Store, guild: int, position: int) -> Conversation:
    """A conversation in a server's channel."""
    key = on_discord(position)
    assert await store.turns.begin(Prompt(key, position, "Why?", guild_id=guild))
    return key


def kept(path: Path) -> set[Conversation]:
    return {Conversation(*row) for row in rows(path, "SELECT platform, channel FROM conversations")}


async def test_every_record_of_a_channel_is_found(store: Store) -> None:
    private = Conversation("discord", "13:7")
    records: dict[int, Callable[[], Awaitable[object]]] = {
        11: lambda: in_server(store, 9, 11),
        12: lambda: store.turns.begin(Prompt(on_discord(120), 120, "Why?", guild_id=9, parent=on_discord(12))),
        13: lambda: store.turns.begin(Prompt(private, 130, "Why?", guild_id=9)),
        14: lambda: store.personas.set_persona(on_discord(14), 9, "A pirate."),
        15: lambda: store.guild_rules.set_channel_rule(9, 15, False),
        16: lambda: store.channel_settings.change(9, 16, by=7, threads=True),
    }

    async def known() -> list[int]:
        return [each for each in range(10, 20) if await store.guilds.has_records_of(each, on_discord(each))]

    for number, (channel, make) in enumerate(records.items(), start=1):
        await make()
        assert await known() == list(records)[:number], channel
    for channel in records:
        await store.guilds.forget_channel(channel, on_discord(channel))
    assert await known() == [11, 12, 13], "conversations are forgotten by themselves"


async def test_deletions_on_discord_are_forgotten(store: Store) -> None:
    first, _, third = [await answer(store, position, f"r{position}") for position in (1, 2, 3)]
    for part, message in enumerate((30, 31)):
        await store.deliveries.posting(third, part, part, "n")
        await store.deliveries.posted(third, part, message)
    running = await begin(store, 4)

    assert await store.retention.forget_prompts([77]) == set()
    assert await store.retention.forget_prompts([1, 4, 77]) == {first.turn_id, running.turn_id}
    assert not await store.turns.close(running, Outcome(TurnState.COMPLETE, "late"))
    assert said(await store.turns.history(HERE, 9)) == [(3, "r3"), (2, "r2")]
    assert await store.retention.forget_replies([31, 99]) == {third.turn_id}
    assert await store.turns.of_message(30) is None
    assert said(await store.turns.history(HERE, 9)) == [(2, "r2")]
    assert await store.retention.forget_prompts([]) == set()
    assert said(await store.turns.history(HERE, 9)) == [(2, "r2")]


async def test_many_resets_share_the_work(database: SQLiteEngine, store: Store, path: Path) -> None:
    """Each returns with its own bytes gone, and none of those that go on writing waits for all of them."""
    for position in range(1, 31):
        await answer(store, position, f"SECRET-{position}-" * 50, on_discord(position + 100))
    talking = await begin(store, 99)
    done: list[str] = []
    await trace(database, done.append)

    async def reset(position: int) -> None:
        await asyncio.sleep(position // 10 * 0.002)
        await store.retention.forget_conversation(on_discord(position + 100))
        await store.engine.erase_deleted()
        assert not any(f"SECRET-{position}-".encode() in content for content in files(path).values())

    await asyncio.gather(*map(reset, range(1, 31)), store.turns.save({talking: "meanwhile"}))
    assert 1 <= sum("wal_checkpoint" in sql for sql in done) <= 6
    assert said(await store.turns.history(HERE, 9)) == [(99, "meanwhile")]


async def test_forgetting_during_close_is_completed(path: Path) -> None:
    async with SQLiteEngine.open(path, exclusive=True) as database:
        store = Store(database)
        for position in range(1, 11):
            await answer(store, position, f"SECRET-{position}-" * 50)
        await store.retention.forget_prompts([1, 2])
        await store.personas.set_persona(HERE, None, "SECRET")
        await store.personas.set_persona(HERE, None, None)
        await store.retention.forget_turn(3)
        await store.retention.forget_conversation(HERE)
        asking = asyncio.create_task(store.engine.erase_deleted())
        await asyncio.sleep(0)
        asking.cancel()
    assert rows(path, "SELECT count(*) FROM stored_turns") == [(0,)]
    assert not any(b"SECRET" in content for content in files(path).values())


async def test_unused_conversations_are_forgotten(store: Store, clock: Clock, path: Path) -> None:
    for position in range(1, 26):
        await answer(store, position, "SECRET" * 20, conversation=on_discord(position))
    await answer(store, 1, "kept", conversation=TERMINAL)
    asked_again = await begin(store, 30, conversation=on_discord("asked again"))
    await store.turns.close(asked_again, Outcome(TurnState.FAILED))
    clock.now += 80 * DAY
    await answer(store, 31, "kept", conversation=on_discord("in use"))
    await store.turns.reopen(asked_again, TurnState.FAILED)
    clock.now += 10 * DAY
    assert await store.retention.prune(unused_days=0) == 0, "never"
    assert await store.retention.prune(unused_days=90) == 0, "not before its time"
    clock.now += DAY
    assert await store.retention.prune(unused_days=90) == 25
    await store.engine.erase_deleted()
    assert kept(path) == {TERMINAL, on_discord("in use"), on_discord("asked again")}
    assert not any(b"SECRET" in content for content in files(path).values())
    assert rows(path, "PRAGMA foreign_key_check") == []


async def test_left_guild_is_forgotten_unless_it_returns(store: Store, clock: Clock, path: Path) -> None:
    mine, _, lost = [await in_server(store, guild, guild) for guild in (1, 2, 3)]
    dm, back, asks = on_discord(9), await in_server(store, 4, 4), await in_server(store, 5, 5)
    await begin(store, 9, conversation=dm)
    await store.guilds.mark_left(2)
    clock.now += DAY
    await store.guilds.sync([1, 2**62])
    clock.now += DAY
    await store.guilds.mark_left(2)  # said again, this does not begin the days again
    await store.guilds.sync([1, 4])
    await store.turns.begin(Prompt(asks, 50, "I'm here", guild_id=5))
    clock.now += 5.5 * DAY
    assert await store.retention.prune(unused_days=90) == 1
    assert kept(path) == {mine, lost, back, asks, dm}
    clock.now += DAY
    assert await store.retention.prune(unused_days=90) == 1
    assert kept(path) == {mine, back, asks, dm}
    await store.guilds.sync([])
    clock.now += 8 * DAY
    assert await store.retention.prune(unused_days=90) == 3
    assert kept(path) == {dm}, "it is in no server"


async def test_servers_are_compared_without_reading_all_conversations(database: SQLiteEngine, store: Store) -> None:
    for position in range(1, 5):
        await in_server(store, position, position)
    done: list[str] = []
    await trace(database, done.append)
    await store.guilds.sync([1, 2, 3])
    changes = [each for each in done if "UPDATE conversations" in each]
    assert len(changes) == 2
    for change in changes:
        plan = [row["detail"] for row in await database.read(f"EXPLAIN QUERY PLAN {change}")]
        looks = [step for step in plan if " conversations" in step]
        assert looks
        assert all(step.startswith("SEARCH") and "USING" in step for step in looks), plan


async def test_old_counts_are_deleted(store: Store, path: Path, clock: Clock) -> None:
    noon = 20_000 * DAY + DAY // 2
    clock.now = noon
    attempt = await store.turns.begin(Prompt(HERE, 1, "Why?", 1, guild_id=9, message_id=1))
    assert isinstance(attempt, Attempt)
    assert await store.quotas.reserve(attempt, "m", 100, 400, 100, Quotas()) == Reservation(400)
    await store.processed.claim_notice("used up", 20_001 * DAY)
    await store.server_facts.save("https://x/v1", "m", "{}", noon)

    async def kept(after: int) -> list[int]:
        clock.now = noon + after
        await store.retention.prune(0)
        tables = ("recent_questions", "notices", "daily_usage", "server_facts", "charges")
        return [rows(path, f"SELECT count(*) FROM {table}")[0][0] for table in tables]

    assert await kept(3599) == [1, 1, 3, 1, 1]
    assert await kept(3600) == [0, 1, 3, 1, 1]
    assert await kept(2 * DAY) == [0, 0, 3, 1, 1]
    assert await kept(3 * DAY) == [0, 0, 0, 1, 1]
    assert await kept(31 * DAY) == [0, 0, 0, 0, 1]
    assert await kept(90 * DAY) == [0, 0, 0, 0, 1]
    assert await kept(91 * DAY) == [0, 0, 0, 0, 0]


async def test_processed_marks_are_kept_long_enough(store: Store, clock: Clock) -> None:
    await store.processed.mark(1)
    await answer(store, 2, "done")
    clock.now += DAY
    await store.processed.mark(3)
    clock.now += 1.5 * DAY
    assert await store.retention.prune(unused_days=90) == 0
    assert await store.processed.among([1, 2, 3]) == {3}
    assert said(await store.turns.history(HERE, 9)) == [(2, "done")]


@pytest.mark.parametrize(
    ("jumps", "credible"),
    [
        # Hours since the last look, and whether the clock is believed then.
        ([0, 24, 24, 5], [False, True, True, True]),
        ([0, 24, 24 * 400, 1, 1, 24, 24], [False, True, False, False, False, True, True]),
        ([0, 24, 24 * 400, -24 * 400, 5, 23], [False, True, False, False, False, True]),
        ([0, 24, 24 * 30, 24 * 30, 24], [False, True, False, False, True]),
        ([0, 24, -5, 2, 24], [False, True, False, False, True]),
    ],
)
async def test_clock_that_jumped_is_believed_a_day_later(
    path: Path, clock: Clock, jumps: list[int], credible: list[bool]
) -> None:
    believed, clock.now = [], 1e9
    for hours in jumps:
        clock.now += hours * 3600
        # Each look may be that of another process.
        async with open_store(path, exclusive=True, clock=clock) as store:
            believed.append(await store.retention.clock_is_credible())
    assert believed == credible

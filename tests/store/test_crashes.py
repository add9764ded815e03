"""What is kept when processes are killed and tasks are cancelled, and when much happens at once."""

from __future__ import annotations

import asyncio
import itertools
import random
from pathlib import Path

from bot.core.turns import Outcome, TurnState
from bot.store import Store
from bot.store.sqlite import open_store
from tests.places import on_discord
from tests.store.steps import HERE, begin, child, rows

CRASHING = """
import asyncio, itertools, sys
from bot.store import Store
from bot.store.sqlite import open_store
from bot.core.turns import Conversation, Outcome, Prompt, TurnState

async def talk(store, conversation, positions):
    for position in positions:
        attempt = await store.turns.begin(Prompt(conversation, position, "Why?"))
        print("begun", attempt.turn_id, flush=True)
        text = f"reply {attempt.turn_id} " * 200
        for length in range(0, len(text), 500):
            await store.turns.save({attempt: text[:length]})
        await store.turns.close(attempt, Outcome(TurnState.COMPLETE, text))
        print("closed", attempt.turn_id, flush=True)

async def main(path, channel, first):
    conversation = Conversation("discord", channel)
    async with open_store(path, exclusive=True) as store:
        positions = itertools.count(int(first))
        await asyncio.gather(*(talk(store, conversation, positions) for _ in range(5)))

asyncio.run(main(*sys.argv[1:]))
"""


async def test_kill_loses_no_finished_write(path: Path) -> None:
    draw = random.Random(7)
    acknowledged: dict[str, set[int]] = {"begun": set(), "closed": set()}
    for conversation in range(3):
        process = await child(CRASHING, path, conversation, conversation * 1_000_000)
        assert process.stdout
        for _ in range(draw.randrange(1, 60)):
            what, turn_id = (await process.stdout.readline()).decode().split()
            acknowledged[what].add(int(turn_id))
        process.kill()
        left, _ = await process.communicate()
        # The last line may be cut.
        for line in left.decode().split("\n")[:-1]:
            what, turn_id = line.split()
            acknowledged[what].add(int(turn_id))

    async with open_store(path, exclusive=True) as store:
        await store.turns.interrupt_left_over("discord")
        untold = await store.turns.undelivered("discord")
    interrupted = {turn.id for turn in untold if turn.state is TurnState.INTERRUPTED}
    assert rows(path, "PRAGMA integrity_check") == [("ok",)]
    stored = {row[0]: row[1:] for row in rows(path, "SELECT id, state, reply FROM turns")}
    assert acknowledged["begun"] <= stored.keys()
    assert acknowledged["closed"] <= stored.keys() - interrupted
    assert acknowledged["closed"]
    for turn_id, (state, reply) in stored.items():
        whole = f"reply {turn_id} " * 200
        if turn_id in interrupted:
            assert state == TurnState.INTERRUPTED
            assert whole.startswith(reply)
        else:
            assert (state, reply) == (TurnState.COMPLETE, whole)


async def test_concurrent_and_cancelled_writes_lose_nothing(store: Store) -> None:
    draw = random.Random(3)
    fate = {position: draw.randrange(8) for position in draw.sample(range(1, 51), 20)}
    loop = asyncio.get_running_loop()
    committed: dict[int, list[str]] = {}
    closed: set[int] = set()

    def reach(position: int, step: int) -> None:
        if fate.get(position) == step:
            loop.call_later(draw.uniform(0, 0.002), tasks[position].cancel)

    async def talk(position: int) -> None:
        reach(position, 0)
        attempt = await begin(store, position)
        committed[attempt.turn_id] = [""]
        reach(position, 1)
        for length in range(1, 6):
            committed[attempt.turn_id].append(f"{position} " * length)
            reach(position, length + 1)
            assert await store.turns.save({attempt: f"{position} " * length}) == {attempt}
        if position % 10 == 0:
            await begin(store, 1000 + position, conversation=on_discord(position))
            assert len(await store.retention.forget_conversation(on_discord(position))) == 1
        reach(position, 7)
        assert await store.turns.close(attempt, Outcome(TurnState.COMPLETE, f"{position} " * 5))
        closed.add(attempt.turn_id)

    tasks = {position: asyncio.create_task(talk(position)) for position in range(1, 51)}
    results = await asyncio.gather(*tasks.values(), return_exceptions=True)
    assert all(result is None or isinstance(result, asyncio.CancelledError) for result in results)

    await store.turns.interrupt_left_over(HERE.platform, HERE.channel)
    unfinished = {
        turn.id: turn
        for turn in await store.turns.undelivered(HERE.platform, HERE.channel)
        if turn.state is TurnState.INTERRUPTED
    }
    stored = {turn.id: turn for turn in await store.turns.history(HERE, 99)} | unfinished
    assert closed
    assert unfinished
    assert closed <= stored.keys() - unfinished.keys()
    assert committed.keys() <= stored.keys()
    for turn_id, turn in stored.items():
        replies = committed.get(turn_id, [""])
        # A save that was cancelled may have been committed or not, but nothing before it is undone.
        assert turn.reply in replies[-2:]


async def test_attempt_beside_a_reset_is_kept_or_named(store: Store) -> None:
    begun: set[int] = set()
    named: set[int] = set()
    kept: set[int] = set()

    async def talk(position: int) -> None:
        begun.add((await begin(store, position)).turn_id)

    async def reset() -> None:
        named.update(await store.retention.forget_conversation(HERE))

    positions = itertools.count()
    while not kept:
        # Where a server does several things at once, a reset may be the last of them.
        numbers = itertools.islice(positions, 41)
        await asyncio.gather(*(reset() if number % 4 == 3 else talk(number) for number in numbers))
        kept = {turn.id for turn in await store.turns.undelivered(HERE.platform, HERE.channel)}
        assert (kept | named, kept & named) == (begun, set())
    assert named

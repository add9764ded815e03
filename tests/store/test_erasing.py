"""What was forgotten leaves the bytes of the database's files before long, whatever happens."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from bot.core.errors import StoreError
from bot.core.quotas import Usage
from bot.core.turns import Attempt, Outcome, Prompt, TurnState, UserName
from bot.store import Store
from bot.store.purge import PURGE
from bot.store.sqlite import open_store
from bot.store.sqlite.engine import SQLiteEngine
from tests.places import on_discord
from tests.store.forgetting import GUILD, THERE, fill, forget, left, secret
from tests.store.steps import HERE, answer, begin, files, rows, said, trace
from tests.waiting import until

# Bytes of a prompt and a reply around every border between one overflow page and the next.
SIZES = [*range(0, 400, 33), *range(3550, 3750, 7), *range(4050, 4150, 9), *range(7600, 7860, 11), 50_000, 300_001]


@pytest.mark.parametrize("metadata", ["least", "most"])
async def test_text_lies_in_overflow_pages_only(path: Path, metadata: str) -> None:
    """An overflow page belongs to one row and is overwritten as a whole; B-tree pages keep copies in unused bytes."""
    async with SQLiteEngine.open(path, exclusive=True) as database:
        store = Store(database, lambda: 0 if metadata == "least" else 2**60)
        for number, size in enumerate(SIZES, 1):
            most = metadata == "most"
            position = 2**62 + number if most else number
            user, name = (2**62 + number, UserName("SECRET" * 5, "SECRET" * 5)) if most else (None, None)
            prompt = ("SECRET" * (size // 6 + 1))[: size // 3] if most else ""
            attempt = await store.turns.begin(
                Prompt(on_discord(number % 5), position, prompt, user, name, 2**62 if most else None, message_id=user)
            )
            assert isinstance(attempt, Attempt)
            reply = ("SECRET" * (size // 6 + 1))[: size - len(prompt)]
            await store.turns.save({attempt: reply[:100]})
            await store.turns.close(attempt, Outcome(TurnState.INTERRUPTED, reply, usage=Usage(2**40, 2**40)))
            await store.turns.mark_delivered(attempt, "SECRET" * 20 if most else None)
            await store.personas.set_persona(on_discord(number), 2**62, "SECRET" * (size // 6) or None)
    content = path.read_bytes()
    pages = [content[start : start + 4096] for start in range(0, len(content), 4096)]
    holding = [page[0] for page in pages if b"SECRET" in page]
    assert len(holding) > len(SIZES)
    # A page of a B-tree begins with its type, which is not 0, and an overflow page with the number of the next.
    # https://www.sqlite.org/fileformat2.html#b_tree_pages
    assert {*holding} == {0}


@pytest.mark.parametrize("seed", [6, 7, 27])
async def test_traffic_of_any_kind_leaves_no_copies(store: Store, path: Path, seed: int) -> None:
    """Among the live rows, in the pages' unused bytes, in free pages or in the log."""
    draw = random.Random(seed)
    running: dict[Attempt, str] = {}
    marks: dict[int, str] = {}
    kept: dict[int, str] = {}
    for position in range(1, 400):
        user, where = draw.randrange(2**50, 2**50 + 20), on_discord(draw.randrange(8))
        mark = f"<{position}>"
        text = mark * draw.choice([1, 5, 40, 400])
        attempt = await store.turns.begin(
            Prompt(where, position, text, user, UserName(mark, mark), message_id=position)
        )
        assert isinstance(attempt, Attempt)
        marks[attempt.turn_id] = mark
        kept[attempt.turn_id] = mark
        running[attempt] = mark
        for each in draw.sample(list(running), min(4, len(running))):
            running[each] += kept.get(each.turn_id, "<late>") * draw.choice([1, 10, 100])
        await store.turns.save(running)
        if position % 3 == 0:
            ending = draw.choice(list(running))
            await store.turns.close(ending, Outcome(TurnState.COMPLETE, running.pop(ending)))
        gone: set[int] = set()
        match draw.randrange(40):
            case 0:
                gone = await store.retention.forget_conversation(on_discord(draw.randrange(8)))
            case 1:
                gone = await store.people.forget(draw.randrange(2**50, 2**50 + 20))
            case 2 | 3 | 4 | 5:
                gone = await store.retention.forget_prompts(draw.sample(range(1, position + 1), min(position, 9)))
            case 6:
                await store.turns.correct(draw.randrange(1, position + 1), "edited " * draw.randrange(1, 300))
            case 7:
                await store.engine.erase_deleted()
        for turn_id in gone:
            kept.pop(turn_id, None)
        running = {each: text for each, text in running.items() if each.turn_id in kept}
    await store.engine.erase_deleted()
    everything = b"".join(files(path).values())
    assert len(kept) > 20
    assert len(marks) - len(kept) > 100
    assert not [mark for turn_id, mark in marks.items() if turn_id not in kept and mark.encode() in everything]
    assert rows(path, "PRAGMA integrity_check") == [("ok",)]


async def test_others_read_and_write_between_the_steps(
    store: Store, database: SQLiteEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    for position in range(1, 301):
        await answer(store, position, "SECRET " * 50)
        if position % 10 == 0:
            await answer(store, 1000 + position, f"kept {position}", THERE)
    talking = await begin(store, 2000, conversation=THERE)
    kept = said(await store.turns.history(THERE, 99))
    begun: list[str] = []
    await trace(database, begun.append)
    await store.retention.forget_conversation(HERE)
    erasing = asyncio.create_task(store.engine.erase_deleted())
    saves = 0
    while not erasing.done():
        saves += 1
        assert await store.turns.save({talking: "word " * saves}) == {talking}
        assert said(await store.turns.history(THERE, 99))[1:] == kept
        assert await store.turns.count(HERE) == 0
    await erasing
    steps = [number for number, sql in enumerate(begun) if sql == PURGE[0] and begun[number - 1] == "BEGIN IMMEDIATE"]
    assert len(steps) > 300 // 50, "a step is a small part of it"
    between = begun[steps[0] : steps[-1]]
    assert sum("UPDATE stored_turns SET state = 'streaming'" in sql for sql in between) > len(steps) // 4


async def test_forgetting_while_rows_go_is_erased_as_well(store: Store, database: SQLiteEngine, path: Path) -> None:
    for position in range(1, 121):
        await answer(store, position, "first SECRET", on_discord(position % 2))
    await store.retention.forget_conversation(on_discord(0))
    first = asyncio.create_task(store.engine.erase_deleted())
    await until(lambda: left(path) < 60)
    await store.retention.forget_conversation(on_discord(1))
    await store.engine.erase_deleted()
    assert left(path) == 0
    assert not secret(path)
    await first


@pytest.mark.parametrize("then", ["by itself", "closed", "after a kill"])
async def test_it_is_erased_without_being_asked(path: Path, monkeypatch: pytest.MonkeyPatch, then: str) -> None:
    monkeypatch.setattr("bot.store.erasing._DELAY_S", 0.05 if then == "by itself" else 60)
    async with open_store(path, exclusive=False) as store:
        await fill(store)
        await forget(store)
        if then == "by itself":
            await until(lambda: not secret(path))
        if then == "after a kill":
            copies = files(path)
    if then == "after a kill":
        for name, content in copies.items():
            path.with_name(name).write_bytes(content)
        assert secret(path)
        monkeypatch.setattr("bot.store.erasing._DELAY_S", 0.05)
        async with open_store(path, exclusive=True):
            await until(lambda: not secret(path))
    assert not secret(path)
    assert left(path) == 0


async def test_replaced_text_is_erased_without_being_asked(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Erasing also comes at regular times, for what a process replaced that was killed before it erased."""
    monkeypatch.setattr("bot.store.erasing._DELAY_S", 0.02)
    monkeypatch.setattr("bot.store.erasing._EVERY_S", 0.05)
    async with open_store(path, exclusive=True) as store:
        for number in range(3):
            mark = f"SECRET {number}"
            await store.personas.set_persona(HERE, GUILD, mark)
            await until(lambda: not path.with_name(f"{path.name}-wal").stat().st_size)
            assert secret(path, mark.encode())
            await store.personas.set_persona(HERE, GUILD, "A pirate.")
            await until(lambda: not secret(path, b"SECRET"))


async def test_stop_leaves_a_long_rest_to_the_next_start(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_store(path, exclusive=True) as store:
        for position in range(1, 151):
            await answer(store, position, "SECRET")
        await store.retention.forget_conversation(HERE)
        monkeypatch.setattr("bot.store.erasing._STOP_S", 0)
    assert 0 < left(path) < 150
    assert "not erased from the database yet" not in caplog.text, "that is no failure"
    monkeypatch.undo()
    async with open_store(path, exclusive=True) as store:
        assert await store.turns.count(HERE) == 0
    assert left(path) == 0
    assert not secret(path)


async def test_freed_pages_are_used_again(store: Store, path: Path) -> None:
    async def fill_and_forget(first: int) -> int:
        for position in range(first, first + 100):
            await answer(store, position, "word " * 500)
        await store.retention.forget_conversation(HERE)
        await store.engine.erase_deleted()
        return path.stat().st_size

    size = await fill_and_forget(1)
    assert size > 400_000
    assert await fill_and_forget(101) <= size * 1.02


async def test_memory_is_given_back_too() -> None:
    async with SQLiteEngine.open(":memory:", exclusive=False) as database:
        store = Store(database)
        await answer(store, 1, "gone")
        await store.retention.forget_conversation(HERE)
        await store.engine.erase_deleted()
        [[count]] = await database.read("SELECT count(*) FROM stored_turns")
    assert count == 0


async def test_another_program_forgets_beside_the_bot(store: Store, path: Path) -> None:
    await fill(store)
    async with open_store(path, exclusive=False) as other:
        await forget(other)
        await other.engine.erase_deleted()
        assert left(path) == 0
        assert not secret(path)
    with closing(sqlite3.connect(path)) as plain:
        assert plain.execute("SELECT count(*) FROM turns").fetchone() == (8,)


async def test_how_long_deleted_text_waits_is_known(store: Store, path: Path) -> None:
    await fill(store)
    assert store.engine.erasure_due_for() == 0
    await forget(store)
    await until(lambda: store.engine.erasure_due_for() > 0.05)
    reader = sqlite3.connect(path)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM turns").fetchall()
    await answer(store, 10_000, "Something new for the log.")
    with pytest.raises(StoreError):
        await store.engine.erase_deleted()
    assert store.engine.erasure_due_for() > 0.05, "a failure leaves it due"
    reader.close()
    await store.engine.erase_deleted()
    assert store.engine.erasure_due_for() == 0

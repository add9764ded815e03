"""What was forgotten is out of reach from one commit on, and out of the files' bytes before long, whatever happens."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections.abc import Awaitable, Callable, Mapping
from contextlib import closing
from pathlib import Path
from types import MappingProxyType

import pytest

from bot.core.context import mention
from bot.core.errors import StoreUnusable
from bot.core.quotas import Quotas, Reservation, Usage
from bot.core.turns import Attempt, Conversation, Outcome, Prompt, Quote, TurnState, UserName
from bot.store import Store
from bot.store.purge import PURGE
from bot.store.sqlite import compact, open_store
from bot.store.sqlite.engine import SQLiteEngine
from tests.places import on_discord
from tests.store.steps import HERE, Clock, answer, begin, child, files, posix_only, rows, said, trace
from tests.waiting import until

BO, CLEO, DAN, GUILD = 2**60 + 7, 2**60 + 8, 2**60 + 9, 5
THERE = on_discord(2)
DM = on_discord(3)
PLENTY = Quotas(100, daily_tokens_per_user=10**9, daily_tokens_per_server=10**9, daily_tokens_total=10**9)


def secret(path: Path, text: bytes = b"SECRET") -> bool:
    return any(text in content for name, content in files(path).items() if name.startswith(path.name))


def left(path: Path) -> int:
    """The rows that are still to be deleted, and the records of what is forgotten."""
    count = "SELECT (SELECT count(*) FROM stored_turns) - (SELECT count(*) FROM turns)"
    count += " + (SELECT count(*) FROM forgotten_conversations) + (SELECT count(*) FROM forgotten_users)"
    [[found]] = rows(path, count)
    return int(found)


async def asked(
    store: Store,
    position: int,
    user: int,
    prompt: str,
    reply: str,
    where: Conversation = HERE,
    quote: Quote | None = None,
    names: Mapping[int, str] = MappingProxyType({}),
) -> Attempt:
    """A question that was paid for, and answered in a message with the number of its own + 1,000."""
    guild = None if where == DM else GUILD
    author = UserName("Name", "name")
    attempt = await store.turns.begin(
        Prompt(where, position, prompt, user, author, guild, quote=quote, message_id=position, names=names)
    )
    assert isinstance(attempt, Attempt)
    assert isinstance(await store.quotas.reserve(attempt, "m", 10, 10, 1, PLENTY), Reservation)
    await store.deliveries.posting(attempt, 0, 0, "n")
    await store.deliveries.posted(attempt, 0, position + 1000)
    if reply:
        assert await store.turns.close(attempt, Outcome(TurnState.COMPLETE, reply, usage=Usage(3, 4)))
        await store.turns.mark_delivered(attempt)
    return attempt


async def fill(store: Store, turns: int = 4) -> None:
    """What Bo said in a channel, of Dan too, in another and in a DM, and Cleo in the second one, quoting Bo."""
    quote = "[SECRET]"
    for n in range(turns):
        named = f"SECRET-HERE {mention(DAN)} {n}"
        await asked(store, 10 * n + 1, BO, named, "SECRET-HERE " * 100, names={DAN: "SECRET-HERE-DAN"})
        await asked(store, 10 * n + 2, CLEO, f"{quote} public {n}", "public", THERE, Quote(BO, len(quote)))
        await asked(store, 10 * n + 3, BO, f"SECRET {n}", "SECRET", DM)
        await asked(store, 10 * n + 4, CLEO, "kept", "kept", THERE)
        await asked(store, 10 * n + 5, BO, "SECRET", "SECRET", THERE)


async def visible(store: Store) -> list[str]:
    """Every text that can be read, and what is said of Bo, in all the ways there are."""
    texts = []
    for where in (HERE, THERE, DM):
        for turn in await store.turns.history(where, 999):
            texts += [turn.prompt, turn.reply]
            texts += [earlier.prompt + earlier.reply for earlier in await store.turns.earlier(turn.id, None, 999)]
    texts += [turn.prompt for turn in await store.turns.undelivered("discord")]
    for user in (BO, CLEO):
        async for page in store.people.exchanges_of(user):
            texts += [each.prompt + each.reply for each in page]
    for number in range(1000, 1100):
        if shown := await store.turns.of_message(number):
            texts += [shown.prompt, shown.reply]
    return texts


async def reset(store: Store) -> set[int]:
    gone = await store.retention.forget_conversation(HERE)
    gone |= await store.retention.forget_conversation(THERE)
    return gone | await store.retention.forget_conversation(DM)


async def forget(store: Store) -> set[int]:
    return await store.people.forget(BO)


async def forget_own(store: Store) -> set[int]:
    gone = await store.retention.forget_own(HERE, BO)
    gone |= await store.retention.forget_own(THERE, BO)
    return gone | await store.retention.forget_own(DM, BO)


@pytest.mark.parametrize("act", [reset, forget, forget_own])
async def test_forgotten_is_out_of_reach_before_its_rows_go(
    store: Store, database: SQLiteEngine, path: Path, act: Callable[[Store], Awaitable[set[int]]]
) -> None:
    await fill(store)
    done = await asked(store, 91, BO, "SECRET", "SECRET")
    running = await asked(store, 92, BO, "SECRET", "")
    thread = on_discord(70)
    origin = Prompt(thread, 93, "kept", CLEO, None, GUILD, origin_message_id=1091, parent=HERE, message_id=93)
    in_thread = await store.turns.begin(origin)
    assert isinstance(in_thread, Attempt)
    assert len(await store.turns.earlier(in_thread.turn_id, None, 9)) == 1
    begun: list[str] = []
    await trace(database, begun.append)

    assert {done.turn_id, running.turn_id} <= await act(store)

    assert sum(sql == "COMMIT" for sql in begun) == (1 if act is forget else 3)
    assert left(path) > 10, "it is not the rows' going that hides them"
    assert not [text for text in await visible(store) if "SECRET" in text]
    assert not await store.people.has_asked(BO)
    assert await store.people.asked_in(BO) == []
    assert (await store.people.record_of(BO)).turns == 0
    assert await store.turns.earlier(in_thread.turn_id, None, 9) == []
    assert await store.turns.save({running: "SECRET"}) == set()
    assert not await store.turns.close(running, Outcome(TurnState.COMPLETE, "SECRET"))
    assert await store.turns.reopen(done, TurnState.COMPLETE) is None
    assert not await store.turns.correct(91, "SECRET again")
    assert not await store.deliveries.posting(running, 1, 1, "n")
    assert await store.quotas.reserve(running, "m", 10, 10, 1, PLENTY) is None
    assert not await store.turns.exists(done.turn_id)
    assert await store.deliveries.sent(done.turn_id) == []
    later = await asked(store, 2000, CLEO, "[SECRET]", "kept", THERE, Quote(1091, 8, own=True))
    assert not [text for text in await visible(store) if "SECRET" in text], "nor does a quote bring it back"
    if act is forget:
        assert (await store.people.record_of(BO)).is_empty
        assert await store.quotas.usage(0, user_id=BO) == []
        assert {row.user_id for row in await store.quotas.usage(0)} == {None, CLEO}
        assert {each.people async for page in store.conversations.overview() for each in page} == {0, 1}

    await store.engine.erase_deleted()
    assert left(path) == 0
    assert not secret(path)
    assert await store.turns.exists(later.turn_id)
    assert rows(path, "PRAGMA foreign_key_check") == []
    assert rows(path, f"SELECT 1 FROM charges WHERE user_id = {BO}") == ([] if act is forget else [(1,)] * 14)


async def test_forgotten_person_begins_anew(store: Store, path: Path) -> None:
    await fill(store)
    await forget(store)
    again = await asked(store, 500, BO, "new", "new")
    quoting = await asked(store, 501, CLEO, "[new] hm", "hm", quote=Quote(BO, 5))
    for _ in range(2):
        assert await store.turns.exists(again.turn_id)
        assert [turn.prompt for turn in await store.turns.history(HERE, 9)] == ["[new] hm", "new"]
        assert len(await store.quotas.usage(0, user_id=BO)) == 1
        await store.engine.erase_deleted()
    assert await forget(store) == {again.turn_id}
    assert await forget(store) == set()
    await store.engine.erase_deleted()
    assert await store.turns.exists(quoting.turn_id)
    assert left(path) == 0


async def test_reset_conversation_keeps_its_place_and_never_its_id(store: Store, path: Path, clock: Clock) -> None:
    """Whatever is asked after it, however often: the turns of a forgotten conversation have the ids of no other."""
    ids = set()
    for position in range(1, 5):
        await answer(store, position, "SECRET")
        await answer(store, 100 + position, "SECRET", THERE)
        await store.retention.forget_conversation(HERE)
        [[kept]] = rows(path, f"SELECT id FROM conversations WHERE channel = '{HERE.channel}'")
        ids.add(kept)
        rows_left = rows(path, "SELECT DISTINCT conversation_id FROM stored_turns")
        assert kept not in {each for [each] in rows_left}
        if position == 2:
            await store.engine.erase_deleted()
    assert len(ids) == 4
    assert len(await store.turns.history(THERE, 9)) == 4
    await begin(store, 5)
    clock.now += 100 * 24 * 3600
    await store.retention.forget_conversation(HERE)
    assert await store.retention.prune(unused_days=90) == 2
    await answer(store, 200, "new", on_discord(9))
    assert said(await store.turns.history(on_discord(9), 9)) == [(200, "new")], "its id is that of no other before"
    await store.engine.erase_deleted()
    assert said(await store.turns.history(on_discord(9), 9)) == [(200, "new")]


# Bytes of a prompt and a reply around every border between one overflow page and the next.
SIZES = [*range(0, 400, 33), *range(3550, 3750, 7), *range(4050, 4150, 9), *range(7600, 7860, 11), 50_000, 300_001]


@pytest.mark.parametrize("metadata", ["least", "most"])
async def test_text_lies_in_overflow_pages_only(path: Path, metadata: str) -> None:
    """These belong to one row and are overwritten as a whole, while pages of a B-tree keep copies in unused bytes."""
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


KILLED = """
import asyncio, os, signal, sys
from bot.store import Store
from bot.store.sqlite.engine import SQLiteEngine
from tests.store import test_erasing
from tests.store.steps import trace

async def run(file, number):
    seen, last = 0, ""
    def count(sql):
        nonlocal seen, last
        seen += sql != last and not sql.startswith("--")  # what cascades and triggers do
        last = sql
        if seen == number:
            os.kill(os.getpid(), signal.SIGKILL)
    async with SQLiteEngine.open(file, exclusive=True) as database:
        store = Store(database)
        await trace(database, count)
        await getattr(test_erasing, sys.argv[2])(store)
        await store.engine.erase_deleted()

number = status = 1
while status:
    file = f"{sys.argv[1]}/{number}.db"
    process = os.fork()
    if not process:
        asyncio.run(run(file, number))
        os._exit(0)
    _, status = os.waitpid(process, 0)
    number += 1
print(number - 1)
"""


async def reset_here(store: Store) -> set[int]:
    return await store.retention.forget_conversation(HERE)


async def forget_own_here(store: Store) -> set[int]:
    return await store.retention.forget_own(HERE, BO)


async def readable(store: Store) -> tuple[list[str], int]:
    """The prompts and replies in every conversation, and the extent of what is on record of Bo."""
    turns = [turn for where in (HERE, THERE, DM) for turn in await store.turns.history(where, 999)]
    return [text for turn in turns for text in (turn.prompt, turn.reply)], (await store.people.record_of(BO)).turns


@posix_only
@pytest.mark.parametrize("act", ["reset_here", "forget", "forget_own_here"])
async def test_killed_at_any_statement_it_is_all_there_or_all_out_of_reach(tmp_path: Path, act: str) -> None:
    """Killed while it forgets, while the rows go and while the log is emptied; what is left, the next start does."""
    original = tmp_path / "original.db"
    async with open_store(original, exclusive=True) as store:
        await fill(store, turns=20)
        before = await readable(store)
    whole = original.read_bytes()
    async with open_store(original, exclusive=True) as store:
        await globals()[act](store)
        after = await readable(store)
    for number in range(1, 100):
        (tmp_path / f"{number}.db").write_bytes(whole)
    process = await child(KILLED, tmp_path, act)
    out, _ = await process.communicate()
    kills = int(out) - 1
    seen = {"all": 0, "rows are left": 0, "bytes are left": 0}
    for number in range(1, kills + 1):
        file = tmp_path / f"{number}.db"
        seen["rows are left"] += left(file) > 0
        async with open_store(file, exclusive=True) as store:
            found = await readable(store)
            if found == before:
                seen["all"] += 1
                continue
            assert found == after
            seen["bytes are left"] += secret(file, b"SECRET-HERE")
            await store.engine.erase_deleted()
            assert left(file) == 0
            assert await readable(store) == after
        assert not secret(file, b"SECRET-HERE")
        assert rows(file, "PRAGMA integrity_check") == [("ok",)]
        assert rows(file, "PRAGMA foreign_key_check") == []
    assert min(seen.values()) > 1, "every stage has had its turn"


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
    monkeypatch.setattr("bot.store.sqlite.erasing._DELAY_S", 0.05 if then == "by itself" else 60)
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
        monkeypatch.setattr("bot.store.sqlite.erasing._DELAY_S", 0.05)
        async with open_store(path, exclusive=True):
            await until(lambda: not secret(path))
    assert not secret(path)
    assert left(path) == 0


async def test_replaced_text_is_erased_without_being_asked(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As is what another process forgot that was killed then: there is always a next erasing."""
    monkeypatch.setattr("bot.store.sqlite.erasing._DELAY_S", 0.02)
    monkeypatch.setattr("bot.store.sqlite.erasing._EVERY_S", 0.05)
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
        monkeypatch.setattr("bot.store.sqlite.erasing._STOP_S", 0)
    assert 0 < left(path) < 150
    assert "still in the file's bytes" not in caplog.text, "that is no failure"
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


async def test_compacting_gives_space_back_while_no_bot_runs(path: Path) -> None:
    told: list[float | None] = []
    async with open_store(path, exclusive=True) as store:
        for position in range(1, 401):
            await answer(store, position, "SECRET " * 3000)
        await answer(store, 1001, "kept", THERE)
        await store.retention.forget_conversation(HERE)
        with pytest.raises(StoreUnusable, match="already in use"):
            await compact(path, told.append)
    before, after = await compact(path, told.append, every_s=0)
    assert before > 8_000_000
    assert path.stat().st_size == after < before / 10
    assert all(part is None or 0 < part <= 1 for part in told)
    assert None in told
    assert not secret(path)
    async with open_store(path, exclusive=True) as store:
        assert said(await store.turns.history(THERE, 9)) == [(1001, "kept")]
        assert (await begin(store, 2000)).turn_id > 401
    with pytest.raises(StoreUnusable, match="does not exist"):
        await compact(path.with_name("none.db"), told.append)


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

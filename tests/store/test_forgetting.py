"""What was forgotten is out of reach from one commit on, or all of it is still there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeAlias

import pytest

from bot.core.records import Ping, UserRecord
from bot.core.turns import Attempt, Outcome, Prompt, Quote, TurnState
from bot.store import Store
from bot.store.sqlite import open_store
from bot.store.sqlite.engine import SQLiteEngine
from tests.places import on_discord
from tests.store.forgetting import BO, CLEO, DM, GUILD, PLENTY, THERE, asked, fill, forget, left, secret
from tests.store.kills import Kills
from tests.store.steps import HERE, Clock, answer, begin, context_of, failing, rows, said, told, trace


async def visible(store: Store) -> list[str]:
    """Every text that can be read, and what is said of Bo, in all the ways there are."""
    texts = []
    for where in (HERE, THERE, DM):
        for turn in await store.turns.history(where, 999):
            texts += [turn.prompt, turn.reply]
            texts += [
                earlier.prompt + earlier.reply for earlier in (await store.windows.earlier(turn.id, None, 999)).turns
            ]
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
    assert len(await context_of(store, in_thread)) == 1
    begun: list[str] = []
    await trace(database, begun.append)

    assert {done.turn_id, running.turn_id} <= await act(store)

    assert sum(sql == "COMMIT" for sql in begun) == (1 if act is forget else 3)
    assert left(path) > 10, "it is not the rows' going that hides them"
    assert not [text for text in await visible(store) if "SECRET" in text]
    assert not await store.people.has_asked(BO)
    assert await store.people.asked_in(BO) == []
    assert (await store.people.record_of(BO)).turns == 0
    assert await context_of(store, in_thread) == []
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
        assert await store.usage.by_day(0, user_id=BO) == []
        assert {row.user_id for row in await store.usage.by_day(0)} == {None, CLEO}
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
        assert len(await store.usage.by_day(0, user_id=BO)) == 1
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


async def reset_here(store: Store) -> set[int]:
    return await store.retention.forget_conversation(HERE)


async def forget_own_here(store: Store) -> set[int]:
    return await store.retention.forget_own(HERE, BO)


Readable: TypeAlias = tuple[list[str], UserRecord]


async def readable(store: Store) -> Readable:
    """The prompts and replies in every conversation, and the extent of what is on record of Bo."""
    turns = [turn for where in (HERE, THERE, DM) for turn in await store.turns.history(where, 999)]
    return [text for turn in turns for text in (turn.prompt, turn.reply)], await store.people.record_of(BO)


async def test_person_is_forgotten_as_a_whole_or_not_at_all(store: Store) -> None:
    await fill(store)
    await store.notes.add(BO, None, "SECRET", 6)
    await store.person_settings.set_ping(BO, Ping.ALWAYS)
    before = await readable(store)
    async with failing(store.engine, "BEFORE DELETE ON person_settings"):
        await told(forget(store))
    assert await readable(store) == before
    assert [note.text for note in await store.notes.of(BO, None)] == ["SECRET"]
    await forget(store)
    assert (await store.people.record_of(BO)).is_empty


STAGES = ("all", "rows are left", "bytes are left")


async def _stage(file: Path, before: Readable, after: Readable) -> list[str]:
    """What a kill has left, from which the next start has to come to the end."""
    async with open_store(file, exclusive=True) as store:
        found = await readable(store)
        if found == before:
            return ["all"]
        assert found == after
        stages = ["bytes are left"] * bool(secret(file, b"SECRET-HERE"))
        await store.engine.erase_deleted()
        assert left(file) == 0
        assert await readable(store) == after
    assert not secret(file, b"SECRET-HERE")
    assert rows(file, "PRAGMA integrity_check") == [("ok",)]
    assert rows(file, "PRAGMA foreign_key_check") == []
    return stages


@pytest.mark.parametrize("act", [reset_here, forget, forget_own_here])
async def test_killed_at_any_statement_it_is_all_there_or_all_out_of_reach(
    tmp_path: Path, act: Callable[[Store], Awaitable[set[int]]]
) -> None:
    """Killed while it forgets, while the rows go and while the log is emptied; what is left, the next start does."""
    original = tmp_path / "at work" / "chat.db"
    async with open_store(original, exclusive=True) as store:
        await fill(store, turns=20)
        before = await readable(store)
    kills = Kills(original.parent)
    async with open_store(original, exclusive=True) as store:
        await trace(store.engine, kills)
        await act(store)
        after = await readable(store)
        await store.engine.erase_deleted()
    seen = Counter[str]()
    for left_by, folder in kills.distinct(tmp_path / "left"):
        file = folder / original.name
        stages = ["rows are left"] * (left(file) > 0)
        assert not Path(f"{file}-wal").exists(), "SQLite has cleared up"
        stages += await _stage(file, before, after)
        for stage in stages:
            seen[stage] += kills.left.count(left_by)
    assert min(seen[stage] for stage in STAGES) > 1, "every stage has had its turn"

"""Notes: whose they are and where, how many, and when they go, to the last byte."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.core.records import NoteResult
from bot.core.turns import Prompt
from bot.store import Store
from bot.store.sqlite import open_store
from bot.store.sqlite.engine import SQLiteEngine
from tests.places import on_discord
from tests.store.kills import Kills
from tests.store.steps import Clock, files, rows, trace

BO, CLEO, GUILD, OTHER = 2**60 + 7, 2**60 + 8, 5, 6
DAY = 24 * 3600


async def add(store: Store, text: str, user: int = BO, guild: int | None = GUILD, size: int = 1) -> NoteResult:
    return await store.notes.add(user, guild, text, size)


async def texts(store: Store) -> dict[tuple[str, int | None], list[str]]:
    places = {(name, guild): (user, guild) for name, user in (("Bo", BO), ("Cleo", CLEO)) for guild in (GUILD, None)}
    found = {key: list(await store.notes.texts_of(*place)) for key, place in places.items()}
    return {key: notes for key, notes in found.items() if notes}


async def test_notes_belong_to_one_user_in_one_place(store: Store) -> None:
    for text, user, guild in (
        ("call me Kim", BO, GUILD),
        ("vegan", BO, GUILD),
        ("in a DM", BO, None),
        ("Cleo's", CLEO, GUILD),
    ):
        assert await add(store, text, user, guild) is NoteResult.ADDED
    here = {("Bo", GUILD): ["call me Kim", "vegan"], ("Bo", None): ["in a DM"], ("Cleo", GUILD): ["Cleo's"]}
    assert await texts(store) == here
    [kim, vegan] = await store.notes.of(BO, GUILD)
    for user, guild in ((CLEO, GUILD), (BO, None), (BO, OTHER)):
        assert not await store.notes.delete(user, guild, kim.id), "it is somebody else's, or elsewhere"
    assert await texts(store) == here
    assert await store.notes.delete(BO, GUILD, vegan.id)
    assert not await store.notes.delete(BO, GUILD, vegan.id)
    assert await add(store, "new") is NoteResult.ADDED
    assert [note.id for note in await store.notes.of(BO, GUILD)][1] > vegan.id, "no button finds another note"
    assert [note.text for note in await store.notes.everywhere(BO)] == ["call me Kim", "in a DM", "new"]


async def test_notes_are_limited_in_each_place(store: Store) -> None:
    assert await add(store, "a" * 600, size=600) is NoteResult.ADDED
    assert await add(store, "b" * 401, size=401) is NoteResult.FULL
    assert await add(store, "a" * 600, size=600) is NoteResult.KNOWN, "sent again after a kill, it is not there twice"
    assert await add(store, "b" * 401, CLEO, size=401) is NoteResult.ADDED
    assert await add(store, "b" * 401, guild=None, size=401) is NoteResult.ADDED
    assert await add(store, "c" * 400, size=400) is NoteResult.ADDED
    assert await add(store, "d") is NoteResult.FULL
    for number in range(20):
        assert await add(store, f"{number}", guild=OTHER) is NoteResult.ADDED
    assert await add(store, "one more", guild=OTHER) is NoteResult.FULL


async def test_note_lies_in_overflow_pages_only(path: Path) -> None:
    async with SQLiteEngine.open(path, exclusive=True) as database:
        store = Store(database, lambda: 2**40)
        sizes = [*range(6, 400, 30), *range(3550, 3750, 7), *range(3900, 4001, 5)]
        for number, size in enumerate(sizes):
            assert await add(store, ("SECRET" * size)[:size], BO + number, 2**62) is NoteResult.ADDED
    content = path.read_bytes()
    holding = [content[at] for at in range(0, len(content), 4096) if b"SECRET" in content[at : at + 4096]]
    assert len(holding) >= len(sizes)
    # As in test_erasing: a page of a B-tree begins with its type, which is not 0.
    assert {*holding} == {0}


@pytest.mark.parametrize("act", ["deleted", "the user forgotten", "the server left", "nobody asked for long"])
async def test_note_goes_to_the_last_byte(path: Path, clock: Clock, act: str) -> None:
    async with open_store(path, exclusive=True, clock=clock) as store:
        clock.now = 1000 * DAY
        for user, guild, text in ((BO, GUILD, "SECRET"), (BO, GUILD, "SECRET too"), (CLEO, OTHER, "kept")):
            await add(store, text, user, guild)
        if act == "deleted":
            for note in await store.notes.of(BO, GUILD):
                assert await store.notes.delete(BO, GUILD, note.id)
        elif act == "the user forgotten":
            assert not (await store.people.record_of(BO)).is_empty
            await store.people.forget(BO)
        elif act == "the server left":
            await store.guilds.sync([OTHER])
            clock.now += 6 * DAY
            await store.retention.prune(unused_days=90)
            assert len(await store.notes.of(BO, GUILD)) == 2, "the bot may come back"
            clock.now += 2 * DAY
            await store.retention.prune(unused_days=90)
        else:
            clock.now += 80 * DAY
            # As the questions of both in another guild do.
            await store.notes.texts_of(BO, OTHER)
            await store.notes.texts_of(CLEO, OTHER)
            clock.now += 9 * DAY
            await store.retention.prune(unused_days=90)
            assert len(await store.notes.of(BO, GUILD)) == 2
            clock.now += 2 * DAY
            await store.retention.prune(unused_days=0)
            assert len(await store.notes.of(BO, GUILD)) == 2, "never"
            await store.retention.prune(unused_days=90)
        assert await store.notes.of(BO, GUILD) == []
        assert await store.notes.texts_of(CLEO, OTHER) == ["kept"]
        await store.engine.erase_deleted()
        assert not any(b"SECRET" in content for content in files(path).values())


async def test_reset_keeps_notes(store: Store) -> None:
    await add(store, "vegan")
    await store.turns.begin(Prompt(on_discord(1), 1, "Why?", BO, guild_id=GUILD))
    await store.retention.forget_conversation(on_discord(1))
    await store.retention.forget_own(on_discord(1), BO)
    assert await texts(store) == {("Bo", GUILD): ["vegan"]}


async def test_killed_at_any_statement_a_note_is_whole_or_not_there(tmp_path: Path) -> None:
    file = tmp_path / "at work" / "chat.db"
    kills = Kills(file.parent)
    async with open_store(file, exclusive=True) as store:
        await trace(store.engine, kills)
        await add(store, "SECRET" * 100, size=600)
        (file.parent / "told").touch()
        await store.engine.erase_deleted()
    seen = {"not there": 0, "there, and nobody told": 0, "told": 0}
    for left, folder in kills.distinct(tmp_path / "left"):
        file, told = folder / "chat.db", (folder / "told").exists()
        async with open_store(file, exclusive=True) as store:
            found = await store.notes.texts_of(BO, GUILD)
            assert found in ([], ["SECRET" * 100])
            assert found or not told
            stage = "told" if told else "there, and nobody told" if found else "not there"
            seen[stage] += kills.left.count(left)
            again = await add(store, "SECRET" * 100, size=600)
            assert again is (NoteResult.KNOWN if found else NoteResult.ADDED)
            [note] = await store.notes.of(BO, GUILD)
            assert await store.notes.delete(BO, GUILD, note.id)
            await store.engine.erase_deleted()
        assert b"SECRET" not in b"".join(files(file).values())
        assert rows(file, "PRAGMA integrity_check") == [("ok",)]
    assert min(seen["not there"], seen["told"]) > 0, "every stage has had its turn"

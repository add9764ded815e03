"""A copy made while a bot is at work, and put in its place."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import pytest

from bot.core.errors import StoreError
from bot.core.turns import Outcome, TurnState
from bot.store import Store
from bot.store.sqlite import backup, open_store
from tests.places import on_discord
from tests.store import old_databases
from tests.store.steps import HERE, answer, begin, child, files, posix_only, rows, said, write
from tests.waiting import PATIENCE, until


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    (tmp_path / "backups").mkdir()
    return tmp_path / "backups" / "monday.db"


async def test_backup_is_whole_and_can_be_restored(store: Store, path: Path, copy: Path) -> None:
    await answer(store, 1, "before " * 1000)
    gone = await answer(store, 2, "SECRET")
    await store.retention.forget_turn(gone.turn_id)
    streaming = await begin(store, 3)

    saved = 0

    async def stream() -> None:
        nonlocal saved
        while True:
            await store.turns.save({streaming: "word " * (saved % 1000 + 1)})
            saved += 1

    going_on = asyncio.create_task(stream())
    await until(lambda: saved)
    before = saved
    await asyncio.wait_for(backup(path, copy), PATIENCE)
    # One save may have been under way.
    assert saved > before + 1, "nobody waits for it, nor does it wait for anybody"
    going_on.cancel()
    assert set(files(copy)) == {"monday.db"}
    assert b"SECRET" not in copy.read_bytes()

    async with open_store(copy, exclusive=True) as restored:
        await restored.turns.interrupt_left_over(HERE.platform, HERE.channel)
        _, turn = await restored.turns.undelivered(HERE.platform, HERE.channel)
        assert (turn.position, turn.state) == (3, TurnState.INTERRUPTED)
        assert turn.reply
        assert set(turn.reply.split()) == {"word"}
        assert said(await restored.turns.history(HERE, 9))[1:] == [(1, "before " * 1000)]
        assert (await begin(restored, 4)).turn_id > gone.turn_id
    assert rows(copy, "PRAGMA integrity_check") == [("ok",)]
    assert await store.turns.close(streaming, Outcome(TurnState.COMPLETE, "the original is as it was"))


async def test_backup_has_nothing_of_what_was_just_forgotten(store: Store, path: Path, copy: Path) -> None:
    for position in range(1, 80):
        await answer(store, position, "SECRET")
    await answer(store, 100, "kept", on_discord(2))
    await store.retention.forget_conversation(HERE)
    assert len(rows(path, "SELECT 1 FROM stored_turns")) == 80, "its rows are still there"
    await backup(path, copy)
    assert b"SECRET" not in copy.read_bytes()
    assert rows(copy, "SELECT reply FROM stored_turns") == [("kept",)]
    assert set(files(copy)) == {"monday.db"}


KILLED = """
import asyncio, os, signal, sys
from pathlib import Path
from bot.store.sqlite.backup import backup

def kill(part):
    os.kill(os.getpid(), signal.SIGKILL)

sys.modules["bot.store.sqlite.backup"]._purge = kill
asyncio.run(backup(Path(sys.argv[1]), Path(sys.argv[2])))
"""


@posix_only
async def test_next_backup_removes_what_a_killed_one_left(store: Store, path: Path, copy: Path) -> None:
    await answer(store, 1, "SECRET")
    await store.retention.forget_conversation(HERE)
    process = await child(KILLED, path, copy)
    await process.communicate()
    [left] = copy.parent.iterdir()
    assert b"SECRET" in left.read_bytes()
    film = copy.with_name("film.part")
    write(film, b"of somebody else's")
    os.utime(film, (1, 1))
    await backup(path, copy)
    assert left in copy.parent.iterdir(), "it could be one that is under way"
    two_hours_ago = time.time() - 7200
    os.utime(left, (two_hours_ago, two_hours_ago))
    await backup(path, copy.with_name("tuesday.db"))
    assert {each.name for each in copy.parent.iterdir()} == {"monday.db", "tuesday.db", "film.part"}


@posix_only
async def test_backup_is_readable_by_its_owner_only(store: Store, path: Path, copy: Path) -> None:
    await answer(store, 1, "private")
    await backup(path, copy)
    assert copy.stat().st_mode & 0o777 == 0o600


async def test_failed_backup_says_why_and_leaves_nothing(store: Store, path: Path, copy: Path) -> None:
    await answer(store, 1, "done")
    write(copy, b"of last week")
    before = files(copy)

    async def refusal(database: Path, to: Path) -> str:
        with pytest.raises(StoreError) as caught:
            await backup(database, to)
        assert files(copy) == before
        return str(caught.value)

    assert "already exists: choose another name" in await refusal(path, copy)
    assert "has no folder: create" in await refusal(path, copy.parent / "no" / "copy.db")
    assert "has no folder: create" in await refusal(path, copy / "copy.db")
    assert "does not exist: start the bot first" in await refusal(path.with_name("none.db"), copy.parent / "new.db")
    assert not path.with_name("none.db").exists()
    rows(path.with_name("diary.db"), "CREATE TABLE diary (entry)")
    assert "not a file of this bot's" in await refusal(path.with_name("diary.db"), copy.parent / "new.db")
    torn = path.with_name("torn.db")
    await backup(path, torn)
    write(torn, torn.read_bytes()[:10_000])
    assert "torn.db is damaged" in await refusal(torn, copy.parent / "new.db")


@posix_only
async def test_backup_without_space_leaves_nothing(store: Store, path: Path, copy: Path) -> None:
    import resource

    await answer(store, 1, "x" * 100_000)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
    try:
        with pytest.raises(StoreError, match=r"The backup .*monday\.db failed .*: check its disk"):
            await backup(path, copy)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert files(copy) == {}
    await backup(path, copy)


async def test_a_database_of_an_earlier_version_is_copied_as_it_is(path: Path, copy: Path) -> None:
    old_databases.make(path, 3)
    await backup(path, copy)
    assert rows(copy, "PRAGMA user_version") == rows(path, "PRAGMA user_version") == [(3,)]
    async with open_store(copy, exclusive=True) as restored:
        assert said(await restored.turns.history(on_discord(11), 9)) == [(101, "Because.")]

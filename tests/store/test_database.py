"""The database file: who may read it, and what is said when it cannot be opened or written."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from bot.errors import StoreError, StoreUnusable
from bot.store import SQLiteStore
from bot.store.database import Database
from bot.turns import Outcome, State
from tests.store.steps import HERE, answer, begin, files, posix_only, refusal, said, write


async def test_reading_does_not_wait_for_a_commit(store: SQLiteStore, path: Path) -> None:
    await answer(store, 1, "done")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        writing = asyncio.create_task(begin(store, 2))
        assert said(await asyncio.wait_for(store.history(HERE, 9), 1)) == [(1, "done")]
        assert not writing.done()
        other.execute("COMMIT")
    await writing


@posix_only
async def test_its_files_are_the_owners_alone(path: Path) -> None:
    before = os.umask(0)
    try:
        async with SQLiteStore.open(path, exclusive=True) as store:
            await answer(store, 1, "private")
            modes = {file.name: file.stat().st_mode & 0o777 for file in path.parent.iterdir()}
    finally:
        os.umask(before)
    assert modes == dict.fromkeys(("chat.db", "chat.db-wal", "chat.db-shm", "chat.db.lock"), 0o600)


async def test_several_may_open_a_new_database_at_once(path: Path) -> None:
    async def visit(number: int) -> None:
        async with SQLiteStore.open(path, exclusive=False) as store:
            await answer(store, number, "hello")

    await asyncio.gather(*map(visit, range(8)))
    async with SQLiteStore.open(path, exclusive=True) as store:
        assert await store.count(HERE) == 8


async def test_a_damaged_database_says_so(path: Path) -> None:
    async with SQLiteStore.open(path, exclusive=True) as store:
        for position in range(50):
            await answer(store, position, "r" * 1000)
    whole = files(path)["chat.db"]
    write(path, whole[:8192] + b"\xa5" * (len(whole) - 8192))
    with pytest.raises(StoreUnusable, match="damaged"):
        async with SQLiteStore.open(path, exclusive=True) as store:
            await store.history(HERE, 99)


async def test_a_path_that_cannot_be_a_database(tmp_path: Path) -> None:
    assert "is a directory" in await refusal(tmp_path)
    (tmp_path / "file").touch()
    assert "a file where its folder should be" in await refusal(tmp_path / "file" / "chat.db")
    assert "a file where its folder should be" in await refusal(tmp_path / "file" / "folder" / "chat.db")
    async with SQLiteStore.open(tmp_path / "new" / "folder" / "chat.db", exclusive=True):
        assert (tmp_path / "new" / "folder" / "chat.db").exists()


@pytest.fixture
def unprivileged() -> Iterator[Path]:
    """A folder of somebody without root's rights, who the test then is."""
    with tempfile.TemporaryDirectory() as folder:
        root = os.geteuid() == 0
        if root:
            os.chown(folder, 65534, -1)
            os.seteuid(65534)
        yield Path(folder)
        os.chmod(folder, 0o700)
        if root:
            os.seteuid(0)


@posix_only
async def test_a_database_that_may_only_be_read(unprivileged: Path) -> None:
    path = unprivileged / "chat.db"
    async with SQLiteStore.open(path, exclusive=True) as store:
        await answer(store, 1, "before")
    for target, mode in (path, 0o400), (path, 0o000), (unprivileged, 0o500), (unprivileged, 0o000):
        os.chmod(target, mode)
        assert "cannot be written" in await refusal(path)
        os.chmod(target, 0o700)
    os.chmod(unprivileged, 0o500)
    assert "cannot be written" in await refusal(unprivileged / "new.db")
    assert "cannot be written" in await refusal(unprivileged / "new" / "chat.db")


async def test_a_full_disk_loses_nothing_and_is_got_over(database: Database, store: SQLiteStore) -> None:
    attempt = await begin(store, 1)
    await store.start(attempt)
    await store.save({attempt: "before"})
    [[pages]] = await database.write("PRAGMA page_count")
    await database.write(f"PRAGMA max_page_count = {pages}")
    for _ in range(2):
        with pytest.raises(StoreError, match=r"chat\.db found its disk full: free some space, then try again\."):
            await store.save({attempt: "x" * 100_000})
    with pytest.raises(StoreError):
        await begin(store, 2, "x" * 100_000)
    assert said(await store.history(HERE, 9)) == [(1, "before")]
    assert await store.close(attempt, Outcome(State.STOPPED, "short")), "what fits is still written"

    await database.write("PRAGMA max_page_count = 1000000")
    await answer(store, 2, "x" * 100_000)
    assert await store.count(HERE) == 2


@posix_only
async def test_a_failing_write_is_undone_and_said(store: SQLiteStore, path: Path) -> None:
    """A limit on the size of files is a real error of the operating system, on whatever SQLite writes next."""
    import resource

    attempt = await begin(store, 1)
    await store.start(attempt)
    await store.save({attempt: "before"})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.with_name("chat.db-wal").stat().st_size + 5000, hard))
    try:
        with pytest.raises(StoreError, match="see to its disk"):
            await store.save({attempt: "x" * 100_000})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert said(await store.history(HERE, 9)) == [(1, "before")]
    assert await store.save({attempt: "x" * 100_000}) == {attempt}

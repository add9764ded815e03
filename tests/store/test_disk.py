"""What a disk can do: be full, slow, read-only, in use by another program, or give back less than was written."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from bot.core.errors import StoreBug, StoreError, StoreUnusable
from bot.core.turns import Outcome, TurnState
from bot.store import Store
from bot.store.sqlite import open_store, schema
from bot.store.sqlite.connection import BUSY_S
from bot.store.sqlite.engine import SQLiteEngine
from tests.store.steps import (
    HERE,
    answer,
    begin,
    child,
    disk_full,
    files,
    posix_only,
    refusal,
    said,
    trace,
    write,
)
from tests.waiting import PATIENCE


async def test_damaged_database_says_so(path: Path) -> None:
    async with open_store(path, exclusive=True) as store:
        for position in range(50):
            await answer(store, position, "r" * 1000)
    whole = files(path)["chat.db"]
    write(path, whole[:8192] + b"\xa5" * (len(whole) - 8192))
    with pytest.raises(StoreUnusable, match="damaged"):
        async with open_store(path, exclusive=True) as store:
            await store.turns.history(HERE, 99)


@pytest.fixture
def unprivileged() -> Iterator[Path]:
    """A folder of somebody without root's rights, who the test then is."""
    schema.migrations()  # or what Python imports for it could not be read any more
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
async def test_read_only_database_says_so(unprivileged: Path) -> None:
    path = unprivileged / "chat.db"
    async with open_store(path, exclusive=True) as store:
        await answer(store, 1, "before")
    for target, mode in (path, 0o400), (path, 0o000), (unprivileged, 0o500), (unprivileged, 0o000):
        os.chmod(target, mode)
        assert "cannot be written" in await refusal(path)
        os.chmod(target, 0o700)
    os.chmod(unprivileged, 0o500)
    assert "cannot be written" in await refusal(unprivileged / "new.db")
    assert "cannot be written" in await refusal(unprivileged / "new" / "chat.db")


async def test_full_disk_loses_nothing(database: SQLiteEngine, store: Store) -> None:
    attempt = await begin(store, 1)
    await store.turns.save({attempt: "before"})
    async with disk_full(database):
        for _ in range(2):
            with pytest.raises(
                StoreError, match=r"chat\.db has no space left on its disk: free some space, then try again\."
            ):
                await store.turns.save({attempt: "x" * 100_000})
        with pytest.raises(StoreError):
            await begin(store, 2, "x" * 100_000)
        assert said(await store.turns.history(HERE, 9)) == [(1, "before")]
        assert await store.turns.close(attempt, Outcome(TurnState.STOPPED, "short")), "what fits is still written"
    await answer(store, 2, "x" * 100_000)
    assert await store.turns.count(HERE) == 2


@posix_only
async def test_failed_write_is_undone_and_reported(store: Store, path: Path) -> None:
    """A limit on the size of files is a real error of the operating system, on whatever SQLite writes next."""
    import resource

    attempt = await begin(store, 1)
    await store.turns.save({attempt: "before"})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.with_name("chat.db-wal").stat().st_size + 5000, hard))
    try:
        with pytest.raises(StoreError, match="check its disk"):
            await store.turns.save({attempt: "x" * 100_000})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert said(await store.turns.history(HERE, 9)) == [(1, "before")]
    assert await store.turns.save({attempt: "x" * 100_000}) == {attempt}


async def test_only_the_unfitting_write_of_a_batch_fails(database: SQLiteEngine, store: Store) -> None:
    attempts = [await begin(store, position) for position in range(1, 9)]
    texts = ["x" * (100_000 if number == 4 else 10) for number in range(8)]
    async with disk_full(database, pages_left=2):
        results = await asyncio.gather(
            *(store.turns.save({attempt: text}) for attempt, text in zip(attempts, texts, strict=True)),
            return_exceptions=True,
        )
    assert [number for number, result in enumerate(results) if isinstance(result, StoreError)] == [4]
    assert len(await store.turns.history(HERE, 9)) == 7


async def test_unstorable_value_fails_alone(store: Store) -> None:
    results = await asyncio.gather(*map(store.processed.mark, (1, 2**70, 2)), return_exceptions=True)
    assert [type(result) for result in results] == [bool, StoreBug, bool]
    assert await store.processed.among([1, 2]) == {1, 2}


async def test_database_held_by_another_program(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.store.sqlite.connection.BUSY_S", 0.3)
    async with SQLiteEngine.open(path, exclusive=True) as database:
        store = Store(database)
        await answer(store, 1, "before")
        done: list[str] = []
        await trace(database, done.append)
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            results = await asyncio.gather(*(begin(store, number) for number in range(2, 12)), return_exceptions=True)
            assert done == ["BEGIN IMMEDIATE"], "they wait together, not one after the other"
            assert {str(result) for result in results} == {
                f"The database {path} is in use by another program: close that program, then try again."
            }
            with pytest.raises(StoreError, match="in use by another program"):
                await store.engine.ping()
            assert said(await store.turns.history(HERE, 9)) == [(1, "before")]
            other.execute("ROLLBACK")
        await store.engine.ping()
        await answer(store, 2, "after")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN IMMEDIATE")
        assert "in use by another program" in await refusal(path)


async def test_retry_that_cannot_be_saved_is_not_begun(database: SQLiteEngine, store: Store) -> None:
    ended = await answer(store, 1, "before")
    broken = "BEFORE UPDATE ON conversations BEGIN SELECT RAISE(ABORT, 'broken'); END"
    await database.write(f"CREATE TRIGGER broken {broken}")
    with pytest.raises(StoreError, match="broken"):
        await store.turns.reopen(ended, TurnState.COMPLETE)
    await database.write("DROP TRIGGER broken")
    assert await store.turns.reopen(ended, TurnState.COMPLETE) == replace(ended, number=2)


@posix_only
async def test_failed_erasing_is_owed(database: SQLiteEngine, store: Store, path: Path) -> None:
    import resource

    attempt = await answer(store, 1, "SECRET" * 20_000)
    await store.retention.forget_turn(attempt.turn_id)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, hard))
    try:
        with pytest.raises(StoreError):
            await database.erase_deleted()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert any(b"SECRET" in content for content in files(path).values())
    await database.erase_deleted()
    assert not any(b"SECRET" in content for content in files(path).values())
    [[patience]] = await database.write("PRAGMA busy_timeout")
    assert patience == BUSY_S * 1000


@pytest.mark.parametrize("writes", [1, 2])
async def test_write_after_closing_is_refused(path: Path, writes: int) -> None:
    async with open_store(path, exclusive=True) as store:
        pass
    async with asyncio.timeout(PATIENCE):
        results = await asyncio.gather(*map(store.processed.mark, range(writes)), return_exceptions=True)
    assert [str(result) for result in results] == ["The database is closed."] * writes
    assert all(isinstance(result, StoreError) for result in results)


@pytest.mark.parametrize("left", [0.1, 0.5, 0.99])
async def test_truncated_database_says_so(path: Path, left: float) -> None:
    async with open_store(path, exclusive=True) as store:
        for position in range(50):
            await answer(store, position, "r" * 1000)
    whole = path.read_bytes()
    write(path, whole[: int(len(whole) * left)])
    with pytest.raises(StoreUnusable, match="is damaged: put a backup in its place"):
        async with open_store(path, exclusive=True) as store:
            await store.turns.history(HERE, 99)


async def test_truncated_log_loses_only_the_latest(path: Path) -> None:
    process = await child(
        """
import asyncio, os, signal, sys
from pathlib import Path
from bot.store import Store
from bot.store.sqlite import open_store
from tests.store.steps import answer

async def main(path):
    async with open_store(path, exclusive=True) as store:
        for position in range(20):
            await answer(store, position, f"r{position} " * 200)
        os.kill(os.getpid(), signal.SIGKILL if sys.platform != "win32" else signal.SIGTERM)

asyncio.run(main(Path(sys.argv[1])))
""",
        path,
    )
    await process.communicate()
    log = path.with_name("chat.db-wal")
    write(log, log.read_bytes()[: log.stat().st_size * 3 // 4])
    async with open_store(path, exclusive=True) as store:
        kept = said(await store.turns.history(HERE, 99))
        assert 5 < len(kept) < 20
        assert kept == [(position, f"r{position} " * 200) for position in reversed(range(len(kept)))]
        await answer(store, 20, "goes on")


SLOW = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <unistd.h>
volatile int begun, held;
static int slowly(const char *name, int file) {
    begun++;
    do usleep(100000); while (held);
    return ((int (*)(int))dlsym(RTLD_NEXT, name))(file);
}
int fsync(int file) { return slowly("fsync", file); }
int fdatasync(int file) { return slowly("fdatasync", file); }
"""


@pytest.mark.skipif(sys.platform != "linux" or not shutil.which("cc"), reason="needs LD_PRELOAD and a C compiler")
async def test_slow_disk_makes_nobody_queue(path: Path, tmp_path: Path) -> None:
    """Fifty turns with their messages, two hundred writes, on a disk that takes 100 ms for each fsync and more."""
    source, slow = tmp_path / "slow.c", tmp_path / "slow.so"
    source.write_text(SLOW)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", slow, source, "-ldl"], check=True)  # noqa: S603, S607 - our own
    process = await child(
        """
import asyncio, ctypes, sys
from bot.core.turns import Conversation
from bot.store.sqlite import open_store
from tests.store.steps import answer
from tests.waiting import until

async def turn(store, position):
    attempt = await answer(store, position, "done", conversation=Conversation("discord", str(position)))
    await store.deliveries.posting(attempt, 0, 0, "n")
    await store.deliveries.posted(attempt, 0, position)

async def main(path, library):
    begun, held = (ctypes.c_int.in_dll(ctypes.CDLL(library), name) for name in ("begun", "held"))
    async with open_store(path, exclusive=True) as store:
        await answer(store, 1, "before")
        before, held.value = begun.value, 1
        turns = asyncio.gather(*(turn(store, position) for position in range(2, 52)))
        try:
            await until(lambda: begun.value > before)
            print(await asyncio.wait_for(store.turns.count(Conversation("discord", "1")), 60))
        finally:
            held.value = 0
        await turns
        print(begun.value - before)

asyncio.run(main(*sys.argv[1:]))
""",
        path,
        slow,
        LD_PRELOAD=slow,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0
    read_beside_a_commit, syncs = map(int, output.split())
    assert read_beside_a_commit == 1
    assert 4 <= syncs <= 20

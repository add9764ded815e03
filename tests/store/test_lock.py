"""One bot to a file."""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from bot.core.errors import StoreUnusable
from bot.store.sqlite import open_store
from bot.store.sqlite.lock import exclusive_lock, is_locked
from tests.places import TERMINAL
from tests.store.steps import answer, child


async def test_one_bot_and_many_chats_share_a_database(path: Path) -> None:
    holder = await child(
        """
import asyncio, sys
from bot.store import Store
from bot.store.sqlite import open_store

async def main(path):
    async with open_store(path, exclusive=True):
        print("open", flush=True)
        await asyncio.sleep(60)

asyncio.run(main(*sys.argv[1:]))
""",
        path,
    )
    assert holder.stdout
    await holder.stdout.readline()
    other = path.parent / "folder"
    names = [path, path.with_name(f"./{path.name}")]
    if sys.platform != "win32":
        other.symlink_to(path.parent)
        names.append(other / path.name)
    for name in names:
        with pytest.raises(StoreUnusable, match=f"already in use by process {holder.pid}"):
            async with open_store(name, exclusive=True):
                pass
    async with open_store(path, exclusive=False) as chat:
        await answer(chat, 1, "beside it", conversation=TERMINAL)
    holder.kill()
    await holder.communicate()
    async with open_store(path, exclusive=True) as store:
        assert await store.turns.count(TERMINAL) == 1
        with pytest.raises(StoreUnusable, match=f"process {os.getpid()}"):
            async with open_store(path, exclusive=True):
                pass


def test_whoever_looks_for_a_bot_keeps_none_from_starting(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To look, it holds the lock for a moment."""
    assert not is_locked(path), "no bot ever ran"
    looking = ExitStack()
    looking.enter_context(exclusive_lock(path))
    assert is_locked(path)
    monkeypatch.setattr("bot.store.sqlite.lock.time.sleep", lambda _: looking.close())
    with exclusive_lock(path):
        assert is_locked(path)
    assert not is_locked(path)

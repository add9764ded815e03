"""Opening a database file: for its owner's eyes alone, by several at once, and refused where it cannot be one."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from bot.core.errors import StoreUnusable
from bot.store.sqlite import backup, open_store
from tests.store.steps import HERE, answer, posix_only, refusal, write

OWN_FOLDER = "a file in a folder of your own, such as ~/parley.db"


@posix_only
async def test_database_files_are_private(path: Path) -> None:
    before = os.umask(0)
    try:
        async with open_store(path, exclusive=True) as store:
            await answer(store, 1, "private")
            modes = {file.name: file.stat().st_mode & 0o777 for file in path.parent.iterdir()}
    finally:
        os.umask(before)
    assert modes == dict.fromkeys(("chat.db", "chat.db-wal", "chat.db-shm", "chat.db.lock"), 0o600)


@posix_only
async def test_public_database_file_becomes_private(path: Path) -> None:
    async with open_store(path, exclusive=True) as first:
        await answer(first, 1, "private")
        for file in path.parent.iterdir():
            file.chmod(0o664)
        async with open_store(path, exclusive=False):
            modes = {file.stat().st_mode & 0o777 for file in path.parent.iterdir()}
    assert modes == {0o600}
    diary = path.with_name("diary")
    write(diary, b"Dear diary" * 1000)
    diary.chmod(0o644)
    await refusal(diary)
    assert diary.stat().st_mode & 0o777 == 0o644, "not a file of ours"


@posix_only
@pytest.mark.parametrize("suffix", ["", "-wal", "-shm", ".lock"])
async def test_links_are_not_followed(path: Path, suffix: str) -> None:
    other = path.with_name("somebody's")
    other.touch(0o666)
    link = path.with_name(path.name + suffix)
    link.symlink_to(other)
    said = await refusal(path)
    assert f"{link} is a link: " in said
    assert said.endswith(f"use {OWN_FOLDER if suffix else f'{other} itself'}.")
    with pytest.raises(StoreUnusable, match="is a link"):
        await backup(path, path.with_name("copy.db"))
    assert (other.read_bytes(), other.stat().st_mode & 0o777) == (b"", 0o644)


@posix_only
@pytest.mark.parametrize("suffix", ["", "-wal", "-shm", ".lock"])
async def test_another_users_file_is_refused(path: Path, suffix: str) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a file to another user")
    async with open_store(path, exclusive=True) as store:
        await answer(store, 1, "mine")
    theirs = path.with_name(path.name + suffix)
    theirs.touch()
    os.chown(theirs, 65534, -1)
    said = await refusal(path)
    assert f"{theirs} belongs to another user: " in said
    assert f"use {OWN_FOLDER}" in said


async def test_several_processes_create_one_database(path: Path) -> None:
    async def visit(number: int) -> None:
        async with open_store(path, exclusive=False) as store:
            await answer(store, number, "hello")

    await asyncio.gather(*map(visit, range(8)))
    async with open_store(path, exclusive=True) as store:
        assert await store.turns.count(HERE) == 8


async def test_unusable_path_is_refused(tmp_path: Path) -> None:
    assert "is a directory" in await refusal(tmp_path)
    (tmp_path / "file").touch()
    assert "a file where its folder should be" in await refusal(tmp_path / "file" / "chat.db")
    assert "a file where its folder should be" in await refusal(tmp_path / "file" / "folder" / "chat.db")
    async with open_store(tmp_path / "new" / "folder" / "chat.db", exclusive=True):
        assert (tmp_path / "new" / "folder" / "chat.db").exists()

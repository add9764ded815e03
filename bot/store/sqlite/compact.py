"""Compacting: the database file written anew without its free pages, while no bot runs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from bot.core.errors import StoreUnusable
from bot.store.sqlite.engine import SQLiteEngine
from bot.store.sqlite.own_file import own_file


async def compact(database: Path, tell: Callable[[float | None], None], *, every_s: float = 2.0) -> tuple[int, int]:
    """Give the space of deleted rows back. The answer is the file's bytes before and after.

    Every few seconds `tell` is told which part of the file is written, from 0 to 1, or None while a copy of what is
    kept is made, which comes first. Raises `StoreError`, with nothing changed; `StoreUnusable` where a bot is running.
    """
    file = own_file(database)
    if not file.exists():
        raise StoreUnusable(f"The database {file} does not exist: start the bot first, or choose another file.")
    before = file.stat().st_size
    async with SQLiteEngine.open(file, exclusive=True) as engine:
        await engine.erase_deleted()
        [[kept]] = await engine.read(
            "SELECT (page_count - freelist_count) * page_size "
            "FROM pragma_page_count, pragma_freelist_count, pragma_page_size"
        )
        # It copies into a temporary file, and then from there into the log.
        vacuum = asyncio.create_task(engine.write("VACUUM"))
        while not (await asyncio.wait([vacuum], timeout=every_s))[0]:
            written = file.with_name(f"{file.name}-wal").stat().st_size
            tell(min(written / kept, 1.0) if written > 4096 else None)
        await vacuum
        await engine.erase_deleted()
    return before, file.stat().st_size

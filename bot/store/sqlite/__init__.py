"""The SQLite engine: one file, its connections, schema, lock, secure deletion and backup.

The only package that imports SQLite's driver. It knows nothing of the store's parts beyond their SQL.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from bot.core.figures import Figures
from bot.store.sqlite.backup import backup
from bot.store.sqlite.compact import compact
from bot.store.sqlite.connection import MEMORY
from bot.store.sqlite.engine import SQLiteEngine
from bot.store.store import Store

__all__ = ["MEMORY", "SQLiteEngine", "backup", "compact", "open_store"]


@asynccontextmanager
async def open_store(
    path: str | Path, *, exclusive: bool, clock: Callable[[], float] = time.time, figures: Figures | None = None
) -> AsyncIterator[Store]:
    """The store in the database at `path`, as `SQLiteEngine.open` opens it. Raises `StoreUnusable`."""
    async with SQLiteEngine.open(path, exclusive=exclusive) as engine:
        yield Store(engine, clock, figures, changes=engine.changes)

"""The PostgreSQL engine: one database of a server, its connections, schema and errors, and who serves what from it.

It needs the extra `postgresql`. It knows nothing of the store's parts beyond their SQL.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from bot.core.figures import Figures
from bot.store.postgresql.announcements import Listener
from bot.store.postgresql.claims import Claims
from bot.store.postgresql.engine import CONNECTIONS, PostgreSQLEngine
from bot.store.postgresql.processes import Processes
from bot.store.postgresql.requests import SharedRequests
from bot.store.store import Store

__all__ = ["CONNECTIONS", "Claims", "Listener", "PostgreSQLEngine", "Processes", "SharedRequests", "open_store"]


@asynccontextmanager
async def open_store(
    url: str, *, serving: bool, clock: Callable[[], float] = time.time, figures: Figures | None = None
) -> AsyncIterator[Store]:
    """The store in a database, as `PostgreSQLEngine.open` opens it. Raises `StoreUnusable`."""
    async with PostgreSQLEngine.open(url, serving=serving) as engine:
        yield Store(engine, clock, figures)

"""Which database the store is in: a file of SQLite's, or one on a server of PostgreSQL's."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias
from urllib.parse import parse_qsl, urlencode, urlsplit

from bot.core.errors import StoreUnusable
from bot.core.figures import Figures
from bot.store import sqlite
from bot.store.store import Store


@dataclass(frozen=True, slots=True)
class DatabaseServer:
    """A database on a PostgreSQL server, by its URL, which may have a password. `repr` and `str` have none of it."""

    url: str = field(repr=False)

    def __str__(self) -> str:
        """The URL without a password."""
        parts = urlsplit(self.url)
        user, at, hosts = parts.netloc.rpartition("@")
        kept = [(name, value) for name, value in parse_qsl(parts.query) if "password" not in name]
        query = f"?{urlencode(kept, safe='/')}" if kept else ""
        return f"{parts.scheme}://{user.partition(':')[0]}{at}{hosts}{parts.path}{query}"


Database: TypeAlias = Path | DatabaseServer


@asynccontextmanager
async def open_store(
    database: Database | str,
    *,
    exclusive: bool,
    clock: Callable[[], float] = time.time,
    figures: Figures | None = None,
) -> AsyncIterator[Store]:
    """The store in a database, brought up to date; `sqlite.MEMORY` is one in memory. Raises `StoreUnusable`.

    `exclusive` refuses a second opener that asks for it too, until this process has ended, however it ends.
    """
    if not isinstance(database, DatabaseServer):
        async with sqlite.open_store(database, exclusive=exclusive, clock=clock, figures=figures) as store:
            yield store
        return
    try:
        from bot.store import postgresql
    except ImportError:
        raise StoreUnusable(
            "PostgreSQL needs a package that is not installed: run `python -m pip install 'psycopg[binary]'`."
        ) from None
    async with postgresql.open_store(database.url, exclusive=exclusive, clock=clock, figures=figures) as store:
        yield store

"""The whole database is away, on either engine, from a moment on and for a while."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from typing import Any

import pytest

from bot.core.errors import StoreError
from bot.store.databases import Database, DatabaseServer
from bot.store.part import Part
from bot.store.postgresql import PostgreSQLEngine
from bot.store.sqlite.engine import SQLiteEngine


class Outage:
    """Refuses all that is asked of the database while it is `on`."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._patch = patch
        self.on = False
        self.error = StoreError
        self.refused = 0
        for engine in (SQLiteEngine, PostgreSQLEngine):
            for name in ("read", "transaction", "delete_securely", "ping"):
                self._refuse(engine, name)

    def _refuse(self, engine: type, name: str) -> None:
        work = getattr(engine, name)

        async def refusing(*details: Any, **more: Any) -> Any:
            if self.on:
                self.refused += 1
                raise self.error("The database is away.")
            return await work(*details, **more)

        self._patch.setattr(engine, name, refusing)

    def begin_at(self, part: type[Part], name: str, seconds: float) -> None:
        """Begin with the next call of a part's method, and end after so many seconds."""
        method, begun = getattr(part, name), False

        async def beginning(*details: Any, **more: Any) -> Any:
            nonlocal begun
            if not begun:
                begun = True
                self.begin(seconds)
            return await method(*details, **more)

        self._patch.setattr(part, name, beginning)

    def begin(self, seconds: float) -> None:
        """Begin now, and end after so many seconds."""
        self.on = True
        asyncio.get_running_loop().call_later(seconds, self._end)

    def _end(self) -> None:
        self.on = False


@asynccontextmanager
async def away(database: Database, request: pytest.FixtureRequest) -> AsyncIterator[None]:
    """A server that has ended, or a file that another program holds."""
    if isinstance(database, DatabaseServer):
        server = request.getfixturevalue("postgresql_server")
        await asyncio.to_thread(server.stop)
        try:
            yield
        finally:
            await asyncio.to_thread(server.start)
        return
    with closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")

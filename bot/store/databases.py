"""Which database the store is in: a file of SQLite's, or one on a server of PostgreSQL's, and who serves from it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import parse_qsl, urlencode, urlsplit

from bot.core.changes import Changes
from bot.core.errors import StoreUnusable
from bot.core.figures import Figures
from bot.core.gate import Gate
from bot.core.protocols import SharedLimits
from bot.core.shards import Shards, WantedShards
from bot.store import sqlite
from bot.store.forgotten_use import ForgottenUse
from bot.store.gated import GatedEngine
from bot.store.store import Store

if TYPE_CHECKING:
    from bot.store.postgresql import Processes

NEEDS_PACKAGE = "PostgreSQL needs a package that is not installed: run `python -m pip install 'psycopg[binary]'`."


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

    `exclusive` refuses a second opener of a file that asks for it too, until this process has ended, however it ends.
    """
    if not isinstance(database, DatabaseServer):
        async with sqlite.open_store(database, exclusive=exclusive, clock=clock, figures=figures) as store:
            yield store
        return
    async with _postgresql().open_store(database.url, serving=False, clock=clock, figures=figures) as store:
        yield store


@dataclass(frozen=True, slots=True)
class Term:
    """The time for which a process serves some shards: from when they are free until the gate is shut, or it ends."""

    store: Store
    """The store for what is served. It writes only while the gate is open."""
    shards: Shards
    gate: Gate
    limits: SharedLimits | None = None
    """What is shared with the other processes. None: there can be none."""


@dataclass(frozen=True, slots=True)
class Terms:
    """The terms of one process, one after the other."""

    next: Callable[[], Coroutine[Any, Any, Term]]
    """Waits for the next term, as long as the server is away, or other processes serve what this one could.

    Raises SettingsError, and StoreUnusable.
    """
    ping: Callable[[], Awaitable[None]]
    """Returns if the database works. Raises StoreError."""
    processes: Processes | None = None
    """Where the processes on a server report how they are. With a file there is one process, and no such table."""


@asynccontextmanager
async def serving(
    database: Database, wanted: WantedShards, figures: Figures, clock: Callable[[], float] = time.time
) -> AsyncIterator[Terms]:
    """Open a database to serve from it: a file for this process alone, one on a server for several processes.

    A server may be away meanwhile. Raises `StoreUnusable`.
    """
    if not isinstance(database, DatabaseServer):
        async with sqlite.open_store(database, exclusive=True, clock=clock, figures=figures) as store:

            async def whole() -> Term:
                return Term(store, Shards(), Gate.always_open())

            yield Terms(whole, store.engine.ping)
        return
    postgresql = _postgresql()
    forgotten = ForgottenUse()
    async with (
        # Released last: until then, what is being written is finished.
        postgresql.Claims(database.url, wanted) as claims,
        postgresql.PostgreSQLEngine.standing_by(database.url, serving=True) as engine,
        AsyncExitStack() as stack,
    ):
        listener = postgresql.Listener(database.url, engine.sender, forgotten)
        limits = postgresql.SharedRequests(engine)

        async def claimed() -> Term:
            if not engine.is_prepared:
                await engine.prepare_patiently()
                await stack.enter_async_context(listener)
            claim = await claims.take()
            limits.unserved_since = time.monotonic() - claim.unserved_for
            listener.changes = Changes()
            own = GatedEngine(engine, claim.gate, claim.requirement)
            store = Store(own, clock, figures, claim.shards, listener.changes, forgotten)
            return Term(store, claim.shards, claim.gate, limits)

        yield Terms(claimed, engine.ping, postgresql.Processes(engine))


@asynccontextmanager
async def processes_on(server: DatabaseServer) -> AsyncIterator[Processes]:
    """The processes on a database, whose schema is brought up to date. Raises `StoreUnusable`."""
    postgresql = _postgresql()
    async with postgresql.PostgreSQLEngine.open(server.url, serving=True) as engine:
        yield postgresql.Processes(engine)


def connections_of_a_process() -> int:
    """The most connections to a server that one process of the bot holds."""
    return int(_postgresql().CONNECTIONS)


def _postgresql() -> ModuleType:
    try:
        from bot.store import postgresql
    except ImportError:
        raise StoreUnusable(NEEDS_PACKAGE) from None
    return postgresql

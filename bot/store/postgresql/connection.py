"""Connections to a PostgreSQL server, and a few of them kept open to be used again."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Self, TypeAlias

import psycopg
from psycopg.abc import Buffer
from psycopg.adapt import Loader
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.types.numeric import Int8BinaryDumper
from psycopg.types.string import StrDumper

from bot.core.errors import StoreError, StoreUnusable
from bot.store.postgresql.error_messages import OLDEST, name_of, unreachable
from bot.store.postgresql.pipeline import Pipeline, Record

LOCK_S = 5
"""Seconds that a statement waits for another transaction."""
_DEFAULTS: dict[str, str | int] = {
    "application_name": "parley",
    "client_encoding": "UTF8",
    "connect_timeout": 5,
    # Of several hosts, the one that takes writes.
    "target_session_attrs": "read-write",
    # A server whose machine is gone is given up after about 15 seconds.
    "keepalives_idle": 5,
    "keepalives_interval": 3,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
}
_LONGEST_PAUSE_S = 1.0
"""Seconds after a failed attempt to connect for which the next one fails at once, at the most."""


Connection: TypeAlias = psycopg.AsyncConnection[Record]


class _NumericLoader(Loader):
    """Sums are of the type numeric, and whole; averages are not."""

    def load(self, data: Buffer) -> int | float:
        text = bytes(data).decode()
        return float(text) if "." in text else int(text)


def _records(cursor: psycopg.AsyncCursor[Any]) -> Any:
    places = {column.name: place for place, column in enumerate(cursor.description or ())}
    return lambda values: Record(places, values)


@dataclass(frozen=True, slots=True)
class Address:
    """Where a database is."""

    words: Mapping[str, Any] = field(repr=False)
    """What libpq is told, by its keywords, with the password."""

    @classmethod
    def of(cls, url: str) -> Self:
        """Raises StoreUnusable where it is no such URL."""
        try:
            return cls(conninfo_to_dict(url))
        except psycopg.ProgrammingError:
            # Whose words may have the password.
            raise StoreUnusable("DATABASE_URL cannot be read: use postgresql://USER:PASSWORD@HOST/DATABASE.") from None

    @property
    def name(self) -> str:
        """How sentences name it."""
        return name_of(self.words)

    async def connect(self, statement_s: float) -> Connection:
        """A new connection, whose statements take up to so many seconds each (0: any time).

        Raises StoreError, and StoreUnusable where another attempt would not help.
        """
        if sys.platform == "win32" and not isinstance(asyncio.get_running_loop(), asyncio.SelectorEventLoop):
            raise StoreUnusable("PostgreSQL cannot be used on Windows: use DATABASE_PATH, or run the bot on Linux.")
        session = {
            "statement_timeout": round(statement_s * 1000),
            "lock_timeout": LOCK_S * 1000,
            "idle_in_transaction_session_timeout": 30_000,
            # A move reads its file for minutes, and locks go with their session.
            "idle_session_timeout": 0,
            # It takes longer than any of these statements.
            "jit": "off",
            # Whoever has waited for a lock is to see what was written meanwhile.
            "default_transaction_isolation": r"read\ committed",
        }
        ours = " ".join(f"-c {name}={value}" for name, value in session.items())
        words: dict[str, Any] = {**_DEFAULTS, **self.words, "options": f"{ours} {self.words.get('options') or ''}"}
        try:
            connection = await psycopg.AsyncConnection.connect(
                make_conninfo(**words),
                autocommit=True,
                row_factory=_records,
                cursor_factory=psycopg.AsyncRawCursor,
            )
        except psycopg.Error as error:
            raise unreachable(error, self.name) from error
        if (version := connection.info.server_version // 10_000) < OLDEST:
            await connection.close()
            raise StoreUnusable(f"{self.name} is on PostgreSQL {version}, and {OLDEST} is needed: use a newer server.")
        if (encoding := connection.info.parameter_status("server_encoding")) != "UTF8":
            await connection.close()
            raise StoreUnusable(
                f"{self.name} keeps texts in the encoding {encoding}: make one with `createdb --encoding=UTF8"
                " --template=template0`."
            )
        connection.adapters.register_dumper(int, Int8BinaryDumper)
        connection.adapters.register_dumper(str, StrDumper)
        connection.adapters.register_loader("numeric", _NumericLoader)
        return connection


class Pool:
    """Up to `most` connections, opened when they are needed and kept as pipelines."""

    def __init__(self, address: Address, most: int, statement_s: float) -> None:
        self._address = address
        self._statement_s = statement_s
        self._free = asyncio.Semaphore(most)
        self._idle: list[Pipeline] = []
        self._closed = False
        self._failure: StoreError | None = None
        self._pause = 0.0
        self._again_at = 0.0
        """When the next attempt to connect is made after a failure, on the monotonic clock."""

    @asynccontextmanager
    async def pipeline(self) -> AsyncIterator[Pipeline]:
        """A connection outside of any transaction, for one user at a time. Raises StoreError where there is none."""
        async with self._free:
            pipeline = await self._take()
            try:
                yield pipeline
            except psycopg.errors.ReadOnlySqlTransaction:
                # Another server may be in charge by now.
                await pipeline.close()
                raise
            finally:
                # In the middle of something it is not idle: whoever waits no longer leaves it to be closed.
                if self._closed or not pipeline.is_idle:
                    await pipeline.close()
                else:
                    self._idle.append(pipeline)

    async def close(self) -> None:
        self._closed = True
        while self._idle:
            await self._idle.pop().close()

    async def _take(self) -> Pipeline:
        while self._idle:
            pipeline = self._idle.pop()
            if pipeline.is_idle:
                return pipeline
            await pipeline.close()
        if self._closed:
            raise StoreError("The database is closed.")
        if self._failure is not None and time.monotonic() < self._again_at:
            raise type(self._failure)(str(self._failure))
        try:
            connection = await self._address.connect(self._statement_s)
        except StoreError as error:
            self._failure = error
            self._pause = min(self._pause * 2 or 0.1, _LONGEST_PAUSE_S)
            self._again_at = time.monotonic() + self._pause
            raise
        self._failure, self._pause = None, 0.0
        return Pipeline(connection)

"""An engine whose reads and writes are timed, whichever engine it is."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from time import perf_counter
from typing import TypeVar

from bot.core.changes import Announcement
from bot.core.errors import StoreError
from bot.core.figures import MOMENTS, Figures, Histogram
from bot.store.engine import Dialect, Engine, Lock, Rows, Statement, Value

_Answer = TypeVar("_Answer")


class TimedEngine:
    """An `Engine` over another one. Times are what a caller waits for, with the queue before the database."""

    def __init__(self, engine: Engine, figures: Figures) -> None:
        self._engine = engine
        self._reads = figures.histogram("database_read_seconds", "Time that a query of the database takes.", MOMENTS)
        self._writes = figures.histogram(
            "database_commit_seconds", "Time from asking for a write of the database to its commit.", MOMENTS
        )
        self._failures = figures.counter("database_failures", "Reads and writes of the database that failed.")
        figures.gauge(
            "erasure_due_seconds",
            "How long the oldest deleted text has been waiting to be erased from the database's files. 0: none waits.",
            engine.erasure_due_for,
        )

    @property
    def dialect(self) -> Dialect:
        """See `Engine.dialect`."""
        return self._engine.dialect

    def storable(self, text: str) -> str:
        """See `Engine.storable`."""
        return self._engine.storable(text)

    async def read(self, sql: str, **values: Value) -> Rows:
        """See `Engine.read`."""
        return await self._timed(self._reads, self._engine.read(sql, **values))

    async def write(self, sql: str, **values: Value) -> Rows:
        """See `Engine.write`."""
        return await self._timed(self._writes, self._engine.write(sql, **values))

    async def transaction(
        self, *statements: Statement, locks: Sequence[Lock] = (), tells: Sequence[Announcement] = ()
    ) -> list[Rows]:
        """See `Engine.transaction`."""
        return await self._timed(self._writes, self._engine.transaction(*statements, locks=locks, tells=tells))

    async def delete_securely(
        self, *statements: Statement, locks: Sequence[Lock] = (), tells: Sequence[Announcement] = ()
    ) -> list[Rows]:
        """See `Engine.delete_securely`."""
        return await self._timed(self._writes, self._engine.delete_securely(*statements, locks=locks, tells=tells))

    async def erase_deleted(self) -> None:
        """See `Engine.erase_deleted`."""
        await self._engine.erase_deleted()

    def erasure_due_for(self) -> float:
        """See `Engine.erasure_due_for`."""
        return self._engine.erasure_due_for()

    async def ping(self) -> None:
        """See `Engine.ping`."""
        await self._engine.ping()

    async def _timed(self, times: Histogram, work: Awaitable[_Answer]) -> _Answer:
        begun = perf_counter()
        try:
            answer = await work
        except StoreError:
            self._failures.add()
            raise
        times.observe(perf_counter() - begun)
        return answer

"""An engine that writes only while the gate is open: a process writes nothing for guilds that are another's."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from bot.core.changes import Announcement
from bot.core.errors import ClaimLost, ClaimUnconfirmed, StoreBug, StoreError
from bot.core.gate import Gate
from bot.store.engine import Dialect, Engine, Lock, Rows, Statement, Value

_PATIENCE = 5.0
"""Seconds that a write waits, as it does for a lock of the database's."""


class GatedEngine:
    """An `Engine` over another one.

    Between a look at the gate and a commit, a process may be frozen for so long that others have what it served. So
    each transaction ends with a statement, the `requirement`, that fails then.
    """

    def __init__(self, engine: Engine, gate: Gate, requirement: Statement) -> None:
        self._engine = engine
        self._gate = gate
        self._requirement = requirement

    @property
    def dialect(self) -> Dialect:
        """See `Engine.dialect`."""
        return self._engine.dialect

    def storable(self, text: str) -> str:
        """See `Engine.storable`."""
        return self._engine.storable(text)

    async def read(self, sql: str, **values: Value) -> Rows:
        """See `Engine.read`. What is read does no harm, so it is read whether the gate is open or not.

        What cannot be read behind a closed gate counts as unconfirmed: whoever waits for the one waits for the other.
        """
        try:
            return await self._engine.read(sql, **values)
        except StoreBug:
            raise
        except StoreError as error:
            if self._gate.is_open:
                raise
            raise self._refusal from error

    async def write(self, sql: str, **values: Value) -> Rows:
        """See `Engine.write`."""
        [rows] = await self.transaction((sql, values))
        return rows

    async def transaction(
        self, *statements: Statement, locks: Sequence[Lock] = (), tells: Sequence[Announcement] = ()
    ) -> list[Rows]:
        """See `Engine.transaction`."""
        await self._pass()
        return (await self._engine.transaction(*statements, self._requirement, locks=locks, tells=tells))[:-1]

    async def delete_securely(
        self, *statements: Statement, locks: Sequence[Lock] = (), tells: Sequence[Announcement] = ()
    ) -> list[Rows]:
        """See `Engine.delete_securely`."""
        await self._pass()
        return (await self._engine.delete_securely(*statements, self._requirement, locks=locks, tells=tells))[:-1]

    async def erase_deleted(self) -> None:
        """See `Engine.erase_deleted`. It removes nothing that is not deleted for all."""
        await self._engine.erase_deleted()

    def erasure_due_for(self) -> float:
        """See `Engine.erasure_due_for`."""
        return self._engine.erasure_due_for()

    async def ping(self) -> None:
        """See `Engine.ping`."""
        await self._engine.ping()

    async def _pass(self) -> None:
        if self._gate.is_open:
            return
        try:
            async with asyncio.timeout(_PATIENCE):
                opened = await self._gate.opened()
        except TimeoutError:
            raise self._refusal from None
        if not opened:
            raise self._refusal

    @property
    def _refusal(self) -> StoreError:
        """Why nothing is done behind the closed gate."""
        if self._gate.is_shut:
            return ClaimLost("Another process serves the servers of this one.")
        return ClaimUnconfirmed("The database has not confirmed yet which servers this process serves.")

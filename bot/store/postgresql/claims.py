"""Claims: which of several processes on one database serves which shards of the bot.

A process holds an advisory lock on each of its shards, on a connection of its own, and looks after it every second. A
lock goes with its connection, so the locks of a process that was killed are free at once. But a process may only have
lost its connection, as when PostgreSQL restarts or the network fails, and nobody else can tell the one from the other:
for six seconds, none but itself may take its shards. It acts on no confirmation that is older than five (see
`bot.core.gate`), so no two processes ever act for one shard.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import socket
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Self, TypeVar

import psycopg

from bot.core.errors import SettingsError, StoreError
from bot.core.gate import OPEN_FOR, Gate, elapsed
from bot.core.shards import Shards, WantedShards
from bot.store.engine import Statement
from bot.store.postgresql.connection import Address, Connection
from bot.store.postgresql.error_messages import in_a_line
from bot.store.postgresql.pipeline import Record

_T = TypeVar("_T")

log = logging.getLogger(__name__)

_SHARD, _COUNT, _CHANGE = 0x5348_0001, 0x5348_0002, 0x5348_0003
"""Kinds of advisory locks: on a shard, on the number of all, which processes share, and on changes of claims."""
_ANSWER_TIMEOUT = 3.0
"""Seconds for an answer of the database, after which the connection counts as lost."""
_SOONEST = 0.05
"""Seconds until a process that stands by looks again, at the least."""
_FREED = "parley_shards_freed"
"""The channel on which a process tells that it has released its shards."""
_SESSION = {
    # The server ends the connection of a computer that is gone after 14 seconds.
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "3",
    "tcp_keepalives_count": "3",
    # A process that is frozen while it changes claims must not keep the others from theirs.
    "idle_in_transaction_session_timeout": "2s",
}
_UNREACHABLE = (psycopg.Error, OSError, StoreError)

_HERE = """
    locktype = 'advisory' AND objsubid = 2
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    """
_LOCKED = f"SELECT objid::bigint FROM pg_locks WHERE {_HERE} AND classid = {_SHARD} AND granted"
SERVED = f"SELECT 1 FROM pg_locks WHERE {_HERE} AND classid = {_SHARD}"
"""SQL that has rows while a process serves from the database."""
_COUNTED = f"""
    SELECT pg_try_advisory_lock_shared({_COUNT}, $1::int) WHERE NOT EXISTS (
        SELECT 1 FROM pg_locks WHERE {_HERE} AND classid = {_COUNT} AND pid = pg_backend_pid()
    )
    """
_OTHER_COUNTS = f"SELECT objid::bigint FROM pg_locks WHERE {_HERE} AND classid = {_COUNT} AND objid::bigint <> $1"
_UNRELEASED = "SELECT count, shard, epoch FROM shards WHERE NOT released AND holder <> $1"
_TOGETHER = """
    SELECT shard FROM shards WHERE count = $1 AND holder IN (
        SELECT holder FROM shards WHERE count = $1 AND shard = ANY($2::bigint[])
    )
    """
_STILL_MINE = "SELECT shard FROM shards WHERE holder = $1"
_REQUIRED = "SELECT * FROM require_claims(:holder, :number)"
_END_EARLIER = f"""
    SELECT pg_terminate_backend(pid) FROM pg_locks
    WHERE {_HERE} AND classid = {_SHARD} AND objid::bigint = ANY($1::bigint[]) AND granted AND pid <> pg_backend_pid()
    """
_LOCK = f"SELECT id FROM unnest($1::int[]) AS id WHERE pg_try_advisory_lock({_SHARD}, id)"
_TAKE = """
    INSERT INTO shards (count, shard, epoch, holder)
    SELECT $1, id, nextval('shard_epochs'), $2 FROM unnest($3::int[]) AS id
    ON CONFLICT (count, shard) DO UPDATE SET epoch = excluded.epoch, holder = excluded.holder, released = false
    """


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds. `own_for` must be longer than `open_for`: a call that went out last needs time to arrive."""

    own_for: float = 6.0
    """For how long only its holder may take a shard that is free without having been released."""
    open_for: float = OPEN_FOR
    look_every: float = 1.0
    reconnect_every: float = 0.25


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to serve shards, while the gate is open. Once it is shut, they are another process's."""

    shards: Shards
    gate: Gate
    requirement: Statement
    """For the end of a transaction: it undoes what is written when another process has one of the shards."""
    unserved_for: float
    """Seconds for which a shard was seen free before it was claimed."""


class _Lost(Exception):
    """Another process has taken a shard of this one."""


class Claims:
    """The claims of one process, while it is entered as a context; leaving it releases what it holds."""

    def __init__(
        self,
        url: str,
        wanted: WantedShards,
        timing: Timing = Timing(),
        clock: Callable[[], float] = elapsed,
    ) -> None:
        self._address = Address.of(url)
        self._wanted = wanted
        self._timing = timing
        self._clock = clock
        self._connection: Connection | None = None
        self._claim: Claim | None = None
        self._holder = ""
        self._free_since: dict[int, float] = {}
        """Since when a shard has been seen free that was not released, by the epoch of its claim."""
        self._unserved_for = 0.0
        self._holding: asyncio.Task[None] | None = None
        self._cut_off = False
        """Whether this process was told to end while it took shards, which it may have."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.release()

    async def take(self) -> Claim:
        """Wait until shards are free, and claim them. What was claimed before has to be lost or released.

        Raises SettingsError while other processes run with another number of shards.
        """
        # Another name for each claim, so that what was lost once is never taken for one's own again.
        self._holder = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(8)}"
        said = ""
        while True:
            asked_at = self._clock()
            try:
                try:
                    ids = await self._do(self._take_free)
                except asyncio.CancelledError:
                    self._cut_off = True
                    raise
                if ids:
                    break
                why = f"other processes have the shards that this one may serve (SHARDS={self._wanted})"
                if why != said:
                    log.info("standing by: %s", said := why)
                await self._do(self._until_freed)
            except _UNREACHABLE as error:
                await self._disconnect()
                why = f"the database does not say which shards are free: {in_a_line(error)}"
                if why != said:
                    log.warning("standing by: %s", said := why)
                await asyncio.sleep(self._timing.look_every)
        required: Statement = (_REQUIRED, {"holder": self._holder, "number": len(ids)})
        gate = Gate(self._timing.open_for, self._clock)
        claim = self._claim = Claim(Shards(ids, self._wanted.count), gate, required, self._unserved_for)
        claim.gate.confirm(asked_at)
        self._holding = asyncio.create_task(self._hold(claim))
        log.info("serving %s", claim.shards)
        return claim

    async def release(self) -> None:
        """Let others have the shards at once, without waiting for this process to come back."""
        if self._holding is not None:
            self._holding.cancel()
            await asyncio.wait([self._holding])
            self._holding = None
        claim, self._claim = self._claim, None
        if claim is None:
            may_hold = self._cut_off
            await self._disconnect()
        else:
            may_hold = not claim.gate.is_shut
            claim.gate.shut()
        if may_hold:
            try:
                await self._do(self._give_back)
            except _UNREACHABLE as error:
                log.warning("could not release the shards, others wait some seconds for them: %s", in_a_line(error))
        await self._disconnect()

    async def _hold(self, claim: Claim) -> None:
        """Have the claim confirmed every second. After a loss of the connection, take it again, unless it is lost."""
        connected = True
        while not claim.gate.is_shut:
            asked_at = self._clock()
            try:
                await self._do(partial(self._look_after if connected else self._take_again, claim))
            except _Lost:
                claim.gate.shut()
            except Exception as error:
                await self._disconnect()
                if not isinstance(error, _UNREACHABLE):
                    # Without a further try, the gate would stay closed for good.
                    log.exception("cannot hold the shards because of a bug, connecting again")
                elif connected:
                    log.warning("lost the connection that holds the shards, connecting again: %s", in_a_line(error))
                connected = False
                await asyncio.sleep(self._timing.reconnect_every)
            else:
                if not connected:
                    log.info("holds its shards again")
                connected = True
                claim.gate.confirm(asked_at)
                await asyncio.sleep(self._timing.look_every)
        log.error("another process has taken over: this one stops without writing to anybody")

    # On the connection

    async def _do(self, work: Callable[[Connection], Awaitable[_T]]) -> _T:
        async with asyncio.timeout(_ANSWER_TIMEOUT):
            if self._connection is None:
                self._connection = await self._address.connect(_ANSWER_TIMEOUT)
                for setting in _SESSION.items():
                    await _rows(self._connection, "SELECT set_config($1, $2, false)", *setting)
            return await work(self._connection)

    async def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def _take_free(self, connection: Connection) -> Sequence[int]:
        """Claim what is wanted and free. The answer is empty where that is not enough."""
        count = self._wanted.count
        async with connection.transaction():
            await _one_at_a_time(connection)
            if others := await _rows(connection, _OTHER_COUNTS, count):
                raise SettingsError([_another_count(self._wanted, others[0][0])])
            await _rows(connection, _COUNTED, count)
            locked = {shard for (shard,) in await _rows(connection, _LOCKED)}
            # The locks of a process that ends go one after the other. Who takes some of its shards takes no more later.
            locked |= {shard for (shard,) in await _rows(connection, _TOGETHER, count, list(locked))}
            # What is its own was taken just before, by an attempt whose answer was lost.
            unreleased = await _rows(connection, _UNRELEASED, self._holder)
            waited_for = self._waited_for(unreleased, locked)
            free = [shard for shard in range(count) if shard not in locked and (count, shard) not in waited_for]
            # Those of another number of shards are waited for too: each of them may share guilds with any of these.
            ids = self._wanted.chosen(free) if all(of == count for of, _ in waited_for) else ()
            if ids:
                now = self._clock()
                taken = (self._free_since[epoch] for of, shard, epoch in unreleased if of == count and shard in ids)
                self._unserved_for = now - min(taken, default=now)
                await self._lock(connection, ids)
                await _rows(connection, "DELETE FROM shards WHERE count <> $1", count)
                await _rows(connection, _TAKE, count, self._holder, list(ids))
                await _rows(connection, "UNLISTEN *")
            return ids

    def _waited_for(self, unreleased: Sequence[Record], locked: Collection[int]) -> set[tuple[int, int]]:
        """The shards that are free, but that their holder may come back for, each with the number of all."""
        now = self._clock()
        here = self._wanted.count
        free = [(count, shard, epoch) for count, shard, epoch in unreleased if count != here or shard not in locked]
        self._free_since = {epoch: self._free_since.get(epoch, now) for _, _, epoch in free}
        return {(count, shard) for count, shard, epoch in free if now - self._free_since[epoch] < self._timing.own_for}

    async def _until_freed(self, connection: Connection) -> None:
        """Wait until it is worth looking again."""
        await connection.execute(f"LISTEN {_FREED}")
        now = self._clock()
        waits = [since + self._timing.own_for - now for since in self._free_since.values()]
        timeout = min([self._timing.look_every, *(max(_SOONEST, wait) for wait in waits)])
        async for _ in connection.notifies(timeout=timeout, stop_after=1):
            pass

    async def _look_after(self, claim: Claim, connection: Connection) -> None:
        """Return if the locks are held."""
        held = await _rows(connection, f"{_LOCKED} AND pid = pg_backend_pid()")
        if len(held) != len(claim.shards.ids):
            raise StoreError("the locks are gone, as behind a pooler that shares connections")

    async def _take_again(self, claim: Claim, connection: Connection) -> None:
        ids, count = claim.shards.ids, claim.shards.count
        async with connection.transaction():
            await _one_at_a_time(connection)
            await _rows(connection, _COUNTED, count)
            mine = await _rows(connection, _STILL_MINE, self._holder)
            if len(mine) == len(ids):
                # Only a connection of this process's own can hold them: one whose end the server has not noticed.
                await _rows(connection, _END_EARLIER, list(ids))
                await self._lock(connection, ids)
                await _rows(connection, _TAKE, count, self._holder, list(ids))
                return
            await self._give_back(connection)
        raise _Lost

    async def _give_back(self, connection: Connection) -> None:
        await _rows(connection, "UPDATE shards SET released = true WHERE holder = $1", self._holder)
        # Before the others look, who would find the shards locked otherwise and look again only a while later.
        await _rows(connection, "SELECT pg_advisory_unlock_all()")
        await _rows(connection, f"NOTIFY {_FREED}")

    async def _lock(self, connection: Connection, ids: Sequence[int]) -> None:
        if len(await _rows(connection, _LOCK, list(ids))) < len(ids):
            raise StoreError("another connection still has a lock")


async def _one_at_a_time(connection: Connection) -> None:
    """Have no other process change claims until the transaction ends."""
    await _rows(connection, f"SELECT pg_advisory_xact_lock({_CHANGE}, 0)")


async def _rows(connection: Connection, sql: str, *values: int | str | list[int]) -> list[Record]:
    cursor = await connection.execute(sql.encode(), values or None)
    return await cursor.fetchall() if cursor.description else []


def _another_count(wanted: WantedShards, other: int) -> str:
    running = "SHARDS=auto" if other == 1 else f"shards of {other}"
    return (
        f"SHARDS={wanted} does not go with the processes that run on this database, which have {running}; set the same"
        " number for all, or stop the others first."
    )

"""The PostgreSQL engine: reads, commits and deletion on one database of a server.

A transaction is one round trip: BEGIN, its locks, its statements and COMMIT are sent together. Several run at once,
each on a connection of its own; reads have connections of their own and never wait for a write. What a transaction
decides after reading it names as a lock, which others that name it wait for.

Connections that a server has ended are replaced when they are needed next. Where the answer to a COMMIT is lost, the
server is asked what became of the transaction, so that nothing is written twice.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from hashlib import blake2b
from typing import Any, Self, TypeVar

import psycopg

from bot.core.errors import StoreError, StoreUnusable
from bot.store.engine import Dialect, Lock, Rows, Statement, Value
from bot.store.erasing import Eraser
from bot.store.postgresql.connection import Address, Pool, Record
from bot.store.postgresql.error_messages import advice, defect, unknown_outcome
from bot.store.postgresql.schema import migrate
from bot.store.postgresql.statements import bound, storable
from bot.store.purge import PURGE

_READERS, _WRITERS = 4, 4
"""The most connections for each."""
SERVING_S = 10.0
"""Seconds that a statement may take while somebody waits for a reply."""
OPERATING_S = 600.0
"""Seconds that a statement of an operator's command may take."""
_HANGS_S = 5.0
"""Seconds above those after which the server itself does not answer any more."""
_TRIES = 5
"""How often a transaction is tried that the server has undone for another's sake, or with its end."""
_OUTCOME_TRIES = 20
_OUTCOME_PAUSE_S = 0.25
_EXCLUSIVE = 0x5061726D
"""The advisory lock of the one bot on a database."""

_RETRIED = (psycopg.errors.SerializationFailure, psycopg.errors.DeadlockDetected)
"""What the server undoes for another's sake."""

_Cursor = psycopg.AsyncCursor[Record]
_T = TypeVar("_T")

_log = logging.getLogger(__name__)


class _Undone(Exception):
    """The transaction was not made, and may be tried again."""


class PostgreSQLEngine:
    """The connections to one PostgreSQL database. Made by `open`. Implements `bot.store.engine.Engine`."""

    dialect = Dialect(new_conversation_id="DEFAULT", text="convert_from({}, 'UTF8')")
    storable = staticmethod(storable)

    def __init__(self, address: Address, readers: Pool, writers: Pool, patience: float) -> None:
        self._name = address.name
        self._readers = readers
        self._writers = writers
        self._patience = patience
        self._running: set[asyncio.Task[Any]] = set()
        self._eraser = Eraser(self._purge_some, self._erased)

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str, *, exclusive: bool) -> AsyncIterator[Self]:
        """Open a database by its URL or libpq's keywords, its schema made or brought up to date.

        `exclusive` refuses a second opener that asks for it too, until this process has ended, however it ends. Raises
        `StoreUnusable`.
        """
        address = Address.of(url)
        statement_s = SERVING_S if exclusive else OPERATING_S
        async with AsyncExitStack() as stack:
            await _prepare(stack, address, exclusive)
            readers, writers = Pool(address, _READERS, statement_s), Pool(address, _WRITERS, statement_s)
            stack.push_async_callback(readers.close)
            stack.push_async_callback(writers.close)
            engine = cls(address, readers, writers, statement_s + _HANGS_S)
            try:
                yield engine
            finally:
                await engine.drain()

    async def read(self, sql: str, **values: Value) -> Rows:
        async def query() -> Rows:
            async with self._readers.connection() as connection:
                return await _fetched(await connection.execute(*bound(sql, values)))

        return await self._patiently(lambda: self._again(query))

    async def write(self, sql: str, **values: Value) -> Rows:
        [rows] = await self.transaction((sql, values))
        return rows

    async def transaction(self, *statements: Statement, locks: Sequence[Lock] = ()) -> list[Rows]:
        # In a task of its own, so that a cancelled caller leaves nothing half-done.
        return await asyncio.shield(self._begun(self._committed(statements, locks)))

    async def delete_securely(self, *statements: Statement, locks: Sequence[Lock] = ()) -> list[Rows]:
        answers = await self.transaction(*statements, locks=locks)
        if any(answers):
            self._eraser.deleted()
        return answers

    async def erase_deleted(self) -> None:
        """Delete now the rows of what was forgotten before this call. Their bytes go with the server's autovacuum."""
        await self._eraser.erase()

    def erasure_due_for(self) -> float:
        return self._eraser.due_for

    async def ping(self) -> None:
        async def writable() -> None:
            async with self._writers.connection() as connection:
                await connection.execute("DELETE FROM stored_turns WHERE false")

        await self._patiently(lambda: self._again(writable))

    async def drain(self) -> None:
        """Finish all writes, and erase what is due as far as that is quick."""
        while self._running:
            await asyncio.wait(self._running)
        await self._eraser.drain()

    def _begun(self, work: Coroutine[Any, Any, _T]) -> asyncio.Task[_T]:
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    async def _committed(self, statements: Sequence[Statement], locks: Sequence[Lock]) -> list[Rows]:
        async def commit() -> list[Rows]:
            for _ in range(_TRIES - 1):
                try:
                    return await self._commit(statements, locks)
                except _Undone:
                    # Those who were in each other's way begin again at different times.
                    await asyncio.sleep(random.uniform(0, 0.1))  # noqa: S311 - not a secret
            return await self._commit(statements, locks)

        return await self._patiently(commit)

    async def _commit(self, statements: Sequence[Statement], locks: Sequence[Lock]) -> list[Rows]:
        """Make a transaction in one round trip. Raises _Undone where it was not made and may be tried again."""
        cursors: list[_Cursor] = []
        try:
            async with self._writers.connection() as connection:
                async with connection.pipeline() as pipeline:
                    await connection.execute("BEGIN")
                    if locks:
                        await connection.execute(
                            "SELECT pg_advisory_xact_lock(key) FROM unnest($1::bigint[]) AS key", [_keys(locks)]
                        )
                    for sql, values in statements:
                        cursors.append(await connection.execute(*bound(sql, values)))
                    # Which transaction it was, if it has written anything. It is sent, with the answers, before the
                    # commit: whoever loses the connection then can still ask whether it was made.
                    cursors.append(await connection.execute("SELECT pg_current_xact_id_if_assigned()::text"))
                    pipeline.command_queue.append(connection.pgconn.send_flush_request)
                    await connection.execute("COMMIT")
                return [await _fetched(cursor) for cursor in cursors[:-1]]
        except _RETRIED as error:
            raise _Undone from error
        except psycopg.OperationalError as error:
            if not _is_loss(error):
                raise
            return await self._after_loss(cursors, error)

    async def _after_loss(self, cursors: Sequence[_Cursor], error: psycopg.Error) -> list[Rows]:
        """The answers of a transaction that was made although its connection was lost meanwhile."""
        *answering, asking = cursors
        if asking.pgresult is None:
            # Nothing of it has come back. The commit was sent along.
            raise StoreError(unknown_outcome(self._name)) from error
        [[transaction]] = await _fetched(asking)
        if transaction is not None and not await self._was_made(transaction, error):
            raise _Undone from error
        return [await _fetched(cursor) for cursor in answering]

    async def _was_made(self, transaction: str, error: psycopg.Error) -> bool:
        """Whether the server has committed a transaction; it may be starting anew."""
        for _ in range(_OUTCOME_TRIES):
            try:
                async with self._writers.connection() as connection:
                    cursor = await connection.execute("SELECT pg_xact_status($1::xid8)", [transaction])
                    [[status]] = await _fetched(cursor)
                if status != "in progress":
                    return bool(status == "committed")
            except (StoreError, psycopg.OperationalError):
                pass
            await asyncio.sleep(_OUTCOME_PAUSE_S)
        raise StoreError(unknown_outcome(self._name)) from error

    async def _again(self, query: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
        """What a query answers, asked once more where its connection was lost."""
        try:
            return await query()
        except psycopg.OperationalError as error:
            if not _is_loss(error):
                raise
            return await query()

    async def _patiently(self, work: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
        try:
            async with asyncio.timeout(self._patience):
                return await work()
        except psycopg.Error as error:
            raise StoreError(advice(error, self._name)) from error
        except TimeoutError as error:
            raise StoreError(f"{self._name} does not answer: look at its server.") from error
        except _Undone as error:
            raise StoreError(f"{self._name} is too busy: others are in the way of a write again and again.") from error
        except StoreError:
            raise
        except Exception as error:
            _log.exception("a database statement failed because of a bug")
            raise StoreError(defect(error, self._name)) from error

    async def _purge_some(self) -> bool:
        async def step() -> bool:
            async with self._writers.connection() as connection, connection.transaction():
                # One moment for all: what is forgotten meanwhile is not struck from the record of what is to go.
                await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
                for sql in PURGE:
                    if await _fetched(await connection.execute(*bound(sql, {}))):
                        return True
            return False

        async def purge() -> bool:
            try:
                return await step()
            except _RETRIED:
                return True

        return await self._patiently(purge)

    async def _erased(self) -> None:
        """Nothing else is to be done: the server overwrites the bytes of deleted rows in its own time."""


async def _prepare(stack: AsyncExitStack, address: Address, exclusive: bool) -> None:
    """Take the lock of the one bot, and bring the schema up to date."""
    connection = await address.connect(0)
    if exclusive:
        stack.push_async_callback(connection.close)
    try:
        if exclusive:
            [[taken]] = await _fetched(await connection.execute(f"SELECT pg_try_advisory_lock({_EXCLUSIVE})"))
            if not taken:
                raise StoreUnusable(f"{address.name} is already in use by another bot: stop that one, or use another.")
        await migrate(connection, address.name)
    except psycopg.Error as error:
        raise StoreUnusable(advice(error, address.name)) from error
    finally:
        if not exclusive:
            await connection.close()


def _is_loss(error: psycopg.OperationalError) -> bool:
    """Whether a connection was lost. What a server says with its last words begins with 57P."""
    return error.sqlstate is None or error.sqlstate.startswith("57P")


def _keys(locks: Sequence[Lock]) -> list[int]:
    """The numbers of locks, in an order that is the same for all: then no two transactions wait for each other."""
    return sorted(
        int.from_bytes(blake2b(f"{subject} {which}".encode(errors="replace"), digest_size=8).digest(), signed=True)
        for subject, which in locks
    )


async def _fetched(cursor: _Cursor) -> Rows:
    return await cursor.fetchall() if cursor.description else []

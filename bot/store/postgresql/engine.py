"""The PostgreSQL engine: reads, commits and deletion on one database of a server.

A transaction is one round trip: its locks and its statements are sent together. Several run at once, each on a
connection of its own. What a transaction decides after reading it names as a lock, which others that name it wait for.
Reads have connections of their own and never wait for a write. Those that are asked for at once share a round trip.

Connections that a server has ended are replaced when they are needed next. A transaction whose connection was lost is
tried again, with a token that is on record if it was made after all, so that nothing is written twice.
"""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from hashlib import blake2b
from typing import Any, Self, TypeVar

import psycopg

from bot.core.changes import Announcement
from bot.core.errors import StoreBug, StoreError, StoreUnusable
from bot.store.bugs import Bugs
from bot.store.engine import Dialect, Lock, Rows, Statement, Value
from bot.store.erasing import Eraser
from bot.store.postgresql.announcements import telling
from bot.store.postgresql.connection import Address, Pool
from bot.store.postgresql.error_messages import defect, lost_answer, store_error, too_busy, unprepared
from bot.store.postgresql.pipeline import Bound, OutdatedPlan, Records
from bot.store.postgresql.schema import migrate
from bot.store.postgresql.statements import bound, storable
from bot.store.purge import PURGE
from bot.store.reads import Reads

_READERS, _WRITERS = 4, 4
"""The most connections for each."""
CONNECTIONS = _READERS + _WRITERS + 2
"""The most connections that a process holds: these, one for its claims, and one to hear what others change."""
SERVING_S = 10.0
"""Seconds that a statement may take while somebody waits for a reply."""
OPERATING_S = 600.0
"""Seconds that a statement of an operator's command may take."""
_HANGS_S = 5.0
"""Seconds above those after which the server itself does not answer any more."""
_FROZEN_S = 1.0
"""Seconds that a time limit is late by after which the process counts as frozen until then."""
_CATCH_UP_S = 5.0
"""Seconds that a process which was frozen has to read what came meanwhile."""
_LOOK_EVERY_S = 1.0
"""Seconds from one attempt at a database that is away to the next."""
_TRIES = 40
_PAUSE_S = 0.25
"""How often a transaction is tried that was undone for another's sake or with its connection, and the longest pause."""
_KEPT_S = 3600
"""Seconds for which it is on record that a transaction was made."""

_UNDONE = (
    psycopg.errors.SerializationFailure,
    psycopg.errors.DeadlockDetected,
    OutdatedPlan,
)
"""What the server undoes for another's sake, the last of them where another has changed the schema."""

_BY_INDEX = """
    SELECT set_config(name, 'off', true)
    FROM unnest(ARRAY['enable_seqscan', 'enable_hashjoin', 'enable_mergejoin']) AS name
    """
"""Has a transaction find its rows by indexes. That few are forgotten the server learns late, or not at all: it would
read a whole table for each step, where it expects to meet some before long."""
_NOTE_AND_LOCK = """
    WITH noted AS (INSERT INTO commits (token) VALUES ($1::bigint))
    SELECT pg_advisory_xact_lock(key) FROM unnest($2::bigint[]) AS key
    """

_T = TypeVar("_T")

_log = logging.getLogger(__name__)


class PostgreSQLEngine:
    """The connections to one PostgreSQL database. Made by `open`. Implements `bot.store.engine.Engine`."""

    dialect = Dialect(new_conversation_id="DEFAULT", text="convert_from({}, 'UTF8')")
    storable = staticmethod(storable)

    def __init__(self, address: Address, readers: Pool, writers: Pool, patience: float) -> None:
        self._address = address
        self._name = address.name
        self._unprepared: StoreError | None = StoreError(f"{address.name} has not answered yet: look at its server.")
        """Why the database is not used yet, which may not even have a schema."""
        self.sender = secrets.token_hex(4)
        """What marks the announcements of this engine."""
        self._readers = readers
        self._writers = writers
        self._patience = patience
        self._bugs = Bugs()
        self._reads = Reads(self._answers)
        self._running: set[asyncio.Task[Any]] = set()
        self._eraser = Eraser(self._purge_some, self._erased)

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str, *, serving: bool) -> AsyncIterator[Self]:
        """Open a database by its URL or libpq's keywords, its schema made or brought up to date.

        While it is `serving`, somebody waits for each statement. Raises StoreError, and StoreUnusable where another
        attempt would not help.
        """
        async with cls.standing_by(url, serving=serving) as engine:
            await engine.prepare()
            yield engine

    @classmethod
    @asynccontextmanager
    async def standing_by(cls, url: str, *, serving: bool) -> AsyncIterator[Self]:
        """As `open`, without asking the server for anything yet: use nothing until `prepare` has returned."""
        address = Address.of(url)
        statement_s = SERVING_S if serving else OPERATING_S
        async with AsyncExitStack() as stack:
            readers, writers = Pool(address, _READERS, statement_s), Pool(address, _WRITERS, statement_s)
            stack.push_async_callback(readers.close)
            stack.push_async_callback(writers.close)
            engine = cls(address, readers, writers, statement_s + _HANGS_S)
            try:
                yield engine
            finally:
                await engine.drain()

    @property
    def is_prepared(self) -> bool:
        return self._unprepared is None

    async def prepare(self) -> None:
        """Make the schema or bring it up to date. Raises what `open` does."""
        try:
            await _prepare(self._address)
        except StoreError as error:
            self._unprepared = error
            raise
        self._unprepared = None

    async def prepare_patiently(self) -> None:
        """`prepare`, again and again while the database is away. Raises StoreUnusable."""
        said = ""
        while True:
            try:
                await self.prepare()
            except StoreUnusable:
                raise
            except StoreError as error:
                if str(error) != said:
                    _log.warning("waiting for the database, and asking it every second: %s", said := str(error))
                await asyncio.sleep(_LOOK_EVERY_S)
            else:
                break
        if said:
            _log.info("the database is there")

    async def read(self, sql: str, **values: Value) -> Rows:
        with self._bugs.logged():
            return await self._reads.read(bound(sql, values))

    async def write(self, sql: str, **values: Value) -> Rows:
        [rows] = await self.transaction((sql, values))
        return rows

    async def transaction(
        self, *statements: Statement, locks: Sequence[Lock] = (), tells: Sequence[Announcement] = ()
    ) -> list[Rows]:
        # In a task of its own, so that a cancelled caller leaves nothing half-done.
        with self._bugs.logged():
            return await asyncio.shield(self._begun(self._committed(statements, locks, tells)))

    async def delete_securely(
        self, *statements: Statement, locks: Sequence[Lock] = (), tells: Sequence[Announcement] = ()
    ) -> list[Rows]:
        answers = await self.transaction(*statements, locks=locks, tells=tells)
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
            async with self._writers.pipeline() as pipeline:
                await pipeline.run("DELETE FROM stored_turns WHERE false")

        await self._patiently(lambda: self._again(writable))

    async def drain(self) -> None:
        """Finish all writes, and erase what is due as far as that is quick."""
        while self._running:
            await asyncio.wait(self._running)
        await self._eraser.drain()
        await self._reads.close()

    def _begun(self, work: Coroutine[Any, Any, _T]) -> asyncio.Task[_T]:
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            # Whoever was cancelled meanwhile does not ask for it any more, which is no bug.
            task.exception()

    async def _committed(
        self, statements: Sequence[Statement], locks: Sequence[Lock], tells: Sequence[Announcement]
    ) -> list[Rows]:
        token = secrets.randbits(63)
        begun: Bound = (_NOTE_AND_LOCK, [token, f"{{{','.join(map(str, _keys(locks)))}}}"])
        told = [telling(tells, self.sender)] if tells else []
        made = [bound(sql, values) for sql, values in statements]
        _, *answers = await self._patiently(lambda: self._commit_once([begun, *made, *told]))
        return list[Rows](answers[: len(made)])

    async def _commit_once(self, statements: Sequence[Bound]) -> Sequence[Records]:
        """Make a transaction, again where that fails for another's sake or with the connection, but never twice.

        Each try puts the same token on record. Where that is there already, an earlier try was made after all.
        """
        answers: list[Records] = []
        lost = False
        for number in range(_TRIES):
            if number:
                # Those who were in each other's way begin again at different times.
                await asyncio.sleep(random.uniform(0, _PAUSE_S))  # noqa: S311 - not a secret
            made: list[Records] = []
            try:
                async with self._writers.pipeline() as pipeline:
                    await pipeline.commit(statements, made)
                return made
            except _UNDONE:
                continue
            except psycopg.errors.UniqueViolation as error:
                if error.diag.constraint_name != "commits_pkey":
                    raise
                if len(answers) < len(statements):
                    break
                return answers
            except psycopg.OperationalError as error:
                if not _is_loss(error):
                    raise
                # What says why it ends has made nothing, unless all answers had gone out before.
                answers, lost = made, lost or error.sqlstate is None or len(made) == len(statements)
            except StoreError:
                # There is no connection just now.
                if not lost:
                    raise
        raise StoreError(lost_answer(self._name) if lost else too_busy(self._name))

    async def _answers(self, queries: Sequence[Bound]) -> Sequence[Rows | StoreError]:
        async def ask() -> Sequence[Records | psycopg.Error]:
            async with self._readers.pipeline() as pipeline:
                return await pipeline.ask(*queries)

        answers = await self._patiently(lambda: self._again(ask))
        return [store_error(each, self._name) if isinstance(each, psycopg.Error) else each for each in answers]

    async def _again(self, query: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
        """What a query answers, asked once more where its connection was lost."""
        try:
            return await query()
        except psycopg.OperationalError as error:
            if not _is_loss(error):
                raise
            return await query()

    async def _patiently(self, work: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
        if self._unprepared is not None:
            raise StoreError(str(self._unprepared))
        try:
            async with _time_limit(self._patience):
                return await work()
        except psycopg.Error as error:
            # What a server says may quote values, beyond its first line.
            raise store_error(error, self._name) from None
        except TimeoutError as error:
            raise StoreError(f"{self._name} does not answer: look at its server.") from error
        except StoreError:
            raise
        except Exception as error:
            raise StoreBug(defect(error, self._name)) from error

    async def _purge_some(self) -> bool:
        async def step() -> bool:
            async with self._writers.pipeline() as pipeline:
                # One moment for all: what is forgotten meanwhile is not struck from the record of what is to go.
                await pipeline.run("BEGIN ISOLATION LEVEL REPEATABLE READ")
                await pipeline.run(_BY_INDEX)
                for sql in PURGE:
                    if purged := await pipeline.run(bound(sql, {})[0]):
                        break
                await pipeline.run("COMMIT")
            return bool(purged)

        async def purge() -> bool:
            try:
                return await step()
            except _UNDONE:
                return True

        return await self._patiently(purge)

    async def _erased(self) -> None:
        """The server overwrites the bytes of deleted rows in its own time. What is left is the record of commits."""
        await self.write(f"DELETE FROM commits WHERE at < extract(epoch FROM now()) - {_KEPT_S}")


@asynccontextmanager
async def _time_limit(seconds: float) -> AsyncIterator[None]:
    """As `asyncio.timeout`. A process that was frozen has time to read an answer that has come meanwhile."""
    loop = asyncio.get_running_loop()
    due = loop.time() + seconds
    async with asyncio.timeout(None) as limit:

        def over() -> None:
            now = loop.time()
            limit.reschedule(now + (_CATCH_UP_S if now - due > _FROZEN_S else 0))

        handle = loop.call_at(due, over)
        try:
            yield
        finally:
            handle.cancel()


async def _prepare(address: Address) -> None:
    """Bring the schema up to date."""
    connection = await address.connect(0)
    try:
        await migrate(connection, address.name)
        moving = await (await connection.execute("SELECT to_regclass('moves')")).fetchone()
        if moving is not None and moving[0] is not None:
            raise StoreUnusable(f"{address.name} holds a part of a move: run `python -m bot move` again to finish it.")
    except psycopg.Error as error:
        raise unprepared(error, address.name) from error
    finally:
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

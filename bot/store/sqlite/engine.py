"""The SQLite engine: reads, commits and secure deletion on one database file.

Writes that are asked for while the disk is busy with a commit share the next commit, so that no queue builds up on a
slow disk. Where the shared commit fails, each write is tried alone, and only those fail that have to. Reads have their
own connection and never wait for a commit.

Deleted rows also have to leave the bytes of the files: `bot.store.sqlite.erasing` sees to it in the background.
"""

from __future__ import annotations

import asyncio
import logging
import re
import sqlite3
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Self, TypeVar

from bot.core.changes import Announcement, Changes
from bot.core.errors import StoreBug, StoreError, StoreUnusable
from bot.store.bugs import Bugs
from bot.store.engine import Dialect, Lock, Rows, Statement, Value, Values
from bot.store.erasing import Eraser
from bot.store.reads import Reads
from bot.store.sqlite.announcements import NOBODY_HEARS, Listener, told
from bot.store.sqlite.connection import BEGIN_TO_WRITE, MEMORY, Connection, connect
from bot.store.sqlite.erasing import FileEraser
from bot.store.sqlite.error_messages import advice, defect, is_bug, is_damage
from bot.store.sqlite.lock import is_locked
from bot.store.sqlite.own_file import own_file

_SURROGATE = re.compile("[\ud800-\udfff]")

_DIALECT = Dialect(
    new_conversation_id="1 + (SELECT seq FROM sqlite_sequence WHERE name = 'conversations')",
    text="CAST({} AS TEXT)",
)

_log = logging.getLogger(__name__)

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class _Write:
    """One write that a caller waits for."""

    statements: Sequence[Statement]
    done: asyncio.Future[list[Rows]]

    def succeed(self, answer: list[Rows]) -> None:
        if not self.done.done():
            self.done.set_result(answer)

    def fail(self, error: Exception) -> None:
        if not self.done.done():
            self.done.set_exception(error)


class SQLiteEngine:
    """The connections to one SQLite database. Made by `open`. Implements `bot.store.engine.Engine`."""

    dialect = _DIALECT

    def __init__(self, file: Path | None, writer: Connection, reader: Connection, *, exclusive: bool) -> None:
        self._file = file
        self._exclusive = exclusive
        self._writer = writer
        self._reader = reader
        self._write_lock = asyncio.Lock()
        self._waiting: list[_Write] = []
        self._committing: asyncio.Task[None] | None = None
        self._bugs = Bugs()
        self._reads = Reads(self._answers)
        erasing = FileEraser(file, partial(self._do, writer), self._write_lock)
        self._eraser = Eraser(erasing.step, erasing.finish)
        self._listener = Listener(self.delete_securely)

    @property
    def changes(self) -> Changes:
        """Those of the operator's commands, which an exclusive opener hears of."""
        return self._listener.changes

    @classmethod
    @asynccontextmanager
    async def open(cls, path: str | Path, *, exclusive: bool) -> AsyncIterator[Self]:
        """Open the database at `path` (or `MEMORY`), made with its folder where missing, its schema brought up to date.

        `exclusive` refuses a second opener that asks for it too, until this process has ended, however it ends. Raises
        `StoreUnusable`.
        """
        file = None if path == MEMORY else own_file(path)
        async with AsyncExitStack() as stack:
            try:
                writer, reader = await connect(stack, file, exclusive)
            except (OSError, sqlite3.Error) as error:
                raise StoreUnusable(advice(error, file)) from error
            database = cls(file, writer, reader, exclusive=exclusive)
            try:
                yield database
            finally:
                await database.drain()

    @staticmethod
    def storable(text: str) -> str:
        """A lone surrogate, which no UTF-8 can hold, becomes U+FFFD."""
        return _SURROGATE.sub("\ufffd", text)

    async def read(self, sql: str, **values: Value) -> Rows:
        with self._bugs.logged():
            return await self._reads.read((sql, values))

    async def _answers(self, queries: Sequence[Statement]) -> Sequence[Rows | StoreError]:
        hears = self._file is not None and self._exclusive

        def fetch(connection: sqlite3.Connection) -> tuple[Sequence[sqlite3.Row], list[Rows | Exception]]:
            return self._listener.unheard(connection) if hears else (), [_tried(connection, *each) for each in queries]

        # What is remembered of somebody is gone before anything is done with what is read.
        unheard, answers = await self._do(self._reader, fetch)
        self._listener.hear(unheard)
        return [self._told(each) if isinstance(each, Exception) else each for each in answers]

    async def write(self, sql: str, **values: Value) -> Rows:
        [rows] = await self.transaction((sql, values))
        return rows

    async def transaction(
        self, *statements: Statement, locks: Sequence[Lock] = (), tells: Sequence[Announcement] = ()
    ) -> list[Rows]:
        # One write follows the other: nothing is to be locked. Only a command of the operator's has somebody to tell.
        notes = [] if self._file is None or self._exclusive else told(tells)
        if not statements and not notes:
            return []
        answers = await self._written(_Write([*statements, *notes], asyncio.get_running_loop().create_future()))
        if notes and self._file is not None and not is_locked(self._file):
            with suppress(StoreError):  # the next bot to start hears of it, and deletes it
                await self.transaction(NOBODY_HEARS)
        return answers[: len(statements)]

    async def delete_securely(
        self, *statements: Statement, locks: Sequence[Lock] = (), tells: Sequence[Announcement] = ()
    ) -> list[Rows]:
        answers = await self.transaction(*statements, locks=locks, tells=tells)
        if any(answers):
            self._eraser.deleted()
        return answers

    async def _written(self, write: _Write) -> list[Rows]:
        self._waiting.append(write)
        if self._committing is None:
            self._committing = asyncio.create_task(self._commit_waiting())
        with self._bugs.logged():
            return await write.done

    async def ping(self) -> None:
        """Return if the file can be read and no other program holds up writes."""
        await self.read("PRAGMA schema_version")
        await self._run(self._writer, BEGIN_TO_WRITE)

    async def erase_deleted(self) -> None:
        """Erase what was deleted before this call now. Calls at the same time share the work.

        Where that fails, it is tried again later.
        """
        await self._eraser.erase()

    def erasure_due_for(self) -> float:
        return self._eraser.due_for

    async def drain(self) -> None:
        """Finish all writes, and erase what is due as far as that is quick."""
        await self._listener.drain()
        while self._committing is not None:
            await asyncio.wait([self._committing])
        await self._eraser.drain()
        await self._reads.close()

    async def _commit_waiting(self) -> None:
        try:
            while self._waiting:
                async with self._write_lock:
                    writes = [write for write in self._waiting if not write.done.cancelled()]
                    self._waiting.clear()
                    if len(writes) < 2 or not await self._commit_together(writes):
                        for write in writes:
                            await self._commit_alone(write)
        finally:
            self._committing = None

    async def _commit_together(self, writes: Sequence[_Write]) -> bool:
        """Make one transaction of several writes. False: something failed, and none was made."""

        def transaction(connection: sqlite3.Connection) -> sqlite3.Error | list[list[Rows]]:
            try:
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.Error as error:
                return error
            return _commit(writes, connection)

        try:
            answers = await self._do(self._writer, transaction)
        except Exception:  # noqa: BLE001 - each is tried again by itself, and then its caller is told
            return False
        if isinstance(answers, sqlite3.Error):
            # Another program holds the lock, and this has been the wait for it.
            for write in writes:
                write.fail(self._told(answers))
            return True
        for write, answer in zip(writes, answers, strict=True):
            write.succeed(answer)
        return True

    async def _commit_alone(self, write: _Write) -> None:
        def transaction(connection: sqlite3.Connection) -> list[Rows]:
            if len(write.statements) == 1:
                # It is a transaction by itself.
                return [_fetch(connection, *write.statements[0])]
            connection.execute("BEGIN IMMEDIATE")
            [answer] = _commit([write], connection)
            return answer

        try:
            write.succeed(await self._do(self._writer, transaction))
        except Exception as error:  # noqa: BLE001 - a defect too is the caller's, not of those who wait behind
            write.fail(error)

    async def _run(self, connection: Connection, sql: str, values: Values = ()) -> Rows:
        """Run one statement and fetch its rows."""
        return await self._do(connection, lambda plain: _fetch(plain, sql, values))

    async def _do(self, connection: Connection, work: Callable[[sqlite3.Connection], _T]) -> _T:
        try:
            return await connection.do(work)
        except StoreError:
            raise
        except Exception as error:
            raise self._told(error) from error

    def _told(self, error: Exception) -> StoreError:
        """What an error of the driver's says to people."""
        if isinstance(error, sqlite3.Error):
            kind = StoreUnusable if is_damage(error) else StoreBug if is_bug(error) else StoreError
            return kind(advice(error, self._file))
        # A value that SQLite cannot hold, or no memory: the driver's errors have no common class.
        told = StoreBug(defect(error, self._file))
        told.__cause__ = error
        return told


def _commit(writes: Sequence[_Write], connection: sqlite3.Connection) -> list[list[Rows]]:
    """Run the writes in the transaction that has begun, and end it: with all of them, or with none."""
    try:
        answers = [[_fetch(connection, *each) for each in write.statements] for write in writes]
        connection.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):  # SQLite has done it itself, after the graver errors
            connection.execute("ROLLBACK")
        raise
    return answers


def _tried(connection: sqlite3.Connection, sql: str, values: Values) -> Rows | Exception:
    try:
        return _fetch(connection, sql, values)
    except Exception as error:  # noqa: BLE001 - it is told to whoever reads this, and the others go on
        return error


def _fetch(connection: sqlite3.Connection, sql: str, values: Values) -> Rows:
    bound = (
        {name: _bindable(value) for name, value in values.items()}
        if isinstance(values, Mapping)
        else [_bindable(value) for value in values]
    )
    return connection.execute(sql, bound).fetchall()


def _bindable(value: Value) -> Value:
    return SQLiteEngine.storable(value) if isinstance(value, str) else value

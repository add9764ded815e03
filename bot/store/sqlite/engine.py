"""The database: asked, written, and rid of what was deleted.

A write is one statement or several that are committed together when the call returns, and whole or undone whatever
happens: an error, a kill, a caller that is cancelled. What is asked for while the disk is busy with a commit shares the
next one, so that a slow disk keeps no queue of them; where that fails, each is tried by itself, and only those fail
that have to. Reading has its own connection, and never waits for a commit.

What is deleted is to leave the file's bytes too. That it is due is committed with the deletion, until it is done, in
the background.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import sqlite3
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Self, TypeVar

from bot.core.errors import StoreError, StoreUnusable
from bot.store.engine import Rows, Statement, Value, Values
from bot.store.sqlite.connection import BEGIN_TO_WRITE, MEMORY, Connection, connect
from bot.store.sqlite.erasing import MARK_ERASE_DUE, Eraser
from bot.store.sqlite.error_messages import advice, defect, is_damage

_SURROGATE = re.compile("[\ud800-\udfff]")

_log = logging.getLogger(__name__)

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class _Write:
    """What one caller waits for."""

    statements: Sequence[Statement]
    done: asyncio.Future[list[Rows]]
    erases: bool = False

    def succeed(self, answer: list[Rows]) -> None:
        if not self.done.done():
            self.done.set_result(answer)

    def fail(self, error: Exception) -> None:
        if not self.done.done():
            self.done.set_exception(error)


class SQLiteEngine:
    """The connections to one SQLite database. Made by `open`. Implements `bot.store.engine.Engine`."""

    def __init__(self, file: Path | None, writer: Connection, reader: Connection, *, keeper: bool) -> None:
        self._file = file
        self._writer = writer
        self._reader = reader
        self._write_lock = asyncio.Lock()
        self._waiting: list[_Write] = []
        self._committing: asyncio.Task[None] | None = None
        # What is in memory only is gone with the process.
        self._wiper = (
            None
            if file is None
            else Eraser(file, partial(self._run, writer), self._write_lock, writer.interrupt, keeper=keeper)
        )

    @classmethod
    @asynccontextmanager
    async def open(cls, path: str | Path, *, exclusive: bool) -> AsyncIterator[Self]:
        """Open the database at `path` (or `MEMORY`), made with its folder where missing, its schema brought up to date.

        `exclusive` refuses a second opener that asks for it too, until this process has ended, however it ends; what
        other openers and earlier processes deleted and did not come to wipe is wiped in the background. Raises
        `StoreUnusable`.
        """
        file = None if path == MEMORY else _real(path)
        async with AsyncExitStack() as stack:
            try:
                writer, reader = await connect(stack, file, exclusive)
            except (OSError, sqlite3.Error) as error:
                raise StoreUnusable(advice(error, file)) from error
            database = cls(file, writer, reader, keeper=exclusive)
            try:
                yield database
            finally:
                await database.drain()

    async def read(self, sql: str, **values: Value) -> Rows:
        """The rows of a query. Raises `StoreError`, as the others do."""
        return await self._run(self._reader, sql, values)

    async def write(self, sql: str, **values: Value) -> Rows:
        """Run and commit one statement; the answer is the rows it returns."""
        [rows] = await self.transaction((sql, values))
        return rows

    async def transaction(self, *statements: Statement) -> list[Rows]:
        """The same for several in one transaction: nothing comes between them, neither another write nor a kill."""
        return await self._written(_Write(statements, asyncio.get_running_loop().create_future()))

    async def delete_securely(self, *statements: Statement) -> list[Rows]:
        """The same for what deletes, each of which returns rows if it finds something: from then on a wipe is due.

        It is made in the background, as soon as the last one is long enough ago, or by `wipe`.
        """
        if self._wiper is not None:
            self._wiper.keep()
        return await self._written(_Write(statements, asyncio.get_running_loop().create_future(), erases=True))

    async def _written(self, write: _Write) -> list[Rows]:
        self._waiting.append(write)
        if self._committing is None:
            self._committing = asyncio.create_task(self._commit_waiting())
        return await write.done

    async def ping(self) -> None:
        """Return if the file can be read, and if a write could begin that another program's does not hold up.

        Raises StoreError. Nothing is written. Does not wait for a VACUUM of this process's, which is a write, unless
        that takes too long.
        """
        await self._run(self._reader, "PRAGMA schema_version")
        if self._wiper is None or not self._wiper.rewriting:
            await self._run(self._writer, BEGIN_TO_WRITE)

    async def erase_deleted(self) -> bool:
        """If a wipe is due, take what was deleted before this call out of the file's bytes, with no pause.

        Calls at the same time share the work. False: it is left to the process that has the database to itself, whose
        writes would fail meanwhile. Raises StoreError where it could not be done, and is tried again later.
        """
        return self._wiper is None or await self._wiper.erase()

    async def drain(self) -> None:
        """Finish what is being written, wipe what is due if the file is small, and leave no log."""
        while self._committing is not None:
            await asyncio.wait([self._committing])
        if self._wiper is None:
            return
        await self._wiper.drain()
        with suppress(StoreError):  # SQLite does the same when the last connection closes, or the next opener reads it
            await self._wiper.empty_log()

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
        try:
            await self._run(self._writer, "BEGIN IMMEDIATE")
        except StoreError as error:
            # Another program holds the lock, and this has been the wait for it.
            for write in writes:
                write.fail(error)
            return True
        try:
            answers = await self._do(self._writer, partial(_commit, writes))
        except Exception:  # noqa: BLE001 - each is tried again by itself, and then its caller is told
            return False
        for write, answer in zip(writes, answers, strict=True):
            write.succeed(answer)
        return True

    async def _commit_alone(self, write: _Write) -> None:
        def transaction(connection: sqlite3.Connection) -> list[Rows]:
            if len(write.statements) == 1 and not write.erases:
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
        """One statement to its end."""
        return await self._do(connection, lambda plain: _fetch(plain, sql, values))

    async def _do(self, connection: Connection, work: Callable[[sqlite3.Connection], _T]) -> _T:
        try:
            return await connection.do(work)
        except sqlite3.Error as error:
            raise (StoreUnusable if is_damage(error) else StoreError)(advice(error, self._file)) from error
        except StoreError:
            raise
        except Exception as error:
            # A value that SQLite cannot hold, or no memory: the driver's errors have no common class.
            _log.exception("a statement failed by a defect")
            raise StoreError(defect(error, self._file)) from error


def _commit(writes: Sequence[_Write], connection: sqlite3.Connection) -> list[list[Rows]]:
    """Run the writes in the transaction that has begun, and end it: with all of them, or with none."""
    try:
        answers = [[_fetch(connection, *each) for each in write.statements] for write in writes]
        if any(write.erases and any(answer) for write, answer in zip(writes, answers, strict=True)):
            connection.execute(MARK_ERASE_DUE)
        connection.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):  # SQLite has done it itself, after the graver errors
            connection.execute("ROLLBACK")
        raise
    return answers


def _fetch(connection: sqlite3.Connection, sql: str, values: Values) -> Rows:
    bound = (
        {name: _storable(value) for name, value in values.items()}
        if isinstance(values, Mapping)
        else [_storable(value) for value in values]
    )
    return connection.execute(sql, bound).fetchall()


def _real(path: str | Path) -> Path:
    """The file itself, so that two links to it share one lock."""
    return Path(os.path.realpath(path))


def _storable(value: Value) -> Value:
    """A lone surrogate, which no UTF-8 can hold, becomes U+FFFD: one code point for one, so that offsets stay true."""
    return _SURROGATE.sub("\ufffd", value) if isinstance(value, str) else value

"""The store of all conversations, in one SQLite file.

Every write is a single statement and so a transaction of its own: a caller that is cancelled leaves it whole or undone,
and no other task's rollback can reach it. Reading has its own connection, and never waits for a commit.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import re
import sqlite3
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from importlib import resources
from pathlib import Path
from typing import Self

import aiosqlite

from bot.errors import StoreError, StoreUnusable
from bot.turns import Attempt, Forgotten, Learned, Outcome, Problem, Prompt, Sent, State, Turn

MEMORY = ":memory:"
"""A path that keeps everything in memory, gone when the store is closed."""

_APPLICATION_ID = 0x5061726C
"""Marks the file as ours ("Parl"), for `file` and for the next opening."""
_OLDEST_SQLITE = (3, 37)
"""STRICT tables."""
_BUSY_S = 5.0
"""How long a write waits for another process's write."""
_EMPTY_LOG = f"""
    PRAGMA busy_timeout = 250;
    PRAGMA wal_checkpoint(TRUNCATE);
    PRAGMA busy_timeout = {round(_BUSY_S * 1000)};
    """
"""Moves the write-ahead log, which holds what was deleted, into the database and cuts it to nothing.

The wait is for readers, and shorter than others' waits for us, since the write lock is held meanwhile.
"""

_UNTOLD = """
    WHERE told = 0 AND conversation_id IN (
        SELECT id FROM conversations WHERE key = :key OR (:prefix AND substr(key, 1, length(:key)) = :key)
    )
    """
_SURROGATE = re.compile("[\ud800-\udfff]")

_UNWRITABLE = (
    "cannot be written: give this user the right to, also in its folder, or set DATABASE_PATH to another file."
)
_FULL = "found its disk full: free some space, then try again."
_NO_FOLDER = "has a file where its folder should be: set DATABASE_PATH to another file."
_FOREIGN = "is not a file of this bot's: set DATABASE_PATH to another file."
_OS_ADVICE = {
    errno.EACCES: _UNWRITABLE,
    errno.EPERM: _UNWRITABLE,
    errno.EROFS: _UNWRITABLE,
    errno.ENOSPC: _FULL,
    errno.EEXIST: _NO_FOLDER,
    errno.ENOTDIR: _NO_FOLDER,
    errno.EISDIR: "is a directory: set DATABASE_PATH to a file in it.",
}
_SQLITE_ADVICE = {
    sqlite3.SQLITE_READONLY: _UNWRITABLE,
    sqlite3.SQLITE_CANTOPEN: _UNWRITABLE,
    sqlite3.SQLITE_PERM: _UNWRITABLE,
    sqlite3.SQLITE_FULL: _FULL,
    sqlite3.SQLITE_NOTADB: _FOREIGN,
    sqlite3.SQLITE_CORRUPT: "is damaged: put a backup in its place, or move it away to start afresh.",
    sqlite3.SQLITE_BUSY: "is held by another program: close that one, then try again.",
}

_log = logging.getLogger(__name__)

_Value = str | int | float | None


class SQLiteStore:
    """Implements `bot.turns.Store`. Made by `open`."""

    def __init__(
        self, path: Path | None, writer: aiosqlite.Connection, reader: aiosqlite.Connection, clock: Callable[[], float]
    ) -> None:
        self._path = path
        self._writer = writer
        self._reader = reader
        self._clock = clock
        # begin and forget are more than one statement; nothing may come between.
        self._writing = asyncio.Lock()

    @classmethod
    @asynccontextmanager
    async def open(
        cls, path: str | Path, *, exclusive: bool, clock: Callable[[], float] = time.time
    ) -> AsyncIterator[Self]:
        """Open the database at `path` (or `MEMORY`), made with its folder where missing, its schema brought up to date.

        `exclusive` refuses a second opener that asks for it too, until this process has ended, however it ends.
        `clock` gives seconds since the epoch. Raises `StoreUnusable`.
        """
        file = None if path == MEMORY else _real(path)
        async with AsyncExitStack() as stack:
            try:
                writer, reader = await _connect(stack, file, exclusive)
            except (OSError, sqlite3.Error) as error:
                raise StoreUnusable(_advice(error, file)) from error
            store = cls(file, writer, reader, clock)
            try:
                yield store
            finally:
                await store._housekeep(_EMPTY_LOG)

    async def begin(self, prompt: Prompt) -> Attempt | None:
        """Commit a prompt as a pending turn. None: the position is taken, so the event came twice."""
        async with self._writing:
            await self._run(
                self._writer,
                """
                INSERT INTO conversations (key, guild_id, origin_turn_id)
                VALUES (:key, :guild, (SELECT turn_id FROM messages WHERE message_id = :origin))
                ON CONFLICT (key) DO NOTHING
                """,
                {"key": prompt.conversation, "guild": prompt.guild_id, "origin": prompt.origin_message_id},
            )
            rows = await self._run(
                self._writer,
                """
                INSERT INTO turns (conversation_id, position, author_id, author_name, prompt, created_at)
                SELECT id, :position, :author_id, :author_name, :prompt, :now FROM conversations WHERE key = :key
                ON CONFLICT (conversation_id, position) DO NOTHING
                RETURNING id
                """,
                {
                    "key": prompt.conversation,
                    "position": prompt.position,
                    "author_id": prompt.author_id,
                    "author_name": prompt.author_name,
                    "prompt": prompt.text,
                    "now": self._now(),
                },
            )
        return Attempt(rows[0]["id"]) if rows else None

    async def start(self, attempt: Attempt) -> Turn | None:
        """Mark the turn as streaming and read it. None: forgotten, superseded or already ended."""
        rows = await self._write(
            """
            UPDATE turns SET state = 'streaming'
            WHERE id = :turn AND attempt = :attempt AND state IN ('pending', 'streaming')
            RETURNING *, (SELECT key FROM conversations WHERE conversations.id = conversation_id) AS conversation
            """,
            turn=attempt.turn_id,
            attempt=attempt.number,
        )
        return _turn(rows[0]) if rows else None

    async def earlier(self, turn_id: int, before: int | None, limit: int) -> list[Turn]:
        """Up to `limit` turns with text in their reply, newest first, that came before the turn in its conversation.

        `before` continues a listing below that position. A thread's conversation ends with the turn it was opened on:
        the prompt behind a message is older than everything in the thread on it, so its position comes last by itself.
        """
        rows = await self._read(
            """
            WITH this AS (
                SELECT conversation_id, min(position, coalesce(:before, position)) AS below
                FROM turns WHERE id = :turn
            ), listed AS (
                SELECT * FROM (
                    SELECT * FROM turns INDEXED BY turns_with_text
                    WHERE conversation_id = (SELECT conversation_id FROM this)
                      AND position < (SELECT below FROM this) AND reply <> ''
                    ORDER BY position DESC LIMIT :limit
                )
                UNION ALL
                SELECT turns.* FROM this
                JOIN conversations ON conversations.id = this.conversation_id
                JOIN turns ON turns.id = conversations.origin_turn_id
                WHERE turns.position < this.below AND turns.reply <> ''
            )
            SELECT listed.*, conversations.key AS conversation
            FROM listed JOIN conversations ON conversations.id = listed.conversation_id
            ORDER BY position DESC LIMIT :limit
            """,
            turn=turn_id,
            before=before,
            limit=limit,
        )
        return [_turn(row) for row in rows]

    async def save(self, progress: Mapping[Attempt, str]) -> set[Attempt]:
        """Write the text of running attempts in one transaction; the answer names those still alive."""
        if not progress:
            return set()
        values: list[_Value] = []
        for attempt, text in progress.items():
            values += attempt.turn_id, attempt.number, text
        placeholders = ", ".join(["(?, ?, ?)"] * len(progress))
        sql = f"""
            WITH progress (turn_id, number, text) AS (VALUES {placeholders})
            UPDATE turns SET reply = progress.text FROM progress
            WHERE turns.id = progress.turn_id AND turns.attempt = progress.number AND turns.state = 'streaming'
            RETURNING id, attempt
            """  # noqa: S608 - only the number of placeholders varies
        async with self._writing:
            rows = await self._run(self._writer, sql, values)
        return {Attempt(row["id"], row["attempt"]) for row in rows}

    async def close(self, attempt: Attempt, outcome: Outcome) -> bool:
        """Commit an ending. False: forgotten, superseded or already ended, and nothing was written."""
        rows = await self._write(
            """
            UPDATE turns
            SET reply = :reply, state = :state, error = :error, prompt_tokens = :prompt_tokens,
                reply_tokens = :reply_tokens, ended_at = :now
            WHERE id = :turn AND attempt = :attempt AND state IN ('pending', 'streaming')
            RETURNING id
            """,
            turn=attempt.turn_id,
            attempt=attempt.number,
            reply=outcome.text,
            state=outcome.state,
            error=outcome.problem,
            prompt_tokens=outcome.usage.prompt_tokens if outcome.usage else None,
            reply_tokens=outcome.usage.reply_tokens if outcome.usage else None,
            now=self._now(),
        )
        return bool(rows)

    async def reopen(self, turn_id: int, expected: State) -> Attempt | None:
        """Begin another attempt at a turn. Its reply stays until that one writes. None: the state is another."""
        rows = await self._write(
            """
            UPDATE turns
            SET attempt = attempt + 1, state = 'pending', error = NULL, prompt_tokens = NULL, reply_tokens = NULL,
                ended_at = NULL, told = 0
            WHERE id = :turn AND state = :expected
            RETURNING attempt
            """,
            turn=turn_id,
            expected=expected,
        )
        return Attempt(turn_id, rows[0]["attempt"]) if rows else None

    async def told(self, attempt: Attempt) -> None:
        """Commit that a person has seen how the attempt ended."""
        await self._write(
            "UPDATE turns SET told = 1 WHERE id = :turn AND attempt = :attempt",
            turn=attempt.turn_id,
            attempt=attempt.number,
        )

    async def untold(self, conversation: str, *, prefix: bool = False) -> list[Turn]:
        """The turns whose end nobody has seen, oldest first; of one conversation or, with `prefix`, of all whose key
        begins so. Only while none of them is running: what an earlier process left unfinished is marked as interrupted.
        """
        where: dict[str, str | int | float | None] = {"key": conversation, "prefix": prefix}
        interrupt = "UPDATE turns SET state = 'interrupted', ended_at = :now"
        read = "SELECT *, (SELECT key FROM conversations WHERE id = conversation_id) AS conversation FROM turns"
        async with self._writing:
            unfinished = "AND state IN ('pending', 'streaming')"
            await self._run(self._writer, f"{interrupt} {_UNTOLD} {unfinished}", {**where, "now": self._now()})
            rows = await self._run(self._writer, f"{read} {_UNTOLD}", where)
        return sorted(map(_turn, rows), key=lambda turn: turn.position)

    async def forget(self, conversation: str) -> Forgotten:
        """Delete a conversation's turns for good, from the file's bytes as well."""
        async with self._writing:
            rows = await self._run(
                self._writer,
                """
                SELECT turns.id, reply <> '' AS answered
                FROM turns JOIN conversations ON conversations.id = conversation_id WHERE key = :key
                """,
                {"key": conversation},
            )
            # Replacing the row takes its turns and their messages along (ON DELETE CASCADE) and leaves the new one
            # without an origin: all of it in one statement.
            await self._run(
                self._writer,
                """
                REPLACE INTO conversations (id, key, guild_id)
                SELECT id, key, guild_id FROM conversations WHERE key = :key
                """,
                {"key": conversation},
            )
            if rows:
                # secure_delete wipes the deleted rows, but not the copies that rows leave behind in a page when its
                # neighbours grow and it is laid out anew. Costs about 7 ms for each megabyte of the database.
                await self._housekeep("VACUUM")
            await self._housekeep(_EMPTY_LOG)
        return Forgotten(exchanges=sum(row["answered"] for row in rows), turn_ids=frozenset(row["id"] for row in rows))

    async def history(self, conversation: str, limit: int) -> list[Turn]:
        """Up to `limit` turns with text in their reply, newest first."""
        rows = await self._read(
            """
            SELECT turns.*, :key AS conversation FROM turns INDEXED BY turns_with_text
            WHERE conversation_id = (SELECT id FROM conversations WHERE key = :key) AND reply <> ''
            ORDER BY position DESC LIMIT :limit
            """,
            key=conversation,
            limit=limit,
        )
        return [_turn(row) for row in rows]

    async def count(self, conversation: str) -> int:
        """How many turns of a conversation have text in their reply."""
        rows = await self._read(
            """
            SELECT count(*) AS exchanges FROM turns INDEXED BY turns_with_text
            WHERE conversation_id = (SELECT id FROM conversations WHERE key = :key) AND reply <> ''
            """,
            key=conversation,
        )
        return int(rows[0]["exchanges"])

    async def posting(self, attempt: Attempt, part: int, start: int, nonce: str) -> bool:
        """Commit that a message is about to be posted, in place of the part's former one. False: the attempt was
        forgotten or superseded, so there is nothing to keep a record of.
        """
        rows = await self._write(
            """
            INSERT INTO messages (turn_id, part, start, nonce)
            SELECT id, :part, :start, :nonce FROM turns WHERE id = :turn AND attempt = :attempt
            ON CONFLICT (turn_id, part)
            DO UPDATE SET start = excluded.start, nonce = excluded.nonce, message_id = NULL
            RETURNING part
            """,
            turn=attempt.turn_id,
            attempt=attempt.number,
            part=part,
            start=start,
            nonce=nonce,
        )
        return bool(rows)

    async def posted(self, attempt: Attempt, part: int, message_id: int) -> None:
        """Commit the platform's id of a message. Writes nothing for a forgotten or superseded attempt."""
        await self._write(
            """
            UPDATE messages SET message_id = :message
            WHERE turn_id = (SELECT id FROM turns WHERE id = :turn AND attempt = :attempt) AND part = :part
            """,
            turn=attempt.turn_id,
            attempt=attempt.number,
            part=part,
            message=message_id,
        )

    async def removed(self, message_id: int) -> None:
        """Commit that a message is gone from the platform."""
        await self._write("DELETE FROM messages WHERE message_id = :message", message=message_id)

    async def sent(self, turn_id: int) -> list[Sent]:
        """The messages that show a turn's reply, in the order of their parts."""
        rows = await self._read(
            "SELECT part, start, nonce, message_id FROM messages WHERE turn_id = :turn ORDER BY part", turn=turn_id
        )
        return [Sent(*row) for row in rows]

    async def turn_of_message(self, message_id: int) -> Turn | None:
        """The turn whose reply a message shows."""
        rows = await self._read(
            """
            SELECT turns.*, key AS conversation FROM messages
            JOIN turns ON turns.id = turn_id JOIN conversations ON conversations.id = conversation_id
            WHERE message_id = :message
            """,
            message=message_id,
        )
        return _turn(rows[0]) if rows else None

    async def learned(self, model: str) -> Learned:
        """What is known of a model's tokens."""
        rows = await self._read("SELECT bytes_per_token, context_tokens FROM learned WHERE model = :model", model=model)
        return Learned(*rows[0]) if rows else Learned()

    async def learn(self, model: str, learned: Learned) -> None:
        """Remember it for the next start."""
        await self._write(
            "REPLACE INTO learned (model, bytes_per_token, context_tokens) VALUES (:model, :bytes, :context)",
            model=model,
            bytes=learned.bytes_per_token,
            context=learned.context_tokens,
        )

    def _now(self) -> int:
        return int(self._clock())

    async def _write(self, sql: str, **values: _Value) -> list[sqlite3.Row]:
        async with self._writing:
            return await self._run(self._writer, sql, values)

    async def _read(self, sql: str, **values: _Value) -> list[sqlite3.Row]:
        return await self._run(self._reader, sql, values)

    async def _run(
        self, connection: aiosqlite.Connection, sql: str, values: Mapping[str, _Value] | Sequence[_Value]
    ) -> list[sqlite3.Row]:
        """One statement to its end, in one step of the connection's thread."""
        bound = (
            {name: _storable(value) for name, value in values.items()}
            if isinstance(values, Mapping)
            else [_storable(value) for value in values]
        )
        try:
            return list(await connection.execute_fetchall(sql, bound))
        except sqlite3.Error as error:
            damaged = _code(error) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
            raise (StoreUnusable if damaged else StoreError)(_advice(error, self._path)) from error

    async def _housekeep(self, script: str) -> None:
        """Work on the file that changes no content. What hinders it is left to the next time."""
        try:
            await self._writer.executescript(script)
        except sqlite3.Error as error:
            _log.warning("What was forgotten may still be in the file's bytes: %s", _advice(error, self._path))


async def _connect(
    stack: AsyncExitStack, file: Path | None, exclusive: bool
) -> tuple[aiosqlite.Connection, aiosqlite.Connection]:
    """The connections to write and to read with. Raises OSError, sqlite3.Error and StoreUnusable."""
    if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
        oldest = ".".join(map(str, _OLDEST_SQLITE))
        raise StoreUnusable(
            f"This Python comes with SQLite {sqlite3.sqlite_version}, and {oldest} is needed: use a newer Python."
        )
    if file is None:
        writer = await _connection(stack, MEMORY)
        await _migrate(writer)
        await writer.execute("PRAGMA foreign_keys = ON")
        return writer, writer

    _create(file)
    if exclusive:
        stack.enter_context(_sole_use(file))
    writer = await _connection(stack, str(file))
    await _recognise(writer, file)
    if not await _switch_to_wal(writer):
        raise StoreUnusable(
            f"The database {file} is on a file system that SQLite cannot share: set DATABASE_PATH to a local disk."
        )
    await _migrate(writer)
    await writer.executescript("PRAGMA synchronous = FULL; PRAGMA secure_delete = ON; PRAGMA foreign_keys = ON;")
    # SQLite opens a file that may only be read without a word; this fails then, and writes nothing otherwise.
    await writer.execute("DELETE FROM turns WHERE false")
    reader = await _connection(stack, str(file))
    await reader.execute("PRAGMA query_only = ON")
    return writer, reader


async def _connection(stack: AsyncExitStack, path: str) -> aiosqlite.Connection:
    # isolation_level=None: no transaction is opened behind our back, a statement commits itself.
    connection = await stack.enter_async_context(aiosqlite.connect(path, isolation_level=None, timeout=_BUSY_S))
    connection.row_factory = sqlite3.Row
    return connection


def _real(path: str | Path) -> Path:
    """The file itself, so that two links to it share one lock."""
    return Path(os.path.realpath(path))


def _create(file: Path) -> None:
    """Make a missing file, readable to its owner alone; SQLite gives its -wal and -shm the same mode.

    One that exists is left unopened: closing it would drop the locks of this process's other connections to it.
    """
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if file.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), file)
    try:
        os.close(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError:
        return


async def _recognise(connection: aiosqlite.Connection, file: Path) -> None:
    """Raise StoreUnusable, with the file untouched, where it is another program's or a newer version's."""
    # In this order: another opener may make the tables, and with them set the id, between the two.
    [[tables]] = await connection.execute_fetchall("SELECT count(*) FROM sqlite_schema")
    [[application]] = await connection.execute_fetchall("PRAGMA application_id")
    if application != _APPLICATION_ID and (application or tables):
        raise StoreUnusable(f"The database {file} {_FOREIGN}")
    if await _version(connection) > len(_migrations()):
        raise StoreUnusable(
            f"The database {file} was written by a newer version of this bot: "
            "install that version again, or set DATABASE_PATH to another file."
        )


async def _switch_to_wal(connection: aiosqlite.Connection) -> bool:
    """Whether the file system allows it. Unlike other statements this one does not itself wait for another opener's."""
    deadline = time.monotonic() + _BUSY_S
    while True:
        try:
            [[mode]] = await connection.execute_fetchall("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if _code(error) != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.05)
        else:
            return bool(mode == "wal")


async def _version(connection: aiosqlite.Connection) -> int:
    [[version]] = await connection.execute_fetchall("PRAGMA user_version")
    return int(version)


def _migrations() -> list[str]:
    """The scripts that make each version of the schema from the one before it."""
    folder = resources.files("bot") / "migrations"
    scripts = sorted((entry for entry in folder.iterdir() if entry.name.endswith(".sql")), key=lambda entry: entry.name)
    return [script.read_text(encoding="utf-8") for script in scripts]


async def _migrate(connection: aiosqlite.Connection) -> None:
    """Run the migrations that are missing, each with its version in one transaction. Closing undoes a half-done one."""
    for version, script in enumerate(_migrations(), start=1):
        # The lock comes before the look: two processes may open a new database at once.
        await connection.execute("BEGIN IMMEDIATE")
        if await _version(connection) < version:
            for statement in _statements(script):
                await connection.execute(statement)
            await connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
            await connection.execute(f"PRAGMA user_version = {version}")
        await connection.execute("COMMIT")


def _statements(script: str) -> Iterator[str]:
    """The statements of a script, none of which ends before its line does.

    `executescript` would commit first.
    """
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


@contextmanager
def _sole_use(file: Path) -> Iterator[None]:
    """Hold a lock on the file beside the database, which stays: removing it would let two processes lock two files."""
    descriptor = os.open(f"{file}.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if not _lock(descriptor):
            holder = os.read(descriptor, 20).decode(errors="replace").strip()
            raise StoreUnusable(
                f"The database {file} is already in use by {f'process {holder}' if holder else 'another process'}: "
                "stop that one, or set DATABASE_PATH to another file."
            )
        os.ftruncate(descriptor, 0)
        os.write(descriptor, str(os.getpid()).encode())
        yield
    finally:
        os.close(descriptor)


if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> bool:
        """Whether the lock is ours now. Closing the descriptor, or the end of the process, gives it back."""
        # Windows refuses to read locked bytes, so the lock is on one far behind the process id.
        os.lseek(descriptor, 1 << 20, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        finally:
            os.lseek(descriptor, 0, os.SEEK_SET)
        return True

else:
    import fcntl

    def _lock(descriptor: int) -> bool:
        """Whether the lock is ours now. Closing the descriptor, or the end of the process, gives it back."""
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def _code(error: sqlite3.Error) -> int:
    """SQLite's primary result code; 0 for an error that only the Python module knows."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _advice(error: OSError | sqlite3.Error, file: Path | None) -> str:
    """One sentence that says what to do."""
    advice = _OS_ADVICE.get(error.errno or 0) if isinstance(error, OSError) else _SQLITE_ADVICE.get(_code(error))
    name = f"The database {file}" if file else "The database in memory"
    return f"{name} {advice or f'failed ({error}): see to its disk, then try again.'}"


def _storable(value: _Value) -> _Value:
    """A lone surrogate, which no UTF-8 can hold, becomes U+FFFD: one code point for one, so that offsets stay true."""
    return _SURROGATE.sub("\ufffd", value) if isinstance(value, str) else value


def _turn(row: sqlite3.Row) -> Turn:
    return Turn(
        id=row["id"],
        conversation=row["conversation"],
        position=row["position"],
        prompt=row["prompt"],
        reply=row["reply"],
        state=State(row["state"]),
        attempt=row["attempt"],
        author_id=row["author_id"],
        author_name=row["author_name"],
        error=None if row["error"] is None else Problem(row["error"]),
        created_at=row["created_at"],
    )

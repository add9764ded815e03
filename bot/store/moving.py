"""Moves what a SQLite file keeps into a database on a PostgreSQL server: table by table, a thousand rows a transaction.

What was moved is noted with the rows, so that a move that was stopped goes on where it was. Until it has ended, no bot
starts on the new database. The file is only read, apart from deleting what is already forgotten.
"""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import psycopg

from bot.core.errors import StoreError, StoreUnusable
from bot.store.engine import Value
from bot.store.postgresql.claims import SERVED
from bot.store.postgresql.connection import Address, Connection
from bot.store.postgresql.error_messages import advice, in_a_line
from bot.store.postgresql.schema import migrate
from bot.store.postgresql.statements import storable
from bot.store.sqlite.engine import SQLiteEngine
from bot.store.sqlite.own_file import own_file

_MOVING = 0x5061726E
"""The advisory lock of the one move into a database."""
_ROWS = 1000
"""Rows of one transaction."""
_FIRST = ("stored_turns", "conversations")
"""Tables that others refer to."""
_OF_PROCESSES = ("shards", "request_budget", "identify_turns", "session_starts", "processes")
_ONLY_THERE = ("schema_version", "commits", *_OF_PROCESSES, "moves")
_NOT_MOVED_YET = (
    "This database has things in it already that did not come from {file}: name an empty one, or delete its tables."
)
_CHANGED = (
    "{where} is not in the new database as it is in {file}: the bot may have run on the file since the move began. Make"
    " a new, empty database and move again."
)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a move is. `step` is what is done with the `done` of `of` rows."""

    step: str
    done: int
    of: int


@dataclass(frozen=True, slots=True)
class Moved:
    """What a move brought over."""

    rows: int
    turns: int
    conversations: int
    unprepared: str | None
    """Why the server could not look through what it has now (`ANALYZE`), without which it answers slowly at first."""


@dataclass(frozen=True, slots=True)
class _Table:
    name: str
    columns: Sequence[str]
    key: Sequence[str]
    """The columns by which its rows are in order, which no two share."""


async def move(file: Path, url: str, tell: Callable[[Progress], None]) -> Moved:
    """Move all from a file, whose bot is stopped, to an empty database or to one that the same move was stopped in.

    In the end, the rows of each table are counted on both sides, and a checksum of every conversation and of each
    other table is compared. Raises `StoreError`; moving again then goes on. Raises `StoreUnusable` where it cannot.
    """
    own = own_file(file)
    if not own.exists():
        raise StoreUnusable(f"The database {own} does not exist: set DATABASE_PATH to the file to move.")
    address = Address.of(url)
    async with SQLiteEngine.open(own, exclusive=True) as source:
        # What is forgotten is not to get anywhere else.
        await source.erase_deleted()
        connection = await address.connect(0)
        try:
            await migrate(connection, address.name)
            [[alone]] = await _rows(connection, f"SELECT pg_try_advisory_lock({_MOVING})")
            if not alone or await _rows(connection, SERVED):
                raise StoreUnusable(f"{address.name} is in use: stop the bots and the moves that run on it first.")
            return await _Move(own, source, connection, tell).run()
        except psycopg.Error as error:
            raise StoreError(advice(error, address.name)) from error
        finally:
            await connection.close()


class _Move:
    def __init__(self, file: Path, source: SQLiteEngine, target: Connection, tell: Callable[[Progress], None]) -> None:
        self._file = file
        self._source = source
        self._target = target
        self._tell = tell

    async def run(self) -> Moved:
        tables = await self._tables()
        counts = {table.name: await self._count(table) for table in tables}
        through = await self._begin(tables)
        rows = sum(counts.values())
        done = 0
        for table in tables:
            done = await self._copy(table, through.get(table.name), done, rows)
        await self._number_on(tables)
        await self._compare(tables, counts)
        conversations = next(table for table in tables if table.name == "conversations")
        await self._end(tables)
        return Moved(rows, counts["stored_turns"], counts[conversations.name], await self._prepare())

    async def _tables(self) -> list[_Table]:
        """All tables with their columns that are not computed, those first that others refer to."""
        found = await _rows(
            self._target,
            """
            SELECT t.table_name, array_agg(c.column_name::text ORDER BY c.ordinal_position),
                (
                    SELECT array_agg(a.attname::text ORDER BY array_position(i.indkey::int[], a.attnum::int))
                    FROM pg_index AS i JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
                    WHERE i.indrelid = to_regclass(t.table_name) AND i.indisprimary
                )
            FROM information_schema.tables AS t
            JOIN information_schema.columns AS c USING (table_schema, table_name)
            WHERE t.table_schema = current_schema() AND t.table_type = 'BASE TABLE' AND c.is_generated = 'NEVER'
                AND t.table_name <> ALL ($1::text[])
            GROUP BY t.table_name
            """,
            list(_ONLY_THERE),
        )
        tables = [_Table(name, columns, key) for name, columns, key in found]
        first = {name: place for place, name in enumerate(_FIRST)}
        return sorted(tables, key=lambda each: (first.get(each.name, len(first)), each.name))

    async def _count(self, table: _Table) -> int:
        [[count]] = await self._source.read(f"SELECT count(*) FROM {table.name}")
        return int(count)

    async def _begin(self, tables: Sequence[_Table]) -> dict[str, list[Value]]:
        """Note the move, or find how far it came: the key of the last row that was moved, by table."""
        # Read before: the server ends a transaction in which nothing comes for long.
        origin = await self._origin()
        async with self._target.transaction():
            begun = await _rows(self._target, "SELECT to_regclass('moves') IS NOT NULL")
            if not begun[0][0]:
                for table in tables:
                    if await _rows(self._target, f"SELECT 1 FROM {table.name} LIMIT 1"):
                        raise StoreUnusable(_NOT_MOVED_YET.format(file=self._file))
                await self._target.execute("CREATE TABLE moves (name TEXT PRIMARY KEY, through TEXT NOT NULL)")
                for table in tables:
                    # Each row comes with what its trigger had done.
                    await self._target.execute(f"ALTER TABLE {table.name} DISABLE TRIGGER USER".encode())
                await self._target.execute("INSERT INTO moves VALUES ('', $1)", [origin])
            noted = dict(tuple(row) for row in await _rows(self._target, "SELECT name, through FROM moves"))
        if noted.pop("") != origin:
            raise StoreUnusable(_NOT_MOVED_YET.format(file=self._file))
        return {name: json.loads(through) for name, through in noted.items()}

    async def _origin(self) -> str:
        """What tells one file from another, wherever it lies."""
        keys = [tuple(row) for row in await self._source.read("SELECT purpose, key FROM hash_keys ORDER BY purpose")]
        first = await self._source.read("SELECT id, created_at FROM stored_turns ORDER BY id LIMIT 1")
        return blake2b(repr((keys, *map(tuple, first))).encode(), digest_size=16).hexdigest()

    async def _copy(self, table: _Table, through: Sequence[Value] | None, done: int, of: int) -> int:
        if through is not None:
            where, values = _up_to(table, through)
            [[before]] = await self._source.read(f"SELECT count(*) FROM {table.name} WHERE {where}", **values)
            done += before
        into = f"COPY {table.name} ({', '.join(table.columns)}) FROM STDIN".encode()
        async with aclosing(self._pages(table, through)) as pages:
            async for page in pages:
                async with self._target.transaction():
                    async with self._target.cursor().copy(into) as copying:
                        for row in page:
                            await copying.write_row(_there(row))
                    # As the file has it, where the move goes on after it.
                    last = json.dumps(_key_of(table, page[-1]))
                    await self._target.execute(
                        "INSERT INTO moves VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET through = excluded.through",
                        [table.name, last],
                    )
                done += len(page)
                self._tell(Progress("Moved", done, of))
        return done

    async def _pages(self, table: _Table, through: Sequence[Value] | None) -> AsyncGenerator[list[list[Value]], None]:
        """The rows of the file in the order of their key, after a key."""
        columns, key = ", ".join(table.columns), ", ".join(table.key)
        while True:
            where, values = _after(table, through) if through is not None else ("TRUE", {})
            page = await self._source.read(
                f"SELECT {columns} FROM {table.name} WHERE {where} ORDER BY {key} LIMIT {_ROWS}", **values
            )
            if not page:
                return
            rows = [list(row) for row in page]
            yield rows
            through = _key_of(table, rows[-1])

    async def _number_on(self, tables: Sequence[_Table]) -> None:
        """Give no id again that the file has given out."""
        last = {row[0]: row[1] for row in await self._source.read("SELECT name, seq FROM sqlite_sequence")}
        for table in tables:
            sequence = await _rows(
                self._target,
                """
                SELECT pg_get_serial_sequence(table_name, column_name) FROM information_schema.columns
                WHERE table_schema = current_schema() AND table_name = $1 AND is_identity = 'YES'
                """,
                table.name,
            )
            if sequence:
                [[highest]] = await _rows(self._target, f"SELECT coalesce(max(id), 0) FROM {table.name}")
                given = max(last.get(table.name) or 0, highest)
                await _rows(
                    self._target, "SELECT setval($1::regclass, $2, $3)", sequence[0][0], max(1, given), given > 0
                )

    async def _compare(self, tables: Sequence[_Table], counts: Mapping[str, int]) -> None:
        of = sum(counts.values())
        done = 0
        for table in tables:
            [[there]] = await _rows(self._target, f"SELECT count(*) FROM {table.name}")
            if there != counts[table.name]:
                raise StoreUnusable(_CHANGED.format(where=f"The table {table.name}", file=self._file))
            here_sums = await self._checksums(table, self._pages(table, None), done, of)
            there_sums = await self._checksums(table, self._pages_there(table), done, of, told=False)
            done += counts[table.name]
            if here_sums != there_sums:
                group = next(each for each in here_sums if here_sums[each] != there_sums.get(each))
                where = f"The table {table.name}" if group is None else f"The conversation {await self._channel(group)}"
                raise StoreUnusable(_CHANGED.format(where=where, file=self._file))

    async def _checksums(
        self, table: _Table, pages: AsyncGenerator[list[list[Value]], None], done: int, of: int, *, told: bool = True
    ) -> Mapping[Any, int]:
        """A checksum of each conversation's turns, or of all rows of another table (None), in whichever order."""
        group = table.columns.index("conversation_id") if table.name == "stored_turns" else None
        sums: dict[Any, int] = defaultdict(int)
        async for page in pages:
            for row in page:
                # Added up: where a key has what the server cannot hold, its row has another place there.
                row_sum = int.from_bytes(blake2b(repr(_there(row)).encode(), digest_size=16).digest())
                sums[None if group is None else row[group]] += row_sum
            done += len(page)
            if told:
                self._tell(Progress("Compared", done, of))
            await asyncio.sleep(0)
        return sums

    async def _pages_there(self, table: _Table) -> AsyncGenerator[list[list[Value]], None]:
        columns, key = ", ".join(table.columns), ", ".join(table.key)
        async with self._target.transaction(), self._target.cursor() as cursor:
            await cursor.execute(
                f"DECLARE moved NO SCROLL CURSOR FOR SELECT {columns} FROM {table.name} ORDER BY {key}".encode()
            )
            while page := await _rows(self._target, f"FETCH {_ROWS} FROM moved"):
                yield [list(row) for row in page]
            await cursor.execute("CLOSE moved")

    async def _channel(self, conversation_id: int) -> str:
        rows = await self._source.read("SELECT channel FROM conversations WHERE id = :id", id=conversation_id)
        return str(rows[0]["channel"]) if rows else str(conversation_id)

    async def _end(self, tables: Sequence[_Table]) -> None:
        async with self._target.transaction():
            for table in tables:
                await self._target.execute(f"ALTER TABLE {table.name} ENABLE TRIGGER USER".encode())
            await self._target.execute("DROP TABLE moves")

    async def _prepare(self) -> str | None:
        """Have the server plan its queries for what it has now. Returns why it could not."""
        try:
            await self._target.execute("ANALYZE")
        except psycopg.Error as error:
            return in_a_line(error)
        return None


def _there(row: Sequence[Value]) -> list[Value]:
    """A row of the file as the new database keeps it."""
    return [storable(value) if isinstance(value, str) else value for value in row]


def _key_of(table: _Table, row: Sequence[Value]) -> list[Value]:
    return [row[table.columns.index(name)] for name in table.key]


def _after(table: _Table, key: Sequence[Value], sign: str = ">") -> tuple[str, dict[str, Value]]:
    """The condition for the rows after a key, and its parameters."""
    names = [f"key{place}" for place in range(len(key))]
    left, right = ", ".join(table.key), ", ".join(f":{name}" for name in names)
    return f"({left}) {sign} ({right})", dict(zip(names, key, strict=True))


def _up_to(table: _Table, key: Sequence[Value]) -> tuple[str, dict[str, Value]]:
    return _after(table, key, "<=")


async def _rows(connection: Connection, sql: str, *values: object) -> list[Any]:
    cursor = await connection.execute(sql.encode(), values or None)
    return await cursor.fetchall() if cursor.description else []

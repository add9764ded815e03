"""Statements sent together on one connection, and answered together: libpq's pipeline mode on the event loop.

The driver's own cursors send each statement for itself and look for answers after each, which takes longer than most of
the statements do. Here all of them go in one packet, and answers are read as they come.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import psycopg
from psycopg import pq
from psycopg.adapt import Transformer
from psycopg.errors import error_from_result

from bot.store.engine import Value

_PREPARED_AT = 3
"""The use of a statement from which on it is prepared, so that the server need not parse it again."""
_MOST_PREPARED = 200
"""Statements, more than the store has that do not depend on how much is asked at once."""
_MOST_KNOWN = 1000
"""Statements whose uses are counted."""
_MADE = (pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK)

Bound: TypeAlias = tuple[str, Sequence[Value]]
"""A statement with numbered parameters, each of which has its type in the SQL."""


class Record:
    """One row of an answer. Implements `bot.store.engine.Row`."""

    __slots__ = ("_places", "_values")

    def __init__(self, places: Mapping[str, int], values: Sequence[Any]) -> None:
        self._places = places
        self._values = values

    def __getitem__(self, key: Any, /) -> Any:
        return self._values[self._places[key] if isinstance(key, str) else key]

    def __iter__(self) -> Iterator[Any]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def keys(self) -> list[str]:
        return list(self._places)


Records: TypeAlias = list[Record]


class OutdatedPlan(psycopg.errors.FeatureNotSupported):
    """A prepared statement has other columns since another process has brought the schema up to date.

    It is prepared anew at its next use.
    """


@dataclass(slots=True)
class _Statement:
    """What is known of a statement that was used on a connection."""

    name: bytes = b""
    """What it is prepared as. Empty: it is not."""
    uses: int = 0
    places: Mapping[str, int] | None = None
    """The columns of its rows. They stay as they are once it is prepared."""


@dataclass(frozen=True, slots=True)
class _Sent:
    statement: _Statement
    name: bytes
    """What it was sent as. Empty: with its SQL."""
    is_new: bool
    """Whether it was prepared for that."""


class Pipeline:
    """An open connection on which nothing else is asked, for one user at a time. Closes it in the end."""

    def __init__(self, connection: psycopg.AsyncConnection[Any]) -> None:
        self._connection = connection
        self._libpq = connection.pgconn
        self._rows = Transformer(connection)
        self._statements: dict[str, _Statement] = {}
        self._prepared = 0
        self._results: list[pq.abc.PGresult] = []
        self._answered: asyncio.Future[None] | None = None
        """Done once the server has answered all statements that were sent. None: no statement was sent."""
        self._loop = asyncio.get_running_loop()
        self._socket = self._libpq.socket
        self._listens = True
        self._loop.add_reader(self._socket, self._receive)

    @property
    def is_idle(self) -> bool:
        """Whether it can be used. What a server says without being asked is that it ends."""
        in_none = self._libpq.transaction_status == pq.TransactionStatus.IDLE
        return self._listens and self._answered is None and in_none

    async def close(self) -> None:
        self._stop_listening()
        await self._connection.close()

    async def ask(self, *statements: Bound) -> list[Records | psycopg.Error]:
        """The rows of each statement, or its error. Raises psycopg.Error where the connection is lost."""
        sent, results, lost = await self._exchange(statements)
        if lost is not None:
            raise lost
        answers: list[Records | psycopg.Error] = []
        try:
            for rows in self._read(sent, results):
                answers.append(rows)  # noqa: PERF402 - those before an error count too
        except psycopg.Error as error:
            if len(answers) == len(statements):
                raise  # it is the commit that fails
            answers += [] if isinstance(error, OutdatedPlan) else [error]
        if len(answers) < len(statements):
            # What stands behind one that fails was not looked at.
            answers += await self.ask(*statements[len(answers) :])
        return answers

    async def run(self, sql: str) -> Records:
        """The rows of one statement without parameters. Raises psycopg.Error.

        BEGIN opens a transaction, of which the statements after it are a part until COMMIT.
        """
        [answer] = await self.ask((sql, ()))
        if isinstance(answer, psycopg.Error):
            raise answer
        return answer

    async def commit(self, statements: Sequence[Bound], answers: list[Records]) -> None:
        """Make one transaction of statements, and put the rows of each into `answers` before it is committed.

        Raises psycopg.Error where it is undone, and where the connection is lost: then it may have been committed, and
        the answers are those that have come.
        """
        # The answers go out before the commit: whoever loses the connection with its answer has those already.
        sent, results, lost = await self._exchange(statements, answers_first=True)
        for rows in self._read(sent, results):
            answers.append(rows)  # noqa: PERF402 - those before an error count too
        if lost is not None:
            raise lost

    def _send(self, sql: str, values: Sequence[Value]) -> _Sent:
        known = self._statements.get(sql)
        if known is None:
            if len(self._statements) >= _MOST_KNOWN:
                self._statements = {sql: each for sql, each in self._statements.items() if each.name}
            known = self._statements[sql] = _Statement()
        known.uses += 1
        parameters = [value if value is None or isinstance(value, bytes) else str(value).encode() for value in values]
        formats = None
        if bytes in map(type, values):
            formats = [pq.Format.BINARY if isinstance(value, bytes) else pq.Format.TEXT for value in values]
        name, is_new = known.name, False
        if not name and known.uses >= _PREPARED_AT and self._prepared < _MOST_PREPARED:
            self._prepared += 1
            name, is_new = b"statement %d" % self._prepared, True
            self._libpq.send_prepare(name, sql.encode())
        if name:
            self._libpq.send_query_prepared(name, parameters, formats)
        else:
            self._libpq.send_query_params(sql.encode(), parameters, param_formats=formats)
        return _Sent(known, name, is_new)

    async def _exchange(
        self, statements: Sequence[Bound], *, answers_first: bool = False
    ) -> tuple[Sequence[_Sent], Sequence[pq.abc.PGresult], psycopg.Error | None]:
        """Send statements as one transaction. Returns what has come of it, and the error if the connection is lost.

        `answers_first`: the server is to send the answers before it commits.
        """
        self._results, self._answered = [], self._loop.create_future()
        self._libpq.enter_pipeline_mode()
        sent = [self._send(sql, values) for sql, values in statements]
        try:
            if answers_first:
                self._libpq.send_flush_request()
            self._libpq.pipeline_sync()
            if self._libpq.flush():
                self._loop.add_writer(self._socket, self._flush)
            await self._answered
            self._libpq.exit_pipeline_mode()
        except psycopg.Error as error:
            return sent, self._taken(), error
        self._answered = None
        return sent, self._taken(), None

    def _taken(self) -> Sequence[pq.abc.PGresult]:
        """The results, of which a connection that is kept for hours keeps nothing."""
        results, self._results = self._results, []
        return results

    def _flush(self) -> None:
        try:
            if not self._libpq.flush():
                self._loop.remove_writer(self._socket)
        except psycopg.Error as error:
            self._lose(error)

    def _receive(self) -> None:
        """Take what the server has sent."""
        if self._answered is None:
            self._stop_listening()
            return
        try:
            self._libpq.consume_input()
            while not self._answered.done() and not self._libpq.is_busy():
                result = self._libpq.get_result()
                if result is None:
                    continue
                if result.status == pq.ExecStatus.PIPELINE_SYNC:
                    self._answered.set_result(None)
                else:
                    self._results.append(result)
        except psycopg.Error as error:
            self._lose(error)

    def _lose(self, error: psycopg.Error) -> None:
        self._stop_listening()
        if self._answered is not None and not self._answered.done():
            self._answered.set_exception(error)

    def _stop_listening(self) -> None:
        if self._listens:
            self._listens = False
            self._loop.remove_reader(self._socket)
            self._loop.remove_writer(self._socket)

    def _read(self, sent: Sequence[_Sent], results: Sequence[pq.abc.PGresult]) -> Iterator[Records]:
        """The rows of each statement, as far as there are results. Raises the error of the first that failed."""
        made = (self._made(result) for result in results)
        for each in sent:
            if each.is_new and next(made, None) is not None:
                each.statement.name = each.name
            try:
                result = next(made, None)
            except psycopg.errors.FeatureNotSupported as error:
                each.statement.name, each.statement.places = b"", None
                if each.name and not each.is_new:
                    raise OutdatedPlan(str(error)) from error
                raise
            if result is None:
                return
            yield self._records(each.statement, result)
        # What fails at the commit.
        for _ in made:
            pass

    def _made(self, result: pq.abc.PGresult) -> pq.abc.PGresult:
        if result.status not in _MADE:
            raise error_from_result(result)
        return result

    def _records(self, statement: _Statement, result: pq.abc.PGresult) -> Records:
        if not result.ntuples:
            return []
        places = statement.places
        if places is None:
            names = (result.fname(place) or b"" for place in range(result.nfields))
            places = {name.decode(): place for place, name in enumerate(names)}
            statement.places = places if statement.name else None
        self._rows.set_pgresult(result)
        records = self._rows.load_rows(0, result.ntuples, partial(Record, places))
        self._rows.set_pgresult(None)
        return records

"""The processes that run on one database: what each last reported, and what the server has left for them.

All times are those of the database's clock.
"""

from __future__ import annotations

import time

from bot.core.records import DatabaseServerState, ProcessRecord
from bot.core.shards import Shards
from bot.store.engine import Engine

_KEPT_S = 86_400
"""Seconds for which the row of a process is kept that was killed, or whose computer was lost."""

_REPORT = """
    INSERT INTO processes (name, host, pid, shards, count, well, said, reported_at)
    VALUES (:process, :host, :pid, :shards, :count, :well, :said, clock_timestamp())
    ON CONFLICT (name) DO UPDATE SET
        shards = excluded.shards, count = excluded.count, well = excluded.well, said = excluded.said,
        reported_at = excluded.reported_at
    """
_DELETE_GONE = f"""
    DELETE FROM processes
    WHERE reported_at < clock_timestamp() - CASE WHEN host = :host THEN :age ELSE {_KEPT_S} END * interval '1 s'
    """
_ALL = """
    SELECT host, pid, shards, count, well, said,
        extract(epoch FROM clock_timestamp() - reported_at)::float8 AS age
    FROM processes ORDER BY shards = '', string_to_array(shards, ',')::bigint[], host, pid
    """
# The connections of others can be counted, but not told apart. A limit of -1 is none.
_STATE = """
    WITH bot AS (
        SELECT count(*) AS held FROM pg_stat_activity
        WHERE usename = current_user AND application_name = current_setting('application_name')
    ), limits AS (
        SELECT current_setting('max_connections')::bigint - current_setting('superuser_reserved_connections')::bigint
                - coalesce(current_setting('reserved_connections', true), '0')::bigint AS most,
            (SELECT sum(numbackends) FROM pg_stat_database)::bigint AS held
        UNION ALL
        SELECT datconnlimit, pg_stat_get_db_numbackends(oid) FROM pg_database WHERE datname = current_database()
        UNION ALL
        SELECT rolconnlimit, (SELECT count(*) FROM pg_stat_activity WHERE usename = current_user)
        FROM pg_roles WHERE rolname = current_user
    )
    SELECT extract(epoch FROM clock_timestamp())::float8 AS now,
        (SELECT min(most - limits.held + bot.held) FROM limits WHERE most >= 0)::bigint AS connections
    FROM bot
    """


class Processes:
    """The table of processes. Every method raises StoreError."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def report(self, process: str, host: str, pid: int, shards: Shards, well: bool, said: str) -> None:
        """Put on record how a process is, which has this name for as long as it runs."""
        ids = ",".join(map(str, shards.ids))
        await self._engine.write(
            _REPORT, process=process, host=host, pid=pid, shards=ids, count=shards.count, well=well, said=said
        )

    async def remove(self, process: str) -> None:
        """Delete the row of a process that ends."""
        await self._engine.write("DELETE FROM processes WHERE name = :process", process=process)

    async def delete_gone(self, host: str, age: int) -> None:
        """Delete the rows of those on this computer that have not reported for so many seconds, and of others later."""
        await self._engine.write(_DELETE_GONE, host=host, age=age)

    async def all(self) -> list[ProcessRecord]:
        """What all processes last reported: first those that serve, in the order of their shards."""
        return [
            ProcessRecord(
                row["host"],
                row["pid"],
                Shards(tuple(map(int, filter(None, row["shards"].split(",")))), row["count"]),
                bool(row["well"]),
                row["said"],
                row["age"],
            )
            for row in await self._engine.read(_ALL)
        ]

    async def server(self) -> DatabaseServerState:
        """What the server has left for the bot. Raises StoreError also where it takes no writes."""
        await self._engine.ping()
        before = time.time()
        [row] = await self._engine.read(_STATE)
        # The answer was given at some time in between.
        late, early = row["now"] - time.time(), row["now"] - before
        ahead = 0.0 if late <= 0 <= early else min(late, early, key=abs)
        return DatabaseServerState(ahead, row["connections"])

"""The health of all processes of a bot on one database server: each reports its own there, and one command reads them.

Nothing waits for these reports. While the database is away, each process still has its status file (`health`).
"""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from bot.core.errors import StoreError
from bot.core.records import ProcessRecord
from bot.core.shards import Shards
from bot.operator import reports
from bot.operator.health import MAX_AGE, HealthReport, no_bot_on
from bot.store.databases import DatabaseServer, processes_on

if TYPE_CHECKING:
    from bot.store.postgresql import Processes

INTERVAL = 5.0
"""Seconds between two reports in the database, if nothing changes."""
_END_S = 2.0
"""Seconds that the end of a process waits until its row is deleted."""

Note: TypeAlias = Callable[[Shards, HealthReport], None]
"""Takes what the process serves, and how it is."""


@dataclass(slots=True)
class _Latest:
    """The last report of this process that is to go to the database."""

    shards: Shards | None = None
    report: HealthReport | None = None
    at: float = 0.0
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def note(self, shards: Shards, report: HealthReport) -> None:
        if self.report is None or (self.shards, self.report.well) != (shards, report.well):
            self.changed.set()
        self.shards, self.report, self.at = shards, report, time.monotonic()


@asynccontextmanager
async def reported(processes: Processes | None) -> AsyncIterator[Note]:
    """Keep the row of this process up to date with what is noted, until the block ends. Without a table, do nothing."""
    latest = _Latest()
    if processes is None:
        yield latest.note
        return
    process = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(8)}"
    reporting = asyncio.create_task(_report(processes, process, latest))
    try:
        yield latest.note
    finally:
        reporting.cancel()
        await asyncio.wait([reporting])
        with suppress(StoreError, TimeoutError):
            async with asyncio.timeout(_END_S):
                await processes.remove(process)


async def _report(processes: Processes, process: str, latest: _Latest) -> None:
    await latest.changed.wait()
    first = True
    while True:
        latest.changed.clear()
        writing = asyncio.create_task(_write(processes, process, latest, first=first))
        try:
            first = not await asyncio.shield(writing) and first
        except asyncio.CancelledError:
            # It would write the row again after its deletion.
            await asyncio.wait([writing], timeout=_END_S)
            raise
        with suppress(TimeoutError):
            async with asyncio.timeout(INTERVAL):
                await latest.changed.wait()


async def _write(processes: Processes, process: str, latest: _Latest, *, first: bool) -> bool:
    """Write the row, and at first delete those that this process has replaced. Returns whether that was possible."""
    host, shards, report = socket.gethostname(), latest.shards, latest.report
    if shards is None or report is None or time.monotonic() - latest.at > MAX_AGE:
        return False
    try:
        if first:
            await processes.delete_gone(host, int(MAX_AGE))
        await processes.report(process, host, os.getpid(), shards, report.well, report.text)
    except StoreError:
        # Which the status file says too, and the row by its age.
        return False
    return True


async def read_all(database: DatabaseServer) -> HealthReport:
    """The last reports of all processes on a database. All is well if those that are well serve every shard.

    Raises BotError where no process runs, and where the database cannot be read.
    """
    async with processes_on(database) as processes:
        found = await processes.all()
    if not found:
        raise no_bot_on(database)
    unserved = unserved_of(found)
    return HealthReport(not unserved.ids, reports.processes(found, unserved, MAX_AGE))


def fresh(processes: Sequence[ProcessRecord]) -> list[ProcessRecord]:
    """Those that are neither blocked nor gone."""
    return [each for each in processes if each.age <= MAX_AGE]


def unserved_of(processes: Sequence[ProcessRecord]) -> Shards:
    """The shards that no process serves well."""
    running = fresh(processes)
    count = max(each.shards.count for each in running or processes)
    served = {shard for each in running if each.well and each.shards.count == count for shard in each.shards.ids}
    return Shards([shard for shard in range(count) if shard not in served], count)

"""The ownership and the schema of a database file: checked, then brought up to date by `bot/migrations/*.sql`."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Iterator, Sequence
from functools import cache
from importlib import resources
from pathlib import Path

import aiosqlite

from bot.core.errors import StoreUnusable
from bot.store.sqlite.error_messages import another, foreign

_APPLICATION_ID = 0x5061726C
"""Marks the file as ours ("Parl"), for `file` and for the next opening."""
_TELL_EVERY_S = 5.0
"""Seconds between two lines in the log on how far a migration is."""

_log = logging.getLogger(__name__)


async def verify_ownership(connection: aiosqlite.Connection, file: Path) -> None:
    """Raise StoreUnusable, with the file untouched, where it is another program's or a newer version's."""
    # In this order: another opener may make the tables, and with them set the id, between the two.
    [[tables]] = await connection.execute_fetchall("SELECT count(*) FROM sqlite_schema")
    [[application]] = await connection.execute_fetchall("PRAGMA application_id")
    if application != _APPLICATION_ID and (application or tables):
        raise StoreUnusable(foreign(file))
    if await _version(connection) > len(migrations()):
        raise StoreUnusable(
            f"The database {file} was written by a newer version of this bot: install that version again, or"
            f" {another(file)}."
        )


async def _version(connection: aiosqlite.Connection) -> int:
    [[version]] = await connection.execute_fetchall("PRAGMA user_version")
    return int(version)


@cache
def migrations() -> tuple[str, ...]:
    """The scripts that make each version of the schema from the one before it."""
    folder = resources.files("bot") / "migrations"
    scripts = sorted((entry for entry in folder.iterdir() if entry.name.endswith(".sql")), key=lambda entry: entry.name)
    return tuple(script.read_text(encoding="utf-8") for script in scripts)


async def migrate(connection: aiosqlite.Connection, file: Path | None) -> None:
    """Bring the schema up to date in one transaction, which closing undoes when it is half-done.

    Foreign keys have to be off: a table that is rebuilt is dropped for a moment while others refer to it. The log says
    how far it is where a large `file` takes long.
    """
    scripts = migrations()
    # The lock comes before the look: two processes may open a new database at once.
    await connection.execute("BEGIN IMMEDIATE")
    version = await _version(connection)
    if version < len(scripts):
        applying = asyncio.create_task(_apply(connection, scripts[version:]))
        while file is not None and not (await asyncio.wait([applying], timeout=_TELL_EVERY_S))[0]:
            written = file.with_name(f"{file.name}-wal").stat().st_size
            _log.info("Bringing the database up to date: %s MB are written so far.", f"{written / 1e6:,.0f}")
        await applying
        await connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
        await connection.execute(f"PRAGMA user_version = {len(scripts)}")
    await connection.execute("COMMIT")


async def _apply(connection: aiosqlite.Connection, scripts: Sequence[str]) -> None:
    for script in scripts:
        for statement in _statements(script):
            await connection.execute(statement)


def _statements(script: str) -> Iterator[str]:
    """The statements of a script, each of which ends with its line. `executescript` would commit first."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""

"""Backups: copies of a database, made on their own connection while a bot may be running."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import sys
import tempfile
from contextlib import closing, suppress
from pathlib import Path

import aiosqlite

from bot.core.errors import StoreError, StoreUnusable
from bot.store.sqlite.erasing import purge_some
from bot.store.sqlite.error_messages import advice, advice_on_backup, is_damage
from bot.store.sqlite.own_file import own_file
from bot.store.sqlite.schema import verify_ownership

_PART = ("parley-backup-", ".part")
"""The beginning and the end of the name of a copy that is not finished."""
_ABANDONED_S = 3600.0
"""Seconds without a write after which the process that made such a copy was killed."""


async def backup(database: Path, to: Path) -> None:
    """Copy the database to a new file that only its owner can read, as of one moment and without deleted bytes.

    A database of an earlier version is copied as it is. The copy is complete as soon as it has its name. What a killed
    backup left in the same folder is removed: it may hold what was forgotten. Raises `StoreError`, with nothing left
    behind.
    """
    try:
        file, part = _prepare(database, to)
        try:
            await _copy(file, part, to)
            await asyncio.to_thread(_name, part, to)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(advice_on_backup(error, to)) from error


def _prepare(database: Path, to: Path) -> tuple[Path, Path]:
    """The path of the database, and an empty file beside the future backup."""
    file = own_file(database)
    if not file.exists():
        raise StoreUnusable(f"The database {file} does not exist: start the bot first, or choose another file.")
    if os.path.lexists(to):
        raise StoreError(f"The backup {to} already exists: choose another name, or move it away.")
    descriptor, name = tempfile.mkstemp(prefix=_PART[0], suffix=_PART[1], dir=to.parent)
    os.close(descriptor)
    part = Path(name)
    _remove_abandoned(part)
    return file, part


def _remove_abandoned(part: Path) -> None:
    """Remove the unfinished copies beside a new one that nobody writes any more, by the file system's own clock."""
    now = part.stat().st_mtime
    for other in part.parent.glob("*".join(_PART)):
        with suppress(OSError):  # finished or removed meanwhile, or another user's
            if now - other.stat().st_mtime > _ABANDONED_S:
                other.unlink()


async def _copy(file: Path, part: Path, to: Path) -> None:
    try:
        async with aiosqlite.connect(file, isolation_level=None) as connection:
            await verify_ownership(connection, file)
            try:
                # Unlike SQLite's backup interface, this does not start over whenever somebody writes.
                await connection.execute_fetchall("VACUUM INTO ?", [str(part)])
            except sqlite3.Error as error:
                if is_damage(error):
                    raise
                raise StoreError(advice_on_backup(error, to)) from error
        await asyncio.to_thread(_purge, part)
    except sqlite3.Error as error:
        raise StoreError(advice(error, file)) from error


def _purge(part: Path) -> None:
    """Delete from the copy the rows of what was forgotten just before."""
    with closing(sqlite3.connect(part, isolation_level=None)) as connection:
        if connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'forgotten_users'").fetchone():
            # Nobody else has the copy, and it is thrown away if this fails.
            connection.executescript("PRAGMA journal_mode = OFF; PRAGMA secure_delete = ON; PRAGMA foreign_keys = ON")
            while purge_some(connection):
                pass


def _name(part: Path, to: Path) -> None:
    """Rename the finished copy once its bytes are on the disk."""
    with part.open("rb+") as written:
        os.fsync(written.fileno())
    part.rename(to)
    if sys.platform != "win32":  # where a folder cannot be opened
        folder = os.open(to.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

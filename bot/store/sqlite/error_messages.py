"""One sentence on what to do about an error of SQLite or of the operating system."""

from __future__ import annotations

import errno
import sqlite3
from pathlib import Path

OWN_FOLDER = "use a file in a folder of your own, such as ~/parley.db"

_UNWRITABLE = f"cannot be written: give this user the right to, also in its folder, or {OWN_FOLDER}."
_ELSEWHERE = "cannot be written: give this user the right to, or choose another folder."
_FULL = "has no space left on its disk: free some space, then try again."
_NO_FOLDER = f"has a file where its folder should be: {OWN_FOLDER}."
_OS_ADVICE = {
    errno.ENOENT: f"has a folder that cannot be made: {OWN_FOLDER}.",
    errno.EACCES: _UNWRITABLE,
    errno.EPERM: _UNWRITABLE,
    errno.EROFS: _UNWRITABLE,
    errno.ENOSPC: _FULL,
    errno.EEXIST: _NO_FOLDER,
    errno.ENOTDIR: _NO_FOLDER,
    errno.EISDIR: f"is a directory: {OWN_FOLDER}.",
}
_SQLITE_ADVICE = {
    sqlite3.SQLITE_READONLY: _UNWRITABLE,
    sqlite3.SQLITE_CANTOPEN: _UNWRITABLE,
    sqlite3.SQLITE_PERM: _UNWRITABLE,
    sqlite3.SQLITE_FULL: _FULL,
    sqlite3.SQLITE_CORRUPT: "is damaged: put a backup in its place, or move it away to start with a new one.",
    sqlite3.SQLITE_BUSY: "is in use by another program: close that program, then try again.",
}

_BUGS = frozenset(
    {
        sqlite3.SQLITE_ERROR,
        sqlite3.SQLITE_TOOBIG,
        sqlite3.SQLITE_CONSTRAINT,
        sqlite3.SQLITE_MISMATCH,
        sqlite3.SQLITE_MISUSE,
        sqlite3.SQLITE_RANGE,
    }
)


def result_code(error: sqlite3.Error) -> int:
    """SQLite's primary result code; 0 for an error that only the Python module knows."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def is_bug(error: sqlite3.Error) -> bool:
    """Whether a statement is at fault, or its values, so that it would fail again.

    A table that is not there may be made anew just now, as on PostgreSQL, and a trigger knows what it is for.
    """
    if getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_CONSTRAINT_TRIGGER or "no such table" in str(error):
        return False
    return result_code(error) in _BUGS or isinstance(error, sqlite3.ProgrammingError | sqlite3.DataError)


def is_damage(error: sqlite3.Error) -> bool:
    """Whether the error says that the file is damaged or is no database."""
    return result_code(error) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def advice(error: OSError | sqlite3.Error, file: Path | None) -> str:
    """The sentence about an error in using the database."""
    if isinstance(error, OSError):
        known = _OS_ADVICE.get(error.errno or 0)
    elif file is not None and result_code(error) == sqlite3.SQLITE_NOTADB:
        return foreign(file)
    else:
        known = _SQLITE_ADVICE.get(result_code(error))
    return f"{_name(file)} {known or _failed(error)}"


def foreign(file: Path) -> str:
    """The sentence about a file of something else."""
    return f"{_name(file)} is not a file of this bot's: {another(file)}."


def another(file: Path) -> str:
    """What to do where only another file helps."""
    return f"use another file, such as {file.with_name(f'{file.stem}-2{file.suffix}')}"


def defect(error: Exception, file: Path | None) -> str:
    """The sentence about an error that neither SQLite nor the operating system raised."""
    return f"{_name(file)} failed because of a bug ({type(error).__name__}): see the log, and report it."


def advice_on_backup(error: OSError | sqlite3.Error, to: Path) -> str:
    """The sentence about a backup that could not be written."""
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        known = f"has no folder: create {to.parent} first."
    elif isinstance(error, OSError):
        known = _FULL if error.errno == errno.ENOSPC else _ELSEWHERE
    else:
        known = _FULL if result_code(error) == sqlite3.SQLITE_FULL else _failed(error)
    return f"The backup {to} {known}"


def _name(file: Path | None) -> str:
    return f"The database {file}" if file else "The database in memory"


def _failed(error: OSError | sqlite3.Error) -> str:
    return f"failed ({error}): check its disk, then try again."

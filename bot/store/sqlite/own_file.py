"""The path of a database file that only this user can have made."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

from bot.core.errors import StoreUnusable
from bot.store.sqlite.error_messages import OWN_FOLDER

BESIDE = ("-wal", "-shm", ".lock")
"""The suffixes of the files beside a database."""


def own_file(path: str | Path) -> Path:
    """The absolute path of a database, which need not exist, in a folder without links.

    Raises StoreUnusable if the file, or one beside it, is a link or belongs to another user: whoever else can
    write to its folder could have the bot overwrite another file of its user's, or read what they put there.
    """
    folder, name = os.path.split(os.path.abspath(path))
    file = Path(os.path.realpath(folder)) / name
    for suffix in ("", *BESIDE):
        each = file.with_name(file.name + suffix)
        if (found := _foreign(each)) is not None:
            if suffix:
                raise StoreUnusable(f"The file {each} {found}: remove it, or {OWN_FOLDER}.")
            instead = f"use {os.path.realpath(file)} itself" if each.is_symlink() else OWN_FOLDER
            raise StoreUnusable(f"The database {file} {found}: {instead}.")
    return file


def _foreign(file: Path) -> str | None:
    """What is wrong with whose file it is, or None if nothing is, or the file does not exist."""
    try:
        found = file.lstat()
    except OSError:  # missing, or told when it is opened
        return None
    if stat.S_ISLNK(found.st_mode):
        return "is a link"
    if sys.platform != "win32" and not stat.S_ISDIR(found.st_mode) and found.st_uid != os.geteuid():
        return "belongs to another user"
    return None

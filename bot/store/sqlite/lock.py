"""The lock that keeps a second bot off the same database file, and tells others whether one runs."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bot.core.errors import StoreUnusable
from bot.store.sqlite.error_messages import another

_TRIES = 5
_PAUSE_S = 0.02
"""Seconds between two tries: whoever looks whether the lock is held holds it for a moment."""


@contextmanager
def exclusive_lock(file: Path) -> Iterator[None]:
    """Hold a lock on the file beside the database, which stays: removing it would let two processes lock two files.

    Raises `StoreUnusable` where another process holds it.
    """
    descriptor = os.open(f"{file}.lock", os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o600)
    try:
        if not _lock_soon(descriptor):
            holder = os.read(descriptor, 20).decode(errors="replace").strip()
            raise StoreUnusable(
                f"The database {file} is already in use by {f'process {holder}' if holder else 'another process'}:"
                f" stop that one, or {another(file)}."
            )
        os.ftruncate(descriptor, 0)
        os.write(descriptor, str(os.getpid()).encode())
        yield
    finally:
        os.close(descriptor)


def is_locked(file: Path) -> bool:
    """Whether a process holds the lock, or may hold it."""
    try:
        descriptor = os.open(f"{file}.lock", os.O_RDWR | getattr(os, "O_NOFOLLOW", 0))
    except OSError as error:
        return not isinstance(error, FileNotFoundError)
    try:
        return not _lock(descriptor)
    finally:
        os.close(descriptor)


def _lock_soon(descriptor: int) -> bool:
    for number in range(_TRIES):
        if number:
            time.sleep(_PAUSE_S)
        if _lock(descriptor):
            return True
    return False


if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> bool:
        """Try to take the lock. Closing the descriptor, or the end of the process, releases it."""
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
        """Try to take the lock. Closing the descriptor, or the end of the process, releases it."""
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

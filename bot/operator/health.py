"""The health of the running bot, in a status file beside its database, or in the folder `data` if that is on a server.

The bot writes the file every few seconds, from its own event loop: the time, its process id, and the result of each
check. `python -m bot health` reads it. A file that is no longer fresh shows that the event loop is blocked. The bot
removes the file at a clean end; after a kill, the process id in it tells that the bot is gone. Only the bot's own user
may read the file. Several processes on a server's database may share the folder: each has a file of its own.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import os
import socket
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from bot.core.errors import BotError, StoreError
from bot.discord_bot.health import HealthChecks
from bot.store.databases import Database, DatabaseServer

log = logging.getLogger(__name__)

_FOLDER = Path("data")
"""Where the status files of databases on servers are: the usual folder of a database file."""
INTERVAL = 2.0
"""Seconds between two reports of the bot."""
DATABASE_TIMEOUT = 3.0
"""Seconds that the database may take to answer. A report waits for it, so this is part of how old a report can be."""
MAX_AGE = 15.0
"""Seconds after which a report is no longer fresh. A healthy event loop reports after `INTERVAL + DATABASE_TIMEOUT`
at the latest; the rest is for a slow disk and a busy machine."""
UNANSWERED_LIMIT = 120.0
"""Seconds for which Discord may leave all requests unanswered. discord.py waits at most as long for a rate limit."""
_SHARDS_NAMED = 10
"""Shards without a connection that a report names."""
_READ_ATTEMPTS = 5
_READ_PAUSE = 0.1
"""Seconds between two attempts to read a file that is being written."""
_SIZE = 4096
"""Bytes of the file. A constant size can be overwritten in place on a full disk."""


@dataclass(frozen=True, slots=True)
class HealthReport:
    """The results of all checks; `text` has a line for each."""

    well: bool
    text: str


@dataclass(frozen=True, slots=True)
class _Status:
    """The content of the status file."""

    time: float
    """Seconds since the epoch."""
    pid: int
    well: bool
    text: str

    @classmethod
    def parse(cls, content: str) -> _Status:
        """Raises ValueError where the content is no status, or only a part of one."""
        match json.loads(content):
            case {"time": float(written), "pid": int(pid), "well": bool(well), "text": str(text)} if pid > 0:
                return cls(written, pid, well, text)
        raise ValueError("not a status")


def status_file(database: Database) -> Path:
    """The status file of this process, if it is the bot on a database. All links to one file lead to the same."""
    if isinstance(database, DatabaseServer):
        return (_FOLDER / _file_name(database, str(os.getpid()))).absolute()
    return Path(f"{os.path.realpath(database)}.health")


def _status_files(database: Database) -> Sequence[Path]:
    """The status files of all processes of this computer on a database, as far as they share the folder."""
    if isinstance(database, DatabaseServer):
        return sorted(_FOLDER.absolute().glob(_file_name(database, "*")))
    return [status_file(database)]


def _file_name(database: DatabaseServer, pid: str) -> str:
    # By the name of the database without the password. Of another computer, a process id says nothing.
    which = f"{database} {socket.gethostname()}"
    return f"postgresql-{hashlib.sha256(which.encode()).hexdigest()[:16]}.{pid}.health"


def no_bot_on(database: Database) -> BotError:
    """The error about a database on which no bot runs."""
    return BotError(f"No bot runs on the database {_named(database)}: start it with `python -m bot`.")


def _named(database: Database) -> str:
    """How errors name a database."""
    return str(database) if isinstance(database, DatabaseServer) else os.path.realpath(database)


@asynccontextmanager
async def publish_health(
    database: Database, checks: HealthChecks, note: Callable[[HealthReport], None] = lambda _: None
) -> AsyncIterator[None]:
    """Keep the status file up to date until the block ends. Only for the process that holds the database's lock.

    `note` is told each report.

    Failing writes are logged and do not end the bot.
    """
    file = status_file(database)
    with suppress(OSError):
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        for each in {file, *_left_behind(database)}:
            each.unlink(missing_ok=True)
    publishing = asyncio.create_task(_publish(file, checks, note))
    try:
        yield
    finally:
        publishing.cancel()
        await asyncio.wait([publishing])
        with suppress(OSError):
            file.unlink(missing_ok=True)


def _left_behind(database: Database) -> Sequence[Path]:
    """The status files of processes that were killed. Their ids may be others' by now, so a file has to be fresh."""
    left: list[Path] = []
    for file in _status_files(database):
        try:
            status = _Status.parse(file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if not _is_running(status.pid) or abs(time.time() - status.time) > MAX_AGE:
            left.append(file)
    return left


async def _publish(file: Path, checks: HealthChecks, note: Callable[[HealthReport], None]) -> None:
    failing = False
    while True:
        report = await run_checks(checks)
        note(report)
        status = _Status(time.time(), os.getpid(), report.well, report.text)
        # In a thread, since a disk that hangs must not block the event loop; shielded, since a thread cannot be
        # cancelled and would write the file again after its removal.
        writing = asyncio.create_task(asyncio.to_thread(_write, file, status))
        try:
            await asyncio.shield(writing)
        except OSError as error:
            if not failing:
                log.warning("`python -m bot health` cannot work until its file can be written: %s", error)
            failing = True
        except asyncio.CancelledError:
            await asyncio.wait([writing])
            raise
        else:
            failing = False
        await asyncio.sleep(INTERVAL)


def _write(file: Path, status: _Status) -> None:
    """Replace the file. Where the disk has no space for a second one, say so in the first. Raises OSError."""
    new = file.with_name(f"{file.name}.new")
    try:
        new.unlink(missing_ok=True)
        _write_to(os.open(new, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), status)
        os.replace(new, file)
    except OSError as error:
        with suppress(OSError):
            new.unlink(missing_ok=True)
        # Windows replaces no file while somebody reads it, which says nothing about the disk.
        if not isinstance(error, PermissionError):
            status = replace(status, well=False, text=f"{status.text}\nDisk: {error.strerror}.")
        _write_to(os.open(file, os.O_WRONLY), status)


def _write_to(descriptor: int, status: _Status) -> None:
    with os.fdopen(descriptor, "wb") as opened:
        opened.write(json.dumps(asdict(status)).encode().ljust(_SIZE))
        opened.truncate()


async def run_checks(checks: HealthChecks) -> HealthReport:
    """Run all checks. The model is reported and not judged."""
    shards, unanswered = checks.gateway(), checks.unanswered()
    away = {shard_id: seconds for shard_id, seconds in shards.items() if seconds is not None}
    no_answers = unanswered >= UNANSWERED_LIMIT
    database_error = await _database_error(checks.database)
    if not shards and database_error is not None:
        discord = "not connected before the database answers."
    elif not shards:
        discord = "standing by: other processes serve what this one could."
    elif away:
        discord = _without_connection(len(shards), away)
    elif no_answers:
        discord = f"connected, but no request has been answered for {unanswered:.0f} s. If this lasts, restart the bot."
    else:
        discord = "connected."
    last_reply = checks.model()
    if last_reply is None:
        model = "no reply since the start."
    else:
        model = f"the last reply ended {time.monotonic() - last_reply:.0f} s ago."
    text = f"Discord: {discord}\nDatabase: {database_error or 'answers.'}\nModel: {model}"
    # The path of a database, which an error names, need not be text that can be printed.
    text = text.encode(errors="replace").decode()
    return HealthReport(not away and not no_answers and database_error is None, text)


def _without_connection(shards: int, away: Mapping[int, float]) -> str:
    """What to say of the shards that have no session for so many seconds; of many, those that are away longest."""
    if shards == 1:
        return f"no connection to the gateway for {max(away.values()):.0f} s."
    longest = sorted(away.items(), key=lambda each: -each[1])
    named = [f"shard {shard_id} away for {seconds:.0f} s" for shard_id, seconds in longest[:_SHARDS_NAMED]]
    if more := len(longest) - len(named):
        named.append(f"{more} more")
    return f"{shards - len(away)} of {shards} shards connected; {', '.join(named)}."


async def _database_error(check: Callable[[], Awaitable[None]]) -> str | None:
    try:
        async with asyncio.timeout(DATABASE_TIMEOUT):
            await check()
    except TimeoutError:
        return f"no answer within {DATABASE_TIMEOUT:g} s."
    except StoreError as error:
        return str(error)
    return None


async def read_health(database: Database, max_age: float = MAX_AGE) -> HealthReport:
    """The last report of the bot on a database. Raises BotError where no bot runs, or where it is blocked.

    A report older than `max_age` seconds comes from a blocked bot. Several processes that share the folder are well if
    all are.
    """
    real = _named(database)
    running: list[_Status] = []
    for file in _status_files(database):
        try:
            status = await asyncio.to_thread(_read, file)
        except PermissionError:
            raise BotError(
                f"The bot on the database {real} runs as another user: run this command as that user."
            ) from None
        except (OSError, ValueError):
            continue
        if _is_running(status.pid):
            running.append(status)
    if not running:
        raise no_bot_on(database)
    several = len(running) > 1
    for status in running:
        # A clock that was set back makes a report of the future, which is not fresh either.
        age = abs(time.time() - status.time)
        if age > max_age:
            which = f"Process {status.pid} of the bot" if several else "The bot"
            raise BotError(
                f"{which} on the database {real} is blocked: it has not reported its health for {age:.0f} s. Look at"
                " its log, then restart it."
            )
    if not several:
        return HealthReport(running[0].well, running[0].text)
    text = "\n".join(f"Process {status.pid}:\n{status.text}" for status in running)
    return HealthReport(all(status.well for status in running), text)


def _read(file: Path) -> _Status:
    """Read the file, again if it is just being written. Raises OSError, and ValueError for a file of something else."""
    for _ in range(_READ_ATTEMPTS - 1):
        try:
            return _Status.parse(file.read_text(encoding="utf-8"))
        except (PermissionError, ValueError):
            # Windows denies access to a file that is being replaced; a file that is overwritten may be read in part.
            time.sleep(_READ_PAUSE)
    return _Status.parse(file.read_text(encoding="utf-8"))


if sys.platform == "win32":
    import ctypes

    _QUERY_LIMITED_INFORMATION = 0x1000
    """https://learn.microsoft.com/windows/win32/procthread/process-security-and-access-rights"""
    _STILL_ACTIVE = 259

    def _is_running(pid: int) -> bool:
        # Not os.kill(pid, 0), which on Windows sends Ctrl-C.
        kernel = ctypes.windll.kernel32
        handle = kernel.OpenProcess(_QUERY_LIMITED_INFORMATION, False, pid)
        if not handle:
            return False
        try:
            code = ctypes.c_ulong()
            return bool(kernel.GetExitCodeProcess(handle, ctypes.byref(code))) and code.value == _STILL_ACTIVE
        finally:
            kernel.CloseHandle(handle)

else:

    def _is_running(pid: int) -> bool:
        try:
            os.kill(pid, 0)
        except (ProcessLookupError, OverflowError):
            return False
        except PermissionError:
            return True
        return True

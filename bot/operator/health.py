"""Whether the running bot is well: its own event loop says so, to whoever asks beside its database.

It answers over a Unix socket. Where there can be none (Windows, a path too long for one, some mounted file systems) it
takes a port of this machine, whose number and password stand in a file. Either may be used by the bot's user alone.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import socket
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from hmac import compare_digest
from pathlib import Path

from bot.core.errors import BotError, StoreError

log = logging.getLogger(__name__)

PATIENCE = 5.0
"""Seconds within which an event loop that turns has answered."""
UNANSWERED = 120.0
"""Seconds for which Discord may leave all requests unanswered: discord.py waits out no limit for as long."""
_DATABASE_PATIENCE = 3.0
"""Shorter, so that a database that hangs can still be told from a loop that does."""
_LOOPBACK = "127.0.0.1"
_WELL, _UNWELL = "well", "unwell"
_NO_PASSWORD = b"\n"


@dataclass(frozen=True, slots=True)
class HealthChecks:
    """What the bot is asked. `gateway`: seconds without Discord's gateway, or None while connected to it. `unanswered`:
    seconds for which requests to Discord have been under way and none was answered. `database` raises StoreError.
    `model`: when its last good reply ended, on the monotonic clock, or None.
    """

    gateway: Callable[[], float | None]
    unanswered: Callable[[], float]
    database: Callable[[], Awaitable[None]]
    model: Callable[[], float | None]


@dataclass(frozen=True, slots=True)
class HealthReport:
    """`report` has a line for each of them."""

    well: bool
    report: str


@asynccontextmanager
async def serve_health(database: Path, vitals: HealthChecks) -> AsyncIterator[None]:
    """Answer until the block ends; only for whoever holds the lock on the database.

    A bot that cannot be asked still serves: that is only logged.
    """
    places = _Places.beside(database)
    connections: set[asyncio.Task[None]] = set()

    def connected(password: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(_serve(reader, writer, password, vitals))
        connections.add(task)
        task.add_done_callback(connections.discard)

    server: asyncio.Server | None = None
    try:
        places.clear()  # a killed bot leaves them behind
        server = await _listen(places, connected)
    except OSError as error:
        log.warning("`python -m bot health` will not work: %s", error)
    try:
        yield
    finally:
        if server is not None:
            server.close()
        for task in connections:
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)
        with suppress(OSError):
            places.clear()


async def query_health(database: Path, patience: float = PATIENCE) -> HealthReport:
    """What the bot on a database says of itself within `patience` seconds. Raises BotError where none does."""
    places = _Places.beside(database)
    nobody = f"No bot answers on the database {places.database}: start it with `python -m bot`."
    try:
        async with asyncio.timeout(patience):
            said = await _question(places)
    except PermissionError:
        raise BotError(f"Only the user of the bot on the database {places.database} may ask how it is.") from None
    except TimeoutError:
        raise BotError(
            f"The bot on the database {places.database} runs, but its event loop does not turn: no answer within"
            f" {patience:g} s. Look at its log, then restart it."
        ) from None
    except (OSError, ValueError):
        raise BotError(nobody) from None
    verdict, _, report = said.decode(errors="replace").partition("\n")
    if verdict not in (_WELL, _UNWELL):
        raise BotError(nobody)
    return HealthReport(verdict == _WELL, report)


_Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], None]


@dataclass(frozen=True, slots=True)
class _Places:
    """Where to ask the bot on a database; all links to one file lead to the same."""

    database: Path
    socket: Path
    port: Path
    """The file with the number of the port and its password, where there is no socket."""

    @classmethod
    def beside(cls, database: Path) -> _Places:
        real = os.path.realpath(database)
        return cls(Path(real), Path(f"{real}.sock"), Path(f"{real}.port"))

    def clear(self) -> None:
        self.socket.unlink(missing_ok=True)
        self.port.unlink(missing_ok=True)


if sys.platform == "win32":

    async def _listen_on_socket(path: Path, serve: _Serve) -> asyncio.Server:
        raise OSError("asyncio has no Unix sockets on Windows")

    async def _connect_to_socket(path: Path) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        raise FileNotFoundError(path)

else:

    async def _listen_on_socket(path: Path, serve: _Serve) -> asyncio.Server:
        listener = socket.socket(socket.AF_UNIX)
        # A mode that is set afterwards would leave a moment in which anybody may connect.
        mask = os.umask(0o177)
        try:
            listener.bind(str(path))
        except OSError:
            listener.close()
            raise
        finally:
            os.umask(mask)
        return await asyncio.start_unix_server(serve, sock=listener)

    async def _connect_to_socket(path: Path) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_unix_connection(path)


async def _listen(
    places: _Places, connected: Callable[[bytes, asyncio.StreamReader, asyncio.StreamWriter], None]
) -> asyncio.Server:
    try:
        return await _listen_on_socket(places.socket, partial(connected, _NO_PASSWORD))
    except OSError as error:
        log.debug("a port instead of the socket %s: %s", places.socket, error)
    password = secrets.token_hex().encode() + b"\n"
    server = await asyncio.start_server(partial(connected, password), _LOOPBACK, 0)
    number = server.sockets[0].getsockname()[1]
    try:
        with os.fdopen(os.open(places.port, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
            file.write(b"%d %b" % (number, password))
    except OSError:
        server.close()
        raise
    return server


async def _question(places: _Places) -> bytes:
    """All that is answered. Raises OSError, and ValueError for a file that holds no port."""
    try:
        number, password = places.port.read_bytes().split(b" ")
    except FileNotFoundError:
        reader, writer = await _connect_to_socket(places.socket)
        password = _NO_PASSWORD
    else:
        reader, writer = await asyncio.open_connection(_LOOPBACK, int(number))
    try:
        writer.write(password)
        return await reader.read(-1)
    finally:
        writer.close()


async def _serve(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, password: bytes, vitals: HealthChecks
) -> None:
    try:
        async with asyncio.timeout(PATIENCE):
            if compare_digest(await reader.readline(), password):
                writer.write((await _report(vitals)).encode(errors="replace"))
                await writer.drain()
    except (OSError, TimeoutError, ValueError) as error:
        log.debug("a question after the bot's health came to nothing: %s", error)
    finally:
        writer.close()


async def _report(vitals: HealthChecks) -> str:
    away, unanswered = vitals.gateway(), vitals.unanswered()
    silent = unanswered >= UNANSWERED
    if away is not None:
        discord = f"no connection to the gateway for {away:.0f} s."
    elif silent:
        discord = f"connected, but no request has been answered for {unanswered:.0f} s. If this lasts, restart the bot."
    else:
        discord = "connected."
    fault = await _fault(vitals.database)
    last = vitals.model()
    ago = 0.0 if last is None else time.monotonic() - last
    model = "no reply since the start." if last is None else f"the last reply ended {ago:.0f} s ago."
    verdict = _WELL if away is None and not silent and fault is None else _UNWELL
    return "\n".join([verdict, f"Discord: {discord}", f"Database: {fault or 'answers.'}", f"Model: {model}"])


async def _fault(database: Callable[[], Awaitable[None]]) -> str | None:
    try:
        async with asyncio.timeout(_DATABASE_PATIENCE):
            await database()
    except TimeoutError:
        return f"no answer within {_DATABASE_PATIENCE:g} s."
    except StoreError as error:
        return str(error)
    return None

"""A proxy for HTTP on this machine, and TLS in front of a server that has none."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Take = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Proxy:
    """A proxy that takes every host name for this machine. It records what it is asked for, and keeps nothing else."""

    login: str | None = None
    """The value of Proxy-Authorization that it wants."""
    refusal: str = "407 Proxy Authentication Required"
    """What it answers to another one."""
    asked: list[str] = field(default_factory=list)
    """The method and target of the first request on each connection."""
    url: str = ""
    _open: set[asyncio.Task[None]] = field(default_factory=set)

    def cut(self) -> None:
        """Close all connections."""
        for task in self._open:
            task.cancel()

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        method, target, *_ = head.decode().split(" ")
        self.asked.append(f"{method} {target}")
        if self.login is not None and f"proxy-authorization: {self.login}".lower() not in head.decode().lower():
            writer.write(f"HTTP/1.1 {self.refusal}\r\nContent-Length: 0\r\n\r\n".encode())
            return
        port = int(target.partition("://")[2].partition("/")[0].rpartition(":")[2] or target.rpartition(":")[2])
        there, back = await asyncio.open_connection("127.0.0.1", port)
        if method == "CONNECT":
            writer.write(b"HTTP/1.1 200 Connected\r\n\r\n")
        else:
            back.write(head)
        await _join((reader, writer), (there, back))


@asynccontextmanager
async def proxying(login: str | None = None, context: ssl.SSLContext | None = None) -> AsyncIterator[Proxy]:
    """A proxy on a free port, which itself speaks TLS if there is a `context`."""
    proxy = Proxy(login)
    async with _serving(proxy.take, context, proxy._open) as port:
        proxy.url = f"{'http' if context is None else 'https'}://127.0.0.1:{port}"
        yield proxy


@asynccontextmanager
async def tls_before(port: int, context: ssl.SSLContext) -> AsyncIterator[int]:
    """The port of a server that speaks TLS and passes everything on to `port`."""

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _join((reader, writer), await asyncio.open_connection("127.0.0.1", port))

    async with _serving(take, context, set()) as own:
        yield own


@asynccontextmanager
async def _serving(take: Take, context: ssl.SSLContext | None, tasks: set[asyncio.Task[None]]) -> AsyncIterator[int]:
    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.create_task(_closing(take, reader, writer)))

    async with await asyncio.start_server(begin, "127.0.0.1", 0, ssl=context) as server:
        yield server.sockets[0].getsockname()[1]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _closing(take: Take, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            await take(reader, writer)
    finally:
        await _close(writer)


async def _join(one: Stream, other: Stream) -> None:
    """Pass on what either side says until one of them leaves."""

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, ssl.SSLError):
            while piece := await reader.read(65536):
                writer.write(piece)
                await writer.drain()

    pumps = [asyncio.create_task(pump(one[0], other[1])), asyncio.create_task(pump(other[0], one[1]))]
    try:
        await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in pumps:
            task.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)
        await _close(other[1])


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(ConnectionError, ssl.SSLError):
        await writer.wait_closed()

"""Downloads the files of messages, each no further than its limits, and has them read."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

import aiohttp
from discord.asset import Asset
from yarl import URL

from bot.files import BEGINNING, FileProblem, FileReader, ReadFile, Unreadable, may_be_readable
from bot.network.connections import Network
from bot.network.failures import failure

log = logging.getLogger(__name__)

_Use = TypeVar("_Use")

MAX_BYTES = 20 * 1024 * 1024
"""Bytes of the largest file that is downloaded: as many as anybody may upload."""
MAX_VOICE_BYTES = 8 * 1024 * 1024
"""Bytes of the largest voice message: three times as many as ten minutes usually have."""
_MAX_VOICES = 8
"""Voice messages in memory at the same time, until they are heard."""
MAX_CONCURRENT = 3
"""Files in memory at the same time, from the first byte until they are read."""
_HOSTS = re.compile(r"(?:cdn\.discordapp\.com|media\.discordapp\.net|images-ext-\d+\.discordapp\.net)")
"""Discord's own file servers and its proxies for what is elsewhere."""
_TIMEOUT = aiohttp.ClientTimeout(total=30.0, connect=10.0, sock_read=10.0)
_CHUNK = 64 * 1024
_NO_LONGER_THERE = (401, 403, 404, 410)
"""What Discord's file servers answer where an address has expired, and where a file is gone."""

_Accepts = Callable[[bytearray], bool]
"""Whether a file that begins like this is wanted."""
Renew = Callable[[], Awaitable[str | None]]
"""Gives the address that a file has now. None: the file is gone, or nobody can tell."""


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """Where a file is, by an address that expires, and how many bytes it is said to have. None: nothing is said."""

    url: str
    size: int | None


class _Expired(Exception):
    """The address of a file leads nowhere now."""


class _NotReadable(Exception):
    """A file begins like none that can be read, so no more of it is downloaded."""


class Downloads:
    """The downloads of one client, which `close` ends. After that, none begins.

    Whoever has several files asks for one after the other, so that everybody else's come in between.
    """

    def __init__(self, network: Network, reader: FileReader) -> None:
        self._network = network
        self._reader = reader
        self._slots = asyncio.Semaphore(MAX_CONCURRENT)
        self._voice_slots = asyncio.Semaphore(_MAX_VOICES)
        self._session: aiohttp.ClientSession | None = None
        self._closed = False

    async def read(self, file: RemoteFile, limit: int, renew: Renew) -> ReadFile:
        """Download and read a file: see `FileReader.read` for the `limit`. An address that has expired is renewed once.

        `Unreadable` also says why there is no file to read. Nothing is raised.
        """
        if file.size is not None and file.size > MAX_BYTES:
            return Unreadable(FileProblem.TOO_LARGE)
        try:
            return await self._used(
                file, renew, self._slots, lambda data: self._reader.read(data, limit), may_be_readable
            )
        except _NotReadable:
            return Unreadable(FileProblem.NOT_READABLE)

    async def hear(self, file: RemoteFile, renew: Renew, use: Callable[[bytes], Awaitable[_Use]]) -> _Use | Unreadable:
        """Download a voice message and have it used, which may take minutes, so that others need not wait for that."""
        if file.size is not None and file.size > MAX_VOICE_BYTES:
            return Unreadable(FileProblem.TOO_LARGE)
        return await self._used(file, renew, self._voice_slots, lambda data: use(bytes(data)), _anything)

    async def _used(
        self,
        file: RemoteFile,
        renew: Renew,
        slots: asyncio.Semaphore,
        use: Callable[[bytearray], Awaitable[_Use]],
        accepts: _Accepts,
    ) -> _Use | Unreadable:
        """Raises _NotReadable for a file whose beginning it does not accept."""
        try:
            try:
                return await self._once(file.url, file.size, slots, use, accepts)
            except _Expired:
                url = await renew()
                if url is None:
                    return Unreadable(FileProblem.GONE)
                return await self._once(url, file.size, slots, use, accepts)
        except _Expired:
            return Unreadable(FileProblem.GONE)

    async def close(self) -> None:
        """End the downloads under way, and the process that reads files."""
        self._closed = True
        if self._session is not None:
            await self._session.close()
        await self._reader.close()

    async def _once(
        self,
        url: str,
        size: int | None,
        slots: asyncio.Semaphore,
        use: Callable[[bytearray], Awaitable[_Use]],
        accepts: _Accepts,
    ) -> _Use | Unreadable:
        if not is_of_discord(url):
            log.warning("did not download a file from a server that is not Discord's")
            return Unreadable(FileProblem.NOT_FETCHED)
        async with slots:
            if self._closed:
                return Unreadable(FileProblem.NOT_FETCHED)
            try:
                data = await self._downloaded(url, MAX_BYTES if size is None else size, accepts)
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                log.warning("a file could not be downloaded from Discord: %s", failure(error).reason)
                return Unreadable(FileProblem.NOT_FETCHED)
            if data is None or (size is not None and len(data) != size):
                log.warning("a file could not be downloaded from Discord: its size is not what Discord says")
                return Unreadable(FileProblem.NOT_FETCHED)
            return await use(data)

    async def _downloaded(self, url: str, most: int, accepts: _Accepts) -> bytearray | None:
        """The bytes at an address, or None if there are more than `most`, of which no more is read.

        Raises _Expired and _NotReadable.
        """
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=self._network.tls()),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=_TIMEOUT,
                auto_decompress=False,
                headers={"Accept-Encoding": "identity"},
            )
        # Encoded as it is: the signature in it is of every character.
        address = URL(url, encoded=True)
        async with self._session.get(address, allow_redirects=False, proxy=self._network.proxy(url)) as answer:
            if answer.status in _NO_LONGER_THERE:
                raise _Expired
            if answer.status != 200:
                raise aiohttp.ClientError(f"status {answer.status}")
            data = bytearray()
            if (answer.content_length or 0) > most:
                return None
            async for chunk in answer.content.iter_chunked(_CHUNK):
                if len(data) + len(chunk) > most:
                    return None
                is_beginning = len(data) < BEGINNING
                data += chunk
                if is_beginning and len(data) >= BEGINNING and not accepts(data[:BEGINNING]):
                    raise _NotReadable
            return data


def _anything(_: bytearray) -> bool:
    return True


def is_of_discord(url: str) -> bool:
    """Whether an address is that of a file on one of Discord's servers, or on what stands in for them."""
    try:
        there, own = URL(url, encoded=True), URL(Asset.BASE)
        return there.origin() == own.origin() or (
            there.scheme == "https" and there.port == 443 and _HOSTS.fullmatch(there.host or "") is not None
        )
    except ValueError:
        return False

"""The bodies of a model server's responses, limited before they are in memory, and those of large requests."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator
from contextlib import aclosing, suppress

import aiohttp
import httpx2

LONGEST_ERROR = 64 * 2**10
"""Bytes of an error's body. What it says stands at its beginning, and all of it is searched for what it means."""
LARGE = 2**20
"""Bytes of a request, with pictures in it, that are not sent at once."""
_ERROR_TIMEOUT = 5.0
"""Seconds for an error's body, whose status says enough if the rest does not come."""
_STEP = 64 * 2**10
"""Bytes that are unpacked at a time, since a few bytes can unpack to any length, and that are sent at a time."""
_LONGEST_UNPACKED = 16 * 2**20
"""Bytes of an unpacked body. That is more than any reply has."""
_AUTOMATIC = zlib.MAX_WBITS | 32
"""Makes zlib tell gzip from deflate by itself."""
_PACKINGS = ("gzip", "x-gzip", "deflate")

BROKEN = (httpx2.HTTPError, aiohttp.ClientError, OSError)
"""The errors of a failing connection. The SDK's transport lets some of aiohttp's errors through."""


async def limit(response: httpx2.Response) -> None:
    """Limit what can be read of a response; a hook of the HTTP client's.

    Of an error only the beginning is left. A packed body, which was not asked for, is unpacked in steps; reading it
    raises ConnectionError if that fails or gets too long.
    """
    stream = response.stream
    assert isinstance(stream, httpx2.AsyncByteStream)  # noqa: S101 - the client is asynchronous
    packing = response.headers.pop("Content-Encoding", "identity").strip().lower()
    if packing != "identity":
        stream = _Unpacked(stream, packing)
    if not response.is_success:
        stream = httpx2.ByteStream(await _beginning(stream))
    response.stream = stream


async def whole(response: httpx2.Response, longest: int) -> bytes:
    """The body of a response. Raises ValueError if it is longer than `longest` bytes."""
    body = bytearray()
    async with aclosing(response.aiter_raw()) as chunks:
        async for chunk in chunks:
            body += chunk
            if len(body) > longest:
                raise ValueError("too long")
    return bytes(body)


async def _beginning(stream: httpx2.AsyncByteStream) -> bytes:
    body = bytearray()
    try:
        with suppress(*BROKEN):
            async with asyncio.timeout(_ERROR_TIMEOUT):
                async for chunk in stream:
                    body += chunk
                    if len(body) >= LONGEST_ERROR:
                        break
    finally:
        await stream.aclose()
    return bytes(body[:LONGEST_ERROR])


class Pieces(httpx2.AsyncByteStream):
    """A request's body that is sent piece by piece, between which other tasks have their turn."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for start in range(0, len(self._body), _STEP):
            yield self._body[start : start + _STEP]


class _Unpacked(httpx2.AsyncByteStream):
    """A body as it was before it was packed."""

    def __init__(self, packed: httpx2.AsyncByteStream, packing: str) -> None:
        self._packed = packed
        self._packing = packing

    async def __aiter__(self) -> AsyncIterator[bytes]:
        if self._packing not in _PACKINGS:
            raise ConnectionError(f"it is packed as {self._packing[:40]}, which was not asked for")
        unpacker = zlib.decompressobj(_AUTOMATIC)
        length = 0
        async for packed in self._packed:
            more = True
            while more:
                try:
                    unpacked = unpacker.decompress(packed, _STEP)
                except zlib.error:
                    raise ConnectionError("it cannot be unpacked") from None
                packed = unpacker.unconsumed_tail
                length += len(unpacked)
                if length > _LONGEST_UNPACKED:
                    raise ConnectionError("it unpacks to more than 16 MiB")
                more = len(unpacked) == _STEP or bool(packed)
                if unpacked:
                    yield unpacked
                if more:
                    await asyncio.sleep(0)

    async def aclose(self) -> None:
        await self._packed.aclose()

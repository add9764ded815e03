"""The stand-in's file server for attachments. Every avatar is the same picture."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable
from contextlib import suppress
from urllib.parse import quote

from aiohttp import web

from bot.standin import faults as trouble
from bot.standin.entities import Attachment, Channel
from bot.standin.faults import Faults

_PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
)
_PIECE = 256 * 1024


class Cdn:
    """Stores attachments under the ids of Discord's own URLs and hands them out while their URLs are good."""

    def __init__(
        self, base: Callable[[], str], take_id: Callable[[], int], faults: Faults, *, keep_bytes: int | None
    ) -> None:
        self._base = base
        self._take_id = take_id
        self._faults = faults
        self._keep_bytes = keep_bytes
        self._files: dict[str, Attachment] = {}
        self._held = 0
        self._signature = 1
        self.downloads: list[Attachment] = []
        """Every attachment that was fetched, in order."""

    def store(self, attachment: Attachment, channel: Channel) -> Attachment:
        """Keep the attachment and give it an id and a URL."""
        attachment.id = self._take_id()
        path = f"attachments/{channel.id}/{attachment.id}/{attachment.filename}"
        self._files[path] = attachment
        self._sign(path, attachment)
        self._held += len(attachment.data)
        self._let_old_ones_go()
        return attachment

    def find(self, attachment_id: int) -> Attachment | None:
        """Return the attachment with this id if it is still kept."""
        return next((each for each in self._files.values() if each.id == attachment_id), None)

    def expire(self) -> None:
        """Give all files new addresses, as messages that are fetched from now on show. The old ones lead nowhere."""
        self._signature += 1
        for path, attachment in self._files.items():
            self._sign(path, attachment)

    def _sign(self, path: str, attachment: Attachment) -> None:
        attachment.url = f"{self._base()}/{quote(path)}?hm={self._signature:x}"

    def _let_old_ones_go(self) -> None:
        while self._keep_bytes is not None and self._held > self._keep_bytes:
            oldest = self._files.pop(next(iter(self._files)))
            self._held -= len(oldest.data)
            oldest.data = b""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        path = request.match_info["path"]
        if not path.startswith("attachments/"):
            return web.Response(body=_PIXEL, content_type="image/png")
        attachment = self._files.get(path)
        if attachment is None or request.query.get("hm") != f"{self._signature:x}":
            return web.Response(status=404, text="This content is no longer available.")
        self.downloads.append(attachment)
        kind = attachment.content_type or "application/octet-stream"
        match self._faults.for_download(int(path.split("/")[1])):
            case trouble.ServerError(status):
                return web.Response(status=status, text="Server Error")
            case trouble.Answered(status, body, content_type):
                return web.Response(status=status, body=body, headers={"Content-Type": content_type})
            case trouble.Redirected(to):
                return web.Response(status=302, headers={"Location": to})
            case trouble.Endless(piece, pause, byte):
                return await _endless(request, byte * piece, pause)
            case trouble.BrokenOff():
                return await _broken_off(request, attachment.data)
            case trouble.Slow(seconds):
                await asyncio.sleep(seconds)
        return await _whole(request, attachment.data, kind)


async def _whole(request: web.Request, data: bytes, content_type: str) -> web.StreamResponse:
    """Send a file in pieces: to hand over a large one at once keeps everybody else waiting."""
    answer = web.StreamResponse(headers={"Content-Type": content_type})
    answer.content_length = len(data)
    with suppress(ConnectionResetError):  # the client is gone
        await answer.prepare(request)
        for start in range(0, len(data), _PIECE):
            await answer.write(data[start : start + _PIECE])
        await answer.write_eof()
    return answer


async def _endless(request: web.Request, piece: bytes, pause: float) -> web.StreamResponse:
    answer = web.StreamResponse()
    await answer.prepare(request)
    while True:
        await answer.write(piece)
        await asyncio.sleep(pause)


async def _broken_off(request: web.Request, data: bytes) -> web.StreamResponse:
    answer = web.StreamResponse()
    answer.content_length = len(data)
    await answer.prepare(request)
    await answer.write(data[: len(data) // 2])
    if request.transport is not None:
        request.transport.close()
    return answer

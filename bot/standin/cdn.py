"""The stand-in's file server for attachments. Every avatar is the same picture."""

from __future__ import annotations

import base64
from collections.abc import Callable
from urllib.parse import quote

from aiohttp import web

from bot.standin.entities import Attachment, Channel

_PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
)


class Cdn:
    """Stores attachments under the ids of Discord's own URLs and hands them out."""

    def __init__(self, base: Callable[[], str], take_id: Callable[[], int], *, keep_bytes: int | None) -> None:
        self._base = base
        self._take_id = take_id
        self._keep_bytes = keep_bytes
        self._files: dict[str, Attachment] = {}
        self._held = 0
        self.downloads: list[Attachment] = []
        """Every attachment that was fetched, in order."""

    def store(self, attachment: Attachment, channel: Channel) -> Attachment:
        """Keep the attachment and give it an id and a URL."""
        attachment.id = self._take_id()
        path = f"attachments/{channel.id}/{attachment.id}/{attachment.filename}"
        attachment.url = f"{self._base()}/{quote(path)}"
        self._files[path] = attachment
        self._held += len(attachment.data)
        self._let_old_ones_go()
        return attachment

    def find(self, attachment_id: int) -> Attachment | None:
        """Return the attachment with this id if it is still kept."""
        return next((each for each in self._files.values() if each.id == attachment_id), None)

    def _let_old_ones_go(self) -> None:
        while self._keep_bytes is not None and self._held > self._keep_bytes:
            oldest = self._files.pop(next(iter(self._files)))
            self._held -= len(oldest.data)
            oldest.data = b""

    async def handle(self, request: web.Request) -> web.Response:
        path = request.match_info["path"]
        if attachment := self._files.get(path):
            self.downloads.append(attachment)
            kind = attachment.content_type or "application/octet-stream"
            return web.Response(body=attachment.data, headers={"Content-Type": kind})
        if path.startswith("attachments/"):
            return web.Response(status=404, text="This content is no longer available.")
        return web.Response(body=_PIXEL, content_type="image/png")

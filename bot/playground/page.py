"""The HTTP server of the playground: access checks, the page's files, uploads, attachments and the websocket."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from aiohttp import web
from aiohttp.helpers import content_disposition_header

from bot.playground.address import Address
from bot.playground.stage import Stage
from bot.playground.tabs import Tabs
from bot.playground.uploads import MAX_BYTES
from bot.playground.view import SAFE_IMAGES
from bot.standin.guard import own_hosts
from bot.texts import playground as words

_STATIC = Path(__file__).with_name("static")
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
}
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
    " media-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_USUAL_PORT = 8765
_PORTS_TRIED = 20

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Page:
    """The server of the page on 127.0.0.1. It runs while its `async with` block does."""

    def __init__(self, stage: Stage, port: int | None, last: Address | None) -> None:
        """The page is at the `port` that is asked for, else where it was the `last` time, else at the usual port.

        If that port is taken, it is at a free one. It has the last address again if it has the last port again.
        """
        self.address = Address.new(0)
        """Where the page is, once it is served. No other address lets a browser in."""
        self.taken_port: int | None = None
        """The port that was wanted and is taken."""
        self._candidates = _candidates(port, last)
        self._stage = stage
        self._tabs = Tabs(stage)
        app = web.Application(client_max_size=MAX_BYTES, middlewares=[self._guard])
        app.on_response_prepare.append(_add_headers)
        home = "/{secret}"
        app.router.add_get(home, self._home)
        app.router.add_get(f"{home}/", self._index)
        app.router.add_get(f"{home}/static/{{name}}", self._static)
        app.router.add_get(f"{home}/ws", self._tabs.handle)
        app.router.add_post(f"{home}/files", self._upload)
        app.router.add_get(f"{home}/attachments/{{id}}/{{name}}", self._attachment)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.05)

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        for candidate in self._candidates:
            self.address = candidate
            try:
                await web.TCPSite(self._runner, "127.0.0.1", candidate.port).start()
                break
            except OSError:
                if candidate is self._candidates[-1]:
                    raise
        wanted, port = self._candidates[0].port, self._runner.addresses[0][1]
        self.taken_port = wanted if wanted not in (0, port) else None
        self.address = replace(self.address, port=port)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._tabs.end()
        await self._runner.cleanup()

    @web.middleware
    async def _guard(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        hosts = own_hosts(request)
        origin = request.headers.get("Origin")
        if request.headers.get("Host") not in hosts or origin not in (None, *(f"http://{host}" for host in hosts)):
            return web.Response(status=403, text=words.FOREIGN_PAGE)
        given = request.path.lstrip("/").split("/")[0]
        if not secrets.compare_digest(given.encode(errors="replace"), self.address.secret.encode()):
            return web.Response(status=404, text=words.WRONG_ADDRESS)
        try:
            return await handler(request)
        except web.HTTPNotFound:
            return web.Response(status=404, text=words.NOT_THERE)
        except web.HTTPRequestEntityTooLarge:
            return web.Response(status=413, text=words.FILE_TOO_LARGE)

    async def _home(self, _: web.Request) -> web.StreamResponse:
        raise web.HTTPPermanentRedirect(f"/{self.address.secret}/")

    async def _index(self, _: web.Request) -> web.StreamResponse:
        return _file(_STATIC / "index.html")

    async def _static(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        found = {path.name: path for path in _STATIC.iterdir() if path.suffix in _TYPES}.get(name)
        if found is None:
            raise web.HTTPNotFound
        return _file(found)

    async def _upload(self, request: web.Request) -> web.StreamResponse:
        data, query, uploads = await request.read(), request.query, self._stage.uploads
        if "seconds" not in query:
            return web.json_response({"file": uploads.add(query.get("name", ""), request.content_type, data)})
        try:
            return web.json_response({"file": uploads.add_voice(query["seconds"], query.get("waveform", ""), data)})
        except ValueError:
            return web.Response(status=400, text=words.MALFORMED)

    async def _attachment(self, request: web.Request) -> web.StreamResponse:
        number = request.match_info["id"]
        is_id = number.isascii() and number.isdigit() and len(number) <= 20
        found = self._stage.discord.attachment(int(number)) if is_id else None
        if found is None or found.filename != request.match_info["name"]:
            raise web.HTTPNotFound
        inline = found.content_type in SAFE_IMAGES or found.duration_secs is not None
        disposition = content_disposition_header("inline" if inline else "attachment", filename=found.filename)
        headers = {
            "Content-Type": found.content_type if inline and found.content_type else "application/octet-stream",
            "Content-Disposition": disposition,
            "Content-Security-Policy": "default-src 'none'; sandbox",
        }
        return web.Response(body=found.data, headers=headers)


def _candidates(port: int | None, last: Address | None) -> list[Address]:
    """The addresses to try in turn."""
    first = _USUAL_PORT if port is None else port
    ports = [*range(first, min(first + _PORTS_TRIED, 2**16)), 0]
    if last is None:
        return [Address.new(each) for each in ports]
    if port in (None, 0):
        ports.insert(0, last.port)
    return [last if each == last.port else Address.new(each) for each in dict.fromkeys(ports)]


def _file(path: Path) -> web.FileResponse:
    return web.FileResponse(path, headers={"Content-Type": _TYPES[path.suffix]})


async def _add_headers(_: web.Request, response: web.StreamResponse) -> None:
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)

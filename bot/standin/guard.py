"""Keeps web pages of other origins away from a server on this machine's loopback address.

Any page that a browser shows can send requests to 127.0.0.1, and with a host name of its own that leads here it can
read the answers too (DNS rebinding). Both betray themselves by the headers that the browser adds.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def own_hosts(request: web.BaseRequest) -> tuple[str, str]:
    """What the Host header of an honest request says: this server's address by number and by name."""
    port = request.get_extra_info("sockname")[1]
    return f"127.0.0.1:{port}", f"localhost:{port}"


@web.middleware
async def no_browsers(request: web.Request, handler: _Handler) -> web.StreamResponse:
    """Refuse what comes from a web page. A bot's libraries send none of these headers."""
    if request.headers.get("Host") not in own_hosts(request):
        raise web.HTTPForbidden(text="This server answers to its own address only.")
    if "Origin" in request.headers or "Sec-Fetch-Site" in request.headers:
        raise web.HTTPForbidden(text="This server is not for browsers.")
    return await handler(request)

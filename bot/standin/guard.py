"""Keeps web pages of other origins away from a server on this machine's loopback address.

Any page in a browser can send requests to 127.0.0.1. A page can also read the answers if its own host name leads here
(DNS rebinding). The headers that the browser adds reveal both.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def own_hosts(request: web.BaseRequest) -> tuple[str, str]:
    """Return the allowed Host headers: this server's address by number and by name."""
    port = request.get_extra_info("sockname")[1]
    return f"127.0.0.1:{port}", f"localhost:{port}"


@web.middleware
async def no_browsers(request: web.Request, handler: _Handler) -> web.StreamResponse:
    """Refuse requests from web pages. A bot's libraries send none of the headers that a browser adds."""
    if request.headers.get("Host") not in own_hosts(request):
        raise web.HTTPForbidden(text="This server answers to its own address only.")
    if "Origin" in request.headers or "Sec-Fetch-Site" in request.headers:
        raise web.HTTPForbidden(text="This server is not for browsers.")
    return await handler(request)

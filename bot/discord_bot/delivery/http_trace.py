"""Shows the scheduler every request that discord.py makes: requests count towards the budget, answers carry limits."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from types import SimpleNamespace

import aiohttp
import yarl
from discord.http import Route

from bot.discord_bot.delivery.scheduler import Scheduler, scheduled

_MESSAGES_ROUTE = re.compile(r"/channels/(\d+)/messages(?:/\d+)?$")
_EXEMPT_ROUTE = re.compile(r"/(?:interactions|webhooks)/")
"""Interactions and their follow-ups, which Discord does not count towards the bot's requests a second.

See https://discord.com/developers/docs/topics/rate-limits#global-rate-limit.
"""


def http_trace(scheduler: Scheduler, on_answer: Callable[[aiohttp.ClientResponse], None]) -> aiohttp.TraceConfig:
    """The trace of a client's HTTP session; `on_answer` is called when Discord answers a request, in its task."""

    async def pass_gate() -> None:
        if not await scheduler.gate.opened():
            raise aiohttp.ClientConnectionError("another process serves these shards")

    async def count_request(
        _session: aiohttp.ClientSession, context: SimpleNamespace, params: aiohttp.TraceRequestStartParams
    ) -> None:
        context.sent = asyncio.get_running_loop().time()
        if _EXEMPT_ROUTE.search(params.url.path):
            return
        # Also the gateway's handshake, so that a process whose shards are another's connects no more.
        await pass_gate()
        if _is_rest(params.url) and not scheduled.get():
            scheduler.spend()

    async def note_leaving(
        _session: aiohttp.ClientSession, _context: SimpleNamespace, params: aiohttp.TraceRequestHeadersSentParams
    ) -> None:
        if _EXEMPT_ROUTE.search(params.url.path):
            return
        # Again: it may have taken long to get a connection. Nothing is written to it before this returns.
        await pass_gate()
        if _is_rest(params.url):
            scheduler.left()

    async def observe_answer(
        _session: aiohttp.ClientSession, context: SimpleNamespace, params: aiohttp.TraceRequestEndParams
    ) -> None:
        if not _is_rest(params.url):
            return
        if _EXEMPT_ROUTE.search(params.url.path):
            scheduler.observe_exempt(params.method, params.response.status, params.response.headers, context.sent)
            return
        on_answer(params.response)
        route = None if params.method == "GET" else _MESSAGES_ROUTE.search(params.url.path)
        channel_id = None if route is None else int(route[1])
        scheduler.observe(channel_id, params.method, params.response.status, params.response.headers)

    trace = aiohttp.TraceConfig()
    trace.on_request_start.append(count_request)
    trace.on_request_headers_sent.append(note_leaving)
    trace.on_request_end.append(observe_answer)
    return trace


def _is_rest(url: yarl.URL) -> bool:
    """Whether a request is for the REST API. The session also carries the gateway's handshakes."""
    return str(url).startswith(Route.BASE)

"""The handling of every REST request: network time, rate limits, faults, the handler, and the record.

Modules named `*_routes` define the routes and register an `Endpoint` for each.
"""

from __future__ import annotations

import asyncio
import json
import math
import secrets
import socket as sockets
import struct
import traceback
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import BodyPartReader, web

from bot.standin import faults as trouble
from bot.standin.entities import Attachment, Json, Message
from bot.standin.errors import ApiError, unauthorized
from bot.standin.faults import Call, Faults, RestAction
from bot.standin.limits import MESSAGE, Limits, Verdict, headers
from bot.standin.openapi import OpenApi
from bot.standin.world import World

PREFIX = "/api/v10"
_OLD = 3600.0
"""The age in seconds above which edits of a message have a stricter limit."""


@dataclass(frozen=True, slots=True)
class Incoming:
    """A request as the handlers see it."""

    ids: Mapping[str, str]
    query: Mapping[str, str]
    body: Any
    files: list[Attachment]

    def id(self, name: str) -> int:
        """Return a snowflake from the path. A missing one gives 0, which is never a valid id."""
        text = self.ids.get(name, "")
        return int(text) if text.isdigit() else 0


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One REST route. `handle` returns the JSON of the answer. None gives an answer without a body (204)."""

    method: str
    route: str
    handle: Callable[[Incoming], Any]
    status: int = 200
    by_token: bool = False
    """Whether a token in the path replaces the bot's token, as for webhooks and interactions."""


@dataclass(slots=True)
class Exchange:
    """One recorded REST call. Times are seconds on the stand-in's clock."""

    number: int
    """The number of the call, counted from 0."""
    method: str
    route: str
    path: str
    started: float
    body: Any = None
    applied: float | None = None
    """The time at which the call took effect, or None if it had no effect."""
    answered: float | None = None
    status: int = 0
    code: int | None = None
    """Discord's error code."""
    bucket: str | None = None
    limit: int | None = None
    remaining: int | None = None
    reset_after: float | None = None
    """The seconds until the bucket is full again."""
    fault: RestAction | None = None
    files: list[str] = field(default_factory=list)


class Answer(Exception):
    """Raised to end a request with this response instead of the handler's."""

    def __init__(self, status: int, body: Any, headers: Mapping[str, str]) -> None:
        super().__init__(status)
        self.status = status
        self.body = body
        self.headers = headers


class Rest:
    """Serves endpoints. `rtt()` gives a request's network time in seconds. Half of it passes before the handler."""

    def __init__(
        self,
        world: World,
        limits: Limits,
        faults: Faults,
        *,
        token: Callable[[], str],
        rtt: Callable[[], float],
        openapi: OpenApi | None,
        keep: int | None,
    ) -> None:
        self.requests: deque[Exchange] = deque(maxlen=keep)
        self.unknown_routes: list[str] = []
        self.crashes: list[str] = []
        """The tracebacks of handlers that failed. Each one is a gap in the stand-in."""
        self.refused_by_limit = 0
        """The number of calls that the rate limits refused with 429."""
        self.on_exchange: list[Callable[[Exchange], None]] = []
        """Functions that are called with each call after it is read and again after it is answered."""
        self._count = 0
        self._world = world
        self._limits = limits
        self._faults = faults
        self._token = token
        self._rtt = rtt
        self._openapi = openapi

    def register(self, app: web.Application, endpoints: list[Endpoint]) -> None:
        for endpoint in endpoints:
            app.router.add_route(endpoint.method, PREFIX + endpoint.route, self._handler(endpoint))
        app.router.add_route("*", "/api/{path:.*}", self._unknown)

    def _handler(self, endpoint: Endpoint) -> Callable[[web.Request], Any]:
        async def handle(request: web.Request) -> web.StreamResponse:
            return await self._serve(endpoint, request)

        return handle

    async def _unknown(self, request: web.Request) -> web.Response:
        self.unknown_routes.append(f"{request.method} {request.path}")
        return _json(404, {"message": "404: Not Found", "code": 0}, {})

    async def _serve(self, endpoint: Endpoint, request: web.Request) -> web.Response:
        clock = self._world.clock
        exchange = Exchange(self._count, endpoint.method, endpoint.route, request.path, clock())
        self._count += 1
        self.requests.append(exchange)
        rtt = self._rtt()
        if rtt:
            await asyncio.sleep(rtt / 2)
        status, body, head = await self._answer(endpoint, request, exchange)
        if rtt:
            await asyncio.sleep(rtt / 2)
        exchange.answered = clock()
        exchange.status = status
        self.refused_by_limit += status == 429
        if isinstance(body, dict) and status >= 400:
            exchange.code = body.get("code")
        self._tell(exchange)
        self._world.changed()
        return _json(status, body, head)

    def _tell(self, exchange: Exchange) -> None:
        for listener in tuple(self.on_exchange):
            listener(exchange)

    async def _answer(
        self, endpoint: Endpoint, request: web.Request, exchange: Exchange
    ) -> tuple[int, Any, dict[str, str]]:
        head: dict[str, str] = {}
        status: int
        body: Any
        try:
            incoming = await _read(request)
            exchange.body = incoming.body
            exchange.files = [file.filename for file in incoming.files]
            self._tell(exchange)
            if not endpoint.by_token and not self._authorized(request):
                raise unauthorized()
            self._limit(endpoint, incoming, exchange, head)
            channel, guild = incoming.id("channel_id") or None, incoming.id("guild_id") or None
            call = Call(endpoint.method, endpoint.route, channel, incoming.body, guild)
            exchange.fault = self._faults.for_request(call)
            if exchange.fault is not None:
                # Tests that wait for this fault are notified now, before a possibly slow answer.
                self._world.changed()
            status, body = await self._apply(endpoint, request, incoming, exchange)
        except ApiError as error:
            status, body = error.status, error.body()
        except Answer as answer:
            status, body = answer.status, answer.body
            head.update(answer.headers)
        except ConnectionResetError:
            # The client left in the middle of its request, for example because it was killed. No answer is possible.
            status, body = 499, None
        except Exception:  # noqa: BLE001  whatever it is, it must show up in the test and not only as a 500
            self.crashes.append(f"{endpoint.method} {request.path} {exchange.body}\n{traceback.format_exc()}")
            status, body = 500, {"message": "500: Internal Server Error", "code": 0}
        if self._openapi is not None and exchange.fault is None and status != 499:
            self._openapi.check(endpoint.method, endpoint.route, exchange.body, status, body)
        return status, body, head

    async def _apply(
        self, endpoint: Endpoint, request: web.Request, incoming: Incoming, exchange: Exchange
    ) -> tuple[int, Any]:
        """Run the handler together with the fault for this request, if there is one."""
        fault = exchange.fault
        if isinstance(fault, trouble.Slow) and not fault.applied:
            await asyncio.sleep(fault.seconds)
        if fault is not None:
            self._spoil(fault, request, incoming)
        body = endpoint.handle(incoming)
        exchange.applied = self._world.clock()
        if isinstance(fault, trouble.Slow) and fault.applied:
            await asyncio.sleep(fault.seconds)
        if isinstance(fault, trouble.ServerError):
            raise _server_error(fault.status)
        if isinstance(fault, trouble.ConnectionReset):
            _reset(request)
        if isinstance(fault, trouble.Garbled):
            body = fault.garble(body)
        return (204 if body is None else endpoint.status), body

    def _spoil(self, fault: RestAction, request: web.Request, incoming: Incoming) -> None:
        """Apply the part of a fault that comes before the handler. Most faults prevent the handler from running."""
        match fault:
            case trouble.RateLimited(retry_after, scope, via):
                raise _too_many(retry_after, scope, via=via)
            case trouble.ServerError(status, applied=False):
                raise _server_error(status)
            case trouble.Refused():
                raise fault.error()
            case trouble.Answered(status, raw, content_type):
                raise Answer(status, raw, {"Content-Type": content_type})
            case trouble.ConnectionReset(applied=False):
                _reset(request)
                raise Answer(500, None, {})
            case trouble.Vanished(what):
                channel = self._world.channels.get(incoming.id("channel_id"))
                if channel is not None and what == "channel":
                    self._world.delete_channel(channel)
                elif channel is not None and (message := self._message(incoming)):
                    self._world.delete(message)

    def _authorized(self, request: web.Request) -> bool:
        given = request.headers.get("Authorization", "")
        return secrets.compare_digest(given.encode(), f"Bot {self._token()}".encode())

    def _limit(self, endpoint: Endpoint, incoming: Incoming, exchange: Exchange, head: dict[str, str]) -> None:
        """Use up a token of every bucket that applies, or refuse the request with 429."""
        limits, now = self._limits, self._world.clock()
        if limits.everything is not None and not endpoint.by_token:
            verdict = limits.take(now, "", "everything", None, limits.everything)
            if not verdict.allowed:
                raise _too_many(verdict.retry_after, "global")
        rule = limits.rule(endpoint.method, endpoint.route)
        if rule is None:
            return
        hashed, limit = rule
        major = incoming.ids.get("channel_id") or incoming.ids.get("guild_id") or incoming.ids.get("webhook_token")
        # All calls with the token of one interaction count together.
        verdict = limits.take(now, "" if endpoint.by_token else endpoint.method, hashed, major, limit)
        exchange.bucket, exchange.limit = hashed, verdict.limit
        exchange.remaining, exchange.reset_after = verdict.remaining, verdict.reset_after
        head.update(headers(verdict, hashed, self._world.wall()))
        if not verdict.allowed:
            raise _too_many(verdict.retry_after, "user")
        if (endpoint.method, endpoint.route) == ("PATCH", MESSAGE):
            self._limit_old_edits(incoming, now)

    def _limit_old_edits(self, incoming: Incoming, now: float) -> None:
        message = self._message(incoming)
        limit = self._limits.old_edits
        if limit is None or message is None or self._world.wall() - message.created_at < _OLD:
            return
        verdict: Verdict = self._limits.take(now, "PATCH", "old", message.channel.id, limit)
        if not verdict.allowed:
            raise _too_many(
                verdict.retry_after,
                "user",
                code=30046,
                message="Maximum number of edits to messages older than 1 hour reached. Try again later.",
            )

    def _message(self, incoming: Incoming) -> Message | None:
        channel = self._world.channels.get(incoming.id("channel_id"))
        if channel is None or "message_id" not in incoming.ids:
            return None
        return channel.messages.get(incoming.id("message_id"))


async def _read(request: web.Request) -> Incoming:
    """Read a request's body. It is JSON, or a form with files and with JSON in `payload_json`."""
    body: Any = None
    files: list[Attachment] = []
    if request.content_type == "multipart/form-data":
        async for part in await request.multipart():
            if not isinstance(part, BodyPartReader):
                continue
            data = bytes(await part.read())
            if part.name == "payload_json":
                body = json.loads(data)
            else:
                files.append(Attachment(part.filename or "unknown", data))
        for file, described in zip(files, (body or {}).get("attachments") or [], strict=False):
            file.description = described.get("description")
    elif request.can_read_body:
        raw = await request.read()
        try:
            body = json.loads(raw) if raw else None
        except ValueError:
            raise ApiError(400, 50109, "The request body contains invalid JSON.") from None
    return Incoming(request.match_info, request.query, body, files)


def _json(status: int, body: Any, head: Mapping[str, str]) -> web.Response:
    """Build a JSON response. Its content type is exactly `application/json`, because discord.py requires that."""
    if body is None:
        return web.Response(status=status, headers=head)
    if isinstance(body, bytes):
        return web.Response(status=status, body=body, headers=head)
    if isinstance(body, str):
        return web.Response(status=status, text=body, content_type="text/html", headers=head)
    text = json.dumps(body).encode()
    return web.Response(status=status, body=text, headers={**head, "Content-Type": "application/json"})


def _too_many(
    retry_after: float,
    scope: str,
    *,
    via: bool = True,
    code: int | None = None,
    message: str = "You are being rate limited.",
) -> Answer:
    # Times are rounded up to milliseconds. A client that waits exactly that long must not be early.
    wait = math.ceil(retry_after * 1000) / 1000
    body: Json = {"message": message, "retry_after": wait, "global": scope == "global", "code": code or 0}
    head = {"Retry-After": str(math.ceil(wait)), "X-RateLimit-Scope": scope}
    if scope == "global":
        head["X-RateLimit-Global"] = "true"
    if via:
        head["Via"] = "1.1 google"
    return Answer(429, body, head)


def _server_error(status: int) -> Answer:
    return Answer(status, f"<html><head><title>{status} Server Error</title></head></html>", {})


def _reset(request: web.Request) -> None:
    """Make the client see ECONNRESET instead of a normal close."""
    transport = request.transport
    if transport is None:
        return
    raw = transport.get_extra_info("socket")
    raw.setsockopt(sockets.SOL_SOCKET, sockets.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()

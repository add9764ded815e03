"""Gateway sessions, their connections, and the frames on them."""

from __future__ import annotations

import asyncio
import json
import zlib
from collections import deque
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from aiohttp import web

from bot.standin.directory import Event
from bot.standin.entities import Intent
from bot.standin.sharding import shard_of

_REPLAYED = 5_000
"""The number of events that a session keeps for RESUME."""


class Op(IntEnum):
    DISPATCH = 0
    HEARTBEAT = 1
    IDENTIFY = 2
    PRESENCE = 3
    RESUME = 6
    RECONNECT = 7
    REQUEST_MEMBERS = 8
    INVALID_SESSION = 9
    HELLO = 10
    HEARTBEAT_ACK = 11


class Close(IntEnum):
    """Gateway close codes. After the first five the client gives up. After the others it resumes."""

    AUTHENTICATION_FAILED = 4004
    INVALID_SHARD = 4010
    SHARDING_REQUIRED = 4011
    INVALID_INTENTS = 4013
    DISALLOWED_INTENTS = 4014
    UNKNOWN_ERROR = 4000
    DECODE_ERROR = 4002
    NOT_AUTHENTICATED = 4003
    ALREADY_AUTHENTICATED = 4005


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame on a connection, or the end of the connection. `to_bot` is the direction, and `data` is the content."""

    to_bot: bool
    name: str
    sequence: int | None = None
    data: Any = None
    replayed: bool = False
    """Whether the frame repeats an earlier one after RESUME."""


@dataclass(eq=False)
class Session:
    """A session that IDENTIFY started. It continues to collect events while it has no connection."""

    id: str
    intents: Intent
    shard: tuple[int, int]
    sequence: int = 0
    replay: deque[tuple[int, str, str]] = field(default_factory=lambda: deque(maxlen=_REPLAYED))
    """The sequence number, name and text of the latest events."""
    connection: Connection | None = None

    def wants(self, event: Event) -> bool:
        """Tell whether the session's intents and shard include the event."""
        return self.owns(event.guild_id) and (event.intent is None or event.intent in self.intents)

    def owns(self, guild_id: int | None) -> bool:
        """Tell whether this shard owns a server. Events without a server belong to the first shard."""
        return shard_of(guild_id, self.shard[1]) == self.shard[0]

    def dispatch(self, name: str, data: str) -> bool:
        """Send an event and tell whether it was sent at once. `data` is JSON text that several sessions can share."""
        self.sequence += 1
        text = f'{{"op":0,"t":"{name}","s":{self.sequence},"d":{data}}}'
        self.replay.append((self.sequence, name, text))
        if self.connection is None:
            return False
        self.connection.send_text(text)
        return True


class Connection:
    """One websocket connection. A queue keeps everything in order. A new connection has no session yet."""

    def __init__(self, socket: web.WebSocketResponse, *, compress: bool) -> None:
        self.socket = socket
        self.session: Session | None = None
        self.last_heartbeat: float | None = None
        self.ended = asyncio.Event()
        self._out: asyncio.Queue[str | tuple[int, str] | None] = asyncio.Queue()
        self._deflate = zlib.compressobj() if compress else None

    def send(self, op: Op, data: Any) -> None:
        self.send_text(json.dumps({"op": op, "d": data, "s": None, "t": None}))

    def send_text(self, text: str) -> None:
        self._out.put_nowait(text)

    def close(self, code: int, reason: str = "") -> None:
        """Close the connection after everything in the queue is sent."""
        self._out.put_nowait((code, reason))

    def abort(self) -> None:
        """Cut the connection without a close frame, as a broken network does."""
        self._out.put_nowait(None)

    async def write(self, request: web.Request) -> None:
        """Send the queued frames until this side closes the connection or it is cut."""
        while True:
            item = await self._out.get()
            try:
                if item is None:
                    if request.transport is not None:
                        request.transport.abort()
                    return
                if isinstance(item, tuple):
                    await self.socket.close(code=item[0], message=item[1].encode())
                    return
                if self._deflate is None:
                    await self.socket.send_str(item)
                else:
                    packed = self._deflate.compress(item.encode()) + self._deflate.flush(zlib.Z_SYNC_FLUSH)
                    await self.socket.send_bytes(packed)
            except ConnectionError:
                return

"""Gateway sessions, their connections, and the frames on them."""

from __future__ import annotations

import asyncio
import json
import secrets
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from aiohttp import web

from bot.standin.directory import Event
from bot.standin.entities import Intent, Json
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
class Refusal:
    """Why a connection is closed."""

    code: Close
    reason: str


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


class Sessions:
    """The sessions and the connections of one bot. `changed` is called when a session loses its connection.

    There may be several sessions of one shard, and sessions with different numbers of shards.
    """

    def __init__(self, changed: Callable[[], None]) -> None:
        self.connections: set[Connection] = set()
        self._sessions: dict[str, Session] = {}
        self._changed = changed

    def __iter__(self) -> Iterator[Session]:
        return iter(tuple(self._sessions.values()))

    def find(self, session_id: str) -> Session | None:
        return self._sessions.get(session_id)

    def begin(self, intents: Intent, shard: tuple[int, int]) -> Session:
        """Start a session. Those of the same shard without a connection end, as they do on Discord after minutes."""
        for session in self:
            if session.connection is None and session.shard == shard:
                self.end(session)
        session = Session(secrets.token_hex(16), intents, shard)
        self._sessions[session.id] = session
        return session

    def end(self, session: Session, refusal: Refusal | None = None) -> None:
        """End a session, and close its connection if a reason is given. It cannot be resumed."""
        self._sessions.pop(session.id, None)
        if (connection := session.connection) is not None:
            self.detach(connection)
            if refusal is not None:
                connection.refuse(refusal)

    def attach(self, connection: Connection, session: Session) -> None:
        if session.connection is not None:
            session.connection.session = None
        connection.session = session
        session.connection = connection

    def detach(self, connection: Connection) -> None:
        if connection.session is not None:
            connection.session.connection = None
            connection.session = None
            self._changed()

    def of(self, shard: int | None) -> list[Session]:
        """Return the sessions of a shard, whatever the number of shards, or all."""
        return [session for session in self if shard in (None, session.shard[0])]

    def shard_of(self, payload: Json) -> int | None:
        """Return the shard that an IDENTIFY or a RESUME is for."""
        if payload["op"] == Op.IDENTIFY:
            return int(payload["d"].get("shard", (0, 1))[0])
        if payload["op"] == Op.RESUME and (session := self.find(payload["d"]["session_id"])) is not None:
            return session.shard[0]
        return None

    def connections_of(self, shard: int | None) -> list[Connection]:
        """Return the connections of a shard, or all, those without a session included."""
        if shard is None:
            return list(self.connections)
        return [session.connection for session in self.of(shard) if session.connection is not None]


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

    def refuse(self, refusal: Refusal) -> None:
        self.close(refusal.code, refusal.reason)

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

"""Discord's gateway: connections, sessions and the events that are sent to them.

https://discord.com/developers/docs/events/gateway
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Any

from aiohttp import WSCloseCode, WSMsgType, web

from bot.standin import payloads
from bot.standin.directory import Event
from bot.standin.entities import Intent, Json
from bot.standin.faults import Faults, Late, Lost, Twice
from bot.standin.logins import UNKNOWN_TOKEN, Logins
from bot.standin.sessions import Close, Connection, Frame, Op, Refusal, Session, Sessions
from bot.standin.sharding import SessionStarts
from bot.standin.world import World

_ALREADY_AUTHENTICATED = Refusal(Close.ALREADY_AUTHENTICATED, "Already authenticated.")
_NOT_AUTHENTICATED = Refusal(Close.NOT_AUTHENTICATED, "Not authenticated.")
_SHARDING_REQUIRED = Refusal(Close.SHARDING_REQUIRED, "Sharding required.")
_GREETED_AT_ONCE = 100
"""The number of GUILD_CREATEs that are written before other tasks have their turn."""


class Gateway:
    """The gateway of one bot, and methods to disturb one of its shards or all."""

    def __init__(
        self,
        world: World,
        faults: Faults,
        logins: Logins,
        *,
        resume_url: Callable[[], str],
        heartbeat_interval: float,
        compress: bool,
    ) -> None:
        self.identifies = 0
        self.resumes = 0
        self.heartbeats_late: deque[float] = deque(maxlen=10_000)
        """The lateness of each heartbeat after a connection's first, in seconds. Early ones are negative."""
        self.on_frame: list[Callable[[Frame], None]] = []
        """Functions that are called with every frame on any connection."""
        self._world = world
        self._faults = faults
        self._logins = logins
        self._sessions = Sessions(world.changed)
        self._resume_url = resume_url
        self._heartbeat_interval = heartbeat_interval
        self._compress = compress
        self._outages: dict[int | None, asyncio.Event] = {}
        """The ends of the outages of single shards, and of the whole gateway at None."""
        world.on_event.append(self.dispatch)

    @property
    def starts(self) -> SessionStarts:
        return self._logins.starts

    @property
    def shards(self) -> set[tuple[int, int]]:
        """The shards with a connected session now, each as its id and the number of shards."""
        return {session.shard for session in self._sessions if session.connection is not None}

    @property
    def connected(self) -> bool:
        """Whether sessions for all guilds are connected now."""
        up = self.shards
        return any(up.issuperset((id_, count) for id_ in range(count)) for count in {count for _, count in up})

    # Events

    def dispatch(self, event: Event) -> None:
        """Send an event to every session that asked for its kind, unless a fault prevents it."""
        if not any(self._sessions):
            return
        action = self._faults.for_event(event.name)
        if isinstance(action, Lost):
            return
        if isinstance(action, Late):
            asyncio.get_running_loop().call_later(action.seconds, self._deliver, event)
            return
        self._deliver(event)
        if isinstance(action, Twice):
            self._deliver(event)
        if event.name == "GUILD_CREATE":
            self._close_overfull()

    def _deliver(self, event: Event) -> None:
        bodies: dict[bool, tuple[Json, str]] = {}
        for session in self._sessions:
            if session.wants(event):
                content = Intent.MESSAGE_CONTENT in session.intents
                if content not in bodies:
                    body = event.build(content)
                    bodies[content] = body, json.dumps(body)
                self._dispatch(session, event.name, *bodies[content])

    def _dispatch(self, session: Session, name: str, body: Json, text: str | None = None) -> None:
        if session.dispatch(name, json.dumps(body) if text is None else text):
            self._tell(Frame(True, name, session.sequence, body))

    def _send(self, connection: Connection, op: Op, data: Any) -> None:
        connection.send(op, data)
        self._tell(Frame(True, op.name, data=data))

    def _tell(self, frame: Frame) -> None:
        for listener in tuple(self.on_frame):
            listener(frame)

    # Disturbances

    async def drop(self, code: int | None = None, *, shard: int | None = None) -> None:
        """Cut the connections, with a close code if one is given. Sessions remain and can be resumed."""
        await self._end(
            self._sessions.connections_of(shard),
            lambda connection: connection.abort() if code is None else connection.close(code),
        )

    async def reconnect(self, *, shard: int | None = None) -> None:
        """Ask the client to reconnect and resume (op 7). The call returns when the client has left."""
        await self._end(
            self._sessions.connections_of(shard), lambda connection: self._send(connection, Op.RECONNECT, None)
        )

    async def invalidate(self, *, resumable: bool = False, shard: int | None = None) -> None:
        """Tell the client that its session is invalid (op 9). The call returns when the client has left."""
        connections = self._sessions.connections_of(shard)
        if not resumable:
            self.forget_sessions(shard=shard)
        await self._end(connections, lambda connection: self._send(connection, Op.INVALID_SESSION, resumable))

    async def _end(self, connections: list[Connection], how: Callable[[Connection], None]) -> None:
        for connection in connections:
            self._sessions.detach(connection)
            how(connection)
        for connection in connections:
            await connection.ended.wait()

    @contextlib.asynccontextmanager
    async def outage(self, *, shard: int | None = None) -> AsyncIterator[None]:
        """Cut the connections and do not answer new ones until the block ends. Events are kept for RESUME.

        In the outage of a single shard new connections are greeted, as they do not say yet which shard they are for.
        """
        ended = self._outages[shard] = asyncio.Event()
        await self.drop(shard=shard)
        try:
            yield
        finally:
            self._outages.pop(shard, None)
            ended.set()

    async def _outage_over(self, shard: int | None) -> None:
        while (ended := self._outages.get(shard)) is not None:
            await ended.wait()

    def forget_sessions(self, *, shard: int | None = None) -> None:
        """Forget the sessions, as after a long outage. The next RESUME is refused."""
        for session in self._sessions.of(shard):
            self._sessions.end(session)

    def _close_overfull(self) -> None:
        """End the sessions that have too many guilds.

        Discord documents the code for connections that are made, and not when it closes one that grows.
        """
        for session in self._sessions:
            if self.starts.rules.is_exceeded(session.shard, self._world.guilds):
                self._sessions.end(session, _SHARDING_REQUIRED)

    def close(self) -> None:
        """Cut every connection permanently."""
        while self._outages:
            self._outages.popitem()[1].set()
        for connection in tuple(self._sessions.connections):
            self._sessions.detach(connection)
            connection.abort()

    # Connections

    async def handle(self, request: web.Request) -> web.WebSocketResponse:
        """Serve one client's connection from the upgrade to its end."""
        # A client that is cut off does not answer the closing handshake. The server therefore does not wait for it.
        socket = web.WebSocketResponse(compress=False, timeout=0.2)
        await socket.prepare(request)
        connection = Connection(socket, compress=self._compress and request.query.get("compress") == "zlib-stream")
        self._sessions.connections.add(connection)
        writer = asyncio.create_task(connection.write(request))
        try:
            await self._outage_over(None)
            hello = {"heartbeat_interval": int(self._heartbeat_interval * 1000), "_trace": []}
            self._send(connection, Op.HELLO, hello)
            async for message in socket:
                if message.type is not WSMsgType.TEXT:
                    connection.close(Close.DECODE_ERROR, "Error while decoding payload.")
                    break
                payload = json.loads(message.data)
                await self._outage_over(self._sessions.shard_of(payload))
                await self._receive(connection, payload)
        finally:
            # A normal close from the client ends its session. After any other end the session can be resumed.
            if connection.session is not None and socket.close_code in (WSCloseCode.OK, WSCloseCode.GOING_AWAY):
                self._sessions.end(connection.session)
            self._sessions.detach(connection)
            self._sessions.connections.discard(connection)
            connection.ended.set()
            self._tell(Frame(False, "CLOSED", data=socket.close_code))
            if socket.closed:
                writer.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await writer
        return socket

    async def _receive(self, connection: Connection, payload: Json) -> None:
        op: int = payload["op"]
        data: Any = payload.get("d")
        self._tell(Frame(False, Op(op).name if op in set(Op) else f"OP {op}", data=data))
        if op == Op.HEARTBEAT:
            self._heartbeat(connection)
        elif op == Op.IDENTIFY:
            await self._identify(connection, data)
        elif op == Op.RESUME:
            self._resume(connection, data)
        elif connection.session is None:
            connection.refuse(_NOT_AUTHENTICATED)
        elif op == Op.REQUEST_MEMBERS:
            self._give_members(connection.session, data)

    def _heartbeat(self, connection: Connection) -> None:
        now = self._world.clock()
        if connection.last_heartbeat is not None:
            self.heartbeats_late.append(now - connection.last_heartbeat - self._heartbeat_interval)
            self._world.changed()
        connection.last_heartbeat = now
        self._send(connection, Op.HEARTBEAT_ACK, None)

    async def _identify(self, connection: Connection, data: Json) -> None:
        if connection.session is not None:
            return connection.refuse(_ALREADY_AUTHENTICATED)
        if (refusal := self._logins.refusal(data)) is not None:
            return connection.refuse(refusal)
        shard_id, count = data.get("shard", (0, 1))
        if not self.starts.remaining:
            self._logins.reset_token()
            for session in self._sessions:
                self._sessions.end(session, UNKNOWN_TOKEN)
            return connection.refuse(UNKNOWN_TOKEN)
        if not self.starts.take(shard_id):
            return self._send(connection, Op.INVALID_SESSION, False)
        if self.starts.rules.is_exceeded((shard_id, count), self._world.guilds):
            return connection.refuse(_SHARDING_REQUIRED)
        self.identifies += 1
        session = self._sessions.begin(Intent(data["intents"]), (shard_id, count))
        self._sessions.attach(connection, session)
        return await self._greet(session)

    async def _greet(self, session: Session) -> None:
        world = self._world
        guilds = [guild for guild in world.guilds.values() if session.owns(guild.id)]
        ready = {
            "v": 10,
            "user": payloads.own_user(world.bot),
            "guilds": [{"id": str(guild.id), "unavailable": True} for guild in guilds],
            "session_id": session.id,
            "resume_gateway_url": self._resume_url(),
            "shard": list(session.shard),
            "application": {"id": str(world.bot.id), "flags": payloads.application_flags(self._logins.allowed())},
            "private_channels": [],
        }
        self._dispatch(session, "READY", ready)
        if Intent.GUILDS in session.intents:
            for begin in range(0, len(guilds), _GREETED_AT_ONCE):
                some = [guild for guild in guilds[begin : begin + _GREETED_AT_ONCE] if guild.id in world.guilds]
                for body in world.guild_creates(some):
                    self._dispatch(session, "GUILD_CREATE", body)
                if begin + _GREETED_AT_ONCE < len(guilds):
                    await asyncio.sleep(0)
        world.changed()

    def _resume(self, connection: Connection, data: Json) -> None:
        session = self._sessions.find(data["session_id"])
        if not self._logins.knows(data["token"]):
            return connection.refuse(UNKNOWN_TOKEN)
        oldest = session.replay[0][0] if session and session.replay else 0
        if session is None or not oldest - 1 <= data["seq"] <= session.sequence:
            return self._send(connection, Op.INVALID_SESSION, False)
        self.resumes += 1
        for number, name, text in session.replay:
            if number > data["seq"]:
                connection.send_text(text)
                self._tell(Frame(True, name, number, replayed=True))
        self._sessions.attach(connection, session)
        self._dispatch(session, "RESUMED", {})
        self._world.changed()
        return None

    def _give_members(self, session: Session, data: Json) -> None:
        guild = self._world.guilds.get(int(data["guild_id"]))
        if guild is None or not session.owns(guild.id):
            return
        asked = data.get("user_ids")
        wanted = (
            [int(each) for each in ([asked] if isinstance(asked, str) else asked)] if asked else list(guild.members)
        )
        prefix = (data.get("query") or "").lower()
        found = [guild.members[id_] for id_ in wanted if id_ in guild.members]
        chunk = {
            "guild_id": str(guild.id),
            "members": [payloads.member(each) for each in found if each.user.name.lower().startswith(prefix)],
            "not_found": [str(id_) for id_ in wanted if id_ not in guild.members],
            "chunk_index": 0,
            "chunk_count": 1,
            "nonce": data.get("nonce"),
        }
        self._dispatch(session, "GUILD_MEMBERS_CHUNK", chunk)

"""Keeps the shards of one bot connected to Discord's gateway, and connects more of them where Discord asks for it.

discord.py's own loop for several shards connects one after the other, whatever Discord allows, tries for ever where
nothing can be reached, lets the pause of one shard hold up all others, and resumes no session after a failure. So each
shard here has a loop of its own, as discord.py's client for a single one has.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import Counter
from contextlib import suppress
from typing import Any, NoReturn

import aiohttp
import discord
from discord.backoff import ExponentialBackoff
from discord.gateway import DiscordWebSocket, KeepAliveHandler, ReconnectWebSocket

from bot.core.errors import DiscordError
from bot.core.protocols import SharedLimits
from bot.core.shards import Shards
from bot.core.usage import DAY
from bot.discord_bot.session_starts import FAILURES, LONGEST_PAUSE, SessionStarts
from bot.discord_bot.shards import Connections
from bot.network.failures import failure

log = logging.getLogger(__name__)

GUILDS_PER_SHARD = 2500
"""Guilds of one shard beyond which Discord closes its connection."""
NEARLY_FULL = GUILDS_PER_SHARD * 9 // 10
"""Guilds of one shard beyond which more shards are connected before Discord requires them."""
_CLOSED = 1000
_SHARDING_REQUIRED = 4011
_DISALLOWED_INTENTS = 4014
_CONNECTION_RESET = (54, 10054)
"""The numbers of that error on the systems on which discord.py resumes at once after it."""
_CONNECT_TIMEOUT = 60.0
"""Seconds until a connection is made and its session is asked for."""
_ANSWER_TIMEOUT = 180.0
"""Seconds until a session begins, or goes on, that was asked for."""
_CLOSE_TIMEOUT = 1.0
"""Seconds for the end of a connection, and of the thread with its heartbeats."""
_FIRST_TRIES = 3
"""Connections of a shard that may fail at the start, before any shard has had a session."""
_MOST_RESUMPTIONS = 7
"""Attempts at resuming a session that may fail. They take about two minutes, for which Discord keeps a session."""


class Gateway:
    """The gateway connections of one client, with a `fixed` number of shards or as many as Discord recommends.

    With fixed `Shards`, the others of the bot are other processes', with which the `limits` are shared.
    """

    def __init__(
        self,
        client: discord.AutoShardedClient,
        connections: Connections,
        fixed: int | Shards | None,
        limits: SharedLimits | None = None,
    ) -> None:
        self._client = client
        self._connections = connections
        self._fixed = fixed
        self._starts = SessionStarts(client.http, limits)

    async def run(self) -> NoReturn:
        """Serve until the task is cancelled.

        Raises discord.py's errors if Discord refuses the bot, one of `FAILURES` if it cannot be reached at the start,
        and DiscordError if the shards of several processes are too few.
        """
        recommended = await self._starts.ask()
        shards = self._fixed if isinstance(self._fixed, Shards) else Shards.all_of(self._fixed or recommended)
        await self._starts.wait_for(len(shards.ids))
        while True:
            more = await self._serve(shards)
            log.warning("%d shards no longer suffice on Discord: connecting again with %d", shards.count, more)
            if self._fixed is not None:
                log.warning("more shards than SHARDS=%d: set SHARDS=auto, or SHARDS=%d", self._fixed, more)
            shards = Shards.all_of(more)

    async def before_identify(self, shard_id: int) -> None:
        """Wait until Discord allows a shard's next session, and no longer: until then it receives nothing."""
        await self._starts.before_identify(shard_id)

    async def _serve(self, shards: Shards) -> int:
        """Serve with these shards. Returns how many there have to be instead, once they no longer suffice."""
        log.info("connecting to Discord with %d shard%s", len(shards.ids), "s" * (len(shards.ids) != 1))
        self._client.shard_count = shards.count
        state = self._client._connection
        state.shard_count, state.shard_ids = shards.count, list(shards.ids)
        self._connections.begin(shards)
        connections = [_Connection(self._client, each, self._starts, self._connections) for each in shards.ids]
        running = [asyncio.create_task(self._until_full(connection, shards)) for connection in connections]
        running.append(asyncio.create_task(self._until_nearly_full(shards)))
        try:
            done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            return done.pop().result()
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
            await self._close()

    async def _until_full(self, connection: _Connection, shards: Shards) -> int:
        """Serve a shard until it has too many guilds. Returns how many shards there have to be, once they may begin."""
        try:
            await connection.run()
        except discord.ConnectionClosed as error:
            if error.code != _SHARDING_REQUIRED:
                raise
        if isinstance(self._fixed, Shards):
            raise DiscordError(
                f"Discord requires more than {shards.count} shards. Stop all processes, and set a larger number of"
                f" shards in SHARDS of each, such as 1/{2 * shards.count}."
            )
        more = max(await self._starts.ask_until_answered(), shards.count + 1)
        await self._starts.wait_for(more)
        return more

    async def _until_nearly_full(self, shards: Shards) -> int:
        """Ask Discord once a day how many shards it recommends. Returns that if it is more, and one is nearly full."""
        while True:
            await asyncio.sleep(DAY)
            try:
                recommended = await self._starts.ask()
            except FAILURES as error:
                log.warning("could not ask Discord how many shards it recommends: %r", error)
                continue
            guilds = Counter(shards.of(guild.id) for guild in self._client.guilds)
            if recommended <= shards.count or max(guilds.values(), default=0) <= NEARLY_FULL:
                continue
            if self._fixed is not None:
                log.warning(
                    "a shard is nearly full, and Discord recommends %d shards: set so many in SHARDS, and restart",
                    recommended,
                )
            elif self._starts.remaining >= recommended:
                return recommended

    async def _close(self) -> None:
        """Close all connections, also those that are being made, with the threads of their heartbeats.

        discord.py knows a connection only once it is made. Its thread would use the event loop after the loop's end.
        """
        token = self._client.http.token
        heartbeats = [
            thread
            for thread in threading.enumerate()
            if isinstance(thread, KeepAliveHandler) and thread.ws.token == token
        ]
        await asyncio.gather(*map(_end, heartbeats))


async def _end(heartbeat: KeepAliveHandler) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(_CLOSE_TIMEOUT):
            await heartbeat.ws.close(_CLOSED)
    await asyncio.to_thread(heartbeat.join, _CLOSE_TIMEOUT)


class _Connection:
    """The connection of one shard, which is made again whenever it is lost."""

    def __init__(
        self, client: discord.AutoShardedClient, shard_id: int, starts: SessionStarts, connections: Connections
    ) -> None:
        self._client = client
        self._id = shard_id
        self._starts = starts
        self._connections = connections
        self._socket: DiscordWebSocket | None = None
        """The last connection, with the session that the next one resumes."""
        self._served = False
        """Whether anything of a session has come on the last connection."""
        self._failed = 0
        """Connections since then on which nothing of a session has come."""
        self._backoff = ExponentialBackoff[Any]()

    async def run(self) -> NoReturn:
        """Serve until the task is cancelled. Raises what `Gateway.run` does."""
        while True:
            self._served = False
            resumed = self._resumable()
            try:
                await self._serve(resumed)
            except ReconnectWebSocket as asked:
                self._client.dispatch("shard_disconnect", self._id)
                if self._served or (resumed is not None and not asked.resume):
                    continue
                # Each attempt at a new session counts as a session start on Discord, also one that is refused.
                reason: Exception | None = aiohttp.ServerDisconnectedError() if asked.resume else None
            except FAILURES as error:
                self._client.dispatch("shard_disconnect", self._id)
                if isinstance(error, discord.ConnectionClosed) and error.code != _CLOSED:
                    if error.code == _DISALLOWED_INTENTS:
                        raise discord.PrivilegedIntentsRequired(self._id) from None
                    raise
                if self._served and isinstance(error, OSError) and error.errno in _CONNECTION_RESET:
                    continue
                reason = error
            self._failed += 1
            if reason is not None and not self._connections.has_begun and self._failed >= _FIRST_TRIES:
                raise reason
            pause = min(self._backoff.delay(), LONGEST_PAUSE)
            why = "it refused a new session" if reason is None else failure(reason).reason
            log.warning("shard %d: no connection to Discord, next attempt in %.1f s: %s", self._id, pause, why)
            await asyncio.sleep(pause)

    def _resumable(self) -> DiscordWebSocket | None:
        """The last connection if its session can be resumed. Its gateway may be gone, and Discord may refuse it."""
        socket = self._socket
        return None if socket is None or socket.session_id is None or self._failed >= _MOST_RESUMPTIONS else socket

    async def _serve(self, resumed: DiscordWebSocket | None) -> NoReturn:
        """Connect and handle events until the connection ends, which raises an exception that says how it goes on.

        The session of the connection `resumed` goes on, or a new one begins.
        """
        try:
            if resumed is None:
                async with self._starts.turn(self._id):
                    socket = await self._connect()
            else:
                socket = await self._connect(
                    resume=True, gateway=resumed.gateway, session=resumed.session_id, sequence=resumed.sequence
                )
            self._socket = socket
            async with asyncio.timeout(_ANSWER_TIMEOUT):
                while socket.sequence == (None if resumed is None else resumed.sequence):
                    await socket.poll_event()
        finally:
            self._starts.answered(self._id)
        self._served, self._failed = True, 0
        while True:
            await socket.poll_event()

    async def _connect(self, **session: Any) -> DiscordWebSocket:
        """Make a connection, and ask for a session on it."""
        async with asyncio.timeout(_CONNECT_TIMEOUT):
            return await DiscordWebSocket.from_client(self._client, shard_id=self._id, **session)

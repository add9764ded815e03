"""When sessions of Discord's gateway may be started: one after the other in each bucket of shards, so many in a day.

See https://docs.discord.com/developers/events/gateway#session-start-limit-object.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import aiohttp
import discord
from discord.backoff import ExponentialBackoff
from discord.http import HTTPClient

from bot.core.errors import StoreError
from bot.core.protocols import SharedLimits

log = logging.getLogger(__name__)

T = TypeVar("T")

IDENTIFY_EVERY = 5.0
"""Seconds that Discord asks for between two IDENTIFYs of a bucket."""
LONGEST_PAUSE = 60.0
"""Seconds between two attempts at a request or a connection at the most."""
_CONNECT_AHEAD = 1.0
"""Seconds before a shard's turn among those of all processes in which its connection is made."""
_TURN_LASTS = 0.25
"""Seconds within which a shard identifies itself whose turn has come.

`bot.store.postgresql.requests` adds more than that to `IDENTIFY_EVERY`.
"""
_NEWEST_ASKS_AFTER = 0.5
"""Seconds after which a turn that is free is asked for by a shard that has not waited for it yet."""
_MISSED_TURNS = 3
"""Turns that a shard may miss. It does not wait for another one, since on a busy computer it would miss any."""
_DATABASE_PAUSE = 0.5
"""Seconds until the database is asked again that was away."""
FAILURES = (discord.DiscordException, aiohttp.ClientError, OSError)
"""The exceptions of a request that failed."""


class SessionStarts:
    """The limits on the sessions that one bot starts, as Discord told them last; `shared` has what others start."""

    def __init__(self, http: HTTPClient, shared: SharedLimits | None = None) -> None:
        self._http = http
        self._shared = shared
        self._buckets = [_Bucket()]
        self._remaining = 0
        self._asked_at = float("-inf")
        """When Discord told that, on the monotonic clock."""
        self._asking = asyncio.Lock()
        self._reserved: set[int] = set()
        """The shards whose turn it is, and that have not identified themselves yet."""
        self._begun: set[int] = set()
        """The shards that have identified themselves."""
        self._reset_after = 0.0

    @property
    def remaining(self) -> int:
        """How many sessions may be started before Discord resets the limit, besides those that are about to be."""
        return max(0, self._remaining - len(self._reserved))

    async def ask(self) -> int:
        """Ask Discord for the limits. Returns how many shards it recommends. Raises one of `FAILURES`."""
        asked_at = time.monotonic()
        try:
            shards, _, limits = await self._http.get_bot_gateway()
            recommended, concurrency = max(1, int(shards)), max(1, int(limits["max_concurrency"]))
            remaining, reset_after = int(limits["remaining"]), limits["reset_after"] / 1000
        except (LookupError, TypeError, ValueError):
            raise discord.GatewayNotFound from None
        self._remaining, self._reset_after, self._asked_at = remaining, reset_after, asked_at
        if concurrency != len(self._buckets):
            last = max(bucket.last for bucket in self._buckets)
            self._buckets = [_Bucket(last) for _ in range(concurrency)]
        return recommended

    async def ask_until_answered(self) -> int:
        """Ask as `ask` does, again and again while that fails."""
        backoff = ExponentialBackoff()
        while True:
            try:
                return await self.ask()
            except FAILURES as error:
                pause = min(backoff.delay(), LONGEST_PAUSE)
                log.warning("could not ask Discord for its limits, trying again in %.0f s: %r", pause, error)
            await asyncio.sleep(pause)

    async def wait_for(self, count: int) -> None:
        """Wait until so many sessions may be started. Discord resets the token of a bot that starts more."""
        while self.remaining < count:
            await self.ask_until_answered()
            if self.remaining >= count:
                return
            pause = max(self._reset_after, IDENTIFY_EVERY)
            log.warning(
                "this bot may connect to Discord only %d more times, and %d are needed: waiting until %s UTC",
                self.remaining,
                count,
                f"{datetime.now(UTC) + timedelta(seconds=pause):%Y-%m-%d %H:%M:%S}",
            )
            await asyncio.sleep(pause)

    @asynccontextmanager
    async def turn(self, shard_id: int) -> AsyncIterator[None]:
        """Wait for the turn to connect, so that a connection does not wait long until it may identify itself."""
        async with self._bucket(shard_id).turn:
            await self.wait_for(1)
            if self._shared is not None:
                await self._wait_for_others(self._shared, shard_id)
            self._reserved.add(shard_id)
            try:
                yield
            finally:
                self._reserved.discard(shard_id)

    async def _wait_for_others(self, shared: SharedLimits, shard_id: int) -> None:
        """Wait until a start is left that no other process uses, and none may be starting a session in the bucket."""

        async def take_start() -> bool:
            return await shared.take_start(await self._told_now())

        while not await self._once_known(take_start):
            log.warning("other processes use the %d session starts that are left", self._remaining)
            await asyncio.sleep(LONGEST_PAUSE)
            await self.wait_for(1)
        turn = self._bucket(shard_id).turn_among_all = await self._take_turn(shared, shard_id, _CONNECT_AHEAD)
        await asyncio.sleep(turn.comes_at - _CONNECT_AHEAD - time.monotonic())

    async def _take_turn(self, shared: SharedLimits, shard_id: int, ahead: float, instead_of: int = 0) -> _Turn:
        async def take() -> _Turn:
            asked_at = time.monotonic()
            wait, number = await shared.identify_in(shard_id % len(self._buckets), ahead, instead_of)
            return _Turn(number, asked_at + wait, time.monotonic() + wait)

        since = time.monotonic()
        if shard_id not in self._begun:
            since = min(since, shared.unserved_since)
        while True:
            turn = await self._once_known(take)
            if turn.number:
                return turn
            # All who wait ask as long ahead, whoever has waited for longer first: so nobody is overtaken for long.
            asks_at = turn.comes_at + ahead - _CONNECT_AHEAD
            ahead = _CONNECT_AHEAD
            later = _NEWEST_ASKS_AFTER / (1 + max(0.0, asks_at - since))
            await asyncio.sleep(asks_at + later - time.monotonic())

    async def _wait_for_turn(self, shared: SharedLimits, shard_id: int) -> None:
        """Wait until no other process may be starting a session in a shard's bucket."""
        turn = self._bucket(shard_id).turn_among_all
        for _ in range(_MISSED_TURNS):
            await asyncio.sleep(turn.comes_at - time.monotonic())
            if time.monotonic() - turn.may_come_at <= _TURN_LASTS:
                return
            # The connection took long to be made, or the database to answer: by now it may be another process's turn.
            turn = await self._take_turn(shared, shard_id, 0.0, instead_of=turn.number)
        await asyncio.sleep(turn.comes_at - time.monotonic())

    async def _once_known(self, ask: Callable[[], Awaitable[T]]) -> T:
        """What the database says.

        While it is away nobody knows, and nobody could be answered: what comes meanwhile is found later.
        """
        told = False
        while True:
            try:
                return await ask()
            except StoreError as error:
                if not told:
                    log.warning("connecting to Discord once the database says that no other process does so: %s", error)
                told = True
            await asyncio.sleep(_DATABASE_PAUSE)

    async def _told_now(self) -> int:
        """How many sessions may be started by what Discord says, whoever has started others meanwhile."""
        async with self._asking:
            if time.monotonic() - self._asked_at >= IDENTIFY_EVERY:
                await self.ask_until_answered()
        return self._remaining

    async def before_identify(self, shard_id: int) -> None:
        """Wait until a shard may identify itself, which it has to do then."""
        bucket = self._bucket(shard_id)
        await bucket.wait_until_free()
        if self._shared is not None:
            await self._wait_for_turn(self._shared, shard_id)
        bucket.identified(shard_id)
        self._begun.add(shard_id)
        self._reserved.discard(shard_id)
        self._remaining -= 1

    def answered(self, shard_id: int) -> None:
        """Note that Discord has answered a shard's IDENTIFY, or that its connection has ended."""
        self._bucket(shard_id).answered(shard_id)

    def _bucket(self, shard_id: int) -> _Bucket:
        return self._buckets[shard_id % len(self._buckets)]


@dataclass(frozen=True, slots=True)
class _Turn:
    """When a shard may identify itself as far as other processes go, on the monotonic clock.

    The database's clock tells it, whose answer takes some time.
    """

    number: int = 0
    """0: it is another process's, and this is when it may be asked for again."""
    may_come_at: float = float("-inf")
    """The earliest time at which it may come."""
    comes_at: float = float("-inf")
    """The time at which it has come in any case."""


class _Bucket:
    """The shards of which one at a time may identify itself.

    Discord counts from the moment at which it gets an IDENTIFY. Only the answer shows that one has come, which may have
    been under way for long. One without an answer counts as come after a while.
    """

    def __init__(self, last: float = float("-inf")) -> None:
        self.turn = asyncio.Lock()
        self.last = last
        """When the last IDENTIFY was sent or answered, on the monotonic clock."""
        self.turn_among_all = _Turn()
        """The last one that a shard has taken of those of all processes."""
        self._unanswered: int | None = None
        self._answer = asyncio.Event()

    async def wait_until_free(self) -> None:
        if (shard_id := self._unanswered) is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._wait()):
                    await self._answer.wait()
            self.answered(shard_id)
        await asyncio.sleep(self._wait())

    def identified(self, shard_id: int) -> None:
        self._unanswered = shard_id
        self._answer.clear()
        self.last = time.monotonic()

    def answered(self, shard_id: int) -> None:
        if self._unanswered == shard_id:
            self._unanswered = None
            self._answer.set()
            self.last = time.monotonic()

    def _wait(self) -> float:
        return self.last + IDENTIFY_EVERY - time.monotonic()

"""The bot's reactions to people's messages, put and taken away behind the answers' backs.

Discord lets one pass every quarter of a second in a channel, so they are sent one at a time, and only while nothing
else is in a hurry. What is taken away before it was sent is never sent.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine

import discord

from bot.core.errors import StoreError
from bot.discord_bot.delivery.messages import platform_errors
from bot.discord_bot.delivery.scheduler import Scheduler
from bot.discord_bot.delivery.view import PlatformError, Unavailable
from bot.store import Store

log = logging.getLogger(__name__)

WAITING = "⏳"
SKIPPED = "🕒"

RETRY_AFTER = 0.2
"""Seconds until a courtesy is tried again that would have been in the way."""
_PAUSES = (0.5, 5.0, 25.0)
"""Seconds between tries at taking one away while Discord fails."""
_MOST = 1000
"""Marks that may wait to be put; in a flood of more, the later ones are left out."""

_Mark = tuple[int, str]
"""Message and emoji."""


class Reactions:
    """The marks of one client. `spawn` runs a task in the background and keeps it alive.

    An hourglass is on record before it is put and until it is gone, so that none outlasts a kill.
    """

    def __init__(
        self,
        client: discord.Client,
        store: Store,
        scheduler: Scheduler,
        spawn: Callable[[Coroutine[None, None, None]], object],
    ) -> None:
        self._client = client
        self._store = store
        self._scheduler = scheduler
        self._spawn = spawn
        self._to_put: dict[int, dict[_Mark, None]] = {}
        self._to_take: dict[int, dict[_Mark, None]] = {}
        self._working: set[int] = set()

    def add(self, channel_id: int, message_id: int, emoji: str) -> None:
        """Mark a message, soon."""
        if sum(map(len, self._to_put.values())) < _MOST:
            self._to_put.setdefault(channel_id, {})[message_id, emoji] = None
            self._work_on(channel_id)

    def remove(self, channel_id: int, message_id: int, emoji: str) -> None:
        """Remove a mark, soon."""
        mark = (message_id, emoji)
        putting = self._to_put.get(channel_id, {})
        if mark in putting:
            del putting[mark]
        else:
            self._to_take.setdefault(channel_id, {})[mark] = None
            self._work_on(channel_id)

    async def remove_left_over(self) -> None:
        """Remove the hourglasses that an earlier process left: who waits still gets another."""
        try:
            leftovers = await self._store.deliveries.pending_reactions()
        except StoreError as error:
            log.warning("hourglasses of an earlier process may stay: %s", error)
            return
        for channel_id, message_id in leftovers:
            self._to_take.setdefault(channel_id, {})[message_id, WAITING] = None
            self._work_on(channel_id)

    def _work_on(self, channel_id: int) -> None:
        if channel_id not in self._working:
            self._working.add(channel_id)
            self._spawn(self._work(channel_id))

    async def _work(self, channel_id: int) -> None:
        putting = self._to_put.setdefault(channel_id, {})
        taking = self._to_take.setdefault(channel_id, {})
        channel = self._client.get_partial_messageable(channel_id)
        try:
            while putting or taking:
                if taking:
                    # A mark that is no longer true gives way to others for a while only.
                    async with self._scheduler.low_priority():
                        message_id, emoji = mark = next(iter(taking))
                        del taking[mark]
                        await self._take(channel.get_partial_message(message_id), emoji)
                    continue
                with self._scheduler.best_effort("mark", channel_id) as has_room:
                    if has_room:
                        # Who is waiting for an answer comes first.
                        message_id, emoji = mark = min(putting, key=lambda each: each[1] != WAITING)
                        del putting[mark]
                        await self._put(channel.get_partial_message(message_id), emoji)
                        continue
                await asyncio.sleep(RETRY_AFTER)
        finally:
            del self._to_put[channel_id], self._to_take[channel_id]
            self._working.remove(channel_id)

    async def _put(self, message: discord.PartialMessage, emoji: str) -> None:
        if emoji == WAITING:
            await self._record(self._store.deliveries.mark_reaction(message.channel.id, message.id))
        try:
            with platform_errors():
                await message.add_reaction(emoji)
        except PlatformError as error:
            log.debug("message %d could not be marked: %s", message.id, error)

    async def _take(self, message: discord.PartialMessage, emoji: str) -> None:
        me = discord.Object(self._client.user.id if self._client.user else 0)
        for pause in _PAUSES:
            try:
                with platform_errors():
                    await message.remove_reaction(emoji, me)
            except Unavailable:
                await asyncio.sleep(pause)
            except PlatformError:
                break
            else:
                break
        else:
            # The next start finds it.
            return
        await self._record(self._store.deliveries.unmark_reaction(message.id))

    async def _record(self, writing: Awaitable[None]) -> None:
        try:
            await writing
        except StoreError as error:
            log.debug("a mark is not on record: %s", error)

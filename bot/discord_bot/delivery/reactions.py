"""The bot's reactions to people's messages, added and removed in the background.

Discord accepts one reaction every quarter of a second in a channel, although its headers say one a second:
https://github.com/discord/discord-api-docs/issues/182. So they are sent one at a time, and only while no reply needs
the room. A reaction that is removed before it was sent is never sent.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable

import discord

from bot.core.errors import StoreError
from bot.discord_bot.delivery.messages import platform_errors
from bot.discord_bot.delivery.scheduler import Scheduler
from bot.discord_bot.delivery.view import PlatformError, Unavailable
from bot.store import Store

log = logging.getLogger(__name__)

WAITING = "⏳"
"""Marks a prompt that waits for its turn."""
SKIPPED = "🕒"
"""Marks a prompt that is not answered now."""

RETRY_AFTER = 0.2
"""Seconds until a best-effort request is tried again for which there was no room."""
_RETRY_DELAYS = (0.5, 5.0, 25.0)
"""Seconds between the tries to remove a reaction while Discord fails."""
_MAX_PENDING = 1000
"""Reactions that may wait to be added. Further ones are left out."""

_Reaction = tuple[int, str]
"""The id of a message, and an emoji."""


class Reactions:
    """The reactions of one client. `spawn` runs a task in the background and keeps it alive.

    An hourglass is on record before it is added and until it is removed, so that a killed process leaves none for good.
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
        self._to_add: dict[int, dict[_Reaction, None]] = {}
        self._to_remove: dict[int, dict[_Reaction, None]] = {}
        self._working: set[int] = set()

    def add(self, channel_id: int, message_id: int, emoji: str) -> None:
        """Add a reaction to a message as soon as there is room."""
        if sum(map(len, self._to_add.values())) < _MAX_PENDING:
            self._to_add.setdefault(channel_id, {})[message_id, emoji] = None
            self._work_on(channel_id)

    def remove(self, channel_id: int, message_id: int, emoji: str) -> None:
        """Remove a reaction from a message as soon as there is room."""
        reaction = (message_id, emoji)
        adding = self._to_add.get(channel_id, {})
        if reaction in adding:
            del adding[reaction]
        else:
            self._to_remove.setdefault(channel_id, {})[reaction] = None
            self._work_on(channel_id)

    def remove_left_over(self, leftovers: Iterable[tuple[int, int]]) -> None:
        """Remove the hourglasses that an earlier process left, each given by the ids of its channel and its message.

        A prompt that still waits gets another.
        """
        for channel_id, message_id in leftovers:
            self._to_remove.setdefault(channel_id, {})[message_id, WAITING] = None
            self._work_on(channel_id)

    def _work_on(self, channel_id: int) -> None:
        if channel_id not in self._working:
            self._working.add(channel_id)
            self._spawn(self._work(channel_id))

    async def _work(self, channel_id: int) -> None:
        adding = self._to_add.setdefault(channel_id, {})
        removing = self._to_remove.setdefault(channel_id, {})
        channel = self._client.get_partial_messageable(channel_id)
        try:
            while adding or removing:
                if removing:
                    # A reaction that is no longer true gives way to other requests only for some seconds.
                    async with self._scheduler.low_priority():
                        message_id, emoji = reaction = next(iter(removing))
                        del removing[reaction]
                        await self._remove(channel.get_partial_message(message_id), emoji)
                    continue
                with self._scheduler.best_effort("reaction", channel_id) as has_room:
                    if has_room:
                        # Hourglasses come first.
                        message_id, emoji = reaction = min(adding, key=lambda each: each[1] != WAITING)
                        del adding[reaction]
                        await self._add(channel.get_partial_message(message_id), emoji)
                        continue
                await asyncio.sleep(RETRY_AFTER)
        finally:
            del self._to_add[channel_id], self._to_remove[channel_id]
            self._working.remove(channel_id)

    async def _add(self, message: discord.PartialMessage, emoji: str) -> None:
        if emoji == WAITING:
            marking = self._store.deliveries.mark_reaction(message.channel.id, message.id)
            if not await self._record(marking):
                return
        try:
            with platform_errors():
                await message.add_reaction(emoji)
        except PlatformError as error:
            log.debug("could not react to message %d: %s", message.id, error)

    async def _remove(self, message: discord.PartialMessage, emoji: str) -> None:
        me = discord.Object(self._client.user.id if self._client.user else 0)
        for delay in _RETRY_DELAYS:
            try:
                with platform_errors():
                    await message.remove_reaction(emoji, me)
            except Unavailable:
                await asyncio.sleep(delay)
            except PlatformError:
                break
            else:
                break
        else:
            # It stays on record, so the next process tries again.
            return
        await self._record(self._store.deliveries.unmark_reaction(message.id))

    async def _record(self, writing: Awaitable[None]) -> bool:
        try:
            await writing
        except StoreError as error:
            log.debug("could not save a reaction: %s", error)
            return False
        return True

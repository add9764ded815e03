"""Reads messages and channels from Discord: a few requests at a time, after all requests that users wait for."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime
from enum import Enum, auto
from typing import TypeVar

import discord

from bot.core.retrying import retrying
from bot.discord_bot.delivery.messages import UNKNOWN_CHANNEL, UNKNOWN_MESSAGE, platform_errors
from bot.discord_bot.delivery.scheduler import Scheduler
from bot.discord_bot.delivery.view import ContentRejected, NotEditable, TargetGone, Unavailable
from bot.discord_bot.unreadable import UNREADABLE

log = logging.getLogger(__name__)

_T = TypeVar("_T")

MAX_CONCURRENT = 3
"""Requests under way at the same time."""
_RETRY_DELAYS = (1.0, 5.0, 20.0)
"""Seconds between tries at a request while Discord fails."""
PAGE = 100
"""Messages that Discord gives in one answer."""


class MessageStatus(Enum):
    """Whether a message is still in its channel."""

    PRESENT = auto()
    LOADING = auto()
    """It only says that the bot is thinking, as the answer to a command does at first."""
    DELETED = auto()
    CHANNEL_DELETED = auto()
    UNKNOWN = auto()
    """Discord does not let the bot read the channel."""


class History:
    """Reads the history of channels for one client.

    Every method raises Unavailable if Discord fails for a while, and TargetGone if the bot may not read the channel.
    """

    def __init__(self, client: discord.Client, scheduler: Scheduler) -> None:
        self._client = client
        self._scheduler = scheduler
        self._slots = asyncio.Semaphore(MAX_CONCURRENT)

    async def status_of(self, channel_id: int, message_id: int) -> MessageStatus:
        """Whether a message is still there."""
        try:
            found = await self._read(lambda: self._client.http.get_message(channel_id, message_id))
        except TargetGone as error:
            code = error.__cause__.code if isinstance(error.__cause__, discord.HTTPException) else None
            if code == UNKNOWN_MESSAGE:
                return MessageStatus.DELETED
            return MessageStatus.CHANNEL_DELETED if code == UNKNOWN_CHANNEL else MessageStatus.UNKNOWN
        loading = discord.MessageFlags._from_value(found.get("flags", 0)).loading
        return MessageStatus.LOADING if loading else MessageStatus.PRESENT

    async def message(self, channel_id: int, message_id: int) -> discord.Message | None:
        """A message as it is now. None: it is gone, or cannot be read."""
        channel = self._client.get_partial_messageable(channel_id)
        try:
            found = await self._read(lambda: self._client.http.get_message(channel_id, message_id))
            return discord.Message(state=channel._state, channel=channel, data=found)
        except TargetGone:
            return None
        except UNREADABLE:
            log.exception("message %d in channel %d cannot be read", message_id, channel_id)
            return None

    async def own_messages_after(self, channel_id: int, message_id: int) -> list[discord.Message]:
        """The bot's messages in the first page of those that were written after a message, oldest first."""
        channel, me = self._client.get_partial_messageable(channel_id), self._client.user
        page, _ = await self._page(channel, after=message_id)
        return [message for message in reversed(page) if me is not None and message.author.id == me.id]

    async def since(
        self, channel: discord.abc.MessageableChannel, after: datetime, limit: int
    ) -> list[discord.Message]:
        """The messages written after a moment, newest first; no more pages are read once there are `limit`."""
        messages: list[discord.Message] = []
        oldest = discord.utils.time_snowflake(after, high=True)
        while len(messages) < limit:
            page, full = await self._page(channel, before=messages[-1].id if messages else None)
            recent = [message for message in page if message.id > oldest]
            messages += recent
            if not full or not recent or len(recent) < len(page):
                break
        return messages

    async def archived_threads(self, channel: discord.TextChannel | discord.ForumChannel) -> list[discord.Thread]:
        """The public threads of a channel that were archived last, in one page."""
        found = await self._read(lambda: self._client.http.get_public_archived_threads(channel.id, limit=PAGE))
        return [discord.Thread(guild=channel.guild, state=channel._state, data=each) for each in found["threads"]]

    async def is_there(self, channel_id: int) -> bool:
        """Whether a channel or thread was not deleted. One that the bot may not see counts as there."""
        try:
            await self.channel(channel_id)
        except TargetGone as error:
            return not error.deleted
        return True

    async def latest(self, channel: discord.abc.MessageableChannel) -> list[discord.Message]:
        """The messages of the newest page of a channel."""
        page, _ = await self._page(channel)
        return page

    async def channel(self, channel_id: int) -> object:
        """Fetch a channel that is not in discord.py's cache, such as a DM."""
        return await self._read(lambda: self._client.fetch_channel(channel_id))

    async def _page(
        self, channel: discord.abc.MessageableChannel, *, before: int | None = None, after: int | None = None
    ) -> tuple[list[discord.Message], bool]:
        """The messages of one page that discord.py can read, newest first, and whether there may be another page.

        `channel.history` ends at the first message that cannot be read.
        """
        found = await self._read(lambda: self._client.http.logs_from(channel.id, PAGE, before=before, after=after))
        messages: list[discord.Message] = []
        for each in found:
            try:
                messages.append(discord.Message(state=channel._state, channel=channel, data=each))
            except UNREADABLE:
                log.exception("skipped a message in channel %d that cannot be read", channel.id)
        return messages, len(found) == PAGE

    async def _read(self, get: Callable[[], Awaitable[_T]]) -> _T:
        return await retrying(lambda: self._read_once(get), _RETRY_DELAYS, on=(Unavailable,))

    async def _read_once(self, get: Callable[[], Awaitable[_T]]) -> _T:
        async with self._slots, self._scheduler.low_priority():
            try:
                with platform_errors():
                    return await get()
            except (ContentRejected, NotEditable) as error:
                raise TargetGone(str(error)) from error

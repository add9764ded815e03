"""Reads what stands in Discord's channels: a few requests at a time, behind everything that people wait for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from enum import Enum, auto
from typing import TypeVar

import discord

from bot.discord_bot.delivery.messages import UNKNOWN_CHANNEL, UNKNOWN_MESSAGE, platform_errors
from bot.discord_bot.delivery.scheduler import Scheduler
from bot.discord_bot.delivery.view import ContentRejected, NotEditable, TargetGone, Unavailable

_T = TypeVar("_T")

_AT_ONCE = 3
"""Requests under way."""
_PAUSES = (1.0, 5.0, 20.0)
"""Seconds between tries while Discord fails."""
_PAGE = 100
"""Messages that Discord gives at once."""


class MessageStatus(Enum):
    """Whether a message still stands in its channel."""

    PRESENT = auto()
    DELETED = auto()
    CHANNEL_DELETED = auto()
    UNKNOWN = auto()
    """The bot may not look."""


class History:
    """Everything that one client reads. Raises Unavailable where Discord fails for a while, and Gone where the bot may
    not read.
    """

    def __init__(self, client: discord.Client, scheduler: Scheduler) -> None:
        self._client = client
        self._scheduler = scheduler
        self._few = asyncio.Semaphore(_AT_ONCE)

    async def status_of(self, channel_id: int, message_id: int) -> MessageStatus:
        """Look for one message."""
        channel = self._client.get_partial_messageable(channel_id)
        try:
            await self._read(lambda: channel.fetch_message(message_id))
        except TargetGone as error:
            code = error.__cause__.code if isinstance(error.__cause__, discord.HTTPException) else None
            if code == UNKNOWN_MESSAGE:
                return MessageStatus.DELETED
            return MessageStatus.CHANNEL_DELETED if code == UNKNOWN_CHANNEL else MessageStatus.UNKNOWN
        return MessageStatus.PRESENT

    async def after_message(self, channel_id: int, message_id: int) -> list[discord.Message]:
        """The first page of the messages that came after one, oldest first."""
        channel = self._client.get_partial_messageable(channel_id)
        return await self._page(channel, after=discord.Object(message_id), oldest_first=True)

    async def since(self, channel: discord.abc.MessageableChannel, after: datetime, most: int) -> list[discord.Message]:
        """The newest messages written after a moment, newest first; after `most` of them no more pages are read."""
        messages: list[discord.Message] = []
        while len(messages) < most:
            before = messages[-1] if messages else None
            page = await self._page(channel, before=before, after=after, oldest_first=False)
            messages += page
            if len(page) < _PAGE:
                break
        return messages

    async def channel(self, channel_id: int) -> object:
        """A channel that discord.py does not know by itself, such as a DM."""
        return await self._read(lambda: self._client.fetch_channel(channel_id))

    async def _page(
        self,
        channel: discord.abc.MessageableChannel,
        *,
        before: discord.abc.Snowflake | None = None,
        after: discord.abc.Snowflake | datetime,
        oldest_first: bool,
    ) -> list[discord.Message]:
        async def get() -> list[discord.Message]:
            found = channel.history(limit=_PAGE, before=before, after=after, oldest_first=oldest_first)
            return [message async for message in found]

        return await self._read(get)

    async def _read(self, get: Callable[[], Awaitable[_T]]) -> _T:
        for pause in _PAUSES:
            try:
                return await self._once(get)
            except Unavailable:
                await asyncio.sleep(pause)
        return await self._once(get)

    async def _once(self, get: Callable[[], Awaitable[_T]]) -> _T:
        async with self._few, self._scheduler.low_priority():
            try:
                with platform_errors():
                    return await get()
            except (ContentRejected, NotEditable) as error:
                raise TargetGone(str(error)) from error

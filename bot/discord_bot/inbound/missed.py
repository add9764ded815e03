"""Finds the prompts that came while the bot was away, in what stands in the channels.

Discord repeats the events of a session that goes on, but nothing of the time between two sessions.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import TypeAlias

import discord

from bot.core.errors import StoreError
from bot.discord_bot.delivery.messages import reads_history
from bot.discord_bot.delivery.reactions import SKIPPED, Reactions
from bot.discord_bot.delivery.view import TargetGone, Unavailable
from bot.discord_bot.ids import channel_of
from bot.discord_bot.inbound import reader
from bot.discord_bot.inbound.history import History
from bot.discord_bot.inbound.reader import Addressing
from bot.store import Store

log = logging.getLogger(__name__)

_Place: TypeAlias = discord.TextChannel | discord.VoiceChannel | discord.StageChannel | discord.Thread

_MOST = 500
"""Messages of one channel that are looked through."""
_HEARD = 1000
"""Prompts whose events came lately: those that are only about to be saved are known by this."""
_SILENCE, _LOOK_AGAIN = 2.0, 0.1
"""Seconds without a word of another server after which the rest of them count as hidden, and between two looks."""
_DIRECT = timedelta(days=30)
"""How long after their last use people's DMs are looked into: Discord lists none of them."""


class MissedMessages:
    """What came within the last `within` seconds and nothing was said to, at most the newest `per_channel` of a
    channel, is given to `answer`, oldest first.
    """

    def __init__(
        self,
        client: discord.Client,
        store: Store,
        history: History,
        marks: Reactions,
        answer: Callable[[discord.Message], None],
        *,
        within: float,
        per_channel: int,
    ) -> None:
        self._client = client
        self._store = store
        self._history = history
        self._marks = marks
        self._answer = answer
        self._within = timedelta(seconds=within)
        self._per_channel = per_channel
        self._missing: set[int] = set()
        self._heard: deque[int] = deque(maxlen=_HEARD)

    async def everywhere(self) -> None:
        """Look through all servers, once Discord has told of them, and the DMs that are known."""
        await asyncio.gather(self._all_servers(), self._direct_messages())

    def heard(self, message_id: int) -> None:
        """The event of a prompt came: it is being answered already."""
        self._heard.append(message_id)

    def lost(self, guild: discord.Guild) -> None:
        """An outage hides a server."""
        self._missing.add(guild.id)

    async def back(self, guild: discord.Guild) -> None:
        """Look through a server that was hidden."""
        if guild.id in self._missing:
            self._missing.remove(guild.id)
            await self._server(guild)

    async def _all_servers(self) -> None:
        waited, missing = 0.0, self._not_told_of()
        while missing and waited < _SILENCE:
            await asyncio.sleep(_LOOK_AGAIN)
            before, missing = missing, self._not_told_of()
            waited = waited + _LOOK_AGAIN if missing == before else 0.0
        self._missing |= missing
        await asyncio.gather(*(self._server(guild) for guild in self._client.guilds if guild.id not in missing))

    def _not_told_of(self) -> set[int]:
        return {guild.id for guild in self._client.guilds if guild.unavailable}

    async def _server(self, guild: discord.Guild) -> None:
        """Look through the channels and threads in which somebody wrote lately."""
        if self._per_channel == 0:
            return
        after = discord.utils.utcnow() - self._within
        lively = [place for place in _places(guild) if _written_in(place, after) and reads_history(place)]
        await asyncio.gather(*map(self._look_through, lively))

    async def _direct_messages(self) -> None:
        if self._per_channel == 0:
            return
        since = discord.utils.utcnow() - _DIRECT
        try:
            keys = await self._store.conversations.direct(int(since.timestamp()))
        except StoreError as error:
            log.error("DMs that came meanwhile are not answered: %s", error)
            return
        await asyncio.gather(*(self._direct_message(channel_of(key)) for key in keys))

    async def _direct_message(self, channel_id: int) -> None:
        try:
            channel = await self._history.channel(channel_id)
        except (TargetGone, Unavailable) as error:
            log.info("DM %d cannot be looked into: %s", channel_id, error)
            return
        if isinstance(channel, discord.DMChannel):
            await self._look_through(channel)

    async def _look_through(self, channel: discord.abc.MessageableChannel) -> None:
        """Find what one channel still waits for, and leave but the newest of it aside."""
        try:
            after = discord.utils.utcnow() - self._within
            waiting = await self._waiting(await self._history.since(channel, after, _MOST))
            first = max(0, len(waiting) - self._per_channel)
            for message in waiting[:first]:
                log.info("prompt %d in channel %d is passed over: it came with newer ones", message.id, channel.id)
                await self._store.processed.mark(message.id)
                self._marks.add(channel.id, message.id, SKIPPED)
        except (TargetGone, Unavailable, StoreError) as error:
            log.warning("what came in channel %d meanwhile is not answered: %s", channel.id, error)
            return
        for message in waiting[first:]:
            self._answer(message)

    async def _waiting(self, messages: Iterable[discord.Message]) -> list[discord.Message]:
        """The prompts among the messages that nothing was said to, oldest first."""
        me = self._client.user
        if me is None:
            return []
        own = (message for message in messages if message.author.id == me.id)
        answered = {message.reference.message_id for message in own if message.reference is not None}
        asked = [message for message in messages if reader.address(message, me) is Addressing.YES]
        handled = await self._store.processed.among([message.id for message in asked])
        # A hint is on no record, and a refusal only a moment after it was said.
        settled = handled | answered | set(self._heard)
        return sorted((message for message in asked if message.id not in settled), key=lambda each: each.id)


def _places(guild: discord.Guild) -> list[_Place]:
    """Where people write in a server: voice channels have a chat too."""
    return [*guild.text_channels, *guild.voice_channels, *guild.stage_channels, *guild.threads]


def _written_in(channel: _Place, after: datetime) -> bool:
    """Whether the newest message there came after that moment."""
    newest = channel.last_message_id
    return newest is not None and discord.utils.snowflake_time(newest) > after

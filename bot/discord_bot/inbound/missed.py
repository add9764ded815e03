"""Finds the prompts that came while the bot was away, by reading the channels.

Discord sends the missed events of a session that is resumed again, but no events of the time between two sessions.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import TypeAlias

import discord

from bot.core.errors import StoreError
from bot.core.retrying import poll_until
from bot.discord_bot.channels import channel_of
from bot.discord_bot.delivery.messages import reads_history
from bot.discord_bot.delivery.reactions import SKIPPED, Reactions
from bot.discord_bot.delivery.view import TargetGone, Unavailable
from bot.discord_bot.inbound.history import MAX_CONCURRENT, PAGE, History
from bot.discord_bot.inbound.inbox import Inbox
from bot.store import Store

log = logging.getLogger(__name__)

_Parent: TypeAlias = discord.TextChannel | discord.ForumChannel
_ReadableChannel: TypeAlias = discord.TextChannel | discord.VoiceChannel | discord.StageChannel | discord.Thread

_MAX_MESSAGES = 500
"""Messages of one channel that are searched for prompts."""
_GUILD_TIMEOUT = 2.0
"""Seconds without data of another guild after which the guilds that are still unavailable count as in an outage."""
_GUILD_CHECK_EVERY = 0.1
"""Seconds between two checks for data of another guild."""
_USED_WITHIN = timedelta(days=30)
"""How long after its last use a place counts as used. DMs are searched only then: Discord has no request for them."""
_MAX_UNUSED = 100
"""Channels of all guilds that are searched though the bot was not used there."""
_MAX_DIRECT = 500
"""DMs that are searched. Discord tells of no message in them but by a request for each."""
_MAX_PARENTS = 50
"""Channels of all guilds whose archived threads are searched."""
_PER_MINUTE = 600
"""Requests a minute: a fifth of what Discord allows the bot, so that most is left to people who are there."""
_TIMEOUT = 300.0
"""Seconds in which searches are begun: enough for all places that the bot was used in lately in thousands of guilds."""
_DIRECT = 0
"""Stands for direct messages, which are in no guild."""


class _Pace:
    """Spreads requests evenly over time."""

    def __init__(self) -> None:
        self._free_at = 0.0

    async def turn(self) -> None:
        """Wait until another request may be made."""
        now = time.monotonic()
        at = max(now, self._free_at)
        self._free_at = at + 60 / _PER_MINUTE
        await asyncio.sleep(at - now)

    def spent(self, requests: int) -> None:
        """Count further requests."""
        self._free_at += requests * 60 / _PER_MINUTE


class MissedMessages:
    """Gives missed prompts to the inbox, oldest first.

    A prompt is missed if it came within the last `max_age` seconds and got neither a reply nor a notice. Of each
    channel the newest `per_channel` are answered.
    """

    def __init__(
        self,
        client: discord.Client,
        store: Store,
        history: History,
        reactions: Reactions,
        inbox: Inbox,
        *,
        max_age: float,
        per_channel: int,
    ) -> None:
        self._client = client
        self._store = store
        self._history = history
        self._reactions = reactions
        self._inbox = inbox
        self._max_age = timedelta(seconds=max_age)
        self._per_channel = per_channel
        self._pace = _Pace()
        self._hidden: set[int] = set()
        """Guilds in an outage."""
        self._returned: list[discord.Guild] = []
        """Guilds whose outage has ended just now."""
        self._runs: dict[int, object] = {}
        """The latest search of each guild: those before it end."""

    async def in_guilds(self, guild_ids: Collection[int]) -> None:
        """Search the guilds of a session that has begun, once Discord has sent their data."""
        unavailable = await self._wait_for(guild_ids)
        self._hidden |= unavailable
        await self._guilds(
            [guild for guild in self._client.guilds if guild.id in guild_ids and guild.id not in unavailable]
        )

    def lost(self, guild: discord.Guild) -> None:
        """Note that a guild has become unavailable by an outage."""
        self._hidden.add(guild.id)

    async def back(self, guild: discord.Guild) -> None:
        """Search a guild whose outage has ended, together with others that come back within moments."""
        if guild.id not in self._hidden:
            return
        self._hidden.remove(guild.id)
        self._returned.append(guild)
        if len(self._returned) == 1:
            await asyncio.sleep(_GUILD_TIMEOUT)
            guilds, self._returned = self._returned, []
            await self._guilds(guilds)

    async def _wait_for(self, guild_ids: Collection[int]) -> set[int]:
        """Wait until Discord has sent the data of all these guilds, or of no other one of them for a while.

        Returns those that are still unavailable. discord.py has no event for this that comes in time: it holds
        `on_guild_available` back until `on_ready`.
        """

        def still_unavailable() -> set[int]:
            return {guild.id for guild in self._client.guilds if guild.unavailable and guild.id in guild_ids}

        async def changed() -> bool:
            return still_unavailable() != unavailable

        unavailable = still_unavailable()

        while unavailable:
            if not await poll_until(changed, every=_GUILD_CHECK_EVERY, timeout=_GUILD_TIMEOUT):
                break
            unavailable = still_unavailable()
        return unavailable

    async def _guilds(self, guilds: Sequence[discord.Guild]) -> None:
        """Search the channels and threads of guilds in which somebody wrote lately.

        Those in which the bot was used lately come first. Of the others, in which a prompt is unlikely, only the
        `_MAX_UNUSED` latest written in are searched.
        """
        if self._per_channel == 0:
            return
        after = discord.utils.time_snowflake(discord.utils.utcnow() - self._max_age)
        ranks = await self._ranks()
        active: list[_ReadableChannel] = []
        parents: list[_Parent] = []
        for guild in guilds:
            active += (each for each in _channels(guild) if _written_in(each, after) and reads_history(each))
            parents += (
                each
                for each in _with_threads(guild)
                if (each.id in ranks or _written_in(each, after)) and reads_history(each)
            )
            # Thousands of guilds must not hold up whoever asks meanwhile.
            await asyncio.sleep(0)
        used = sorted((each for each in active if each.id in ranks), key=lambda each: ranks[each.id])
        unused = [each for each in active if each.id not in ranks]
        unused.sort(key=lambda each: each.last_message_id or 0, reverse=True)
        parents.sort(key=lambda each: ranks.get(each.id, len(ranks)))

        async def search_archived(parent: _Parent) -> None:
            for thread in await self._archived(parent, after):
                await self._pace.turn()
                await self._search(thread)

        await self._search_in_turn(
            [guild.id for guild in guilds],
            [
                *((each.guild.id, partial(self._search, each)) for each in [*used, *unused[:_MAX_UNUSED]]),
                *((each.guild.id, partial(search_archived, each)) for each in parents[:_MAX_PARENTS]),
            ],
        )

    async def _search_in_turn(
        self, guild_ids: Iterable[int], searches: Iterable[tuple[int, Callable[[], Awaitable[None]]]]
    ) -> None:
        """Make searches of guilds, a few at a time. What an earlier call has not made yet of these guilds is left out.

        After `_TIMEOUT` seconds no further search is begun.
        """
        run = object()
        self._runs.update(dict.fromkeys(guild_ids, run))
        deadline = time.monotonic() + _TIMEOUT
        left = iter(searches)

        async def search_next() -> None:
            for guild_id, search in left:
                if self._runs.get(guild_id) is not run:
                    continue
                await self._pace.turn()
                if time.monotonic() > deadline:
                    log.info("not all channels were searched for questions that came while the bot was away")
                    return
                await search()

        await asyncio.gather(*(search_next() for _ in range(MAX_CONCURRENT)))

    async def _archived(self, parent: _Parent, after: int) -> list[discord.Thread]:
        """The archived threads of a channel that were written in after a moment, as far as one page goes."""
        try:
            return [each for each in await self._history.archived_threads(parent) if _written_in(each, after)]
        except (TargetGone, Unavailable) as error:
            log.warning("could not read the archived threads of channel %d: %s", parent.id, error)
            return []

    async def _ranks(self) -> Mapping[int, int]:
        """The channels in which, or in whose threads, the bot was used lately; the latest has the lowest number."""
        since = discord.utils.utcnow() - _USED_WITHIN
        try:
            used = await self._store.conversations.used_lately(int(since.timestamp()))
        except StoreError as error:
            log.warning("could not read where the bot was used lately: %s", error)
            return {}
        ranks: dict[int, int] = {}
        for rank, channel in enumerate(used):
            ranks.setdefault(int(channel), rank)
        return ranks

    async def in_direct_messages(self) -> None:
        """Search the DMs on record that were used lately."""
        if self._per_channel == 0:
            return
        since = discord.utils.utcnow() - _USED_WITHIN
        try:
            keys = await self._store.conversations.direct(int(since.timestamp()), _MAX_DIRECT)
        except StoreError as error:
            log.error("could not answer the DMs that came while the bot was away: %s", error)
            return
        await self._search_in_turn([_DIRECT], [(_DIRECT, partial(self._dm, channel_of(key))) for key in keys])

    async def _dm(self, channel_id: int) -> None:
        place = self._client.get_partial_messageable(channel_id)
        try:
            if not await self._history.since(place, discord.utils.utcnow() - self._max_age, 1):
                return
            self._pace.spent(2)
            channel = await self._history.channel(channel_id)
        except (TargetGone, Unavailable) as error:
            log.info("could not read DM %d: %s", channel_id, error)
            return
        if isinstance(channel, discord.DMChannel):
            await self._search(channel)

    async def _search(self, channel: discord.abc.MessageableChannel) -> None:
        """Find the missed prompts of a channel, have the newest answered and mark the others as skipped."""
        try:
            after = discord.utils.utcnow() - self._max_age
            messages = await self._history.since(channel, after, _MAX_MESSAGES)
            self._pace.spent(len(messages) // PAGE)
            missed = await self._missed(messages)
            first = max(0, len(missed) - self._per_channel)
            for message in missed[:first]:
                log.info("skipped prompt %d in channel %d: newer ones are answered first", message.id, channel.id)
                await self._store.processed.mark(message.id)
                if self._inbox.mentions_me(message):
                    self._reactions.add(channel.id, message.id, SKIPPED)
        except (TargetGone, Unavailable, StoreError) as error:
            log.warning("could not answer what came in channel %d while the bot was away: %s", channel.id, error)
            return
        for message in missed[first:]:
            self._inbox.found(message)

    async def _missed(self, messages: Sequence[discord.Message]) -> list[discord.Message]:
        """The prompts among the messages that got neither a reply nor a notice, oldest first."""
        me = self._client.user
        if me is None:
            return []
        own = (message for message in messages if message.author.id == me.id)
        answered = {message.reference.message_id for message in own if message.reference is not None}
        asked = await self._inbox.asked_among(messages)
        handled = await self._store.processed.among([message.id for message in asked])
        # The store does not record hints, and refusals only after they were sent.
        settled = handled | answered | self._inbox.recent()
        return sorted((message for message in asked if message.id not in settled), key=lambda each: each.id)


def _channels(guild: discord.Guild) -> list[_ReadableChannel]:
    """The channels and threads of a guild that hold messages: voice channels have a text chat too."""
    return [*guild.text_channels, *guild.voice_channels, *guild.stage_channels, *guild.threads]


def _with_threads(guild: discord.Guild) -> list[_Parent]:
    """The channels of a guild whose threads may be archived. The latest message of a forum is its latest post."""
    return [*guild.forums, *guild.text_channels]


def _written_in(channel: _ReadableChannel | _Parent, after: int) -> bool:
    """Whether the newest message of a channel came after a moment, which is given as a snowflake."""
    newest = channel.last_message_id
    return newest is not None and newest > after

"""Finds the prompts that came while the bot was away, by reading the channels.

Discord sends the missed events of a session that is resumed again, but no events of the time between two sessions.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import TypeAlias, TypeVar

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

_T = TypeVar("_T")
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
_DATABASE_CHECK_EVERY = 2.0
"""Seconds between two checks whether the database works again."""
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


@dataclass(frozen=True, slots=True, eq=False)
class _Run:
    """One search of some guilds, or of direct messages."""

    after: datetime
    """When the oldest messages were written that are looked at, however long the search takes."""
    deadline: float
    """When no further place is begun, on the monotonic clock."""


class MissedMessages:
    """Gives missed prompts to the inbox, oldest first.

    A prompt is missed if it came within the last `max_age` seconds and got neither a reply nor a notice. Of each
    channel the newest `per_channel` are answered. While the database fails, a search waits where it is.
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
        self._runs: dict[int, _Run] = {}
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
        run = self._begin(guild.id for guild in guilds)
        after = discord.utils.time_snowflake(run.after)
        ranks = await self._once_it_works(self._ranks, run)
        if ranks is None:
            return
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
                await self._search(thread, run)

        await self._search_in_turn(
            run,
            [
                *((each.guild.id, partial(self._search, each, run)) for each in [*used, *unused[:_MAX_UNUSED]]),
                *((each.guild.id, partial(search_archived, each)) for each in parents[:_MAX_PARENTS]),
            ],
        )

    def _begin(self, guild_ids: Iterable[int]) -> _Run:
        """Begin to search guilds. What an earlier search has not come to yet in them, it leaves out."""
        run = _Run(discord.utils.utcnow() - self._max_age, time.monotonic() + _TIMEOUT)
        self._runs.update(dict.fromkeys(guild_ids, run))
        return run

    async def _search_in_turn(self, run: _Run, searches: Iterable[tuple[int, Callable[[], Awaitable[None]]]]) -> None:
        """Make searches of guilds, a few at a time, until the deadline."""
        left = iter(searches)

        async def search_next() -> None:
            for guild_id, search in left:
                if self._runs.get(guild_id) is not run:
                    continue
                await self._pace.turn()
                if time.monotonic() > run.deadline:
                    log.info("not all channels were searched for questions that came while the bot was away")
                    return
                await self._once_it_works(search, run)

        await asyncio.gather(*(search_next() for _ in range(MAX_CONCURRENT)))

    async def _once_it_works(self, work: Callable[[], Awaitable[_T]], run: _Run) -> _T | None:
        """The result of work that needs the database: where that fails, once it works again.

        None: it did not until the deadline of the run.
        """

        async def works() -> bool:
            try:
                await self._store.engine.ping()
            except StoreError:
                return False
            return True

        while True:
            try:
                return await work()
            except StoreError as error:
                log.warning("looking for questions that came while the bot was away waits for the database: %s", error)
            await asyncio.sleep(_DATABASE_CHECK_EVERY)
            if not await poll_until(works, every=_DATABASE_CHECK_EVERY, timeout=run.deadline - time.monotonic()):
                log.error("not all questions that came while the bot was away were found: the database failed too long")
                return None

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
        used = await self._store.conversations.used_lately(int(since.timestamp()))
        ranks: dict[int, int] = {}
        for rank, channel in enumerate(used):
            ranks.setdefault(int(channel), rank)
        return ranks

    async def in_direct_messages(self) -> None:
        """Search the DMs on record that were used lately."""
        if self._per_channel == 0:
            return
        run = self._begin([_DIRECT])
        since = int((discord.utils.utcnow() - _USED_WITHIN).timestamp())
        known = partial(self._store.conversations.direct, since, _MAX_DIRECT)
        keys = await self._once_it_works(known, run) or ()
        searches = [(_DIRECT, partial(self._dm, channel_of(key), run)) for key in keys]
        await self._search_in_turn(run, searches)

    async def _dm(self, channel_id: int, run: _Run) -> None:
        place = self._client.get_partial_messageable(channel_id)
        try:
            if not await self._history.since(place, run.after, 1):
                return
            self._pace.spent(2)
            channel = await self._history.channel(channel_id)
        except (TargetGone, Unavailable) as error:
            log.info("could not read DM %d: %s", channel_id, error)
            return
        if isinstance(channel, discord.DMChannel):
            await self._search(channel, run)

    async def _search(self, channel: discord.abc.MessageableChannel, run: _Run) -> None:
        """Find the missed prompts of a channel, have the newest answered and mark the others as skipped.

        Raises StoreError, as if the search had not begun.
        """
        try:
            messages = await self._history.since(channel, run.after, _MAX_MESSAGES)
            self._pace.spent(len(messages) // PAGE)
            missed = await self._missed(messages)
        except (TargetGone, Unavailable) as error:
            log.warning("could not answer what came in channel %d while the bot was away: %s", channel.id, error)
            return
        first = max(0, len(missed) - self._per_channel)
        if await self._once_it_works(partial(self._skip, missed[:first]), run):
            for message in missed[first:]:
                self._inbox.found(message)

    async def _skip(self, prompts: list[discord.Message]) -> bool:
        """Mark prompts as skipped, which leave the list as soon as they are. Raises StoreError."""
        while prompts:
            message = prompts[0]
            await self._store.processed.mark(message.id)
            log.info("skipped prompt %d in channel %d: newer ones are answered first", message.id, message.channel.id)
            if self._inbox.mentions_me(message):
                self._reactions.add(message.channel.id, message.id, SKIPPED)
            del prompts[0]
        return True

    async def _missed(self, messages: Sequence[discord.Message]) -> list[discord.Message]:
        """The prompts among the messages that got neither a reply nor a notice, oldest first. Raises StoreError."""
        me = self._client.user
        if me is None or not messages:
            return []
        own = (message for message in messages if message.author.id == me.id)
        answered = {message.reference.message_id for message in own if message.reference is not None}
        handled = await self._store.processed.among([message.id for message in messages])
        # What is found is saved next, for which the database may fail although it can be read.
        await self._store.engine.ping()
        # Last, as it takes note of how far the channel is read.
        asked = await self._inbox.asked_among(messages)
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

"""Whether a message without a mention is for the bot, where moderators let it answer such messages."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TypeVar

import discord

from bot.core.channel_settings import ChannelSettings, WithoutMention
from bot.discord_bot.channels import conversation_in, settings_of
from bot.discord_bot.inbound import content, reader
from bot.discord_bot.inbound.reader import Addressing
from bot.store import Store

_T = TypeVar("_T")

PAUSE = 600.0
"""Seconds of silence after which two messages are not in a row."""
_PLACES = 1000
"""Channels and threads whose talk is remembered, and threads of which it is known whether the bot answers in them."""


@dataclass(slots=True)
class Talk:
    """Who talks in a channel or thread: the person whom the bot talks with, and the others who have talked since."""

    partner: int | None = None
    other: int | None = None
    waits: bool = False
    """Whether two other people have talked in a row, so that the bot waits for a mention."""
    last: int = 0
    """The id of the last message."""

    def addressed(self, message: discord.Message) -> None:
        """Follow a message that is meant for the bot, by a mention or as a reply to it."""
        self.partner, self.other, self.waits, self.last = message.author.id, None, False, message.id

    def goes_on(self, message: discord.Message) -> bool:
        """Follow any other message of a person. Returns whether the bot may take it for its own."""
        if _seconds_between(self.last, message.id) > PAUSE and not self.waits:
            self.partner = self.other = None
        self.last, author = message.id, message.author.id
        if self.partner is None:
            self.partner = author
        elif author == self.partner:
            self.other = None
        elif self.other in (None, author):
            self.other = author
        else:
            self.waits = True
        return not self.waits


class Unmentioned:
    """Follows the talk where the bot answers without a mention, for one client that may read all messages."""

    def __init__(self, client: discord.Client, store: Store) -> None:
        self._client = client
        self._store = store
        self._talks: OrderedDict[int, Talk] = OrderedDict()
        self._answers_in: OrderedDict[int, bool | None] = OrderedDict()
        """Whether the bot has answered in a thread. None: it was mentioned there, which it may answer or refuse."""
        self._newest: dict[int, int] = {}
        """The id of the newest message of each guild."""
        self._newest_before: dict[int, int] = {}
        """The id of the newest message of each guild in the sessions before this one."""

    def session_began(self, guild_ids: Collection[int]) -> None:
        """Note that what came to these guilds since the last session is not known."""
        self._newest_before.update((each, self._newest[each]) for each in guild_ids if each in self._newest)

    def addressed(self, message: discord.Message) -> None:
        """Follow a message that mentions the bot, which it answers wherever it is."""
        self._came(message)
        if not self._answers_in.get(message.channel.id):
            _keep(self._answers_in, message.channel.id, None)
        self._talk(message.channel.id).addressed(message)

    def may_be_meant(self, message: discord.Message) -> bool:
        """Whether a message without a mention may be for the bot, as far as can be said without a look-up."""
        self._came(message)
        guild, channel_id = message.guild, settings_of(message.channel)
        if guild is None or channel_id is None or not reader.is_said(message):
            return False
        known = self._store.channel_settings.known(guild.id)
        return known is None or _may(known.get(channel_id), message.channel)

    async def is_meant(self, message: discord.Message) -> bool:
        """Whether a message without a mention is for the bot. Follows the talk. Raises StoreError."""
        return await self._answers(message.channel) and self._goes_on(message, self._talk(message.channel.id))

    async def among(self, messages: Iterable[discord.Message]) -> list[discord.Message]:
        """Those of the messages of one channel, in any order, that are for the bot without a mention.

        Those of the sessions before are not among them, nor those from before moderators let the bot answer, or before
        it was part of a thread: they were decided on as they came. The talk goes on from the last message. Raises
        StoreError.
        """
        me, found = self._client.user, list[discord.Message]()
        in_order = sorted(messages, key=lambda each: each.id)
        if me is None or not in_order or not await self._answers(in_order[0].channel):
            return []
        guild = in_order[0].guild
        newest_before = 0 if guild is None else self._newest_before.get(guild.id, 0)
        decided = max(newest_before, await self._takes_part_since(in_order[0].channel))
        known = self._talks.get(in_order[0].channel.id)
        talk = Talk() if known is None or known.last > newest_before else replace(known)
        for message in in_order:
            if message.id <= talk.last:
                continue
            if reader.address(message, me) is Addressing.YES:
                talk.addressed(message)
            elif reader.is_said(message) and self._goes_on(message, talk) and message.id > decided:
                found.append(message)
        known = self._talks.get(in_order[0].channel.id)
        if known is None or known.last < talk.last:
            _keep(self._talks, in_order[0].channel.id, talk)
        return found

    def _came(self, message: discord.Message) -> None:
        if message.guild is not None:
            self._newest[message.guild.id] = max(self._newest.get(message.guild.id, 0), message.id)

    async def _answers(self, channel: discord.abc.MessageableChannel) -> bool:
        """Whether moderators let the bot answer without a mention in a channel or thread."""
        guild, channel_id = channel.guild, settings_of(channel)
        if guild is None or channel_id is None:
            return False
        settings = await self._store.channel_settings.of(guild.id, channel_id)
        if not _may(settings, channel):
            return False
        return settings.without_mention is WithoutMention.ALL or await self._is_own_thread(channel)

    async def _takes_part_since(self, channel: discord.abc.MessageableChannel) -> int:
        """The id up to which no message of a channel or thread was for the bot without a mention."""
        guild, channel_id = channel.guild, settings_of(channel)
        if guild is None or channel_id is None:
            return 0
        # The whole second: the time is kept without its fraction.
        decided_at = await self._store.channel_settings.decided_at(channel_id)
        since = 0 if decided_at is None else discord.utils.time_snowflake(datetime.fromtimestamp(decided_at + 1, UTC))
        settings = await self._store.channel_settings.of(guild.id, channel_id)
        if settings.without_mention is WithoutMention.THREADS and not self._has_opened(channel):
            since = max(since, await self._store.conversations.began(conversation_in(channel.id)) or 0)
        return since

    def _has_opened(self, channel: discord.abc.MessageableChannel) -> bool:
        me = self._client.user
        return me is not None and isinstance(channel, discord.Thread) and channel.owner_id == me.id

    async def _is_own_thread(self, channel: discord.abc.MessageableChannel) -> bool:
        """Whether the bot has opened a thread or answered in it."""
        if self._has_opened(channel):
            return True
        known = self._answers_in.get(channel.id)
        if known is None:
            known = await self._store.conversations.exists(conversation_in(channel.id))
            if known or channel.id not in self._answers_in:
                _keep(self._answers_in, channel.id, known)
        return known

    def _goes_on(self, message: discord.Message, talk: Talk) -> bool:
        if self._is_to_the_bot(message):
            talk.addressed(message)
            return True
        return talk.goes_on(message) and not self._is_to_others(message, talk)

    def _is_to_the_bot(self, message: discord.Message) -> bool:
        """Whether a message replies to the bot, with the ping off."""
        quoted, me = content.quoted(message), self._client.user
        return quoted is not None and me is not None and quoted.author.id == me.id

    def _is_to_others(self, message: discord.Message, talk: Talk) -> bool:
        """Whether a message mentions somebody else or replies to a message that is not the bot's.

        Whoever talks with the bot goes on in replies to their own messages too.
        """
        author, quoted = message.author.id, content.quoted(message)
        goes_on = quoted is not None and quoted.author.id == author == talk.partner
        replies = message.type is discord.MessageType.reply and not goes_on
        mentions = message.mention_everyone or bool(message.role_mentions)
        return replies or mentions or any(user.id != author for user in message.mentions)

    def _talk(self, channel_id: int) -> Talk:
        talk = self._talks.get(channel_id)
        if talk is None:
            talk = Talk()
        _keep(self._talks, channel_id, talk)
        return talk


def _may(settings: ChannelSettings | None, channel: object) -> bool:
    if settings is None or settings.without_mention is WithoutMention.NEVER:
        return False
    return settings.without_mention is WithoutMention.ALL or isinstance(channel, discord.Thread)


def _keep(kept: OrderedDict[int, _T], key: int, value: _T) -> None:
    kept[key] = value
    kept.move_to_end(key)
    if len(kept) > _PLACES:
        kept.popitem(last=False)


def _seconds_between(earlier: int, later: int) -> float:
    """The seconds from one snowflake to another. See https://docs.discord.com/developers/reference#snowflakes."""
    return ((later >> 22) - (earlier >> 22)) / 1000

"""The messages that people wrote in a channel lately, which go along with questions where moderators choose so.

They are in memory only, as the gateway gives them. What came before the bot's session is read from Discord, once for a
channel.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace

import discord

from bot.core.access import Person
from bot.core.attached import without_ids
from bot.core.changes import Change
from bot.core.channel_settings import DEFAULTS
from bot.core.errors import StoreError
from bot.core.prompt_text import MENTION, speaker
from bot.core.turns import Prompt, RecentMessage, UserName
from bot.discord_bot.access import members
from bot.discord_bot.access.policy import Policy
from bot.discord_bot.channels import asked_in, settings_of
from bot.discord_bot.delivery.messages import reads_history
from bot.discord_bot.delivery.view import TargetGone, Unavailable
from bot.discord_bot.inbound import content, reader
from bot.discord_bot.inbound.history import History
from bot.discord_bot.inbound.reader import Addressing
from bot.discord_bot.tasks import TaskSupervisor
from bot.store import Store

log = logging.getLogger(__name__)

MOST = 25
"""Messages of a channel that are remembered, as many as may go along with a question."""
LONGEST = 500
"""Characters kept of each."""
_WRITTEN_IN = (discord.TextChannel, discord.VoiceChannel, discord.StageChannel, discord.Thread)
_PLACES = 200
"""Channels and threads whose messages are remembered."""
_FORGOTTEN = 1000
"""Users who were forgotten lately, of whom it is remembered when."""
_READ_AGAIN_AFTER = 60.0
"""Seconds without another try, after Discord has failed for a while."""
_WITHIN = 3.0
"""Seconds that a question waits for what came before the session."""


@dataclass(frozen=True, slots=True)
class _Overheard:
    """A message of a person, as far as it is needed."""

    id: int
    author: Person
    name: UserName
    text: str


@dataclass(slots=True)
class _Place:
    """What is remembered of a channel or thread."""

    guild_id: int
    messages: dict[int, _Overheard] = field(default_factory=dict)
    complete: bool = False
    """Whether what came before the session is among it."""
    not_before: float = 0.0
    """When that is tried again, on the monotonic clock."""
    reading: asyncio.Event | None = None
    """Set once what came before the session was read, while that is under way."""


class RecentMessages:
    """The recent messages of one client that may read all of them."""

    def __init__(
        self, client: discord.Client, store: Store, history: History, policy: Policy, tasks: TaskSupervisor
    ) -> None:
        self._client = client
        self._store = store
        self._history = history
        self._policy = policy
        self._tasks = tasks
        self._places: OrderedDict[int, _Place] = OrderedDict()
        self._forgotten: OrderedDict[int, int] = OrderedDict()
        """For users who were forgotten, the id up to which their messages are read from Discord in vain."""
        store.changes.on(Change.FORGOTTEN, self.forget, self._places.clear)

    # What is remembered

    def received(self, message: discord.Message) -> None:
        """Remember a message that does not mention the bot, where moderators let it."""
        guild, channel_id = message.guild, settings_of(message.channel)
        if guild is None or channel_id is None or not reader.is_said(message):
            return
        known = self._store.channel_settings.known(guild.id)
        if known is not None and not known.get(channel_id, DEFAULTS).recent:
            # What is remembered would have a gap once moderators let it again.
            self._places.pop(message.channel.id, None)
        elif known is not None or message.channel.id in self._places:
            self._add(self._place(guild.id, message.channel.id), [message])

    def is_for_bot(self, message: discord.Message) -> None:
        """Leave out a message that is for the bot, though it does not mention it."""
        if (place := self._places.get(message.channel.id)) is not None:
            place.messages.pop(message.id, None)

    def updated(self, message: discord.Message) -> None:
        """Take over the edit of a message that is remembered."""
        place = self._places.get(message.channel.id)
        if place is None or not reader.is_said(message):
            return
        before = place.messages.get(message.id)
        self._drop(message.channel.id, place, [] if before is None else [message.id])
        if before is not None:
            self._add(place, [message])
            if (now := place.messages.get(message.id)) is not None:
                # Discord does not always say of an edited message which roles its author has.
                place.messages[message.id] = replace(now, author=before.author)

    def deleted(self, channel_id: int, message_ids: Collection[int]) -> None:
        """Drop messages that were deleted."""
        place = self._places.get(channel_id)
        if place is not None:
            self._drop(channel_id, place, [each for each in message_ids if each in place.messages])

    def channel_deleted(self, channel_id: int) -> None:
        """Drop all messages of a channel."""
        self._places.pop(channel_id, None)

    def forget(self, user_id: int) -> None:
        """Drop all messages that a user has written so far, also those that Discord still has."""
        self._forgotten[user_id] = discord.utils.time_snowflake(discord.utils.utcnow(), high=True)
        self._forgotten.move_to_end(user_id)
        if len(self._forgotten) > _FORGOTTEN:
            self._forgotten.popitem(last=False)
        for channel_id, place in list(self._places.items()):
            self._drop(channel_id, place, [each.id for each in place.messages.values() if each.author.id == user_id])

    def session_began(self, guild_ids: Collection[int]) -> None:
        """Drop all messages of these guilds: what came since the last session is not known."""
        for channel_id in [each for each, place in self._places.items() if place.guild_id in guild_ids]:
            del self._places[channel_id]

    # What goes along

    async def before(self, prompt: Prompt) -> list[RecentMessage]:
        """The messages before a question that may go along with it now, oldest first. Raises StoreError."""
        guild = None if prompt.guild_id is None else self._client.get_guild(prompt.guild_id)
        if guild is None or prompt.message_id is None:
            return []
        channel = guild.get_channel_or_thread(asked_in(prompt))
        channel_id = settings_of(channel)
        if channel is None or channel_id is None:
            return []
        count = (await self._store.channel_settings.of(guild.id, channel_id)).recent
        if not count:
            return []
        place = self._place(guild.id, channel.id)
        await self._complete(channel, place)
        if self._places.get(channel.id) is not place:
            # Something of it was deleted or forgotten while it was read.
            return []
        chosen = sorted((each for each in place.messages.values() if each.id < prompt.message_id), key=_id)[-count:]
        allowed = await self._policy.allowed_among(guild.id, [each.author for each in chosen])
        allowed -= await self._store.person_settings.left_out(allowed)
        # Some may have been edited, deleted or forgotten meanwhile, which a change of the settings may follow.
        current = [
            place.messages[each.id] for each in chosen if each.author.id in allowed and each.id in place.messages
        ]
        return [RecentMessage(each.id, each.author.id, each.name, each.text) for each in current]

    async def _complete(self, channel: object, place: _Place) -> None:
        """Wait until what came before the session is remembered too, but not for long."""
        if place.complete or not isinstance(channel, _WRITTEN_IN) or not reads_history(channel):
            return
        if time.monotonic() < place.not_before:
            return
        if place.reading is None:
            place.reading = asyncio.Event()
            self._tasks.spawn(self._read(channel, place, place.reading), on_shutdown="cancel")
        with suppress(TimeoutError):
            async with asyncio.timeout(_WITHIN):
                await place.reading.wait()

    async def _read(self, channel: discord.abc.MessageableChannel, place: _Place, done: asyncio.Event) -> None:
        try:
            found = await self._history.latest(channel)
            prompts = await self._store.processed.among([message.id for message in found])
            self._add(place, [each for each in found if each.id not in prompts and each.id not in place.messages])
            place.complete = True
        except TargetGone as error:
            # Discord has not said beforehand that the bot may not.
            log.info("the recent messages in channel %d cannot be read: %s", channel.id, error)
            place.complete = True
        except (Unavailable, StoreError) as error:
            log.warning("could not read the recent messages in channel %d: %s", channel.id, error)
            place.not_before = time.monotonic() + _READ_AGAIN_AFTER
        finally:
            place.reading = None
            done.set()

    def _add(self, place: _Place, messages: Iterable[discord.Message]) -> None:
        """Remember the newest of these messages and of those that are there, but for those that are for the bot."""
        me = self._client.user
        for message in messages:
            if me is None or not reader.is_said(message) or reader.address(message, me) is not Addressing.NO:
                continue
            if message.id <= self._forgotten.get(message.author.id, 0):
                continue
            if text := _text(message, me):
                author = message.author
                is_member = isinstance(author, discord.Member)
                roles = members.roles(author) if isinstance(author, discord.Member) else frozenset[int]()
                person = Person(author.id, roles, all_roles=is_member)
                name = speaker(author.display_name, author.name)
                place.messages[message.id] = _Overheard(message.id, person, name, text)
        for oldest in sorted(place.messages)[:-MOST]:
            del place.messages[oldest]

    def _drop(self, channel_id: int, place: _Place, message_ids: Iterable[int]) -> None:
        for message_id in message_ids:
            del place.messages[message_id]
        if place.reading is not None:
            # What is being read may have them too, as they were.
            self._places.pop(channel_id, None)

    def _place(self, guild_id: int, channel_id: int) -> _Place:
        place = self._places.setdefault(channel_id, _Place(guild_id))
        self._places.move_to_end(channel_id)
        if len(self._places) > _PLACES:
            self._places.popitem(last=False)
        return place


def _id(message: _Overheard) -> int:
    return message.id


def _text(message: discord.Message, me: discord.ClientUser) -> str:
    """What a message says, with the names of those whom it mentions."""
    names = content.users(message)
    text = "\n".join(filter(None, (content.text(message, me), *content.extras(message, me))))
    return content.bounded(
        without_ids(MENTION.sub(lambda user: f"@{names.get(int(user[1]), 'someone')}", text)), LONGEST
    )

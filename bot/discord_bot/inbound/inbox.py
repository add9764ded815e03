"""Sorts the messages of one client: those that are for the bot, those that it cannot read, and all others."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial

import discord

from bot import texts
from bot.core.errors import StoreError
from bot.core.retrying import retrying
from bot.discord_bot.access.policy import Policy
from bot.discord_bot.delivery.notices import Notices
from bot.discord_bot.inbound import reader
from bot.discord_bot.inbound.message_handler import MessageHandler
from bot.discord_bot.inbound.order import Order, Place
from bot.discord_bot.inbound.reader import Addressing
from bot.discord_bot.inbound.recent import RecentMessages
from bot.discord_bot.inbound.unmentioned import Unmentioned
from bot.discord_bot.names import own_name
from bot.discord_bot.tasks import TaskSupervisor

log = logging.getLogger(__name__)

UNREADABLE_REPEATED_AFTER = 24 * 3600.0
"""Seconds before a user is told again that a message could not be read."""
_RETRY_DELAYS = (1.0, 5.0, 20.0)
"""Seconds between tries to find out whether a message is meant for the bot while the database fails."""
_RECENT = 1000
"""Prompts whose events came lately and that are remembered: the store does not know them until they are saved."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a client does that may read messages that do not mention it."""

    unmentioned: Unmentioned
    recent: RecentMessages


class Inbox:
    """The messages of one client. Without `reading`, only those that mention the bot are for it, and DMs."""

    def __init__(
        self,
        client: discord.Client,
        messages: MessageHandler,
        notices: Notices,
        policy: Policy,
        reading: Reading | None,
        tasks: TaskSupervisor,
    ) -> None:
        self._client = client
        self._messages = messages
        self._notices = notices
        self._policy = policy
        self._reading = reading
        self._tasks = tasks
        self._recent: deque[int] = deque(maxlen=_RECENT)
        self._told_unreadable: dict[int, float] = {}
        self._order = Order()

    def recent(self) -> set[int]:
        """The ids of prompts whose events came lately, so that somebody answers them already."""
        return set(self._recent)

    def session_began(self, guild_ids: Collection[int]) -> None:
        """Note that what came to these guilds since the last session is not known."""
        if self._reading is not None:
            self._reading.unmentioned.session_began(guild_ids)
            self._reading.recent.session_began(guild_ids)

    def received(self, message: discord.Message) -> None:
        """Answer a new message if it is meant for the bot."""
        me = self._client.user
        if me is None:
            return
        match reader.address(message, me):
            case Addressing.YES:
                self._recent.append(message.id)
                if self._reading is not None:
                    self._reading.unmentioned.addressed(message)
                self._tasks.spawn(self._in_order(message, partial(self._messages.answer, message, me)))
            case Addressing.UNREADABLE if self._reading is None:
                self._tasks.spawn(self._tell_unreadable(message))
            case _:
                if self._reading is not None:
                    self._overheard(message, me, self._reading)

    def found(self, message: discord.Message) -> None:
        """Answer a prompt that came while the bot was away."""
        if (me := self._client.user) is not None:
            self._tasks.spawn(self._in_order(message, partial(self._messages.answer_missed, message, me)))

    def mentions_me(self, message: discord.Message) -> bool:
        """Whether a message addresses the bot, so that its author expects something of it."""
        me = self._client.user
        return me is not None and reader.address(message, me) is Addressing.YES

    async def asked_among(self, messages: Sequence[discord.Message]) -> list[discord.Message]:
        """Those of the messages of a channel that are for the bot, in any order. Raises StoreError."""
        asked = [message for message in messages if self.mentions_me(message)]
        return asked if self._reading is None else [*asked, *await self._reading.unmentioned.among(messages)]

    def _overheard(self, message: discord.Message, me: discord.ClientUser, reading: Reading) -> None:
        """Answer a message that does not mention the bot if it is for it; else it is a recent one."""
        # At once, so that its deletion or edit finds it.
        reading.recent.received(message)
        if reading.unmentioned.may_be_meant(message):
            self._tasks.spawn(self._in_order(message, partial(self._answer_if_meant, message, me, reading)))

    async def _in_order(self, message: discord.Message, answer: Callable[[Place], Awaitable[object]]) -> None:
        """Answer a message after those before it of the same person there."""
        with self._order.place((message.channel.id, message.author.id)) as place:
            await answer(place)

    async def _answer_if_meant(
        self, message: discord.Message, me: discord.ClientUser, reading: Reading, place: Place
    ) -> None:
        try:
            is_meant = partial(reading.unmentioned.is_meant, message)
            if await retrying(is_meant, _RETRY_DELAYS, on=(StoreError,)):
                reading.recent.is_for_bot(message)
                self._recent.append(message.id)
                await self._messages.answer(message, me, place)
        except StoreError as error:
            log.error("skipped a message in channel %d: %s", message.channel.id, error)

    async def _tell_unreadable(self, message: discord.Message) -> None:
        """Tell the author once a day that Discord withholds the text of such messages from the bot."""
        now = time.monotonic()
        self._told_unreadable = {
            user_id: at for user_id, at in self._told_unreadable.items() if now - at < UNREADABLE_REPEATED_AFTER
        }
        if message.author.id in self._told_unreadable:
            return
        self._told_unreadable[message.author.id] = now
        try:
            denied = await self._policy.check_message(message)
        except StoreError as error:
            log.error("skipped a message in channel %d: %s", message.channel.id, error)
            # They have not been told, and are at their next message.
            self._told_unreadable.pop(message.author.id, None)
            return
        if denied is not None:
            await self._notices.denied(message, denied)
        else:
            await self._notices.send(message, texts.unreadable(own_name(self._client, message.guild)))

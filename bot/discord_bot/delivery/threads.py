"""Threads that the bot opens on new questions, where the moderators of a channel chose that, and their titles.

Such a thread is opened before its question is saved, so that a question on record is answered where it says. Without
the thread, the question is answered in its channel.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence

import discord

from bot.core.channel_settings import WithoutMention
from bot.core.errors import StoreError
from bot.core.titles import plain_title
from bot.core.turns import Conversation, EarlierTurn, Prompt, Turn, UserName
from bot.discord_bot.channels import asked_in, channel_of
from bot.discord_bot.delivery.messages import platform_errors
from bot.discord_bot.delivery.view import ContentRejected, PlatformError, Unavailable
from bot.store import Store
from bot.texts import threads as words

log = logging.getLogger(__name__)

_RENAMED_WITHIN = 30.0
"""Seconds that a new title waits for Discord's answer."""
_GIVEN = 1000
"""The most threads of which the name is remembered."""
_HAS_A_THREAD = 160004
"""Discord's error code for a message that a thread was opened on before."""


class QuestionThreads:
    """The threads that one client opens."""

    def __init__(self, client: discord.Client, store: Store) -> None:
        self._client = client
        self._store = store
        self._given: dict[int, str] = {}
        """The names of the threads that this process has opened lately, as it gave them."""
        self._in_order = asyncio.Lock()
        """Keeps a message for which the settings are in memory behind those for which they are being read."""

    async def wants(self, message: discord.Message) -> bool:
        """Whether a message is to be answered in a thread on it: not if it is a reply. Raises StoreError."""
        channel = message.channel
        if message.type is not discord.MessageType.default or not isinstance(channel, discord.TextChannel):
            return False
        async with self._in_order:
            return (await self._store.channel_settings.of(channel.guild.id, channel.id)).threads

    async def open(self, message: discord.Message, prompt: Prompt) -> discord.Thread | str:
        """Open the thread on a question, or find it. The result is a sentence if there is none."""
        name = _first_name(prompt.text, prompt.names, prompt.author_name)
        if isinstance(message.channel, discord.TextChannel) and not may_open_threads(message.channel):
            return words.NOT_ALLOWED
        try:
            with platform_errors():
                return await self._opened(message, name)
        except PlatformError as error:
            log.warning("could not open a thread in channel %d: %s", message.channel.id, error)
            return words.NOT_OPENED

    async def _opened(self, message: discord.Message, name: str) -> discord.Thread:
        try:
            opened = await message.create_thread(name=name)
            self._given[opened.id] = opened.name
            if len(self._given) > _GIVEN:
                del self._given[next(iter(self._given))]
            return opened
        except discord.HTTPException as error:
            if error.code != _HAS_A_THREAD:
                raise
        # An earlier process was killed before the question was on record, or somebody was faster.
        found = self._client.get_channel(message.id) or await self._client.fetch_channel(message.id)
        if not isinstance(found, discord.Thread) or not may_write_in(found):
            raise ContentRejected(f"the bot cannot write in thread {message.id}")
        return found

    async def retitle(self, conversation: Conversation, title: str, question: EarlierTurn) -> bool:
        """Rename a thread if the bot opened it on this question and nobody has renamed it since.

        False: Discord fails, and may take the title later.
        """
        try:
            with platform_errors():
                thread = self._client.get_channel(channel_of(conversation)) or await self._client.fetch_channel(
                    channel_of(conversation)
                )
                if isinstance(thread, discord.Thread) and self._named(thread, question):
                    renaming = asyncio.create_task(thread.edit(name=title))
                    # discord.py may sleep in the call that takes the last of two for ten minutes.
                    done, _ = await asyncio.wait([renaming], timeout=_RENAMED_WITHIN)
                    for each in done:
                        each.result()
        except Unavailable as error:
            log.info("thread %s keeps its title for now: %s", conversation.channel, error)
            return False
        except PlatformError as error:
            log.info("thread %s keeps its title: %s", conversation.channel, error)
        return True

    def _named(self, thread: discord.Thread, question: EarlierTurn) -> bool:
        """Whether the name of a thread is the one that the bot gave it when it opened it on this question."""
        me = self._client.user
        if me is None or thread.owner_id != me.id:
            return False
        if (given := self._given.get(thread.id)) is not None:
            return thread.name == given
        # A file that was read since may have made the text longer.
        name = _first_name(question.prompt, {}, question.author_name)
        return thread.name == name or name.startswith(thread.name.removesuffix("…"))

    async def hints(self, prompt: Prompt | Turn) -> Sequence[str]:
        """What the first answer in a thread says on how to go on there, where a message has to mention the bot."""
        if prompt.asked_in is None or prompt.guild_id is None:
            return ()
        try:
            settings = await self._store.channel_settings.of(prompt.guild_id, asked_in(prompt))
        except StoreError as error:
            log.warning("could not read the settings of a channel: %s", error)
            return ()
        reads_all = self._client.intents.message_content
        return () if reads_all and settings.without_mention is not WithoutMention.NEVER else (words.GO_ON,)


def _first_name(prompt: str, names: Mapping[int, str], author: UserName | None) -> str:
    """The name of the thread on a question, until the question is answered."""
    return plain_title(prompt, names) or words.untitled(None if author is None else author.shown)


def may_open_threads(channel: discord.TextChannel) -> bool:
    """Whether the bot may open threads in a channel and write in them. Where discord.py does not know, it tries."""
    me: discord.Member | None = channel.guild.me
    if me is None:
        return True
    permissions = channel.permissions_for(me)
    return permissions.create_public_threads and permissions.send_messages_in_threads


def may_write_in(thread: discord.Thread) -> bool:
    """Whether the bot may write in a thread. Where discord.py does not know, it tries."""
    me: discord.Member | None = thread.guild.me
    if me is None or thread.parent is None:
        return True
    permissions = thread.permissions_for(me)
    return permissions.send_messages_in_threads and (permissions.manage_threads or not thread.locked)

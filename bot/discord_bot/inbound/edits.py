"""What becomes of conversations when something around them changes: edits, deletions, servers come and gone."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection
from datetime import timedelta

import discord

from bot.core.errors import StoreError
from bot.core.service import ConversationService
from bot.core.usage import DAY
from bot.discord_bot.delivery.replies import Replies
from bot.discord_bot.ids import conversation_in, message_of
from bot.discord_bot.inbound import reader
from bot.store import Store

log = logging.getLogger(__name__)

EDIT_BECOMES_PROMPT_WITHIN = timedelta(minutes=2)
"""How long after a message was written an edit can make a prompt of it."""
_SAVED_WITHIN, _LOOK_AGAIN = 10.0, 0.02
"""Seconds that a prompt may take to be saved, and from one look to the next."""
_PAUSES = (1.0, 10.0, 60.0, 600.0)
"""Seconds between tries at a change while the database fails: what is to be forgotten must not stay."""

Answer = Callable[[discord.Message], Awaitable[bool]]
"""Answers a message as a prompt. False: it was taken before."""


class MessageLifecycle:
    """What one client is told of."""

    def __init__(self, conversations: ConversationService, store: Store, replies: Replies) -> None:
        self._conversations = conversations
        self._store = store
        self._replies = replies
        self._edits: dict[int, discord.Message] = {}
        """The newest edit of each prompt that is being put on record."""
        self._servers = asyncio.Lock()
        """A change that has to be tried again stays before those that came after it."""
        self._told_of_servers = asyncio.Event()

    async def edited(self, message: discord.Message, me: discord.ClientUser, answer: Answer) -> None:
        """Correct a prompt that is on record; one that was none before is answered, if that was just now."""
        prompt = reader.read(message, me).prompt
        if prompt is None or message.edited_at is None:
            # Link previews come as updates too, but are no edits.
            return
        self._edits[message.id] = message
        try:
            if await self._store.turns.correct(message_of(prompt), prompt.text, prompt.quote):
                return
            if message.edited_at - message.created_at > EDIT_BECOMES_PROMPT_WITHIN:
                return
            if not await self._store.processed.among([message.id]):
                if await answer(message):
                    return
                # An event of the same message was on its way at the same time.
                await self._on_record(message.id)
            if self._edits.get(message.id) is message:
                await self._store.turns.correct(message_of(prompt), prompt.text, prompt.quote)
        except StoreError as error:
            log.error("the edit of prompt %d is not on record: %s", message.id, error)
        finally:
            if self._edits.get(message.id) is message:
                del self._edits[message.id]

    async def _on_record(self, prompt_id: int) -> None:
        """Wait until a prompt that is being taken on is saved, as long as it is worth it."""
        give_up = time.monotonic() + _SAVED_WITHIN
        while time.monotonic() < give_up:
            if await self._store.processed.among([prompt_id]):
                break
            await asyncio.sleep(_LOOK_AGAIN)

    async def deleted(self, channel_id: int, message_ids: Collection[int]) -> None:
        """Forget the turns whose prompt or whose reply was deleted by somebody else; replies under way end."""
        theirs = self._replies.deletions.deleted(channel_id, message_ids)
        if theirs:
            await _retrying("forgetting deleted replies", lambda: self._store.retention.forget_replies(theirs))
            # What is shown of these goes first: after a kill, only what is on record can be taken away.
            await self._replies.deletions.wait_until_removed(theirs)
            await _retrying(
                "forgetting deleted prompts",
                lambda: self._store.retention.forget_prompts(theirs),
            )

    async def channel_deleted(self, channel_id: int) -> None:
        """Forget the conversation of a channel or thread that is no more, and what was decided for it."""
        key = conversation_in(channel_id)
        await _retrying(f"forgetting channel {channel_id}", lambda: self._conversations.forget(key))
        await _retrying(f"forgetting channel {channel_id}", lambda: self._store.guilds.forget_channel(channel_id, key))

    async def left(self, guild_id: int) -> None:
        """The bot was removed from a server."""
        async with self._servers:
            await _retrying(f"noting that server {guild_id} was left", lambda: self._store.guilds.mark_left(guild_id))

    async def joined(self, guild_ids: Collection[int]) -> None:
        """These are all servers that the bot is in, those included that are not available just now."""
        async with self._servers:
            await _retrying("noting which servers there are", lambda: self._store.guilds.sync(guild_ids))
        self._told_of_servers.set()

    async def prune_daily(self, unused_days: int) -> None:
        """Delete for ever, day by day, what has not been used for so long, or belongs to servers left.

        Not before it is known where the bot is: it may have been invited back while it was not running.
        """
        await self._told_of_servers.wait()
        while True:
            try:
                if pruned := await self._store.retention.prune(unused_days):
                    log.info("deleted %d conversations that were no longer used", pruned)
            except StoreError as error:
                log.warning("what is no longer used is left to another day: %s", error)
            await asyncio.sleep(DAY)


async def _retrying(doing: str, change: Callable[[], Awaitable[object]]) -> None:
    """Make a change, for some minutes if need be; `doing` is for the log."""
    for pause in _PAUSES:
        try:
            await change()
        except StoreError as error:
            log.error("%s failed, trying again in %g s: %s", doing, pause, error)
            await asyncio.sleep(pause)
        else:
            return
    log.error("%s is given up: what was to be forgotten may still be on record", doing)

"""What becomes of conversations when something around them changes: edits, deletions, servers come and gone."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection
from datetime import timedelta

import discord

from bot.conversation import Conversations
from bot.discord_bot import prompts
from bot.discord_bot.prompts import conversation_key
from bot.discord_bot.replies import Replies
from bot.errors import StoreError
from bot.store import SQLiteStore
from bot.usage import DAY

log = logging.getLogger(__name__)

ADDED_WITHIN = timedelta(minutes=2)
"""How long after a message was written an edit can make a prompt of it."""
_LOOKS, _LOOK_AGAIN = 500, 0.02
"""How often it is looked whether a prompt is saved by now, and the seconds from one look to the next."""
_PAUSES = (1.0, 10.0, 60.0, 600.0)
"""Seconds between tries at a change while the database fails: what is to be forgotten must not stay."""

Answer = Callable[[discord.Message], Awaitable[bool]]
"""Answers a message as a prompt. False: it was taken before."""


class Changes:
    """What one client is told of."""

    def __init__(self, conversations: Conversations, store: SQLiteStore, replies: Replies) -> None:
        self._conversations = conversations
        self._store = store
        self._replies = replies

    async def edited(self, message: discord.Message, me: discord.ClientUser, answer: Answer) -> None:
        """Correct a prompt that is on record; one that was none before is answered, if that was just now."""
        prompt = prompts.read(message, me).prompt
        if prompt is None or message.edited_at is None:
            # Link previews come as updates too, but are no edits.
            return
        try:
            if await self._store.correct(prompt.conversation, prompt.position, prompt.text, prompt.quote):
                return
            if message.edited_at - message.created_at > ADDED_WITHIN:
                return
            if not await self._store.handled([message.id]):
                if await answer(message):
                    return
                # An event of the same message was on its way at the same time.
                await self._on_record(message.id)
            await self._store.correct(prompt.conversation, prompt.position, prompt.text, prompt.quote)
        except StoreError as error:
            log.error("the edit of prompt %d is not on record: %s", message.id, error)

    async def _on_record(self, prompt_id: int) -> None:
        """Wait until a prompt that is being taken on is saved; what is refused is on record too."""
        for _ in range(_LOOKS):
            if await self._store.handled([prompt_id]):
                break
            await asyncio.sleep(_LOOK_AGAIN)

    async def deleted(self, channel_id: int, message_ids: Collection[int]) -> None:
        """Forget the turns whose prompt or whose reply was deleted by somebody else; replies under way end."""
        theirs = self._replies.deleted(channel_id, message_ids)
        if theirs:
            await _keep_trying(lambda: self._store.forget_replies(theirs))
            # What is shown of these goes first: after a kill, only what is on record can be taken away.
            await self._replies.withdrawn(theirs)
            await _keep_trying(lambda: self._store.forget_prompts(conversation_key(channel_id), theirs))

    async def channel_deleted(self, channel_id: int) -> None:
        """Forget the conversation of a channel or thread that is no more, and what was decided for it."""
        key = conversation_key(channel_id)
        await _keep_trying(lambda: self._conversations.forget(key))
        await _keep_trying(lambda: self._store.channel_gone(channel_id, key))

    async def left(self, guild_id: int) -> None:
        """The bot was removed from a server."""
        await _keep_trying(lambda: self._store.left(guild_id))

    async def joined(self, guild_ids: Collection[int]) -> None:
        """These are all servers that the bot is in, those included that are not available just now."""
        await _keep_trying(lambda: self._store.joined(guild_ids))

    async def prune_daily(self, unused_days: int) -> None:
        """Delete for ever, day by day, what has not been used for so long, or belongs to servers left."""
        while True:
            try:
                if pruned := await self._store.prune(unused_days):
                    log.info("deleted %d conversations that were no longer used", pruned)
            except StoreError as error:
                log.warning("what is no longer used is left to another day: %s", error)
            await asyncio.sleep(DAY)


async def _keep_trying(change: Callable[[], Awaitable[object]]) -> None:
    for pause in _PAUSES:
        try:
            await change()
        except StoreError as error:
            log.error("a change could not be saved, trying again in %g s: %s", pause, error)
            await asyncio.sleep(pause)
        else:
            return
    log.error("a change is given up: what was to be forgotten may still be on record")

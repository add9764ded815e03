"""Keeps the conversations on record true to Discord: edited and deleted messages, deleted channels, guilds left."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Iterable
from datetime import timedelta
from functools import partial
from itertools import chain, repeat

import discord

from bot.core.errors import StoreError
from bot.core.forgetting import Forgetting
from bot.core.outages import AWAY_FOR
from bot.core.retrying import poll_until, retrying
from bot.core.turns import Conversation, Prompt, Turn
from bot.core.usage import DAY
from bot.discord_bot.channels import conversation_in, message_of
from bot.discord_bot.delivery.replies import Replies
from bot.discord_bot.inbound import reader
from bot.discord_bot.inbound.message_handler import MessageHandler
from bot.discord_bot.inbound.reader import Addressing
from bot.discord_bot.inbound.targets import Targets
from bot.discord_bot.tasks import TaskSupervisor
from bot.store import Store

log = logging.getLogger(__name__)

EDIT_BECOMES_PROMPT_WITHIN = timedelta(minutes=2)
"""How long after a message was written an edit can make a prompt of it."""
_SAVED_WITHIN = 3 * AWAY_FOR
"""Seconds that a prompt may take until it is saved: it may wait for the database more than once."""
_SAVED_CHECK_EVERY = 0.02
"""Seconds between two checks whether a prompt is saved."""
_EDIT_RETRY_DELAYS = (1.0, 5.0, 20.0, 60.0)
"""Seconds between tries to take an edit while the database fails."""
_RETRY_DELAYS = (1.0, 10.0, 60.0, 600.0)
"""Seconds between tries at a change while the database fails: what is to be forgotten must not stay."""


class MessageLifecycle:
    """Applies what happens to messages, channels and guilds on Discord to the conversations on record."""

    def __init__(
        self,
        client: discord.Client,
        forgetting: Forgetting,
        store: Store,
        replies: Replies,
        messages: MessageHandler,
        targets: Targets,
        tasks: TaskSupervisor,
    ) -> None:
        self._client = client
        self._forgetting = forgetting
        self._store = store
        self._replies = replies
        self._messages = messages
        self._targets = targets
        self._tasks = tasks
        self._edits: dict[int, discord.Message] = {}
        """The newest edit of each prompt that is being put on record."""
        self._guild_changes = asyncio.Lock()
        """Keeps changes in order: one that has to be tried again stays before those that came after it."""
        self._guilds_known = asyncio.Event()

    def updated(self, message: discord.Message) -> None:
        """Handle Discord's event of an update of a message, if the message is meant for the bot."""
        me = self._client.user
        if me is None or message.edited_at is None:
            # Discord sends link previews as updates too; they are no edits.
            return
        mentioned = reader.address(message, me) is Addressing.YES
        if mentioned or (self._client.intents.message_content and reader.is_said(message)):
            self._tasks.spawn(self._edited(message, me, mentioned=mentioned))

    async def _edited(self, message: discord.Message, me: discord.ClientUser, *, mentioned: bool) -> None:
        """Take an edit, again where the database fails, unless the message is edited anew meanwhile."""
        prompt = reader.read(message, me).prompt
        if prompt is None:
            return
        self._edits[message.id] = message
        try:
            await _once_it_works("saving an edit", partial(self._take_edit, message, prompt, me, mentioned))
        except StoreError as error:
            log.error("could not save the edit of message %d: %s", message.id, error)
        finally:
            if self._edits.get(message.id) is message:
                del self._edits[message.id]

    async def _take_edit(
        self, message: discord.Message, prompt: Prompt, me: discord.ClientUser, mentioned: bool
    ) -> None:
        """Correct a prompt that is on record; answer a message that an edit has just made a prompt. Raises StoreError.

        One that does not mention the bot is only corrected.
        """
        if self._edits.get(message.id) is not message:
            return
        if not mentioned and not await self._is_prompt(message.id):
            return
        if await self._correct(prompt) or not _is_new(message):
            return
        if not await self._store.processed.among([message.id]):
            if await self._messages.answer(message, me):
                return
            # Another event of the same message is being handled at the same time.
            await self._wait_until_saved(message.id)
        if self._edits.get(message.id) is message:
            await self._correct(prompt)

    async def _is_prompt(self, message_id: int) -> bool:
        """Whether a message is one that the bot answers or has answered. Raises StoreError."""
        return self._messages.are_being_answered([message_id]) or bool(await self._store.processed.among([message_id]))

    async def _correct(self, prompt: Prompt) -> bool:
        """Correct a prompt on record, and offer to answer it anew. False: it is not on record. Raises StoreError."""
        turns, message_id = self._store.turns, message_of(prompt)
        before = await turns.of_prompt(message_id)
        if not await turns.correct(message_id, prompt.text, prompt.quote, prompt.names, prompt.pictures):
            return False
        if before is not None:
            self._tasks.spawn(self._offer_again(before))
        return True

    async def _offer_again(self, before: Turn) -> None:
        try:
            await _once_it_works("offering another answer", partial(self._replies.offer_again, before))
        except StoreError as error:
            log.warning("could not offer another answer to turn %d: %s", before.id, error)

    async def _wait_until_saved(self, prompt_id: int) -> None:
        """Wait until a prompt that is being answered is saved, but not for longer than that may take."""
        await poll_until(
            lambda: self._store.processed.among([prompt_id]), every=_SAVED_CHECK_EVERY, timeout=_SAVED_WITHIN
        )

    async def deleted(self, channel_id: int, message_ids: Collection[int]) -> None:
        """Forget the turns whose prompt or reply a user deleted, and end their replies under way."""
        self._targets.deleted(message_ids)
        by_users = self._replies.deletions.deleted(channel_id, message_ids)
        if by_users and await self._concerns_turns(by_users):
            await _apply("forgetting deleted replies", lambda: self._forget_replies(by_users))
            # The replies' messages go first: after a kill, only messages on record can be taken away.
            await self._replies.deletions.wait_until_removed(by_users)
            await _apply(
                "forgetting deleted prompts",
                lambda: self._store.retention.forget_prompts(by_users),
            )

    async def _concerns_turns(self, message_ids: Collection[int]) -> bool:
        """Whether a deletion may be one of prompts or replies; most are not, and then nothing is written."""
        if self._messages.are_being_answered(message_ids):
            return True
        try:
            await self._replies.records.complete_with(message_ids)
            return await self._store.retention.are_of_turns(message_ids)
        except StoreError as error:
            log.warning("could not check whether deleted messages are stored: %s", error)
            return True

    async def _forget_replies(self, message_ids: Collection[int]) -> None:
        # A reply is found by its messages.
        await self._replies.records.complete_with(message_ids)
        await self._store.retention.forget_replies(message_ids)

    async def channel_deleted(self, channel_id: int) -> None:
        """Forget the conversations of a deleted channel or thread, and the rules and the persona set for it."""
        key = conversation_in(channel_id)
        try:
            if not await self._store.guilds.has_records_of(channel_id, key):
                return
        except StoreError as error:
            log.warning("could not check whether anything of the deleted channel %d is stored: %s", channel_id, error)
        await _apply(f"forgetting channel {channel_id}", lambda: self._forget_with_threads(key))
        await _apply(f"forgetting channel {channel_id}", lambda: self._store.guilds.forget_channel(channel_id, key))

    async def _forget_with_threads(self, conversation: Conversation) -> None:
        """Forget a conversation and those in its channel's threads. Discord tells only of those that are open."""
        known = self._store.conversations
        for place in (conversation, *await known.threads_of(conversation)):
            for each in (place, *await known.for_one_in(place)):
                await self._forgetting.forget(each)

    async def renamed(self, thread_id: int) -> None:
        """Note that a thread has a title, so that none is made for it."""
        key = conversation_in(thread_id)
        await _apply(f"keeping the title of thread {thread_id}", lambda: self._store.summaries.end_title(key))

    async def left(self, guild_id: int) -> None:
        """Note that the bot was removed from a guild."""
        async with self._guild_changes:
            await _apply(f"noting that server {guild_id} was left", lambda: self._store.guilds.mark_left(guild_id))

    async def joined(self, guild_id: int) -> None:
        """Note that the bot was invited to a guild."""
        async with self._guild_changes:
            await _apply(f"noting that server {guild_id} was joined", lambda: self._store.guilds.mark_joined(guild_id))

    async def present(self, guild_ids: Collection[int]) -> None:
        """Note which guilds the bot is in: `guild_ids` are all of them, those that are unavailable included."""
        # Until then nothing old is deleted, and nobody else would note them.
        delays = chain(_RETRY_DELAYS, repeat(_RETRY_DELAYS[-1]))
        async with self._guild_changes:
            noted = await _apply("noting which servers there are", lambda: self._store.guilds.sync(guild_ids), delays)
        if noted:
            self._guilds_known.set()

    async def prune_daily(self, unused_days: int) -> None:
        """Delete every day the conversations that were unused for so many days or whose guild the bot has left.

        The first deletion waits until the bot's guilds are known: it may have been invited back while it was away.
        """
        await self._guilds_known.wait()
        while True:
            try:
                retention = self._store.retention
                if not await retention.clock_is_credible():
                    log.info("old conversations stay until tomorrow: the bot was away, or the clock has jumped")
                elif pruned := await retention.prune(unused_days):
                    log.info("deleted %d conversations that were no longer used", pruned)
            except StoreError as error:
                log.warning("could not delete old conversations, trying again in %g s: %s", _RETRY_DELAYS[-1], error)
                await asyncio.sleep(_RETRY_DELAYS[-1])
                continue
            await asyncio.sleep(DAY)


def _is_new(message: discord.Message) -> bool:
    """Whether a message was edited so soon after it was written that the edit can make a prompt of it."""
    return message.edited_at is not None and message.edited_at - message.created_at <= EDIT_BECOMES_PROMPT_WITHIN


async def _once_it_works(doing: str, work: Callable[[], Awaitable[None]]) -> None:
    """Do work that needs the database, for a minute or so if need be. Raises StoreError."""
    await retrying(
        work,
        _EDIT_RETRY_DELAYS,
        on=(StoreError,),
        log_retry=lambda error, delay: log.warning("%s failed, trying again in %g s: %s", doing, delay, error),
    )


async def _apply(doing: str, change: Callable[[], Awaitable[object]], delays: Iterable[float] = _RETRY_DELAYS) -> bool:
    """Make a change, for some minutes if need be, or for as long as there are delays. `doing` names it in the log.

    False: it could not be made.
    """
    try:
        await retrying(
            change,
            delays,
            on=(StoreError,),
            log_retry=lambda error, delay: log.error("%s failed, trying again in %g s: %s", doing, delay, error),
        )
    except StoreError:
        log.error("gave up on %s: what should be forgotten may still be stored", doing)
        return False
    return True

"""Notices: the sentences of the bot that are no replies, such as hints, refusals and failures.

Their number in each channel is limited, so that nobody can use them to keep replies from being shown.
"""

from __future__ import annotations

import asyncio
import logging
import time

import discord

from bot import texts
from bot.core.access import Denial
from bot.core.errors import Overloaded, StoreError
from bot.core.quotas import Quota, QuotaExceeded
from bot.core.turns import Outcome, TurnState
from bot.discord_bot.delivery.deletions import DeletionLog
from bot.discord_bot.delivery.messages import ReplyMessages, ReplyTarget, age, reads_history
from bot.discord_bot.delivery.pacing import Budget
from bot.discord_bot.delivery.reactions import SKIPPED, Reactions
from bot.discord_bot.delivery.reconciler import LiveReply
from bot.discord_bot.delivery.scheduler import Scheduler
from bot.store import Store
from bot.texts import access as words
from bot.texts import threads

log = logging.getLogger(__name__)

SECONDS_PER_NOTICE = 5.0
"""Seconds for each notice in a channel. Discord accepts about five messages in that time."""
NOTICE_BURST = 5
"""Notices that a channel may have at once after a pause."""
DENIAL_MAX_AGE = 120.0
"""Seconds after a prompt in which people are told why it is not answered."""
DENIAL_REPEATED_AFTER = 24 * 3600
"""Seconds until a user is told again why the bot does not answer them in a guild."""
UNKNOWN_REPEATED_AFTER = 600
"""Seconds until a user is told again that it is not known whether they may use the bot."""
_MAX_CHANNELS = 1000
"""The number of channels from which on the budgets of those without recent notices are forgotten."""


class Notices:
    """Sends the notices of one client."""

    def __init__(
        self,
        client: discord.Client,
        store: Store,
        scheduler: Scheduler,
        reactions: Reactions,
    ) -> None:
        self._client = client
        self._store = store
        self._scheduler = scheduler
        self._reactions = reactions
        self._budgets: dict[int, Budget] = {}
        self._claiming = asyncio.Lock()
        self._not_served_until: dict[int, float] = {}

    async def answer(self, message: discord.Message, sentence: str | None, *, has_room: bool = False) -> None:
        """Answer a prompt with a notice, or with a reaction (None), once, however often its event comes.

        The prompt is recorded as processed after the notice was sent. If the process is killed in between, the next one
        finds the notice in the channel.
        """
        try:
            if await self._store.processed.among([message.id]):
                return
        except StoreError as error:
            log.warning("could not check whether prompt %d was answered before: %s", message.id, error)
        if sentence is None:
            self._reactions.add(message.channel.id, message.id, SKIPPED)
        elif not await self.send(message, sentence, has_room=has_room):
            return
        await self._mark_processed(message)

    async def send(self, message: discord.Message, sentence: str, *, has_room: bool = False) -> bool:
        """Send a notice in reply to a message, or a reaction where the channel has had many notices.

        `has_room`: the notice is counted already. False: it cannot be shown now.
        """
        if not has_room:
            if not self._has_room(message.channel.id):
                self._reactions.add(message.channel.id, message.id, SKIPPED)
                return True
            self._take_room(message.channel.id)
        channel = self._client.get_partial_messageable(message.channel.id)
        return await self._post(ReplyTarget(channel, message.id, reads_history(message.channel)), sentence)

    async def _post(self, target: ReplyTarget, sentence: str) -> bool:
        messages = ReplyMessages(target, None, DeletionLog())
        live = LiveReply(target.channel.id, messages, self._scheduler, note=lambda _: sentence)
        return await live.finish(Outcome(TurnState.COMPLETE))

    async def overloaded(self, message: discord.Message, refusal: Overloaded) -> None:
        """Tell a user that the bot has too much to do for a prompt. A repeated refusal is a reaction."""
        if not refusal.repeated:
            log.warning("channel %d: too many calls are waiting for the %s", message.channel.id, refusal.limit.value)
        await self.answer(message, None if refusal.repeated else texts.full(refusal.limit))

    async def quota(self, message: discord.Message, exceeded: QuotaExceeded) -> None:
        """Tell a user once that a quota is used up. Until there is room again, their other prompts get a reaction."""
        guild_id = message.guild.id if message.guild and exceeded.quota is Quota.GUILD else 0
        first = await self._claim(f"used up: {exceeded.quota}, {guild_id}", exceeded.until, message)
        await self.answer(message, texts.used_up(exceeded) if first else None, has_room=first)

    async def denied(self, message: discord.Message, denied: Denial) -> None:
        """Tell a user once a day in a guild why the bot does not answer, if the prompt is recent.

        Of guilds that are not served nothing is stored, or anybody could fill the disk.
        """
        if denied is Denial.GUILD and message.guild is not None:
            await self._not_served(message, message.guild)
            return
        key = f"denied: {denied.value}, {message.guild.id if message.guild else 0}"
        until = int(time.time() + (UNKNOWN_REPEATED_AFTER if denied is Denial.UNKNOWN else DENIAL_REPEATED_AFTER))
        if age(message.id) < DENIAL_MAX_AGE and await self._claim(key, until, message):
            await self.answer(message, words.denied_aloud(denied), has_room=True)
        elif denied is Denial.UNKNOWN:
            # The reaction says that asking again later may help.
            await self.answer(message, None)
        else:
            await self._mark_processed(message)

    async def locked_out(self, message: discord.Message, thread: discord.Thread) -> None:
        """Tell a user once a day, in the thread's channel, that the bot cannot write in the thread."""
        until = int(time.time() + DENIAL_REPEATED_AFTER)
        parent = thread.parent
        public = thread.type is not discord.ChannelType.private_thread
        log.info("message %d cannot be answered: the bot may not write in thread %d", message.id, thread.id)
        if (
            isinstance(parent, discord.TextChannel)
            and public
            and age(message.id) < DENIAL_MAX_AGE
            and await self._claim(f"locked out: {thread.id}", until, message)
        ):
            target = ReplyTarget(self._client.get_partial_messageable(parent.id), message.id, can_quote=False)
            await self._post(target, threads.cannot_write(thread.id, locked=thread.locked))
        else:
            self._reactions.add(thread.id, message.id, SKIPPED)
        await self._mark_processed(message)

    async def _not_served(self, message: discord.Message, guild: discord.Guild) -> None:
        """Tell a guild that it is not served, once a day of this process."""
        now = time.monotonic()
        if age(message.id) >= DENIAL_MAX_AGE or now < self._not_served_until.get(guild.id, now):
            return
        if len(self._not_served_until) >= _MAX_CHANNELS:
            self._not_served_until.clear()
        self._not_served_until[guild.id] = now + DENIAL_REPEATED_AFTER
        await self.send(message, words.denied_aloud(Denial.GUILD))

    async def _claim(self, key: str, until: int, message: discord.Message) -> bool:
        """Whether to tell the author of a message something that holds until then. If so, the notice is counted.

        False: they were told before, or the channel has had many notices, or the store failed.
        """
        async with self._claiming:
            if not self._has_room(message.channel.id):
                return False
            try:
                first = await self._store.processed.claim_notice(key, until, message.author.id)
            except StoreError as error:
                log.warning("could not check whether %d was told before: %s", message.author.id, error)
                return False
            if first:
                self._take_room(message.channel.id)
            return first

    async def _mark_processed(self, message: discord.Message) -> None:
        try:
            await self._store.processed.mark(message.id)
        except StoreError as error:
            log.warning("could not save that prompt %d was answered: %s", message.id, error)

    def _has_room(self, channel_id: int) -> bool:
        """Whether a channel may have one more notice."""
        budget = self._budgets.get(channel_id)
        now = asyncio.get_running_loop().time()
        return budget is None or budget.at(now) <= now

    def _take_room(self, channel_id: int) -> None:
        now = asyncio.get_running_loop().time()
        if len(self._budgets) >= _MAX_CHANNELS:
            self._budgets = {key: budget for key, budget in self._budgets.items() if not budget.has_room(now)}
        self._budgets.setdefault(channel_id, Budget(1 / SECONDS_PER_NOTICE, NOTICE_BURST)).spend(now)

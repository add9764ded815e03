"""What people are told beside the answers: hints, troubles, and that there is too much to do.

Nobody can keep answers from being shown by making the bot say such things: in each channel they are few.
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
from bot.discord_bot.delivery.messages import ReplyMessages, age, reads_history
from bot.discord_bot.delivery.pacing import Budget
from bot.discord_bot.delivery.reactions import SKIPPED, Reactions
from bot.discord_bot.delivery.reconciler import LiveReply
from bot.discord_bot.delivery.scheduler import Scheduler
from bot.store import Store
from bot.texts import access as words

log = logging.getLogger(__name__)

SECONDS_PER_NOTICE = 5.0
"""Seconds for one sentence in a channel: Discord lets about five messages pass in them."""
NOTICE_BURST = 5
"""Sentences that a channel may have at once after a pause."""
DENIAL_MAX_AGE = 120.0
"""Seconds after a prompt until it is too late to say why it is not answered."""
DAY = 24 * 3600
UNKNOWN_REPEATED_AFTER = 600
"""Seconds until a person is told again of what is over soon."""
_CHANNELS = 1000
"""Channels that are remembered to have had sentences lately."""


class Notices:
    """All sentences of one client that are no turns."""

    def __init__(
        self,
        client: discord.Client,
        store: Store,
        scheduler: Scheduler,
        marks: Reactions,
    ) -> None:
        self._client = client
        self._store = store
        self._scheduler = scheduler
        self._marks = marks
        self._budgets: dict[int, Budget] = {}
        self._telling = asyncio.Lock()

    async def answer(self, message: discord.Message, sentence: str | None, *, has_room: bool = False) -> None:
        """Say something in answer to a prompt, or mark it (None); once, however often its event comes.

        It is on record after it was said: a kill in between is found out by what stands in the channel.
        """
        try:
            if await self._store.processed.among([message.id]):
                return
        except StoreError as error:
            log.warning("whether prompt %d was answered before is not known: %s", message.id, error)
        if sentence is None:
            self._marks.add(message.channel.id, message.id, SKIPPED)
        elif not await self.send(message, sentence, has_room=has_room):
            return
        await self._mark_processed(message)

    async def send(self, message: discord.Message, sentence: str, *, has_room: bool = False) -> bool:
        """Say something to a person; where there was much of that lately, a mark has to do. False: it was not seen.

        `has_room`: room was taken for it already.
        """
        if not has_room:
            if not self._has_room(message.channel.id):
                self._marks.add(message.channel.id, message.id, SKIPPED)
                return True
            self._take_room(message.channel.id)
        channel = self._client.get_partial_messageable(message.channel.id)
        messages = ReplyMessages(channel, message.id, None, self._store, quotes=reads_history(message.channel))
        live = LiveReply(channel.id, messages, self._scheduler, note=lambda _: sentence)
        return await live.finish(Outcome(TurnState.COMPLETE))

    async def overloaded(self, message: discord.Message, refusal: Overloaded) -> None:
        """Tell a person that the bot has too much to do for a prompt, or mark it where that was told lately."""
        if not refusal.repeated:
            log.warning("channel %d: too much is waiting for the %s", message.channel.id, refusal.limit.value)
        await self.answer(message, None if refusal.repeated else texts.full(refusal.limit))

    async def quota(self, message: discord.Message, exceeded: QuotaExceeded) -> None:
        """Tell a person once that nothing is left of an allowance, and mark what they ask until there is again."""
        guild_id = message.guild.id if message.guild and exceeded.quota is Quota.GUILD else 0
        telling = await self._claim(f"used up: {exceeded.quota}, {guild_id}", exceeded.until, message)
        await self.answer(message, texts.used_up(exceeded) if telling else None, has_room=telling)

    async def denied(self, message: discord.Message, denied: Denial) -> None:
        """Tell a person once a day in a server why the bot is not to answer, if the prompt came just now."""
        key = f"denied: {denied.value}, {message.guild.id if message.guild else 0}"
        until = int(time.time() + (UNKNOWN_REPEATED_AFTER if denied is Denial.UNKNOWN else DAY))
        if age(message.id) < DENIAL_MAX_AGE and await self._claim(key, until, message):
            await self.answer(message, words.denied_aloud(denied), has_room=True)
        elif denied is Denial.UNKNOWN:
            # To be asked again later, which the mark says.
            await self.answer(message, None)
        else:
            await self._mark_processed(message)

    async def _claim(self, key: str, until: int, message: discord.Message) -> bool:
        """Whether the author is to be told now what holds until then, and nothing more of it; takes the room for it.

        Where there is none, they are told of it another time; where the database fails, they count as told.
        """
        async with self._telling:
            if not self._has_room(message.channel.id):
                return False
            try:
                first = await self._store.processed.claim_notice(key, until, message.author.id)
            except StoreError as error:
                log.warning("whether %d was told of it before is not known: %s", message.author.id, error)
                return False
            if first:
                self._take_room(message.channel.id)
            return first

    async def _mark_processed(self, message: discord.Message) -> None:
        try:
            await self._store.processed.mark(message.id)
        except StoreError as error:
            log.warning("that prompt %d was answered is not on record: %s", message.id, error)

    def _has_room(self, channel_id: int) -> bool:
        """Whether a channel may have one more sentence."""
        budget = self._budgets.get(channel_id)
        now = asyncio.get_running_loop().time()
        return budget is None or budget.at(now) <= now

    def _take_room(self, channel_id: int) -> None:
        now = asyncio.get_running_loop().time()
        if len(self._budgets) >= _CHANNELS:
            self._budgets = {key: budget for key, budget in self._budgets.items() if not budget.has_room(now)}
        self._budgets.setdefault(channel_id, Budget(1 / SECONDS_PER_NOTICE, NOTICE_BURST)).spend(now)

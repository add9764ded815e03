"""What people are told beside the answers: hints, troubles, and that there is too much to do.

Nobody can keep answers from being shown by making the bot say such things: in each channel they are few.
"""

from __future__ import annotations

import asyncio
import logging
import time

import discord

from bot import phrases
from bot.access import Denied
from bot.discord_bot.marks import PASSED_OVER, Marks
from bot.discord_bot.messages import ReplyMessages, age, reads_history
from bot.errors import Overloaded, StoreError
from bot.live_reply import LiveReply
from bot.pacing import Budget
from bot.phrases import access as words
from bot.scheduler import Scheduler
from bot.store import SQLiteStore
from bot.turns import Allowance, Outcome, State, UsedUp

log = logging.getLogger(__name__)

EVERY = 5.0
"""Seconds for one sentence in a channel: Discord lets about five messages pass in them."""
AT_ONCE = 5
"""Sentences that a channel may have at once after a pause."""
TOLD_WITHIN = 120.0
"""Seconds after a prompt until it is too late to say why it is not answered."""
DAY = 24 * 3600
A_WHILE = 600
"""Seconds until a person is told again of what is over soon."""
_CHANNELS = 1000
"""Channels that are remembered to have had sentences lately."""


class Asides:
    """All sentences of one client that are no turns."""

    def __init__(
        self,
        client: discord.Client,
        store: SQLiteStore,
        scheduler: Scheduler,
        marks: Marks,
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
            if await self._store.handled([message.id]):
                return
        except StoreError as error:
            log.warning("whether prompt %d was answered before is not known: %s", message.id, error)
        if sentence is None:
            self._marks.put(message.channel.id, message.id, PASSED_OVER)
        elif not await self.tell(message, sentence, has_room=has_room):
            return
        await self._handle(message)

    async def tell(self, message: discord.Message, sentence: str, *, has_room: bool = False) -> bool:
        """Say something to a person; where there was much of that lately, a mark has to do. False: it was not seen.

        `has_room`: room was taken for it already.
        """
        if not has_room:
            if not self._has_room(message.channel.id):
                self._marks.put(message.channel.id, message.id, PASSED_OVER)
                return True
            self._take_room(message.channel.id)
        channel = self._client.get_partial_messageable(message.channel.id)
        messages = ReplyMessages(channel, message.id, None, self._store, quotes=reads_history(message.channel))
        live = LiveReply(channel.id, messages, self._scheduler, note=lambda _: sentence)
        return await live.finish(Outcome(State.COMPLETE))

    async def refuse(self, message: discord.Message, refusal: Overloaded) -> None:
        """Tell a person that the bot has too much to do for a prompt, or mark it where that was told lately."""
        if not refusal.repeated:
            log.warning("channel %d: too much is waiting for the %s", message.channel.id, refusal.limit.value)
        await self.answer(message, None if refusal.repeated else phrases.full(refusal.limit))

    async def put_off(self, message: discord.Message, used_up: UsedUp) -> None:
        """Tell a person once that nothing is left of an allowance, and mark what they ask until there is again."""
        guild_id = message.guild.id if message.guild and used_up.allowance is Allowance.SERVER else 0
        telling = await self._tells(f"used up: {used_up.allowance}, {guild_id}", used_up.until, message)
        await self.answer(message, phrases.used_up(used_up) if telling else None, has_room=telling)

    async def deny(self, message: discord.Message, denied: Denied) -> None:
        """Tell a person once a day in a server why the bot is not to answer, if the prompt came just now."""
        key = f"denied: {denied.value}, {message.guild.id if message.guild else 0}"
        until = int(time.time() + (A_WHILE if denied is Denied.UNCLEAR else DAY))
        if age(message.id) < TOLD_WITHIN and await self._tells(key, until, message):
            await self.answer(message, words.denied_aloud(denied), has_room=True)
        elif denied is Denied.UNCLEAR:
            # To be asked again later, which the mark says.
            await self.answer(message, None)
        else:
            await self._handle(message)

    async def _tells(self, key: str, until: int, message: discord.Message) -> bool:
        """Whether the author is to be told now what holds until then, and nothing more of it; takes the room for it.

        Where there is none, they are told of it another time; where the database fails, they count as told.
        """
        async with self._telling:
            if not self._has_room(message.channel.id):
                return False
            try:
                first = await self._store.tell_once(key, until, message.author.id)
            except StoreError as error:
                log.warning("whether %d was told of it before is not known: %s", message.author.id, error)
                return False
            if first:
                self._take_room(message.channel.id)
            return first

    async def _handle(self, message: discord.Message) -> None:
        try:
            await self._store.handle(message.id)
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
        self._budgets.setdefault(channel_id, Budget(1 / EVERY, AT_ONCE)).spend(now)

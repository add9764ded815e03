"""The Discord client: events become prompts for the conversation core, answers of the REST API become pace."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Coroutine, Sequence
from types import SimpleNamespace

import aiohttp
import discord

from bot import phrases
from bot.conversation import Conversations
from bot.discord_bot import buttons, commands, prompts
from bot.discord_bot.prompts import Address
from bot.discord_bot.replies import Replies
from bot.errors import StoreError
from bot.scheduler import Scheduler, scheduled
from bot.store import SQLiteStore
from bot.turns import Turn

log = logging.getLogger(__name__)

INTENTS = discord.Intents(guilds=True, guild_messages=True, dm_messages=True)
"""The least that works; none of them is privileged."""
UNREADABLE_AGAIN_AFTER = 24 * 3600.0
"""Seconds before the same person is told again that a message could not be read."""

ENDINGS = 1.5
"""Seconds at the end for showing people that their replies were interrupted."""

_MESSAGES_ROUTE = re.compile(r"/channels/(\d+)/messages(?:/\d+)?$")
_EXEMPT_ROUTE = re.compile(r"/(?:interactions|webhooks)/")
"""Interactions and their follow-ups do not count towards the bot's requests a second."""


class ParleyClient(discord.Client):
    """One bot on Discord.

    `untold` are the turns whose end an earlier process did not show: people are told. In a server's channels a reply
    over `messages_per_reply` messages comes as a file.
    """

    def __init__(
        self,
        conversations: Conversations,
        store: SQLiteStore,
        scheduler: Scheduler,
        untold: Sequence[Turn] = (),
        *,
        messages_per_reply: int | None = None,
    ) -> None:
        trace = aiohttp.TraceConfig()
        trace.on_request_start.append(self._count_request)
        trace.on_request_end.append(self._observe_answer)
        super().__init__(
            intents=INTENTS,
            allowed_mentions=discord.AllowedMentions.none(),
            http_trace=trace,
            # Nothing is kept that the store does not keep: memory must not grow with what is said.
            max_messages=None,
            member_cache_flags=discord.MemberCacheFlags.none(),
            chunk_guilds_at_startup=False,
        )
        self._conversations = conversations
        self._scheduler = scheduler
        self._untold = untold
        self._accepting = True
        self._tasks: set[asyncio.Task[None]] = set()
        self._told_unreadable: dict[int, float] = {}
        self._replies = Replies(self, conversations, store, scheduler, self.spawn, messages_per_reply)
        self.tree = commands.tree(self, conversations, self._replies)
        buttons.listen(self, self._replies.pressed)

    async def setup_hook(self) -> None:
        """Tell what a restart broke off and register the commands: neither has to wait for the gateway."""
        for turn in self._untold:
            self.spawn(self._replies.end(turn))
        self.spawn(commands.keep_in_step(self.tree))

    async def on_message(self, message: discord.Message) -> None:
        """Answer what is meant for the bot."""
        if self.user is None:
            return
        match prompts.address(message, self.user):
            case Address.YES:
                self.spawn(self._answer(message, self.user))
            case Address.UNREADABLE:
                self.spawn(self._tell_unreadable(message, self.user))
            case Address.NO:
                pass

    async def on_raw_message_delete(self, event: discord.RawMessageDeleteEvent) -> None:
        """A prompt or a part of a reply may be gone."""
        self._replies.deleted(event.channel_id, {event.message_id})

    async def on_raw_bulk_message_delete(self, event: discord.RawBulkMessageDeleteEvent) -> None:
        """The same for many at once."""
        self._replies.deleted(event.channel_id, event.message_ids)

    async def drain(self, grace: float) -> None:
        """Take no more prompts, end what runs within `grace` seconds, and wait a moment until that is seen."""
        self._accepting = False
        await self._conversations.close(grace, ENDINGS)

    def spawn(self, work: Coroutine[None, None, None]) -> None:
        """Run something in the background. A defect in it is logged."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a task failed by a defect", exc_info=error)

    async def _answer(self, message: discord.Message, me: discord.ClientUser) -> None:
        if not self._accepting:
            await self._replies.tell(message, phrases.RESTARTING)
            return
        try:
            reading = prompts.read(message, me)
            notices = [phrases.QUOTE_WITHHELD] if reading.quote_withheld else []
            if reading.prompt is not None:
                await self._replies.answer(message.channel, reading.prompt, notices)
            else:
                await self._replies.tell(message, notices[0] if notices else phrases.hint(_name(message, me)))
        except StoreError as error:
            log.error("a prompt in channel %d could not be saved: %s", message.channel.id, error)
            await self._replies.tell(message, phrases.CANNOT_SAVE)
        except Exception:
            log.exception("message %d could not be answered for a defect", message.id)
            await self._replies.tell(message, phrases.WENT_WRONG)

    async def _tell_unreadable(self, message: discord.Message, me: discord.ClientUser) -> None:
        now = time.monotonic()
        self._told_unreadable = {
            person: at for person, at in self._told_unreadable.items() if now - at < UNREADABLE_AGAIN_AFTER
        }
        if message.author.id not in self._told_unreadable:
            self._told_unreadable[message.author.id] = now
            await self._replies.tell(message, phrases.unreadable(_name(message, me)))

    async def _count_request(
        self, _: aiohttp.ClientSession, __: SimpleNamespace, params: aiohttp.TraceRequestStartParams
    ) -> None:
        if not scheduled.get() and not _EXEMPT_ROUTE.search(params.url.path):
            self._scheduler.spend()

    async def _observe_answer(
        self, _: aiohttp.ClientSession, __: SimpleNamespace, params: aiohttp.TraceRequestEndParams
    ) -> None:
        if params.method != "GET" and (route := _MESSAGES_ROUTE.search(params.url.path)) is not None:
            self._scheduler.observe(int(route[1]), params.method, params.response.status, params.response.headers)


def _name(message: discord.Message, me: discord.ClientUser) -> str:
    """What the bot is called where the message was written."""
    member = None if message.guild is None else message.guild.get_member(me.id)
    return (member or me).display_name

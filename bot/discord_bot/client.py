"""The Discord client: events become prompts for the conversation core, answers of the REST API become pace."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections import deque
from collections.abc import Coroutine, Iterable, Sequence
from types import SimpleNamespace
from typing import Any

import aiohttp
import discord
from discord.http import Route

from bot import texts
from bot.core.errors import Overloaded, OverQuota, StoreError
from bot.core.protocols import ListModels
from bot.core.service import ConversationService
from bot.core.turns import Turn
from bot.discord_bot import commands
from bot.discord_bot.access.guilds import GuildWatch
from bot.discord_bot.access.policy import Policy
from bot.discord_bot.calls import LONGEST_SLEEP, Calls
from bot.discord_bot.commands.context import BotContext
from bot.discord_bot.commands.sync import sync_with_retry
from bot.discord_bot.delivery import buttons
from bot.discord_bot.delivery.notices import Notices
from bot.discord_bot.delivery.opener import ReplyOpener
from bot.discord_bot.delivery.reactions import Reactions
from bot.discord_bot.delivery.replies import Replies
from bot.discord_bot.delivery.scheduler import Scheduler, scheduled
from bot.discord_bot.delivery.view import Button
from bot.discord_bot.inbound import reader
from bot.discord_bot.inbound.edits import MessageLifecycle
from bot.discord_bot.inbound.history import History
from bot.discord_bot.inbound.missed import MissedMessages
from bot.discord_bot.inbound.reader import Addressing
from bot.discord_bot.inbound.recovery import Recovery
from bot.discord_bot.interactions.button_handler import ButtonHandler
from bot.discord_bot.interactions.responses import Forms
from bot.discord_bot.names import own_name
from bot.discord_bot.options import Options
from bot.discord_bot.owner_alerts import OwnerAlerts
from bot.store import Store

log = logging.getLogger(__name__)

INTENTS = discord.Intents(guilds=True, guild_messages=True, dm_messages=True)
"""The least that works; none of them is privileged."""
UNREADABLE_AGAIN_AFTER = 24 * 3600.0
"""Seconds before the same person is told again that a message could not be read."""

_HINTED = 1000
"""Messages without a question that are remembered to have been answered with a hint: events may come twice."""

IDENTIFY_EVERY = 5.0
"""Seconds from one IDENTIFY to the next that Discord asks for."""
END_NOTICE_TIMEOUT = 1.3
"""Seconds at the end for showing people that their replies were interrupted."""

_MESSAGES_ROUTE = re.compile(r"/channels/(\d+)/messages(?:/\d+)?$")
_EXEMPT_ROUTE = re.compile(r"/(?:interactions|webhooks)/")
"""Interactions and their follow-ups do not count towards the bot's requests a second."""


class ParleyClient(discord.Client):
    """One bot on Discord.

    `untold` are the turns whose end an earlier process did not show. Without `list_models` no shutdown of a model is
    known.
    """

    def __init__(
        self,
        conversations: ConversationService,
        store: Store,
        scheduler: Scheduler,
        options: Options,
        untold: Sequence[Turn] = (),
        list_models: ListModels | None = None,
    ) -> None:
        trace = aiohttp.TraceConfig()
        trace.on_request_start.append(self._count_request)
        trace.on_request_end.append(self._observe_answer)
        super().__init__(
            intents=INTENTS,
            allowed_mentions=discord.AllowedMentions.none(),
            http_trace=trace,
            max_ratelimit_timeout=LONGEST_SLEEP,
            # Nothing is kept that the store does not keep: memory must not grow with what is said.
            max_messages=None,
            member_cache_flags=discord.MemberCacheFlags.none(),
            chunk_guilds_at_startup=False,
        )
        self._calls = Calls(self.http)
        self._conversations = conversations
        self._scheduler = scheduler
        self._untold = untold
        self._accepting = True
        self._away_since: float | None = time.monotonic()
        self._identified_at = float("-inf")
        self._options = options
        self._list_models = list_models
        self._tasks: set[asyncio.Task[object]] = set()
        self._searches: set[asyncio.Task[object]] = set()
        self._changing: set[asyncio.Task[object]] = set()
        self._answering: dict[int, discord.Message] = {}
        self._hinted: deque[int] = deque(maxlen=_HINTED)
        self._told_unreadable: dict[int, float] = {}
        self._marks = marks = Reactions(self, store, scheduler, self.spawn)
        self._asides = Notices(self, store, scheduler, marks)
        self._gate = gate = Policy(self, store, scheduler, options.access)
        self._invitations = GuildWatch(self, store, gate, owners_are=options.access.servers.owner)
        self._warnings = OwnerAlerts(self, store, conversations.settings.quotas)
        opener = ReplyOpener(self, store, scheduler, marks, self.spawn, options.messages_per_reply)
        self._replies = Replies(opener, conversations, store, self.spawn, on_end=self._warnings.check)
        self._changes = MessageLifecycle(conversations, store, self._replies)
        history = History(self, scheduler)
        within = options.recovery_max_age
        self._recovery = Recovery(self, conversations, store, self._replies, gate, history, self.spawn, within=within)
        self._catch_up = MissedMessages(
            self, store, history, marks, self._take_up, within=within, per_channel=options.catch_up_per_channel
        )
        self._forms = forms = Forms()
        self.tree = commands.tree(BotContext(self, conversations, store, self._replies, gate, forms, options))
        self._presses = ButtonHandler(conversations, store, gate, self._replies, self.spawn)
        buttons.listen(self, buttons.REPLY, self._pressed)

    async def setup_hook(self) -> None:
        """Take up what a restart broke off and register the commands; what of it needs the gateway waits for it."""
        self._recovery.recover(self._untold, self._search)
        self._search(self._marks.remove_left_over())
        self._search(self._changes.prune_daily(self._options.retention_days))
        self._search(sync_with_retry(self.tree))
        self._search(self._invitations.check_hourly(self._change))
        if self._list_models is not None:
            models = self._conversations.settings.models
            self._search(self._warnings.check_shutdowns_daily(models, self._list_models, self._change))

    async def before_identify_hook(self, shard_id: int | None, *, initial: bool = False) -> None:
        """Wait for what is left of the time between two sessions: until then the bot hears nothing."""
        await asyncio.sleep(self._identified_at + IDENTIFY_EVERY - time.monotonic())
        self._identified_at = time.monotonic()

    async def on_guild_unavailable(self, guild: discord.Guild) -> None:
        """An outage hides a server. Nothing of it is forgotten."""
        self._catch_up.lost(guild)

    async def on_guild_available(self, guild: discord.Guild) -> None:
        """The end of an outage; in the seconds after a connection, also what is heard of being added to a server."""
        self._search(self._catch_up.back(guild))
        self._change(self._invitations.check(guild))

    async def on_guild_join(self, guild: discord.Guild) -> None:
        """The bot was added to a server, perhaps once more."""
        self._change(self._invitations.check(guild))
        self._change(self._changes.joined({guild.id for guild in self.guilds}))

    async def on_guild_remove(self, guild: discord.Guild) -> None:
        """The bot was removed from a server."""
        self._change(self._changes.left(guild.id))

    async def on_connect(self) -> None:
        """There is a new session; what came since the last one is unknown."""
        self._away_since = None
        self._gate.connected.set()
        # Not in on_ready, which discord.py calls seconds later, and also on a client that is closed by then.
        self._change(self._changes.joined({guild.id for guild in self.guilds}))
        # What was said has to get on record.
        self._change(self._invitations.check_all())
        self._search(self._catch_up.everywhere())

    async def on_resumed(self) -> None:
        """The session goes on."""
        self._away_since = None

    async def on_disconnect(self) -> None:
        """The connection is lost, or an attempt at one has failed."""
        if self._away_since is None:
            self._away_since = time.monotonic()

    def away_for(self) -> float | None:
        """Seconds without a live session; None while there is one. Discord's silence ends one after a minute."""
        return None if self._away_since is None else time.monotonic() - self._away_since

    def unanswered_for(self) -> float:
        """Seconds for which requests have been under way and Discord has answered none."""
        return self._calls.unanswered_for()

    async def on_message(self, message: discord.Message) -> None:
        """Answer what is meant for the bot."""
        if self.user is None:
            return
        match reader.address(message, self.user):
            case Addressing.YES:
                self._catch_up.heard(message.id)
                self.spawn(self._answer(message, self.user))
            case Addressing.UNREADABLE:
                self.spawn(self._tell_unreadable(message, self.user))
            case Addressing.NO:
                pass

    async def on_interaction(self, interaction: discord.Interaction) -> None:
        """Commands and presses find their way by themselves; forms do not."""
        await self._forms.dispatch(interaction)

    async def on_raw_message_edit(self, event: discord.RawMessageUpdateEvent) -> None:
        """A prompt may read otherwise now, or have become one."""
        message, me = event.message, self.user
        if me is not None and reader.address(message, me) is Addressing.YES:
            self.spawn(self._changes.edited(message, me, lambda added: self._answer(added, me)))

    async def on_raw_message_delete(self, event: discord.RawMessageDeleteEvent) -> None:
        """A prompt or a part of a reply may be gone."""
        self._change(self._changes.deleted(event.channel_id, {event.message_id}))

    async def on_raw_bulk_message_delete(self, event: discord.RawBulkMessageDeleteEvent) -> None:
        """The same for many at once."""
        self._change(self._changes.deleted(event.channel_id, event.message_ids))

    async def on_guild_channel_delete(self, channel: discord.abc.GuildChannel) -> None:
        """A channel is gone with all that was said in it."""
        self._change(self._changes.channel_deleted(channel.id))

    async def on_raw_thread_delete(self, event: discord.RawThreadDeleteEvent) -> None:
        """The same for a thread."""
        self._change(self._changes.channel_deleted(event.thread_id))

    async def _pressed(self, interaction: discord.Interaction, id_: re.Match[str]) -> None:
        # What is done should not look as if it had failed, also where the bot is about to end.
        self._change(self._presses.handle(interaction, Button(id_["button"])))

    async def drain(self, grace: float) -> None:
        """Take no more prompts, end what runs within `grace` seconds, and wait a moment until that is seen."""
        self._accepting = False
        # Their calls under way go on all the same, see `Calls`: what ends now could not be shown otherwise.
        _cancel(self._searches)
        await asyncio.gather(self._conversations.close(grace, END_NOTICE_TIMEOUT), self._finish_changes())

    async def _finish_changes(self) -> None:
        if self._changing:
            await asyncio.wait(self._changing, timeout=END_NOTICE_TIMEOUT)

    async def close(self) -> None:
        """Leave Discord. Only now calls under way are cancelled."""
        _cancel(self._searches | self._changing)
        self._gate.close()
        await super().close()
        await self._calls.close()

    def spawn(self, work: Coroutine[Any, Any, object]) -> None:
        """Run something in the background. A defect in it is logged."""
        self._start(work, self._tasks)

    def _search(self, work: Coroutine[Any, Any, object]) -> None:
        """The same for what may be broken off at any time, since the next start does it anew."""
        self._start(work, self._searches)

    def _change(self, work: Coroutine[Any, Any, object]) -> None:
        """The same for what is waited for at the end."""
        self._start(work, self._changing)

    def _start(self, work: Coroutine[Any, Any, object], among: set[asyncio.Task[object]]) -> None:
        task: asyncio.Task[object] = asyncio.create_task(work)
        among.add(task)

        def ended(_: object) -> None:
            among.discard(task)
            if not task.cancelled() and (error := task.exception()) is not None:
                log.error("a task failed by a defect", exc_info=error)

        task.add_done_callback(ended)

    def _take_up(self, message: discord.Message) -> None:
        """Answer a prompt that came while the bot was away; when it is about to end, the next start finds it."""
        if self._accepting and self.user is not None:
            self.spawn(self._answer(message, self.user))

    async def _answer(self, message: discord.Message, me: discord.ClientUser) -> bool:
        """Answer a message that is meant for the bot. False: it was taken before."""
        if (known := self._answering.get(message.id)) is not None:
            # An edit may come before the prompt was read, or the message itself after its edit.
            self._answering[message.id] = max(known, message, key=lambda each: each.edited_at or each.created_at)
            return False
        self._answering[message.id] = message
        try:
            if not self._accepting:
                await self._asides.answer(message, texts.RESTARTING)
                return True
            if (denied := await self._gate.check_message(message)) is not None:
                await self._asides.denied(message, denied)
                return True
            read = None
            while read is not (latest := self._answering[message.id]):
                read, reading = latest, reader.read(latest, me)
                notices = [texts.QUOTE_WITHHELD] if reading.quote_withheld else []
                if reading.prompt is not None:
                    return await self._replies.answer(message.channel, reading.prompt, notices)
                # Not on record as handled: an edit, also one that comes meanwhile, may make a question of it.
                await self._hint(message, notices[0] if notices else texts.hint(own_name(self, message.guild)))
        except Overloaded as refusal:
            await self._asides.overloaded(message, refusal)
        except OverQuota as refusal:
            await self._asides.quota(message, refusal.quota_exceeded)
        except StoreError as error:
            log.error("a prompt in channel %d could not be saved: %s", message.channel.id, error)
            await self._asides.send(message, texts.CANNOT_SAVE)
        except Exception:
            log.exception("message %d could not be answered for a defect", message.id)
            await self._asides.send(message, texts.WENT_WRONG)
        finally:
            del self._answering[message.id]
        return True

    async def _hint(self, message: discord.Message, sentence: str) -> None:
        if message.id not in self._hinted:
            self._hinted.append(message.id)
            await self._asides.send(message, sentence)

    async def _tell_unreadable(self, message: discord.Message, me: discord.ClientUser) -> None:
        now = time.monotonic()
        self._told_unreadable = {
            person: at for person, at in self._told_unreadable.items() if now - at < UNREADABLE_AGAIN_AFTER
        }
        if message.author.id in self._told_unreadable:
            return
        self._told_unreadable[message.author.id] = now
        try:
            denied = await self._gate.check_message(message)
        except StoreError as error:
            log.error("a message in channel %d is passed over: %s", message.channel.id, error)
            return
        if denied is not None:
            await self._asides.denied(message, denied)
        else:
            await self._asides.send(message, texts.unreadable(own_name(self, message.guild)))

    async def _count_request(
        self, _: aiohttp.ClientSession, __: SimpleNamespace, params: aiohttp.TraceRequestStartParams
    ) -> None:
        if not scheduled.get() and not _EXEMPT_ROUTE.search(params.url.path):
            self._scheduler.spend()

    async def _observe_answer(
        self, _: aiohttp.ClientSession, __: SimpleNamespace, params: aiohttp.TraceRequestEndParams
    ) -> None:
        # The gateway's handshake comes by here too, and what is outside the lock and the limits of all else.
        if not str(params.url).startswith(Route.BASE) or _EXEMPT_ROUTE.search(params.url.path):
            return
        self._calls.answered()
        route = None if params.method == "GET" else _MESSAGES_ROUTE.search(params.url.path)
        channel_id = None if route is None else int(route[1])
        self._scheduler.observe(channel_id, params.method, params.response.status, params.response.headers)


def _cancel(tasks: Iterable[asyncio.Task[object]]) -> None:
    for task in tuple(tasks):
        task.cancel()

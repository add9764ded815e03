"""The Discord client: routes each of Discord's events to the part of the bot that handles it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from functools import partial
from itertools import repeat
from typing import Any

import discord

from bot.core.errors import StoreError
from bot.core.protocols import ListModels, SharedLimits
from bot.core.retrying import retrying
from bot.core.service import ConversationService
from bot.core.turns import Turn
from bot.discord_bot.calls import LONGEST_SLEEP, Calls
from bot.discord_bot.channels import PLATFORM
from bot.discord_bot.commands.sync import sync_with_retry
from bot.discord_bot.delivery.http_trace import http_trace
from bot.discord_bot.delivery.scheduler import Scheduler
from bot.discord_bot.endpoint import connecting
from bot.discord_bot.gateway import Gateway
from bot.discord_bot.held_events import HeldEvents
from bot.discord_bot.options import Options
from bot.discord_bot.shards import Connections
from bot.discord_bot.unreadable import pass_over_unreadable
from bot.discord_bot.wiring import wire
from bot.store import Store

log = logging.getLogger(__name__)

END_NOTICE_TIMEOUT = 1.3
"""Seconds at a shutdown for showing people that their replies were interrupted."""
_DATABASE_PAUSE = 1.0
"""Seconds between two tries at a start while the database is away: nobody is served until it is back."""


def intents(options: Options) -> discord.Intents:
    """The intents of the bot: as few as it works with, and the privileged one only if the operator wants it."""
    return discord.Intents(guilds=True, guild_messages=True, dm_messages=True, message_content=options.message_content)


class ParleyClient(discord.AutoShardedClient):
    """One bot on Discord.

    Each of `list_models` asks a model server for its models; without them, no shutdown of a model is known. The
    `limits` are shared with other processes.
    """

    def __init__(
        self,
        conversations: ConversationService,
        store: Store,
        scheduler: Scheduler,
        options: Options,
        list_models: Sequence[ListModels] = (),
        limits: SharedLimits | None = None,
    ) -> None:
        super().__init__(
            intents=intents(options),
            allowed_mentions=discord.AllowedMentions.none(),
            http_trace=http_trace(scheduler, lambda response: self._calls.answered(response)),
            max_ratelimit_timeout=LONGEST_SLEEP,
            **connecting(options.network),
            # The store keeps the conversations. A cache in memory would grow with all that people write.
            max_messages=None,
            member_cache_flags=discord.MemberCacheFlags.none(),
            chunk_guilds_at_startup=False,
        )
        self._calls = Calls(self.http)
        parsers = self._connection.parsers
        pass_over_unreadable(parsers)
        parsers["READY"] = partial(self._begin_session, parsers["READY"])
        self._conversations = conversations
        self._options = options
        self._store = store
        self._list_models = list_models
        self.connections = Connections()
        self._shares = limits is not None
        self._gateway = Gateway(self, self.connections, options.shards, limits)
        self._parts = wire(self, conversations, store, scheduler, options, self.connections)
        self._tasks = self._parts.tasks
        HeldEvents(self._connection.parsers, scheduler.gate, self._tasks, self._events_lost)

    # Start and end

    async def setup_hook(self) -> None:
        """Take over what an earlier process left, and start the background work, which waits for the gateway itself.

        Nothing is connected before, so that what is left over is told from what is asked from now on.
        """
        parts, spawn = self._parts, self._tasks.spawn
        turns, hourglasses = await retrying(
            self._left_over, repeat(_DATABASE_PAUSE), on=(StoreError,), log_retry=_log_once_each()
        )
        parts.recovery.recover(turns)
        parts.reactions.remove_left_over(hourglasses)
        spawn(parts.lifecycle.prune_daily(self._options.retention_days), on_shutdown="cancel")
        spawn(parts.guild_watch.check_hourly(), on_shutdown="cancel")
        spawn(self._conversations.summaries.run(), on_shutdown="cancel")
        if not self._options.serves_direct_messages:
            return
        spawn(sync_with_retry(parts.tree), on_shutdown="cancel")
        for list_models in self._list_models:
            named_in = self._conversations.settings.named_in
            spawn(parts.owner_alerts.check_shutdowns_daily(named_in, list_models), on_shutdown="cancel")

    async def _left_over(self) -> tuple[Sequence[Turn], Sequence[tuple[int, int]]]:
        """The turns of earlier processes whose end nobody has seen, and their hourglasses. Raises StoreError."""
        await self._store.turns.interrupt_left_over(PLATFORM)
        return await self._store.turns.undelivered(PLATFORM), await self._store.deliveries.pending_reactions()

    async def connect(self, *, reconnect: bool = True) -> None:
        """Serve on the gateway until the task is cancelled. Raises what `Gateway.run` does."""
        await self._gateway.run()

    async def before_identify_hook(self, shard_id: int | None, *, initial: bool = False) -> None:
        await self._gateway.before_identify(shard_id or 0)

    async def drain(self, grace: float) -> None:
        """Take no more prompts, end the replies within `grace` seconds, and wait a moment until their end is shown."""
        self._parts.messages.stop_accepting(left_to_others=self._shares)
        self._parts.asking.stop_accepting()
        # The calls under way of cancelled tasks go on (see `Calls`): otherwise no end of a reply could be shown.
        await asyncio.gather(
            self._tasks.drain(END_NOTICE_TIMEOUT), self._conversations.close(grace, END_NOTICE_TIMEOUT)
        )

    async def close(self) -> None:
        """Leave Discord, and cancel the calls under way. Has to be called after the end of `connect`."""
        self._tasks.close()
        self._parts.policy.close()
        await super().close()
        await self._calls.close()
        await self._parts.downloads.close()

    # Connection

    def _begin_session(self, parse: Callable[[Any], None], ready: Any) -> None:
        """Handle a READY, which names the guilds of a shard: the bot is in no others any more."""
        shard_id = ready["shard"][0]
        for guild in [each for each in self.guilds if each.shard_id == shard_id]:
            self._connection._remove_guild(guild)
        parse(ready)

    async def on_shard_connect(self, shard_id: int) -> None:
        """Begin a shard's new session; the events since the last one are unknown.

        discord.py calls `on_shard_ready` some seconds later, and also on a client that is closed by then.
        """
        self.connections.connected(shard_id)
        self._look_for_missed(shard_id)

    def _look_for_missed(self, shard_id: int) -> None:
        """Begin anew with a shard, of whose events some are unknown."""
        guild_ids = {guild.id for guild in self.guilds if self.connections.shards.of(guild.id) == shard_id}
        self._parts.inbox.session_began(guild_ids)
        self._note_guilds()
        self._tasks.spawn(self._parts.missed.in_guilds(guild_ids), on_shutdown="cancel")
        if shard_id == self.connections.shards.of(None):
            self._tasks.spawn(self._parts.missed.in_direct_messages(), on_shutdown="cancel")

    async def on_shard_resumed(self, shard_id: int) -> None:
        self.connections.resumed(shard_id)

    async def on_shard_disconnect(self, shard_id: int) -> None:
        self.connections.lost(shard_id)

    def unanswered_for(self) -> float:
        """Seconds for which requests have been under way without an answer from Discord."""
        return self._calls.unanswered_for()

    # Guilds

    async def on_guild_unavailable(self, guild: discord.Guild) -> None:
        self._parts.missed.lost(guild)

    async def on_guild_available(self, guild: discord.Guild) -> None:
        """Handle the end of an outage; in the first seconds of a session, discord.py calls this for new guilds too."""
        self._tasks.spawn(self._parts.missed.back(guild), on_shutdown="cancel")
        self._tasks.spawn(self._parts.guild_watch.check(guild), on_shutdown="drain")

    async def on_guild_join(self, guild: discord.Guild) -> None:
        self._tasks.spawn(self._parts.guild_watch.check(guild), on_shutdown="drain")
        self._tasks.spawn(self._parts.lifecycle.joined(guild.id), on_shutdown="drain")

    async def on_guild_remove(self, guild: discord.Guild) -> None:
        self._tasks.spawn(self._parts.lifecycle.left(guild.id), on_shutdown="drain")

    def _events_lost(self) -> None:
        """Begin anew with the shards that have had a session. The others will have all their events."""
        for shard_id in self.connections.named:
            self._look_for_missed(shard_id)

    def _note_guilds(self) -> None:
        """Put on record which guilds there are, once all are known: any other counts as left."""
        if self.connections.complete:
            guild_ids = {guild.id for guild in self.guilds}
            self._tasks.spawn(self._parts.lifecycle.present(guild_ids), on_shutdown="drain")

    # Messages and channels

    async def on_message(self, message: discord.Message) -> None:
        self._parts.private_posts.received(message)
        self._parts.inbox.received(message)

    async def on_raw_message_edit(self, event: discord.RawMessageUpdateEvent) -> None:
        self._parts.recent.updated(event.message)
        self._parts.lifecycle.updated(event.message)

    async def on_raw_message_delete(self, event: discord.RawMessageDeleteEvent) -> None:
        self._parts.recent.deleted(event.channel_id, {event.message_id})
        self._tasks.spawn(self._parts.lifecycle.deleted(event.channel_id, {event.message_id}), on_shutdown="drain")

    async def on_raw_bulk_message_delete(self, event: discord.RawBulkMessageDeleteEvent) -> None:
        self._parts.recent.deleted(event.channel_id, event.message_ids)
        self._tasks.spawn(self._parts.lifecycle.deleted(event.channel_id, event.message_ids), on_shutdown="drain")

    async def on_guild_channel_delete(self, channel: discord.abc.GuildChannel) -> None:
        self._parts.recent.channel_deleted(channel.id)
        self._tasks.spawn(self._parts.lifecycle.channel_deleted(channel.id), on_shutdown="drain")

    async def on_raw_thread_delete(self, event: discord.RawThreadDeleteEvent) -> None:
        self._parts.recent.channel_deleted(event.thread_id)
        self._tasks.spawn(self._parts.lifecycle.channel_deleted(event.thread_id), on_shutdown="drain")

    async def on_thread_update(self, before: discord.Thread, after: discord.Thread) -> None:
        if before.name != after.name:
            self._tasks.spawn(self._parts.lifecycle.renamed(after.id), on_shutdown="drain")

    # Interactions

    async def on_interaction(self, interaction: discord.Interaction) -> None:
        """Route submitted forms. discord.py itself routes commands and buttons."""
        await self._parts.forms.dispatch(interaction)


def _log_once_each() -> Callable[[Exception, float], None]:
    """Logs why the start waits for the database, each reason once for as long as it stays the same."""
    said = ""

    def log_retry(error: Exception, delay: float) -> None:
        nonlocal said
        if str(error) != said:
            said = str(error)
            log.warning("not connected to Discord before the database works, trying again every %g s: %s", delay, said)

    return log_retry

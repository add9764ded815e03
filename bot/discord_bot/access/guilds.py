"""What becomes of servers that invited the bot but are not served: one word to them, and after a day it leaves."""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections.abc import Callable, Coroutine

import discord

from bot.core.errors import StoreError
from bot.discord_bot.access.policy import Policy, wait_until_available
from bot.discord_bot.delivery.messages import REQUEST_ERRORS
from bot.store import Store
from bot.texts import access as words

log = logging.getLogger(__name__)

_DAY = 24 * 3600
_EVERY = 3600.0
"""Seconds between two looks at all servers."""
_ANEW = 3600.0
"""Seconds after it was refused, from which on a server that was joined has invited the bot anew: clocks may differ."""
_OWNERS_EVERY = 24
"""Looks until it is looked up again who owns the application."""


class GuildWatch:
    """Over one client's servers. `owners_are`: whether those are served that the application's owner is in."""

    def __init__(self, client: discord.Client, store: Store, gate: Policy, *, owners_are: bool) -> None:
        self._client = client
        self._store = store
        self._gate = gate
        self._owners_are = owners_are
        self._looking: set[int] = set()
        self._told: set[int] = set()
        """Servers that were told, of which that could not be put on record."""

    async def check_hourly(self, spawn: Callable[[Coroutine[None, None, None]], object]) -> None:
        """Look at all servers every hour. `spawn` runs what is not broken off: what was said has to get on record."""
        for looks in itertools.count(1):
            await asyncio.sleep(_EVERY)
            if looks % _OWNERS_EVERY == 0:
                try:
                    await self._gate.look_up_owners()
                except REQUEST_ERRORS as error:
                    log.warning("who owns the application could not be read anew: %s", error)
            spawn(self.check_all())

    async def check_all(self) -> None:
        """Look at all servers, as Discord tells of them."""
        for guild in tuple(self._client.guilds):
            await wait_until_available(guild)
            await self.check(guild)

    async def check(self, guild: discord.Guild) -> None:
        """Tell a server that it is not served, or leave it; what cannot be done now is left to the next look."""
        if guild.unavailable or guild.id in self._looking:
            return
        self._looking.add(guild.id)
        try:
            await self._look_at(guild)
        except (StoreError, *REQUEST_ERRORS) as error:
            log.warning("server %d, which may not be one that is served, has to wait: %s", guild.id, error)
        finally:
            self._looking.discard(guild.id)

    async def _look_at(self, guild: discord.Guild) -> None:
        refused_at = await self._store.guilds.refused_at(guild.id)
        if await self._gate.is_served(guild):
            if refused_at is not None:
                await self._store.guilds.clear_refusal(guild.id)
            return
        now = int(time.time())
        if refused_at is None or _invited_since(guild, refused_at):
            if guild.id not in self._told:
                await self._tell(guild, now + _DAY)
                self._told.add(guild.id)
            await self._store.guilds.record_refusal(guild.id)
            self._told.discard(guild.id)
            log.warning("server %d (%s) is not served (see SERVERS); leaving in a day", guild.id, guild.name)
        elif now - refused_at >= _DAY and not await self._gate.is_served(guild, refresh=True):
            await guild.leave()
            log.warning("left server %d (%s), which is not served (see SERVERS)", guild.id, guild.name)

    async def _tell(self, guild: discord.Guild, leaves_at: int) -> None:
        """Say it where whoever invited the bot may see it. Raises where it may be said, but not now."""
        sentence = words.not_served(guild.id, leaves_at, owners_are=self._owners_are)
        for channel in filter(None, [guild.system_channel, *guild.text_channels]):
            permissions = channel.permissions_for(guild.me)
            if permissions.view_channel and permissions.send_messages:
                try:
                    await channel.send(sentence)
                except discord.HTTPException as error:
                    _raise_if_passing(error)
                    log.info("channel %d of server %d takes no word: %s", channel.id, guild.id, error)
                else:
                    return
        if guild.owner_id is not None:
            try:
                direct = await self._client.create_dm(discord.Object(guild.owner_id))
                await direct.send(sentence)
            except discord.HTTPException as error:
                _raise_if_passing(error)
                log.info("nobody in server %d can be told that it is not served: %s", guild.id, error)


def _raise_if_passing(error: discord.HTTPException) -> None:
    """Raise what may work later; what is refused for good, such as by AutoMod, has to be told elsewhere."""
    if error.status == 429 or error.status >= 500:
        raise error


def _invited_since(guild: discord.Guild, refused_at: int) -> bool:
    joined_at = guild.me.joined_at
    return joined_at is not None and joined_at.timestamp() > refused_at + _ANEW

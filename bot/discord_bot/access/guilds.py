"""Watches for guilds that the bot is in but does not serve: it tells them so once and leaves after a day."""

from __future__ import annotations

import asyncio
import itertools
import logging
import time

import discord

from bot.core.errors import StoreError
from bot.discord_bot.access.policy import Policy
from bot.discord_bot.delivery.messages import REQUEST_ERRORS
from bot.discord_bot.tasks import TaskSupervisor
from bot.store import Store
from bot.texts import access as words

log = logging.getLogger(__name__)

_DAY = 24 * 3600
_CHECK_EVERY = 3600.0
"""Seconds between two checks of all guilds."""
_MAX_CONCURRENT = 8
"""Guilds that are checked at the same time: fewer than the look-ups under way may be, for which people wait too."""
_PATIENCE = 60.0
"""Seconds for the look-up of the owners in a guild, for which nobody waits."""
_INVITED_AGAIN_AFTER = 3600.0
"""Seconds from a refusal after which a join is a new invitation: Discord's clock and this machine's may differ."""
_CHECKS_PER_OWNER_LOOKUP = 24
"""Checks until the owners of the application are looked up again."""


class GuildWatch:
    """Watches the guilds of one client. `owners_are` says whether the guilds of the application's owners are served."""

    def __init__(
        self,
        client: discord.Client,
        store: Store,
        policy: Policy,
        tasks: TaskSupervisor,
        *,
        owners_are: bool,
    ) -> None:
        self._client = client
        self._store = store
        self._policy = policy
        self._tasks = tasks
        self._owners_are = owners_are
        self._slots = asyncio.Semaphore(_MAX_CONCURRENT)
        self._checking: set[int] = set()
        self._refused: set[int] | None = None
        """The guilds that were told that they are not served; some may have left since. None: not read yet."""
        self._told: set[int] = set()
        """Guilds that were told that they are not served, while the store could not record it."""

    async def check_hourly(self) -> None:
        """Check all guilds every hour. The check itself outlives a cancellation: what was said has to get on record."""
        for number in itertools.count(1):
            await asyncio.sleep(_CHECK_EVERY)
            if number % _CHECKS_PER_OWNER_LOOKUP == 0:
                try:
                    await self._policy.look_up_owners()
                except REQUEST_ERRORS as error:
                    log.warning("could not check again who owns the application: %s", error)
            self._tasks.spawn(self.check_all(), on_shutdown="drain")

    async def check_all(self) -> None:
        """Check all guilds whose data Discord has sent. The others are checked when it comes."""
        guilds = iter(tuple(self._client.guilds))

        async def check_next() -> None:
            for guild in guilds:
                await self.check(guild)
                # Most checks have nothing to wait for.
                await asyncio.sleep(0)

        await asyncio.gather(*(check_next() for _ in range(_MAX_CONCURRENT)))

    async def check(self, guild: discord.Guild) -> None:
        """Tell a guild that it is not served, or leave it. What fails is left to the next check."""
        if guild.unavailable or guild.id in self._checking:
            return
        self._checking.add(guild.id)
        try:
            async with self._slots:
                await self._refuse_or_leave(guild)
        except (StoreError, *REQUEST_ERRORS) as error:
            log.warning("could not check whether server %d is served, trying again later: %s", guild.id, error)
        finally:
            self._checking.discard(guild.id)

    async def _refuse_or_leave(self, guild: discord.Guild) -> None:
        if self._refused is None:
            found = await self._store.guilds.refused()
            # Other checks have read it meanwhile, and may have added to it.
            self._refused = found | (self._refused or set())
        if await self._policy.is_served(guild, within=_PATIENCE):
            if guild.id in self._refused:
                await self._store.guilds.clear_refusal(guild.id)
                self._refused.discard(guild.id)
            return
        refused_at = await self._store.guilds.refused_at(guild.id)
        now = int(time.time())
        if refused_at is None or _invited_since(guild, refused_at):
            if guild.id not in self._told:
                await self._tell(guild, now + _DAY)
                self._told.add(guild.id)
            await self._store.guilds.record_refusal(guild.id)
            self._refused.add(guild.id)
            self._told.discard(guild.id)
            log.warning("server %d (%s) is not served (see SERVERS); leaving in a day", guild.id, guild.name)
        elif now - refused_at >= _DAY and not await self._policy.is_served(guild, refresh=True, within=_PATIENCE):
            await guild.leave()
            log.warning("left server %d (%s), which is not served (see SERVERS)", guild.id, guild.name)

    async def _tell(self, guild: discord.Guild, leaves_at: int) -> None:
        """Tell a guild that it is not served, where the user who invited the bot may read it.

        Raises discord.py's errors if that may work later.
        """
        sentence = words.not_served(guild.id, leaves_at, owners_are=self._owners_are)
        for channel in filter(None, [guild.system_channel, *guild.text_channels]):
            permissions = channel.permissions_for(guild.me)
            if permissions.view_channel and permissions.send_messages:
                try:
                    await channel.send(sentence)
                except discord.HTTPException as error:
                    _raise_if_temporary(error)
                    log.info("could not write in channel %d of server %d: %s", channel.id, guild.id, error)
                else:
                    return
        if guild.owner_id is not None:
            try:
                direct = await self._client.create_dm(discord.Object(guild.owner_id))
                await direct.send(sentence)
            except discord.HTTPException as error:
                _raise_if_temporary(error)
                log.info("could not tell server %d that it is not served: %s", guild.id, error)


def _raise_if_temporary(error: discord.HTTPException) -> None:
    """Raise an error if the request may work later. After a refusal for good, such as AutoMod's, it goes elsewhere."""
    if error.status == 429 or error.status >= 500:
        raise error


def _invited_since(guild: discord.Guild, refused_at: int) -> bool:
    joined_at = guild.me.joined_at
    return joined_at is not None and joined_at.timestamp() > refused_at + _INVITED_AGAIN_AFTER

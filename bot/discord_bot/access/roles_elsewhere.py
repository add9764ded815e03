"""Finds the guilds of other processes that have roles of the operator's rules.

The gateway tells this process of its own guilds only, and Discord has no request for the guild of a role. So each guild
of the others is asked for once, the largest first, until all roles are found. A role never moves to another guild.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence

import discord

from bot.discord_bot.delivery.messages import REQUEST_ERRORS
from bot.discord_bot.delivery.scheduler import Scheduler

log = logging.getLogger(__name__)

_MAX_CONCURRENT = 5
"""Guilds that are asked for at the same time."""


class RolesElsewhere:
    """The guilds with these roles that other processes serve; `others` gives all guilds of those, or None for now."""

    def __init__(
        self,
        client: discord.Client,
        scheduler: Scheduler,
        roles: frozenset[int],
        others: Callable[[], Awaitable[Sequence[discord.Guild] | None]],
    ) -> None:
        self._client = client
        self._scheduler = scheduler
        self._roles = roles
        self._others = others
        self._found: dict[int, discord.Guild] = {}
        """The guild of each role."""
        self._searched: set[int] = set()
        self._search: asyncio.Task[bool] | None = None

    async def find(self, wanted: frozenset[int], within: float) -> tuple[Sequence[discord.Guild], bool]:
        """The guilds with roles that are known within these seconds, and whether none of the wanted ones is missing.

        If some are, the search goes on, and what it finds counts the next time.
        """
        if not wanted:
            return [], True
        if self._search is None:
            self._search = asyncio.create_task(self._search_for(wanted))
            self._search.add_done_callback(self._ended)
        search = self._search
        await asyncio.wait([search], timeout=max(0.0, within))
        complete = search.done() and not search.cancelled() and search.result()
        return list(self._found.values()), complete

    def close(self) -> None:
        """End the search."""
        if self._search is not None:
            self._search.cancel()

    def _ended(self, _: object) -> None:
        self._search = None

    async def _search_for(self, wanted: frozenset[int]) -> bool:
        """Ask for guilds that were not asked for yet. Returns whether nothing is left to be asked."""
        others = await self._others()
        if others is None:
            return False
        # The bot is in some no more.
        ids = {guild.id for guild in others}
        self._found = {role: guild for role, guild in self._found.items() if guild.id in ids}
        by_size = sorted(others, key=lambda guild: guild.approximate_member_count or 0, reverse=True)
        left = iter([guild for guild in by_size if guild.id not in self._searched])
        if not wanted <= self._found.keys():
            await asyncio.gather(*(self._look_into(left, wanted) for _ in range(_MAX_CONCURRENT)))
        return wanted <= self._found.keys() or self._searched.issuperset(ids)

    async def _look_into(self, guilds: Iterable[discord.Guild], wanted: frozenset[int]) -> None:
        for each in guilds:
            try:
                async with self._scheduler.low_priority():
                    guild = await self._client.fetch_guild(each.id, with_counts=False)
            except (discord.Forbidden, discord.NotFound):
                # The bot is there no more.
                pass
            except REQUEST_ERRORS as error:
                log.info("could not find out whether server %d has roles of the settings: %r", each.id, error)
                continue
            else:
                self._found |= {role: guild for role in self._roles if guild.get_role(role) is not None}
            self._searched.add(each.id)
            if wanted <= self._found.keys():
                return

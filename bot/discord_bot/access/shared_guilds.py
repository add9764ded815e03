"""Finds out whether a user is a member of a guild that the bot serves, by asking for them in one after another.

Without a privileged intent, Discord has no request for the guilds of a user, and its gateway tells of one member in one
guild at a time, in at most 120 requests a minute. So the guilds in which a user is likely to be come first.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence

import discord

from bot.discord_bot.access.members import Members, MembershipStatus
from bot.discord_bot.delivery.messages import REQUEST_ERRORS
from bot.discord_bot.shards import Connections
from bot.store import Store

log = logging.getLogger(__name__)

_LIKELY = 100
"""Guilds in which a user is looked up at once. The others are left to searches that are few."""
_MAX_CONCURRENT = 5
"""Guilds in which one user is looked up at the same time."""
_MAX_LIKELY_SEARCHES = 20
"""Searches of likely guilds under way at the same time."""
_MAX_OTHER_SEARCHES = 2
"""Searches of all other guilds under way at the same time."""
_MAX_SEARCHES = 200
"""Searches under way or waiting. With so many, no further one is begun."""
_LOOKUP_TIMEOUT = 60.0
"""Seconds for the look-up in one guild: whoever waits for a search does not wait for its end."""
_OTHERS_KNOWN_FOR = 300.0
"""Seconds after which Discord is asked again which guilds other processes serve: one request for 200 of them."""
_SECONDS_PER_LOOKUP = 1.5
"""How long it counts for each guild that was searched in vain that a user is in none of them."""


class SharedGuilds:
    """Searches the guilds of one client for users. `is_served` tells whether the operator has the bot serve a guild."""

    def __init__(
        self,
        client: discord.Client,
        store: Store,
        members: Members,
        connections: Connections,
        is_served: Callable[[discord.Guild], Awaitable[bool]],
    ) -> None:
        self._client = client
        self._store = store
        self._members = members
        self._connections = connections
        self._is_served = is_served
        self._others: Sequence[discord.Guild] | None = None
        self._others_until = 0.0
        self._asking_others = asyncio.Lock()
        self._searches: dict[int, asyncio.Task[bool | None]] = {}
        self._likely_slots = asyncio.Semaphore(_MAX_LIKELY_SEARCHES)
        self._other_slots = asyncio.Semaphore(_MAX_OTHER_SEARCHES)

    async def has(self, user_id: int, within: float) -> bool | None:
        """Whether a user is a member of a served guild, as far as it can be found out within these seconds.

        None: it is not known yet. The search goes on then, and what it finds counts for the user's next message. Raises
        StoreError.
        """
        search = self._searches.get(user_id)
        if search is None:
            search = self._begun(user_id, await self._store.people.asked_in(user_id))
        if search is not None:
            await asyncio.wait([search], timeout=max(0.0, within))
        found = search.result() if search is not None and search.done() and not search.cancelled() else None
        if found is not None:
            return found
        if await self._store.people.has_asked(user_id):
            # A user who was answered before is not refused while Discord fails, or has many guilds to be asked about.
            return True
        failed = search is not None and search.done()
        return False if failed and self._members.was_stranger(user_id) else None

    def close(self) -> None:
        """End the searches."""
        for search in self._searches.values():
            search.cancel()

    def _by_likelihood(
        self, user_id: int, asked_in: Sequence[int], others: Sequence[discord.Guild]
    ) -> list[discord.Guild]:
        """All guilds: first those in which the user was seen last and in which they asked, then the largest."""
        every = [*self._client.guilds, *others]
        seen_in = self._members.seen_in(user_id)
        order = {guild_id: index for index, guild_id in enumerate([*([seen_in] if seen_in else []), *asked_in])}
        return sorted(every, key=lambda each: (order.get(each.id, len(order)), -(each.member_count or 0)))

    def _begun(self, user_id: int, asked_in: Sequence[int]) -> asyncio.Task[bool | None] | None:
        """The search for a user, which is begun unless it is under way. None: too many are."""
        if user_id not in self._searches and len(self._searches) < _MAX_SEARCHES:
            search = asyncio.create_task(self._search(user_id, asked_in))
            search.add_done_callback(lambda _: self._searches.pop(user_id))
            self._searches[user_id] = search
        return self._searches.get(user_id)

    async def _search(self, user_id: int, asked_in: Sequence[int]) -> bool | None:
        others = await self.of_other_processes()
        all_known = self._connections.complete and others is not None
        guilds = self._by_likelihood(user_id, asked_in, others or ())
        async with self._likely_slots:
            found = await self._among(user_id, guilds[:_LIKELY])
        if not found and len(guilds) > _LIKELY:
            async with self._other_slots:
                in_others = await self._among(user_id, guilds[_LIKELY:])
            found = in_others if in_others or found is False else None
        # One entry, or none, takes the place of one for each guild.
        self._members.forget_absences(user_id, guilds)
        if found is False and not all_known:
            return None
        if found is False:
            self._members.add_stranger(user_id, _SECONDS_PER_LOOKUP * len(guilds))
        return found

    async def of_other_processes(self) -> Sequence[discord.Guild] | None:
        """The guilds that other processes serve, which the gateway does not tell this one of. None: not known now."""
        if self._connections.shards.are_all:
            return ()
        async with self._asking_others:
            if self._others is None or self._others_until < time.monotonic():
                mine = self._connections.shards
                try:
                    guilds = [guild async for guild in self._client.fetch_guilds(limit=None)]
                except REQUEST_ERRORS as error:
                    log.info("could not find out which servers the other processes serve: %r", error)
                    return self._others
                self._others = [guild for guild in guilds if mine.of(guild.id) not in mine.ids]
                self._others_until = time.monotonic() + _OTHERS_KNOWN_FOR
            return self._others

    async def _among(self, user_id: int, guilds: Sequence[discord.Guild]) -> bool | None:
        """Whether a user is in one of these guilds. A guild in which Discord is slow delays no other."""
        left = iter(guilds)
        found: bool | None = False

        async def look() -> None:
            nonlocal found
            for guild in left:
                membership = await self._members.of(guild, user_id, within=_LOOKUP_TIMEOUT)
                if membership.status is MembershipStatus.NOT_MEMBER or not await self._is_served(guild):
                    continue
                if membership.status is MembershipStatus.MEMBER:
                    found = True
                    return
                found = found or None
                # What is not known may be not known at once.
                await asyncio.sleep(0)

        looking = {asyncio.create_task(look()) for _ in range(_MAX_CONCURRENT)}
        try:
            while looking and not found:
                _, looking = await asyncio.wait(looking, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in looking:
                each.cancel()
        return found

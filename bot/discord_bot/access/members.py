"""Memberships and roles of users in guilds: asked of Discord when they are needed, and cached."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, auto
from typing import TypeVar
from weakref import WeakValueDictionary

import discord

from bot.discord_bot.delivery.messages import REQUEST_ERRORS
from bot.discord_bot.delivery.scheduler import Scheduler

log = logging.getLogger(__name__)

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")

LOOKUP_TIMEOUT = 1.5
"""Seconds to wait for Discord's answer: the press on a button has to be answered within 3."""
_MAX_CONCURRENT = 10
"""Look-ups under way at the same time."""
_MAX_CONCURRENT_PER_GUILD = 2
"""Look-ups under way in one guild: the rate limits of a few guilds must not hold up the others."""
_MAX_PENDING = 400
"""Look-ups under way or waiting. With so many, no further one is started."""
_MAX_PENDING_PER_GUILD = 40
"""Look-ups under way or waiting in one guild."""
_CACHE_SIZE = 10_000
"""Memberships in the cache, as many users who share no guild, and as many with the guild that they were seen in."""
_UNKNOWN_MEMBER = 10007
"""Discord's error code for a user who is not in the guild."""
_UNKNOWN_USER = 10013
"""Discord's error code for a user who does not exist."""


class MembershipStatus(Enum):
    """Discord's answer to whether a user is in a guild."""

    MEMBER = auto()
    NOT_MEMBER = auto()
    UNKNOWN = auto()
    """Discord could not be asked."""


_CACHED_FOR = {MembershipStatus.MEMBER: 3600.0, MembershipStatus.NOT_MEMBER: 300.0, MembershipStatus.UNKNOWN: 60.0}
"""Seconds for which each answer is cached."""


@dataclass(frozen=True, slots=True)
class Membership:
    """Whether a user is in a guild, and with which roles."""

    status: MembershipStatus
    roles: frozenset[int] = frozenset()


class Members:
    """The memberships that one client has looked up. Without the members intent, discord.py caches none.

    Look-ups have low priority. Each is made once for all who wait for it, and goes on if one of them stops waiting.
    """

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._cache: dict[tuple[int, int], tuple[Membership, float]] = {}
        self._strangers: dict[int, float] = {}
        self._seen_in: dict[int, int] = {}
        self._lookups: dict[tuple[int, int], asyncio.Task[Membership]] = {}
        self._slots = asyncio.Semaphore(_MAX_CONCURRENT)
        self._guild_slots: WeakValueDictionary[int, asyncio.Semaphore] = WeakValueDictionary()

    async def of(
        self, guild: discord.Guild, user_id: int, *, refresh: bool = False, within: float = LOOKUP_TIMEOUT
    ) -> Membership:
        """The membership of a user in a guild.

        If Discord cannot be asked within `within` seconds, its last answer counts. With `refresh`, only a new one does.
        """
        key = (guild.id, user_id)
        known, until = self._cache.get(key, (None, 0.0))
        if known is not None and until > time.monotonic() and not refresh:
            return known
        now = await self._look_up(guild, user_id, within)
        return now if refresh else self._cache.get(key, (now, 0.0))[0]

    def looks_up(self, guild: discord.Guild, user_id: int) -> bool:
        """Whether a look-up of a user in a guild is under way or waiting."""
        return (guild.id, user_id) in self._lookups

    def is_stranger(self, user_id: int) -> bool:
        """Whether the cache says that a user is in none of the guilds that were searched."""
        return self._strangers.get(user_id, 0.0) > time.monotonic()

    def was_stranger(self, user_id: int) -> bool:
        """Whether the last search found a user in no guild, however long ago."""
        return user_id in self._strangers

    def seen_in(self, user_id: int) -> int | None:
        """The guild of which the user was last found to be a member, however long ago."""
        return self._seen_in.get(user_id)

    def forget_absences(self, user_id: int, guilds: Iterable[discord.Guild]) -> None:
        """Drop from the cache that a user is in none of these guilds, of which there may be thousands."""
        for guild in guilds:
            known = self._cache.get((guild.id, user_id))
            if known is not None and known[0].status is MembershipStatus.NOT_MEMBER:
                del self._cache[guild.id, user_id]

    def add_stranger(self, user_id: int, seconds: float) -> None:
        """Cache for these seconds, or for the usual ones if they are more, that a user is in no guild."""
        _keep(
            self._strangers,
            user_id,
            time.monotonic() + max(seconds, _CACHED_FOR[MembershipStatus.NOT_MEMBER]),
        )

    def seen(self, member: discord.Member) -> None:
        """Cache a membership that an event of Discord's has shown."""
        self._cache_membership((member.guild.id, member.id), Membership(MembershipStatus.MEMBER, roles(member)))

    def close(self) -> None:
        """Cancel the look-ups, so that those that wait are not made."""
        for lookup in self._lookups.values():
            lookup.cancel()

    async def _look_up(self, guild: discord.Guild, user_id: int, within: float) -> Membership:
        key = (guild.id, user_id)
        lookup = self._lookups.get(key)
        if lookup is None:
            if within <= 0 or not self._has_room(guild.id):
                return Membership(MembershipStatus.UNKNOWN)
            lookup = self._lookups[key] = asyncio.create_task(self._ask(guild, user_id))
            lookup.add_done_callback(lambda _: self._lookups.pop(key))
        await asyncio.wait([lookup], timeout=max(0.0, within))
        if lookup.done() and not lookup.cancelled():
            return lookup.result()
        unknown = Membership(MembershipStatus.UNKNOWN)
        if within > 0:
            log.info("could not check whether %d is a member of server %d within %.1f s", user_id, guild.id, within)
            # Cached until the answer comes, so that the next one who asks does not wait as well.
            self._cache_membership(key, unknown)
        return unknown

    def _has_room(self, guild_id: int) -> bool:
        in_guild = sum(each == guild_id for each, _ in self._lookups)
        return len(self._lookups) < _MAX_PENDING and in_guild < _MAX_PENDING_PER_GUILD

    async def _ask(self, guild: discord.Guild, user_id: int) -> Membership:
        guild_slots = self._guild_slots.setdefault(guild.id, asyncio.Semaphore(_MAX_CONCURRENT_PER_GUILD))
        async with guild_slots, self._slots, self._scheduler.low_priority():
            membership = await ask(guild, user_id)
        self._cache_membership((guild.id, user_id), membership)
        return membership

    def _cache_membership(self, key: tuple[int, int], membership: Membership) -> None:
        if membership.status is MembershipStatus.MEMBER:
            self._strangers.pop(key[1], None)
            _keep(self._seen_in, key[1], key[0])
        before, _ = self._cache.get(key, (membership, 0.0))
        kept = before if membership.status is MembershipStatus.UNKNOWN else membership
        _keep(self._cache, key, (kept, time.monotonic() + _CACHED_FOR[membership.status]))


def _keep(cache: dict[_Key, _Value], key: _Key, value: _Value) -> None:
    """Put an entry last in a cache. The first one goes if there are too many."""
    cache.pop(key, None)
    cache[key] = value
    if len(cache) > _CACHE_SIZE:
        del cache[next(iter(cache))]


def roles(member: discord.Member) -> frozenset[int]:
    """The ids of a member's roles, also of those that discord.py does not know, as in a guild of another process."""
    return frozenset({member.guild.id, *member._roles})


async def ask(guild: discord.Guild, user_id: int) -> Membership:
    """Ask Discord for the membership of a user in a guild, however long it takes. Every error makes it UNKNOWN."""
    try:
        return Membership(MembershipStatus.MEMBER, roles(await guild.fetch_member(user_id)))
    except discord.NotFound as error:
        if error.code in (_UNKNOWN_MEMBER, _UNKNOWN_USER):
            return Membership(MembershipStatus.NOT_MEMBER)
        trouble: Exception = error
    except REQUEST_ERRORS as error:
        trouble = error
    log.info("could not check whether %d is a member of server %d: %r", user_id, guild.id, trouble)
    return Membership(MembershipStatus.UNKNOWN)

"""Who is a member of which server and with which roles, by Discord's word: asked where it matters, kept for a while."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, auto
from weakref import WeakValueDictionary

import discord

from bot.discord_bot.delivery.messages import REQUEST_ERRORS
from bot.discord_bot.delivery.scheduler import Scheduler

log = logging.getLogger(__name__)

LOOKUP_TIMEOUT = 1.5
"""Seconds for Discord's answer: whoever pressed a button sees it fail after three."""
_AT_ONCE, _AT_ONCE_IN_ONE = 10, 2
"""Look-ups under way, in all and in one server: the limits of a few servers must not hold up the others."""
_PENDING, _PENDING_IN_ONE = 400, 40
"""Look-ups under way or waiting to be; with so many, none is begun."""
_MOST = 10_000
"""Answers that are kept, and strangers."""
_UNKNOWN_MEMBER, _UNKNOWN_USER = 10007, 10013
"""Discord's codes for somebody who is not in a server, and who is nowhere."""


class MembershipStatus(Enum):
    """What Discord says of somebody in a server."""

    MEMBER = auto()
    NOT_MEMBER = auto()
    UNKNOWN = auto()
    """It could not be asked."""


_KEPT = {MembershipStatus.MEMBER: 3600.0, MembershipStatus.NOT_MEMBER: 300.0, MembershipStatus.UNKNOWN: 60.0}
"""Seconds until it is asked again."""


@dataclass(frozen=True, slots=True)
class Membership:
    """What is known of somebody in a server."""

    status: MembershipStatus
    roles: frozenset[int] = frozenset()


class Members:
    """What one client knows of members; discord.py, without their intent, keeps none.

    Look-ups give way to all that people see. Each is made once, for all who ask; who stops waiting does not end it.
    """

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._known: dict[tuple[int, int], tuple[Membership, float]] = {}
        self._strangers: dict[int, float] = {}
        self._asking: dict[tuple[int, int], asyncio.Task[Membership]] = {}
        self._few = asyncio.Semaphore(_AT_ONCE)
        self._few_in: WeakValueDictionary[int, asyncio.Semaphore] = WeakValueDictionary()

    async def of(
        self, guild: discord.Guild, person_id: int, *, refresh: bool = False, within: float = LOOKUP_TIMEOUT
    ) -> Membership:
        """What Discord says of a person in a server, or, where it cannot be asked within so many seconds, said last.

        `anew`: only what it says now.
        """
        key = (guild.id, person_id)
        known, until = self._known.get(key, (None, 0.0))
        if known is not None and until > time.monotonic() and not refresh:
            return known
        now = await self._look_up(guild, person_id, within)
        return now if refresh else self._known.get(key, (now, 0.0))[0]

    def looks_up(self, guild: discord.Guild, person_id: int) -> bool:
        """Whether that is being asked just now."""
        return (guild.id, person_id) in self._asking

    def is_stranger(self, person_id: int) -> bool:
        """Whether it is known of a person, as that of members is, that they are in none of the servers that count."""
        return self._strangers.get(person_id, 0.0) > time.monotonic()

    def was_stranger(self, person_id: int) -> bool:
        """Whether that is what was found last."""
        return person_id in self._strangers

    def stranger(self, person_id: int, guilds: Iterable[discord.Guild]) -> None:
        """A person was looked for in all servers that count and is in none. One word on it takes the place of many."""
        for guild in guilds:
            self._known.pop((guild.id, person_id), None)
        self._strangers.pop(person_id, None)
        self._strangers[person_id] = time.monotonic() + _KEPT[MembershipStatus.NOT_MEMBER]
        if len(self._strangers) > _MOST:
            del self._strangers[next(iter(self._strangers))]

    def seen(self, member: discord.Member) -> None:
        """Somebody did something in a server: there is no need to ask."""
        self._keep((member.guild.id, member.id), Membership(MembershipStatus.MEMBER, roles(member)))

    def close(self) -> None:
        """Begin no more of the look-ups that wait to be."""
        for asking in self._asking.values():
            asking.cancel()

    async def _look_up(self, guild: discord.Guild, person_id: int, within: float) -> Membership:
        key = (guild.id, person_id)
        asking = self._asking.get(key)
        if asking is None:
            if within <= 0 or not self._has_room(guild.id):
                return Membership(MembershipStatus.UNKNOWN)
            asking = self._asking[key] = asyncio.create_task(self._ask(guild, person_id))
            asking.add_done_callback(lambda _: self._asking.pop(key))
        await asyncio.wait([asking], timeout=max(0.0, within))
        if asking.done() and not asking.cancelled():
            return asking.result()
        unclear = Membership(MembershipStatus.UNKNOWN)
        if within > 0:
            log.info("whether %d is a member of server %d is not known within %.1f s", person_id, guild.id, within)
            # Until it is: the next one who needs it need not wait as well.
            self._keep(key, unclear)
        return unclear

    def _has_room(self, guild_id: int) -> bool:
        in_one = sum(asked_in == guild_id for asked_in, _ in self._asking)
        return len(self._asking) < _PENDING and in_one < _PENDING_IN_ONE

    async def _ask(self, guild: discord.Guild, person_id: int) -> Membership:
        few_here = self._few_in.setdefault(guild.id, asyncio.Semaphore(_AT_ONCE_IN_ONE))
        async with few_here, self._few, self._scheduler.low_priority():
            membership = await ask(guild, person_id)
        self._keep((guild.id, person_id), membership)
        return membership

    def _keep(self, key: tuple[int, int], membership: Membership) -> None:
        if membership.status is MembershipStatus.MEMBER:
            self._strangers.pop(key[1], None)
        before, _ = self._known.pop(key, (membership, 0.0))
        kept = before if membership.status is MembershipStatus.UNKNOWN else membership
        self._known[key] = kept, time.monotonic() + _KEPT[membership.status]
        if len(self._known) > _MOST:
            del self._known[next(iter(self._known))]


def roles(member: discord.Member) -> frozenset[int]:
    """The ids of a member's roles."""
    return frozenset(role.id for role in member.roles)


async def ask(guild: discord.Guild, person_id: int) -> Membership:
    """Ask Discord whether a person is a member of a server, however long it takes. Whatever goes wrong is no answer."""
    try:
        return Membership(MembershipStatus.MEMBER, roles(await guild.fetch_member(person_id)))
    except discord.NotFound as error:
        if error.code in (_UNKNOWN_MEMBER, _UNKNOWN_USER):
            return Membership(MembershipStatus.NOT_MEMBER)
        trouble: Exception = error
    except REQUEST_ERRORS as error:
        trouble = error
    log.info("whether %d is a member of server %d is not known: %r", person_id, guild.id, trouble)
    return Membership(MembershipStatus.UNKNOWN)

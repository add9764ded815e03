"""Who is a member of which server and with which roles, by Discord's word: asked where it matters, kept for a while."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from enum import Enum, auto

import discord

from bot.discord_bot.messages import FAILED

log = logging.getLogger(__name__)

PATIENCE = 1.5
"""Seconds for Discord's answer: whoever pressed a button sees it fail after three."""
_MOST = 10_000
"""Answers that are kept."""
_UNKNOWN_MEMBER, _UNKNOWN_USER = 10007, 10013
"""Discord's codes for somebody who is not in a server, and who is nowhere."""


class Is(Enum):
    """What Discord says of somebody in a server."""

    MEMBER = auto()
    NO_MEMBER = auto()
    UNCLEAR = auto()
    """It could not be asked."""


_KEPT = {Is.MEMBER: 3600.0, Is.NO_MEMBER: 300.0, Is.UNCLEAR: 60.0}
"""Seconds until it is asked again."""


@dataclass(frozen=True, slots=True)
class Membership:
    """What is known of somebody in a server."""

    answer: Is
    roles: frozenset[int] = frozenset()


class Members:
    """What one client knows of members; discord.py, without their intent, keeps none."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, int], tuple[Membership, float]] = {}
        self._asking: dict[tuple[int, int], asyncio.Task[Membership]] = {}

    async def of(self, guild: discord.Guild, person_id: int, *, anew: bool = False) -> Membership:
        """What Discord says of a person in a server, or, where it cannot be asked, said last. `anew`: only now."""
        key = (guild.id, person_id)
        known, until = self._known.get(key, (None, 0.0))
        if known is not None and until > time.monotonic() and not anew:
            return known
        asking = self._asking.get(key)
        if asking is None:
            asking = self._asking[key] = asyncio.create_task(self._ask(guild, person_id))
            asking.add_done_callback(lambda _: self._asking.pop(key))
        now = await asyncio.shield(asking)
        return now if anew else self._known.get(key, (now, 0.0))[0]

    def seen(self, member: discord.Member) -> None:
        """Somebody did something in a server: there is no need to ask."""
        self._keep((member.guild.id, member.id), Membership(Is.MEMBER, roles(member)))

    async def _ask(self, guild: discord.Guild, person_id: int) -> Membership:
        membership = await ask(guild, person_id)
        self._keep((guild.id, person_id), membership)
        return membership

    def _keep(self, key: tuple[int, int], membership: Membership) -> None:
        before, _ = self._known.pop(key, (membership, 0.0))
        kept = before if membership.answer is Is.UNCLEAR else membership
        self._known[key] = kept, time.monotonic() + _KEPT[membership.answer]
        if len(self._known) > _MOST:
            del self._known[next(iter(self._known))]


def roles(member: discord.Member) -> frozenset[int]:
    """The ids of a member's roles."""
    return frozenset(role.id for role in member.roles)


async def ask(guild: discord.Guild, person_id: int) -> Membership:
    """Ask Discord whether a person is a member of a server. Whatever goes wrong is no answer."""
    try:
        async with asyncio.timeout(PATIENCE):
            return Membership(Is.MEMBER, roles(await guild.fetch_member(person_id)))
    except discord.NotFound as error:
        if error.code in (_UNKNOWN_MEMBER, _UNKNOWN_USER):
            return Membership(Is.NO_MEMBER)
        trouble: Exception = error
    except FAILED as error:
        trouble = error
    log.info("whether %d is a member of server %d is not known: %r", person_id, guild.id, trouble)
    return Membership(Is.UNCLEAR)

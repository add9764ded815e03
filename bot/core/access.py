"""The rules of the operator and of a server's moderators on who may use the bot where. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Literal


@dataclass(frozen=True, slots=True)
class Servers:
    """The servers that are served: those with the application's owner in them, those with these ids, or all."""

    owner: bool = False
    ids: frozenset[int] = frozenset()
    any: bool = False


class Denial(Enum):
    """Why somebody may not use the bot somewhere."""

    GUILD = "server not served"
    """The operator does not serve this server."""
    USER = "person not allowed"
    """The operator has blocked the person or one of their roles, or allows only others."""
    BLOCKED = "blocked by moderators"
    PAUSED = "paused by moderators"
    CHANNEL = "channel not allowed"
    """The server's moderators want it in other channels."""
    DIRECT_MESSAGES = "no direct messages"
    """The operator wants no direct messages answered."""
    NOT_MEMBER = "no server in common"
    """Direct messages are answered, but not those of people whom the bot shares no server with."""
    UNKNOWN = "unclear"
    """The decision depends on a look-up that Discord does not answer now: of the person, or of the thread."""


@dataclass(frozen=True, slots=True)
class Person:
    """The person who asks, with their known roles. `all_roles` means that they have no others."""

    id: int
    roles: frozenset[int] = frozenset()
    all_roles: bool = True


@dataclass(frozen=True, slots=True)
class AccessSettings:
    """The operator's rules. Ids are Discord's. Without allowed users and roles, everybody is allowed."""

    servers: Servers = field(default_factory=lambda: Servers(owner=True))
    direct_messages: Literal["members", "everyone", "off"] = "members"
    allowed_users: frozenset[int] = frozenset()
    allowed_roles: frozenset[int] = frozenset()
    blocked_users: frozenset[int] = frozenset()
    blocked_roles: frozenset[int] = frozenset()

    @property
    def roles(self) -> frozenset[int]:
        """The roles that the rules name. In a direct message they have to be looked up in their servers."""
        return self.allowed_roles | self.blocked_roles

    def blocks(self, person: Person) -> Denial | None:
        """Return why a person is blocked or not allowed, or None if they may use the bot. A block always wins."""
        if person.id in self.blocked_users or person.roles & self.blocked_roles:
            return Denial.USER
        if self.blocked_roles and not person.all_roles:
            return Denial.UNKNOWN
        if not self.allowed_users and not self.allowed_roles:
            return None
        if person.id in self.allowed_users or person.roles & self.allowed_roles:
            return None
        return Denial.UNKNOWN if self.allowed_roles and not person.all_roles else Denial.USER


@dataclass(frozen=True, slots=True)
class Block:
    """A block by moderators, until a time in seconds since the epoch, or for good (None)."""

    until: int | None


@dataclass(frozen=True, slots=True)
class Decision:
    """Who decided something and when, in seconds since the epoch. None where that is not known (any more)."""

    by: int | None = None
    at: int | None = None


@dataclass(frozen=True, slots=True)
class GuildDecisions:
    """What is in force in a server by its moderators' decision: channels that are allowed or not, users with blocks."""

    paused: Decision | None
    channels: Sequence[tuple[int, bool, Decision]]
    blocks: Sequence[tuple[int, Block, Decision]]


@dataclass(frozen=True, slots=True)
class GuildRules:
    """The rules of a server's moderators for one person now.

    `channels` maps the ids of channels, threads and categories to whether they are allowed.
    """

    paused: bool = False
    block: Block | None = None
    channels: Mapping[int, bool] = field(default_factory=dict)


def denied_in_guild(
    access: AccessSettings, rules: GuildRules, person: Person, places: Sequence[int], *, served: bool
) -> Denial | None:
    """Return why a prompt in a server is not answered, or None if it is answered.

    `places` are the ids of thread, channel and category, in this order.
    """
    if not served:
        return Denial.GUILD
    if denied := denied_to_user(access, rules, person):
        return denied
    if rules.paused:
        return Denial.PAUSED
    return None if channel_allowed(rules.channels, places) else Denial.CHANNEL


def denied_to_user(access: AccessSettings, rules: GuildRules, person: Person) -> Denial | None:
    """Return why a person may not use the bot in any channel of a server, or None if they may."""
    return access.blocks(person) or (Denial.BLOCKED if rules.block is not None else None)


def denied_in_dm(access: AccessSettings, person: Person, *, shares_guild: bool | None) -> Denial | None:
    """Return why a direct message is not answered, or None if it is answered.

    `shares_guild` tells whether the bot serves a server that the person is in. It is None if that is not known.
    """
    if access.direct_messages == "off":
        return Denial.DIRECT_MESSAGES
    if refused := access.blocks(person):
        return refused
    if access.direct_messages == "everyone" or shares_guild:
        return None
    return Denial.UNKNOWN if shares_guild is None else Denial.NOT_MEMBER


def channel_allowed(rules: Mapping[int, bool], places: Sequence[int]) -> bool:
    """Whether the bot may be used in a channel: by the most specific rule, or else if no rule allows another place."""
    for place in places:
        if (allowed := rules.get(place)) is not None:
            return allowed
    return not any(rules.values())


def rule_to_allow(rules: Mapping[int, bool], places: Sequence[int]) -> Literal[True] | None:
    """Return the rule that allows the first of the places, or None if it is allowed without a rule of its own.

    A blocked channel loses its rule and is like the others again. Any other channel gets a rule, and from then on only
    channels with such a rule are allowed.
    """
    was_blocked = rules.get(places[0]) is False
    return None if was_blocked and channel_allowed(_without(rules, places[0]), places) else True


def rule_to_block(rules: Mapping[int, bool], places: Sequence[int]) -> Literal[False] | None:
    """Return the rule that blocks the first of the places, or None if it is blocked without a rule of its own."""
    return False if channel_allowed(_without(rules, places[0]), places) else None


def is_last_allowed(rules: Mapping[int, bool], place: int) -> bool:
    """Whether the place has the last allowing rule. Without that rule, the bot would be allowed everywhere."""
    return rules.get(place) is True and not any(_without(rules, place).values())


def _without(rules: Mapping[int, bool], place: int) -> dict[int, bool]:
    return {each: allowed for each, allowed in rules.items() if each != place}

"""Who may use the bot where: the operator's rules and those of a server's moderators. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Literal


@dataclass(frozen=True, slots=True)
class Servers:
    """Which servers are served: those that the application's owner is in, those with these ids, or all."""

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
    UNKNOWN = "unclear who it is"
    """It depends on what Discord cannot be asked just now."""

    @property
    def concerns_user(self) -> bool:
        """Whether it is about who asks, wherever that is in a server."""
        return self in (Denial.USER, Denial.BLOCKED)


@dataclass(frozen=True, slots=True)
class Person:
    """Who asks, with the roles that are known of them, and whether these are all that they have."""

    id: int
    roles: frozenset[int] = frozenset()
    all_roles: bool = True


@dataclass(frozen=True, slots=True)
class AccessSettings:
    """What the operator allows. Ids are Discord's; no allowed person and no allowed role: everybody."""

    servers: Servers = field(default_factory=lambda: Servers(owner=True))
    direct_messages: Literal["members", "everyone", "off"] = "members"
    allowed_users: frozenset[int] = frozenset()
    allowed_roles: frozenset[int] = frozenset()
    blocked_users: frozenset[int] = frozenset()
    blocked_roles: frozenset[int] = frozenset()

    @property
    def roles(self) -> frozenset[int]:
        """The roles that matter. They belong to servers, and in a direct message have to be looked up."""
        return self.allowed_roles | self.blocked_roles

    def blocks(self, person: Person) -> Denial | None:
        """Why somebody is not on the list of those allowed, if there is one, or is blocked, which always wins."""
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
    """That moderators have blocked somebody, until a time in seconds since the epoch, or (None) for good."""

    until: int | None


@dataclass(frozen=True, slots=True)
class GuildRules:
    """What a server's moderators want, as far as it concerns one person now.

    `channels` says of channels, threads and categories whether they are allowed.
    """

    paused: bool = False
    block: Block | None = None
    channels: Mapping[int, bool] = field(default_factory=dict)


def denied_in_guild(
    access: AccessSettings, rules: GuildRules, person: Person, places: Sequence[int], *, served: bool
) -> Denial | None:
    """Why a prompt in a server is not answered; None: it is.

    `places` are the ids of where it was written, the most specific first: thread, channel, category.
    """
    if not served:
        return Denial.GUILD
    if denied := denied_to_user(access, rules, person):
        return denied
    if rules.paused:
        return Denial.PAUSED
    return None if channel_allowed(rules.channels, places) else Denial.CHANNEL


def denied_to_user(access: AccessSettings, rules: GuildRules, person: Person) -> Denial | None:
    """The same without the place."""
    return access.blocks(person) or (Denial.BLOCKED if rules.block is not None else None)


def denied_in_dm(access: AccessSettings, person: Person, *, shares_guild: bool | None) -> Denial | None:
    """Why a direct message is not answered; None: it is.

    `shares_server`: whether the bot serves one of theirs; None: that is not known.
    """
    if access.direct_messages == "off":
        return Denial.DIRECT_MESSAGES
    if refused := access.blocks(person):
        return refused
    if access.direct_messages == "everyone" or shares_guild:
        return None
    return Denial.UNKNOWN if shares_guild is None else Denial.NOT_MEMBER


def channel_allowed(rules: Mapping[int, bool], places: Sequence[int]) -> bool:
    """Whether the bot may be used there: by the most specific rule, or, without any, if none allows another place."""
    for place in places:
        if (allowed := rules.get(place)) is not None:
            return allowed
    return not any(rules.values())


def rule_to_allow(rules: Mapping[int, bool], places: Sequence[int]) -> Literal[True] | None:
    """The rule with which the first of the places is allowed. None: with no rule of its own.

    A channel that was blocked goes back to be like others; any other becomes one of the only ones allowed.
    """
    was_blocked = rules.get(places[0]) is False
    return None if was_blocked and channel_allowed(_without(rules, places[0]), places) else True


def rule_to_block(rules: Mapping[int, bool], places: Sequence[int]) -> Literal[False] | None:
    """The rule with which the first of the places is not allowed. None: with no rule of its own."""
    return False if channel_allowed(_without(rules, places[0]), places) else None


def is_last_allowed(rules: Mapping[int, bool], place: int) -> bool:
    """Whether the bot would be allowed everywhere else if this place were not any more."""
    return rules.get(place) is True and not any(_without(rules, place).values())


def _without(rules: Mapping[int, bool], place: int) -> dict[int, bool]:
    return {each: allowed for each, allowed in rules.items() if each != place}

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


class Denied(Enum):
    """Why somebody may not use the bot somewhere."""

    SERVER = "server not served"
    """The operator does not serve this server."""
    PERSON = "person not allowed"
    """The operator has blocked the person or one of their roles, or allows only others."""
    BLOCKED = "blocked by moderators"
    PAUSED = "paused by moderators"
    CHANNEL = "channel not allowed"
    """The server's moderators want it in other channels."""
    DIRECT = "no direct messages"
    """The operator wants no direct messages answered."""
    STRANGER = "no server in common"
    """Direct messages are answered, but not those of people whom the bot shares no server with."""
    UNCLEAR = "unclear who it is"
    """It depends on what Discord cannot be asked just now."""

    @property
    def of_person(self) -> bool:
        """Whether it is about who asks, wherever that is in a server."""
        return self in (Denied.PERSON, Denied.BLOCKED)


@dataclass(frozen=True, slots=True)
class Person:
    """Who asks, with the roles that are known of them, and whether these are all that they have."""

    id: int
    roles: frozenset[int] = frozenset()
    all_roles: bool = True


@dataclass(frozen=True, slots=True)
class Access:
    """What the operator allows. Ids are Discord's; no allowed person and no allowed role: everybody."""

    servers: Servers = field(default_factory=lambda: Servers(owner=True))
    direct_messages: Literal["members", "everyone", "off"] = "members"
    allowed_people: frozenset[int] = frozenset()
    allowed_roles: frozenset[int] = frozenset()
    blocked_people: frozenset[int] = frozenset()
    blocked_roles: frozenset[int] = frozenset()

    @property
    def roles(self) -> frozenset[int]:
        """The roles that matter. They belong to servers, and in a direct message have to be looked up."""
        return self.allowed_roles | self.blocked_roles

    def refuses(self, person: Person) -> Denied | None:
        """Why somebody is not on the list of those allowed, if there is one, or is blocked, which always wins."""
        if person.id in self.blocked_people or person.roles & self.blocked_roles:
            return Denied.PERSON
        if self.blocked_roles and not person.all_roles:
            return Denied.UNCLEAR
        if not self.allowed_people and not self.allowed_roles:
            return None
        if person.id in self.allowed_people or person.roles & self.allowed_roles:
            return None
        return Denied.UNCLEAR if self.allowed_roles and not person.all_roles else Denied.PERSON


@dataclass(frozen=True, slots=True)
class Block:
    """That moderators have blocked somebody, until a time in seconds since the epoch, or (None) for good."""

    until: int | None


@dataclass(frozen=True, slots=True)
class ServerRules:
    """What a server's moderators want, as far as it concerns one person now.

    `channels` says of channels, threads and categories whether they are allowed.
    """

    paused: bool = False
    block: Block | None = None
    channels: Mapping[int, bool] = field(default_factory=dict)


def denied_in_server(
    access: Access, rules: ServerRules, person: Person, places: Sequence[int], *, served: bool
) -> Denied | None:
    """Why a prompt in a server is not answered; None: it is.

    `places` are the ids of where it was written, the most specific first: thread, channel, category.
    """
    if not served:
        return Denied.SERVER
    if denied := denied_to_person(access, rules, person):
        return denied
    if rules.paused:
        return Denied.PAUSED
    return None if channel_allowed(rules.channels, places) else Denied.CHANNEL


def denied_to_person(access: Access, rules: ServerRules, person: Person) -> Denied | None:
    """The same without the place."""
    return access.refuses(person) or (Denied.BLOCKED if rules.block is not None else None)


def denied_directly(access: Access, person: Person, *, shares_server: bool | None) -> Denied | None:
    """Why a direct message is not answered; None: it is.

    `shares_server`: whether the bot serves one of theirs; None: that is not known.
    """
    if access.direct_messages == "off":
        return Denied.DIRECT
    if refused := access.refuses(person):
        return refused
    if access.direct_messages == "everyone" or shares_server:
        return None
    return Denied.UNCLEAR if shares_server is None else Denied.STRANGER


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

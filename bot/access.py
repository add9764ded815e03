"""Who may use the bot where: the operator's rules and those of a server's moderators. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Literal, Self

from bot.config import Settings


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

    @property
    def of_person(self) -> bool:
        """Whether it is about who asks, wherever that is in a server."""
        return self in (Denied.PERSON, Denied.BLOCKED)


@dataclass(frozen=True, slots=True)
class Person:
    """Who asks, with the roles that are known of them."""

    id: int
    roles: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Access:
    """What the operator allows. Ids are Discord's; no allowed person and no allowed role: everybody."""

    servers: Literal["owner", "any"] | frozenset[int] = "owner"
    direct_messages: Literal["members", "everyone", "off"] = "members"
    allowed_people: frozenset[int] = frozenset()
    allowed_roles: frozenset[int] = frozenset()
    blocked_people: frozenset[int] = frozenset()
    blocked_roles: frozenset[int] = frozenset()

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """What the settings say."""
        return cls(
            settings.servers,
            settings.direct_messages,
            settings.allowed_people or frozenset(),
            settings.allowed_roles or frozenset(),
            settings.blocked_people or frozenset(),
            settings.blocked_roles or frozenset(),
        )

    @property
    def roles(self) -> frozenset[int]:
        """The roles that matter. They belong to servers, and in a direct message have to be looked up."""
        return self.allowed_roles | self.blocked_roles

    def admits(self, person: Person) -> bool:
        """Whether somebody is on the list of those allowed, if there is one, and not blocked, which always wins."""
        if person.id in self.blocked_people or person.roles & self.blocked_roles:
            return False
        if not self.allowed_people and not self.allowed_roles:
            return True
        return person.id in self.allowed_people or bool(person.roles & self.allowed_roles)


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


NO_RULES = ServerRules()


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
    if not access.admits(person):
        return Denied.PERSON
    return Denied.BLOCKED if rules.block is not None else None


def denied_directly(access: Access, person: Person, *, shares_server: bool) -> Denied | None:
    """Why a direct message is not answered; None: it is. `shares_server`: whether the bot serves one of theirs."""
    if access.direct_messages == "off":
        return Denied.DIRECT
    if not access.admits(person):
        return Denied.PERSON
    return Denied.STRANGER if access.direct_messages == "members" and not shares_server else None


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

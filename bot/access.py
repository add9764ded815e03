"""Who may use the bot where: the operator's rules and those of a server's moderators. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Self

from bot.config import Settings


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

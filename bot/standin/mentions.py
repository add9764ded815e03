"""Finds the mentions in a message, limited by `allowed_mentions`, without side effects.

https://discord.com/developers/docs/resources/message#allowed-mentions-object
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from bot.standin.entities import Channel, Json, Member, Permission, Role, User
from bot.standin.errors import invalid_form

_CODE = re.compile(r"```.*?```|``.*?``|`[^`\n]*`", re.DOTALL)
_USER = re.compile(r"<@!?(\d+)>")
_ROLE = re.compile(r"<@&(\d+)>")
_EVERYONE = re.compile(r"@(everyone|here)\b")


@dataclass(frozen=True, slots=True)
class Mentions:
    """The mentions of a message. `users` and `roles` are in order of appearance. `pinged` is every user they reach."""

    users: list[User]
    roles: list[Role]
    everyone: bool
    pinged: set[User]


NOBODY = Mentions([], [], everyone=False, pinged=set())


def find(
    content: str,
    channel: Channel,
    *,
    known: dict[int, User],
    allowed: Json | None,
    permissions: Permission,
    replied: User | None,
) -> Mentions:
    """Find the mentions of a message that is sent or edited.

    `allowed` is the body's `allowed_mentions`. The value None allows every mention, and a reply pings. `permissions`
    belong to the author: @everyone and unmentionable roles need MENTION_EVERYONE. Text inside code is never a mention.
    """
    text = _CODE.sub("", content)
    if replied is None and "@" not in text:
        return NOBODY
    rules = _Allowances(allowed)
    powerful = Permission.MENTION_EVERYONE in permissions
    members = channel.guild.members if channel.guild else {}

    users: dict[int, User] = {}
    if replied is not None and rules.replied_user:
        users[replied.id] = replied
    for user_id in map(int, _USER.findall(text)):
        if user_id in known and rules.allows("users", user_id):
            users[user_id] = known[user_id]

    roles: dict[int, Role] = {}
    if channel.guild is not None:
        for role_id in map(int, _ROLE.findall(text)):
            role = channel.guild.roles.get(role_id)
            if role is not None and rules.allows("roles", role_id) and (role.mentionable or powerful):
                roles[role_id] = role

    everyone = bool(members) and powerful and rules.parses("everyone") and _EVERYONE.search(text) is not None
    pinged = set(users.values()) | {m.user for m in members.values() if everyone or _has_any(m, roles)}
    return Mentions(list(users.values()), list(roles.values()), everyone, pinged)


def check(allowed: Json | None) -> None:
    """Refuse `allowed_mentions` that list over 100 users or roles, or list kinds that `parse` already covers."""
    if allowed is None:
        return
    for kind in ("users", "roles"):
        named = allowed.get(kind) or []
        if named and kind in (allowed.get("parse") or []):
            raise invalid_form(
                {
                    "allowed_mentions": (
                        "MESSAGE_ALLOWED_MENTIONS_PARSE_EXCLUSIVE",
                        f'parse:["{kind}"] and {kind}: [ids...] are mutually exclusive.',
                    )
                }
            )
        if len(named) > 100:
            raise invalid_form(
                {f"allowed_mentions.{kind}": ("BASE_TYPE_MAX_LENGTH", "Must be 100 or fewer in length.")}
            )


def _has_any(member: Member, roles: dict[int, Role]) -> bool:
    return any(role.id in roles for role in member.roles)


class _Allowances:
    def __init__(self, allowed: Json | None) -> None:
        self._allowed = allowed
        self.replied_user = allowed is None or bool(allowed.get("replied_user"))

    def parses(self, kind: str) -> bool:
        return self._allowed is None or kind in (self._allowed.get("parse") or [])

    def allows(self, kind: str, wanted: int) -> bool:
        if self.parses(kind):
            return True
        named = (self._allowed or {}).get(kind) or []
        return str(wanted) in map(str, named)

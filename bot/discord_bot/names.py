"""Display names of users and of the bot, as text without effect on Discord."""

from __future__ import annotations

import re

import discord

from bot.core.turns import UserName


def literal(name: str) -> str:
    """A name as text in which Discord renders nothing, also at the beginning of a line."""
    escaped = discord.utils.escape_markdown(" ".join(name.split())).replace("<", r"\<")
    return re.sub(r"^(\d+)\.", r"\1\.", escaped)


def shown_name(user: discord.User | discord.Member) -> str:
    """The display name of a user or member, escaped."""
    return literal(user.display_name)


def stored_name(author_name: UserName | None) -> str | None:
    """The display name in the stored name of an author, escaped; None if no name is on record."""
    return None if author_name is None else literal(author_name.shown)


def own_name(client: discord.Client, guild: discord.Guild | None) -> str:
    """The bot's display name in a guild or in DMs, not escaped: it is shown as users would type it."""
    if client.user is None:
        return ""
    member = None if guild is None else guild.get_member(client.user.id)
    return " ".join((member or client.user).display_name.split())

"""Names of people and of the bot, as text that means nothing but itself."""

from __future__ import annotations

import re

import discord

from bot.core.turns import UserName


def literal(name: str) -> str:
    """A name as text that Discord does not render, also at the beginning of a line."""
    escaped = discord.utils.escape_markdown(" ".join(name.split())).replace("<", r"\<")
    return re.sub(r"^(\d+)\.", r"\1\.", escaped)


def shown_name(user: discord.User | discord.Member) -> str:
    """The display name of somebody who is there."""
    return literal(user.display_name)


def stored_name(author_name: UserName | None) -> str | None:
    """The same of somebody whose name is on record. None: there is none."""
    return None if author_name is None else literal(author_name.shown)


def own_name(client: discord.Client, guild: discord.Guild | None) -> str:
    """What the bot is called in a server, or in none; as it is, for a mention that people would type."""
    if client.user is None:
        return ""
    member = None if guild is None else guild.get_member(client.user.id)
    return " ".join((member or client.user).display_name.split())

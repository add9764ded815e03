"""What `check` asks Discord: whose token it is, where the bot is, and how to invite it."""

from __future__ import annotations

from dataclasses import dataclass

import discord

from bot.discord_bot.run import discord_errors

PERMISSIONS = discord.Permissions(
    view_channel=True,
    send_messages=True,
    send_messages_in_threads=True,
    read_message_history=True,
    add_reactions=True,
    attach_files=True,
)
"""All that the bot needs in a server."""


@dataclass(frozen=True, slots=True)
class Account:
    """The application behind a token. `owner` is a person's or a team's name."""

    bot: str
    owner: str
    servers: int
    invite: str


async def account(token: str) -> Account:
    """Log in without the gateway and look around. Raises DiscordError."""
    # discord.py would warn of missing libraries for voice, and of intents without guilds; neither is of use here.
    async with discord.Client(intents=discord.Intents(guilds=True)) as client:
        with discord_errors():
            await client.login(token)
            application = await client.application_info()
            servers = [guild async for guild in client.fetch_guilds(limit=None, with_counts=False)]
            return Account(
                bot=str(client.user),
                owner=application.team.name if application.team is not None else str(application.owner),
                servers=len(servers),
                invite=discord.utils.oauth_url(
                    application.id, permissions=PERMISSIONS, scopes=("bot", "applications.commands")
                ),
            )

"""What `check` asks Discord: whose token it is, where the bot is and serves, and how to invite it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import discord

from bot.core.access import AccessSettings
from bot.discord_bot.access.members import MembershipStatus, ask
from bot.discord_bot.access.policy import owners
from bot.discord_bot.calls import LONGEST_SLEEP
from bot.discord_bot.runner import discord_errors

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
    """The application behind a token.

    `owner` is a person's name; where `team` names a team, its owner's. Of the `servers` it is in, so many are `served`.
    """

    bot: str
    owner: str
    team: str | None
    servers: int
    served: int
    invite: str


async def account(token: str, access: AccessSettings) -> Account:
    """Log in without the gateway and look around. Raises DiscordError."""
    # discord.py would warn of missing libraries for voice, and of intents without guilds; neither is of use here.
    intents = discord.Intents(guilds=True)
    async with discord.Client(intents=intents, max_ratelimit_timeout=LONGEST_SLEEP) as client:
        with discord_errors():
            await client.login(token)
            application = await client.application_info()
            servers = [guild async for guild in client.fetch_guilds(limit=None, with_counts=False)]
            team = application.team
            return Account(
                bot=str(client.user),
                owner=str(application.owner if team is None else team.owner),
                team=None if team is None else team.name,
                servers=len(servers),
                served=sum([await _serves(access, guild, owners(application)) for guild in servers]),
                invite=discord.utils.oauth_url(
                    application.id, permissions=PERMISSIONS, scopes=("bot", "applications.commands")
                ),
            )


async def _serves(access: AccessSettings, guild: discord.Guild, owners: Iterable[int]) -> bool:
    """Whether the running bot would serve a server; see `Gate.served`."""
    if access.servers.any or guild.id in access.servers.ids:
        return True
    for owner in owners if access.servers.owner else ():
        if (await ask(guild, owner)).status is not MembershipStatus.NOT_MEMBER:
            return True
    return False

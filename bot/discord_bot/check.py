"""Reads a token's account on Discord for `python -m bot check`: its owner, its guilds, and the link that invites it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import discord

from bot.core.access import AccessSettings
from bot.discord_bot.access.members import MembershipStatus, ask
from bot.discord_bot.access.policy import owners
from bot.discord_bot.calls import LONGEST_SLEEP
from bot.discord_bot.endpoint import connecting
from bot.discord_bot.runner import discord_errors
from bot.network.connections import Network

PERMISSIONS = discord.Permissions(
    view_channel=True,
    send_messages=True,
    send_messages_in_threads=True,
    create_public_threads=True,
    read_message_history=True,
    add_reactions=True,
    attach_files=True,
)
"""The permissions that the bot needs in a guild."""


@dataclass(frozen=True, slots=True)
class Account:
    """The application that a token belongs to."""

    bot: str
    owner: str
    """The name of the owner; for a team, that of the team's owner."""
    team: str | None
    servers: int
    """How many guilds the bot is in."""
    served: int
    """How many of them it serves."""
    invite: str
    message_content: bool
    """Whether the Message Content intent is switched on."""
    recommended_shards: int
    session_starts: int
    """How many sessions of the gateway may still be started; each start of the bot takes one for each shard."""
    session_starts_reset_after: float
    """Seconds until all may be started again."""


async def account(token: str, access: AccessSettings, network: Network) -> Account:
    """Read the account of a token over the REST API, without the gateway. Raises DiscordError."""
    # discord.py warns of intents without `guilds`.
    intents = discord.Intents(guilds=True)
    async with discord.Client(intents=intents, max_ratelimit_timeout=LONGEST_SLEEP, **connecting(network)) as client:
        with discord_errors():
            await client.login(token)
            application = await client.application_info()
            guilds = [guild async for guild in client.fetch_guilds(limit=None, with_counts=False)]
            team, flags = application.team, application.flags
            recommended_shards, _, session_start_limit = await client.http.get_bot_gateway()
            return Account(
                bot=str(client.user),
                owner=str(application.owner if team is None else team.owner),
                team=None if team is None else team.name,
                servers=len(guilds),
                served=sum([await _serves(access, guild, owners(application)) for guild in guilds]),
                message_content=flags.gateway_message_content or flags.gateway_message_content_limited,
                recommended_shards=recommended_shards,
                session_starts=session_start_limit["remaining"],
                session_starts_reset_after=session_start_limit["reset_after"] / 1000,
                invite=discord.utils.oauth_url(
                    application.id, permissions=PERMISSIONS, scopes=("bot", "applications.commands")
                ),
            )


async def _serves(access: AccessSettings, guild: discord.Guild, owners: Iterable[int]) -> bool:
    """Whether the running bot serves a guild; see `Policy.is_served`."""
    if access.servers.any or guild.id in access.servers.ids:
        return True
    for owner in owners if access.servers.owner else ():
        if (await ask(guild, owner)).status is not MembershipStatus.NOT_MEMBER:
            return True
    return False

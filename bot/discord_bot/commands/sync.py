"""Registers the commands with Discord."""

from __future__ import annotations

import logging
from itertools import chain, repeat
from typing import Any

import aiohttp
import discord
from discord import app_commands

from bot.core.retrying import retrying

log = logging.getLogger(__name__)


async def sync_with_retry(commands: app_commands.CommandTree[discord.Client]) -> None:
    """Register the commands if Discord has others; try again for as long as Discord fails."""

    def log_retry(error: Exception, delay: float) -> None:
        log.warning("could not register the commands, trying again in %g s: %s", delay, error)

    temporary = (discord.DiscordServerError, discord.RateLimited, aiohttp.ClientError, OSError)
    try:
        await retrying(lambda: sync(commands), chain((5.0, 30.0), repeat(300.0)), on=temporary, log_retry=log_retry)
    except discord.DiscordException as error:
        log.error("Discord refused the commands: %s", error)


async def sync(commands: app_commands.CommandTree[discord.Client]) -> None:
    """Register the commands with Discord if it has others: Discord limits registrations per day.

    See https://discord.com/developers/docs/interactions/application-commands#registering-a-command.
    """
    known = [_registered(command) for command in await commands.fetch_commands()]
    ours = [_wanted(command.to_dict(commands)) for command in commands.get_commands()]
    if sorted(known, key=str) != sorted(ours, key=str):
        await commands.sync()
        log.info("registered %d commands with Discord", len(ours))


def _registered(command: app_commands.AppCommand) -> Any:
    # `AppCommand.to_dict` of discord.py 2.7 leaves these two out.
    permissions = command.default_member_permissions
    payload = {"nsfw": command.nsfw, "default_member_permissions": permissions and permissions.value}
    return _normalized({**command.to_dict(), **payload})


def _wanted(payload: dict[str, Any]) -> Any:
    # discord.py 2.7 reads these two lists of numbers shifted by one, so that a 0 looks like a missing value.
    shifted = {key: [n - 1 for n in payload.get(key) or () if n > 0] for key in ("contexts", "integration_types")}
    return _normalized({**payload, **shifted})


def _normalized(payload: Any) -> Any:
    """A command's payload without ids and without the defaults that only one side writes out."""
    if isinstance(payload, dict):
        ids = ("id", "application_id", "version", "guild_id", "dm_permission", "default_permission")
        kept = {key: _normalized(value) for key, value in payload.items() if key not in ids}
        return {key: value for key, value in sorted(kept.items()) if value not in (None, False, "", [], {})}
    if isinstance(payload, list):
        return [_normalized(value) for value in payload]
    return payload

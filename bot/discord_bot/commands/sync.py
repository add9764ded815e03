"""How Discord is told of the commands."""

from __future__ import annotations

import asyncio
import logging
from itertools import chain, repeat
from typing import Any

import aiohttp
import discord
from discord import app_commands

log = logging.getLogger(__name__)


async def sync_with_retry(commands: app_commands.CommandTree[discord.Client]) -> None:
    """Register the commands where Discord has others; try for as long as Discord cannot be asked."""
    for wait in chain((5.0, 30.0), repeat(300.0)):
        try:
            await sync(commands)
        except (discord.DiscordServerError, discord.RateLimited, aiohttp.ClientError, OSError) as error:
            log.warning("the commands could not be registered, trying again in %g s: %s", wait, error)
            await asyncio.sleep(wait)
        except discord.DiscordException as error:
            log.error("Discord refused the commands: %s", error)
            return
        else:
            return


async def sync(commands: app_commands.CommandTree[discord.Client]) -> None:
    """Register the commands with Discord where it does not have them as they are: registering is limited per day."""
    known = [_registered(command) for command in await commands.fetch_commands()]
    ours = [_wanted(command.to_dict(commands)) for command in commands.get_commands()]
    if sorted(known, key=str) != sorted(ours, key=str):
        await commands.sync()
        log.info("registered %d commands with Discord", len(ours))


def _registered(command: app_commands.AppCommand) -> Any:
    # discord.py 2.7 leaves these two out of the dictionary.
    permissions = command.default_member_permissions
    payload = {"nsfw": command.nsfw, "default_member_permissions": permissions and permissions.value}
    return _normalized({**command.to_dict(), **payload})


def _wanted(payload: dict[str, Any]) -> Any:
    # discord.py 2.7 reads these two lists of numbers shifted by one, so that a 0 cannot be told from nothing.
    shifted = {key: [n - 1 for n in payload.get(key) or () if n > 0] for key in ("contexts", "integration_types")}
    return _normalized({**payload, **shifted})


def _normalized(payload: Any) -> Any:
    """What a command's description says, without ids and without defaults that one side spells out."""
    if isinstance(payload, dict):
        ids = ("id", "application_id", "version", "guild_id", "dm_permission", "default_permission")
        kept = {key: _normalized(value) for key, value in payload.items() if key not in ids}
        return {key: value for key, value in sorted(kept.items()) if value not in (None, False, [], {})}
    if isinstance(payload, list):
        return [_normalized(value) for value in payload]
    return payload

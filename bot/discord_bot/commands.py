"""The slash commands, and how Discord is told of them."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from itertools import chain, repeat
from typing import Any

import aiohttp
import discord
from discord import app_commands

from bot import phrases
from bot.conversation import Conversations
from bot.discord_bot.prompts import conversation_key
from bot.discord_bot.replies import Replies, shown_name
from bot.errors import StoreError

log = logging.getLogger(__name__)

_FAILED = (discord.HTTPException, aiohttp.ClientError, OSError, TimeoutError)
ANSWER_WITHIN = 1.5
"""Seconds until an answer is put off; Discord allows 3, the way there and back included."""


def tree(
    client: discord.Client, conversations: Conversations, replies: Replies
) -> app_commands.CommandTree[discord.Client]:
    """All commands of the bot."""
    commands = app_commands.CommandTree(
        client,
        allowed_contexts=app_commands.AppCommandContext(guild=True, dm_channel=True, private_channel=False),
        allowed_installs=app_commands.AppInstallationType(guild=True, user=False),
    )

    @commands.command(description="Forget this conversation: everything said with me in this channel, thread or DM.")
    async def reset(interaction: discord.Interaction) -> None:
        name = shown_name(interaction.user)
        forgetting = asyncio.create_task(conversations.forget(conversation_key(interaction.channel_id or 0), name))
        await asyncio.wait([forgetting], timeout=ANSWER_WITHIN)
        if not forgetting.done():
            # Wiping a large database takes its time, and Discord gives up on an answer after 3 s.
            with suppress(*_FAILED):
                await interaction.response.defer(thinking=True)
        try:
            sentence = phrases.was_reset(name, (await forgetting).exchanges)
        except StoreError as error:
            log.error("channel %s could not be forgotten: %s", interaction.channel_id, error)
            sentence = phrases.NOT_RESET
        try:
            await _answer(interaction, sentence)
        except _FAILED as error:
            log.warning("/reset in channel %s could not be answered: %s", interaction.channel_id, error)
            channel = client.get_partial_messageable(interaction.channel_id or 0)
            with suppress(*_FAILED):
                await channel.send(sentence, silent=True, suppress_embeds=True)

    @commands.command(description="Stop my replies to you here; moderators stop all of them.")
    async def stop(interaction: discord.Interaction) -> None:
        count = replies.stop(interaction)
        sentence = phrases.stopped(count) if count else phrases.NOTHING_TO_STOP
        try:
            await interaction.response.send_message(sentence, ephemeral=True)
        except _FAILED as error:
            log.warning("/stop in channel %s could not be answered: %s", interaction.channel_id, error)

    return commands


async def _answer(interaction: discord.Interaction, sentence: str) -> None:
    if interaction.response.is_done():
        await interaction.edit_original_response(content=sentence)
    else:
        await interaction.response.send_message(sentence, silent=True, suppress_embeds=True)


async def keep_in_step(commands: app_commands.CommandTree[discord.Client]) -> None:
    """Register the commands where Discord has others; try for as long as Discord cannot be asked."""
    for wait in chain((5.0, 30.0), repeat(300.0)):
        try:
            await sync(commands)
        except (discord.DiscordServerError, discord.RateLimited, *_FAILED[1:]) as error:
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
    return _essence({**command.to_dict(), **payload})


def _wanted(payload: dict[str, Any]) -> Any:
    # discord.py 2.7 reads these two lists of numbers shifted by one, so that a 0 cannot be told from nothing.
    shifted = {key: [n - 1 for n in payload.get(key) or () if n > 0] for key in ("contexts", "integration_types")}
    return _essence({**payload, **shifted})


def _essence(payload: Any) -> Any:
    """What a command's description says, without ids and without defaults that one side spells out."""
    if isinstance(payload, dict):
        ids = ("id", "application_id", "version", "guild_id", "dm_permission", "default_permission")
        kept = {key: _essence(value) for key, value in payload.items() if key not in ids}
        return {key: value for key, value in sorted(kept.items()) if value not in (None, False, [], {})}
    if isinstance(payload, list):
        return [_essence(value) for value in payload]
    return payload

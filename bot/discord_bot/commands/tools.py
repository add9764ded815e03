"""What the commands work with, and how they answer."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

import aiohttp
import discord
from discord import app_commands

from bot.conversation import Conversations
from bot.discord_bot.gate import Gate
from bot.discord_bot.options import Options
from bot.discord_bot.replies import Replies
from bot.store import SQLiteStore

log = logging.getLogger(__name__)

Tree = app_commands.CommandTree[discord.Client]
T = TypeVar("T")

FAILED = (discord.HTTPException, aiohttp.ClientError, OSError, TimeoutError)
ANSWER_WITHIN = 1.5
"""Seconds until an answer is put off; Discord allows 3, the way there and back included."""


@dataclass(frozen=True, slots=True)
class Tools:
    """The parts of one bot that commands act on."""

    client: discord.Client
    conversations: Conversations
    store: SQLiteStore
    replies: Replies
    gate: Gate
    options: Options


async def in_time(interaction: discord.Interaction, work: Coroutine[Any, Any, T], *, ephemeral: bool = True) -> T:
    """The work's result. Where it takes long, Discord shows meanwhile that an answer will come."""
    working = asyncio.create_task(work)
    await asyncio.wait([working], timeout=ANSWER_WITHIN)
    if not working.done():
        with suppress(*FAILED):
            await interaction.response.defer(thinking=True, ephemeral=ephemeral)
    return await working


async def answer(interaction: discord.Interaction, sentence: str, *, ephemeral: bool = True, **more: Any) -> bool:
    """Answer, whether or not the answer was put off; `more` is what `send_message` takes. False: Discord took none."""
    try:
        if interaction.response.is_done():
            await interaction.edit_original_response(content=sentence, **more)
        else:
            await interaction.response.send_message(
                sentence, ephemeral=ephemeral, silent=not ephemeral, suppress_embeds=True, **more
            )
    except FAILED as error:
        name = interaction.command.qualified_name if interaction.command else "an interaction"
        log.warning("%s in channel %s could not be answered: %s", name, interaction.channel_id, error)
        return False
    return True

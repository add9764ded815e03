"""What the commands work with, and how they answer."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

import discord
from discord import app_commands

from bot.conversation import Conversations
from bot.discord_bot.gate import Gate
from bot.discord_bot.messages import FAILED
from bot.discord_bot.options import Options
from bot.discord_bot.prompts import conversation_key
from bot.discord_bot.replies import Replies
from bot.errors import StoreError
from bot.phrases import behaviour as words
from bot.store import SQLiteStore

log = logging.getLogger(__name__)

Tree = app_commands.CommandTree[discord.Client]
T = TypeVar("T")

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


@dataclass(frozen=True, slots=True)
class Place:
    """Where something is used: the keys of its conversation and, in a thread, of the channel's."""

    conversation: str
    parent: str | None
    guild_id: int | None
    person_id: int | None
    """Whose DM it is."""

    @property
    def word(self) -> str:
        """What the place is called."""
        if self.guild_id is None:
            return words.DIRECT
        return words.CHANNEL if self.parent is None else words.THREAD


def place(interaction: discord.Interaction) -> Place:
    """The place of an interaction."""
    channel = interaction.channel
    parent = conversation_key(channel.parent_id) if isinstance(channel, discord.Thread) else None
    whose = interaction.user.id if interaction.guild_id is None else None
    return Place(conversation_key(interaction.channel_id or 0), parent, interaction.guild_id, whose)


def answering(chosen: str | None, offered: Sequence[str]) -> str:
    """The model that answers where this one was chosen."""
    return offered[0] if chosen is None or chosen not in offered else chosen


async def in_time(interaction: discord.Interaction, work: Coroutine[Any, Any, T]) -> T:
    """The work's result. Where it takes long, Discord shows meanwhile, in private, that an answer will come.

    For what a message's button or form asks, it shows that message as it is.
    """
    working = asyncio.create_task(work)
    await asyncio.wait([working], timeout=ANSWER_WITHIN)
    if not working.done() and not interaction.response.is_done():
        with suppress(*FAILED):
            await interaction.response.defer(thinking=interaction.message is None, ephemeral=True)
    return await working


async def attempt(
    interaction: discord.Interaction, work: Coroutine[Any, Any, T], *, failed: str, doing: str
) -> T | None:
    """The work's result, in time. None: the store failed at it (`doing`, for the log), and `failed` has been said."""
    try:
        return await in_time(interaction, work)
    except StoreError as error:
        log.error("%s in channel %s failed: %s", doing, interaction.channel_id, error)
        await answer(interaction, failed)
        return None


async def answer(interaction: discord.Interaction, sentence: str, **more: Any) -> bool:
    """Answer in private, whether or not that was put off; `more` is what `send_message` takes.

    False: Discord took none.
    """
    response = interaction.response
    try:
        if not response.is_done():
            await response.send_message(sentence, ephemeral=True, suppress_embeds=True, **more)
        elif response.type is discord.InteractionResponseType.deferred_channel_message:
            await interaction.edit_original_response(content=sentence, **more)
        else:
            await interaction.followup.send(sentence, ephemeral=True, suppress_embeds=True, **more)
    except FAILED as error:
        _not_answered(interaction, error)
        return False
    return True


async def update(interaction: discord.Interaction, sentence: str) -> None:
    """Put a sentence in the place of the message whose button or form this is, and of what can be pressed there."""
    try:
        if interaction.response.is_done():
            await interaction.edit_original_response(content=sentence, view=None)
        else:
            await interaction.response.edit_message(content=sentence, view=None)
    except FAILED as error:
        _not_answered(interaction, error)


async def announce(interaction: discord.Interaction, sentence: str) -> None:
    """Answer for everybody to see: as an answer or, where that was put off, which is private, in the channel."""
    if not interaction.response.is_done():
        try:
            await interaction.response.send_message(sentence, silent=True, suppress_embeds=True)
        except FAILED as error:
            _not_answered(interaction, error)
        else:
            return
    if not await say(interaction, sentence):
        await answer(interaction, sentence)
    elif interaction.response.is_done():
        with suppress(*FAILED):
            await interaction.delete_original_response()


async def say(interaction: discord.Interaction, sentence: str) -> bool:
    """Say something in the channel. False: Discord did not take it."""
    channel = interaction.client.get_partial_messageable(interaction.channel_id or 0)
    try:
        await channel.send(sentence, silent=True, suppress_embeds=True)
    except FAILED as error:
        log.warning("channel %s could not be told of a change: %s", interaction.channel_id, error)
        return False
    return True


def _not_answered(interaction: discord.Interaction, error: Exception) -> None:
    name = interaction.command.qualified_name if interaction.command else "an interaction"
    log.warning("%s in channel %s could not be answered: %s", name, interaction.channel_id, error)

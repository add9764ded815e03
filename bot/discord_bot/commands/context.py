"""What the commands work with."""

from __future__ import annotations

from dataclasses import dataclass

import discord
from discord import app_commands

from bot.core.service import ConversationService
from bot.core.turns import Conversation
from bot.discord_bot.access.policy import Policy
from bot.discord_bot.delivery.replies import Replies
from bot.discord_bot.ids import conversation_in
from bot.discord_bot.interactions.responses import Forms
from bot.discord_bot.options import Options
from bot.store import Store
from bot.texts import persona as words

Tree = app_commands.CommandTree[discord.Client]


@dataclass(frozen=True, slots=True)
class BotContext:
    """The parts of one bot that commands act on."""

    client: discord.Client
    conversations: ConversationService
    store: Store
    replies: Replies
    gate: Policy
    forms: Forms
    options: Options


@dataclass(frozen=True, slots=True)
class Place:
    """Where something is used: its conversation and, in a thread, the channel's."""

    conversation: Conversation
    parent: Conversation | None
    guild_id: int | None
    person_id: int | None
    """Whose DM it is."""

    @property
    def label(self) -> str:
        """What the place is called."""
        if self.guild_id is None:
            return words.DIRECT
        return words.CHANNEL if self.parent is None else words.THREAD


def place(interaction: discord.Interaction) -> Place:
    """The place of an interaction."""
    channel = interaction.channel
    parent = conversation_in(channel.parent_id) if isinstance(channel, discord.Thread) else None
    whose = interaction.user.id if interaction.guild_id is None else None
    return Place(conversation_in(interaction.channel_id or 0), parent, interaction.guild_id, whose)

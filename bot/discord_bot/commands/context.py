"""What the commands share: the parts of the bot that they act on, and the place that a command is used in."""

from __future__ import annotations

from dataclasses import dataclass

import discord
from discord import app_commands

from bot.core.service import ConversationService
from bot.core.turns import Conversation
from bot.discord_bot.access.policy import Policy
from bot.discord_bot.channels import conversation_in
from bot.discord_bot.delivery.replies import Replies
from bot.discord_bot.interactions.responses import Forms
from bot.discord_bot.options import Options
from bot.store import Store
from bot.texts import channel_settings as words

Tree = app_commands.CommandTree[discord.Client]


@dataclass(frozen=True, slots=True)
class BotContext:
    """The parts of one bot that commands act on."""

    client: discord.Client
    conversations: ConversationService
    store: Store
    replies: Replies
    policy: Policy
    forms: Forms
    options: Options


@dataclass(frozen=True, slots=True)
class Place:
    """The channel, thread or DM that a command is used in."""

    conversation: Conversation
    parent: Conversation | None
    """The channel's conversation, for a thread."""
    guild_id: int | None
    user_id: int | None
    """The user whose DM it is."""

    @property
    def label(self) -> str:
        """What sentences call the place."""
        if self.guild_id is None:
            return words.DIRECT
        return words.CHANNEL if self.parent is None else words.THREAD


def place(interaction: discord.Interaction) -> Place:
    """The place of an interaction."""
    channel = interaction.channel
    parent = conversation_in(channel.parent_id) if isinstance(channel, discord.Thread) else None
    user_id = interaction.user.id if interaction.guild_id is None else None
    return Place(conversation_in(interaction.channel_id or 0), parent, interaction.guild_id, user_id)

"""Between Discord's ids and the core's conversations and prompts; whether a channel is a DM, and what a user may do."""

from __future__ import annotations

import discord

from bot.core.turns import Conversation, Prompt, Turn

PLATFORM = "discord"


def conversation_in(channel_id: int) -> Conversation:
    """The conversation of a channel, thread or DM."""
    return Conversation(PLATFORM, str(channel_id))


def channel_of(conversation: Conversation) -> int:
    """The id of the channel, thread or DM of a conversation."""
    return int(conversation.channel)


def message_of(prompt: Prompt | Turn) -> int:
    """The id of the message with a prompt. Every prompt on Discord has one."""
    if prompt.message_id is None:
        raise ValueError("this prompt did not come from Discord")
    return prompt.message_id


def is_private(message: discord.Message) -> bool:
    """Whether a message came in a DM.

    `message.guild` does not tell: it is also None for a guild that discord.py does not know yet.
    """
    return isinstance(message.channel, discord.DMChannel)


def moderates(interaction: discord.Interaction) -> bool:
    """Whether a user may decide over other users' replies in the channel of an interaction."""
    return interaction.guild_id is not None and interaction.permissions.manage_messages


def reads_history(interaction: discord.Interaction) -> bool:
    """Whether a user may read what was written before in the channel of an interaction."""
    return interaction.guild_id is None or interaction.permissions.read_message_history

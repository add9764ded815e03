"""Between Discord's ids and the core's conversations and prompts; whether a channel is a DM, and what a user may do."""

from __future__ import annotations

import discord

from bot.core.turns import Conversation, Prompt, Turn

PLATFORM = "discord"


def conversation_in(channel_id: int) -> Conversation:
    """The conversation of a channel, thread or DM."""
    return Conversation(PLATFORM, str(channel_id))


def private_conversation(channel_id: int, user_id: int) -> Conversation:
    """What a user asks in a channel, thread or DM for nobody else to see."""
    return Conversation(PLATFORM, f"{channel_id}:{user_id}")


def is_for_one(conversation: Conversation) -> bool:
    """Whether only one user of a channel sees a conversation."""
    return ":" in conversation.channel


def channel_of(conversation: Conversation) -> int:
    """The id of the channel, thread or DM that a conversation is in."""
    return int(conversation.channel.partition(":")[0])


def asked_in(prompt: Prompt | Turn) -> int:
    """The id of the channel, thread or DM with the message of a prompt, which may be answered in a thread on it."""
    return channel_of(prompt.asked_in or prompt.conversation)


def message_of(prompt: Prompt | Turn) -> int:
    """The id of the message with a prompt, or of what else asked. Every prompt on Discord has one."""
    if prompt.message_id is None:
        raise ValueError("this prompt did not come from Discord")
    return prompt.message_id


def anchor_of(prompt: Prompt | Turn) -> int:
    """The id of the message that the reply to a prompt hangs on: what the prompt is about, or that with the prompt."""
    return message_of(prompt) if prompt.target_id is None else prompt.target_id


def asked_by_command(prompt: Prompt | Turn) -> bool:
    """Whether a prompt was asked with /ask for everybody to see: the answer to it is what it hangs on."""
    return prompt.target_id is not None and prompt.target_id == prompt.message_id


def is_private(message: discord.Message) -> bool:
    """Whether a message came in a DM.

    `message.guild` does not tell: it is also None for a guild that discord.py does not know yet.
    """
    return isinstance(message.channel, discord.DMChannel)


def manages_guild(user: discord.abc.User) -> bool:
    """Whether a user may manage the guild that they write in. No if a fetched message does not tell."""
    return isinstance(user, discord.Member) and user.guild_permissions.manage_guild


def may_write(interaction: discord.Interaction, may: discord.Permissions) -> bool:
    """Whether somebody with these permissions may post a message in the channel of an interaction."""
    channel = interaction.channel
    if interaction.guild_id is None:
        return True
    if not isinstance(channel, discord.Thread):
        return may.view_channel and may.send_messages
    # A message opens an archived thread again, but for one that is locked.
    is_open = may.manage_threads or not (channel.archived and channel.locked)
    return may.view_channel and may.send_messages_in_threads and is_open


def moderates(interaction: discord.Interaction) -> bool:
    """Whether a user may decide over other users' replies in the channel of an interaction."""
    return interaction.guild_id is not None and interaction.permissions.manage_messages


def reads_history(interaction: discord.Interaction) -> bool:
    """Whether a user may read what was written before in the channel of an interaction."""
    return interaction.guild_id is None or interaction.permissions.read_message_history


def settings_of(channel: object) -> int | None:
    """The id of the channel whose settings hold in a channel or thread of a guild."""
    if isinstance(channel, discord.Thread):
        return channel.parent_id
    return channel.id if isinstance(channel, discord.abc.GuildChannel) else None

"""Between Discord's ids and the core's conversations and prompts."""

from __future__ import annotations

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

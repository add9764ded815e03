"""Reads Discord's messages: whether a message is meant for the bot, and its text as users see it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

import discord

from bot.core.prompt_text import as_typed, mention, platform_note, speaker
from bot.core.turns import Prompt, Quote
from bot.discord_bot.channels import conversation_in, is_private, reads_history
from bot.discord_bot.inbound import content, pictures
from bot.discord_bot.inbound.pointing import only_points

_OWN_QUOTE = 500
"""Characters quoted of a message of the bot: enough to recognize it, as the conversation holds all of it."""
_WITHHELD = platform_note("They are replying to a message that Discord does not let you see.")
_GONE = platform_note("They are replying to a message that is gone.")


class Addressing(Enum):
    """Whether a message is meant for the bot."""

    NO = auto()
    YES = auto()
    UNREADABLE = auto()
    """The message is meant for the bot, but Discord withholds its text.

    Without the message content intent, the bot gets the text of DMs and of messages that mention it. See
    https://discord.com/developers/docs/events/gateway#message-content-intent.
    """


@dataclass(frozen=True, slots=True)
class Reading:
    """What a message that is meant for the bot says."""

    prompt: Prompt | None
    """The prompt, or None if the message says nothing, or nothing without a quote that Discord withholds."""
    quote_withheld: bool
    """Whether Discord withholds the text of the quoted message."""


def address(message: discord.Message, me: discord.ClientUser) -> Addressing:
    """Whether a message is meant for the bot: every DM, a mention of it, and a readable mention of its role.

    A reply to the bot mentions it unless its author has turned the ping off.
    """
    if not is_said(message):
        return Addressing.NO
    if is_private(message) or any(user.id == me.id for user in message.mentions):
        return Addressing.YES
    role = None if message.guild is None else message.guild.self_role
    through_role = role is not None and role in message.role_mentions
    quoted = content.quoted(message)
    if not through_role and (quoted is None or quoted.author.id != me.id):
        return Addressing.NO
    if message.content or message.attachments:
        return Addressing.YES if through_role else Addressing.NO
    return Addressing.UNREADABLE


def is_said(message: discord.Message) -> bool:
    """Whether a person said something with a message: it is no bot's, no webhook's and none of Discord's own."""
    return content.by_person(message) and message.type in (discord.MessageType.default, discord.MessageType.reply)


def read(message: discord.Message, me: discord.ClientUser) -> Reading:
    """The text of a message as users see it: names instead of ids, the quoted message, what is attached."""
    said = content.text(message, me)
    quote, withheld = _quote(message, me)
    lines = [line for line in (said, *content.extras(message, me)) if line]
    if (not lines and quote is None) or (withheld and lines in ([], [said]) and only_points(said)):
        return Reading(None, withheld)
    text = "\n".join([quote, "", *lines] if quote else lines).strip()
    quoted = None if withheld else content.quoted(message)
    names = content.users(message) | ({} if quoted is None else content.users(quoted))
    prompt = Prompt(
        conversation=conversation_in(message.channel.id),
        position=message.id,
        message_id=message.id,
        text=text,
        user_id=message.author.id,
        author_name=None if is_private(message) else speaker(message.author.display_name, message.author.name),
        guild_id=None if message.guild is None else message.guild.id,
        # A thread that was opened on a message has the id of that message. No other channel has the id of a message.
        origin_message_id=message.channel.id,
        parent=conversation_in(message.channel.parent_id) if isinstance(message.channel, discord.Thread) else None,
        names={user_id: name for user_id, name in names.items() if mention(user_id) in text},
        quote=None if quote is None or quoted is None else _source(quoted, me, min(len(quote), len(text))),
        pictures=pictures.references(message, quoted, me, text),
    )
    return Reading(prompt, withheld)


def read_about(
    interaction: discord.Interaction, target: discord.Message, question: str, me: discord.ClientUser
) -> Prompt | None:
    """The question of an interaction about a message, as a prompt that quotes it. None: the message says nothing."""
    quote = _quoting(target, me)
    if quote is None:
        return None
    text = "\n\n".join(filter(None, (quote, as_typed(question).strip())))
    user, channel, private = interaction.user, interaction.channel, interaction.guild_id is None
    return Prompt(
        conversation=conversation_in(target.channel.id),
        position=interaction.id,
        message_id=interaction.id,
        target_id=target.id,
        text=text,
        user_id=user.id,
        author_name=None if private else speaker(user.display_name, user.name),
        guild_id=interaction.guild_id,
        origin_message_id=target.channel.id,
        parent=conversation_in(channel.parent_id) if isinstance(channel, discord.Thread) else None,
        names={user_id: name for user_id, name in content.users(target).items() if mention(user_id) in text},
        quote=_source(target, me, len(quote)),
        reads_history=reads_history(interaction),
        pictures=pictures.references_in_target(target, me, text),
    )


def attachments(message: discord.Message, me: discord.ClientUser) -> dict[int, discord.Attachment]:
    """The files that a message shows, by id: its own, those of the message that it quotes, and forwarded ones."""
    quoted = content.quoted(message)
    shown: list[discord.Message | discord.MessageSnapshot] = [message, *message.message_snapshots]
    if quoted is not None and quoted.author.id != me.id:
        shown += [quoted, *quoted.message_snapshots]
    return {attachment.id: attachment for each in shown for attachment in each.attachments}


def _source(quoted: discord.Message, me: discord.ClientUser, length: int) -> Quote:
    """The source of a quote: its author, or the message itself if it is the bot's, which the store maps to a turn."""
    own = quoted.author.id == me.id
    return Quote(quoted.id if own else quoted.author.id, length, own=own)


def _quote(message: discord.Message, me: discord.ClientUser) -> tuple[str | None, bool]:
    """The lines that quote a message, if it is a reply, and whether Discord withholds the quoted text."""
    if message.type is not discord.MessageType.reply:
        return None, False
    quoted = content.quoted(message)
    if quoted is None:
        return _GONE, False
    if (quote := _quoting(quoted, me)) is not None:
        return quote, False
    return (None, False) if quoted.author.id == me.id else (_WITHHELD, True)


def _quoting(quoted: discord.Message, me: discord.ClientUser) -> str | None:
    """The lines that quote a message. None: it says nothing."""
    own = quoted.author.id == me.id
    text = "\n".join(filter(None, (content.text(quoted, me), *content.extras(quoted, me))))
    if not text:
        return None
    if own:
        text = content.bounded(text, _OWN_QUOTE)
    whom = "you" if own else speaker(quoted.author.display_name, quoted.author.name)
    return "\n".join([platform_note(f"In reply to {whom}:"), *(f"> {line}" for line in text.splitlines())])

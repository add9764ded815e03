"""Discord's JSON for messages, as a bot receives them: without Message Content, not all parts of each."""

from __future__ import annotations

from dataclasses import dataclass

from bot.standin import payloads
from bot.standin.entities import Attachment, Json, Message, Poll, User
from bot.standin.parts import picture_size


@dataclass(frozen=True, slots=True)
class Viewer:
    """The bot, as the reader of a message."""

    bot: User
    reads_everything: bool
    """Whether the bot has the Message Content intent."""
    role_mention_suffices: bool = False
    """Whether a mention of the bot's managed role reveals the content. Discord does not document this."""

    def sees(self, message: Message) -> bool:
        """Tell whether the bot receives the content. The bot's own messages, DMs and mentions need no intent."""
        return (
            self.reads_everything
            or message.author is self.bot
            or message.channel.guild is None
            or self.bot in message.mentions
            or (self.role_mention_suffices and any(r.managed_by == self.bot.id for r in message.mention_roles))
        )


def attachment(it: Attachment) -> Json:
    body: Json = {"id": str(it.id), "filename": it.filename, "size": it.size, "url": it.url, "proxy_url": it.url}
    if it.content_type is not None:
        body["content_type"] = it.content_type
    if it.description is not None:
        body["description"] = it.description
    if (size := picture_size(it.data)) is not None:
        body["width"], body["height"] = size
    if it.duration_secs is not None:
        body |= {"duration_secs": it.duration_secs, "waveform": it.waveform}
    return body


def message(it: Message, viewer: Viewer) -> Json:
    """Build a message's JSON for REST, with the message that it replies to."""
    body = _message(it, viewer)
    if it.type in (19, 21, 23):
        quoted = it.reply_to
        body["referenced_message"] = _message(quoted, viewer) if quoted and not quoted.deleted else None
    return body


def message_event(it: Message, viewer: Viewer) -> Json:
    """Build a message's JSON for the gateway. In a server it includes the memberships of author and mentioned users."""
    body = message(it, viewer)
    home = it.channel.guild
    if home is None:
        return body
    body["guild_id"] = str(home.id)
    if it.webhook_id is None and (author := home.members.get(it.author.id)):
        body["member"] = payloads.member(author, with_user=False)
    for mentioned in body["mentions"]:
        if known := home.members.get(int(mentioned["id"])):
            mentioned["member"] = payloads.member(known, with_user=False)
    return body


def _message(it: Message, viewer: Viewer) -> Json:
    visible = viewer.sees(it)
    body: Json = {
        "id": str(it.id),
        "channel_id": str(it.channel.id),
        "type": int(it.type),
        "author": payloads.user(it.author),
        "content": it.content if visible else "",
        "timestamp": payloads.moment(it.created_at),
        "edited_timestamp": None if it.edited_at is None else payloads.moment(it.edited_at),
        "tts": False,
        "mention_everyone": it.mention_everyone,
        "mentions": [payloads.user(each) for each in it.mentions],
        "mention_roles": [str(each.id) for each in it.mention_roles],
        "attachments": [attachment(each) for each in it.attachments] if visible else [],
        "embeds": it.embeds if visible and not it.embeds_suppressed else [],
        "components": it.components if visible else [],
        "pinned": False,
        "flags": int(it.flags),
    }
    if it.stickers:
        body["sticker_items"] = _stickers(it)
    if it.poll is not None and visible:
        body["poll"] = _poll(it.poll, it)
    if it.nonce is not None and it.author is viewer.bot:
        body["nonce"] = it.nonce
    if it.author is viewer.bot:
        body["application_id"] = str(viewer.bot.id)
    if it.webhook_id is not None:
        body["webhook_id"] = str(it.webhook_id)
    if it.interaction is not None:
        body["interaction_metadata"] = it.interaction
    if it.reactions:
        body["reactions"] = [_reaction(key, users, viewer.bot) for key, users in it.reactions.items()]
    if it.reply_to is not None:
        body["message_reference"] = _reference(it.reply_to)
    if it.forwarded is not None:
        body["message_reference"] = _reference(it.forwarded.source) | {"type": 1}
        hidden: Json = {} if visible else {"content": "", "attachments": [], "embeds": [], "components": []}
        body["message_snapshots"] = [{"message": it.forwarded.snapshot | hidden}]
    if it.thread is not None:
        body["thread"] = payloads.channel(it.thread)
    return body


def snapshot(it: Message) -> Json:
    """Build the part of a message that a forward shows. The author and the poll are left out."""
    body: Json = {
        "type": int(it.type),
        "content": it.content,
        "mentions": [payloads.user(each) for each in it.mentions],
        "mention_roles": [str(each.id) for each in it.mention_roles],
        "attachments": [attachment(each) for each in it.attachments],
        "embeds": [] if it.embeds_suppressed else list(it.embeds),
        "timestamp": payloads.moment(it.created_at),
        "edited_timestamp": None if it.edited_at is None else payloads.moment(it.edited_at),
        "flags": int(it.flags),
        "components": list(it.components),
    }
    if it.stickers:
        body["sticker_items"] = _stickers(it)
    return body


def _stickers(it: Message) -> list[Json]:
    return [
        {"id": str(it.id + at), "name": sticker.name, "format_type": sticker.format_type}
        for at, sticker in enumerate(it.stickers)
    ]


def _poll(poll: Poll, on: Message) -> Json:
    return {
        "question": {"text": poll.question},
        "answers": [{"answer_id": at, "poll_media": {"text": text}} for at, text in enumerate(poll.answers, 1)],
        "expiry": payloads.moment(on.created_at + 24 * 3600),
        "allow_multiselect": poll.several,
        "layout_type": 1,
        "results": {"answer_counts": [], "is_finalized": False},
    }


def _reference(quoted: Message) -> Json:
    body: Json = {"type": 0, "channel_id": str(quoted.channel.id), "message_id": str(quoted.id)}
    if quoted.channel.guild is not None:
        body["guild_id"] = str(quoted.channel.guild.id)
    return body


def _reaction(key: str, users: list[User], bot: User) -> Json:
    return {
        "emoji": payloads.partial_emoji(key),
        "count": len(users),
        "count_details": {"burst": 0, "normal": len(users)},
        "burst_colors": [],
        "me_burst": False,
        "me": bot in users,
    }

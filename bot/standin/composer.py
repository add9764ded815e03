"""Turns request bodies into messages that the bot sends or edits, in channels and through interactions."""

from __future__ import annotations

from typing import Any

from bot.standin import mentions, rules
from bot.standin.cdn import Cdn
from bot.standin.entities import (
    Attachment,
    Channel,
    ChannelType,
    Json,
    Message,
    MessageFlag,
    MessageType,
    Permission,
)
from bot.standin.errors import (
    ApiError,
    archived_thread,
    invalid_form,
    locked_thread,
    missing_access,
    missing_permissions,
    unknown,
    wrong_channel_type,
)
from bot.standin.world import World

_REPLIABLE = {MessageType.DEFAULT, MessageType.REPLY, MessageType.SLASH_COMMAND, MessageType.CONTEXT_MENU}


class Composer:
    """Checks message bodies and applies them to the world. Discord's own value for `max_content` is 2,000."""

    def __init__(self, world: World, cdn: Cdn) -> None:
        self._world = world
        self._cdn = cdn

    # Permissions

    def visible_channel(self, channel_id: int) -> Channel:
        channel = self._world.channels.get(channel_id)
        if channel is None:
            raise unknown("Channel")
        if not self._world.bot_sees(channel):
            raise missing_access()
        return channel

    def require(self, channel: Channel, permission: Permission) -> None:
        if permission not in self._world.permissions(self._world.bot, channel):
            raise missing_permissions()

    def require_sending(self, channel: Channel) -> None:
        """Raise an error if the bot cannot send to this channel. An archived thread that is not locked is allowed.

        A locked thread takes messages only of who manages threads.
        """
        if channel.type in (ChannelType.FORUM, ChannelType.CATEGORY):
            raise wrong_channel_type()
        if channel.recipient is not None and channel.recipient.closed_dms:
            raise ApiError(403, 50007, "Cannot send messages to this user")
        self.require(channel, Permission.SEND_MESSAGES_IN_THREADS if channel.is_thread else Permission.SEND_MESSAGES)
        if channel.locked and Permission.MANAGE_THREADS not in self._world.permissions(self._world.bot, channel):
            raise archived_thread() if channel.archived else locked_thread()

    def message(self, channel: Channel, message_id: int) -> Message:
        message = channel.messages.get(message_id)
        if message is None:
            raise unknown("Message")
        return message

    # Sending and editing

    def create(
        self,
        channel: Channel,
        body: Json,
        files: list[Attachment],
        *,
        type: int = MessageType.DEFAULT,  # noqa: A002  Discord's name of the field
        extra_flags: MessageFlag = MessageFlag.NONE,
        webhook_id: int | None = None,
        interaction: Json | None = None,
        reply_to: Message | None = None,
        message_id: int | None = None,
    ) -> Message:
        """Post the message that the body describes. An ephemeral message does not appear in the channel."""
        flags = MessageFlag(body.get("flags") or 0) & rules.SETTABLE | extra_flags
        rules.check_message(body, files, flags=flags, max_content=rules.MAX_CONTENT)
        mentions.check(body.get("allowed_mentions"))
        content = body.get("content") or ""
        if MessageFlag.LOADING not in flags:
            rules.check_not_empty(content, body.get("embeds"), body.get("components"), files)
        world = self._world
        return world.post(
            channel,
            world.bot,
            content.strip(),
            mentions=self._mentions(channel, content, body, reply_to),
            type=MessageType.REPLY if reply_to and type == MessageType.DEFAULT else type,
            flags=flags,
            reply_to=reply_to,
            embeds=_rich(body.get("embeds")),
            components=rules.numbered(body.get("components") or []),
            attachments=[self._cdn.store(file, channel) for file in files],
            nonce=body.get("nonce"),
            webhook_id=webhook_id,
            interaction=interaction,
            message_id=message_id,
            told=MessageFlag.EPHEMERAL not in flags,
        )

    def reply_target(self, channel: Channel, reference: Json | None) -> Message | None:
        """Return the message that `message_reference` in a body replies to."""
        if reference is None:
            return None
        self._require_history_to_reply(channel)
        target = channel.messages.get(int(reference["message_id"]))
        if target is None:
            if reference.get("fail_if_not_exists", True):
                raise _bad_reference("REPLIES_UNKNOWN_MESSAGE", "Unknown message")
            return None
        if target.type not in _REPLIABLE:
            raise _bad_reference("REPLIES_CANNOT_REPLY_TO_SYSTEM_MESSAGE", "Cannot reply to a system message")
        return target

    def edit(self, message: Message, body: Json, files: list[Attachment]) -> None:
        """Change the parts of the message that the body names. Other parts stay as they are."""
        wanted = body.get("flags")
        flags = message.flags if wanted is None else _edited_flags(message.flags, MessageFlag(wanted))
        flags &= ~MessageFlag.LOADING
        rules.check_message(body, files, flags=flags, max_content=rules.MAX_CONTENT)
        mentions.check(body.get("allowed_mentions"))
        content: str | None = (body["content"] or "") if "content" in body else None
        embeds = _rich(body["embeds"]) if "embeds" in body else None
        components = rules.numbered(body["components"] or []) if "components" in body else None
        attachments = self._edited_attachments(message, body, files)
        rules.check_not_empty(
            message.content if content is None else content,
            message.embeds if embeds is None else embeds,
            message.components if components is None else components,
            message.attachments if attachments is None else attachments,
        )
        found = None if content is None else self._mentions(message.channel, content, body, message.reply_to)
        self._world.edit(
            message,
            content=None if content is None else content.strip(),
            mentions=found,
            flags=flags,
            embeds=embeds,
            components=components,
            attachments=attachments,
            # The placeholder of a deferred answer is not a message text, so its first edit leaves no edited mark.
            stamped=not message.loading,
        )

    def _require_history_to_reply(self, channel: Channel) -> None:
        if Permission.READ_MESSAGE_HISTORY not in self._world.permissions(self._world.bot, channel):
            raise ApiError(400, 160002, "Cannot reply without permission to read message history")

    def _mentions(self, channel: Channel, content: str, body: Json, reply_to: Message | None) -> mentions.Mentions:
        return mentions.find(
            content,
            channel,
            known=self._world.users,
            allowed=body.get("allowed_mentions"),
            permissions=self._world.permissions(self._world.bot, channel),
            replied=reply_to.author if reply_to else None,
        )

    def _edited_attachments(self, message: Message, body: Json, files: list[Attachment]) -> list[Attachment] | None:
        """Return the message's attachments after an edit, or None if the edit does not concern them.

        Attachments in the body's list are kept, or all of them if the body has no list. New uploads follow.
        """
        if "attachments" not in body and not files:
            return None
        kept = message.attachments
        if (named := body.get("attachments")) is not None:
            ids = {str(each["id"]) for each in named}
            kept = [each for each in kept if str(each.id) in ids]
        return kept + [self._cdn.store(file, message.channel) for file in files]


def _rich(embeds: list[Json] | None) -> list[Json]:
    return [{"type": "rich", **embed} for embed in embeds or []]


def _edited_flags(old: MessageFlag, wanted: MessageFlag) -> MessageFlag:
    """Return the flags after an edit. Only SUPPRESS_EMBEDS can be cleared."""
    return (old & ~MessageFlag.SUPPRESS_EMBEDS) | (wanted & rules.EDITABLE)


def _bad_reference(code: str, message: str) -> ApiError:
    problem: dict[str, Any] = {"message_reference": (code, message)}
    return invalid_form(problem)

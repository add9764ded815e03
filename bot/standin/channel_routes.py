"""REST routes for channels: messages, reactions, typing and threads.

https://discord.com/developers/docs/resources/message and .../channel
"""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime
from typing import Any

from bot.standin import message_payloads, payloads, rules
from bot.standin.composer import Composer
from bot.standin.entities import Channel, ChannelType, Json, Message, MessageFlag, Permission, snowflake_at
from bot.standin.errors import (
    ApiError,
    archived_thread,
    invalid_form,
    missing_access,
    missing_permissions,
    unknown,
    wrong_channel_type,
)
from bot.standin.limits import MESSAGE, MESSAGES
from bot.standin.rest import Endpoint, Incoming
from bot.standin.world import World

_CHANNEL = "/channels/{channel_id}"
_REACTION = MESSAGE + "/reactions/{emoji}"
_NONCE_KEPT = 300.0
_BULK_AGE = 14 * 24 * 3600.0
_CREATOR_MAY_CHANGE = {"name", "archived", "auto_archive_duration"}
_HAS_THREADS = {ChannelType.TEXT, ChannelType.NEWS, ChannelType.FORUM}


class ChannelRoutes:
    """REST handlers for channels. `reads_everything()` tells whether the application has the Message Content intent."""

    def __init__(self, world: World, composer: Composer, reads_everything: Callable[[], bool]) -> None:
        self._world = world
        self._composer = composer
        self._reads_everything = reads_everything
        self._nonces: dict[str | int, tuple[float, Message]] = {}

    def endpoints(self) -> list[Endpoint]:
        return [
            Endpoint("GET", _CHANNEL, self._get_channel),
            Endpoint("PATCH", _CHANNEL, self._patch_channel),
            Endpoint("DELETE", _CHANNEL, self._delete_channel),
            Endpoint("GET", MESSAGES, self._list),
            Endpoint("POST", MESSAGES, self._send),
            Endpoint("POST", MESSAGES + "/bulk-delete", self._bulk_delete),
            Endpoint("GET", MESSAGE, self._get),
            Endpoint("PATCH", MESSAGE, self._edit),
            Endpoint("DELETE", MESSAGE, self._delete),
            Endpoint("POST", _CHANNEL + "/typing", self._type),
            Endpoint("PUT", _REACTION + "/@me", self._react),
            Endpoint("DELETE", _REACTION + "/@me", self._unreact),
            Endpoint("DELETE", _REACTION + "/{user_id}", self._unreact_user),
            Endpoint("GET", _REACTION, self._reactors),
            Endpoint("POST", MESSAGE + "/threads", self._thread_on_message, status=201),
            Endpoint("POST", _CHANNEL + "/threads", self._thread, status=201),
            Endpoint("GET", _CHANNEL + "/threads/archived/public", self._archived),
            Endpoint("PUT", _CHANNEL + "/thread-members/@me", self._join),
            Endpoint("POST", "/users/@me/channels", self._open_dm),
        ]

    # Channels

    def _channel(self, call: Incoming) -> Channel:
        return self._composer.visible_channel(call.id("channel_id"))

    def _get_channel(self, call: Incoming) -> Json:
        return payloads.channel(self._channel(call))

    def _patch_channel(self, call: Incoming) -> Json:
        channel = self._channel(call)
        if channel.is_thread:
            self._require_changing(channel, call.body)
            if call.body.keys() & {"archived", "locked"}:
                self._world.update_thread(channel, archived=call.body.get("archived"), locked=call.body.get("locked"))
        else:
            self._composer.require(channel, Permission.MANAGE_CHANNELS)
        if "name" in call.body:
            if not 1 <= len(call.body["name"]) <= 100:
                raise invalid_form({"name": ("BASE_TYPE_BAD_LENGTH", "Must be between 1 and 100 in length.")})
            self._world.rename(channel, call.body["name"])
        return payloads.channel(channel)

    def _require_changing(self, thread: Channel, body: Json) -> None:
        """Check that the bot may change a thread so.

        Its creator may rename and archive it, and who writes there may open it again, unless it is locked.
        """
        if Permission.MANAGE_THREADS not in self._world.permissions(self._world.bot, thread):
            opens = body == {"archived": False}
            of_its_own = thread.owner is self._world.bot and body.keys() <= _CREATOR_MAY_CHANGE
            if thread.locked or not (opens or of_its_own):
                raise missing_permissions()
            if opens:
                self._composer.require(thread, Permission.SEND_MESSAGES_IN_THREADS)
        if thread.archived and body.get("archived") is not False:
            raise archived_thread()

    def _delete_channel(self, call: Incoming) -> Json:
        channel = self._channel(call)
        self._composer.require(channel, Permission.MANAGE_THREADS if channel.is_thread else Permission.MANAGE_CHANNELS)
        self._world.delete_channel(channel)
        return payloads.channel(channel)

    def _open_dm(self, call: Incoming) -> Json:
        user = self._world.users.get(int(call.body["recipient_id"]))
        if user is None:
            raise unknown("User")
        return payloads.channel(self._world.open_dm(user))

    # Messages

    def _show(self, message: Message) -> Json:
        return message_payloads.message(message, self._world.viewer(content=self._reads_everything()))

    def _message(self, call: Incoming) -> Message:
        return self._composer.message(self._channel(call), call.id("message_id"))

    def _send(self, call: Incoming) -> Json:
        channel = self._channel(call)
        self._composer.require_sending(channel)
        if call.files:
            self._composer.require(channel, Permission.ATTACH_FILES)
        body: Json = call.body or {}
        nonce = body.get("nonce")
        if body.get("enforce_nonce") and nonce is not None and (earlier := self._earlier(nonce)):
            return self._show(earlier)
        target = self._composer.reply_target(channel, body.get("message_reference"))
        message = self._composer.create(channel, body, call.files, reply_to=target)
        if nonce is not None:
            self._nonces[nonce] = (self._world.clock(), message)
        return self._show(message)

    def _earlier(self, nonce: str | int) -> Message | None:
        """Return the message that was sent with this nonce in the last five minutes."""
        oldest = self._world.clock() - _NONCE_KEPT
        while self._nonces:
            first = next(iter(self._nonces))
            if self._nonces[first][0] >= oldest:
                break
            del self._nonces[first]
        return self._nonces[nonce][1] if nonce in self._nonces else None

    def _get(self, call: Incoming) -> Json:
        if not self._may_read_history(self._channel(call)):
            raise missing_access()
        return self._show(self._message(call))

    def _list(self, call: Incoming) -> list[Json]:
        """List messages, newest first. The list is empty if the bot lacks Read Message History."""
        channel = self._channel(call)
        limit = int(call.query.get("limit", 50))
        if not 1 <= limit <= 100:
            raise invalid_form({"limit": ("NUMBER_TYPE_COERCE", f'Value "{limit}" is not between 1 and 100.')})
        if not self._may_read_history(channel):
            return []
        messages = list(channel.messages.values())
        bounds = {key: int(call.query[key]) for key in ("before", "after", "around") if key in call.query}
        if "around" in bounds:
            older = [m for m in messages if m.id < bounds["around"]]
            older = older[max(len(older) - limit // 2, 0) :]
            rest = [m for m in messages if m.id >= bounds["around"]][: limit - len(older)]
            page = older + rest
        elif "after" in bounds:
            page = [m for m in messages if m.id > bounds["after"]][:limit]
        else:
            before = bounds.get("before")
            page = [m for m in messages if before is None or m.id < before][-limit:]
        return [self._show(message) for message in reversed(page)]

    def _may_read_history(self, channel: Channel) -> bool:
        return Permission.READ_MESSAGE_HISTORY in self._world.permissions(self._world.bot, channel)

    def _edit(self, call: Incoming) -> Json:
        message = self._message(call)
        body: Json = call.body or {}
        if message.author is not self._world.bot:
            if body.keys() - {"flags"}:
                raise ApiError(403, 50005, "Cannot edit a message authored by another user")
            self._composer.require(message.channel, Permission.MANAGE_MESSAGES)
        if message.channel.archived:
            raise archived_thread()
        self._composer.edit(message, body, call.files)
        return self._show(message)

    def _delete(self, call: Incoming) -> None:
        message = self._message(call)
        if message.author is not self._world.bot:
            self._composer.require(message.channel, Permission.MANAGE_MESSAGES)
        if message.channel.archived:
            raise archived_thread()
        self._world.delete(message)

    def _bulk_delete(self, call: Incoming) -> None:
        channel = self._channel(call)
        self._composer.require(channel, Permission.MANAGE_MESSAGES)
        ids = [int(each) for each in call.body["messages"]]
        if not 2 <= len(ids) <= 100:
            raise invalid_form({"messages": ("BASE_TYPE_BAD_LENGTH", "Must be between 2 and 100 in length.")})
        if min(ids) < snowflake_at(self._world.wall() - _BULK_AGE):
            raise ApiError(400, 50034, "You can only bulk delete messages that are under 14 days old.")
        found = [channel.messages[id_] for id_ in ids if id_ in channel.messages]
        if found:
            self._world.delete(*found)

    def _type(self, call: Incoming) -> None:
        channel = self._channel(call)
        self._composer.require_sending(channel)
        self._world.type(channel, self._world.bot)

    # Reactions

    def _react(self, call: Incoming) -> None:
        message, emoji = self._message(call), rules.reaction_key(call.ids["emoji"])
        self._composer.require(message.channel, Permission.READ_MESSAGE_HISTORY)
        if emoji not in message.reactions:
            self._composer.require(message.channel, Permission.ADD_REACTIONS)
            if len(message.reactions) >= 20:
                raise ApiError(400, 30010, "Maximum number of reactions reached (20)")
        if message.channel.archived:
            raise archived_thread()
        self._world.react(message, self._world.bot, emoji)

    def _unreact(self, call: Incoming) -> None:
        self._world.unreact(self._message(call), self._world.bot, rules.reaction_key(call.ids["emoji"]))

    def _unreact_user(self, call: Incoming) -> None:
        message = self._message(call)
        self._composer.require(message.channel, Permission.MANAGE_MESSAGES)
        user = self._world.users.get(call.id("user_id"))
        if user is None:
            raise unknown("User")
        self._world.unreact(message, user, rules.reaction_key(call.ids["emoji"]))

    def _reactors(self, call: Incoming) -> list[Json]:
        reactors = self._message(call).reactions.get(rules.reaction_key(call.ids["emoji"]), [])
        return [payloads.user(each) for each in reactors]

    # Threads

    def _thread_on_message(self, call: Incoming) -> Json:
        message = self._message(call)
        self._composer.require(message.channel, Permission.CREATE_PUBLIC_THREADS)
        if MessageFlag.HAS_THREAD in message.flags:
            raise ApiError(400, 160004, "A thread has already been created for this message")
        return self._open(message.channel, call.body, message=message)

    def _thread(self, call: Incoming) -> Json:
        channel = self._channel(call)
        if channel.type is ChannelType.FORUM:
            return self._post(channel, call)
        private = call.body.get("type", ChannelType.PRIVATE_THREAD) == ChannelType.PRIVATE_THREAD
        needed = Permission.CREATE_PRIVATE_THREADS if private else Permission.CREATE_PUBLIC_THREADS
        self._composer.require(channel, needed)
        return self._open(channel, call.body, private=private)

    def _post(self, forum: Channel, call: Incoming) -> Json:
        """Open a post: a thread with its first message, which has the thread's id."""
        self._composer.require(forum, Permission.SEND_MESSAGES)
        opened = self._open(forum, call.body)
        thread = self._world.channels[int(opened["id"])]
        message = self._composer.create(thread, call.body["message"], call.files, message_id=thread.id)
        return opened | {"message": self._show(message)}

    def _open(self, parent: Channel, body: Json, **how: Any) -> Json:
        if parent.type not in _HAS_THREADS:
            raise wrong_channel_type()
        if not 1 <= len(body["name"]) <= 100:
            raise invalid_form({"name": ("BASE_TYPE_BAD_LENGTH", "Must be between 1 and 100 in length.")})
        thread = self._world.open_thread(parent, body["name"], self._world.bot, **how)
        return payloads.channel(thread) | {"member": payloads.thread_member(thread, self._world.bot)}

    def _archived(self, call: Incoming) -> Json:
        """List the archived public threads of a channel, those first that were archived last."""
        channel, limit = self._channel(call), int(call.query.get("limit", 50))
        self._composer.require(channel, Permission.READ_MESSAGE_HISTORY)
        if not 2 <= limit <= 100:
            raise invalid_form({"limit": ("NUMBER_TYPE_COERCE", f'Value "{limit}" is not between 2 and 100.')})
        before = datetime.fromisoformat(call.query["before"]).timestamp() if "before" in call.query else math.inf
        found = [
            each
            for each in self._world.channels.values()
            if each.parent is channel
            and each.archived
            and each.type is not ChannelType.PRIVATE_THREAD
            and each.archive_changed_at < before
        ]
        found.sort(key=lambda each: each.archive_changed_at, reverse=True)
        bot = self._world.bot
        return {
            "threads": [payloads.channel(each) for each in found[:limit]],
            "members": [payloads.thread_member(each, bot) for each in found[:limit] if bot.id in each.members],
            "has_more": len(found) > limit,
        }

    def _join(self, call: Incoming) -> None:
        self._world.join_thread(self._channel(call), self._world.bot)

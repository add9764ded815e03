"""Changes to the stand-in's messages, reactions, typing and threads.

Permissions are checked earlier, by `composer` and the routes. The JSON is built in `payloads` and `message_payloads`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from bot.standin import message_payloads, payloads
from bot.standin.directory import Directory
from bot.standin.entities import (
    Attachment,
    Channel,
    ChannelType,
    Forward,
    Guild,
    Intent,
    Json,
    Message,
    MessageFlag,
    MessageType,
    Permission,
    Poll,
    Shown,
    Sticker,
    Typing,
    User,
)
from bot.standin.mentions import NOBODY, Mentions

_TYPING_KEPT = 100
_MESSAGES = (Intent.GUILD_MESSAGES, Intent.DIRECT_MESSAGES)
"""The intents that message events need in servers and in DMs."""


@dataclass(frozen=True, slots=True)
class Keep:
    """Limits of a stand-in's memory. None keeps everything and suits tests, which end soon."""

    messages: int | None = None
    """The number of messages per channel. The oldest messages are dropped without an event."""
    shown: int | None = None
    """The number of earlier contents per message."""
    file_bytes: int | None = None
    """The total size of all attachments in bytes. The oldest attachments are emptied."""


KEEP_ALL = Keep()


class World(Directory):
    """The directory together with everything that happens in it."""

    def __init__(
        self, clock: Callable[[], float], wall: Callable[[], float], *, role_mention_suffices: bool, keep: Keep
    ) -> None:
        super().__init__(clock, wall, role_mention_suffices=role_mention_suffices)
        self.on_message: list[Callable[[Message], None]] = []
        """Functions that are called with each new, changed or deleted message. Ephemeral messages are included.

        A message is changed as well when the name or the number of messages of its thread is.
        """
        self._keep = keep

    # Messages

    def post(
        self,
        channel: Channel,
        author: User,
        content: str,
        *,
        mentions: Mentions = NOBODY,
        type: int = MessageType.DEFAULT,  # noqa: A002  Discord's name of the field
        flags: MessageFlag = MessageFlag.NONE,
        reply_to: Message | None = None,
        forwarded: Forward | None = None,
        poll: Poll | None = None,
        stickers: Iterable[Sticker] = (),
        embeds: list[Json] | None = None,
        components: list[Json] | None = None,
        attachments: Iterable[Attachment] = (),
        nonce: str | int | None = None,
        webhook_id: int | None = None,
        interaction: Json | None = None,
        told: bool = True,
        message_id: int | None = None,
    ) -> Message:
        """Create a message. Without `told` it stays out of the channel, as an ephemeral answer does."""
        message = Message(
            message_id or self.take_id(),
            channel,
            author,
            content,
            self.wall(),
            type,
            flags,
            nonce=nonce,
            reply_to=reply_to,
            forwarded=forwarded,
            poll=poll,
            stickers=list(stickers),
            embeds=embeds or [],
            components=components or [],
            attachments=list(attachments),
            webhook_id=webhook_id,
            interaction=interaction,
            shown=[Shown(self.clock(), content)],
        )
        self._mention(message, mentions)
        if told:
            if channel.archived:
                self.update_thread(channel, archived=False)
            channel.messages[message.id] = message
            channel.last_message_id = message.id
            channel.typing.pop(author.id, None)
            self._let_old_ones_go(channel)
            self._tell_message("MESSAGE_CREATE", message)
            self._noticed_on_card(channel)
        else:
            # Discord sends an ephemeral message to its user and the bot like a direct message, without a server:
            # https://github.com/discord/discord-api-docs/pull/4697.
            self.tell(
                "MESSAGE_CREATE",
                lambda content: message_payloads.message(message, self.viewer(content=content)),
                Intent.DIRECT_MESSAGES,
            )
        self._noticed(message)
        return message

    def edit(
        self,
        message: Message,
        *,
        content: str | None = None,
        mentions: Mentions | None = None,
        flags: MessageFlag | None = None,
        embeds: list[Json] | None = None,
        components: list[Json] | None = None,
        attachments: list[Attachment] | None = None,
        stamped: bool = True,
    ) -> None:
        """Change the given parts of a message. Without `stamped` the `edited_timestamp` stays, as in previews."""
        if content is not None:
            message.content = content
            message.shown.append(Shown(self.clock(), content))
            if self._keep.shown is not None:
                del message.shown[: -self._keep.shown]
        if mentions is not None:
            self._mention(message, mentions)
        if flags is not None:
            message.flags = flags
        if embeds is not None:
            message.embeds = embeds
        if components is not None:
            message.components = components
        if attachments is not None:
            message.attachments = attachments
        if stamped:
            message.edited_at = self.wall()
        if message.ephemeral:
            self.changed()
        else:
            self._tell_message("MESSAGE_UPDATE", message)
        self._noticed(message)

    def delete(self, *messages: Message) -> None:
        """Delete messages of one channel with a single event: MESSAGE_DELETE, or MESSAGE_DELETE_BULK for several."""
        channel = messages[0].channel
        for message in messages:
            message.deleted = True
            channel.messages.pop(message.id, None)
        ids = [str(message.id) for message in messages]
        place = _place(channel)
        if messages[0].ephemeral:
            self.changed()
        elif len(ids) == 1:
            self.tell_in(channel, "MESSAGE_DELETE", lambda _: {"id": ids[0], **place}, _MESSAGES)
        else:
            self.tell_in(channel, "MESSAGE_DELETE_BULK", lambda _: {"ids": ids, **place}, _MESSAGES)
        for message in messages:
            self._noticed(message)

    def react(self, message: Message, user: User, emoji: str) -> None:
        users = message.reactions.setdefault(emoji, [])
        if user not in users:
            users.append(user)
            self._tell_reaction("MESSAGE_REACTION_ADD", message, user, emoji)
            self._noticed(message)

    def unreact(self, message: Message, user: User, emoji: str) -> None:
        users = message.reactions.get(emoji, [])
        if user in users:
            users.remove(user)
            if not users:
                del message.reactions[emoji]
            self._tell_reaction("MESSAGE_REACTION_REMOVE", message, user, emoji)
            self._noticed(message)

    def type(self, channel: Channel, user: User) -> None:
        """Show "is typing" for ten seconds, or until the user's next message."""
        typing = channel.typing.setdefault(user.id, Typing(user, []))
        typing.times.append(self.clock())
        del typing.times[:-_TYPING_KEPT]
        now = int(self.wall())

        def build(_: bool) -> Json:
            body: Json = {"user_id": str(user.id), "timestamp": now, **_place(channel)}
            if channel.guild is not None and (member := channel.guild.members.get(user.id)):
                body["member"] = payloads.member(member)
            return body

        self.tell_in(channel, "TYPING_START", build, (Intent.GUILD_MESSAGE_TYPING, Intent.DIRECT_MESSAGE_TYPING))

    # Channels and threads

    def open_thread(
        self, parent: Channel, name: str, owner: User, *, message: Message | None = None, private: bool = False
    ) -> Channel:
        """Open a thread. A thread on a message has the message's id and starts with a system message about it."""
        kind = ChannelType.PRIVATE_THREAD if private else ChannelType.PUBLIC_THREAD
        if parent.type is ChannelType.NEWS:
            kind = ChannelType.NEWS_THREAD
        now = self.wall()
        thread = Channel(
            message.id if message else self.take_id(),
            name,
            parent.guild,
            kind,
            parent=parent,
            owner=owner,
            members={owner.id},
            created_at=now,
            archive_changed_at=now,
        )
        self.channels[thread.id] = thread
        if parent.type is ChannelType.FORUM:
            parent.last_message_id = thread.id
        self.tell_channel("THREAD_CREATE", thread, newly_created=True)
        if message is not None:
            message.thread = thread
            self.edit(message, flags=message.flags | MessageFlag.HAS_THREAD, stamped=False)
            self.post(thread, owner, "", type=MessageType.THREAD_STARTER, reply_to=message)
        elif not private and parent.type is not ChannelType.FORUM:
            self.post(parent, owner, name, type=MessageType.THREAD_CREATED)
        return thread

    def update_thread(self, thread: Channel, *, archived: bool | None = None, locked: bool | None = None) -> None:
        if archived not in (None, thread.archived):
            thread.archived = not thread.archived
            thread.archive_changed_at = self.wall()
        thread.locked = thread.locked if locked is None else locked
        self.tell_channel("THREAD_UPDATE", thread)

    def slow_down(self, channel: Channel, seconds: int) -> None:
        """Set the slow mode of a channel or thread. 0 ends it."""
        channel.slowmode = seconds
        self.tell_channel("THREAD_UPDATE" if channel.is_thread else "CHANNEL_UPDATE", channel)

    def slowed(self, user: User, channel: Channel) -> float:
        """The seconds that slow mode keeps a user from writing in a channel. Bots and some moderators do not wait."""
        if user.bot or Permission.BYPASS_SLOWMODE in self.permissions(user, channel):
            return 0.0
        latest = max((each.created_at for each in channel.messages.values() if each.author is user), default=0.0)
        return max(0.0, latest + channel.slowmode - self.wall())

    def join_thread(self, thread: Channel, user: User) -> None:
        thread.members.add(user.id)
        self.tell_channel("THREAD_CREATE" if user is self.bot else "THREAD_UPDATE", thread)

    def rename(self, channel: Channel, name: str) -> None:
        channel.name = name
        self.tell_channel("THREAD_UPDATE" if channel.is_thread else "CHANNEL_UPDATE", channel)
        self._noticed_on_card(channel)

    def delete_channel(self, channel: Channel) -> None:
        """Delete a channel and its threads. The channels of a deleted category remain."""
        for below in [each for each in self.channels.values() if channel in (each.parent, each.category)]:
            if below.is_thread:
                self.delete_channel(below)
            else:
                below.category = None
                self.tell_channel("CHANNEL_UPDATE", below)
        self.tell_channel("THREAD_DELETE" if channel.is_thread else "CHANNEL_DELETE", channel)
        del self.channels[channel.id]
        if channel.parent is not None and (opened_on := channel.parent.messages.get(channel.id)) is not None:
            opened_on.thread = None
            self.edit(opened_on, flags=opened_on.flags & ~MessageFlag.HAS_THREAD, stamped=False)

    def remove_guild(self, guild: Guild, *, unavailable: bool = False) -> None:
        """Remove the bot from a server. With `unavailable` an outage hides the server until `restore_guild`."""
        body: Json = {"id": str(guild.id)} | ({"unavailable": True} if unavailable else {})
        self.tell("GUILD_DELETE", lambda _: body, Intent.GUILDS, guild)
        if not unavailable:
            del self.guilds[guild.id]
            self.channels = {id_: c for id_, c in self.channels.items() if c.guild is not guild}

    def restore_guild(self, guild: Guild) -> None:
        """End the outage of a server."""
        available = {"unavailable": False}
        self.tell("GUILD_CREATE", lambda _: self.guild_create(guild) | available, Intent.GUILDS, guild)

    # Announcements

    def _noticed(self, message: Message) -> None:
        for listener in tuple(self.on_message):
            listener(message)

    def _noticed_on_card(self, thread: Channel) -> None:
        """Report that the card of a thread looks different, which stands under the message that it was opened on."""
        if thread.parent is not None and (opened_on := thread.parent.messages.get(thread.id)) is not None:
            self._noticed(opened_on)

    def _let_old_ones_go(self, channel: Channel) -> None:
        if self._keep.messages is None:
            return
        while len(channel.messages) > self._keep.messages:
            oldest = channel.messages.pop(next(iter(channel.messages)))
            oldest.deleted = True
            self._noticed(oldest)

    def _mention(self, message: Message, mentions: Mentions) -> None:
        message.mentions = mentions.users
        message.mention_roles = mentions.roles
        message.mention_everyone = mentions.everyone
        message.pinged |= mentions.pinged - {message.author}

    def _tell_message(self, name: str, message: Message) -> None:
        self.tell_in(
            message.channel,
            name,
            lambda content: message_payloads.message_event(message, self.viewer(content=content)),
            _MESSAGES,
        )

    def _tell_reaction(self, name: str, message: Message, user: User, emoji: str) -> None:
        def build(_: bool) -> Json:
            body: Json = {
                "user_id": str(user.id),
                "message_id": str(message.id),
                "message_author_id": str(message.author.id),
                "emoji": payloads.partial_emoji(emoji),
                "burst": False,
                "type": 0,
                **_place(message.channel),
            }
            guild = message.channel.guild
            if guild is not None and user.id in guild.members:
                body["member"] = payloads.member(guild.members[user.id])
            return body

        intents = (Intent.GUILD_MESSAGE_REACTIONS, Intent.DIRECT_MESSAGE_REACTIONS)
        self.tell_in(message.channel, name, build, intents)


def _place(channel: Channel) -> Json:
    place = {"channel_id": str(channel.id)}
    if channel.guild is not None:
        place["guild_id"] = str(channel.guild.id)
    return place

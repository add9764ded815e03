"""The state of the stand-in and every change to it. Each change is told: to people waiting for one, and to the gateway.

Whether the bot may do something is checked in `rules`; how anything looks in JSON is `payloads`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from bot.standin import payloads
from bot.standin.entities import (
    Attachment,
    Channel,
    ChannelType,
    Emoji,
    Guild,
    Intent,
    Json,
    Member,
    Message,
    MessageFlag,
    MessageType,
    Overwrite,
    Permission,
    Role,
    Shown,
    Snowflakes,
    Typing,
    User,
)
from bot.standin.mentions import NOBODY, Mentions
from bot.standin.payloads import Viewer

_FOUNDED = 1_600_000_000.0
"""Seconds since the epoch; users, servers and channels are that old, so that their ids are the same in every run."""

_TYPING_KEPT = 100


@dataclass(frozen=True, slots=True)
class Event:
    """One gateway event. `build` gives its data for a reader with (True) or without (False) message content."""

    name: str
    build: Callable[[bool], Json]
    intent: Intent | None = None
    guild_id: int | None = None
    channel_id: int | None = None


class World:
    """Everything that exists. Times: `clock` is monotonic seconds, `wall` seconds since the epoch."""

    def __init__(self, clock: Callable[[], float], wall: Callable[[], float], *, role_mention_suffices: bool) -> None:
        self.clock = clock
        self.wall = wall
        self.users: dict[int, User] = {}
        self.guilds: dict[int, Guild] = {}
        self.channels: dict[int, Channel] = {}
        self.on_event: list[Callable[[Event], None]] = []
        self.on_change: list[Callable[[], None]] = []
        self._role_mention_suffices = role_mention_suffices
        self._static_ids = Snowflakes()
        self._ids = Snowflakes()
        self.bot = self.add_user("parley", "Parley", bot=True)

    # What exists

    def take_id(self) -> int:
        """The id of something that comes into being now."""
        return self._ids.take(self.wall())

    def add_user(self, name: str, display_name: str | None = None, *, bot: bool = False) -> User:
        user = User(self._static_id(), name, display_name, bot)
        self.users[user.id] = user
        return user

    def add_guild(self, name: str, owner: User) -> Guild:
        """A server with @everyone, its owner and the bot with its managed role."""
        guild = Guild(self._static_id(), name, owner)
        guild.roles[guild.id] = Role(guild.id, "@everyone", Permission.member(), position=0)
        self.guilds[guild.id] = guild
        self.add_member(guild, owner)
        managed = self.add_role(guild, self.bot.display_name or self.bot.name, managed_by=self.bot.id)
        self.add_member(guild, self.bot, roles=[managed])
        self._tell("GUILD_CREATE", lambda _: self.guild_create(guild), Intent.GUILDS, guild)
        return guild

    def add_member(self, guild: Guild, user: User, *, nick: str | None = None, roles: Iterable[Role] = ()) -> Member:
        member = guild.members[user.id] = Member(user, nick, list(roles))
        return member

    def add_role(
        self,
        guild: Guild,
        name: str,
        permissions: Permission = Permission.NONE,
        *,
        mentionable: bool = False,
        managed_by: int | None = None,
    ) -> Role:
        role = Role(self._static_id(), name, permissions, len(guild.roles), mentionable, managed_by)
        guild.roles[role.id] = role
        self._tell(
            "GUILD_ROLE_CREATE",
            lambda _: {"guild_id": str(guild.id), "role": payloads.role(role)},
            Intent.GUILDS,
            guild,
        )
        return role

    def add_emoji(self, guild: Guild, name: str, *, animated: bool = False) -> Emoji:
        emoji = Emoji(self._static_id(), name, animated)
        guild.emojis[emoji.id] = emoji
        return emoji

    def add_channel(self, guild: Guild, name: str, *, topic: str | None = None) -> Channel:
        channel = Channel(self._static_id(), name, guild, topic=topic)
        self.channels[channel.id] = channel
        self._tell_channel("CHANNEL_CREATE", channel)
        return channel

    def open_dm(self, user: User) -> Channel:
        """The one DM channel between a person and the bot."""
        for channel in self.channels.values():
            if channel.recipient is user:
                return channel
        channel = Channel(self._static_id(), user.name, None, ChannelType.DM, recipient=user)
        self.channels[channel.id] = channel
        return channel

    def permissions(self, user: User, channel: Channel) -> Permission:
        """https://discord.com/developers/docs/topics/permissions#permission-overwrites"""
        guild = channel.guild
        if guild is None:
            return Permission.member()
        member = guild.members.get(user.id)
        if member is None:
            return Permission.NONE
        if guild.owner is user:
            return Permission.everything()
        allowed = guild.everyone.permissions
        for role in member.roles:
            allowed |= role.permissions
        if Permission.ADMINISTRATOR in allowed:
            return Permission.everything()
        overwrites = (channel.parent or channel).overwrites
        allowed = _overwritten(allowed, [overwrites.get(guild.id)])
        allowed = _overwritten(allowed, [overwrites.get(role.id) for role in member.roles])
        allowed = _overwritten(allowed, [overwrites.get(user.id)])
        return allowed if Permission.VIEW_CHANNEL in allowed else Permission.NONE

    def set_permissions(
        self,
        channel: Channel,
        who: User | Role,
        *,
        allow: Permission = Permission.NONE,
        deny: Permission = Permission.NONE,
    ) -> None:
        """Replace the channel's overwrite for a person, the bot or a role."""
        channel.overwrites[who.id] = Overwrite("role" if isinstance(who, Role) else "member", allow, deny)
        self._tell_channel("CHANNEL_UPDATE", channel)

    def viewer(self, *, content: bool) -> Viewer:
        return Viewer(self.bot, content, self._role_mention_suffices)

    def guild_create(self, guild: Guild) -> Json:
        visible = [c for c in self.channels.values() if c.guild is guild and self.bot_sees(c)]
        return payloads.guild_create(guild, visible, self.bot)

    def bot_sees(self, channel: Channel) -> bool:
        if channel.type is ChannelType.PRIVATE_THREAD and self.bot.id not in channel.members:
            return False
        return Permission.VIEW_CHANNEL in self.permissions(self.bot, channel)

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
        embeds: list[Json] | None = None,
        components: list[Json] | None = None,
        attachments: Iterable[Attachment] = (),
        nonce: str | int | None = None,
        webhook_id: int | None = None,
        interaction: Json | None = None,
        told: bool = True,
    ) -> Message:
        """Put a message in its channel. `told=False` is for what only one person sees: ephemeral answers."""
        message = Message(
            self.take_id(),
            channel,
            author,
            content,
            self.wall(),
            type,
            flags,
            nonce=nonce,
            reply_to=reply_to,
            embeds=embeds or [],
            components=components or [],
            attachments=list(attachments),
            webhook_id=webhook_id,
            interaction=interaction,
            shown=[Shown(self.clock(), content)],
        )
        self._mention(message, mentions)
        if told:
            if channel.archived and not channel.locked:
                self.update_thread(channel, archived=False)
            channel.messages[message.id] = message
            channel.last_message_id = message.id
            channel.typing.pop(author.id, None)
            self._tell_message("MESSAGE_CREATE", message)
        else:
            self.changed()
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
        """Change what is given. `stamped=False` leaves `edited_timestamp` alone, as a link preview does."""
        if content is not None:
            message.content = content
            message.shown.append(Shown(self.clock(), content))
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

    def delete(self, *messages: Message) -> None:
        """One MESSAGE_DELETE, or one MESSAGE_DELETE_BULK for several of the same channel."""
        channel = messages[0].channel
        for message in messages:
            message.deleted = True
            channel.messages.pop(message.id, None)
        ids = [str(message.id) for message in messages]
        place = _place(channel)
        if messages[0].ephemeral:
            self.changed()
        elif len(ids) == 1:
            self._tell_in(channel, "MESSAGE_DELETE", lambda _: {"id": ids[0], **place}, _MESSAGES)
        else:
            self._tell_in(channel, "MESSAGE_DELETE_BULK", lambda _: {"ids": ids, **place}, _MESSAGES)

    def react(self, message: Message, user: User, emoji: str) -> None:
        users = message.reactions.setdefault(emoji, [])
        if user not in users:
            users.append(user)
            self._tell_reaction("MESSAGE_REACTION_ADD", message, user, emoji)

    def unreact(self, message: Message, user: User, emoji: str) -> None:
        users = message.reactions.get(emoji, [])
        if user in users:
            users.remove(user)
            if not users:
                del message.reactions[emoji]
            self._tell_reaction("MESSAGE_REACTION_REMOVE", message, user, emoji)

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

        self._tell_in(channel, "TYPING_START", build, (Intent.GUILD_MESSAGE_TYPING, Intent.DIRECT_MESSAGE_TYPING))

    # Channels and threads

    def open_thread(
        self, parent: Channel, name: str, owner: User, *, message: Message | None = None, private: bool = False
    ) -> Channel:
        """A thread on a message has that message's id, and begins with a system message that refers to it."""
        thread = Channel(
            message.id if message else self.take_id(),
            name,
            parent.guild,
            ChannelType.PRIVATE_THREAD if private else ChannelType.PUBLIC_THREAD,
            parent=parent,
            owner=owner,
            members={owner.id},
            created_at=self.wall(),
        )
        self.channels[thread.id] = thread
        self._tell_channel("THREAD_CREATE", thread, newly_created=True)
        if message is not None:
            message.thread = thread
            self.edit(message, flags=message.flags | MessageFlag.HAS_THREAD, stamped=False)
            self.post(thread, owner, "", type=MessageType.THREAD_STARTER, reply_to=message)
        elif not private:
            self.post(parent, owner, name, type=MessageType.THREAD_CREATED)
        return thread

    def update_thread(self, thread: Channel, *, archived: bool | None = None, locked: bool | None = None) -> None:
        thread.archived = thread.archived if archived is None else archived
        thread.locked = thread.locked if locked is None else locked
        self._tell_channel("THREAD_UPDATE", thread)

    def join_thread(self, thread: Channel, user: User) -> None:
        thread.members.add(user.id)
        self._tell_channel("THREAD_CREATE" if user is self.bot else "THREAD_UPDATE", thread)

    def rename(self, channel: Channel, name: str) -> None:
        channel.name = name
        self._tell_channel("THREAD_UPDATE" if channel.is_thread else "CHANNEL_UPDATE", channel)

    def delete_channel(self, channel: Channel) -> None:
        """With its threads."""
        for thread in [each for each in self.channels.values() if each.parent is channel]:
            self.delete_channel(thread)
        self._tell_channel("THREAD_DELETE" if channel.is_thread else "CHANNEL_DELETE", channel)
        del self.channels[channel.id]

    def remove_guild(self, guild: Guild, *, unavailable: bool = False) -> None:
        """The bot is removed from a server; or, if `unavailable`, an outage hides it until `restore_guild`."""
        body: Json = {"id": str(guild.id)} | ({"unavailable": True} if unavailable else {})
        self._tell("GUILD_DELETE", lambda _: body, Intent.GUILDS, guild)
        if not unavailable:
            del self.guilds[guild.id]
            self.channels = {id_: c for id_, c in self.channels.items() if c.guild is not guild}

    def restore_guild(self, guild: Guild) -> None:
        self._tell("GUILD_CREATE", lambda _: self.guild_create(guild), Intent.GUILDS, guild)

    # Telling

    def changed(self) -> None:
        """Something a person can see is different."""
        for listener in tuple(self.on_change):
            listener()

    def _static_id(self) -> int:
        return self._static_ids.take(_FOUNDED + len(self.users) + len(self.channels))

    def _mention(self, message: Message, mentions: Mentions) -> None:
        message.mentions = mentions.users
        message.mention_roles = mentions.roles
        message.mention_everyone = mentions.everyone
        message.pinged |= mentions.pinged - {message.author}

    def _tell(
        self,
        name: str,
        build: Callable[[bool], Json],
        intent: Intent,
        guild: Guild | None = None,
        channel: Channel | None = None,
    ) -> None:
        event = Event(name, build, intent, guild.id if guild else None, channel.id if channel else None)
        for listener in tuple(self.on_event):
            listener(event)
        self.changed()

    def _tell_in(
        self, channel: Channel, name: str, build: Callable[[bool], Json], intents: tuple[Intent, Intent]
    ) -> None:
        """Tell those who can see the channel; `intents` are for a server and for a DM."""
        if self.bot_sees(channel):
            self._tell(name, build, intents[channel.guild is None], channel.guild, channel)
        else:
            self.changed()

    def _tell_channel(self, name: str, channel: Channel, **more: bool) -> None:
        self._tell_in(channel, name, lambda _: payloads.channel(channel) | more, (Intent.GUILDS, Intent.GUILDS))

    def _tell_message(self, name: str, message: Message) -> None:
        self._tell_in(
            message.channel,
            name,
            lambda content: payloads.message_event(message, self.viewer(content=content)),
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
        self._tell_in(message.channel, name, build, intents)


_MESSAGES = (Intent.GUILD_MESSAGES, Intent.DIRECT_MESSAGES)


def _place(channel: Channel) -> Json:
    place = {"channel_id": str(channel.id)}
    if channel.guild is not None:
        place["guild_id"] = str(channel.guild.id)
    return place


def _overwritten(allowed: Permission, overwrites: Iterable[Overwrite | None]) -> Permission:
    allow = deny = Permission.NONE
    for overwrite in overwrites:
        if overwrite is not None:
            allow |= overwrite.allow
            deny |= overwrite.deny
    return (allowed & ~deny) | allow

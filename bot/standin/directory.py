"""The users, servers and channels of the stand-in, the permissions, and the announcement of changes.

The gateway receives every change as an event. Waiting tests are notified of every change too.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from bot.standin import payloads
from bot.standin.entities import (
    Channel,
    ChannelType,
    Emoji,
    Guild,
    Intent,
    Json,
    Member,
    Overwrite,
    Permission,
    Role,
    Snowflakes,
    User,
    snowflake_at,
)
from bot.standin.message_payloads import Viewer

_FOUNDED = 1_600_000_000.0
"""The creation time of users and channels in seconds since the epoch. A fixed time gives fixed ids."""
_FIRST_GUILD = _FOUNDED - 86_400
"""The creation time of the first server. Servers have a time of their own, as their ids decide on their shards."""


@dataclass(frozen=True, slots=True)
class Event:
    """One gateway event. `build(content)` returns its data, with message content if `content` is true."""

    name: str
    build: Callable[[bool], Json]
    intent: Intent | None = None
    guild_id: int | None = None
    channel_id: int | None = None


class Directory:
    """Users, servers and channels. `clock` gives monotonic seconds, and `wall` gives seconds since the epoch."""

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
        # A millisecond apart, so that any number of shards has as many guilds each.
        self._guild_ids = itertools.count(snowflake_at(_FIRST_GUILD), 1 << 22)
        self.bot = self.add_user("parley", "Parley", bot=True)

    # Users, servers and channels

    def take_id(self) -> int:
        """Return a new id for the current time."""
        return self._ids.take(self.wall())

    def add_user(self, name: str, display_name: str | None = None, *, bot: bool = False) -> User:
        user = User(self._static_id(), name, display_name, bot)
        self.users[user.id] = user
        return user

    def add_guild(self, name: str, owner: User) -> Guild:
        """Create a server with @everyone, its owner, the bot and the bot's managed role."""
        guild = Guild(next(self._guild_ids), name, owner)
        guild.roles[guild.id] = Role(guild.id, "@everyone", Permission.member(), position=0)
        self.guilds[guild.id] = guild
        self.add_member(guild, owner)
        managed = Role(self._static_id(), self.bot.display_name or self.bot.name, managed_by=self.bot.id)
        guild.roles[managed.id] = managed
        self.add_member(guild, self.bot, roles=[managed])
        self.tell("GUILD_CREATE", lambda _: self.guild_create(guild), Intent.GUILDS, guild)
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
    ) -> Role:
        role = Role(self._static_id(), name, permissions, len(guild.roles), mentionable)
        guild.roles[role.id] = role
        self.tell(
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

    def add_category(self, guild: Guild, name: str) -> Channel:
        return self._add(Channel(self._static_id(), name, guild, ChannelType.CATEGORY))

    def add_channel(
        self,
        guild: Guild,
        name: str,
        kind: ChannelType = ChannelType.TEXT,
        *,
        topic: str | None = None,
        category: Channel | None = None,
    ) -> Channel:
        """Create a channel with a copy of its category's overwrites. Later changes to the category do not affect it."""
        overwrites = {id_: replace(each) for id_, each in category.overwrites.items()} if category else {}
        channel = Channel(self._static_id(), name, guild, kind, topic=topic, category=category, overwrites=overwrites)
        return self._add(channel)

    def _add(self, channel: Channel) -> Channel:
        self.channels[channel.id] = channel
        self.tell_channel("CHANNEL_CREATE", channel)
        return channel

    def open_dm(self, user: User) -> Channel:
        """Return the DM channel between a person and the bot. The channel is created if it does not exist."""
        for channel in self.channels.values():
            if channel.recipient is user:
                return channel
        channel = Channel(self._static_id(), user.name, None, ChannelType.DM, recipient=user)
        self.channels[channel.id] = channel
        return channel

    def permissions(self, user: User, channel: Channel) -> Permission:
        """Compute a user's permissions in a channel.

        https://discord.com/developers/docs/topics/permissions#permission-overwrites
        """
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
        if overwrites:
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
        self.tell_channel("CHANNEL_UPDATE", channel)

    def viewer(self, *, content: bool) -> Viewer:
        return Viewer(self.bot, content, self._role_mention_suffices)

    def guild_create(self, guild: Guild) -> Json:
        [body] = self.guild_creates([guild])
        return body

    def guild_creates(self, guilds: Iterable[Guild]) -> Iterator[Json]:
        """Build the data of GUILD_CREATE for several servers, with one look at the channels."""
        wanted = list(guilds)
        visible: dict[int, list[Channel]] = {guild.id: [] for guild in wanted}
        for channel in self.channels.values():
            if channel.guild is not None and channel.guild.id in visible and self.bot_sees(channel):
                visible[channel.guild.id].append(channel)
        return (payloads.guild_create(guild, visible[guild.id], self.bot) for guild in wanted)

    def bot_sees(self, channel: Channel) -> bool:
        if channel.type is ChannelType.PRIVATE_THREAD and self.bot.id not in channel.members:
            return False
        return Permission.VIEW_CHANNEL in self.permissions(self.bot, channel)

    # Announcements

    def changed(self) -> None:
        """Report that something visible has changed."""
        for listener in tuple(self.on_change):
            listener()

    def _static_id(self) -> int:
        return self._static_ids.take(_FOUNDED + len(self.users) + len(self.channels))

    def tell(
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

    def tell_in(
        self, channel: Channel, name: str, build: Callable[[bool], Json], intents: tuple[Intent, Intent]
    ) -> None:
        """Send an event to everyone who can see the channel. `intents` are the ones for servers and for DMs."""
        if self.bot_sees(channel):
            self.tell(name, build, intents[channel.guild is None], channel.guild, channel)
        else:
            self.changed()

    def tell_channel(self, name: str, channel: Channel, **more: bool) -> None:
        self.tell_in(channel, name, lambda _: payloads.channel(channel) | more, (Intent.GUILDS, Intent.GUILDS))


def _overwritten(allowed: Permission, overwrites: Iterable[Overwrite | None]) -> Permission:
    allow = deny = Permission.NONE
    for overwrite in overwrites:
        if overwrite is not None:
            allow |= overwrite.allow
            deny |= overwrite.deny
    return (allowed & ~deny) | allow

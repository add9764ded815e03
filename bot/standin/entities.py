"""Discord's people, servers, channels and messages as plain data, without rules or JSON."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum, IntFlag
from typing import Any, Literal

Json = dict[str, Any]

DISCORD_EPOCH_MS = 1_420_070_400_000
"""Discord's epoch in milliseconds. The upper 42 bits of a snowflake count milliseconds since this moment."""


class Permission(IntFlag):
    """The permissions that the stand-in checks, with Discord's bit values."""

    NONE = 0
    ADMINISTRATOR = 1 << 3
    MANAGE_CHANNELS = 1 << 4
    MANAGE_GUILD = 1 << 5
    ADD_REACTIONS = 1 << 6
    VIEW_CHANNEL = 1 << 10
    SEND_MESSAGES = 1 << 11
    MANAGE_MESSAGES = 1 << 13
    EMBED_LINKS = 1 << 14
    ATTACH_FILES = 1 << 15
    READ_MESSAGE_HISTORY = 1 << 16
    MENTION_EVERYONE = 1 << 17
    USE_APPLICATION_COMMANDS = 1 << 31
    MANAGE_THREADS = 1 << 34
    CREATE_PUBLIC_THREADS = 1 << 35
    CREATE_PRIVATE_THREADS = 1 << 36
    SEND_MESSAGES_IN_THREADS = 1 << 38
    BYPASS_SLOWMODE = 1 << 52

    @classmethod
    def everything(cls) -> Permission:
        """Return all permissions. Server owners and administrators have them."""
        return cls((1 << 53) - 1)

    @classmethod
    def member(cls) -> Permission:
        """Return the permissions of @everyone in a new server."""
        return (
            cls.ADD_REACTIONS
            | cls.VIEW_CHANNEL
            | cls.SEND_MESSAGES
            | cls.EMBED_LINKS
            | cls.ATTACH_FILES
            | cls.READ_MESSAGE_HISTORY
            | cls.USE_APPLICATION_COMMANDS
            | cls.CREATE_PUBLIC_THREADS
            | cls.CREATE_PRIVATE_THREADS
            | cls.SEND_MESSAGES_IN_THREADS
        )


class Intent(IntFlag):
    """The gateway intents that the stand-in's events ask for."""

    NONE = 0
    GUILDS = 1 << 0
    GUILD_MEMBERS = 1 << 1
    GUILD_PRESENCES = 1 << 8
    GUILD_MESSAGES = 1 << 9
    GUILD_MESSAGE_REACTIONS = 1 << 10
    GUILD_MESSAGE_TYPING = 1 << 11
    DIRECT_MESSAGES = 1 << 12
    DIRECT_MESSAGE_REACTIONS = 1 << 13
    DIRECT_MESSAGE_TYPING = 1 << 14
    MESSAGE_CONTENT = 1 << 15


PRIVILEGED = Intent.GUILD_MEMBERS | Intent.GUILD_PRESENCES | Intent.MESSAGE_CONTENT


class MessageFlag(IntFlag):
    """The message flags that change what a person sees."""

    NONE = 0
    SUPPRESS_EMBEDS = 1 << 2
    HAS_THREAD = 1 << 5
    EPHEMERAL = 1 << 6
    LOADING = 1 << 7
    SUPPRESS_NOTIFICATIONS = 1 << 12
    IS_VOICE_MESSAGE = 1 << 13
    HAS_SNAPSHOT = 1 << 14
    COMPONENTS_V2 = 1 << 15


class MessageType(IntEnum):
    """Discord's message types. All types except DEFAULT, REPLY and the two command types are system messages."""

    DEFAULT = 0
    PINNED = 6
    JOIN = 7
    THREAD_CREATED = 18
    REPLY = 19
    SLASH_COMMAND = 20
    THREAD_STARTER = 21
    CONTEXT_MENU = 23


class ChannelType(IntEnum):
    """The kinds of channel in the stand-in.

    A category holds channels, a forum holds threads, and all other kinds hold messages.
    """

    TEXT = 0
    DM = 1
    CATEGORY = 4
    NEWS = 5
    NEWS_THREAD = 10
    PUBLIC_THREAD = 11
    PRIVATE_THREAD = 12
    FORUM = 15


@dataclass(eq=False)
class User:
    """A person, a bot or a webhook's author."""

    id: int
    name: str
    display_name: str | None = None
    bot: bool = False
    closed_dms: bool = False
    """Whether the user's settings block DMs from bots. Discord then answers "Cannot send messages to this user"."""

    @property
    def mention(self) -> str:
        return f"<@{self.id}>"

    def __repr__(self) -> str:
        return f"<User {self.name} {self.id}>"


@dataclass(eq=False)
class Role:
    id: int
    name: str
    permissions: Permission = Permission.NONE
    position: int = 1
    mentionable: bool = False
    managed_by: int | None = None
    """The id of the bot that this managed role belongs to."""

    @property
    def mention(self) -> str:
        return f"<@&{self.id}>"


@dataclass(eq=False)
class Member:
    user: User
    nick: str | None = None
    roles: list[Role] = field(default_factory=list)


@dataclass(eq=False)
class Emoji:
    id: int
    name: str
    animated: bool = False

    def __str__(self) -> str:
        return f"<{'a' if self.animated else ''}:{self.name}:{self.id}>"


@dataclass(eq=False)
class Guild:
    id: int
    name: str
    owner: User
    roles: dict[int, Role] = field(default_factory=dict)
    members: dict[int, Member] = field(default_factory=dict)
    emojis: dict[int, Emoji] = field(default_factory=dict)
    system_channel: Channel | None = None
    """The channel for Discord's own messages, such as the announcement of new members."""

    @property
    def everyone(self) -> Role:
        return self.roles[self.id]


@dataclass(eq=False)
class Team:
    """A team of people who own an application together."""

    id: int
    name: str
    owner: User
    members: list[User]
    """The members who accepted the invitation, including the owner."""
    invited: list[User] = field(default_factory=list)


@dataclass(slots=True)
class Overwrite:
    """The permissions that a channel gives to, or takes from, one role or member."""

    kind: Literal["role", "member"]
    allow: Permission = Permission.NONE
    deny: Permission = Permission.NONE


@dataclass(slots=True)
class Typing:
    """One user typing in one channel. `times` are seconds on the stand-in's clock, newest last. Each lasts 10 s."""

    user: User
    times: list[float]


@dataclass(eq=False)
class Channel:
    """A text channel, a forum, a thread, a category or a DM. A thread has a `parent`. A DM has no `guild`."""

    id: int
    name: str
    guild: Guild | None
    type: ChannelType = ChannelType.TEXT
    topic: str | None = None
    parent: Channel | None = None
    category: Channel | None = None
    owner: User | None = None
    """The user who opened the thread."""
    recipient: User | None = None
    overwrites: dict[int, Overwrite] = field(default_factory=dict)
    messages: dict[int, Message] = field(default_factory=dict)
    typing: dict[int, Typing] = field(default_factory=dict)
    members: set[int] = field(default_factory=set)
    """The ids of the users who joined the thread."""
    last_message_id: int | None = None
    """The id of the last message, or of the last post of a forum."""
    slowmode: int = 0
    """Seconds that a person has to wait between two messages. Bots do not wait."""
    archived: bool = False
    locked: bool = False
    created_at: float = 0.0
    archive_changed_at: float = 0.0
    """When the thread was last archived or opened again, in seconds since the epoch."""

    @property
    def mention(self) -> str:
        return f"<#{self.id}>"

    @property
    def is_thread(self) -> bool:
        return self.parent is not None

    def __repr__(self) -> str:
        return f"<Channel {self.name} {self.id}>"


@dataclass(eq=False)
class Attachment:
    """A file on a message. `size` can be larger than `data`, so tests of size limits need little memory."""

    filename: str
    data: bytes
    content_type: str | None = None
    size: int = -1
    description: str | None = None
    duration_secs: float | None = None
    """The length of a voice message, as whoever sends it says. None: it is none."""
    waveform: str = "AAAA"
    """How loud a voice message is from its beginning to its end: up to 256 bytes, in base64."""
    id: int = 0
    url: str = ""

    def __post_init__(self) -> None:
        if self.size < 0:
            self.size = len(self.data)


def voice_message(data: bytes, seconds: float, waveform: str = "AAAA") -> Attachment:
    """The only file of a voice message, as Discord's clients send it."""
    return Attachment("voice-message.ogg", data, "audio/ogg", duration_secs=seconds, waveform=waveform)


@dataclass(frozen=True, slots=True)
class Sticker:
    """A sticker by its name."""

    name: str
    format_type: int = 1
    """What it is: 1 a PNG, 3 Lottie, which is JSON. https://docs.discord.com/developers/resources/sticker"""


@dataclass(frozen=True, slots=True)
class Shown:
    """The content of a message from the time `at` on, in seconds on the stand-in's clock."""

    at: float
    content: str


@dataclass(frozen=True, slots=True)
class Forward:
    """A forwarded message. It keeps the state that the original had when it was forwarded."""

    source: Message
    snapshot: Json


@dataclass(frozen=True, slots=True)
class Poll:
    """A question with answers to choose from."""

    question: str
    answers: Sequence[str]
    several: bool = False
    """Whether a voter can choose more than one answer."""


@dataclass(eq=False)
class Message:
    """A message as a person sees it."""

    id: int
    channel: Channel
    author: User
    content: str
    created_at: float
    """The time of creation in seconds since the epoch."""
    type: int = MessageType.DEFAULT
    flags: MessageFlag = MessageFlag.NONE
    edited_at: float | None = None
    nonce: str | int | None = None
    reply_to: Message | None = None
    forwarded: Forward | None = None
    poll: Poll | None = None
    stickers: list[Sticker] = field(default_factory=list)
    embeds: list[Json] = field(default_factory=list)
    components: list[Json] = field(default_factory=list)
    attachments: list[Attachment] = field(default_factory=list)
    reactions: dict[str, list[User]] = field(default_factory=dict)
    """The users who reacted, by emoji. Emoji have the form that REST uses: the character itself, or `name:id`."""
    mentions: list[User] = field(default_factory=list)
    mention_roles: list[Role] = field(default_factory=list)
    mention_everyone: bool = False
    pinged: set[User] = field(default_factory=set)
    """Every user marked as mentioned when the message was sent or edited. Silent messages have these marks too."""
    shown: list[Shown] = field(default_factory=list)
    """Every content that the message has had, oldest first."""
    webhook_id: int | None = None
    interaction: Json | None = None
    """The message's `interaction_metadata`. Only messages from interactions have it."""
    thread: Channel | None = None
    deleted: bool = False

    @property
    def silent(self) -> bool:
        return MessageFlag.SUPPRESS_NOTIFICATIONS in self.flags

    @property
    def embeds_suppressed(self) -> bool:
        return MessageFlag.SUPPRESS_EMBEDS in self.flags

    @property
    def ephemeral(self) -> bool:
        return MessageFlag.EPHEMERAL in self.flags

    @property
    def loading(self) -> bool:
        """Whether the message is a deferred answer that shows "... is thinking"."""
        return MessageFlag.LOADING in self.flags

    @property
    def is_voice(self) -> bool:
        return MessageFlag.IS_VOICE_MESSAGE in self.flags

    @property
    def edited(self) -> bool:
        return self.edited_at is not None

    @property
    def buttons(self) -> list[Json]:
        """The message's buttons in order, as Discord's component objects."""
        return [part for part in walk_components(self.components) if part["type"] == 2]

    def __repr__(self) -> str:
        return f"<Message {self.id} by {self.author.name}: {self.content!r}>"


def walk_components(components: Iterable[Json]) -> Iterable[Json]:
    """Yield every component of a message, at every level of nesting."""
    for component in components:
        yield component
        yield from walk_components(component.get("components", ()))
        if accessory := component.get("accessory"):
            yield accessory


class Snowflakes:
    """A source of unique ids that grow with time."""

    def __init__(self) -> None:
        self._last = 0

    def take(self, at: float) -> int:
        """Return the next id for the time `at`, in seconds since the epoch."""
        self._last = max(self._last + 1, snowflake_at(at))
        return self._last


def snowflake_at(at: float) -> int:
    """Return the smallest id for the time `at`, in seconds since the epoch."""
    return (int(at * 1000) - DISCORD_EPOCH_MS) << 22

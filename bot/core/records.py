"""Values about records: sent parts, users, exported turns, conversations and their settings, processes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, StrEnum, auto
from typing import NamedTuple

from bot.core.shards import Shards
from bot.core.turns import Behaviour, Conversation, TurnState, UserName


@dataclass(frozen=True, slots=True)
class SentPart:
    """One platform message that shows a part of a reply.

    `start` is the offset in the reply's source text where the part begins. `message_id` is None from the moment
    before the message is posted until the platform has answered.
    """

    part: int
    start: int
    nonce: str
    message_id: int | None


@dataclass(frozen=True, slots=True)
class UserRecord:
    """The amount of data that is on record of a user.

    `traces` means that other records exist, which are deleted with the turns. `blocked` means that the moderators of a
    guild block the user, and that block stays.
    """

    turns: int
    conversations: int
    traces: bool
    blocked: bool

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to forget."""
        return not self.turns and not self.traces


@dataclass(frozen=True, slots=True)
class ExportedTurn:
    """One turn, as it is exported to whoever asked it. `asked_at` is in seconds since the epoch.

    The tokens are those of the whole request, context included; None where they are not known.
    """

    conversation: Conversation
    guild_id: int | None
    author_name: UserName | None
    """The name of whoever asked; None where only one person can be speaking."""
    asked_at: int
    prompt: str
    reply: str
    state: TurnState
    prompt_tokens: int | None
    reply_tokens: int | None
    pictures: Sequence[str] = ()
    """The names of the pictures that the prompt shows. The pictures themselves are not stored."""


@dataclass(frozen=True, slots=True)
class Note:
    """A text that a user wants the model to know. Without a `guild_id` it belongs to the user's DM.

    `created_at` is in seconds since the epoch.
    """

    id: int
    guild_id: int | None
    created_at: int
    text: str


class NoteResult(Enum):
    """What became of a note that somebody wants to add."""

    ADDED = auto()
    KNOWN = auto()
    """The user has this very note already."""
    FULL = auto()
    """The user's notes would be too many or too long."""


class Ping(StrEnum):
    """When an answer pings whoever asked for it."""

    AUTO = "auto"
    """After a long wait, during which they have turned to something else."""
    ALWAYS = "always"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class PersonSettings:
    """What a user chose about themselves, in all guilds and DMs."""

    leave_out: bool = False
    """Whether their messages are left out of the recent messages that go along with other people's questions."""
    ping: Ping = Ping.AUTO


@dataclass(frozen=True, slots=True)
class FoundTurn:
    """A turn that a search has found. `asked_at` is in seconds since the epoch.

    `message_id` is that of its question, or of what it is about. `parts` are the messages that show its reply,
    each after the offset in the reply where it begins.
    """

    id: int
    position: int
    message_id: int | None
    asked_at: int
    author_name: UserName | None
    prompt: str
    reply: str
    parts: Sequence[tuple[int, int]] = ()


@dataclass(frozen=True, slots=True)
class SearchResult:
    """What a search has found, in the order in which it looked.

    `looked_to` is the position of the last turn that it looked at, and `looked_at` the time of that turn, in seconds
    since the epoch (None: there was none). `whole`: there are no further turns.
    """

    turns: Sequence[FoundTurn]
    looked_to: int
    looked_at: int | None
    whole: bool


@dataclass(frozen=True, slots=True)
class ConversationShares:
    """The number of questions in a conversation, of the people who asked them, and of one user's own questions."""

    questions: int
    people: int
    own: int


@dataclass(frozen=True, slots=True)
class ConversationSummary:
    """A summary of one conversation for its members.

    `since` is in seconds since the epoch. `size`, in UTF-8 bytes of prompts and replies, is an estimate where there are
    many. `people` has the names of those with the most turns, and how many these are; None is the name where only one
    person can be speaking.
    """

    turns: int
    since: int
    size: int
    people: Sequence[tuple[UserName | None, int]]
    people_in_all: int


@dataclass(frozen=True, slots=True)
class ConversationOverview:
    """One conversation in the operator's list. Times are seconds since the epoch, `size` is in UTF-8 bytes."""

    conversation: Conversation
    guild_id: int | None
    turns: int
    people: int
    size: int
    first_at: int | None
    """The time of the oldest question, or None if the conversation has no turns any more."""
    used_at: int
    persona: bool
    model: str | None


@dataclass(frozen=True, slots=True)
class EffectiveBehaviour:
    """The settings of a conversation itself and, in a thread, of its channel."""

    own: Behaviour
    inherited: Behaviour

    @property
    def in_force(self) -> Behaviour:
        """The conversation's own persona and model, each with the channel's where it has none."""
        return Behaviour(
            self.inherited.persona if self.own.persona is None else self.own.persona,
            self.inherited.model if self.own.model is None else self.own.model,
        )


class Exchange(NamedTuple):
    """A question and its answer, without names and times. The reply is empty if there is no answer."""

    prompt: str
    reply: str
    finished: bool = True


@dataclass(frozen=True, slots=True)
class Transcript:
    """A conversation as a file keeps it, oldest exchange first. Only the last exchange may have no answer."""

    persona: str | None
    exchanges: Sequence[Exchange]


class ImportRefusal(Enum):
    """The reason why a transcript is not imported into a conversation."""

    UNKNOWN = "unknown"
    """Nothing is on record of this channel on Discord, so that its server is not known."""
    NOT_EMPTY = "not empty"
    OTHER_PERSONA = "other persona"
    """People gave it another persona than the transcript's, or it is a DM, where only its user sets one."""


@dataclass(frozen=True, slots=True)
class ProcessRecord:
    """The health of one process of the bot, as the database has it. It was reported `age` seconds ago."""

    host: str
    pid: int
    shards: Shards
    """What it serves: no ids while it stands by."""
    well: bool
    said: str
    """The result of each of its health checks, a line for each."""
    age: float


@dataclass(frozen=True, slots=True)
class DatabaseServerState:
    """What a database server has left for the bot."""

    clock_ahead: float
    """Seconds by which its clock is ahead of this computer's, as far as that is certain. Negative: behind."""
    connections: int
    """How many connections all processes of the bot may have together."""

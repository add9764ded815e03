"""Turns, attempts and their outcomes: the values that pass between the modules."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from typing import NamedTuple

from bot.core.pictures import PictureProblem, PictureReference
from bot.core.quotas import QuotaExceeded, Usage


@dataclass(frozen=True, slots=True)
class Conversation:
    """A place where people talk to the bot.

    `channel` is Discord's id of a channel, thread or DM, or the name of a conversation in the terminal.
    """

    platform: str
    channel: str

    def __str__(self) -> str:
        return f"{self.platform}:{self.channel}"


class UserName(NamedTuple):
    """The names of a user, clean enough for a line that the model is told. `user_name` is unique on the platform."""

    display_name: str
    user_name: str

    def __str__(self) -> str:
        """The name that the model is told."""
        if not self.user_name:
            return self.display_name
        return f"{self.display_name} (@{self.user_name})" if self.display_name else f"@{self.user_name}"

    @property
    def shown(self) -> str:
        """The name that people are told."""
        return self.display_name or f"@{self.user_name}"


class TurnState(StrEnum):
    """The state of a turn. The last four are final until somebody asks for another attempt."""

    PENDING = "pending"
    """The prompt is saved, but no text of the reply."""
    STREAMING = "streaming"
    """Part of the reply is saved."""
    COMPLETE = "complete"
    STOPPED = "stopped"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


class StopReason(Enum):
    """The reason why an attempt was ended from outside. The first of several reasons counts."""

    USER = "person"
    RESET = "reset"
    FORGOTTEN = "forgotten"
    """The author asked to be forgotten, or the turn was found to be deleted."""
    PROMPT_DELETED = "prompt deleted"
    REPLY_DELETED = "reply deleted"
    SHUTDOWN = "shutdown"
    TIME_UP = "time up"
    """The platform shows no more of the reply after this."""


class FailureReason(StrEnum):
    """The reason why a reply failed or is incomplete. The turn stores it, and `bot.texts` explains it."""

    UNREACHABLE = "unreachable"
    """A refused connection, a 5xx status, or a stalled or cut stream."""
    BUSY = "busy"
    """Rate limited by the model's server: a 429 that waiting cures."""
    CONFIGURATION = "configuration"
    """A wrong key, account quota, model name or request, which the operator has to fix."""
    CONTENT_FILTERED = "content filtered"
    """The provider's content filter."""
    LENGTH = "length"
    """The reply reached the limit on its tokens. What came of it is good."""
    OUT_OF_ROOM = "out of room"
    """The reply reached the limit on its tokens before it had any text, since the model spent them on reasoning."""
    EMPTY_REPLY = "empty reply"
    """The model ended without any text."""
    TOO_LONG = "too long"
    """The server takes no context of this size, not even the prompt alone."""
    STORAGE = "storage"
    """The database could not be written."""
    INTERNAL = "internal"
    """A defect of the bot, with its trace in the log."""
    TIME_UP = "time up"
    """The platform had a limit on the time in which the reply could be shown."""
    QUOTA = "quota"
    """No tokens are left for the reply today."""
    NO_TRANSCRIPTION = "no transcription"
    """The prompt is a voice message, and no model is set that turns those into text."""
    VOICE_TOO_LONG = "voice too long"
    VOICE_UNREADABLE = "voice unreadable"
    """A voice message could not be fetched, or is none."""
    NOTHING_HEARD = "nothing heard"
    """A voice message has no words."""


PERSONA_LENGTH = 4000
"""Characters of a persona on Discord, as many as its forms take."""


@dataclass(frozen=True, slots=True)
class Behaviour:
    """The persona and the model of a conversation; None stands for the default.

    `persona` replaces the system prompt. `model` is a name that may not be offered any more.
    """

    persona: str | None = None
    model: str | None = None


@dataclass(frozen=True, slots=True)
class Quote:
    """The beginning of a prompt that quotes somebody.

    `source_id` is the id of the quoted user or, where the bot is quoted (`own`), of its message. `length` is in
    characters.
    """

    source_id: int
    length: int
    own: bool = False


class RecentMessage(NamedTuple):
    """What somebody wrote before a question, which goes along with it. It is kept nowhere."""

    id: int
    author_id: int
    author_name: UserName
    text: str


@dataclass(frozen=True, slots=True)
class Prompt:
    """A question of a user, ready to be committed.

    `position` orders a conversation: Discord's snowflake of the message, or nanoseconds since the epoch in a terminal.
    `message_id` is the platform's id of the message, or of what else asked; None in a terminal.
    `target_id` is the message that the prompt is about and that the reply answers to, where the prompt is in no message
    of its own.
    `author_name` is None where only one person can be speaking (a DM, a terminal): the model is then told no names.
    `origin_message_id` is the message that a thread was opened on: where it is one of ours, the thread's
    conversation begins with the turn behind it. `parent` is the channel that a thread belongs to. `asked_in` is the
    channel that the message is in, where it is answered in a thread on it; the conversation is the thread's.
    `text` mentions users by id, and `names` are theirs. It also names the `pictures`, in their order: see
    `bot.core.prompt_text`.
    `reads_history` tells whether the author may read what others wrote there before. If not, the context has only the
    author's own turns. `recent` are messages before it that go along, oldest first, and are not committed.
    """

    conversation: Conversation
    position: int
    text: str
    user_id: int | None = None
    author_name: UserName | None = None
    guild_id: int | None = None
    origin_message_id: int | None = None
    parent: Conversation | None = None
    quote: Quote | None = None
    message_id: int | None = None
    names: Mapping[int, str] = field(default_factory=dict)
    reads_history: bool = True
    pictures: Sequence[PictureReference] = ()
    target_id: int | None = None
    asked_in: Conversation | None = None
    recent: Sequence[RecentMessage] = ()


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try at a turn's reply. Every write names it, so that a superseded or forgotten one changes nothing."""

    turn_id: int
    number: int = 1


@dataclass(frozen=True, slots=True)
class Turn:
    """One prompt and its reply, as stored. Times are seconds since the epoch.

    `tries` counts the attempts since a person last asked for one: 1, and one more for each recovery.
    """

    id: int
    conversation: Conversation
    position: int
    prompt: str
    reply: str
    state: TurnState
    attempt: int
    user_id: int | None
    author_name: UserName | None
    failure: FailureReason | None
    created_at: int
    tries: int = 1
    guild_id: int | None = None
    message_id: int | None = None
    answered_by: str | None = None
    """The fallback that wrote the reply, as people are told it."""
    pictures: Sequence[PictureReference] = ()
    target_id: int | None = None
    asked_in: Conversation | None = None
    """The channel that the prompt's message is in, where it is answered in a thread on it."""


class EarlierTurn(NamedTuple):
    """A turn with text in its reply, as part of a context. A tuple, because one context may hold hundreds."""

    number: int | None
    """Its place in the order of the conversation: that in which first attempts end. None: an attempt is under way."""
    author_name: UserName | None
    prompt: str
    reply: str
    finished: bool
    """Whether the reply is complete."""
    pictures: Sequence[PictureReference] = ()


class ContextPage(NamedTuple):
    """A page of a turn's context."""

    begins: int
    """The number of the first turn of the conversation that is sent. It stands still from request to request."""
    running: Sequence[EarlierTurn]
    """The turns that came before and are being answered. They are on the first page only, the last first."""
    turns: Sequence[EarlierTurn]
    """Turns that have ended, the last first."""


_NOBODYS_FAULT = frozenset(
    {
        FailureReason.UNREACHABLE,
        FailureReason.BUSY,
        FailureReason.CONFIGURATION,
        FailureReason.OUT_OF_ROOM,
        FailureReason.EMPTY_REPLY,
        FailureReason.STORAGE,
        FailureReason.INTERNAL,
        FailureReason.QUOTA,
        FailureReason.NO_TRANSCRIPTION,
        FailureReason.VOICE_TOO_LONG,
        FailureReason.VOICE_UNREADABLE,
    }
)
"""The failures after which a question counts towards no limit: the bot's own, and those before a model was asked."""
_COSTLY = frozenset({FailureReason.OUT_OF_ROOM, FailureReason.EMPTY_REPLY})
"""The failures that a prompt can bring about, so that the person who asked pays for their tokens."""


class Ending(NamedTuple):
    """How an attempt ended, as a turn has it on record."""

    state: TurnState
    failure: FailureReason | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of an attempt, with its text.

    `stopped_by` names the user who stopped it. `retry_after` is the seconds that the model's server asked to wait.
    `usage` is an estimate if the server did not count. `detail` explains a failure to the operator, and never stands in
    a conversation; `advice` is the part of it that all failures of the same kind share. `model` is the model that was
    asked. `answered_by` is the fallback that wrote the text, as people are told it, and `replaced` the end of the
    request in whose place it was asked. `context_cut`: the server read less of the context than it was sent, which
    `detail` explains. `unseen` names the question's pictures that the model was not sent, by reason. `kept`: the text
    is the reply of an earlier attempt, which ended like that, since this one had none.
    """

    state: TurnState
    text: str = ""
    failure: FailureReason | None = None
    stop_reason: StopReason | None = None
    stopped_by: str | None = None
    usage: Usage | None = None
    retry_after: float | None = None
    quota_exceeded: QuotaExceeded | None = None
    detail: str = ""
    advice: str = ""
    model: str | None = None
    answered_by: str | None = None
    replaced: Outcome | None = None
    context_cut: bool = False
    unseen: Mapping[PictureProblem, Sequence[str]] = field(default_factory=dict)
    kept: Ending | None = None

    @property
    def counts(self) -> bool:
        """Whether it counts as a question of whoever asked: not if it failed through no fault of theirs."""
        if self.state is TurnState.INTERRUPTED:
            return False
        return self.state is not TurnState.FAILED or self.failure not in _NOBODYS_FAULT

    @property
    def charged_unseen(self) -> bool:
        """Whether its tokens are charged to whoever asked even if nothing could be seen of it."""
        return self.counts or self.failure in _COSTLY


_SHAPELESS = frozenset({"Cc", "Cf", "Cn", "Cs", "Zl", "Zp", "Zs"})
"""Unicode categories of control, format, unassigned and separating characters."""


def is_blank(text: str) -> bool:
    """Whether a text shows nothing: only white space and characters without a shape."""
    return all(character.isspace() or unicodedata.category(character) in _SHAPELESS for character in text)

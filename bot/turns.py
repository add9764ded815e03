"""The values that pass between the modules. No IO."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Literal, NamedTuple


class State(StrEnum):
    """Where a turn stands. The last four are final until somebody asks for another attempt."""

    PENDING = "pending"
    """Saved, and nothing of the reply is."""
    STREAMING = "streaming"
    """Some of the reply is saved."""
    COMPLETE = "complete"
    STOPPED = "stopped"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


class Cause(Enum):
    """What ended an attempt from outside; of several the first one counts."""

    PERSON = "person"
    RESET = "reset"
    FORGOTTEN = "forgotten"
    """The author wanted to be forgotten (then it has a name with it), or the turn was found to be gone."""
    PROMPT_DELETED = "prompt deleted"
    REPLY_DELETED = "reply deleted"
    SHUTDOWN = "shutdown"


class Problem(StrEnum):
    """Why a reply is not what it should be; stored as a turn's error, told in the words of `bot.phrases`."""

    UNREACHABLE = "unreachable"
    """Refused connection, 5xx, a stalled or cut stream."""
    BUSY = "busy"
    """Rate limited by the model's server (429 that waiting cures)."""
    SETUP = "setup"
    """Key, quota, model name or a refused request: the operator's to mend."""
    DECLINED = "declined"
    """The provider's content filter."""
    LENGTH = "length"
    """The reply ran into the limit on its tokens: all of it that came is good."""
    OUT_OF_ROOM = "out of room"
    """It ran into that limit before anything could be seen of it: the model thought all the while."""
    EMPTY = "empty"
    """The model ended without a word."""
    TOO_LONG = "too long"
    """The server cannot take a context of this size, not even the prompt alone."""
    STORAGE = "storage"
    """The database could not be written."""
    INTERNAL = "internal"
    """A defect of ours, with its trace in the log."""
    USED_UP = "used up"
    """There are no tokens left for it today."""


class Limit(Enum):
    """Which queue is too long for another prompt."""

    PERSON = "person"
    """What one person has waiting in a conversation."""
    CONVERSATION = "conversation"
    BOT = "bot"
    """What waits in all conversations together."""


class Allowance(StrEnum):
    """What may be used only so much."""

    PROMPTS = "prompts"
    """One person's prompts in an hour."""
    PERSON = "person"
    """One person's tokens in a day; days are those of UTC."""
    SERVER = "server"
    """The tokens of all people in a server together."""
    BOT = "bot"


@dataclass(frozen=True, slots=True)
class Allowances:
    """How much may be used of each `Allowance`."""

    prompts_per_hour: int = 20
    tokens_per_person: int = 200_000
    tokens_per_server: int = 1_000_000
    tokens_in_all: int = 2_000_000


@dataclass(frozen=True, slots=True)
class UsedUp:
    """Nothing is left of an allowance of `most`, until a time in seconds since the epoch."""

    allowance: Allowance
    most: int
    until: int


@dataclass(frozen=True, slots=True)
class Contended:
    """There is room in every allowance, but what is under way may need it: to be asked again when some of that ends."""


@dataclass(frozen=True, slots=True)
class Grant:
    """How many tokens a reply may have. `bound` is the allowance that leaves no more; None: they are all it wants."""

    reply_tokens: int
    bound: UsedUp | None = None


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How the bot is to behave in a conversation. None: as everywhere.

    `persona` stands in place of the system prompt; `model` is a name, which may not be offered any more.
    """

    persona: str | None = None
    model: str | None = None


@dataclass(frozen=True, slots=True)
class Quote:
    """The beginning of a prompt that is somebody else's words.

    `source_id` is whose, or, where it is the bot's (`own`), the id of its message; `length` is in characters.
    """

    source_id: int
    length: int
    own: bool = False


@dataclass(frozen=True, slots=True)
class Prompt:
    """What somebody said, ready to be committed.

    `position` orders a conversation: Discord's snowflake of the message, or nanoseconds since the epoch in a terminal.
    `author_name` is None where only one person can be speaking (a DM, a terminal): the model is then told no names.
    `origin_message_id` is the message that a thread was opened on: where it is one of ours, the thread's
    conversation begins with the turn behind it. `parent` is the key of the channel that a thread belongs to.
    """

    conversation: str
    position: int
    text: str
    author_id: int | None = None
    author_name: str | None = None
    guild_id: int | None = None
    origin_message_id: int | None = None
    parent: str | None = None
    quote: Quote | None = None


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
    conversation: str
    position: int
    prompt: str
    reply: str
    state: State
    attempt: int
    author_id: int | None
    author_name: str | None
    error: Problem | None
    created_at: int
    tries: int = 1
    guild_id: int | None = None


class EarlierTurn(NamedTuple):
    """A turn with text in its reply, as a later one's context needs it. A tuple, as there may be hundreds for one."""

    position: int
    author_name: str | None
    prompt: str
    reply: str
    finished: bool
    """Whether the reply is all that the model meant to say."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message of the context, as the model is sent it."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True)
class Text:
    """A delta of the reply. Never empty."""

    text: str


@dataclass(frozen=True, slots=True)
class Thinking:
    """The model reasoned for a moment. It proves life and is never shown as the reply."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one request. As a server's event: what it counted; 0 where it did not."""

    prompt_tokens: int
    reply_tokens: int


@dataclass(frozen=True, slots=True)
class End:
    """The model said that it is done. `problem` is None, LENGTH or DECLINED."""

    problem: Problem | None = None


Event = Text | Thinking | Usage | End


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt ended, and with which text.

    `by` names the person behind a cause. `retry_after` is seconds, where the model's server gave them. `usage` is
    estimated where it did not count. `detail` is for the log and the operator, never for a conversation; `advice` is
    what of it is the same for all requests that fail for the same reason.
    """

    state: State
    text: str = ""
    problem: Problem | None = None
    cause: Cause | None = None
    by: str | None = None
    usage: Usage | None = None
    retry_after: float | None = None
    used_up: UsedUp | None = None
    detail: str = ""
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Sent:
    """One platform message that shows a part of a reply.

    `start` is the offset in the reply's source text where the part begins. `message_id` is None from the moment
    before the message is posted until the platform has answered.
    """

    part: int
    start: int
    nonce: str
    message_id: int | None


@dataclass(frozen=True, slots=True)
class Learned:
    """What a model's server has taught us about its tokens."""

    bytes_per_token: float | None = None
    """UTF-8 bytes of context for each prompt token it counted."""
    context_tokens: int | None = None
    """The largest context, in our estimate of tokens, that fitted after it had refused a larger one."""


_SHAPELESS = frozenset({"Cc", "Cf", "Cn", "Cs", "Zl", "Zp", "Zs"})
"""Unicode categories of control, format, unassigned and separating characters."""


def is_blank(text: str) -> bool:
    """Whether a person would see nothing: white space, and characters that have no shape."""
    return all(character.isspace() or unicodedata.category(character) in _SHAPELESS for character in text)

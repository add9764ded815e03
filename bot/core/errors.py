"""The errors of this project. Each carries data, and `str()` of each is one sentence for the operator.

BotError
├── SettingsError        every mistake in the settings at once
├── StoreError           the database cannot be read or written just now
│   ├── StoreUnusable    and will not be: foreign, newer, not writable, in use
│   ├── StoreBug         a statement fails through a bug, and would again
│   ├── ClaimUnconfirmed nothing may be written until the database says again what this process serves
│   └── ClaimLost        nothing may be written any more: another process serves it
├── TranscriptError      a conversation cannot be exported or imported
├── Overloaded           there are too many prompts waiting for another one
├── OverQuota            a person has asked as often as they may for now, or the day's tokens are used
├── ModelError           the model's server did not give a whole reply
│   ├── ContextTooLong   it takes no request of this size
│   ├── EmptyStream      it accepted the request and sent nothing at all
│   └── PicturesRefused  it takes no request with these pictures
└── DiscordError         Discord refuses this bot: its token, its intents
    └── DiscordUnavailable  it cannot be reached, or answers nobody just now
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

from bot.core.quotas import Quota, QuotaExceeded
from bot.core.turns import FailureReason


class QueueLimit(Enum):
    """The queue that is too long for another prompt."""

    USER = "person"
    """The prompts of one person that wait in one conversation."""
    CONVERSATION = "conversation"
    BOT = "bot"
    """The prompts that wait in all conversations together."""


_QUEUES = {
    QueueLimit.USER: "QUEUE_PER_USER",
    QueueLimit.CONVERSATION: "QUEUE_PER_CONVERSATION",
    QueueLimit.BOT: "QUEUE_TOTAL",
}
_QUOTAS = {
    Quota.QUESTIONS: "HOURLY_QUESTIONS_PER_USER",
    Quota.USER: "DAILY_TOKENS_PER_USER",
    Quota.GUILD: "DAILY_TOKENS_PER_SERVER",
    Quota.TOTAL: "DAILY_TOKENS_TOTAL",
    Quota.BUDGET: "DAILY_BUDGET",
}


class BotError(Exception):
    """An expected error, whose one sentence says what to do about it."""


class SettingsError(BotError):
    """Settings that cannot work; `problems` holds one sentence for each."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(["Some settings need another value:", *(f"  - {problem}" for problem in problems)]))


class StoreError(BotError):
    """The database cannot be read or written just now; what was committed before is safe."""


class StoreUnusable(StoreError):
    """The database will not work until somebody changes something."""


class StoreBug(StoreError):
    """A statement fails through a bug of the bot's own, and would at each further try. It is in the log already."""


class ClaimUnconfirmed(StoreError):
    """Nothing may be written, and nobody be told anything, until the database confirms what this process serves."""


class ClaimLost(StoreError):
    """Nothing may be written any more for what this process served: that is another process's now."""


class TranscriptError(BotError):
    """A conversation cannot be written to a file, or taken from one. Nothing has changed."""


class Overloaded(BotError):
    """A prompt was refused because a queue is full. `repeated`: the same refusal was announced a short time ago."""

    def __init__(self, limit: QueueLimit, *, repeated: bool) -> None:
        self.limit = limit
        self.repeated = repeated
        super().__init__(f"Too many questions are waiting: raise {_QUEUES[limit]} to allow more.")


class OverQuota(BotError):
    """A prompt was refused because a quota is used up."""

    def __init__(self, quota_exceeded: QuotaExceeded) -> None:
        self.quota_exceeded = quota_exceeded
        super().__init__(f"A limit is reached: raise {_QUOTAS[quota_exceeded.quota]} to allow more.")


class ModelError(BotError):
    """The model's server did not give a whole reply.

    `detail` is for the log and the operator, never for a conversation. `advice` is the part of it that is the same for
    all requests that fail for this reason. `server_message` is the server's own text; it may repeat a message, so it is
    logged only where messages may be. `retry_after` is in seconds. `accepted`: the server may have worked on the
    request, and may bill it, although nothing of a reply came. `nothing_answered`: there was not even a connection, as
    if there were no server.
    """

    def __init__(
        self,
        failure: FailureReason,
        detail: str,
        retry_after: float | None = None,
        *,
        advice: str = "",
        server_message: str = "",
        accepted: bool = False,
        nothing_answered: bool = False,
    ) -> None:
        self.failure = failure
        self.detail = detail
        self.advice = advice or detail
        self.server_message = server_message
        self.retry_after = retry_after
        self.accepted = accepted
        self.nothing_answered = nothing_answered
        super().__init__(detail)


class ContextTooLong(ModelError):
    """The model's server takes no context of this size, or none with so much room for a reply beside it.

    `window` is the tokens that the server says it takes, of the context and the reply together, and `prompt_tokens` its
    count of the context that it refused. Both are the server's word: None where it does not say, and maybe wrong.
    """

    def __init__(
        self,
        detail: str,
        window: int | None = None,
        prompt_tokens: int | None = None,
        *,
        advice: str = "",
        server_message: str = "",
    ) -> None:
        super().__init__(FailureReason.TOO_LONG, detail, advice=advice, server_message=server_message)
        self.window = window
        self.prompt_tokens = prompt_tokens


class EmptyStream(ModelError):
    """The model's server accepted a request and sent not one event. Some do that if the context is too long."""

    def __init__(self, detail: str) -> None:
        super().__init__(FailureReason.UNREACHABLE, detail, accepted=True)


class PicturesRefused(ModelError):
    """The model's server refused a request that has pictures, and may take one without.

    `most` is the number of pictures that it takes: 0 if the model cannot see, None if the refusal names none.
    """

    def __init__(self, detail: str, most: int | None, *, advice: str = "", server_message: str = "") -> None:
        super().__init__(FailureReason.CONFIGURATION, detail, advice=advice, server_message=server_message)
        self.most = most


class DiscordError(BotError):
    """Discord refuses this bot, and will until somebody changes its token or its settings."""


class DiscordUnavailable(DiscordError):
    """Discord could not be reached, or did not answer as it should. Another try may help, after `pause` seconds."""

    def __init__(self, problem: str, remedy: str, reason: str = "", *, pause: float = 0.0) -> None:
        super().__init__(" ".join(filter(None, (problem, remedy, reason))))
        self.problem = " ".join(filter(None, (problem, reason)))
        """What is wrong, without what a person could do."""
        self.pause = pause

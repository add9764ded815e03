"""A request to a model, and what the requests of one attempt share. Values only."""

from __future__ import annotations

from dataclasses import dataclass

from bot.core import context
from bot.core.attempt import ActiveAttempt
from bot.core.errors import ModelError
from bot.core.model_events import TokenStatistics
from bot.core.protocols import ReplySink
from bot.core.quotas import QuotaExceeded
from bot.core.turns import Turn


@dataclass(slots=True)
class Asking:
    """What the requests of one attempt share. `learned` changes with what the server counts."""

    turn: Turn
    running: ActiveAttempt
    sink: ReplySink
    model: str
    key: str
    """The model's name with its server, under which token statistics are stored."""
    system_prompt: str
    learned: TokenStatistics
    moves_window: bool
    """Whether a full context moves the beginning of what is sent of the conversation."""


@dataclass(slots=True)
class Request:
    """One request, its limit on the reply in tokens, the quota that allows no more, and its error, if it had one."""

    fitting: context.Context
    reply_tokens: int
    limited_by: QuotaExceeded | None
    error: ModelError | None = None
    ended_at_limit: bool = False
    """Whether the server itself ended the reply at the limit."""

    @property
    def size(self) -> int:
        """The tokens of context and reply together, by our estimate."""
        return self.fitting.tokens + self.reply_tokens

"""A request to a model, and what the requests of one attempt share. Values only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bot.core import context
from bot.core.attempt import ActiveAttempt
from bot.core.errors import ModelError, PicturesRefused
from bot.core.model_events import TokenStatistics
from bot.core.pictures import PictureProblem
from bot.core.protocols import ReplySink
from bot.core.quotas import QuotaExceeded
from bot.core.summaries import WindowSummaries
from bot.core.turns import Behaviour, ContextPage, Turn


@dataclass(frozen=True, slots=True)
class Stored:
    """What is on record of a conversation for the context of a request: the latest turns of its window first."""

    window: ContextPage
    most_turns: int
    """The turns that were read of the window at the most."""
    notes: Sequence[str]
    summaries: WindowSummaries
    read_at: float
    """On the event loop's clock."""


@dataclass(frozen=True, slots=True)
class OnRecord:
    """What is on record for the requests of an attempt."""

    behaviour: Behaviour
    turn: Turn | None
    """None if the turn was forgotten."""
    statistics: Mapping[str, TokenStatistics]
    """Of each model by its key, which is not known before the behaviour."""
    stored: Stored


@dataclass(slots=True)
class Asking:
    """What the requests of one attempt share. `learned` changes with what the server counts."""

    turn: Turn
    stored: Stored | None
    """For the first context, while it is new."""
    running: ActiveAttempt
    sink: ReplySink
    model: str
    key: str
    """The model's name with its server, under which token statistics are stored."""
    system_prompt: str
    learned: TokenStatistics
    moves_window: bool
    """Whether a full context moves the beginning of what is sent of the conversation."""
    most_pictures: int | None = None
    """The most pictures that a request may have. None: the server has refused none."""
    blind: PictureProblem = PictureProblem.UNSEEN
    """The reason why a request has no pictures, where it may have none."""
    pictures_awaited: bool = False

    def refuse_pictures(self, refusal: PicturesRefused) -> None:
        """Send only as many pictures from now on as the model's server says that it takes, or else none."""
        if refusal.most is None or refusal.most == self.most_pictures:
            self.blind, self.most_pictures = PictureProblem.REFUSED, 0
        else:
            self.most_pictures = refusal.most


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

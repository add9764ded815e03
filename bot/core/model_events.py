"""The messages to a model, the events of its reply, and its token statistics. Values only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bot.core.pictures import Picture
from bot.core.quotas import Usage
from bot.core.turns import Conversation, FailureReason


@dataclass(frozen=True, slots=True)
class Message:
    """One message of the context, as the model is sent it. Its text names its pictures in their order."""

    role: Literal["system", "user", "assistant"]
    content: str
    pictures: tuple[Picture, ...] = ()

    @property
    def picture_tokens(self) -> int:
        """The estimated tokens of the pictures."""
        return sum(each.tokens for each in self.pictures) if self.pictures else 0


@dataclass(frozen=True, slots=True)
class Origin:
    """Whom a request is for. A model's server is told it as hashes, if at all."""

    conversation: Conversation
    user_id: int | None


@dataclass(frozen=True, slots=True)
class Text:
    """A delta of the reply. Never empty."""

    text: str


@dataclass(frozen=True, slots=True)
class Reasoning:
    """A chunk of reasoning. It shows that the model works, and its text is dropped."""


@dataclass(frozen=True, slots=True)
class Discard:
    """All text so far was reasoning and no part of the reply, as is known only now."""


@dataclass(frozen=True, slots=True)
class End:
    """The end of the reply, as the model reports it. `failure` is None, LENGTH or CONTENT_FILTERED."""

    failure: FailureReason | None = None


Event = Text | Reasoning | Discard | Usage | End


@dataclass(frozen=True, slots=True)
class TokenStatistics:
    """Statistics of a model's tokens from its server's counts and refusals."""

    bytes_per_token: float | None = None
    """UTF-8 bytes of context for each prompt token that the server counted."""
    window: int | None = None
    """The tokens of context and reply together, by our estimate, that the server takes, as far as its refusals and its
    counts have shown. None: it has refused nothing."""
    picture_ratio: float | None = None
    """Tokens that the server counted of pictures for each token of our estimate. Learned apart from those of text."""

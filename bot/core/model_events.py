"""What the model is sent, what it answers with, and what its server taught about tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bot.core.quotas import Usage
from bot.core.turns import FailureReason


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
class Reasoning:
    """The model reasoned for a moment. It proves life and is never shown as the reply."""


@dataclass(frozen=True, slots=True)
class End:
    """The model said that it is done. `problem` is None, LENGTH or DECLINED."""

    failure: FailureReason | None = None


Event = Text | Reasoning | Usage | End


@dataclass(frozen=True, slots=True)
class TokenStatistics:
    """What a model's server has taught us about its tokens."""

    bytes_per_token: float | None = None
    """UTF-8 bytes of context for each prompt token it counted."""
    context_tokens: int | None = None
    """The largest context, in our estimate of tokens, that fitted after it had refused a larger one."""

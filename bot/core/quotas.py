"""What may be used, what a request may use at the most, and what it did use."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Quota(StrEnum):
    """What may be used only so much."""

    QUESTIONS = "prompts"
    """One person's prompts in an hour."""
    USER = "person"
    """One person's tokens in a day; days are those of UTC."""
    GUILD = "server"
    """The tokens of all people in a server together."""
    BOT = "bot"


@dataclass(frozen=True, slots=True)
class Quotas:
    """How much may be used of each `Allowance`."""

    hourly_questions_per_user: int = 20
    daily_tokens_per_user: int = 200_000
    daily_tokens_per_server: int = 1_000_000
    daily_tokens_total: int = 2_000_000


@dataclass(frozen=True, slots=True)
class QuotaExceeded:
    """Nothing is left of an allowance of `most`, until a time in seconds since the epoch."""

    quota: Quota
    limit: int
    until: int


@dataclass(frozen=True, slots=True)
class Contended:
    """There is room in every allowance, but what is under way may need it: to be asked again when some of that ends."""


@dataclass(frozen=True, slots=True)
class Reservation:
    """How many tokens a reply may have. `bound` is the allowance that leaves no more; None: they are all it wants."""

    reply_tokens: int
    limited_by: QuotaExceeded | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one request. As a server's event: what it counted; 0 where it did not."""

    prompt_tokens: int
    reply_tokens: int

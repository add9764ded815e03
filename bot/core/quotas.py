"""What may be used, what a request may use at the most, and what it did use."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Quota(StrEnum):
    """A limited resource."""

    QUESTIONS = "questions"
    """The questions of one user in an hour."""
    USER = "user"
    """The tokens of one user in a day of UTC."""
    GUILD = "guild"
    """The tokens of all users in one guild in a day."""
    TOTAL = "total"


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

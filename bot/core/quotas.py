"""Quotas, reservations and usage of tokens."""

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
    """The limit of each `Quota`."""

    hourly_questions_per_user: int = 20
    daily_tokens_per_user: int = 200_000
    daily_tokens_per_server: int = 1_000_000
    daily_tokens_total: int = 2_000_000


@dataclass(frozen=True, slots=True)
class QuotaExceeded:
    """Nothing is left of a quota of `limit`, until a time in seconds since the epoch."""

    quota: Quota
    limit: int
    until: int


@dataclass(frozen=True, slots=True)
class Contended:
    """Every quota has room, but running attempts may need it. To be asked again when one of them ends."""


@dataclass(frozen=True, slots=True)
class Reservation:
    """How many tokens a reply may have. `limited_by` is the quota that leaves no more; None: they are all."""

    reply_tokens: int
    limited_by: QuotaExceeded | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """The tokens of one request. From a model's server: 0 where it did not count."""

    prompt_tokens: int
    reply_tokens: int

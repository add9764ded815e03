"""The quotas, the reservations from them, and the tokens that a request used. Values only."""

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
    """A quota is used up, until a time in seconds since the epoch. `limit` is its whole amount."""

    quota: Quota
    limit: int
    until: int


@dataclass(frozen=True, slots=True)
class Contended:
    """Running requests have reserved the rest of a quota. Ask again when one of them ends."""


@dataclass(frozen=True, slots=True)
class Reservation:
    """The tokens that a reply may have. `limited_by` is the quota that allows no more, if the reply wanted more."""

    reply_tokens: int
    limited_by: QuotaExceeded | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """The tokens of one request. In a server's event, 0 means that it did not count them."""

    prompt_tokens: int
    reply_tokens: int

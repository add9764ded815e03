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
    """The tokens of all users in a day."""
    BUDGET = "budget"
    """The cost of all users' tokens in a day."""


@dataclass(frozen=True, slots=True)
class Quotas:
    """The limit of each `Quota`. None means no limit; what is used is counted all the same.

    Of the tokens that a server read from its cache, as many count as that share of the price of others.
    """

    hourly_questions_per_user: int | None = 20
    daily_tokens_per_user: int | None = 200_000
    daily_tokens_per_server: int | None = 1_000_000
    daily_tokens_total: int | None = 2_000_000
    daily_budget: int | None = None
    """In millionths of the operator's currency."""

    def of_day(self, quota: Quota) -> int | None:
        """The limit of a quota that is for a day."""
        return {
            Quota.USER: self.daily_tokens_per_user,
            Quota.GUILD: self.daily_tokens_per_server,
            Quota.TOTAL: self.daily_tokens_total,
            Quota.BUDGET: self.daily_budget,
        }[quota]


NO_LIMITS = Quotas(None, None, None, None)
"""Everything is counted and nothing is refused."""


@dataclass(frozen=True, slots=True)
class QuotaExceeded:
    """A quota is used up, until a time in seconds since the epoch.

    `limit` is its whole amount: questions, tokens, or for the budget millionths of the operator's currency.
    """

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
    cached_tokens: int = 0
    """The part of `prompt_tokens` that the server read from its cache."""
    reasoning_tokens: int = 0
    """The part of `reply_tokens` that went into reasoning."""

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.prompt_tokens + other.prompt_tokens,
            self.reply_tokens + other.reply_tokens,
            cached_tokens=self.cached_tokens + other.cached_tokens,
            reasoning_tokens=self.reasoning_tokens + other.reasoning_tokens,
        )

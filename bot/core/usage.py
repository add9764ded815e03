"""Used tokens and their cost. Pure."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from bot.core.quotas import NO_LIMITS, Quotas, Usage

DAY = 24 * 3600
"""The seconds of a day."""

MICRO = 1_000_000
"""The millionths of the operator's currency in one. Money is counted in whole millionths."""

_Key = TypeVar("_Key", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Price:
    """The prices of a million tokens, in millionths of the operator's currency.

    A token that the server read from its cache costs `cached`, which is at most `prompt`.
    """

    prompt: int
    reply: int
    cached: int

    def cost(self, usage: Usage) -> int:
        """The cost of these tokens in millionths, rounded up."""
        fresh = (usage.prompt_tokens - usage.cached_tokens) * self.prompt
        return -(-(fresh + usage.cached_tokens * self.cached + usage.reply_tokens * self.reply) // MICRO)


@dataclass(frozen=True, slots=True)
class LeastRequest:
    """The least tokens that a prompt can be answered with, their price, and the quotas that need room for them."""

    prompt_tokens: int
    reply_tokens: int
    quotas: Quotas
    price: Price | None = None


ANY_REQUEST = LeastRequest(0, 0, NO_LIMITS)
"""No quota is looked at."""


@dataclass(frozen=True, slots=True)
class UsageToday:
    """The use of each quota, with the reservations of running requests: tokens today (UTC), prompts in the last hour.

    `user` and `questions` are of one user, `guild` of one guild; 0 where none was asked about. `total` is of everybody.
    """

    user: int = 0
    guild: int = 0
    total: int = 0
    questions: int = 0
    cost: int = 0
    """The cost of `total`, in millionths, of models with a price."""


@dataclass(frozen=True, slots=True)
class UsageRow:
    """The use of one model by one person in one server on one day, in days since the epoch (UTC).

    Without a `guild_id` it was in no server. Without a `user_id` the person was forgotten or is not known, or the
    requests failed before they saw anything.
    """

    day: int
    model: str
    guild_id: int | None
    user_id: int | None
    requests: int
    prompt_tokens: int
    reply_tokens: int
    cached_tokens: int = 0
    """The part of `prompt_tokens` that the server read from its cache."""
    reasoning_tokens: int = 0
    """The part of `reply_tokens` that went into reasoning."""

    @property
    def tokens(self) -> int:
        return self.prompt_tokens + self.reply_tokens

    @property
    def usage(self) -> Usage:
        return Usage(self.prompt_tokens, self.reply_tokens, self.cached_tokens, self.reasoning_tokens)


@dataclass(frozen=True, slots=True)
class UsageReport:
    """The use of everybody by model, and by day, by guild and by person.

    A row has the day 0, no guild or no user where it is a sum over these.
    """

    by_day: Sequence[UsageRow]
    by_guild: Sequence[UsageRow]
    by_person: Sequence[UsageRow]
    """Of those who used most. All that is in nobody's name counts as one person's."""


@dataclass(frozen=True, slots=True)
class Total:
    """A sum of usage. `cost`, in millionths, is None where no price is known; it is incomplete unless `all_priced`."""

    requests: int = 0
    prompt_tokens: int = 0
    reply_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    cost: int | None = None
    all_priced: bool = True

    @property
    def tokens(self) -> int:
        return self.prompt_tokens + self.reply_tokens


@dataclass(frozen=True, slots=True)
class Prices:
    """The prices of models, by name."""

    of_models: Mapping[str, Price] = field(default_factory=dict)

    def cost(self, model: str, usage: Usage) -> int | None:
        """Return the cost of a model's tokens in millionths, or None if the model's price is not known."""
        price = self.of_models.get(model)
        return None if price is None else price.cost(usage)

    def total(self, rows: Iterable[UsageRow]) -> Total:
        """The sum of the rows."""
        rows = tuple(rows)
        costs = [self.cost(row.model, row.usage) for row in rows]
        known = [cost for cost in costs if cost is not None]
        return Total(
            requests=sum(row.requests for row in rows),
            prompt_tokens=sum(row.prompt_tokens for row in rows),
            reply_tokens=sum(row.reply_tokens for row in rows),
            cached_tokens=sum(row.cached_tokens for row in rows),
            reasoning_tokens=sum(row.reasoning_tokens for row in rows),
            cost=sum(known) if known else None,
            all_priced=len(known) == len(costs),
        )


def grouped(rows: Iterable[UsageRow], key: Callable[[UsageRow], _Key]) -> dict[_Key, list[UsageRow]]:
    """The rows grouped by `key`, the group with the most tokens first."""
    groups: dict[_Key, list[UsageRow]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return dict(sorted(groups.items(), key=lambda group: -sum(row.tokens for row in group[1])))


def money(total: Total) -> str | None:
    """Return the cost in the operator's currency, to the hundredth, or None if no price is known.

    A sign marks a cost that is less than a hundredth, or more because some of the usage has no price.
    """
    if total.cost is None:
        return None
    if 0 < total.cost < MICRO // 200:
        return "<0.01" if total.all_priced else ">0.00"
    return f"{'' if total.all_priced else '>'}{total.cost / MICRO:,.2f}"


def amount(millionths: int) -> str:
    """An amount of money, to the hundredth, or exactly where it is less than a tenth."""
    return f"{millionths / MICRO:,.2f}" if millionths >= MICRO // 10 else f"{millionths / MICRO:.6f}".rstrip("0")

"""Used tokens and their cost. Pure."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from bot.core.quotas import Usage

DAY = 24 * 3600
"""The seconds of a day."""

_MILLION = 1_000_000

_Key = TypeVar("_Key", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Price:
    """The prices of a million tokens, in the operator's currency."""

    prompt: float
    reply: float


@dataclass(frozen=True, slots=True)
class UsageToday:
    """The use of each quota, with the reservations of running requests: tokens today (UTC), prompts in the last hour.

    `user` and `questions` are of one user, `guild` of one guild; 0 where none was asked about. `total` is of everybody.
    """

    user: int = 0
    guild: int = 0
    total: int = 0
    questions: int = 0


@dataclass(frozen=True, slots=True)
class UsageRow:
    """The use of one model by one person in one server on one day, in days since the epoch (UTC).

    Without a `guild_id` it was in no server. Without a `user_id` the person was forgotten, or is not known.
    """

    day: int
    model: str
    guild_id: int | None
    user_id: int | None
    requests: int
    prompt_tokens: int
    reply_tokens: int

    @property
    def tokens(self) -> int:
        return self.prompt_tokens + self.reply_tokens


@dataclass(frozen=True, slots=True)
class Total:
    """A sum of usage. `cost` is None where no price is known, and incomplete where `all_priced` is false."""

    requests: int = 0
    prompt_tokens: int = 0
    reply_tokens: int = 0
    cost: float | None = None
    all_priced: bool = True

    @property
    def tokens(self) -> int:
        return self.prompt_tokens + self.reply_tokens


@dataclass(frozen=True, slots=True)
class Prices:
    """The prices of models, by name, in the operator's currency for a million tokens."""

    of_models: Mapping[str, Price] = field(default_factory=dict)

    def cost(self, model: str, usage: Usage) -> float | None:
        """Return the cost of a model's tokens, or None if the model's price is not known."""
        price = self.of_models.get(model)
        if price is None:
            return None
        return (usage.prompt_tokens * price.prompt + usage.reply_tokens * price.reply) / _MILLION

    def total(self, rows: Iterable[UsageRow]) -> Total:
        """The sum of the rows."""
        rows = tuple(rows)
        costs = [self.cost(row.model, Usage(row.prompt_tokens, row.reply_tokens)) for row in rows]
        known = [cost for cost in costs if cost is not None]
        return Total(
            requests=sum(row.requests for row in rows),
            prompt_tokens=sum(row.prompt_tokens for row in rows),
            reply_tokens=sum(row.reply_tokens for row in rows),
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
    if 0 < total.cost < 0.005:
        return "<0.01" if total.all_priced else ">0.00"
    return f"{'' if total.all_priced else '>'}{total.cost:,.2f}"

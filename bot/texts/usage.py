"""The sentences of /usage."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from bot.core.quotas import Quotas
from bot.core.usage import Total, UsageToday, money

MINE = "mine"
"""The option for what a user used themselves."""
SERVER = "server"
"""The option for what everybody in a server used."""

NOT_COUNTED = "Nothing is counted here. Use me as much as you like."
NOT_FOR_YOU = "Only moderators can see what this server used. /usage without an option shows what you used."
NO_SERVER_HERE = "This is a direct message, not a server. /usage without an option shows what you used."
WHOSE = "I can show what you used (`mine`), or what this server used (`server`)."

_MAX_NAMED = 5
"""Models and people that a list names."""


def whose(chosen: str) -> str:
    """The label of an option in the list that a user chooses from."""
    return {MINE: "mine: what I used", SERVER: "server: what everybody in this server used"}[chosen]


def own_usage(spent: UsageToday, quotas: Quotas, month: Total, *, resets_at: int, in_guild: bool) -> str:
    """The usage of a user. `resets_at` is the start of the next day, in seconds since the epoch."""
    lines = [
        "**What you used**",
        f"Questions in the last hour: {spent.questions:,}{_limit(quotas.hourly_questions_per_user)}",
        f"Tokens today: {_of(spent.user, quotas.daily_tokens_per_user, resets_at)}",
        _month(month),
    ]
    if _all_used(spent, quotas):
        lines.append("My limit for today is used up, for everyone.")
    elif in_guild and _reached(spent.guild, quotas.daily_tokens_per_server):
        lines.append("This server's limit for today is used up, for everyone.")
    lines.append("-# Tokens are pieces of words. I count your question, the history sent with it, and my answer.")
    return "\n".join(lines)


def guild_usage(
    spent: UsageToday,
    quotas: Quotas,
    month: Total,
    models: Mapping[str, int],
    people: Mapping[int, int],
    *,
    resets_at: int,
) -> str:
    """The usage of a server. `models` and `people` (by id) map to their tokens of the last 30 days, most first."""
    lines = [
        "**What this server used**",
        f"Tokens today: {_of(spent.guild, quotas.daily_tokens_per_server, resets_at)}",
        _month(month, details=True),
    ]
    if models:
        lines.append(f"By model: {_most((f'`{name}`', tokens) for name, tokens in models.items())}")
    if people:
        lines.append(f"Most by: {_most((f'<@{person}>', tokens) for person, tokens in people.items())}")
    if _all_used(spent, quotas):
        lines.append("My limit for today is used up, for everyone.")
    return "\n".join(lines)


def _all_used(spent: UsageToday, quotas: Quotas) -> bool:
    return _reached(spent.total, quotas.daily_tokens_total) or _reached(spent.cost, quotas.daily_budget)


def _reached(used: int, limit: int | None) -> bool:
    return limit is not None and used >= limit


def _limit(limit: int | None) -> str:
    return "" if limit is None else f" of {limit:,}"


def _of(used: int, limit: int | None, resets_at: int) -> str:
    left = "" if limit is None else f", {max(0, limit - used):,} left, reset <t:{resets_at}:R>"
    return f"{used:,}{_limit(limit)}{left}"


def _month(total: Total, *, details: bool = False) -> str:
    """The usage of the last days. `details` names the cached and the reasoning tokens, if there are any."""
    kinds = [
        f"{tokens:,} {kind}"
        for tokens, kind in ((total.cached_tokens, "cached"), (total.reasoning_tokens, "reasoning"))
        if details and tokens
    ]
    of_them = f" ({', '.join(kinds)})" if kinds else ""
    cost = money(total)
    price = "" if cost is None else f", at a price of {cost} (in my owner's currency)"
    return f"Last 30 days: {total.tokens:,} tokens{of_them}{price}"


def _most(used: Iterable[tuple[str, int]]) -> str:
    return " · ".join(f"{name} {tokens:,}" for name, tokens in list(used)[:_MAX_NAMED])

"""The sentences of /usage."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from bot.core.quotas import Quotas
from bot.core.usage import Total, UsageToday, money

MINE = "mine"
"""The option for what a user used themselves."""
SERVER = "server"
"""The option for what everybody in a server used."""

NOT_COUNTED = "Nothing is counted here: use me as you like."
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
        f"Questions in the last hour: {spent.questions:,} of {quotas.hourly_questions_per_user:,}",
        f"Tokens today: {_of(spent.user, quotas.daily_tokens_per_user)}, renewed <t:{resets_at}:R>",
        _month(month),
    ]
    if spent.total >= quotas.daily_tokens_total:
        lines.append("All that I may use today is used up, whoever asks.")
    elif in_guild and spent.guild >= quotas.daily_tokens_per_server:
        lines.append("All that this server may use today is used up, whoever asks.")
    lines.append("-# Tokens are bits of words: of what you ask, of what I'm reminded of, and of what I answer.")
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
        f"Tokens today: {_of(spent.guild, quotas.daily_tokens_per_server)}, renewed <t:{resets_at}:R>",
        _month(month),
    ]
    if models:
        lines.append(f"By model: {_most((f'`{name}`', tokens) for name, tokens in models.items())}")
    if people:
        lines.append(f"Most by: {_most((f'<@{person}>', tokens) for person, tokens in people.items())}")
    if spent.total >= quotas.daily_tokens_total:
        lines.append("All that I may use today in all places together is used up.")
    return "\n".join(lines)


def _of(used: int, most: int) -> str:
    return f"{used:,} of {most:,}, {max(0, most - used):,} left"


def _month(total: Total) -> str:
    cost = money(total)
    price = "" if cost is None else f", at a price of {cost} (in the currency of whoever runs me)"
    return f"Last 30 days: {total.tokens:,} tokens{price}"


def _most(used: Iterable[tuple[str, int]]) -> str:
    return " · ".join(f"{name} {tokens:,}" for name, tokens in list(used)[:_MAX_NAMED])

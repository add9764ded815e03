"""What the bot says of itself: how it is used, what it keeps, where messages go, and what was used of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from bot.core.quotas import Quotas
from bot.core.usage import Total, UsageToday, money

MINE, SERVER = "mine", "server"
"""Whose usage can be asked for."""

NOT_COUNTED = "Nothing is counted here: use me as you like."
NOT_FOR_YOU = "Only moderators can see what this server used. /usage without an option shows what you used."
NO_SERVER_HERE = "This is a direct message, not a server. /usage without an option shows what you used."
WHOSE = "I can show what you used (`mine`), or what this server used (`server`)."

_LONGEST = 2000
"""Characters of a message."""
_NAMED = 5


def whose(chosen: str) -> str:
    """How a person finds it in a list."""
    return {MINE: "mine: what I used", SERVER: "server: what everybody in this server used"}[chosen]


def own_usage(spent: UsageToday, allowances: Quotas, month: Total, *, resets_at: int, in_server: bool) -> str:
    """What a person used. `resets_at` is when the next day begins, in seconds since the epoch."""
    lines = [
        "**What you used**",
        f"Questions in the last hour: {spent.questions:,} of {allowances.hourly_questions_per_user:,}",
        f"Tokens today: {_of(spent.user, allowances.daily_tokens_per_user)}, renewed <t:{resets_at}:R>",
        _month(month),
    ]
    if spent.total >= allowances.daily_tokens_total:
        lines.append("All that I may use today is used up, whoever asks.")
    elif in_server and spent.guild >= allowances.daily_tokens_per_server:
        lines.append("All that this server may use today is used up, whoever asks.")
    lines.append("-# Tokens are bits of words: of what you ask, of what I'm reminded of, and of what I answer.")
    return "\n".join(lines)


def server_usage(
    spent: UsageToday,
    allowances: Quotas,
    month: Total,
    models: Mapping[str, int],
    people: Mapping[int, int],
    *,
    resets_at: int,
) -> str:
    """What a server used; `models` and `people` (by id) with their tokens in these days, most first."""
    lines = [
        "**What this server used**",
        f"Tokens today: {_of(spent.guild, allowances.daily_tokens_per_server)}, renewed <t:{resets_at}:R>",
        _month(month),
    ]
    if models:
        lines.append(f"By model: {_most((f'`{name}`', tokens) for name, tokens in models.items())}")
    if people:
        lines.append(f"Most by: {_most((f'<@{person}>', tokens) for person, tokens in people.items())}")
    if spent.total >= allowances.daily_tokens_total:
        lines.append("All that I may use today in all places together is used up.")
    return "\n".join(lines)


def help_text(
    bot: str | None,
    denied: str | None,
    model: str,
    provider: str,
    *,
    direct_messages: bool,
    retention_days: int,
    hourly_questions_per_user: int | None,
    persona: bool,
    commands: Sequence[tuple[str, str]],
) -> str:
    """How the bot is used where it was asked. `denied` is why it does not answer there, `commands` each with its use.

    `bot` is what it is called there; None in a DM, where nobody has to mention it.
    Fits one message: where there are too many commands, they are only named.
    """
    if bot is None:
        asking = '**Just write to me**, like "why is the night sky dark?". In a server, mention me or reply to me.'
    else:
        reply = "by a reply to one of my messages"
        others = f"{reply}, or in a direct message" if direct_messages else f"or {reply}"
        asking = f'**Ask me** by mentioning me, like "@{bot} why is the night sky dark?", {others}.'
    if hourly_questions_per_user is not None:
        questions = "one question" if hourly_questions_per_user == 1 else f"{hourly_questions_per_user:,} questions"
        asking += f" You have {questions} an hour; /usage shows what is left."
    memory = (
        "**I remember** what is said with me, separately in every channel, thread and direct message. /reset forgets"
        " what was said here, /forget-me all that you said."
    )
    if retention_days:
        memory += f" Where nobody talks to me for {retention_days} days, I forget by myself."
    way = f"**Your messages go** to the model `{model}` ({provider}), with what I remember here."
    if persona:
        way += " Somebody told me how to behave here: /persona shows it."
    paragraphs = [f"**{denied}**"] if denied else []
    paragraphs += [asking, memory, way]
    for listed in ("\n".join(f"{name} {does}" for name, does in commands), " ".join(name for name, _ in commands)):
        text = "\n\n".join([*paragraphs, f"**Commands**\n{listed}"])
        if len(text) <= _LONGEST:
            break
    return text[:_LONGEST]


def _of(used: int, most: int) -> str:
    return f"{used:,} of {most:,}, {max(0, most - used):,} left"


def _month(total: Total) -> str:
    cost = money(total)
    price = "" if cost is None else f", at a price of {cost} (in the currency of whoever runs me)"
    return f"Last 30 days: {total.tokens:,} tokens{price}"


def _most(used: Iterable[tuple[str, int]]) -> str:
    return " · ".join(f"{name} {tokens:,}" for name, tokens in list(used)[:_NAMED])

"""Alerts to the bot's owner in direct messages. `until` is when the tokens of the next day begin (epoch seconds)."""

from __future__ import annotations

from datetime import date

from bot.core.usage import amount

_RESTART = "in .env and restart."


def quota_mostly_used(used: int, limit: int, until: int, guild_name: str | None = None) -> str:
    """Four fifths of a day's tokens are used: those of a guild, or (None) those of the whole bot."""
    share, setting = _whose(guild_name)
    return (
        f"{used * 100 // limit} % of {share} for today are used: {used:,} of {limit:,}. If the rest goes too, I"
        f" won't answer anyone{_where(guild_name)} until <t:{until}:t>. For more, raise {setting} {_RESTART}"
    )


def quota_used_up(limit: int, until: int, guild_name: str | None = None) -> str:
    """A day's tokens are used up: those of a guild, or (None) those of the whole bot."""
    share, setting = _whose(guild_name)
    return (
        f"{share[0].upper()}{share[1:]} for today are used up, all {limit:,}. I won't answer anyone{_where(guild_name)}"
        f" until <t:{until}:t>, <t:{until}:R>. For more, raise {setting} {_RESTART}"
    )


def budget_mostly_spent(spent: int, budget: int, until: int) -> str:
    """Four fifths of a day's budget are spent. Amounts are in millionths."""
    return (
        f"{spent * 100 // budget} % of my budget for today is spent: {amount(spent)} of {amount(budget)}. If the rest"
        f" goes too, I won't answer anyone until <t:{until}:t>. For more, raise DAILY_BUDGET {_RESTART}"
    )


def budget_spent(budget: int, until: int) -> str:
    """A day's budget, in millionths, is spent."""
    return (
        f"My budget for today is spent, all {amount(budget)}. I won't answer anyone until <t:{until}:t>, <t:{until}:R>."
        f" For more, raise DAILY_BUDGET {_RESTART}"
    )


def configuration_error(detail: str) -> str:
    """The model server refuses requests for a reason that the operator can mend."""
    return f"I couldn't answer a question because of a set-up problem. {detail}"


def model_unreachable(detail: str) -> str:
    """The model server sends no replies, or breaks them off."""
    return f"My model isn't answering. {detail}"


def model_works_again(model: str) -> str:
    """The model answers after a failure that was reported."""
    return f"{model} is answering again."


def model_replaced(detail: str) -> str:
    """A model failed before the first word of a reply, so that the fallback was asked."""
    return f"A model failed, so I asked FALLBACK_MODEL instead. {detail}"


def context_cut(detail: str) -> str:
    """The model server reads less of a conversation than it is sent."""
    return f"My model doesn't read the beginning of longer conversations. {detail} Until then I send it less."


def model_shutdown(model: str, day: date, left: int, setting: str) -> str:
    """A model is shut down in `left` days, or has been if that is negative. `setting` names the model."""
    if left < 0:
        said = f"My provider shut down {model} on {day}."
    else:
        when = "today" if left == 0 else "tomorrow" if left == 1 else f"in {left} days"
        said = f"My provider shuts down {model} on {day}, {when}."
    return f"{said} Choose another model: change {setting} {_RESTART}"


def _whose(guild_name: str | None) -> tuple[str, str]:
    return (
        ("my tokens", "DAILY_TOKENS_TOTAL")
        if guild_name is None
        else (f"the tokens of {guild_name}", "DAILY_TOKENS_PER_SERVER")
    )


def _where(guild_name: str | None) -> str:
    return "" if guild_name is None else " there"

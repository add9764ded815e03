"""What the bot's owner is told in direct messages. `until`: seconds since the epoch, when a day's tokens are new."""

from __future__ import annotations

from datetime import date

_RESTART = "in .env and restart."


def mostly_used(used: int, most: int, until: int, server: str | None = None) -> str:
    """Four fifths of a day's tokens are used: of one server's, or of all."""
    share, setting = _of(server)
    return (
        f"{used * 100 // most} % of {share} for today are used: {used:,} of {most:,}. If the rest goes too, I answer"
        f" nobody{_there(server)} until <t:{until}:t>. For more, raise {setting} {_RESTART}"
    )


def used_up(most: int, until: int, server: str | None = None) -> str:
    """Nothing worth mentioning is left of them."""
    share, setting = _of(server)
    return (
        f"{share[0].upper()}{share[1:]} for today are used up, all {most:,}. I answer nobody{_there(server)} until"
        f" <t:{until}:t>, <t:{until}:R>. For more, raise {setting} {_RESTART}"
    )


def set_up(detail: str) -> str:
    """The model's server refuses what it is asked, for a reason that the operator can mend."""
    return f"A question went unanswered for a set-up problem. {detail}"


def unreachable(detail: str) -> str:
    """The model's server gives no replies, or breaks them off."""
    return f"My model isn't answering. {detail}"


def shutdown(model: str, day: date, left: int, setting: str) -> str:
    """A model is shut down in so many days; below 0: it was. `setting` is the one that names it."""
    if left < 0:
        said = f"My provider shut down {model} on {day}."
    else:
        when = "today" if left == 0 else "tomorrow" if left == 1 else f"in {left} days"
        said = f"My provider shuts down {model} on {day}, {when}."
    return f"{said} Choose another model: change {setting} {_RESTART}"


def _of(server: str | None) -> tuple[str, str]:
    return (
        ("my tokens", "DAILY_TOKENS_TOTAL")
        if server is None
        else (f"the tokens of {server}", "DAILY_TOKENS_PER_SERVER")
    )


def _there(server: str | None) -> str:
    return "" if server is None else " there"

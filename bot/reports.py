"""What the operator is told of what the bot keeps. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from bot.context import BYTES_PER_TOKEN
from bot.store.records import Extent, Remembered

_COLUMNS = (
    ("conversation", -28),
    ("server", -19),
    ("exchanges", 9),
    ("people", 6),
    ("tokens ≈", 11),
    ("first", 10),
    ("last used", 10),
    ("own behaviour", -13),
)
"""Heads and widths, negative for what stands to the left. Discord's ids have up to 19 digits for some centuries."""


def conversations(remembered: Iterable[Remembered]) -> Iterator[str]:
    """Lines for these, without heads or sums."""
    for each in remembered:
        behaviour = (["persona"] if each.persona else []) + ([each.model] if each.model else [])
        yield _line(
            each.conversation,
            "-" if each.guild_id is None else str(each.guild_id),
            f"{each.exchanges:,}",
            f"{each.people:,}",
            f"{_tokens(each.size):,}",
            "-" if each.first_at is None else _date(each.first_at),
            _date(each.used_at),
            ", ".join(behaviour),
        )


def heads() -> str:
    """The line above them."""
    return _line(*(head for head, _ in _COLUMNS))


def total(conversations: int, exchanges: int, size: int) -> str:
    """The line under them; `size` in UTF-8 bytes."""
    if not conversations:
        return "There are no conversations."
    return f"{_count(conversations, 'conversation')}, {_count(exchanges, 'exchange')}, about {_tokens(size):,} tokens"


def to_forget(person_id: int, extent: Extent) -> str:
    """What is about to be deleted."""
    what = f"{_count(extent.exchanges, 'exchange')} in {_count(extent.conversations, 'conversation')}"
    return f"On record of {person_id}: {what}, what others quoted of it, and what they used."


def nothing_of(person_id: int) -> str:
    """There is nothing to delete."""
    return f"Nothing is on record of {person_id}."


def forgotten(person_id: int, exchanges: int, *, blocked: bool) -> str:
    """What was deleted, and what is not the bot's to delete."""
    lines = [
        f"Forgotten: {_count(exchanges, 'exchange')} of {person_id}.",
        "The messages on Discord stay, and so do backups and logs.",
    ]
    if blocked:
        lines.append("A server's moderators have blocked them; that stays, with their id.")
    return "\n".join(lines)


def _line(*cells: str) -> str:
    columns = zip(cells, (width for _, width in _COLUMNS), strict=True)
    return "  ".join(cell.ljust(-width) if width < 0 else cell.rjust(width) for cell, width in columns).rstrip()


def _tokens(size: int) -> int:
    return round(size / BYTES_PER_TOKEN)


def _date(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d}"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"

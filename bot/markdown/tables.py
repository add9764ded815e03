"""Tables, which Discord does not have: aligned text for a fence or, where that is too wide, a list of the rows."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from wcwidth import wcswidth

from bot.markdown.inline import apart, inline

WIDEST: Final = 36
"""Columns of monospaced text that Discord shows on a phone without wrapping."""

_TOO_WIDE: Final = 1_000_000
"""Columns for a cell that no aligned table can hold."""
_LONGEST_NAME: Final = 200
"""A column's name that is longer is not repeated in a list of the rows: a few of them would fill a message each."""

_DELIMITERS: Final = re.compile(r"[ \t]*+\|?[ \t]*+:?-++:?[ \t]*+(?:\|[ \t]*+:?-++:?[ \t]*+)*+\|?[ \t]*+")
_PIPE: Final = re.compile(r"(?<!\\)((?:\\\\)*)\|")
"""`a \\| b | c` → the second pipe."""
_CODE: Final = re.compile(r"(?<!`)(`{1,16}+)(?!`)(.+?)(?<!`)\1(?!`)")
"""`` `a | b` `` → `a | b`."""
_MARKS: Final = re.compile(
    r"(?<!`)(`{1,2})(?!`)(.+?)(?<!`)\1(?!`)|\\([^0-9A-Za-z\s])|(?<!\s)\*+|\*+(?!\s|\Z)|~~|\|\||__|\u200b"
)
"""`**a** \\* `b`` → `**`, `**`, `\\*`, and `b` in its ticks: what is left out or changed where no mark is read."""
_LIVE: Final = re.compile(r"\]\([^()\s]+\)|https?://|<(?:[@#]|a?:\w+:|t:)")
"""`[a](http://b.c)`, `<@1>`: what is only of use where marks are read."""
_BREAK: Final = re.compile(r"(?:(?<!\s)\s++)?<br\s*+/?>\s*+", re.IGNORECASE)
"""`a<br>b` → `a b`."""


@dataclass(frozen=True, slots=True)
class Table:
    """Cells as written; `right` and `centre` are the columns so aligned."""

    header: Sequence[str]
    right: frozenset[int]
    centre: frozenset[int]


def is_delimiter_row(line: str) -> bool:
    """Whether a line can be the second one of a table."""
    return "|" in line and "-" in line and _DELIMITERS.fullmatch(line) is not None


def cells(line: str, columns: int = 0) -> list[str]:
    """Split a row at its pipes, except escaped ones, and those in code where there would be too many `columns`."""
    parts = _split(line)
    if 0 < columns < len(parts) and "`" in line:
        kept = _split(_CODE.sub(lambda code: code[0].replace("\\|", "|").replace("|", "\\|"), line))
        parts = kept if len(kept) >= columns else parts
    return parts


def _split(line: str) -> list[str]:
    parts = _PIPE.sub("\\1\0", line.strip()).split("\0")
    if parts and not parts[0].strip():
        parts = parts[1:]
    if len(parts) > 1 and not parts[-1].strip():
        parts = parts[:-1]
    return [_BREAK.sub(" ", part.strip().replace("\\|", "|")) for part in parts]


def table(header: str, delimiters: str) -> Table | None:
    """The table that two lines begin, or None if they do not."""
    names, marks = cells(header), cells(delimiters)
    if len(names) != len(marks):
        return None
    aligned = [(mark.startswith(":"), mark.endswith(":")) for mark in marks]
    right = frozenset(column for column, (starts, ends) in enumerate(aligned) if ends and not starts)
    return Table(names, right, frozenset(column for column, (starts, ends) in enumerate(aligned) if ends and starts))


def as_text(table: Table, rows: Sequence[Sequence[str]], widest: int = WIDEST) -> str | None:
    """The table in columns, without the fence around it, or None if it is too wide or must stay clickable."""
    lines = []
    widths: list[int] = []
    for row in (table.header, *rows):
        line = [_plain(cell) for cell in row]
        widths += [3] * (len(line) - len(widths))
        for column, (_, width) in enumerate(line):
            widths[column] = max(widths[column], width)
        lines.append(line)
    if sum(widths) + 2 * (len(widths) - 1) > widest:
        return None
    lines.insert(1, [("-" * width, width) for width in widths])
    return "\n".join("  ".join(_padded(table, widths, line)).rstrip() for line in lines)


def _padded(table: Table, widths: Sequence[int], line: Sequence[tuple[str, int]]) -> Iterator[str]:
    for column, (cell, width) in enumerate(line):
        space = widths[column] - width
        before = space if column in table.right else space // 2 if column in table.centre else 0
        yield " " * before + cell + " " * (space - before)


def as_list(table: Table, rows: Sequence[Sequence[str]], enough: int) -> str:
    """The rows as list items, with the other cells of each below its first; no more once there are `enough` characters.

    Names repeat with every row, so that a short table makes a long list.
    """
    items: list[str] = []
    size = 0
    for row in rows or [table.header]:
        if size > enough:
            break
        before = len(items)
        names = table.header if rows else ()
        lead, *rest = row or [""]
        items.append(f"- {_named(names, 0)}{inline(lead, bold=True) or '…'}")
        items += [f"  - {_named(names, column)}{inline(cell)}" for column, cell in enumerate(rest, 1) if cell]
        size += sum(map(len, items[before:]))
    return "\n".join(items)


def _named(names: Sequence[str], column: int) -> str:
    name = inline(names[column]) if column < len(names) else ""
    if len(name) > _LONGEST_NAME:
        return ""
    return f"{name}: " if name else ""


@lru_cache(maxsize=1024)
def _plain(cell: str) -> tuple[str, int]:
    """A cell without its marks, since a fence shows them as they are, and the columns it takes."""
    text = inline(cell)
    if _LIVE.search(text):
        return text, _TOO_WIDE
    plain = _MARKS.sub(lambda mark: mark[2] or mark[3] or "", text)
    plain = apart(" ".join(plain.split()))
    return plain, len(plain) if plain.isascii() else max(wcswidth(plain), 0) or len(plain)

"""Tables, which Discord does not support.

A table becomes aligned text in a fence, or a list of its rows if it is too wide.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from wcwidth import wcswidth

from bot.markdown.block_state import ENOUGH, BlockState
from bot.markdown.escaping import apart
from bot.markdown.inline import inline, walk, write_chunk
from bot.markdown.inline_state import InlineState
from bot.markdown.lines import QUOTE
from bot.markdown.rendered import Rank

WIDEST: Final = 36
"""The number of monospaced columns that Discord shows on a phone without wrapping."""

_TOO_WIDE: Final = 1_000_000
"""A column count for a cell that no aligned table can hold."""
_LONGEST_NAME: Final = 200
"""The longest column name that a list of rows repeats. A few longer names would fill a message each."""

_DELIMITERS: Final = re.compile(r"[ \t]*+\|?[ \t]*+:?-++:?[ \t]*+(?:\|[ \t]*+:?-++:?[ \t]*+)*+\|?[ \t]*+")
"""Pattern of a table's second line: `|:--|--:|` or `--- | ---`."""
_PIPE: Final = re.compile(r"(?<!\\)((?:\\\\)*)\|")
"""Pattern of an unescaped pipe, such as the second one in `a \\| b | c`."""
_CODE: Final = re.compile(r"(?<!`)(`{1,16}+)(?!`)(.+?)(?<!`)\1(?!`)")
"""Pattern of inline code, such as `` `a | b` ``."""
_MARKS: Final = re.compile(
    r"(?<!`)(`{1,2})(?!`)(.+?)(?<!`)\1(?!`)|\\([^0-9A-Za-z\s])|(?<!\s)\*+|\*+(?!\s|\Z)|~~|\|\||__|\u200b"
)
"""Pattern of marks that are removed or changed in plain text, as in `**a** \\* `b``."""
_LIVE: Final = re.compile(r"\]\([^()\s]+\)|https?://|<(?:[@#]|a?:\w+:|t:)")
"""Pattern of constructs that work only where Markdown is read, such as `[a](http://b.c)` or `<@1>`."""
_EMPHASIS: Final = re.compile(r"(?<![\w*~])(\*{1,3}|_{1,2}|~~)(?=\S)[^|\n]{1,300}?(?<=\S)\1")
"""Pattern of emphasis in a cell, such as `**b c**`."""
_BREAK: Final = re.compile(r"(?:(?<!\s)\s++)?<br\s*+/?>\s*+", re.IGNORECASE)
"""Pattern of a line break tag with its spaces. `a<br>b` becomes `a b`."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table with its cells as written. `right` and `centre` are the columns with that alignment."""

    header: Sequence[str]
    right: frozenset[int]
    centre: frozenset[int]


def is_delimiter_row(line: str) -> bool:
    """Whether a line can be the second one of a table."""
    return "|" in line and "-" in line and _DELIMITERS.fullmatch(line) is not None


def cells(line: str, columns: int = 0) -> list[str]:
    """Split a row at its pipes, except escaped ones.

    Pipes in code are also kept if there would be too many `columns`.
    """
    parts = _split(line)
    if 0 < columns < len(parts) and "`" in line:
        kept = _split(_CODE.sub(lambda code: code[0].replace("\\|", "|").replace("|", "\\|"), line))
        parts = kept if len(kept) >= columns else parts
    return parts


def _split(line: str) -> list[str]:
    line = line.strip()
    parts = _PIPE.sub("\\1\0", line).split("\0") if "\\" in line else line.split("|")
    if parts and not parts[0].strip():
        parts = parts[1:]
    if len(parts) > 1 and not parts[-1].strip():
        parts = parts[:-1]
    parts = [part.strip() for part in parts]
    if "\\" in line or "<" in line:
        parts = [_BREAK.sub(" ", part.replace("\\|", "|")).strip() for part in parts]
    return parts


def table(header: str, delimiters: str) -> Table | None:
    """Return the table that two lines begin, or None if they begin no table."""
    names, marks = cells(header), cells(delimiters)
    if len(names) != len(marks):
        return None
    aligned = [(mark.startswith(":"), mark.endswith(":")) for mark in marks]
    right = frozenset(column for column, (starts, ends) in enumerate(aligned) if ends and not starts)
    return Table(names, right, frozenset(column for column, (starts, ends) in enumerate(aligned) if ends and starts))


def as_text(table: Table, rows: Sequence[Sequence[str]], widest: int = WIDEST) -> str | None:
    """Return the table as aligned columns without a fence. None means that it is too wide or must stay clickable."""
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


def as_list(table: Table, rows: Sequence[Sequence[str]], enough: int, begun: int | None = None) -> str:
    """Return the rows as list items, with each row's other cells below its first one. Empty cells are left out.

    The part before may have `begun` the first row: if not within its last cell (-1), within that of this column.
    The list stops after `enough` characters. A short table makes a long list because the column names repeat in every
    row.
    """
    items: list[str] = []
    size = 0
    for row in rows or [table.header]:
        if size > enough:
            break
        before = len(items)
        names = table.header if rows else ()
        filled = [(column, cell) for column, cell in enumerate(row) if cell]
        first = 1 if begun is None else 0
        if filled and filled[0][0] == begun:
            items.append(inline(filled.pop(0)[1]))
        begun = None
        for column, cell in filled[:first]:
            items.append(f"- {_named(names, column)}{inline(cell, bold=True)}")
        items += [f"  - {_named(names, column)}{inline(cell)}" for column, cell in filled[first:]]
        size += sum(map(len, items[before:]))
    return "\n".join(items)


def _named(names: Sequence[str], column: int) -> str:
    name = inline(names[column]) if column < len(names) else ""
    if len(name) > _LONGEST_NAME:
        return ""
    return f"{name}: " if name else ""


@lru_cache(maxsize=1024)
def _plain(cell: str) -> tuple[str, int]:
    """Return a cell's text without marks, and its width in columns. A fence would show the marks as they are."""
    text = inline(cell)
    if _LIVE.search(text):
        return text, _TOO_WIDE
    plain = _MARKS.sub(lambda mark: mark[2] or mark[3] or "", text)
    plain = apart(" ".join(plain.split()))
    return plain, len(plain) if plain.isascii() else max(wcswidth(plain), 0) or len(plain)


def write_table(state: BlockState, mark: str, start: int, body: int, end: int) -> bool:
    """Write the table that a line begins, if the line below it says so."""
    source, inline = state.source, state.inline
    header, below = source[body:end], state.line_end(end + 1)
    delimiters = source[end + 1 : below] if end < len(source) else ""
    if mark:
        quote = QUOTE.match(delimiters)
        delimiters = delimiters[quote.end() :] if quote else ""
    if state.is_last(below) and (header.lstrip().startswith("|") or delimiters):
        possible = not delimiters.strip("|:- \t") and (delimiters or state.is_last(end) or end + 1 == len(source))
        if possible and state.hold(start):
            return True
    if not is_delimiter_row(delimiters) or (head := table(header, delimiters)) is None:
        return False
    inline.marks.end_paragraph()
    state.offer(start)
    state.keep = False
    rows, at = _rows(state, mark, below + 1, len(head.header))
    open_end = at >= len(source)
    if not rows and state.growing and open_end and state.hold(start):
        return True
    state.at = at
    state.gap = True
    if open_end and not state.final and below - start <= state.limit // 2:
        state.lines = source[start : below + 1] + _begun(source, below + 1, mark, len(head.header))
    if not rows and start < state.shift:
        return True
    inline.atoms.append((start, min(below + 2, len(source))))
    inline.marks.reopen(paragraph=False)
    begun = None
    if start < state.shift and state.shift > below + 1:
        begun = -1 if source[state.shift - 1] == "|" else source.count("|", below + 1, state.shift) - 1
    shown = _show(head, rows, state.limit, state.columns, begun)
    inline.write("\n".join(mark + line for line in shown.split("\n")))
    inline.write("\n")
    return True


def _rows(state: BlockState, mark: str, at: int, columns: int) -> tuple[list[list[str]], int]:
    """Return the table rows from this offset and their end.

    A row that is still being written is left out, and so is one of empty cells, of which nothing would be seen.
    """
    source = state.source
    rows: list[list[str]] = []
    while at < len(source):
        end = state.line_end(at)
        line = source[at:end]
        quote = QUOTE.match(line)
        if bool(quote) != bool(mark) or "|" not in line:
            break
        if state.is_last(end) and state.hold(at):
            return rows, len(source)
        if rows:
            state.offer(at, Rank.LINE)
        if len(line) <= state.limit // 2:
            state.inline.atoms.append((at, end))
        else:
            state.inline.atoms += _constructs(line, at)
        row = cells(line[quote.end() :] if quote else line, columns)
        if any(row) or at < state.shift:
            rows.append(row)
        at = end + 1
    return rows, min(at, len(source))


def _constructs(line: str, at: int) -> Iterator[tuple[int, int]]:
    """Return the ranges that no cut should split in a row that begins at an offset and may itself be cut."""
    state = InlineState(line, walk, final=True)
    write_chunk(state, 0, len(line))
    for start, end in (*state.atoms, *(found.span() for found in _EMPHASIS.finditer(line))):
        yield at + start, at + end


def _begun(source: str, rows: int, mark: str, columns: int) -> str:
    """Return the beginning of a row that a cut parts, with empty cells, so that the rest of it stays in its columns."""
    start = source.rfind("\n") + 1
    if start < rows or start == len(source):
        return ""
    row = source[start:]
    quote = QUOTE.match(row) if mark else None
    before = len(cells(f"{row[quote.end() if quote else 0 :]}x", columns)) - 1
    within = "" if row.rstrip().endswith("|") and not row.rstrip().endswith("\\|") else " "
    return f"{mark}|{' |' * before}{within}"


def _show(head: Table, rows: list[list[str]], limit: int, columns: int, begun: int | None) -> str:
    text = as_text(head, rows, columns) if begun is None else None
    return as_list(head, rows, ENOUGH * limit, begun) if text is None else f"```\n{text}\n```"

"""The walk over a paragraph: which rule writes what, and the rules for line starts, marks of emphasis and escapes."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Final, NamedTuple

from bot.markdown.code_spans import backticks, closing_ticks, rest_of_code
from bot.markdown.emphasis import Run, sides
from bot.markdown.entities import entity
from bot.markdown.html_tags import angle_bracket
from bot.markdown.inline_formulas import bracketed, command, dollar
from bot.markdown.inline_state import LINE_START, QUOTED_LINE_START, InlineState
from bot.markdown.links import bracket, image, url

_SPECIAL: Final = re.compile(r"[\\`*_~|\[<$&\n!h](?:(?<![!h])|(?<=!)(?=\[)|(?<=!)(?<!\S!)\Z|(?<=h)ttps?://)")
"""Pattern of the places where text may be something else, such as `*` in `see *this*`.

It begins with one set of characters, for which `re` searches several times faster than for alternatives.
"""
_BLOCK: Final = re.compile(r">|\*(?=\s)|(?:#{1,3}|-#?|(\d+)\.)(?=(?:[*_~]|<[^<>\s]*>)*\s)")
"""Pattern of text that Discord takes for a block at the start of a line, as in `# a`, `> b`, `- c` and `1. d`.

Marks and tags behind it may be left out, as in `*_-_ a*`.
"""
_DUNDER: Final = re.compile(r"__(?:[a-z][a-z0-9]*(?:_[a-z0-9]+)*|[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)*)__(?![A-Za-z0-9_])")
"""Pattern of names in programming languages that are not bold text, such as `__init__` and `__FILE__`."""
_SHRUG: Final = "¯\\_(ツ)_/¯"


class Rest(NamedTuple):
    """The rest of a paragraph that a cut parts: its end, and whether that is known."""

    end: int
    certain: bool


def write_chunk(state: InlineState, start: int, end: int, rest: Rest | None = None, *, bold: bool = False) -> None:
    """Write the source from `start` to `end`, which is a paragraph or its available beginning.

    `rest` is what follows of the paragraph behind a cut. In `bold` text, the mark is open already and is closed here.
    """
    marks, final = state.marks, state.final
    state.begin_chunk(start, end)
    state.rest = rest.end if rest else end
    cut = not (final or state.growing) and end + 1 >= len(state.source)
    state.unsure = not rest.certain if rest else cut
    at = start
    if marks.code:
        ticks, marks.code = marks.code, ""
        at = rest_of_code(state, at, ticks)
    else:
        at = _line_start(state, at)
    walk(state, at, end)
    ahead = _runs_ahead(state, rest) if rest else []
    if bold and rest and rest.certain:
        ahead.append(Run(0, "<h>", 1, opens=False, closes=True, literal=""))
    elif bold and not rest and not state.held and (end < len(state.source) or final):
        marks.add("<h>", closes=True)
    goes_on = not rest.certain if rest else end == len(state.source) and not final
    marks.finish_chunk(ahead, goes_on=goes_on, unsure=state.unsure)


def _runs_ahead(state: InlineState, rest: Rest) -> list[Run]:
    """Return the runs between the end of the chunk and the end of its paragraph, of which nothing is written."""
    marks, code, end, growing = state.marks, state.marks.code, state.end, state.growing
    kept = [(kind, len(kind)) for kind in (state.out, state.atoms, marks.runs, marks.opaque)]
    close = closing_ticks(code).search(state.source, end, rest.end) if code else None
    at = close.end() if close else rest.end if code else end
    state.go_on(rest.end, growing=not rest.certain)
    walk(state, at, rest.end)
    runs = marks.runs[kept[2][1] :]
    for pieces, count in kept:
        del pieces[count:]
    state.go_on(end, growing=growing)
    state.held, marks.code = False, code
    return runs


def walk(state: InlineState, at: int, end: int) -> None:
    """Write the source between two offsets by all rules, up to a construct that is held back."""
    source, out, search = state.source, state.out, _SPECIAL.search
    while at < end and not state.held:
        found = search(source, at, end)
        if found is None:
            out.append(source[at:end])
            return
        special = found.start()
        if special > at:
            out.append(source[at:special])
        at = _RULES[source[special]](state, special)


@lru_cache(maxsize=1024)
def inline(text: str, *, bold: bool = False) -> str:
    """Return the rendering of one finished line on its own, such as a cell of a table."""
    state = InlineState(text, walk, final=True)
    bold = bold and text != ""
    state.marks.reopen(paragraph=False, bold=bold)
    write_chunk(state, 0, len(text), bold=bold)
    if state.marks.half_spoiler:
        state.marks.drop_spoiler()
    return "".join(state.out)


def _newline(state: InlineState, at: int) -> int:
    """Write the start of another line of the paragraph."""
    start = (QUOTED_LINE_START if state.quoted else LINE_START).match(state.source, at, state.end)
    state.out.append(state.newline)
    return _line_start(state, start.end() if start else at + 1)


def _line_start(state: InlineState, at: int) -> int:
    """Keep Discord from taking the text at the start of a line for a block. `# a` becomes `\\# a`."""
    block = _BLOCK.match(state.source, at, state.end)
    if block is None:
        state.line_at = at
        return at
    state.write(f"{block[1]}\\." if block[1] else f"\\{block[0]}")
    return block.end()


def _delimiters(state: InlineState, at: int) -> int:
    """Write a run of characters that may be marks of emphasis."""
    source, after = state.source, state.run_end(at)
    if after == state.end and state.growing and after == len(source):
        state.held = True
        return at
    character, length = source[at], after - at
    if length == 1 and character in "~|":
        state.out.append(state.marks.kept_apart(len(state.out), character))
        return after
    before = source[at - 1] if at > state.start else " "
    behind = source[after] if after < state.end else " "
    if length == 1:
        if character == "_" and before.isalnum() and behind.isalnum() and behind.isascii():
            return state.literal(at, after)
    elif character == "_" and not before.isalnum() and (dunder := _DUNDER.match(source, at, state.end)):
        return state.atom(at, dunder.end(), dunder[0].replace("_", "\\_"))
    opens, closes = sides(character, before, behind)
    if character in "~|" and length != 2:
        opens = closes = False
    spaced = character == "*" and length == 1 and before.isspace() and behind.isspace()
    state.atoms.append((at - 1 if closes else at, min(after + 1, state.end) if opens else after))
    state.marks.runs.append(Run(len(state.out), character, length, opens, closes, "*" if spaced else f"\\{character}"))
    state.out.append("")
    if at == state.line_at:
        if source[after : after + 1] != "*":
            return _line_start(state, after)
        # A star directly behind marks is one, too, and never the sign of an item.
        state.line_at = after
    return after


def _angle_bracket(state: InlineState, at: int) -> int:
    """Write what an angle bracket begins. Behind a tag or a comment that shows nothing, the line still begins."""
    written = len(state.out)
    after = angle_bracket(state, at)
    begins = at == state.line_at and after > at and not any(state.out[written:])
    return _line_start(state, after) if begins else after


def _backslash(state: InlineState, at: int) -> int:
    """Write an escaped character, a formula that a backslash begins, or the backslash as text."""
    source = state.source
    behind = source[at + 1 : at + 2]
    if behind in ("(", "["):
        after = bracketed(state, at)
        if after > at or state.held:
            return after
    elif at + 1 >= state.end:
        return at if state.hold(at) else state.atom(at, at + 1, "\\\\")
    elif behind == "\n":
        return at + 1
    elif source.startswith(_SHRUG, at - 1):
        return state.literal(at, at + len(_SHRUG) - 1)
    elif behind.isalpha() and behind.isascii():
        return command(state, at)
    if not behind.isascii() or behind.isspace():
        return state.atom(at, at + 1, "\\\\")
    if behind.isdigit():
        return state.literal(at, at + 1)
    return state.atom(at, at + 2)


_RULES: Final[dict[str, Callable[[InlineState, int], int]]] = {
    "`": backticks,
    "*": _delimiters,
    "_": _delimiters,
    "~": _delimiters,
    "|": _delimiters,
    "[": bracket,
    "!": image,
    "<": _angle_bracket,
    "\\": _backslash,
    "$": dollar,
    "&": entity,
    "\n": _newline,
    "h": url,
}
"""The rule for each character that may begin a construct."""

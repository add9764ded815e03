"""A reply as it grows, in pieces that nothing after them changes: for a reader to whom nothing can be shown twice."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import islice
from typing import Final

from bot.markdown.blocks import Carry, End, Rendered, render
from bot.markdown.lines import FENCE, HEADING, ITEM, QUOTE, is_marked, is_text

_LIMIT: Final = 100_000
"""No reply is as long as the messages that `render` is told of here, so that it leaves nothing out."""
_TRIES: Final = 4
"""Ends of lines that are tried at a time: those before them were tried when they came."""
_LONGEST_TITLE: Final = 80
"""A first line that is longer is no heading, whatever is drawn under it: it can be shown word by word."""
_WORD: Final = re.compile(r"(?:[ \t]+|(?<=[。！？，、；：]))(?=[^\W\d_])")
"""`see there` → what is before `there`: places where a line of text can be cut and goes on as text."""
_SPECIAL: Final = re.compile(r"[\\`*_~|\[<$&!]|https?:")
_LONG_RUN: Final = re.compile(r"\*{4}|_{4}")
"""`*****a`: marks of which only their paragraph's end tells what they are."""
_DECIDED: Final = re.compile(r"[ \t]*(?:(?:[-*+>]|\d+[.)]|#{1,6})[ \t]+)*[*_`\"'(\[]*[^\W_]")
"""`- **a` → all of it: the beginning of a line that says what the line is."""
_DEEP: Final = re.compile(r"(?: {4}|\t)[ \t]*")
_FENCE_LINES: Final = re.compile(r"[ \t>]*(?:```|~~~)")


@dataclass(frozen=True, slots=True)
class Piece:
    """Markdown as `Document` writes it, whole by itself, and the white space `before` it.

    A block of code may come in several pieces. Each has the lines that open and close it.
    """

    before: str
    content: str


class Stream:
    """A reply as it grows, as pieces. A table is aligned if it is at most `columns` wide.

    Ordinary text comes word by word, the lines of lists, quotes and code one by one, and a table when it has ended.
    Emphasis, links, code and formulas wait for their end, at most until that of their paragraph.
    """

    def __init__(self, columns: int) -> None:
        self._columns = columns
        self._text = ""
        """What is still to come in a piece."""
        self._carry = Carry()
        self._look = 0
        """How much of it there must be before it is looked at again, so that this costs in proportion to its length."""
        self._within = False
        """Whether the last piece ended within a line."""
        self._space = ""
        self._newlines = 0
        self._begun = False

    def feed(self, delta: str) -> list[Piece]:
        """The pieces that are certain now that this text has come."""
        self._text += delta
        pieces: list[Piece] = []
        while len(self._text) >= self._look and (taken := self._certain()) is not None:
            pieces += self._take(*taken)
        return pieces

    def finish(self) -> list[Piece]:
        """The rest."""
        return self._take(len(self._text), self._render(self._text, End.FINAL))

    def _render(self, text: str, end: End) -> Rendered:
        return render(text, self._carry, end, _LIMIT, columns=self._columns)

    def _certain(self) -> tuple[int, Rendered] | None:
        """How much of the text can be taken, and what becomes of it."""
        taken = None
        text = self._text
        start = 0 if self._within or self._is_in_code() else len(text) - len(text.lstrip("\n"))
        line_end = text.find("\n", start)
        if line_end < 0:
            taken = self._words(start)
        elif self._within or (HEADING.match(text, start) and not self._is_in_code()):
            taken = self._cut(line_end + 1)
        if taken is None and line_end >= 0:
            taken = self._lines()
        self._look = 0 if taken else len(text) + 1 + len(text) // 8
        return taken

    def _words(self, start: int) -> tuple[int, Rendered] | None:
        text = self._text
        line = text[start:]
        if "```" in line:
            return None
        if not self._within:
            in_list = bool(self._carry.items) and self._newlines + start < 2
            if len(line) <= _LONGEST_TITLE or is_marked(line) or in_list or self._carry.lines:
                return None
        at = max((found.end() for found in _WORD.finditer(text, start)), default=0)
        return self._cut(at) if at else None

    def _lines(self) -> tuple[int, Rendered] | None:
        rendered = self._render(self._text, End.GROWING)
        places = (at for at, _ in reversed(rendered.breaks) if self._is_decided(at))
        for at in islice(places, _TRIES):
            if any(start < at < end for start, end in rendered.atoms):
                continue
            if (taken := self._cut(at)) is not None:
                return taken
        return None

    def _is_decided(self, at: int) -> bool:
        """Whether what is known of the line there tells that it changes nothing before it."""
        text = self._text
        above = text[text.rfind("\n", 0, at - 1) + 1 : at]
        end = text.find("\n", at)
        if not self._is_in_code() and _DEEP.match(text, at) and not (ITEM.match(text, at) or FENCE.match(text, at)):
            return False
        return end >= 0 or ("|" not in above and _DECIDED.match(text, at) is not None)

    def _is_in_code(self) -> bool:
        return _FENCE_LINES.match(self._carry.lines) is not None

    def _cut(self, at: int) -> tuple[int, Rendered] | None:
        """Take the text up to there, unless something that is open there goes on behind it."""
        text = self._text[:at]
        rendered = self._render(text, End.CUT)
        carry = rendered.carry
        if carry.marks or (carry.lines and not _FENCE_LINES.match(carry.lines)):
            return None
        if not carry.lines and _SPECIAL.search(text) and (more := self._more(at)):
            if _LONG_RUN.search(text):
                return None
            # With more behind it, what is still open shows in one of these.
            longer = self._render(text + more, End.CUT)
            if longer.carry.marks or longer.content != self._render(text + more, End.GROWING).content:
                return None
        return at, rendered

    def _more(self, at: int) -> str:
        """What goes on with the paragraph that is cut there; nothing where another block begins."""
        text = self._text
        quote = QUOTE.match(text, at)
        start = quote.end() if quote else at
        end = text.find("\n", start)
        goes_on = text[at - 1] != "\n" or is_text(text, start, len(text) if end < 0 else end)
        return text[at:start] + "x" if goes_on else ""

    def _take(self, at: int, rendered: Rendered) -> list[Piece]:
        text, self._text = self._text[:at], self._text[at:]
        in_code = self._is_in_code()
        newlines = self._newlines if in_code else self._newlines + _newlines(text[: len(text) - len(text.lstrip())])
        before = "\n" * (newlines if in_code else min(newlines, 2)) or self._space
        pieces = [Piece(before if self._begun else "", rendered.content)] if rendered.content else []
        trailing = text[len(text.rstrip()) :]
        self._carry, self._within = rendered.carry, trailing.count("\n") == 0
        self._newlines = _newlines(trailing) if pieces else max(newlines, _newlines(trailing))
        self._space = " " if trailing else ""
        self._begun = self._begun or bool(pieces)
        return pieces


def _newlines(space: str) -> int:
    return space.count("\n")

"""A growing reply in pieces that never change later, for a reader to whom text can be shown only once."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import islice
from typing import Final

from bot.markdown.blocks import render
from bot.markdown.lines import FENCE, HEADING, ITEM, QUOTE, is_marked, is_text
from bot.markdown.rendered import Carry, End, Rendered

_LIMIT: Final = 100_000
"""A message limit that no reply reaches, so that `render` leaves nothing out."""
_TRIES: Final = 4
"""The number of line ends that are tried at a time. Earlier line ends have been tried before."""
_LONGEST_TITLE: Final = 80
"""The length in characters up to which a first line may be a heading. A longer line can be shown word by word."""
_WORD: Final = re.compile(r"(?:[ \t]+|(?<=[。！？，、；：]))(?=[^\W\d_])")
"""Pattern of the places where a line can be cut and continues as text, such as before `there` in `see there`."""
_SPECIAL: Final = re.compile(r"[\\`*_~|\[<$&!]|https?:")
"""Pattern of text that may not be plain: in `a *b* https://c.d`, `*`, `*` and `https:`."""
_LONG_RUN: Final = re.compile(r"\*{4}|_{4}")
"""Pattern of a long run of marks, such as `*****a`. Only the end of the paragraph decides its meaning."""
_DECIDED: Final = re.compile(r"[ \t]*(?:(?:[-*+>]|\d+[.)]|#{1,6})[ \t]+)*[*_`\"'(\[]*[^\W_]")
"""Pattern of a line's beginning that decides the kind of the line, such as `- **a`."""
_DEEP: Final = re.compile(r"(?: {4}|\t)[ \t]*")
"""Pattern of the indentation of code: four spaces in `    x = 1`."""
_FENCE_LINES: Final = re.compile(r"[ \t>]*(?:```|~~~)")
"""Pattern of the line that opens a block of code again: ```` ```py ```` or `> ~~~`."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of Markdown as `Document` writes it, with the white space `before` it.

    A block of code may come in several pieces. Each piece has the lines that open and close the block.
    """

    before: str
    content: str


class Stream:
    """A growing reply as pieces.

    A table is aligned if it is at most `columns` wide. Ordinary text comes word by word. Lists, quotes and code come
    line by line, and a table comes when it has ended. Emphasis, links, inline code and formulas wait for their end, or
    at most for the end of their paragraph.
    """

    def __init__(self, columns: int) -> None:
        self._columns = columns
        self._text = ""
        """The text that has not been returned in a piece yet."""
        self._carry = Carry()
        self._look = 0
        """The length that the remaining text must reach before the next check.

        It keeps the total cost proportional to the text.
        """
        self._within = False
        """Whether the last piece ended within a line."""
        self._space = ""
        self._newlines = 0
        self._begun = False

    def feed(self, delta: str) -> list[Piece]:
        """Take more text and return the pieces that are certain now."""
        self._text += delta
        pieces: list[Piece] = []
        while len(self._text) >= self._look and (taken := self._certain()) is not None:
            pieces += self._take(*taken)
        return pieces

    def finish(self) -> list[Piece]:
        """Return the remaining pieces."""
        return self._take(len(self._text), self._render(self._text, End.FINAL))

    def _render(self, text: str, end: End) -> Rendered:
        return render(text, self._carry, end, _LIMIT, columns=self._columns)

    def _certain(self) -> tuple[int, Rendered] | None:
        """Return the length of the text that is certain and its rendering."""
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
        """Whether the known beginning of a line shows that the line does not change the text before it."""
        text = self._text
        above = text[text.rfind("\n", 0, at - 1) + 1 : at]
        end = text.find("\n", at)
        if not self._is_in_code() and _DEEP.match(text, at) and not (ITEM.match(text, at) or FENCE.match(text, at)):
            return False
        return end >= 0 or ("|" not in above and _DECIDED.match(text, at) is not None)

    def _is_in_code(self) -> bool:
        return _FENCE_LINES.match(self._carry.lines) is not None

    def _cut(self, at: int) -> tuple[int, Rendered] | None:
        """Take the text up to an offset, unless a construct that is open there continues after it."""
        text = self._text[:at]
        rendered = self._render(text, End.CUT)
        carry = rendered.carry
        if carry.marks or (carry.lines and not _FENCE_LINES.match(carry.lines)):
            return None
        if not carry.lines and _SPECIAL.search(text) and (more := self._more(at)):
            if _LONG_RUN.search(text):
                return None
            # With more text after it, an open construct shows in one of these values.
            longer = self._render(text + more, End.CUT)
            if longer.carry.marks or longer.content != self._render(text + more, End.GROWING).content:
                return None
        return at, rendered

    def _more(self, at: int) -> str:
        """Return the text that continues the paragraph cut at an offset. It is empty if another block begins there."""
        text = self._text
        quote = QUOTE.match(text, at)
        start = quote.end() if quote else at
        end = text.find("\n", start)
        goes_on = (
            text[at - 1] != "\n" or _DEEP.match(text, start) or is_text(text, start, len(text) if end < 0 else end)
        )
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

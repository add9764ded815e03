"""The wrapping of text that streams in: pure."""

from __future__ import annotations

import re
import unicodedata
from itertools import pairwise

from wcwidth import iter_graphemes, wcswidth

_MARKER = re.compile(r"[-*+•>]|\d{1,3}[.)]")
_FENCE = re.compile(r"(`{3,})[^`]*|(~{3,}).*")


class Wrapper:
    """Breaks text that comes in pieces at word borders, into lines of at most `width` columns.

    Lines of a list or a quote go on under their own text. Fenced code is left as it is. A word that is wider than a
    line stays whole. A word is held back until its end is known; empty lines before and behind the text are dropped.
    """

    def __init__(self, width: int) -> None:
        self._width = width
        self._word = ""
        self._gap = ""
        self._newlines = 0
        self._column = 0
        self._begun = False
        self._glued = False
        """Whether the next piece continues a word that was too wide to wait for its end."""
        self._indent = 0
        self._leading = True
        """Whether the line has shown nothing yet but white space and the markers of a list or a quote."""
        self._fence = ""
        """The marks that opened the code block we are in."""
        self._verbatim = False

    def feed(self, delta: str) -> str:
        """What can be shown once this piece has come."""
        *tokens, self._word = re.findall(r"\n|[ \t]+|[^ \t\n]+", self._word + delta) or [""]
        out = "".join(map(self._take, tokens))
        if self._word[:1] in ("", " ", "\t", "\n"):
            # A gap may still grow, but holds nothing back by itself.
            return out
        # What is last may still grow into another grapheme, on whose either side a line may then end or not.
        *complete, last = iter_graphemes(self._word)
        *pieces, held = _pieces(complete)
        out += "".join(map(self._put, pieces))
        # Whether marks open a code block is told by all of their word.
        overlong = wcswidth(held) > self._width and not held.startswith(("```", "~~~"))
        if overlong and len(graphemes := list(iter_graphemes(held))) > 1:
            out += self._put("".join(graphemes[:-1]))
            held = graphemes[-1]
            self._glued = True
        self._word = held + last
        return out

    def finish(self) -> str:
        """What was held back."""
        word, self._word = self._word, ""
        return self._take(word)

    def _take(self, piece: str) -> str:
        if piece == "\n":
            self._newlines += 1
            self._gap, self._glued, self._leading, self._indent = "", False, True, 0
            self._verbatim = bool(self._fence)
            return ""
        if piece[:1] in ("", " ", "\t"):
            self._gap, self._glued = piece, False
            return ""
        return "".join(map(self._put, _pieces(list(iter_graphemes(piece)))))

    def _put(self, piece: str) -> str:
        out = "\n" * self._newlines if self._begun else ""
        self._begun, self._newlines = True, 0
        if out:
            self._column = 0
        gap, self._gap = self._gap, ""
        if self._leading and not self._glued:
            self._lead(gap, piece)
        columns, wide = self._across(gap), wcswidth(piece)
        if not (self._glued or self._verbatim) and self._column + columns + wide > self._width:
            if self._column > self._indent:
                out += "\n" + " " * self._indent
                self._column, gap = self._indent, ""
            else:
                gap = gap[:1] if self._column else ""
            columns = len(gap)
        self._glued = False
        self._column += columns + wide
        return out + gap + piece

    def _lead(self, gap: str, piece: str) -> None:
        """Learn from a line's beginning how the rest of it is to be wrapped."""
        if _MARKER.fullmatch(piece):
            return
        self._leading = False
        indent = self._column + self._across(gap)
        self._indent = indent if indent <= self._width // 2 else 0
        if not (marks := _FENCE.fullmatch(piece)):
            return
        if not self._fence:
            self._fence, self._verbatim = marks[1] or marks[2], True
        elif piece.startswith(self._fence) and not piece.strip(self._fence[0]):
            self._fence = ""

    def _across(self, gap: str) -> int:
        """The columns that white space takes up here."""
        column = self._column
        for character in gap:
            column += 8 - column % 8 if character == "\t" else 1
        return column - self._column


def _pieces(graphemes: list[str]) -> list[str]:
    """A word in the pieces between which a line may end: on either side of a wide character, but for punctuation."""
    pieces = graphemes[:1] or [""]
    for before, after in pairwise(graphemes):
        wide = max(wcswidth(before), wcswidth(after)) > 1
        clings = unicodedata.category(before[-1]) in ("Ps", "Pi") or unicodedata.category(after[0]) in (
            "Pe",
            "Pf",
            "Po",
            "Lm",
        )
        if wide and not clings:
            pieces.append(after)
        else:
            pieces[-1] += after
    return pieces

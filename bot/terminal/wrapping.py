"""The wrapping of streamed text. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator

from wcwidth import iter_graphemes, wcswidth

from bot.terminal.styling import STYLES, VERBATIM

_MARKER = re.compile(r"[-*+•>]|\d{1,3}[.)]")
_STYLED_MARKER = re.compile(rf"{STYLES.pattern}?(?:{_MARKER.pattern}|│){STYLES.pattern}?")
_FENCE = re.compile(r"(`{3,})[^`]*|(~{3,}).*")
_TOKEN = re.compile(r"\n|[ \t]+|[^ \t\n]+")
_LONGEST_OPENING = 200
"""Characters of a word that are enough to know whether it opens a code block."""
_LONGEST_GRAPHEME = 64
"""Characters at the end of a grapheme that are enough to know whether the next one belongs to it."""
_INVISIBLE = 8
"""Graphemes for each column of a line after which a word is no longer held back, even if it is invisible."""


class Wrapper:
    """Breaks streamed text at word borders into lines of at most `width` columns.

    Lines of a list or a quote go on under their own text. Fenced code is left as it is. A word that is wider than a
    line stays whole. A word is held back until its end is known; empty lines before and behind the text are dropped.
    In `styled` text, marks of styles have no width, code is told by its mark, and fences are text.
    """

    def __init__(self, width: int, *, styled: bool = False) -> None:
        self._width = width
        self._styled = styled
        self._word: list[str] = []
        """The graphemes of the word that is held back, except the last."""
        self._last = ""
        """The last grapheme of that word. It may still grow, so a line cannot be broken before it yet."""
        self._wide = 0
        """The columns of the graphemes in `_word`."""
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
        """Add a piece of the text. Returns what can be shown now."""
        out: list[str] = []
        for token in _TOKEN.findall(delta):
            if token[0] in " \t\n":
                out += self._end_word()
                self._space(token)
            else:
                out += self._grow(token)
        return "".join(out)

    def finish(self) -> str:
        """End the text. Returns what was held back."""
        return "".join(self._end_word())

    def _grow(self, characters: str) -> Iterator[str]:
        """Add to a word. Yields the parts of it that need not wait for its end.

        The cost depends on the new characters and one grapheme before them, not on the length of the word.
        """
        before, tail = self._last[:-_LONGEST_GRAPHEME], self._last[-_LONGEST_GRAPHEME:]
        characters = tail + characters
        first, *rest = iter(characters) if characters.isascii() else iter_graphemes(characters)
        *complete, self._last = [before + first, *rest]
        yield from self._complete(complete)
        overlong = self._wide > self._width or len(self._word) > _INVISIBLE * self._width
        if overlong and len(self._word) > 1:
            shown = "".join(self._word[:-1])
            # Whether marks open a code block is told by all of their word, or by enough of it.
            if self._styled or not shown.startswith(("```", "~~~")) or len(shown) >= _LONGEST_OPENING:
                self._word = self._word[-1:]
                self._wide = _columns(self._word[0])
                yield self._put(shown)
                self._glued = True

    def _complete(self, graphemes: Iterable[str]) -> Iterator[str]:
        """Add complete graphemes to a word. Yields the parts after which a line may end."""
        for grapheme in graphemes:
            if self._word and _may_end_between(self._word[-1], grapheme):
                yield self._put("".join(self._word))
                self._word, self._wide = [], 0
            self._word.append(grapheme)
            self._wide += _columns(grapheme)

    def _end_word(self) -> Iterator[str]:
        if self._last:
            yield from self._complete([self._last])
            yield self._put("".join(self._word))
            self._word, self._last, self._wide = [], "", 0

    def _space(self, space: str) -> None:
        self._glued = False
        if space == "\n":
            self._newlines += 1
            self._gap, self._leading, self._indent = "", True, 0
            self._verbatim = bool(self._fence)
        else:
            # It may have come in pieces.
            self._gap += space

    def _put(self, piece: str) -> str:
        out = "\n" * self._newlines if self._begun else ""
        self._begun, self._newlines = True, 0
        if out:
            self._column = 0
        gap, self._gap = self._gap, ""
        if self._leading and not self._glued:
            self._lead(gap, piece)
        columns, wide = self._across(gap), _columns(piece)
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
        if (_STYLED_MARKER if self._styled else _MARKER).fullmatch(piece):
            return
        self._leading = False
        indent = self._column + self._across(gap)
        self._indent = indent if indent <= self._width // 2 else 0
        if self._styled:
            self._verbatim = piece[0] == VERBATIM
            return
        piece = piece[:_LONGEST_OPENING]
        if not (marks := _FENCE.fullmatch(piece)):
            return
        if not self._fence:
            self._fence, self._verbatim = marks[1] or marks[2], True
        elif piece.startswith(self._fence) and not piece.strip(self._fence[0]):
            self._fence = ""

    def _across(self, gap: str) -> int:
        """The columns of white space at the present position."""
        column = self._column
        for character in gap:
            column += 8 - column % 8 if character == "\t" else 1
        return column - self._column


def _columns(text: str) -> int:
    if not text.isprintable():
        text = STYLES.sub("", text)
    return len(text) if text.isascii() else wcswidth(text)


def _may_end_between(before: str, after: str) -> bool:
    """Whether a line may end between two graphemes of a word: beside a wide character, but for punctuation."""
    if STYLES.match(after):
        return False
    if max(_columns(before), _columns(after)) <= 1:
        return False
    clings = unicodedata.category(before[-1]) in ("Ps", "Pi") or unicodedata.category(after[0]) in (
        "Pe",
        "Pf",
        "Po",
        "Lm",
    )
    return not clings

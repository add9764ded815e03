"""The state that the rules for a paragraph's text share: its source, what is written of it, and what is held back."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from bot.markdown.emphasis import Open
from bot.markdown.escaping import APART
from bot.markdown.marks import Marks

HOLD: Final = 300
"""The number of characters for which a half-written construct is held back before it is shown as it stands."""
LINE_START: Final = re.compile(r"\n[ \t]*+")
"""Pattern of a newline with the spaces after it: in `a\\n  b`, `\\n  `."""
QUOTED_LINE_START: Final = re.compile(r"\n[ \t]*+(?:(?!>>>(?:\s|\Z))>[ \t]?)*+[ \t]*+")
"""Pattern of a newline with the quote marks after it, such as the text before `a` in `\\n> a`."""


class InlineState:
    """A paragraph or its available beginning, called the chunk, as source between two offsets and as output.

    A rule takes the state and the offset of a character that may begin its construct. It writes the construct and
    returns the offset after it, or returns the same offset if the construct is held back. The rules share all that is
    known about the text, and therefore the state has more attributes than other classes.

    `walk` writes the source between two offsets by all rules. `carried` are the marks that the previous part closed at
    its end. `final` means that no more text will come, and `growing` means that more is being written. Without either,
    a cut ends the text. `long` is the length after which open inline code is continued after a cut.
    """

    def __init__(
        self,
        source: str,
        walk: Callable[[InlineState, int, int], None],
        carried: tuple[Open, ...] = (),
        *,
        growing: bool = False,
        final: bool = False,
        long: int = 1000,
    ) -> None:
        self.source = source
        self.walk = walk
        self.growing = growing
        self.final = final
        self.long = long
        self.marks = Marks(carried)
        self.out = self.marks.out
        self.atoms: list[tuple[int, int]] = []
        """The ranges of the source that no cut should split."""
        self.held = False
        self.newline = "\n"
        """The text that begins a new line. In a quote it includes the quote's mark."""
        self.quoted = False
        """Whether the lines of the chunk have quote marks before them."""
        self.start = 0
        self.end = 0
        self.rest = 0
        """The end of the chunk's paragraph, which is behind the chunk if a cut parts them and the rest is known."""
        self.unsure = False
        """Whether only more text behind a cut tells what a mark without an end in the chunk means."""
        self.line_at = -1
        """The offset where the text of a line begins, after the marks that open there."""
        self.link: str | None = None
        """The address of the link whose label is being written, if any."""
        self.closers: dict[int, str] = {}
        """The offsets of closing tags and the text that is written for each."""
        self._none_after: dict[str, int] = {}
        """Searches that found nothing, each with the offset from which nothing was found."""
        self._last: dict[str, int] = {}
        """The last offset in the chunk of each text that was asked for."""

    def begin_chunk(self, start: int, end: int) -> None:
        """Go on to another chunk."""
        self.start = start
        self.go_on(end, growing=self.growing)
        self.marks.begin_chunk()

    def go_on(self, end: int, *, growing: bool) -> None:
        """Take the chunk to end at another offset, where more is being written if it is `growing`."""
        self.end, self.growing = end, growing
        self._none_after.clear()
        self._last.clear()

    def write(self, text: str) -> None:
        """Write text unchanged."""
        if text:
            self.out.append(text)

    def literal(self, at: int, end: int) -> int:
        """Write source unchanged."""
        self.out.append(self.source[at:end])
        return end

    def atom(self, at: int, end: int, text: str | None = None) -> int:
        """Write text that no cut may split."""
        self.atoms.append((at, end))
        self.write(self.source[at:end] if text is None else text)
        return end

    def solid(self, at: int, end: int, text: str) -> int:
        """Write text that no cut may split and whose marks cannot be escaped."""
        marks, out = self.marks, self.out
        marks.note_marks(text)
        if text[:1] == "`" and (before := marks.piece_before(len(out))) >= 0 and out[before][-1] == "`":
            text = APART + text
        return self.atom(at, end, text)

    def hold(self, at: int, *halves: re.Pattern[str]) -> bool:
        """Whether the construct at `at` may still become whole, so that nothing after it is shown.

        `halves` are the patterns of such constructs.
        """
        source, end = self.source, self.end
        if self.growing and end == len(source) and end - at <= HOLD:
            self.held = not halves
            for half in halves:
                self.held = self.held or half.match(source, at, end) is not None
        return self.held

    def find(self, what: re.Pattern[str], name: str, at: int) -> re.Match[str] | None:
        """Search the chunk from an offset. A search that found nothing is not repeated."""
        if self._none_after.get(name, self.end) <= at:
            return None
        found = what.search(self.source, at, self.end)
        if found is None:
            self._none_after[name] = at
        return found

    def last(self, text: str) -> int:
        """Return the last offset of a text in the chunk, or -1. It is searched for once."""
        last = self._last.get(text)
        if last is None:
            last = self._last[text] = self.source.rfind(text, self.start, self.end)
        return last

    def run_end(self, at: int) -> int:
        """Return the offset after a run of equal characters."""
        source, end, after = self.source, self.end, at + 1
        while after < end and source[after] == source[at]:
            after += 1
        return after

"""A stretch as it is rendered: its text, what the next part takes over, and the places where it may be cut."""

from __future__ import annotations

import re
from bisect import bisect_left
from enum import Enum, IntEnum
from math import inf
from typing import Final, NamedTuple

from bot.markdown.emphasis import Open

_LEADING: Final = re.compile(r"\A(?:[ \t\r]*\n)+|\A\s+\Z")
"""Pattern of the blank lines before a message's text: in `\\n \\na`, all before `a`."""


class End(Enum):
    """Kinds of what follows a stretch."""

    GROWING = "more is being written: half-written constructs are held back"
    CUT = "a cut: what is open is closed here and goes on in the next part"
    FINAL = "nothing: what is open stays text"


class Ahead(NamedTuple):
    """Text behind a cut, which tells what marks before the cut mean."""

    text: str = ""
    enough: bool = False
    """Whether a mark that the text does not close is text."""


NOTHING: Final = Ahead()


class Rank(IntEnum):
    """Ranks of places for a cut. The lowest rank is the best place."""

    PARAGRAPH = 0
    LINE = 1
    SENTENCE = 2
    WORD = 3


class Item(NamedTuple):
    """An open list item, with its mark and the columns where the mark and the text begin."""

    mark: int
    text: int
    sign: str
    number: int
    """The number of the next item in a numbered list."""
    counted: int = 0
    """The last number that Discord has counted in the list, 0 if its items have none, and -1 if it has ended."""


class Carry(NamedTuple):
    """State that a part takes over from the previous one: lines to read first, marks to open first, and open lists."""

    lines: str = ""
    marks: tuple[Open, ...] = ()
    items: tuple[Item, ...] = ()
    within: bool = False
    """Whether the previous part ends within a line. The line then continues in its list item."""
    paragraph: bool = False
    """Whether the previous part ends within a paragraph, or may do so."""
    quoting: bool = False
    """Whether the previous part ends within a quote."""
    outer: tuple[Item, ...] = ()
    """The open lists that the quote is in."""


class Rendered(NamedTuple):
    """A stretch as it is sent to Discord.

    `breaks` and `atoms` are offsets in the source text. `atoms` are ranges that no cut should split, in no particular
    order.
    """

    content: str
    carry: Carry
    breaks: list[tuple[int, Rank]]
    atoms: list[tuple[int, int]]
    pieces: list[str]
    """The output, without the marks that close it."""
    places: list[tuple[int, int, int, tuple[Item, ...]]]
    """Offsets with nothing open before them, in order.

    Before each stands how much text it takes to tell so, and behind it the number of pieces before it and the open
    lists.
    """
    unsure: bool
    """Whether only more text behind the cut tells what marks before it mean."""

    def settled(self, until: float = inf) -> tuple[int, str, tuple[Item, ...]]:
        """Return the last offset from which rendering of the text before `until` can start afresh, if any, or 0.

        With it come the output before it and the lists that are open there.
        """
        place = bisect_left(self.places, (until + 1,)) - 1
        _, offset, count, items = self.places[place] if place >= 0 else (0, 0, 0, ())
        return offset, begun("".join(self.pieces[:count])), items


def begun(content: str) -> str:
    """Return content without the blank lines before it."""
    return _LEADING.sub("", content, count=1) if content[:1].isspace() else content

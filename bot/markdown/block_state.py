"""The state that the rules for blocks share: the source and how far it is written, and the places for cuts."""

from __future__ import annotations

from typing import Final

from bot.markdown.inline import walk
from bot.markdown.inline_state import HOLD, InlineState
from bot.markdown.lines import line_end
from bot.markdown.lists import OpenLists
from bot.markdown.rendered import Ahead, Carry, End, Item, Rank

ENOUGH: Final = 4
"""The number of messages' worth of content after which rendering stops, since the text is too long in any case."""
_RANKS: Final = (Rank.LINE, Rank.PARAGRAPH)
"""The ranks of a place without and with a gap before it. Python takes long to find a member of an enum."""


class BlockState:
    """A stretch as source, with the lines that `carry` brings before it, and as output.

    A rule takes the state and the offsets of a line that may begin its block. It writes the block and moves `at` behind
    it, or tells the state to hold the block back. The rules share all that is known about the text, and therefore the
    state has more attributes than other classes.

    `ahead` is text behind the cut that the stretch ends with. `limit` only bounds what is worth keeping whole or
    repeating. A table that is at most `columns` wide is aligned.
    """

    def __init__(self, carry: Carry, text: str, end: End, limit: int, columns: int, ahead: Ahead) -> None:
        self.source = carry.lines + text
        self.carry = carry
        self.shift = len(carry.lines)
        """The length of the lines that the carry brings, by which offsets in the source and in the text differ."""
        self.ahead = ahead
        self.limit = limit
        self.columns = columns
        self.growing = end is End.GROWING
        self.final = end is End.FINAL
        self.inline = InlineState(
            self.source + ahead.text, walk, carry.marks, growing=self.growing, final=self.final, long=limit // 2
        )
        self.at = 0
        """The offset up to which the source is written."""
        self.breaks: list[tuple[int, Rank]] = []
        self.places: list[tuple[int, int, int, tuple[Item, ...]]] = []
        """The breaks and the places of `Rendered`."""
        self.lists = OpenLists(carry.items, carry.outer)
        self.code_goes_on = False
        """Whether indented code reaches the end of the text, so that more of it may follow."""
        self.quoting = carry.quoting
        self.gap = not carry.paragraph
        """Whether a blank line or the end of a separate block came just before."""
        self.keep = False
        """Whether the preceding block, such as a heading, belongs to the next block."""
        self.tail = ""
        """The text that closes the block still open at the end."""
        self.lines = ""
        """The text that reopens the block still open at the end."""
        self.display_end = 0
        """The offset up to which the end of a bracketed display formula has been searched for."""
        self.no_fence_from = len(self.source) + 1
        """The offset after which no line closes a fence that begins behind text, as far as the search has gone."""

    def settle(self, at: int, certain: int, items: tuple[Item, ...]) -> None:
        """Record an offset with nothing but list items open before it, and the end of the text that tells so."""
        self.places.append((certain - self.shift, at - self.shift, len(self.inline.out), items))

    def line_end(self, at: int) -> int:
        """Return the offset of the end of the line at an offset."""
        return line_end(self.source, at)

    def is_last(self, end: int) -> bool:
        """Whether a line with this end is still being written."""
        return self.growing and end == len(self.source)

    def hold(self, start: int) -> bool:
        """Hold back the block that begins at `start`, unless it is too long for that. Return whether it is held."""
        if self.growing and len(self.source) - start <= HOLD:
            self.inline.held = True
        return self.inline.held

    def offer(self, at: int, rank: Rank | None = None) -> None:
        """Record the start of a line as a place for a cut."""
        if at > self.shift and not self.keep:
            self.breaks.append((at - self.shift, _RANKS[self.gap] if rank is None else rank))

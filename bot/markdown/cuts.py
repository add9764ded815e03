"""Where a stretch that is too long for one message is cut: where a person would."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from typing import Final

from wcwidth import grapheme_boundary_before

from bot.markdown.blocks import Carry, End, Rank, Rendered, render

_SENTENCE: Final = re.compile(r"(?<!\d)(?:[.!?…][\"'”’)\]*_~|]*\s++|[。！？；][」』）”\"*_~|]*)(?=\S)")
_WORD: Final = re.compile(r"(?<!\s)\s++(?=\S)|[，、：](?=\S)")
_FILLS: Final = (1 / 2, 1 / 4)
"""How much of what would fit a part holds at least, as long as there is a place for it."""


def choose(text: str, carry: Carry, rendered: Rendered, limit: int) -> int:
    """Return the offset at which to cut a text whose `rendered` form is over the limit."""
    longest = _longest(text, carry, limit)
    # What takes more than half a message is cut, if it must be, behind its first half: see Inline's `long`.
    atoms = sorted((start, min(end, start + limit // 2 + 1)) for start, end in rendered.atoms)
    for cut in _candidates(text, rendered, atoms, longest):
        if fits(text[:cut], carry, limit):
            return cut
    while longest > 1 and not fits(text[:longest], carry, limit, empty=True):
        longest -= longest // 4 or 1
    return longest


def fits(text: str, carry: Carry, limit: int, *, empty: bool = False) -> bool:
    """Whether a part of this text is a message: not too long and, unless `empty`, not without words."""
    content = render(text, carry, End.CUT, limit).content
    return len(content) <= limit and (empty or content != "")


def _longest(text: str, carry: Carry, limit: int) -> int:
    """About how much of the text fits: rendering is not quite monotonic, as a table can turn into a list."""
    low, high = 1, len(text)
    guess, spare = min(limit, high), 0
    while low < high:
        spare = limit - len(render(text[:guess], carry, End.CUT, limit).content)
        if spare == 0:
            return guess
        if spare > 0:
            low = guess
        else:
            high = guess - 1
        near = guess + spare
        guess = near if low < near <= high and abs(spare) < (high - low) // 2 else (low + high + 1) // 2
    return low


def _candidates(text: str, rendered: Rendered, atoms: list[tuple[int, int]], longest: int) -> Iterator[int]:
    """Places for a cut, the best first."""
    whole = _Whole(text, atoms)
    offered: dict[Rank, list[int]] = {rank: [] for rank in Rank}
    for at, rank in rendered.breaks:
        if at <= longest:
            offered[rank].append(at)
    for rank, pattern in ((Rank.SENTENCE, _SENTENCE), (Rank.WORD, _WORD)):
        offered[rank] = [found.end() for found in pattern.finditer(text, longest // 4, min(longest + 64, len(text)))]
    for places in offered.values():
        places[:] = [at for at in places if 0 < at <= longest and whole.allows(at)]
    for fill in _FILLS:
        least = longest * fill
        for rank in Rank:
            yield from (at for at in reversed(offered[rank]) if at >= least)
    yield from (at for at in (whole.before(longest),) if at > 0)
    yield from (at for rank in Rank for at in reversed(offered[rank]))


class _Whole:
    """What must not be cut: constructs and grapheme clusters."""

    def __init__(self, text: str, atoms: list[tuple[int, int]]) -> None:
        self._text = text
        self._starts: list[int] = []
        self._ends: list[int] = []
        for start, end in atoms:
            if self._ends and start < self._ends[-1]:
                self._ends[-1] = max(self._ends[-1], end)
            else:
                self._starts.append(start)
                self._ends.append(end)

    def allows(self, at: int) -> bool:
        return self._atom_start(at) == at == self._cluster_start(at)

    def before(self, at: int) -> int:
        """The last place up to there; 0 if there is none."""
        while at > 0 and not self.allows(at):
            at = min(self._atom_start(at), self._cluster_start(at))
        return at

    def _atom_start(self, at: int) -> int:
        nearest = bisect_right(self._starts, at) - 1
        return self._starts[nearest] if nearest >= 0 and self._starts[nearest] < at < self._ends[nearest] else at

    def _cluster_start(self, at: int) -> int:
        text = self._text
        if at >= len(text) or (text[at].isascii() and text[at - 1].isascii()):
            return at
        return grapheme_boundary_before(text[: at + 1], at + 1)

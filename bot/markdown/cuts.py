"""Cuts in a stretch that is too long for one message, at the places that a person would choose."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Generator, Iterator
from typing import Final

from wcwidth import grapheme_boundary_before

from bot.markdown.rendered import Rank, Rendered

_SENTENCE: Final = re.compile(r"(?<!\d)(?:[.!?…][\"'”’)\]*_~|]*\s++|[。！？；][」』）”\"*_~|]*)(?=\S)")
"""Pattern of the end of a sentence: in `One. Two` and `一。二`, `. ` and `。`."""
_WORD: Final = re.compile(r"(?<!\s)\s++(?=\S)|[，、：](?=\S)")
"""Pattern of the space after a word: in `one two` and `一、二`, ` ` and `、`."""
_FILLS: Final = (1 / 2, 1 / 4)
"""Smallest fractions of the available room that a part fills, tried in this order."""
_TRIES: Final = 32
"""The number of messages' worth of source that the search for the longest fitting part may render.

The search for the best cut has the same limit.
"""


def choose(
    text: str,
    rendered: Rendered,
    limit: int,
    part: Callable[[int], str],
    closed: Callable[[int], str],
    *,
    last: bool = False,
) -> Generator[int, None, int]:
    """Return the offset at which to cut a text that is too long, as source or in `rendered` form.

    `part` returns the content of the text up to an offset, and `closed` the same with its marks as they are if the text
    is cut there. With `last`, the last place is taken instead of the best. It
    keeps the most text in view while the text may still change. The generator yields the number of characters rendered
    in each step.
    """
    longest = yield from _longest(text, limit, part)
    # A construct longer than half a message may be cut after its first half, as `long` in InlineState describes.
    atoms = sorted((start, min(end, start + limit // 2 + 1)) for start, end in rendered.atoms)
    tried = 0
    for cut in _candidates(text, rendered, atoms, longest, last=last):
        # If nothing of the text is shown at all, no cut leaves a part with words.
        content = closed(cut)
        if len(content) <= limit and (content != "" or rendered.content == ""):
            return cut
        yield cut
        tried += cut
        if tried > _TRIES * limit:
            break
    while longest > 1 and len(closed(longest)) > limit:
        yield longest
        longest -= longest // 4 or 1
    return longest


def _longest(text: str, limit: int, part: Callable[[int], str]) -> Generator[int, None, int]:
    """Find about how much of the text fits. Rendering is not quite monotonic, since a table can turn into a list."""
    low, high = 1, len(text)
    # If little of a text much longer than a message is shown, all of it except its end should fit.
    sparse = high > 2 * limit
    guess, spare, tried = high if sparse else min(limit, high), 0, 0
    while low < high and tried <= _TRIES * limit:
        size = len(part(guess))
        yield guess
        tried += guess
        spare = limit - size
        if spare == 0:
            return guess
        if sparse:
            spare = spare * guess // max(size, 1)
        if spare > 0:
            low = guess
        else:
            high = guess - 1
        near = guess + spare
        guess = near if low < near <= high and abs(spare) < (high - low) // 2 else (low + high + 1) // 2
    return low


def _candidates(
    text: str, rendered: Rendered, atoms: list[tuple[int, int]], longest: int, *, last: bool
) -> Iterator[int]:
    """Return the places for a cut, best first."""
    whole = _Whole(text, atoms)
    if last and (at := whole.before(longest)) > 0:
        yield at
    offered: dict[Rank, list[int]] = {rank: [] for rank in Rank}
    for at, rank in rendered.breaks:
        if at <= longest:
            offered[rank].append(at)
    for rank, pattern in ((Rank.SENTENCE, _SENTENCE), (Rank.WORD, _WORD)):
        offered[rank] = [found.end() for found in pattern.finditer(text, longest // 4, min(longest + 64, len(text)))]
    for fill in _FILLS:
        least = longest * fill
        for rank in Rank:
            yield from (at for at in reversed(offered[rank]) if least <= at <= longest and whole.allows(at))
    yield from (at for at in (whole.before(longest),) if at > 0)
    yield from (at for rank in Rank for at in reversed(offered[rank]) if 0 < at <= longest and whole.allows(at))


class _Whole:
    """Ranges of the text that must not be cut: constructs and grapheme clusters."""

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
        """Return the last place up to an offset, or 0 if there is none."""
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

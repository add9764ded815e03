"""A reply as it grows, cut into parts."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from bot.markdown.blocks import Carry, End, render
from bot.markdown.cuts import choose

_STEP: Final = 32
"""Characters after which a part that is nearly full is looked at again."""
_LONGEST: Final = 8
"""Messages' worth of source that one part may at most be made from, however little of it is shown."""


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a reply that fits one message and is valid Markdown alone; `start` is its offset in the source."""

    start: int
    content: str


class Document:
    """A reply as it grows, as parts that each fit one message of `limit` code points.

    Where a part ends depends on the text alone, never on when it came. A part before the last one never changes.
    `cuts` are the starts of parts that people have already been shown: they stay where they are.
    """

    def __init__(self, limit: int = 2000, cuts: Sequence[int] = ()) -> None:
        self._limit = limit
        self._recorded = deque(cut for cut in sorted(set(cuts)) if cut > 0)
        self._closed: list[Part] = []
        self._last: Part | None = None
        self._start = 0
        self._carry = Carry()
        self._look = limit * 3 // 4
        """How much of the open part there must be before it is looked at for a cut."""
        self._settled = (0, "")
        """How much of the open part's source needs no more rendering, and what became of it."""

    @property
    def parts(self) -> Sequence[Part]:
        """What is shown, in order. The last part may still grow."""
        return (*self._closed, self._last) if self._last else tuple(self._closed)

    def update(self, text: str, *, final: bool = False) -> None:
        """Take the whole text so far, which begins with the text of the call before."""
        while (cut := self._cut(text, final)) is not None:
            self._close(text, cut)
        content = self._rendered(text, len(text), End.FINAL if final else End.GROWING)
        if len(content) > self._limit:
            cut = self._choose(text, len(text), End.GROWING)
            content = render(text[self._start : cut], self._carry, End.CUT, self._limit).content
        self._last = Part(self._start, content) if content else None

    def _rendered(self, text: str, seen: int, end: End) -> str:
        """The open part as far as it is seen; only what can still change is rendered again."""
        offset, before = self._settled
        carry = Carry() if offset else self._carry
        rendered = render(text[self._start + offset : seen], carry, end, self._limit, before=before)
        self._settled = (offset + rendered.settled[0], rendered.settled[1])
        return rendered.content

    def _choose(self, text: str, seen: int, end: End) -> int:
        window = text[self._start : seen]
        return self._start + choose(window, self._carry, render(window, self._carry, end, self._limit), self._limit)

    def _close(self, text: str, cut: int) -> None:
        rendered = render(text[self._start : cut], self._carry, End.CUT, self._limit)
        if rendered.content:
            self._closed.append(Part(self._start, rendered.content))
        self._start, self._carry = cut, rendered.carry
        self._look = self._limit * 3 // 4
        self._settled = (0, "")

    def _cut(self, text: str, final: bool) -> int | None:
        """The end of the open part, as soon as it is certain."""
        if self._recorded and (self._recorded[0] <= len(text) or not final):
            return self._recorded_cut(text)
        while (seen := self._start + self._look) <= len(text):
            if (cut := self._over(text, seen, End.GROWING)) is not None:
                return cut
        return self._over(text, len(text), End.FINAL) if final else None

    def _recorded_cut(self, text: str) -> int | None:
        cut = self._recorded[0]
        if cut > len(text):
            return None
        if len(render(text[self._start : cut], self._carry, End.CUT, self._limit).content) > self._limit:
            return self._choose(text, cut, End.CUT)
        return self._recorded.popleft()

    def _over(self, text: str, seen: int, end: End) -> int | None:
        """Where to cut if what is seen is too long for one part; else set when to look again."""
        room = self._limit - len(self._rendered(text, seen, end))
        if room >= 0 and seen - self._start < _LONGEST * self._limit:
            self._look += max(_STEP, room * 3 // 4)
            return None
        return self._choose(text, seen, end)

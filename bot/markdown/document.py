"""A growing reply that is cut into parts."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from bot.markdown.blocks import render
from bot.markdown.cuts import choose
from bot.markdown.rendered import NOTHING, Ahead, Carry, End, Item, Rendered

_AHEAD: Final = (128, 512, 2048)
"""The numbers of characters behind a cut in which the end of a mark is looked for, tried in this order.

A mark that has no end in the last of them is text.
"""
_STEP: Final = 32
"""The number of characters after which a nearly full part is checked again."""
_MOST_TRIED: Final = 40
"""The number of places for a cut whose renderings are remembered."""
_LONGEST: Final = 8
"""The largest amount of source for one part, in messages' worth, however little of it is shown."""
_ORDINARY: Final = 2
"""An amount of source, in messages' worth, that a part of ordinary text never reaches."""


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a reply that fits one message and is valid Markdown alone. `start` is its offset in the source."""

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
        self._tried: dict[tuple[int, bool], Rendered] = {}
        """Renderings of the open part by the offset of a possible cut, without and with the text behind it."""
        self._awaited = 0
        """The length of the text that tells what marks before the next cut mean."""
        self._seen: tuple[int, End, str] | None = None
        """The length of the open part, and what followed it, when it was rendered last, and its rendering."""
        self._window: Rendered | None = None
        """A rendering of the open part, of which those up to a cut can take the beginning."""
        self._look = limit * 3 // 4
        """The length that the open part must reach before it is checked for a cut."""
        self._settled: tuple[int, str, tuple[Item, ...]] = (0, "", ())
        """The length of the open part's source that is settled, its rendering, and the lists that are open after it."""

    @property
    def parts(self) -> Sequence[Part]:
        """Return the parts to show, in order. The last one may still grow."""
        return (*self._closed, self._last) if self._last else tuple(self._closed)

    def update(self, text: str, *, final: bool = False) -> None:
        """Take the whole text so far. It begins with the text of the previous call."""
        for _ in self.steps(text, final=final):
            pass

    def steps(self, text: str, *, final: bool = False) -> Iterator[int]:
        """Take the text as `update` does, step by step: each yields how many characters it has rendered.

        Whoever has begun has to go through all steps before there is more text. Until then `parts` are those that are
        certain.
        """
        text = _with_newlines(text, final=final)
        if len(text) < self._awaited and not final:
            return
        while (cut := (yield from self._cut(text, final))) is not None:
            yield self._close(text, cut, final)
        if self._awaited:
            return
        yield len(text) - self._start - self._settled[0]
        content = self._rendered(text, len(text), End.FINAL if final else End.GROWING)
        if len(content) > self._limit:
            cut = yield from self._choose(text, len(text), End.GROWING, None, last=True)
            content = self._until(text, cut).content
        self._last = Part(self._start, content) if content else None

    def _rendered(self, text: str, seen: int, end: End) -> str:
        """Render the open part as people see it now. Only text that can still change is rendered again."""
        if self._seen and self._seen[:2] == (seen, end):
            return self._seen[2]
        rendered = self._render(text, self._settled, seen, end)
        self._seen = (seen, end, rendered.content)
        if rendered.places:
            at, content, items = rendered.settled()
            self._settled = (self._settled[0] + at, content, items)
        return rendered.content

    def _render(
        self,
        text: str,
        settled: tuple[int, str, tuple[Item, ...]],
        seen: int,
        end: End,
        ahead: Ahead = NOTHING,
    ) -> Rendered:
        offset, before, items = settled
        carry = Carry(items=items) if offset else self._carry
        return render(text[self._start + offset : seen], carry, end, self._limit, before=before, ahead=ahead)

    def _choose(
        self, text: str, seen: int, end: End, final: bool | None, *, last: bool = False
    ) -> Generator[int, None, int]:
        rendered = self._window = render(text[self._start : seen], self._carry, end, self._limit)
        yield seen - self._start
        cut = yield from self._choose_in(rendered, text, seen, final, last=last)
        if final is not None and not self._awaited and _is_code(rendered.carry):
            known = self._closed_at(text, cut, final)
            if not _is_code(known.carry):
                # Nothing closes the backticks, so that there are constructs behind them that no cut should split.
                until = min(seen + _AHEAD[-1], len(text))
                rendered = render(text[self._start : until], self._carry, End.FINAL, self._limit)
                yield until - self._start
                cut = yield from self._choose_in(rendered, text, seen, final, last=last)
        return cut

    def _choose_in(
        self, rendered: Rendered, text: str, seen: int, final: bool | None, *, last: bool
    ) -> Generator[int, None, int]:
        start = self._start
        cut = yield from choose(
            text[start:seen],
            rendered,
            self._limit,
            lambda at: self._until(text, start + at).content,
            lambda at: self._closed_at(text, start + at, final).content,
            last=last,
        )
        return start + cut

    def _until(self, text: str, cut: int, ahead: Ahead = NOTHING) -> Rendered:
        """Render the open part up to a cut, or return the remembered rendering."""
        key = (cut, ahead.text != "")
        rendered = self._tried.get(key)
        if rendered is None:
            if len(self._tried) >= _MOST_TRIED:
                self._tried.clear()
            settled = self._window.settled(cut - self._start) if self._window else (0, "", ())
            rendered = self._render(text, settled, cut, End.CUT, ahead)
            if not (ahead.text and rendered.unsure):
                self._tried[key] = rendered
        return rendered

    def _closed_at(self, text: str, cut: int, final: bool | None) -> Rendered:
        """Render the open part up to a cut, where a mark is one only if the text behind the cut closes it.

        If more text is needed for that, it is awaited. If `final` is None, every open mark is taken for one.
        """
        rendered = self._until(text, cut)
        for size in _AHEAD:
            if not rendered.unsure or final is None:
                break
            if cut + size > len(text) and not final:
                self._awaited = cut + size
                break
            enough = size == _AHEAD[-1] or (final and cut + size >= len(text))
            rendered = self._until(text, cut, Ahead(text[cut : cut + size], enough))
        return rendered

    def _close(self, text: str, cut: int, final: bool) -> int:
        source = text[self._start : cut]
        rendered = self._closed_at(text, cut, final)
        self._tried.clear()
        self._window = self._seen = None
        if rendered.content:
            self._closed.append(Part(self._start, rendered.content))
        self._start, self._carry, self._last = cut, rendered.carry, None
        self._look = self._limit * 3 // 4
        if len(source) < self._limit // 8 and len(rendered.content) > self._limit // 4:
            # The source expands to much more text here, and most of a longer rendering would be wasted.
            self._look = max(_STEP, 2 * len(source))
        self._settled = (0, "", ())
        return len(source)

    def _cut(self, text: str, final: bool) -> Generator[int, None, int | None]:
        """Return the end of the open part as soon as it is certain, and what the marks before it mean."""
        self._awaited = 0
        cut = None
        if self._recorded and (self._recorded[0] <= len(text) or not final):
            cut = yield from self._recorded_cut(text, final)
        else:
            while cut is None and (seen := self._start + self._look) <= len(text):
                cut = yield from self._over(text, seen, End.GROWING, final)
            if cut is None and final:
                cut = yield from self._over(text, len(text), End.FINAL, final)
        if cut is not None and self._awaited:
            content = self._closed_at(text, cut, final).content
            self._last = Part(self._start, content) if content else None
            return None
        if self._recorded and cut == self._recorded[0]:
            self._recorded.popleft()
        return cut

    def _recorded_cut(self, text: str, final: bool) -> Generator[int, None, int | None]:
        cut = self._recorded[0]
        if cut > len(text):
            return None
        seen = min(cut, self._start + _LONGEST * self._limit)
        content = self._closed_at(text, seen, final).content
        yield seen - self._start
        if seen < cut or len(content) > self._limit:
            return (yield from self._choose(text, seen, End.CUT, final))
        return cut

    def _over(self, text: str, seen: int, end: End, final: bool) -> Generator[int, None, int | None]:
        """Return the cut if the visible text is too long for one part. Otherwise set the length for the next check."""
        yield seen - self._start - self._settled[0]
        room = self._limit - len(self._rendered(text, seen, end))
        if room >= 0 and seen - self._start < _LONGEST * self._limit:
            step = max(_STEP, room * 3 // 4)
            if self._look > _ORDINARY * self._limit:
                # So little of the source is shown that a search for the exact limit would take too many steps.
                step = max(step, self._look // 4)
            self._look += step
            return None
        return (yield from self._choose(text, seen, end, final))


def _is_code(carry: Carry) -> bool:
    """Whether inline code goes on behind a cut."""
    return any(each.mark[0] == "`" for each in carry.marks)


def _with_newlines(text: str, *, final: bool) -> str:
    r"""Return the text with `\n` as its only line end and all offsets unchanged. `\r\n` becomes a space and `\n`."""
    if "\r" not in text:
        return text
    if text.endswith("\r") and not final:
        text = text[:-1]
    return text.replace("\r\n", " \n").replace("\r", "\n")

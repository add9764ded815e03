"""Text inside a paragraph: which marks are open, what must stay whole, and what Discord has another form for."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from bot.markdown.latex import to_unicode

HOLD: Final = 300
"""Characters for which a half-written construct is held back before it is shown as it stands."""

_SPECIAL: Final = re.compile(r"[\\`*_~|\[<$]|!\[|(?<!\S)!\Z|https?://")
_TOKEN: Final = re.compile(
    r"<(?:@[!&]?\d+|#\d+|a?:\w+:\d+|t:-?\d+(?::\w)?|/[^<>\n:]+:\d+|id:\w+(?::\d+)?|https?://[^\s<>]+)>", re.ASCII
)
_HALF_TOKEN: Final = re.compile(r"<(?:[@#:/a-zA-Z][^<>\s]*)?$")
_TAG: Final = re.compile(
    r"<(/?)(b|strong|i|em|u|ins|s|del|strike|code|kbd|br|sub|sup|mark|small|span)(?:\s[^<>\n]*|\s*/)?>", re.IGNORECASE
)
_SCRIPTED: Final = re.compile(r"<(su[bp])>([^<>\n]*)</\1>", re.IGNORECASE)
_HALF_SCRIPTED: Final = re.compile(r"<su[bp]>[^<>\n]*(?:<[^<>\n]*)?$", re.IGNORECASE)
_LABEL: Final = r"\[((?:[^\[\]\n\\]|\\.|\[[^\[\]\n]{0,300}\]){0,1000})\]"
_TARGET: Final = r"\(([^()\s]*(?:\([^()\s]*\)[^()\s]*)*)(?:[ \t]++[\"'][^\n]{0,300}?[\"'])?\)"
_LINK: Final = re.compile(rf"{_LABEL}{_TARGET}")
_IMAGE: Final = re.compile(rf"!{_LABEL}{_TARGET}")
_LINKED_IMAGE: Final = re.compile(rf"\[!{_LABEL}{_TARGET}\]{_TARGET}")
_HALF_LINK: Final = re.compile(r"!$|!?\[(?:[^\[\]\n]|\[(?:[^\[\]\n]*+\])?)*(?:\](?:\([^\n)]*)?)?$")
_HALF_LINKED_IMAGE: Final = re.compile(r"\[(?:!(?:\[[^\[\]\n]*(?:\](?:\([^\n()]*(?:\)(?:\](?:\([^\n)]*)?)?)?)?)?)?)?$")
_URL: Final = re.compile(r"https?://[^\s<>*|~`\"\]，。、；：！？）」』】]+")
_URL_TAIL: Final = ".,;:!?)_'"
_INLINE_MATH: Final = re.compile(r"\$(?=\S)([^$\n]{1,300}?)(?<=\S)\$(?!\d)")
_DISPLAY_MATH: Final = re.compile(r"\$\$(?=[^$])([^$]{1,300})\$\$")
_BRACKET_MATH: Final = re.compile(r"\\\((.{1,300}?)\\\)|\\\[(.{1,300}?)\\\]", re.DOTALL)
_BRACKETS: Final = {"(": "\\)", "[": "\\]"}
_HALF_MATH: Final = re.compile(r"\$\$?(?=[^\s\d$])[^$\n]*\$?$|\$\$[^$]*\$?$")
_FORMULA: Final = re.compile(r"[\\^]|[A-Za-z]_[\w{]|^[A-Za-z]′?'*$|^[\d.,]+$")
_WORD: Final = re.compile(r"[^\W\d_]{2,}")
_ESCAPED: Final = re.compile(r"([*_~`|\\])")
_MARK_OF_TAG: Final = {
    **dict.fromkeys(("b", "strong"), "**"), **dict.fromkeys(("i", "em"), "*"), **dict.fromkeys(("u", "ins"), "__"),
    **dict.fromkeys(("s", "del", "strike"), "~~"), **dict.fromkeys(("code", "kbd"), "`"),
}  # fmt: skip
_RUNS: Final[dict[str, dict[int, tuple[str, ...]]]] = {
    "*": {1: ("*",), 2: ("**",), 3: ("**", "*")},
    "_": {1: ("_",), 2: ("__",), 3: ("__", "_")},
    "~": {2: ("~~",)},
    "|": {2: ("||",)},
}
LONGEST_TICKS: Final = 16
"""A longer run of backticks is text: as a mark it would not leave room in a message for what it marks."""


@dataclass(slots=True)
class _Mark:
    text: str
    pieces: int
    """How many pieces of output there were once it was written: no more now, and it is empty."""
    carried: bool


class Inline:
    """Writes paragraphs, one chunk of source after the other, and knows which marks are open after each.

    `carried` are the marks that the part before closed at its end: they are written at the first chunk and, unlike
    marks of this part that turn out to be mere text, always closed.
    """

    def __init__(self, source: str, carried: tuple[str, ...] = (), *, growing: bool = False, long: int = 1000) -> None:
        self.out: list[str] = []
        self.atoms: list[tuple[int, int]] = []
        self.held = False
        self.newline = "\n"
        """What begins a new line here: in a quote, its mark belongs to it."""
        self._source = source
        self._growing = growing
        self._long = long
        """Inline code that is still open after so many characters is taken up again after a cut."""
        self._pending = carried
        self._open: list[_Mark] = []
        self._bold = False
        self._start = 0
        self._end = 0

    def write(self, text: str) -> None:
        """Put text out as it is."""
        if text:
            self.out.append(text)

    @property
    def marks(self) -> tuple[str, ...]:
        """The marks that are open now, outermost first."""
        return tuple(mark.text for mark in self._open)

    @property
    def due(self) -> tuple[str, ...]:
        """Those of them that the end of the reply must close."""
        return tuple(mark.text for mark in self._open if mark.carried)

    def open(self, text: str) -> None:
        """Open a mark that the source has in another form."""
        self._push(text)

    def close(self, text: str) -> None:
        """Close a mark opened so, and with it what stands open inside."""
        for mark in reversed(self.marks):
            self._open.pop()
            self.write(mark)
            if mark == text:
                return

    def drop_empty_marks(self) -> None:
        """Take back marks at the very end that nothing follows."""
        while self._open and self._open[-1].pieces == len(self.out):
            self._open.pop()
            self.out.pop()

    def reopen(self, *, paragraph: bool) -> None:
        """Write what the part before left open; emphasis goes on only in the same paragraph, a spoiler everywhere."""
        for mark in self._pending:
            if paragraph or mark == "||":
                self._push(mark, carried=True)
        self._pending = ()

    def end_paragraph(self) -> None:
        """Close what must be closed. The rest that is open was mere text; a spoiler may span paragraphs."""
        spoiler: list[_Mark] = []
        for mark in reversed(self._open):
            if mark.text == "||":
                spoiler = [mark]
            elif mark.carried:
                self.write(mark.text)
        self._open = spoiler

    def chunk(self, start: int, end: int, *, bold: bool = False) -> None:
        """Write the source from `start` to `end`, a paragraph or a line of it. `bold` text is bold already."""
        self._start, self._end, self._bold = start, end, bold
        source = self._source
        at = start
        if self._open and self._open[-1].text[0] == "`":
            at = self._rest_of_code(at, self._open[-1].text)
        while at < end and not self.held:
            found = _SPECIAL.search(source, at, end)
            if found is None:
                self.out.append(source[at:end])
                return
            if found.start() > at:
                self.out.append(source[at : found.start()])
            at = _HANDLERS[source[found.start()]](self, found.start())

    def _push(self, text: str, *, carried: bool = False) -> None:
        self.out.append(text)
        self._open.append(_Mark(text, len(self.out), carried))

    def _literal(self, at: int, end: int) -> int:
        self.out.append(self._source[at:end])
        return end

    def _atom(self, at: int, end: int, text: str | None = None) -> int:
        """Write something that no cut may go through."""
        self.atoms.append((at, end))
        self.write(self._source[at:end] if text is None else text)
        return end

    def _hold(self, at: int, *halves: re.Pattern[str]) -> bool:
        """Whether what begins at `at` may still become whole; if so, nothing more is shown. `halves` say what may."""
        source, end = self._source, self._end
        if self._growing and end == len(source) and end - at <= HOLD:
            self.held = not halves or any(half.match(source, at, end) for half in halves)
        return self.held

    def _run_end(self, at: int) -> int:
        character, end = self._source[at], at
        while end < self._end and self._source[end] == character:
            end += 1
        return end

    def _rest_of_code(self, at: int, ticks: str) -> int:
        close = re.compile(rf"(?<!`){ticks}(?!`)").search(self._source, at, self._end)
        if close is None:
            self.atoms.append((at, self._end))
            self.write(self._source[at : self._end])
            return self._end
        self._open.pop()
        return self._code(at, at, close)

    def _code(self, at: int, content: int, close: re.Match[str]) -> int:
        """Write inline code. However long it is, its last character stays with the mark that closes it."""
        last = content + len(self._source[content : close.start()].rstrip()) - 1
        self.atoms.append((max(last, at), close.end()))
        return self._atom(at, close.end())

    def _backticks(self, at: int) -> int:
        after = self._run_end(at)
        ticks = self._source[at:after]
        if len(ticks) > LONGEST_TICKS:
            return self._literal(at, after)
        close = re.compile(rf"(?<!`){ticks}(?!`)").search(self._source, after, self._end)
        if close is not None:
            return self._code(at, after, close)
        last = self._end == len(self._source)
        if last and after == self._end and self._hold(at):
            return at
        if last and (self._growing or self._end - at > self._long) and self._source[after : self._end].strip("`"):
            self._push(ticks)
            rest = self._source[after : self._end]
            self.write(rest.rstrip("`") if self._growing else rest)
            self.atoms.append((at, self._end))
            return self._end
        return self._literal(at, after)

    def _delimiters(self, at: int) -> int:
        source, after = self._source, self._run_end(at)
        if after == self._end and self._growing and after == len(source):
            self.held = True
            return at
        character, length = source[at], after - at
        if self._bold and character == "*" and length > 1:
            length -= 2
            if not length:
                return after
        marks = _RUNS[character].get(length)
        if marks is None:
            return self._literal(at, after)
        before = source[at - 1] if at > self._start else " "
        behind = source[after] if after < self._end else " "
        closes = length > 1 or not (before.isspace() or (character == "_" and behind.isalnum()))
        if closes and any(self._close(mark) for mark in reversed(marks)):
            self.atoms.append((at - 1, after))
            return self._literal(at, after) if not self._bold else self._atom(at, after, character * length)
        within_word = before.isalnum() and (character == "_" or (before.isascii() and behind.isalnum()))
        if behind.isspace() or within_word or any(mark in self.marks for mark in marks):
            return self._literal(at, after)
        for mark in marks:
            self._push(mark)
        self.atoms.append((at, min(after + 1, self._end)))
        return after

    def _close(self, text: str) -> bool:
        for depth, mark in enumerate(self._open):
            if mark.text == text:
                del self._open[depth:]
                return True
        return False

    def _bracket(self, at: int) -> int:
        source, end = self._source, self._end
        if link := _LINKED_IMAGE.match(source, at, end):
            return self._atom(at, link.end(), f"[{link[1] or 'image'}]({link[3]})")
        if link := _LINK.match(source, at, end):
            return self._atom(at, link.end())
        return at if self._hold(at, _HALF_LINK, _HALF_LINKED_IMAGE) else self._literal(at, at + 1)

    def _image(self, at: int) -> int:
        if image := _IMAGE.match(self._source, at, self._end):
            return self._atom(at, image.end(), f"[{image[1].strip() or 'image'}]({image[2]})")
        return at if self._hold(at, _HALF_LINK) else self._literal(at, at + 1)

    def _angle(self, at: int) -> int:
        source, end = self._source, self._end
        if token := _TOKEN.match(source, at, end):
            return self._atom(at, token.end())
        if script := _SCRIPTED.match(source, at, end):
            text = to_unicode(("_" if script[1].lower() == "sub" else "^") + f"{{{script[2]}}}")
            return self._atom(at, script.end(), script[2] if text is None or text[0] in "_^" else text)
        if self._hold(at, _HALF_SCRIPTED):
            return at
        if tag := _TAG.match(source, at, end):
            return self._tag(at, tag.end(), closing=bool(tag[1]), name=tag[2].lower())
        return at if self._hold(at, _HALF_TOKEN) else self._literal(at, at + 1)

    def _tag(self, at: int, after: int, *, closing: bool, name: str) -> int:
        self.atoms.append((at, after))
        mark = _MARK_OF_TAG.get(name)
        if name == "br":
            self.write(self.newline)
        elif mark == "`":
            close = re.compile(rf"([^<>`\n]+)</{name}>", re.IGNORECASE).match(self._source, after, self._end)
            if close and not closing:
                return self._atom(at, close.end(), f"`{close[1]}`")
        elif mark is not None and closing:
            if self._open and self._open[-1].text == mark:
                self.write(mark)
                self._open.pop()
        elif mark is not None and mark not in self.marks and self._source[after : after + 1].strip():
            self._push(mark)
        return after

    def _escape(self, at: int) -> int:
        if closing := _BRACKETS.get(self._source[at + 1 : at + 2]):
            # Looked for first, as the pattern would walk 300 characters for each bracket that is not closed.
            closed = self._source.find(closing, at + 3, min(self._end, at + 304)) >= 0
            if closed and (math := _BRACKET_MATH.match(self._source, at, self._end)):
                return self._formula(at, math.end(), math[1] or math[2])
            if self._hold(at):
                return at
        elif at + 1 == self._end and self._hold(at):
            return at
        return self._atom(at, min(at + 2, self._end))

    def _dollar(self, at: int) -> int:
        source, end = self._source, self._end
        if math := _DISPLAY_MATH.match(source, at, end):
            return self._formula(at, math.end(), math[1])
        if (math := _INLINE_MATH.match(source, at, end)) and _looks_like_math(math[1]):
            return self._formula(at, math.end(), math[1])
        return at if self._hold(at, _HALF_MATH) else self._literal(at, self._run_end(at))

    def _formula(self, at: int, after: int, formula: str) -> int:
        text = to_unicode(formula)
        return self._atom(at, after, as_code(formula) if text is None else escape(text))

    def _url(self, at: int) -> int:
        url = _URL.match(self._source, at, self._end)
        if url is None:
            return self._literal(at, at + 1)
        return self._atom(at, max(at + 1, at + len(url[0].rstrip(_URL_TAIL))))


_HANDLERS: Final[dict[str, Callable[[Inline, int], int]]] = {
    "`": Inline._backticks,
    "*": Inline._delimiters,
    "_": Inline._delimiters,
    "~": Inline._delimiters,
    "|": Inline._delimiters,
    "[": Inline._bracket,
    "!": Inline._image,
    "<": Inline._angle,
    "\\": Inline._escape,
    "$": Inline._dollar,
    "h": Inline._url,
}


def escape(text: str) -> str:
    """Text in which Discord sees no marks."""
    return _ESCAPED.sub(r"\\\1", text)


def as_code(formula: str) -> str:
    """A formula as inline code, on one line."""
    formula = " ".join(formula.split())
    return f"``{formula} ``" if "`" in formula else f"`{formula}`" if formula else ""


@lru_cache(maxsize=1024)
def inline(text: str) -> str:
    """One finished line on its own, such as a cell of a table."""
    writer = Inline(text)
    writer.chunk(0, len(text))
    writer.end_paragraph()
    return "".join(writer.out)


def _looks_like_math(formula: str) -> bool:
    """Whether what stands between two dollar signs is a formula and not text between two prices."""
    if _FORMULA.search(formula):
        return True
    return not formula[0].isdigit() and not _WORD.search(formula) and any(sign in formula for sign in "=+-*/<>()")

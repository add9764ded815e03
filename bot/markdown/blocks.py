"""A stretch of a model's Markdown as one message: what Discord cannot show in another form, every mark closed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import Final

from bot.markdown.inline import HOLD, Inline, as_code, escape
from bot.markdown.latex import to_unicode
from bot.markdown.lines import (
    BLANK_LINES,
    DISPLAY,
    DISPLAY_END,
    FENCE,
    HALF_DISPLAY,
    HALF_LINE,
    HEADING,
    ITEM,
    LONGEST_DISPLAY,
    QUOTE,
    QUOTE_REST,
    UNDERLINE,
    closing_fence,
    is_marked,
    is_rule,
    is_text,
)
from bot.markdown.tables import Table, as_list, as_text, cells, is_delimiter_row, table


class End(Enum):
    """What comes after the stretch."""

    GROWING = "more is being written: half-written constructs are held back"
    CUT = "a cut: what is open is closed here and goes on in the next part"
    FINAL = "nothing: what is open stays text"


class Rank(IntEnum):
    """How good a place for a cut is; the lowest is the best."""

    PARAGRAPH = 0
    LINE = 1
    SENTENCE = 2
    WORD = 3


@dataclass(frozen=True, slots=True)
class Carry:
    """What a part takes over from the one before: lines to read before its own, and marks to open in the first."""

    lines: str = ""
    marks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Rendered:
    """A stretch as Discord is given it. `breaks` and `atoms` are offsets in the text it was made from.

    `atoms` are ranges that no cut should go through, in no order.
    """

    content: str
    settled: tuple[int, str]
    """An offset after which rendering can start afresh, and what comes of the text before it, whatever is after it."""
    carry: Carry
    breaks: list[tuple[int, Rank]]
    atoms: list[tuple[int, int]]


_LEADING: Final = re.compile(r"\A(?:[ \t\r]*\n)+|\A\s+\Z")
_LONGEST_LANGUAGE: Final = 64
_TITLE: Final = 80
_ENOUGH: Final = 4
"""Messages' worth of content after which no more is rendered, as it is too much in any case."""


def render(text: str, carry: Carry, end: End, limit: int, *, before: str = "") -> Rendered:
    """Render a stretch that follows on `carry`, or on the settled content `before` it, which is put in front.

    `limit` only bounds what is worth keeping whole or repeating.
    """
    return _Blocks(carry, text, end, limit).render(before)


class _Blocks:
    def __init__(self, carry: Carry, text: str, end: End, limit: int) -> None:
        self._source = carry.lines + text
        self._shift = len(carry.lines)
        self._end = end
        self._limit = limit
        self._growing = end is End.GROWING
        self._inline = Inline(self._source, carry.marks, growing=self._growing, long=limit // 2)
        self._at = 0
        self._breaks: list[tuple[int, Rank]] = []
        self._gap = True
        """Whether a blank line or the end of a block that stands alone came just before."""
        self._keep = False
        """Whether what came before (a heading) belongs to what comes next."""
        self._rest = False
        """Whether `>>>` has made a quote of everything."""
        self._tail = ""
        """What closes the block that is open at the end."""
        self._lines = ""
        """What reopens it."""
        self._display_end = 0
        """Where the next display formula in brackets may end, as far as it has been looked for."""
        self._settled = (0, 0)
        """An offset in the source with nothing open before it, and the pieces of output up to there."""

    def render(self, before: str) -> Rendered:
        source = self._source
        inline = self._inline
        size, most = 0, _ENOUGH * self._limit
        while self._at < len(source) and not inline.held and size <= most:
            written = len(inline.out)
            self._block()
            size += sum(map(len, inline.out[written:]))
        offset, pieces = self._settled
        settled = _LEADING.sub("", before + "".join(inline.out[:pieces]), count=1)
        inline.drop_empty_marks()
        content = (before + "".join(inline.out)).rstrip()
        marks = inline.marks
        content += self._tail + "".join(reversed(inline.due if self._end is End.FINAL else marks))
        content = _LEADING.sub("", content, count=1).rstrip()
        carry = Carry((">>> " if self._rest else "") + self._lines, marks)
        shift = self._shift
        atoms = [(start - shift, end - shift) for start, end in inline.atoms if end > shift]
        return Rendered(content, (offset, settled), carry, self._breaks, atoms)

    def _line_end(self, at: int) -> int:
        end = self._source.find("\n", at)
        return len(self._source) if end < 0 else end

    def _is_last(self, end: int) -> bool:
        """Whether a line that ends there is the one being written."""
        return self._growing and end == len(self._source)

    def _hold(self, start: int) -> bool:
        if self._growing and len(self._source) - start <= HOLD:
            self._inline.held = True
        return self._inline.held

    def _offer(self, at: int, rank: Rank | None = None) -> None:
        """Take the start of a line as a place for a cut."""
        if at > self._shift and not self._keep:
            rank = (Rank.PARAGRAPH if self._gap else Rank.LINE) if rank is None else rank
            self._breaks.append((at - self._shift, rank))

    def _block(self) -> None:
        source, start = self._source, self._at
        if not self._rest and source.startswith(QUOTE_REST, start):
            self._rest = True
            self._offer(start)
            self._keep = True
            self._inline.write(QUOTE_REST)
            start = self._at = start + len(QUOTE_REST)
        end = self._line_end(start)
        line = source[start:end]
        if not line or line.isspace():
            self._inline.end_paragraph()
            blank = BLANK_LINES.match(source, start)
            self._at = blank.end() if blank else end + 1
            self._inline.write(source[start : self._at])
            self._gap = True
            if blank and not (self._keep or self._rest or self._inline.marks):
                self._settled = (self._at - self._shift, len(self._inline.out))
            return
        quote = QUOTE.match(source, start, end) if ">" in line[:4] else None
        body = quote.end() if quote else start
        if self._is_last(end) and HALF_LINE.match(source, body, end) and self._hold(start):
            return
        mark = source[start:body]
        if is_marked(line[body - start :]):
            if fence := FENCE.match(source, body, end):
                self._fence(fence, mark, start, end)
                return
            if self._leaf(mark, start, body, end):
                return
        self._paragraph(mark, start, body, end)

    def _leaf(self, mark: str, start: int, body: int, end: int) -> bool:
        """Write the block that begins here if it is a rule, a table, a display formula or a heading."""
        source = self._source
        if is_rule(source, body, end):
            self._offer(start)
            self._inline.end_paragraph()
            if not self._gap:
                self._inline.write("\n")
            self._skip_blank(end + 1)
            return True
        if "|" in source[body:end] and self._table(mark, start, body, end):
            return True
        if (half := HALF_DISPLAY.match(source, body, end)) and self._display(mark, start, body, half.end()):
            return True
        if heading := HEADING.match(source, body, end):
            self._heading(mark, start, heading.end(), end, heading[1])
            return True
        return False

    def _skip_blank(self, at: int) -> None:
        while at < len(self._source) and not self._source[at : (end := self._line_end(at))].strip():
            at = end + 1
        self._at = at
        self._gap = True

    def _heading(self, mark: str, start: int, body: int, end: int, hashes: str) -> None:
        inline = self._inline
        inline.end_paragraph()
        self._offer(start)
        inline.atoms.append((start, body + 1))
        bold = len(hashes) > 3
        inline.write(mark if bold else f"{mark}{hashes} ")
        inline.reopen(paragraph=start < self._shift)
        first = len(inline.out)
        if bold:
            inline.open("**")
        inline.chunk(body, end, bold=bold)
        if end == len(self._source) and self._end is not End.FINAL:
            self._lines = "" if bold else f"{mark}{hashes} "
        elif bold and len(inline.out) > first + 1:
            inline.close("**")
        if end < len(self._source):
            inline.end_paragraph()
            inline.write("\n")
        self._at = end + 1
        self._gap, self._keep = True, hashes != "-#"

    def _paragraph(self, mark: str, start: int, body: int, end: int) -> None:
        source, inline = self._source, self._inline
        item = ITEM.match(source, body, end)
        if item and start >= self._shift:
            inline.end_paragraph()
        if not item and not mark and self._title(start, end):
            return
        self._offer(start)
        self._gap = self._keep = False
        text = item.end() if item else body
        if text > start:
            inline.atoms.append((start, text + 1))
            inline.write(source[start:text])
        inline.reopen(paragraph=not item)
        while not mark and end + 1 < len(source) and self._goes_on(end + 1):
            self._offer(end + 1)
            end = self._line_end(end + 1)
        inline.newline = "\n" + _quote(mark)
        inline.chunk(text, end)
        if inline.held:
            return
        if end < len(source):
            inline.newline = "\n"
            if end + 1 < len(source) and not (mark and QUOTE.match(source, end + 1)):
                inline.end_paragraph()
            inline.write("\n")
        elif mark:
            self._lines = _quote(mark)
        self._at = end + 1

    def _goes_on(self, at: int) -> bool:
        """Whether the line there belongs to the paragraph above it."""
        end = self._line_end(at)
        half = self._is_last(end) and HALF_LINE.match(self._source, at, end)
        return not half and is_text(self._source, at, end)

    def _title(self, start: int, end: int) -> bool:
        """Write a line with a rule drawn under it as the heading it is, if it does not read like a sentence."""
        source = self._source
        below = self._line_end(end + 1)
        if end >= len(source) or not UNDERLINE.match(source, end + 1, below) or self._is_last(below):
            return False
        line = source[start:end].rstrip()
        if not self._gap or len(line) > _TITLE or line.endswith((".", ":", "!", "?", ",", ";", "|")):
            return False
        self._heading("", start, start, end, "#" if "=" in source[end + 1 : below] else "##")
        self._inline.atoms.append((start, below))
        self._at = below + 1
        return True

    def _fence(self, fence: re.Match[str], mark: str, start: int, end: int) -> None:
        source, inline = self._source, self._inline
        lead, ticks, info = fence.groups()
        content = min(end + 1, len(source))
        if self._is_last(end) and self._hold(start):
            return
        inline.end_paragraph()
        self._offer(start)
        self._keep, self._gap = False, True
        close, at = self._fence_lines(ticks, mark, content)
        code = source[content:at]
        if close is None and self._growing:
            code = re.sub(rf"(?:^|\n)[ \t>]*{re.escape(ticks[0])}+\Z", "", code)
            if not code.strip(" \t\r\n>") and self._hold(start):
                return
        inline.reopen(paragraph=False)
        self._at = at if close is None else close + 1
        if start < self._shift and not code.strip() and (close is not None or self._end is not End.FINAL):
            return
        if ticks[0] == "~":
            longest = max((len(run) for run in re.findall("`+", code)), default=0)
            shown = "`" * max(3, longest + 1)
        else:
            shown = ticks
        opening = f"{mark}{lead}{shown}{info.rstrip()}\n"
        inline.atoms.append((start, content + 1))
        indent = mark + (lead if lead.isspace() else " " * len(lead))
        ended = close is not None or at < len(source)
        if close is not None:
            inline.atoms.append((max(at - 1, 0), close))
            inline.write(opening + code + (source[at:close] if ticks[0] == "`" else indent + shown))
        else:
            code = code.rstrip()
            closing = f"\n{indent}{shown}"
            inline.write(opening + code if code else opening.rstrip("\n"))
            if ended:
                inline.write(closing)
        if ended:
            inline.write("\n")
            return
        self._tail = closing
        language = info.strip()[:_LONGEST_LANGUAGE].rstrip()
        self._lines = f"{indent}{ticks}{language}\n" + (mark if source[-1:] != "\n" else "")

    def _fence_lines(self, ticks: str, mark: str, at: int) -> tuple[int | None, int]:
        """Find the line that closes a fence: where it ends (None: it is open) and where the content does."""
        source, blank, fresh = self._source, False, True
        closing = closing_fence(ticks)
        while at < len(source):
            end = self._line_end(at)
            body = at
            if mark:
                quote = QUOTE.match(source, at, end)
                if quote is None:
                    return None, at
                body = quote.end()
            if ticks in source[body:end] and closing.match(source, body, end):
                return end, at
            if not source[body:end].strip():
                blank = True
            else:
                if not fresh:
                    self._offer(at, Rank.PARAGRAPH if blank else Rank.LINE)
                fresh = blank = False
            at = end + 1
        return None, len(source)

    def _table(self, mark: str, start: int, body: int, end: int) -> bool:
        source, inline = self._source, self._inline
        header, below = source[body:end], self._line_end(end + 1)
        delimiters = source[end + 1 : below][len(mark) :] if end < len(source) else ""
        if self._is_last(below) and (header.lstrip().startswith("|") or delimiters):
            possible = not delimiters.strip("|:- \t") and (delimiters or self._is_last(end) or end + 1 == len(source))
            if possible and self._hold(start):
                return True
        if not is_delimiter_row(delimiters) or (head := table(header, delimiters)) is None:
            return False
        inline.end_paragraph()
        self._offer(start)
        self._keep = False
        rows, at = self._rows(mark, below + 1)
        open_end = at >= len(source)
        if not rows and self._growing and open_end and self._hold(start):
            return True
        self._at = at
        self._gap = True
        if open_end and self._end is not End.FINAL and below - start <= self._limit // 2:
            self._lines = source[start : below + 1]
        if not rows and start < self._shift:
            return True
        inline.atoms.append((start, min(below + 2, len(source))))
        inline.reopen(paragraph=False)
        inline.write("\n".join(_quote(mark) + line for line in _show(head, rows, self._limit).split("\n")))
        inline.write("\n")
        return True

    def _rows(self, mark: str, at: int) -> tuple[list[list[str]], int]:
        """The rows from there on, and where they end. A row that is being written waits until it is whole."""
        source = self._source
        rows: list[list[str]] = []
        while at < len(source):
            end = self._line_end(at)
            line = source[at:end]
            if not line.startswith(mark) or "|" not in line[len(mark) :] or (not mark and QUOTE.match(line)):
                break
            if self._is_last(end) and self._hold(at):
                return rows, len(source)
            if rows:
                self._offer(at, Rank.LINE)
            if len(line) <= self._limit // 2:
                self._inline.atoms.append((at, end))
            rows.append(cells(line[len(mark) :]))
            at = end + 1
        return rows, min(at, len(source))

    def _display(self, mark: str, start: int, body: int, latex_at: int) -> bool:
        source, inline = self._source, self._inline
        possible = source[latex_at - 1] == "$" or self._display_ends(latex_at)
        formula = DISPLAY.match(source, body) if possible else None
        if formula is None or "\n\n" in formula[0].rstrip("\n"):
            return self._hold(start)
        inline.end_paragraph()
        self._offer(start)
        inline.reopen(paragraph=False)
        self._keep = self._gap = False
        indent, latex, stop = formula[1], formula[2] or formula[3], formula[4]
        if mark:
            latex = latex.replace("\n" + mark.rstrip(), "\n")
        text = to_unicode(latex)
        if text is not None:
            inline.write(f"{mark}{indent}{escape(text)}{stop}\n")
        elif "```" in latex:
            inline.write(f"{mark}{indent}{as_code(latex)}{stop}\n")
        else:
            lines = ["```tex", *latex.strip().split("\n"), "```"]
            inline.write("".join(f"{mark}{indent}{line}\n" for line in lines))
        inline.atoms.append((start, formula.end()))
        self._at = formula.end()
        return True

    def _display_ends(self, latex_at: int) -> bool:
        """Whether there is an end for a formula in brackets. Found once for all the formulas before it."""
        if self._display_end <= latex_at:
            end = DISPLAY_END.search(self._source, latex_at + 1)
            self._display_end = end.start() if end else len(self._source) + LONGEST_DISPLAY
        return self._display_end <= latex_at + LONGEST_DISPLAY


def _quote(mark: str) -> str:
    """A quote's mark as the next part needs it: Discord knows one depth."""
    return mark if len(mark) <= 8 else "> "


def _show(head: Table, rows: list[list[str]], limit: int) -> str:
    text = as_text(head, rows)
    return as_list(head, rows, _ENOUGH * limit) if text is None else f"```\n{text}\n```"

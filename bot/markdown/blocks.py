"""Rendering of a stretch of a model's Markdown as one message.

The rendered text has every mark closed and holds only what Discord can show.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from enum import Enum, IntEnum
from math import inf
from typing import Final, NamedTuple

from bot.markdown.escaping import APART, apart, as_code, escape, guarded
from bot.markdown.formulas import in_display, in_square
from bot.markdown.inline import walk, write_chunk
from bot.markdown.inline_state import HOLD, InlineState
from bot.markdown.latex import to_lines
from bot.markdown.lines import (
    BLANK_LINES,
    CLOSING_HASHES,
    COMMENT,
    DISPLAY,
    DISPLAY_END,
    EMPTY_ITEM,
    ENVIRONMENT,
    FENCE,
    FENCE_BEHIND,
    HALF_DISPLAY,
    HALF_LINE,
    HEADING,
    ITEM,
    ITEM_SIGNS,
    LANGUAGE,
    LONGEST_DISPLAY,
    QUOTE,
    UNDERLINE,
    UNDERLINES,
    closing_fence,
    columns,
    is_marked,
    is_rule,
    is_text,
)
from bot.markdown.tables import WIDEST, Table, as_list, as_text, cells, is_delimiter_row, table


class End(Enum):
    """Kinds of what follows a stretch."""

    GROWING = "more is being written: half-written constructs are held back"
    CUT = "a cut: what is open is closed here and goes on in the next part"
    FINAL = "nothing: what is open stays text"


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


class Carry(NamedTuple):
    """State that a part takes over from the previous one: lines to read first, marks to open first, and open lists."""

    lines: str = ""
    marks: tuple[str, ...] = ()
    items: tuple[Item, ...] = ()
    within: bool = False
    """Whether the previous part ends within a line. The line then continues in its list item."""
    paragraph: bool = False
    """Whether the previous part ends within a paragraph, or may do so."""


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

    def settled(self, until: float = inf) -> tuple[int, str, tuple[Item, ...]]:
        """Return the last offset from which rendering of the text before `until` can start afresh, if any, or 0.

        With it come the output before it and the lists that are open there.
        """
        place = bisect_left(self.places, (until + 1,)) - 1
        _, offset, count, items = self.places[place] if place >= 0 else (0, 0, 0, ())
        return offset, _begun("".join(self.pieces[:count])), items


_LEADING: Final = re.compile(r"\A(?:[ \t\r]*\n)+|\A\s+\Z")
"""Pattern of the blank lines before a message's text: in `\\n \\na`, all before `a`."""
_EMPTY_QUOTES: Final = re.compile(r"(?:(?:\A|\n)[ \t]*>[ \t]*)+\Z")
"""Pattern of lines at the end that hold only a quote mark, which Discord would show: in `> a\\n> `, the second."""
_TITLE: Final = 80
_DEEPEST: Final = 6
"""The largest number of list marks on one line."""
_ENOUGH: Final = 4
"""The number of messages' worth of content after which rendering stops, since the text is too long in any case."""


def render(text: str, carry: Carry, end: End, limit: int, *, before: str = "", columns: int = WIDEST) -> Rendered:
    """Render a stretch that follows on `carry`, or on the settled content `before` it, which is put in front.

    `limit` only bounds what is worth keeping whole or repeating. A table that is at most `columns` wide is aligned.
    """
    return _Blocks(carry, text, end, limit, columns).render(before)


class _Blocks:
    def __init__(self, carry: Carry, text: str, end: End, limit: int, columns: int) -> None:
        self._source = carry.lines + text
        self._shift = len(carry.lines)
        self._end = end
        self._limit = limit
        self._columns = columns
        self._growing = end is End.GROWING
        self._inline = InlineState(
            self._source, walk, carry.marks, growing=self._growing, final=end is End.FINAL, long=limit // 2
        )
        self._at = 0
        self._breaks: list[tuple[int, Rank]] = []
        self._within = carry.within
        self._paragraph_goes_on = carry.paragraph
        self._items: tuple[Item, ...] = carry.items
        """The open list items, outermost first."""
        self._code_goes_on = False
        """Whether indented code reaches the end of the text, so that more of it may follow."""
        self._left: Item | None = None
        """The item that the last line closed. The next item of the same list continues its numbering."""
        self._quoting = False
        self._gap = True
        """Whether a blank line or the end of a separate block came just before."""
        self._keep = False
        """Whether the preceding block, such as a heading, belongs to the next block."""
        self._tail = ""
        """The text that closes the block still open at the end."""
        self._lines = ""
        """The text that reopens the block still open at the end."""
        self._display_end = 0
        """The offset up to which the end of a bracketed display formula has been searched for."""
        self._no_fence_from = len(self._source) + 1
        """The offset after which no line closes a fence that begins behind text, as far as the search has gone."""
        self._places: list[tuple[int, int, int, tuple[Item, ...]]] = []

    def render(self, before: str) -> Rendered:
        source = self._source
        inline = self._inline
        inline.write(before)
        size, most = 0, _ENOUGH * self._limit
        while self._at < len(source) and not inline.held and size <= most:
            written = len(inline.out)
            self._block()
            size += sum(map(len, inline.out[written:]))
        marks = tuple(mark for mark, _ in inline.marks.open)
        closing = inline.marks.end(final=self._end is End.FINAL)
        content = "".join(inline.out).rstrip()
        if content.endswith(">"):
            content = _EMPTY_QUOTES.sub("", content)
        content = guarded(_begun(content + self._tail + closing).rstrip())
        if "#" in self._lines:
            marks = tuple(mark for mark in marks if mark != "<h>")
        carry = Carry(self._lines, marks, self._items, source[-1:] != "\n", not self._gap)
        shift = self._shift
        atoms = [(start - shift, end - shift) for start, end in inline.atoms if end > shift]
        return Rendered(content, carry, self._breaks, atoms, inline.out, self._places)

    def _settle(self, at: int, certain: int) -> None:
        """Record an offset with nothing open before it, and the end of the text that tells so."""
        self._places.append((certain - self._shift, at - self._shift, len(self._inline.out), self._items))

    def _line_end(self, at: int) -> int:
        end = self._source.find("\n", at)
        return len(self._source) if end < 0 else end

    def _is_last(self, end: int) -> bool:
        """Whether a line with this end is still being written."""
        return self._growing and end == len(self._source)

    def _hold(self, start: int) -> bool:
        if self._growing and len(self._source) - start <= HOLD:
            self._inline.held = True
        return self._inline.held

    def _offer(self, at: int, rank: Rank | None = None) -> None:
        """Record the start of a line as a place for a cut."""
        if at > self._shift and not self._keep:
            rank = (Rank.PARAGRAPH if self._gap else Rank.LINE) if rank is None else rank
            self._breaks.append((at - self._shift, rank))

    def _block(self) -> None:
        source, start = self._source, self._at
        end = self._line_end(start)
        line = source[start:end]
        stripped = line.lstrip()
        if not stripped:
            self._inline.marks.end_paragraph()
            blank = BLANK_LINES.match(source, start)
            self._at = blank.end() if blank else end + 1
            self._inline.write("\n" * source.count("\n", start, self._at))
            self._gap = True
            if blank and not (self._code_goes_on or self._inline.marks.open):
                self._settle(self._at, self._at + 1)
            return
        quote = QUOTE.match(source, start, end) if stripped[0] == ">" else None
        if quote and columns(line[: line.index(">")]) > self._inside() + 3:
            quote = None
        if (quote is not None) != self._quoting:
            self._quoting, self._items = not self._quoting, () if quote else self._items
        mark = ""
        body = start
        if quote:
            mark, body = "> ", quote.end()
            line = source[body:end]
            stripped = line.lstrip()
            if not stripped:
                self._blank_quote(end)
                return
        if end == len(source) and self._growing and HALF_LINE.match(source, body, end) and self._hold(start):
            return
        if not self._items and not is_marked(line):
            self._paragraph(mark, mark, start, body, end)
        else:
            self._marked(mark, line, stripped, start, body, end)

    def _inside(self) -> int:
        """The column where the text of the innermost item begins."""
        return self._items[-1].text if self._items else 0

    def _blank_quote(self, end: int) -> None:
        self._inline.marks.end_paragraph()
        self._inline.write("> \n")
        self._at = end + 1
        self._gap = True

    def _marked(self, mark: str, line: str, stripped: str, start: int, body: int, end: int) -> None:
        """Write the block at a line that may be more than text or may belong to an item."""
        source = self._source
        first = stripped[0]
        indent = columns(line[: len(line) - len(stripped)])
        item = None
        if first in ITEM_SIGNS and not (first in "-*" and is_rule(source, body, end)):
            item = ITEM.match(source, body, end)
        if item and self._paragraph_goes_on and start <= self._shift and self._is_number_in_text(item, indent):
            item = None
        if item and not mark and end < len(source) and not self._inline.marks.open:
            self._inline.marks.end_paragraph()
            # Without text behind its mark, the line would belong to the paragraph above it.
            self._settle(start, item.end() + 1)
        if self._items and not (self._within and start <= self._shift):
            self._leave(indent, item)
        else:
            self._left = None
        if item is None:
            if self._leaf(mark, first, start, body, end):
                return
            if self._gap and indent >= self._inside() + 4 and self._indented(mark, start):
                return
        at, marks = body, ""
        while item and len(marks) < 4 * _DEEPEST:
            after = item.end()
            column = columns(source[body:after])
            marks += self._item(item, columns(source[body:at]) if at > body else indent, column, first=at == body)
            at = after
            item = ITEM.match(source, at, end) if source[at : at + 1] in ITEM_SIGNS else None
            if item and is_rule(source, at, end):
                item = None
        if marks:
            first = source[at : at + 1] or " "
        if first in "`~" and (fence := FENCE.match(source, at, end)):
            self._fence(fence, mark, marks, start, end)
            return
        if first in "#-" and (heading := HEADING.match(source, at, end)) and (marks or indent < self._inside() + 4):
            self._heading(mark, marks, start, heading.end(), end, heading[1])
            return
        text = at
        if marks and first == ">" and (quote := QUOTE.match(source, at, end)):
            text = quote.end()
        behind = FENCE_BEHIND.match(source, at, end) if "```" in line else None
        if behind and self._behind(mark, marks, start, at, behind.end(1), end):
            return
        self._paragraph(mark, mark + (marks or "  " * len(self._items)), start, text, end, item=bool(marks))

    def _is_number_in_text(self, item: re.Match[str], indent: int) -> bool:
        """Whether a line in a paragraph begins with a number that begins no list there. Only 1 does."""
        return item[2] is not None and int(item[2]) != 1 and indent >= self._inside()

    def _leave(self, indent: int, item: re.Match[str] | None) -> None:
        """Close the items that a line with this indentation does not belong to.

        An item's text may be indented less than Markdown asks for.
        """
        items = self._items
        self._left = None
        while items and indent < items[-1].text and not (item and indent >= items[-1].mark + 2):
            self._left, items = items[-1], items[:-1]
        self._items = items

    def _item(self, item: re.Match[str], indent: int, column: int, *, first: bool) -> str:
        """Return an item's mark for Discord, with two spaces for each list around the item."""
        sign = item[1] or item[3]
        number = int(item[2]) if item[2] else 0
        if first and self._left and self._left.sign == sign:
            number = self._left.number
        depth = len(self._items)
        self._items += (Item(indent, column, sign, number + 1),)
        return ("  " * depth if first else "") + (f"{number}. " if item[2] else "- ")

    def _leaf(self, mark: str, first: str, start: int, body: int, end: int) -> bool:
        """Write the block here if it is a rule, a table, a display formula or a comment."""
        source = self._source
        rule = first in "-*_" and is_rule(source, body, end)
        if rule or (first == "=" and not self._gap and UNDERLINE.match(source, body, end)):
            self._offer(start)
            self._inline.marks.end_paragraph()
            if not self._gap:
                self._inline.write(mark + "\n")
            self._skip_blank(end + 1)
            return True
        if source.find("|", body, end) >= 0 and self._table(mark, start, body, end):
            return True
        if first in "\\$":
            if half := HALF_DISPLAY.match(source, body, end):
                return self._display(mark, start, body, half.end())
            if environment := ENVIRONMENT.match(source, body, end):
                return self._environment(mark, start, environment)
            return False
        if first != "<":
            return False
        if COMMENT.match(source, body, end) and not mark:
            close = source.find("-->", body, body + _ENOUGH * self._limit)
            if close < 0:
                return self._hold(start)
            self._inline.atoms.append((start, close + 3))
            self._at = close + 3
            if self._line_end(self._at) < len(source) and not source[self._at : self._line_end(self._at)].strip():
                self._at = self._line_end(self._at) + 1
            return True
        return False

    def _skip_blank(self, at: int) -> None:
        while at < len(self._source) and not self._source[at : (end := self._line_end(at))].strip():
            at = end + 1
        self._at = at
        self._gap = True

    def _heading(self, mark: str, marks: str, start: int, body: int, end: int, hashes: str) -> None:
        inline, source = self._inline, self._source
        inline.marks.end_paragraph()
        self._offer(start)
        inline.atoms.append((start, body + 1))
        bold = len(hashes) > 3 or bool(marks)
        text_end = end
        goes_on = end == len(source) and self._end is not End.FINAL
        if not goes_on and (closing := CLOSING_HASHES.search(source, body, end)):
            text_end = max(closing.start(), body)
            if text_end < end:
                inline.atoms.append((max(text_end - 1, body), min(end + 1, len(source))))
        inline.write(mark + marks + ("" if bold else f"{hashes} "))
        inline.marks.reopen(paragraph=start < self._shift)
        inline.newline = "\n"
        if not bold and source[body] == "#":
            inline.write("\\")
        write_chunk(inline, body, text_end, bold=bold)
        if not bold and inline.out and inline.out[-1].endswith("#"):
            inline.write(APART)
        if goes_on:
            self._lines = "" if marks else f"{mark}{hashes} "
        if end < len(source):
            inline.marks.end_paragraph()
            inline.write("\n")
        self._at = end + 1
        self._gap, self._keep = True, hashes != "-#"

    def _paragraph(self, mark: str, lead: str, start: int, body: int, end: int, *, item: bool = False) -> None:
        """Write a paragraph or its available beginning.

        `lead` goes before its first line, and `mark` before every line.
        """
        source, inline = self._source, self._inline
        if item and start >= self._shift:
            inline.marks.end_paragraph()
        if not lead and self._title(start, end):
            return
        self._offer(start)
        self._gap = self._keep = False
        text = end - len(source[body:end].lstrip())
        if text > start:
            inline.atoms.append((start, text + 1))
        inline.write(lead)
        inline.marks.reopen(paragraph=not item)
        alone = source[text : text + 1] in ITEM_SIGNS and EMPTY_ITEM.match(source, text, end) is not None
        while not alone and end + 1 < len(source) and self._goes_on(mark, end + 1):
            self._offer(end + 1)
            end = self._line_end(end + 1)
        inline.newline = "\n" + mark + "  " * len(self._items)
        inline.quoted = bool(mark)
        write_chunk(inline, text, end)
        inline.quoted = False
        if inline.held:
            return
        if end < len(source):
            if end + 1 < len(source):
                inline.marks.end_paragraph()
            inline.write("\n")
        elif mark:
            self._lines = mark
        self._at = end + 1

    def _goes_on(self, mark: str, at: int) -> bool:
        """Whether the line belongs to the paragraph above it."""
        source = self._source
        end = self._line_end(at)
        if mark:
            quote = QUOTE.match(source, at, end)
            if quote is None:
                return False
            at = quote.end()
        if end == len(source) and self._growing and HALF_LINE.match(source, at, end):
            return False
        if (item := ITEM.match(source, at, end)) and self._is_number_in_text(item, columns(source[at : item.start(2)])):
            return True
        if "|" in source[at:end]:
            below = source[end + 1 : self._line_end(end + 1)].strip(" \t>")
            if not below.strip("|:- \t") and (below or self._is_last(end) or self._is_last(self._line_end(end + 1))):
                return False
            return not _starts(source, at, end)
        return is_text(source, at, end)

    def _title(self, start: int, end: int) -> bool:
        """Write a line with a rule below it as a heading, unless the line reads like a sentence."""
        source = self._source
        if source[end + 1 : end + 2] not in UNDERLINES:
            return False
        below = self._line_end(end + 1)
        if end >= len(source) or not UNDERLINE.match(source, end + 1, below) or self._is_last(below):
            return False
        line = source[start:end].rstrip()
        if not self._gap or len(line) > _TITLE or line.endswith((".", ":", "!", "?", ",", ";", "|")):
            return False
        text = end - len(source[start:end].lstrip())
        self._heading("", "", start, text, end, "#" if "=" in source[end + 1 : below] else "##")
        self._inline.atoms.append((start, below))
        self._at = below + 1
        return True

    def _behind(self, mark: str, marks: str, start: int, body: int, text_end: int, end: int) -> bool:
        """Write a line of text followed by a fence as two blocks, if the fence is closed or may still be closed."""
        source, inline = self._source, self._inline
        fence = FENCE.match(source, source.index("```", text_end), end)
        if fence is None or not self._is_closed(end):
            return False
        if self._is_last(end) and self._hold(start):
            return True
        inline.marks.end_paragraph()
        self._offer(start)
        inline.atoms.append((start, end + 1))
        inline.write(mark + (marks or "  " * len(self._items)))
        inline.marks.reopen(paragraph=not marks)
        inline.quoted = False
        text = text_end - len(source[body:text_end].lstrip())
        write_chunk(inline, text, text_end)
        inline.marks.end_paragraph()
        inline.write("\n")
        self._keep = True
        self._fence(fence, mark, "", start, end)
        return True

    def _is_closed(self, at: int) -> bool:
        """Whether a fence that begins before this offset ends or may still end.

        The answer is certain only for a complete text.
        """
        if self._end is not End.FINAL:
            return True
        if at >= self._no_fence_from:
            return False
        if _CLOSING.search(self._source, at):
            return True
        self._no_fence_from = at
        return False

    def _fence(self, fence: re.Match[str], mark: str, marks: str, start: int, end: int) -> None:
        source, inline = self._source, self._inline
        lead, ticks, info = fence.groups()
        content = min(end + 1, len(source))
        if self._is_last(end) and self._hold(start):
            return
        inline.marks.end_paragraph()
        self._offer(start)
        self._keep, self._gap = False, True
        close, at = self._fence_lines(ticks, mark, content)
        code = source[content:at]
        if close is None and self._growing:
            code = re.sub(rf"(?:^|\n)[ \t>]*{re.escape(ticks[0])}+\Z", "", code)
            if not code.strip(" \t\r\n>") and self._hold(start):
                return
        if mark:
            code = _QUOTE_MARKS.sub("", code)
        if " \n" in code:
            code = _TRAILING.sub("\n", code)
        if "```" in code:
            code = apart(code)
        if mark and code:
            code = mark + code.removesuffix("\n").replace("\n", f"\n{mark}") + "\n" * code.endswith("\n")
        inline.marks.reopen(paragraph=False)
        self._at = at if close is None else close
        empty = not code.strip(" \t\r\n>")
        if empty and (close is not None or self._end is End.FINAL or at < len(source)):
            inline.write(mark + marks if marks else "")
            self._after_fence(start, close)
            return
        if empty and start < self._shift and self._end is not End.FINAL:
            self._lines = source[: self._shift]
            return
        language = LANGUAGE.match(info)
        lead = lead.expandtabs(4)
        indent = mark + (" " * len(marks) if marks else lead)
        name = language[1].rstrip(".") if language else ""
        inline.atoms.append((start, content + 1))
        inline.write(f"{mark}{marks or lead}```{name}\n")
        if close is not None or at < len(source):
            if close is not None:
                inline.atoms.append((max(at - 1, 0), close))
            inline.write(code if code.endswith("\n") else code + "\n")
            inline.write(f"{indent}```\n")
            self._after_fence(start, close)
            return
        self._tail = f"\n{indent}```"
        inline.write(code.rstrip())
        if not code.strip():
            inline.out[-1:] = [inline.out[-1].rstrip("\n")]
        self._lines = f"{mark}{indent[len(mark) :]}{ticks}{name}\n" + (mark if source[-1:] != "\n" else "")

    def _after_fence(self, start: int, close: int | None) -> None:
        """Continue after the line that closed a fence, or after its backticks if text follows them."""
        if close is None:
            return
        end = self._line_end(close)
        if self._source[close:end].strip():
            # Only two words behind the backticks show that they close the block, so that no cut may part them.
            words = _TWO_WORDS.match(self._source, close, end)
            self._inline.atoms.append((close - 1, words.end() if words else close + 1))
            self._at = close
            self._gap = False
        else:
            self._at = end + 1

    def _fence_lines(self, ticks: str, mark: str, at: int) -> tuple[int | None, int]:
        """Return the end of a fence and the start of the line where its content ends.

        The end is None for an open fence.
        """
        source, blank, fresh = self._source, False, True
        closing = closing_fence(ticks)
        while at < len(source):
            end = self._line_end(at)
            body = at
            if mark:
                quote = _ONE_QUOTE.match(source, at, end)
                if quote is None:
                    return None, at
                body = quote.end()
            if ticks in source[body:end] and (closed := closing.match(source, body, end)):
                return closed.end(), at
            if not source[body:end].strip():
                blank = True
            else:
                if not fresh:
                    self._offer(at, Rank.PARAGRAPH if blank else Rank.LINE)
                fresh = blank = False
            at = end + 1
        return None, len(source)

    def _indented(self, mark: str, start: int) -> bool:
        """Write lines that are indented by four columns or more as code."""
        source, inline = self._source, self._inline
        least = self._inside() + 4
        lines: list[str] = []
        at = kept = start
        blank = 0
        while at < len(source):
            end = self._line_end(at)
            line = source[at:end]
            if mark:
                quote = _ONE_QUOTE.match(line)
                if quote is None:
                    break
                line = line[quote.end() :]
            line = line.expandtabs(4)
            if line.strip():
                if len(line) - len(line.lstrip()) < least:
                    break
                if lines:
                    self._offer(at, Rank.LINE)
                else:
                    self._offer(start)
                lines += [""] * blank if lines else []
                lines.append(line[least:].rstrip())
                kept, blank = end + 1, 0
            else:
                blank += 1
            at = end + 1
        inline.marks.end_paragraph()
        inline.marks.reopen(paragraph=False)
        inline.write(f"{mark}```\n")
        for line in lines:
            inline.write(f"{mark}{apart(line)}\n")
        inline.write(f"{mark}```\n")
        self._at = min(kept, len(source))
        self._gap, self._keep, self._code_goes_on = True, False, at >= len(source)
        return True

    def _table(self, mark: str, start: int, body: int, end: int) -> bool:
        source, inline = self._source, self._inline
        header, below = source[body:end], self._line_end(end + 1)
        delimiters = source[end + 1 : below] if end < len(source) else ""
        if mark:
            quote = QUOTE.match(delimiters)
            delimiters = delimiters[quote.end() :] if quote else ""
        if self._is_last(below) and (header.lstrip().startswith("|") or delimiters):
            possible = not delimiters.strip("|:- \t") and (delimiters or self._is_last(end) or end + 1 == len(source))
            if possible and self._hold(start):
                return True
        if not is_delimiter_row(delimiters) or (head := table(header, delimiters)) is None:
            return False
        inline.marks.end_paragraph()
        self._offer(start)
        self._keep = False
        rows, at = self._rows(mark, below + 1, len(head.header))
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
        inline.marks.reopen(paragraph=False)
        inline.write("\n".join(mark + line for line in _show(head, rows, self._limit, self._columns).split("\n")))
        inline.write("\n")
        return True

    def _rows(self, mark: str, at: int, columns: int) -> tuple[list[list[str]], int]:
        """Return the table rows from this offset and their end. A row that is still being written is left out."""
        source = self._source
        rows: list[list[str]] = []
        while at < len(source):
            end = self._line_end(at)
            line = source[at:end]
            quote = QUOTE.match(line)
            if bool(quote) != bool(mark) or "|" not in line:
                break
            if self._is_last(end) and self._hold(at):
                return rows, len(source)
            if rows:
                self._offer(at, Rank.LINE)
            if len(line) <= self._limit // 2:
                self._inline.atoms.append((at, end))
            rows.append(cells(line[quote.end() :] if quote else line, columns))
            at = end + 1
        return rows, min(at, len(source))

    def _display(self, mark: str, start: int, body: int, latex_at: int) -> bool:
        source = self._source
        possible = source[latex_at - 1] == "$" or self._display_ends(latex_at)
        formula = DISPLAY.match(source, body) if possible else None
        if formula is None or "\n\n" in formula[0].rstrip("\n"):
            return self._hold(start)
        latex = formula[2] or formula[3]
        if mark:
            latex = _QUOTE_MARKS.sub("", latex)
        if not (in_square(latex) or (in_display(latex) and (formula[3] or " " in latex.strip()))):
            return False
        self._formula(mark, formula[1], latex, formula[4], start, formula.end())
        return True

    def _environment(self, mark: str, start: int, begin: re.Match[str]) -> bool:
        r"""Write a formula that has no dollars around it: `\begin{align}` to `\end{align}`."""
        source = self._source
        close = f"\\end{{{begin[1]}}}"
        at = source.find(close, begin.end(), begin.end() + 2 * LONGEST_DISPLAY)
        if at < 0:
            return self._hold(start)
        end = self._line_end(at + len(close))
        latex = source[begin.start() : at + len(close)]
        if "\n\n" in latex or source[at + len(close) : end].strip(" \t.,;"):
            return False
        if mark:
            latex = _QUOTE_MARKS.sub("", latex)
        stop = source[at + len(close) : end].strip()
        self._formula(mark, "", latex.strip(), stop, start, min(end + 1, len(source)))
        return True

    def _formula(self, mark: str, indent: str, latex: str, stop: str, start: int, end: int) -> None:
        inline = self._inline
        inline.marks.end_paragraph()
        self._offer(start)
        inline.marks.reopen(paragraph=False)
        self._keep = self._gap = False
        lines = to_lines(latex)
        if lines is not None:
            inline.write("".join(f"{mark}{indent}{escape(line)}\n" for line in lines[:-1]))
            inline.write(f"{mark}{indent}{escape(lines[-1])}{stop}\n")
        elif "```" in latex:
            inline.write(f"{mark}{indent}{as_code(latex)}{stop}\n")
        else:
            lines = ["```tex", *latex.strip().split("\n"), "```"]
            inline.write("".join(f"{mark}{indent}{line}\n" for line in lines))
        inline.atoms.append((start, end))
        self._at = end

    def _display_ends(self, latex_at: int) -> bool:
        """Whether a bracketed formula has an end. One search serves all formulas before that end."""
        if self._display_end <= latex_at:
            end = DISPLAY_END.search(self._source, latex_at + 1)
            self._display_end = end.start() if end else len(self._source) + LONGEST_DISPLAY
        return self._display_end <= latex_at + LONGEST_DISPLAY


_QUOTE_MARKS: Final = re.compile(r"^[ \t]*>[ \t]?", re.MULTILINE)
"""Pattern of the quote marks before code or a formula: in `> x\\n> y`, each `> `."""
_ONE_QUOTE: Final = re.compile(r"[ \t]*>[ \t]?")
"""Pattern of the outermost quote mark of a line: in `> > a`, the first `> `."""
_TWO_WORDS: Final = re.compile(r"[^\s`]+[ \t]+[^\s`]")
"""Pattern of text behind a fence, as far as it tells that the fence is closed: in `This is it`, `This i`."""
_TRAILING: Final = re.compile(r"[ \t]+\n")
"""Pattern of spaces at the end of a line: in `a  \\nb`, `  \\n`."""
_CLOSING: Final = re.compile(r"\n[ \t>]*```+[ \t\r]*(?:\n|\Z)")
"""Pattern of a line that closes a fence: in `x\\n```\\ny`, ```` \\n```\\n ````."""


def _begun(content: str) -> str:
    """Return content without the blank lines before it."""
    return _LEADING.sub("", content, count=1) if content[:1].isspace() else content


def _starts(source: str, start: int, end: int) -> bool:
    """Whether a line with a pipe in it begins a block."""
    return not is_text(source[start:end].replace("|", "x"), 0, end - start)


def _show(head: Table, rows: list[list[str]], limit: int, columns: int) -> str:
    text = as_text(head, rows, columns)
    return as_list(head, rows, _ENOUGH * limit) if text is None else f"```\n{text}\n```"

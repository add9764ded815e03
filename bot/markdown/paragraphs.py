"""Paragraphs and headings."""

from __future__ import annotations

from typing import Final

from bot.markdown.block_state import BlockState
from bot.markdown.displays import begins_display
from bot.markdown.escaping import APART
from bot.markdown.inline import Rest, write_chunk
from bot.markdown.lines import (
    CLOSING_HASHES,
    EMPTY_ITEM,
    HALF_DISPLAY,
    HALF_LINE,
    ITEM,
    ITEM_SIGNS,
    QUOTE,
    UNDERLINE,
    UNDERLINES,
    columns,
    is_text,
    line_end,
)

_TITLE: Final = 80


def write_paragraph(
    state: BlockState, mark: str, lead: str, start: int, body: int, end: int, *, item: bool = False
) -> None:
    """Write a paragraph or its available beginning.

    `lead` goes before its first line, and `mark` before every line.
    """
    source, inline = state.source, state.inline
    if item and start >= state.shift:
        inline.marks.end_paragraph()
    if not lead and _title(state, start, end):
        return
    state.offer(start)
    state.gap = state.keep = False
    text = end - len(source[body:end].lstrip())
    if text > start:
        inline.atoms.append((start, text + 1))
    inline.write(lead)
    inline.marks.reopen(paragraph=not item)
    alone = source[text : text + 1] in ITEM_SIGNS and EMPTY_ITEM.match(source, text, end) is not None
    while not alone and end + 1 < len(source) and goes_on(state, source, mark, end + 1):
        state.offer(end + 1)
        end = state.line_end(end + 1)
    inline.newline = "\n" + mark + "  " * len(state.lists.items)
    inline.quoted = bool(mark)
    rest = _rest(state, mark, end) if state.ahead.text and end + 1 >= len(source) and not alone else None
    write_chunk(inline, text, end, rest)
    inline.quoted = False
    if inline.held:
        return
    if end < len(source):
        if end + 1 < len(source):
            inline.marks.end_paragraph()
        inline.write("\n")
    elif mark:
        state.lines = mark
    state.at = end + 1


def _rest(state: BlockState, mark: str, end: int) -> Rest:
    """Find the end of a paragraph that a cut parts, whose lines before the cut end at an offset."""
    source = state.inline.source
    if end == len(state.source):
        end = line_end(source, end)
    while end + 1 < len(source) and goes_on(state, source, mark, end + 1):
        end = line_end(source, end + 1)
    below = line_end(source, end + 1)
    if "|" in source[end + 1 : below]:
        below = line_end(source, below + 1)
    return Rest(end, certain=state.ahead.enough or below < len(source))


def goes_on(state: BlockState, source: str, mark: str, at: int) -> bool:
    """Whether the line belongs to the paragraph above it, which it may in a quote without a mark of its own."""
    end = line_end(source, at)
    quote = QUOTE.match(source, at, end) if mark else None
    at = quote.end() if quote else at
    if end == len(source) and state.growing and HALF_LINE.match(source, at, end):
        return False
    item = ITEM.match(source, at, end)
    if item and (item[2] or source[at] in " \t"):
        indent = columns(source[at : max(item.start(1), item.start(2))])
        if state.lists.is_text(item, indent):
            return bool(quote) == bool(mark)
    line = source[at:end]
    if "|" in line:
        under = line_end(source, end + 1)
        below = source[end + 1 : under].strip(" \t>")
        if not below.strip("|:- \t") and (below or state.is_last(end) or state.is_last(under)):
            return False
        line = line.replace("|", "x")
    if half := HALF_DISPLAY.match(source, at, end):
        if begins_display(state, source, mark, at, half.end()):
            return False
        line = line.replace("$", "x").replace("\\", "x")
    return is_text(line, 0, len(line))


def _title(state: BlockState, start: int, end: int) -> bool:
    """Write a line with a rule below it as a heading, unless the line reads like a sentence."""
    source = state.source
    if source[end + 1 : end + 2] not in UNDERLINES:
        return False
    below = state.line_end(end + 1)
    if end >= len(source) or not UNDERLINE.match(source, end + 1, below) or state.is_last(below):
        return False
    line = source[start:end].rstrip()
    if not state.gap or len(line) > _TITLE or line.endswith((".", ":", "!", "?", ",", ";", "|")):
        return False
    text = end - len(source[start:end].lstrip())
    write_heading(state, "", "", start, text, end, "#" if "=" in source[end + 1 : below] else "##")
    state.inline.atoms.append((start, below))
    state.at = below + 1
    return True


def write_heading(state: BlockState, mark: str, marks: str, start: int, body: int, end: int, hashes: str) -> None:
    """Write a heading, in bold if Discord has none of its level."""
    inline, source = state.inline, state.source
    inline.marks.end_paragraph()
    state.offer(start)
    inline.atoms.append((start, body + 1))
    bold = len(hashes) > 3 or bool(marks)
    text_end = end
    goes_on = end == len(source) and not state.final
    if not goes_on and (closing := CLOSING_HASHES.search(source, body, end)):
        text_end = max(closing.start(), body)
        if text_end < end:
            inline.atoms.append((max(text_end - 1, body), min(end + 1, len(source))))
    inline.write(mark + marks + ("" if bold else f"{hashes} "))
    inline.marks.reopen(paragraph=start < state.shift, bold=bold)
    inline.newline = "\n"
    if not bold and source[body] == "#":
        inline.write("\\")
    rest = None
    if goes_on and state.ahead.text:
        line = line_end(inline.source, end)
        hashes_at = CLOSING_HASHES.search(inline.source, end, line)
        certain = state.ahead.enough or line < len(inline.source)
        rest = Rest(hashes_at.start() if hashes_at else line, certain)
    write_chunk(inline, body, text_end, rest, bold=bold)
    if not bold and inline.out and inline.out[-1].endswith("#"):
        inline.write(APART)
    if goes_on:
        state.lines = "" if marks else f"{mark}{hashes} "
    if end < len(source):
        inline.marks.end_paragraph()
        inline.write("\n")
    state.at = end + 1
    state.gap, state.keep = True, hashes != "-#"

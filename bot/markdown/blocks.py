"""Rendering of a stretch of a model's Markdown as one message: which block each line begins.

The rendered text has every mark closed and holds only what Discord can show.
"""

from __future__ import annotations

import re
from typing import Final

from bot.markdown.block_state import ENOUGH, BlockState
from bot.markdown.displays import write_display, write_environment
from bot.markdown.escaping import APART, guarded
from bot.markdown.fences import write_fence, write_indented, write_text_and_fence
from bot.markdown.lines import (
    BLANK_LINES,
    COMMENT,
    ENVIRONMENT,
    FENCE,
    FENCE_BEHIND,
    HALF_DISPLAY,
    HALF_LINE,
    HEADING,
    ITEM,
    ITEM_SIGNS,
    QUOTE,
    UNDERLINE,
    columns,
    is_marked,
    is_rule,
)
from bot.markdown.paragraphs import goes_on, write_heading, write_paragraph
from bot.markdown.rendered import NOTHING, Ahead, Carry, End, Rendered, begun
from bot.markdown.tables import WIDEST, write_table

_EMPTY_QUOTES: Final = re.compile(r"(?:(?:\A|\n)[ \t]*>[ \t]*)+\Z")
"""Pattern of lines at the end that hold only a quote mark, which Discord would show: in `> a\\n> `, the second."""
_DEEPEST: Final = 6
"""The largest number of list marks on one line."""


def render(
    text: str,
    carry: Carry,
    end: End,
    limit: int,
    *,
    before: str = "",
    ahead: Ahead = NOTHING,
    columns: int = WIDEST,
) -> Rendered:
    """Render a stretch that follows on `carry`, or on the settled content `before` it, which is put in front.

    With the text `ahead` of a cut, a mark before the cut is one only if it is closed there. Otherwise it is taken
    for one.
    `limit` only bounds what is worth keeping whole or repeating. A table that is at most `columns` wide is aligned.
    """
    state = BlockState(carry, text, end, limit, columns, ahead)
    source, inline = state.source, state.inline
    inline.write(before)
    if carry.items and not before:
        state.lists.end_on_discord()
    size, most = 0, ENOUGH * limit
    while state.at < len(source) and not inline.held and size <= most:
        written = len(inline.out)
        _block(state)
        size += sum(map(len, inline.out[written:]))
    unsure = inline.marks.unsure
    if inline.marks.half_spoiler and not state.growing and "||" not in ahead.text:
        if state.final or ahead.enough:
            inline.marks.drop_spoiler()
        else:
            unsure = True
    marks = tuple(inline.marks.open)
    content = "".join(inline.out).rstrip()
    if content.endswith(">"):
        content = _EMPTY_QUOTES.sub("", content)
    content += state.tail
    content = guarded(begun(content + inline.marks.end(content)).rstrip())
    if "#" in state.lines:
        marks = tuple(each for each in marks if each.mark != "<h>")
    lists, within = state.lists, source[-1:] != "\n"
    after = Carry(state.lines, marks, lists.items, within, not state.gap, state.quoting, lists.outer)
    atoms, shift = inline.atoms, state.shift
    if shift:
        atoms = [(start - shift, end - shift) for start, end in atoms if end > shift]
    return Rendered(content, after, state.breaks, atoms, inline.out, state.places, unsure)


def _block(state: BlockState) -> None:
    source, start = state.source, state.at
    end = state.line_end(start)
    line = source[start:end]
    stripped = line.lstrip()
    if not stripped:
        state.inline.marks.end_paragraph()
        blank = BLANK_LINES.match(source, start)
        state.at = blank.end() if blank else end + 1
        state.inline.write("\n" * source.count("\n", start, state.at))
        state.gap = True
        if state.quoting:
            state.quoting = False
            state.lists.end_quote()
        if state.lists.items:
            state.lists.end_on_discord()
        if blank and not (state.code_goes_on or state.inline.marks.open):
            state.settle(state.at, state.at + 1, state.lists.items)
        return
    if state.carry.within and start <= state.shift and _rest_of_line(state, start, end):
        return
    quote = QUOTE.match(source, start, end) if stripped[0] == ">" else None
    if quote and columns(line[: line.index(">")]) > state.lists.inside() + 3:
        quote = None
    if state.carry.paragraph and start <= state.shift and goes_on(state, source, "> " * state.quoting, start):
        body = quote.end() if quote else start
        _text(state, "> " * state.quoting, "", source[body:end], start, body, end)
        return
    if quote and not state.quoting:
        state.lists.begin_quote(columns(line[: line.index(">")]))
    elif state.quoting and not quote:
        state.lists.end_quote()
    state.quoting = quote is not None
    mark = ""
    body = start
    if quote:
        mark, body = "> ", quote.end()
        line = source[body:end]
        stripped = line.lstrip()
        if not stripped:
            _blank_quote(state, end)
            return
    if end == len(source) and state.growing and HALF_LINE.match(source, body, end) and state.hold(start):
        return
    if not state.lists.items and not is_marked(line):
        write_paragraph(state, mark, mark, start, body, end)
    else:
        _marked(state, mark, line, stripped, start, body, end)


def _rest_of_line(state: BlockState, start: int, end: int) -> bool:
    """Write the rest of a line of text that a cut parted. No block but a fence of backticks begins within a line."""
    source, body, mark = state.source, state.shift, state.carry.lines
    fence = source.startswith("`", body) and FENCE.match(source, body, end)
    if mark not in ("", "> ") or not source[body:end].strip() or fence:
        return False
    state.quoting = mark != ""
    _text(state, mark, "", source[body:end], start, body, end)
    return True


def _blank_quote(state: BlockState, end: int) -> None:
    state.inline.marks.end_paragraph()
    state.inline.write("> \n")
    state.lists.end_on_discord()
    state.at = end + 1
    state.gap = True


def _marked(state: BlockState, mark: str, line: str, stripped: str, start: int, body: int, end: int) -> None:
    """Write the block at a line that may be more than text or may belong to an item."""
    source = state.source
    first = stripped[0]
    indent = columns(line[: len(line) - len(stripped)])
    item = None
    if first in ITEM_SIGNS and not (first in "-*" and is_rule(source, body, end)):
        item = ITEM.match(source, body, end)
    above = state.lists.items
    if above and start >= state.shift:
        state.lists.leave(indent, item)
    else:
        state.lists.left = ()
    if item and state.lists.is_deep(indent):
        item = None
    # A line such as `- -` may still become a rule.
    if item and not (mark or state.inline.marks.open or (end == len(source) and source[item.end()] == first)):
        state.inline.marks.end_paragraph()
        # Without text behind its mark, the line would belong to the paragraph above it.
        state.settle(start, item.end() + 1, above)
    if item is None:
        deep = state.gap and state.lists.is_deep(indent)
        if _leaf(state, mark, first, start, body, end) or (deep and write_indented(state, mark, start)):
            state.lists.end_on_discord()
            return
    elif state.lists.is_miscounted(item):
        state.inline.write(f"{mark}{state.lists.end()}\n")
    at, marks = body, ""
    while item and len(marks) < 4 * _DEEPEST:
        after = item.end()
        column = columns(source[body:after])
        marks += state.lists.open(item, columns(source[body:at]) if at > body else indent, column, first=at == body)
        at = after
        item = ITEM.match(source, at, end) if source[at : at + 1] in ITEM_SIGNS else None
        if item and is_rule(source, at, end):
            item = None
    if marks:
        first = source[at : at + 1] or " "
        if first in "-*_" and is_rule(source, at, end):
            _rule_in_item(state, mark + marks, start, end)
            return
    if first in "`~" and (fence := FENCE.match(source, at, end)):
        write_fence(state, fence, mark, marks, start, end)
        return
    if first in "#-" and (heading := HEADING.match(source, at, end)) and (marks or not state.lists.is_deep(indent)):
        write_heading(state, mark, marks, start, heading.end(), end, heading[1])
        if not marks:
            state.lists.end_on_discord()
        return
    if marks and first == ">" and (quote := QUOTE.match(source, at, end)):
        at = quote.end()
    _text(state, mark, marks, line, start, at, end)


def _text(state: BlockState, mark: str, marks: str, line: str, start: int, at: int, end: int) -> None:
    """Write a line of text behind `marks` of items, with what continues it, which may be a fence."""
    behind = FENCE_BEHIND.match(state.source, at, end) if "```" in line else None
    if behind and write_text_and_fence(state, mark, marks, start, at, behind.end(1), end):
        return
    write_paragraph(state, mark, mark + (marks or "  " * len(state.lists.items)), start, at, end, item=bool(marks))


def _rule_in_item(state: BlockState, marks: str, start: int, end: int) -> None:
    """Write an item that holds only a rule. Discord has no item without text, but takes an invisible character."""
    state.inline.marks.end_paragraph()
    state.offer(start)
    state.inline.atoms.append((start, end + 1))
    state.inline.write(f"{marks}{APART}\n")
    state.at = end + 1
    state.gap, state.keep = True, False


def _leaf(state: BlockState, mark: str, first: str, start: int, body: int, end: int) -> bool:
    """Write the block here if it is a rule, a table, a display formula or a comment."""
    source = state.source
    rule = first in "-*_" and is_rule(source, body, end)
    if rule or (first == "=" and not state.gap and UNDERLINE.match(source, body, end)):
        state.offer(start)
        state.inline.marks.end_paragraph()
        if not state.gap:
            state.inline.write(mark + "\n")
        _skip_blank(state, end + 1)
        return True
    if source.find("|", body, end) >= 0 and write_table(state, mark, start, body, end):
        return True
    if first in "\\$":
        if half := HALF_DISPLAY.match(source, body, end):
            return write_display(state, mark, start, body, half.end())
        if environment := ENVIRONMENT.match(source, body, end):
            return write_environment(state, mark, start, environment)
        return False
    if first != "<":
        return False
    if COMMENT.match(source, body, end) and not mark:
        close = source.find("-->", body, body + ENOUGH * state.limit)
        if close < 0:
            return state.hold(start)
        state.inline.atoms.append((start, close + 3))
        if not state.gap and state.lists.left:
            state.inline.write("\n")
        state.at = close + 3
        if state.line_end(state.at) < len(source) and not source[state.at : state.line_end(state.at)].strip():
            state.at = state.line_end(state.at) + 1
        return True
    return False


def _skip_blank(state: BlockState, at: int) -> None:
    while at < len(state.source) and not state.source[at : (end := state.line_end(at))].strip():
        at = end + 1
    state.at = at
    state.gap = True

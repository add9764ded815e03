"""Fenced and indented code, which Discord shows only in a fence of backticks."""

from __future__ import annotations

import re
from typing import Final

from bot.markdown.block_state import BlockState
from bot.markdown.escaping import APART, apart
from bot.markdown.inline import write_chunk
from bot.markdown.lines import FENCE, LANGUAGE, ONE_QUOTE, QUOTE_MARKS, closing_fence, columns
from bot.markdown.rendered import Rank

_TWO_WORDS: Final = re.compile(r"[^\s`]+[ \t]+[^\s`]")
"""Pattern of text behind a fence, as far as it tells that the fence is closed: in `This is it`, `This i`."""
_TRAILING: Final = re.compile(r"[ \t]+\n")
"""Pattern of spaces at the end of a line: in `a  \\nb`, `  \\n`."""
_CLOSING: Final = re.compile(r"\n[ \t>]*```+[ \t\r]*(?:\n|\Z)")
"""Pattern of a line that closes a fence: in `x\\n```\\ny`, ```` \\n```\\n ````."""


def write_fence(state: BlockState, fence: re.Match[str], mark: str, marks: str, start: int, end: int) -> None:
    """Write a fence up to its end. One that the text leaves open is closed, and opened again in the next part."""
    source, inline = state.source, state.inline
    lead, ticks, info = fence.groups()
    content = min(end + 1, len(source))
    if state.is_last(end) and state.hold(start):
        return
    inline.marks.end_paragraph()
    state.offer(start)
    gap, state.keep, state.gap = state.gap, False, True
    close, at = _fence_lines(state, ticks, mark, content)
    code = source[content:at]
    if close is None and state.growing and at == len(source):
        code = re.sub(rf"(?:^|\n)[ \t>]*{re.escape(ticks[0])}+\Z", "", code)
        if not code.strip(" \t\r\n>") and state.hold(start):
            return
    if mark:
        code = QUOTE_MARKS.sub("", code)
    if " \n" in code:
        code = _TRAILING.sub("\n", code)
    if "```" in code:
        code = apart(code)
    if mark and code:
        code = mark + code.removesuffix("\n").replace("\n", f"\n{mark}") + "\n" * code.endswith("\n")
    inline.marks.reopen(paragraph=False)
    state.at = at if close is None else close
    lead = lead.expandtabs(4)
    indent = mark + (" " * len(marks) if marks else lead)
    language = LANGUAGE.match(info)
    name = language[1].rstrip(".") if language else ""
    ended = close is not None or at < len(source)
    if not (ended or state.final):
        state.lines = f"{indent}{ticks}{name}\n" + (mark if source[-1:] != "\n" else "")
    if not code.strip(" \t\r\n>") and (ended or not state.growing):
        if marks:
            # Discord has no item without text, but takes an invisible character.
            inline.write(f"{mark}{marks}{APART}\n")
        elif not gap:
            # Something has to end a list on Discord.
            inline.write(f"{mark}\n")
        _after_fence(state, start, close)
        return
    inline.atoms.append((start, content + 1))
    inline.write(f"{mark}{marks or lead}```{name}\n")
    if ended:
        if close is not None:
            inline.atoms.append((max(at - 1, 0), close))
        inline.write(code if code.endswith("\n") else code + "\n")
        inline.write(f"{indent}```\n")
        _after_fence(state, start, close)
        return
    state.tail = f"\n{indent}```"
    inline.write(code.rstrip())
    if not code.strip():
        inline.out[-1:] = [inline.out[-1].rstrip("\n")]


def write_text_and_fence(
    state: BlockState, mark: str, marks: str, start: int, body: int, text_end: int, end: int
) -> bool:
    """Write a line of text followed by a fence as two blocks, if the fence is closed or may still be closed."""
    source, inline = state.source, state.inline
    fence = FENCE.match(source, source.index("```", text_end), end)
    if fence is None or not _is_closed(state, end):
        return False
    if state.is_last(end) and state.hold(start):
        return True
    inline.marks.end_paragraph()
    state.offer(start)
    inline.atoms.append((start, end + 1))
    inline.write(mark + (marks or "  " * len(state.lists.items)))
    inline.marks.reopen(paragraph=not marks)
    inline.quoted = False
    text = text_end - len(source[body:text_end].lstrip())
    write_chunk(inline, text, text_end)
    inline.marks.end_paragraph()
    inline.write("\n")
    state.keep = True
    write_fence(state, fence, mark, "", start, end)
    return True


def write_indented(state: BlockState, mark: str, start: int) -> bool:
    """Write lines that are indented by four columns or more as code."""
    source, inline = state.source, state.inline
    least = state.lists.inside() + 4
    lines: list[str] = []
    at = kept = start
    blank = 0
    while at < len(source):
        end = state.line_end(at)
        line = source[at:end]
        if mark:
            quote = ONE_QUOTE.match(line)
            if quote is None:
                break
            line = line[quote.end() :]
        line = line.expandtabs(4)
        if line.strip():
            if len(line) - len(line.lstrip()) < least:
                break
            if lines:
                state.offer(at, Rank.LINE)
            else:
                state.offer(start)
            inline.atoms.append((at, end))
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
    state.at = min(kept, len(source))
    state.gap, state.keep, state.code_goes_on = True, False, at >= len(source)
    return True


def _is_closed(state: BlockState, at: int) -> bool:
    """Whether a fence that begins before this offset ends or may still end.

    The answer is certain only for a complete text.
    """
    if not state.final:
        return True
    if at >= state.no_fence_from:
        return False
    if _CLOSING.search(state.source, at):
        return True
    state.no_fence_from = at
    return False


def _after_fence(state: BlockState, start: int, close: int | None) -> None:
    """Continue after the line that closed a fence, or after its backticks if text follows them."""
    if close is None:
        return
    end = state.line_end(close)
    if state.source[close:end].strip():
        # Only two words behind the backticks show that they close the block, so that no cut may part them.
        words = _TWO_WORDS.match(state.source, close, end)
        state.inline.atoms.append((close - 1, words.end() if words else close + 1))
        state.at = close
        state.gap = False
    else:
        state.at = end + 1


def _fence_lines(state: BlockState, ticks: str, mark: str, at: int) -> tuple[int | None, int]:
    """Return the end of a fence and the start of the line where its content ends.

    The end is None for an open fence. One of tildes, which Discord has not, ends with its item, however it is closed.
    """
    source, blank, fresh = state.source, False, True
    least = state.lists.inside() if ticks[0] == "~" else 0
    closing = closing_fence(ticks)
    while at < len(source):
        end = state.line_end(at)
        body = at
        if mark:
            quote = ONE_QUOTE.match(source, at, end)
            if quote is None:
                return None, at
            body = quote.end()
        if ticks in source[body:end] and (closed := closing.match(source, body, end)):
            return closed.end(), at
        line = source[body:end]
        text = line.lstrip()
        if not text:
            blank = True
        elif columns(line[: len(line) - len(text)]) < least:
            return None, at
        else:
            if not fresh:
                state.offer(at, Rank.PARAGRAPH if blank else Rank.LINE)
            fresh = blank = False
        at = end + 1
    return None, len(source)

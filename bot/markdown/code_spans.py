"""Inline code."""

from __future__ import annotations

import re
from functools import lru_cache

from bot.markdown.escaping import LONGEST_TICKS, apart, code_span
from bot.markdown.inline_state import LINE_START, QUOTED_LINE_START, InlineState


def backticks(state: InlineState, at: int) -> int:
    """Write inline code, or backticks that begin none as text."""
    after = state.run_end(at)
    ticks = state.source[at:after]
    escaped = "\\`" * len(ticks)
    if len(ticks) > LONGEST_TICKS:
        return state.atom(at, after, escaped)
    close = code_end(state, ticks, after)
    if close is not None and close.start() < state.end:
        _close(state, at, after, close)
        text = code_span(_text(state, after, close.start()))
        return state.solid(at, close.end(), text)
    state.marks.unsure = state.marks.unsure or state.unsure
    last = state.end == len(state.source)
    if last and after == state.end and state.hold(at):
        return at
    goes_on = close or (last and _goes_on(state, at))
    if goes_on and len(ticks) < 3 and state.source[after : state.end].strip("`"):
        code = _text(state, after, state.end)
        state.marks.code = ticks
        return state.solid(at, state.end, _part(ticks, code.rstrip("`") if state.growing else code))
    return state.atom(at, after, escaped)


def code_end(state: InlineState, ticks: str, at: int) -> re.Match[str] | None:
    """Return the backticks that close the code which begins at an offset, even behind a cut, or None."""
    close = state.find(closing_ticks(ticks), ticks, at)
    if close is None and state.rest > state.end:
        close = closing_ticks(ticks).search(state.source, state.end, state.rest)
    return close


def rest_of_code(state: InlineState, at: int, ticks: str) -> int:
    """Write the rest of inline code that the chunk or the part before began."""
    close = closing_ticks(ticks).search(state.source, at, state.end)
    if close is None:
        state.marks.code = ticks
        return state.solid(at, state.end, _part(ticks, _text(state, at, state.end)))
    _close(state, at, at, close)
    return state.solid(at, close.end(), _part(ticks, _text(state, at, close.start())))


def _part(ticks: str, code: str) -> str:
    """Return a part of inline code in backticks, which stand apart from those in it."""
    code = code.rstrip()
    before, behind = (" " if code[at : at + 1] == "`" else "" for at in (0, len(code) - 1))
    return f"{ticks}{before}{code}{behind}{ticks}" if code else ""


def _text(state: InlineState, start: int, end: int) -> str:
    """Return code for the output, without the marks of a quote around it.

    Three backticks in a row are separated.
    """
    code = state.source[start:end]
    if "\n" in code:
        code = (QUOTED_LINE_START if state.quoted else LINE_START).sub(" ", code)
    return apart(code) if "```" in code else code


def _close(state: InlineState, at: int, content: int, close: re.Match[str]) -> None:
    """Keep the last character of inline code together with its closing mark, however long the code is."""
    last = content + len(state.source[content : close.start()].rstrip()) - 1
    state.atoms.append((max(last, at), close.end()))
    state.atoms.append((at, close.end()))


def _goes_on(state: InlineState, at: int) -> bool:
    """Whether inline code without an end yet is taken for code."""
    return not state.final and (state.growing or state.end - at > state.long)


@lru_cache(maxsize=64)
def closing_ticks(ticks: str) -> re.Pattern[str]:
    """Return the pattern of the backticks that close inline code with these."""
    return re.compile(rf"(?<!`){ticks}(?!`)")

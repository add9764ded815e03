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
    close = state.find(_closing(ticks), ticks, after)
    if close is not None:
        _close(state, at, after, close)
        text = code_span(_text(state, after, close.start()))
        return state.solid(at, close.end(), text)
    last = state.end == len(state.source)
    if last and after == state.end and state.hold(at):
        return at
    if last and len(ticks) < 3 and _goes_on(state, at) and state.source[after : state.end].strip("`"):
        code = _text(state, after, state.end)
        state.write(ticks + (code.rstrip("`") if state.growing else code))
        state.marks.code = ticks
        state.atoms.append((at, state.end))
        return state.end
    return state.atom(at, after, escaped)


def rest_of_code(state: InlineState, at: int, ticks: str) -> int:
    """Write the rest of inline code that the chunk or the part before began."""
    close = _closing(ticks).search(state.source, at, state.end)
    if close is None:
        state.atoms.append((at, state.end))
        state.write(_text(state, at, state.end))
        state.marks.code = ticks
        return state.end
    _close(state, at, at, close)
    state.write(_text(state, at, close.start()) + ticks)
    return close.end()


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
def _closing(ticks: str) -> re.Pattern[str]:
    return re.compile(rf"(?<!`){ticks}(?!`)")

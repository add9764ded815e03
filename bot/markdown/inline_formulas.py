"""Formulas in text, as Unicode where that can show them, otherwise as code."""

from __future__ import annotations

import re
from typing import Final

from bot.markdown.escaping import as_code, escape
from bot.markdown.formulas import in_display, in_dollars, in_round, in_square
from bot.markdown.inline_state import QUOTED_LINE_START, InlineState
from bot.markdown.latex import to_unicode

_IN_DOLLARS: Final = re.compile(r"(?<![^\W_])(?<![$\\=/{])\$(?=\S)([^$\n]{1,300}+)(?<=\S)\$(?![^\W_]|\$)")
"""Pattern of a formula in dollars, such as `$x^2$`. It does not match `=$A1*$B1` and `US$5 and $6`."""
_IN_TWO_DOLLARS: Final = re.compile(r"(?<![^\W_])(?<![$\\])\$\$([^$]{1,300}+)\$\$(?![^\W_])")
"""Pattern of a formula in double dollars, such as `$$x^2$$`."""
_IN_BRACKETS: Final = re.compile(r"\\\((.{1,300}?)\\\)|\\\[(.{1,300}?)\\\]", re.DOTALL)
r"""Pattern of a formula in escaped brackets, such as `\(x^2\)` and `\[x^2\]`."""
_BRACKETS: Final = {"(": "\\)", "[": "\\]"}
_COMMAND: Final = re.compile(r"\\([A-Za-z]+)(?:\{(?:[^{}\n]|\{(?:[^{}\n]|\{[^{}\n]{0,60}\}){0,60}\}){0,200}\})+")
r"""Pattern of a formula in prose without dollars, such as `\frac{1}{2}` or `\boxed{42}`."""
_IN_PROSE: Final = frozenset(["frac", "dfrac", "tfrac", "boxed", "sqrt", "binom", "mathbb", "mathbf", "mathrm", "text"])
_HALF_MATH: Final = re.compile(r"(?<![\w$\\=/{])\$\$?(?=[^\s\d$])[^$\n]*\$?$|\$\$[^$]*\$?$")
"""Pattern of a half-written formula in dollars, such as `$x^`."""


def dollar(state: InlineState, at: int) -> int:
    """Write a formula in dollars, or dollars that begin none as text."""
    source, end = state.source, state.end
    if (math := _IN_TWO_DOLLARS.match(source, at, end)) and in_display(math[1]):
        return _formula(state, at, math.end(), math[1])
    if (math := _IN_DOLLARS.match(source, at, end)) and in_dollars(math[1]):
        return _formula(state, at, math.end(), math[1])
    return at if state.hold(at, _HALF_MATH) else state.literal(at, state.run_end(at))


def bracketed(state: InlineState, at: int) -> int:
    """Write a formula in escaped brackets. Without one, return the same offset."""
    source = state.source
    # The bracket is searched for first, because the pattern would walk 300 characters for each unclosed bracket.
    closed = source.find(_BRACKETS[source[at + 1]], at + 3, min(state.end, at + 304)) >= 0
    if closed and (math := _IN_BRACKETS.match(source, at, state.end)):
        before = source[at - 1] if at > state.start else " "
        plain = in_square(math[2]) if math[2] else in_round(math[1]) and not (before.isalnum() or before == "_")
        if plain:
            return _formula(state, at, math.end(), math[1] or math[2])
    else:
        state.hold(at)
    return at


def command(state: InlineState, at: int) -> int:
    """Write a formula that begins with a command, or a backslash that begins none as text."""
    found = _COMMAND.match(state.source, at, state.end)
    if found and found[1] in _IN_PROSE:
        return _formula(state, at, found.end(), found[0])
    return state.literal(at, at + 1)


def _formula(state: InlineState, at: int, after: int, formula: str) -> int:
    if state.quoted:
        formula = QUOTED_LINE_START.sub(" ", formula)
    text = to_unicode(formula)
    return state.solid(at, after, as_code(formula) if text is None else escape(text))

"""Formulas on lines of their own."""

from __future__ import annotations

import re

from bot.markdown.block_state import BlockState
from bot.markdown.escaping import as_code, escape
from bot.markdown.formulas import in_display, in_square
from bot.markdown.inline_state import HOLD
from bot.markdown.latex import to_lines
from bot.markdown.lines import DISPLAY, DISPLAY_END, LONGEST_DISPLAY, QUOTE_MARKS


def write_display(state: BlockState, mark: str, start: int, body: int, latex_at: int) -> bool:
    r"""Write a formula in `\[…\]` or `$$…$$` alone on its lines, whose LaTeX begins at `latex_at`."""
    formula = _alone(state, state.source, body, latex_at)
    if formula is None:
        return state.hold(start)
    if not _is_formula(formula, mark):
        return False
    _formula(state, mark, formula[1], _latex(formula, mark), formula[4], start, formula.end())
    return True


def begins_display(state: BlockState, source: str, mark: str, at: int, latex_at: int) -> bool:
    """Whether the line at an offset begins a formula alone on its lines, or may still do so."""
    formula = _alone(state, source, at, latex_at)
    return _is_formula(formula, mark) if formula else state.growing and len(source) - at <= HOLD


def _alone(state: BlockState, source: str, at: int, latex_at: int) -> re.Match[str] | None:
    formula = DISPLAY.match(source, at) if source[latex_at - 1] == "$" or _display_ends(state, latex_at) else None
    return formula if formula and "\n\n" not in formula[0].rstrip("\n") else None


def _latex(formula: re.Match[str], mark: str) -> str:
    latex: str = formula[2] or formula[3]
    return QUOTE_MARKS.sub("", latex) if mark else latex


def _is_formula(formula: re.Match[str], mark: str) -> bool:
    latex = _latex(formula, mark)
    return in_square(latex) or (in_display(latex) and (formula[3] is not None or " " in latex.strip()))


def write_environment(state: BlockState, mark: str, start: int, begin: re.Match[str]) -> bool:
    r"""Write a formula that has no dollars around it: `\begin{align}` to `\end{align}`."""
    source = state.source
    close = f"\\end{{{begin[1]}}}"
    at = source.find(close, begin.end(), begin.end() + 2 * LONGEST_DISPLAY)
    if at < 0:
        return state.hold(start)
    end = state.line_end(at + len(close))
    latex = source[begin.start() : at + len(close)]
    if "\n\n" in latex or source[at + len(close) : end].strip(" \t.,;"):
        return False
    if mark:
        latex = QUOTE_MARKS.sub("", latex)
    stop = source[at + len(close) : end].strip()
    _formula(state, mark, "", latex.strip(), stop, start, min(end + 1, len(source)))
    return True


def _formula(state: BlockState, mark: str, indent: str, latex: str, stop: str, start: int, end: int) -> None:
    inline = state.inline
    inline.marks.end_paragraph()
    state.offer(start)
    inline.marks.reopen(paragraph=False)
    state.keep = state.gap = False
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
    state.at = end


def _display_ends(state: BlockState, latex_at: int) -> bool:
    """Whether a bracketed formula has an end. One search serves all formulas before that end."""
    if state.display_end <= latex_at:
        end = DISPLAY_END.search(state.inline.source, latex_at + 1)
        state.display_end = end.start() if end else len(state.inline.source) + LONGEST_DISPLAY
    return state.display_end <= latex_at + LONGEST_DISPLAY

"""Formulas on lines of their own."""

from __future__ import annotations

import re

from bot.markdown.block_state import BlockState
from bot.markdown.escaping import as_code, escape
from bot.markdown.formulas import in_display, in_square
from bot.markdown.latex import to_lines
from bot.markdown.lines import DISPLAY, DISPLAY_END, LONGEST_DISPLAY, QUOTE_MARKS


def write_display(state: BlockState, mark: str, start: int, body: int, latex_at: int) -> bool:
    r"""Write a formula in `\[…\]` or `$$…$$` alone on its lines, whose LaTeX begins at `latex_at`."""
    source = state.source
    possible = source[latex_at - 1] == "$" or _display_ends(state, latex_at)
    formula = DISPLAY.match(source, body) if possible else None
    if formula is None or "\n\n" in formula[0].rstrip("\n"):
        return state.hold(start)
    latex = formula[2] or formula[3]
    if mark:
        latex = QUOTE_MARKS.sub("", latex)
    if not (in_square(latex) or (in_display(latex) and (formula[3] or " " in latex.strip()))):
        return False
    _formula(state, mark, formula[1], latex, formula[4], start, formula.end())
    return True


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
        end = DISPLAY_END.search(state.source, latex_at + 1)
        state.display_end = end.start() if end else len(state.source) + LONGEST_DISPLAY
    return state.display_end <= latex_at + LONGEST_DISPLAY

"""Kinds of Markdown lines. The patterns match from the start of a line, or from the end of its quote marks."""

from __future__ import annotations

import re
from functools import cache
from typing import Final

from bot.markdown.escaping import LONGEST_TICKS

PROMPT: Final = r"(?!>>>(?:[ \t\n]|\Z))"
"""Pattern that rejects Python's prompt, as in `>>> 1 + 1`, which is text and not a quote."""
QUOTE: Final = re.compile(rf"[ \t]*+{PROMPT}>(?:[ \t]?{PROMPT}>)*[ \t]?")
"""Pattern of the quote marks before a line's text, such as those in `> > a`."""
ONE_QUOTE: Final = re.compile(r"[ \t]*>[ \t]?")
"""Pattern of the outermost quote mark of a line: in `> > a`, the first `> `."""
QUOTE_MARKS: Final = re.compile(r"^[ \t]*>[ \t]?", re.MULTILINE)
"""Pattern of the quote marks before code or a formula: in `> x\\n> y`, each `> `."""
FENCE: Final = re.compile(rf"([ \t]*+)(`{{3,{LONGEST_TICKS}}}(?=[^`\n]*$)|~{{3,{LONGEST_TICKS}}}(?!~))(.*)$")
"""Pattern of an opening fence with its indentation, its marks and the text after them, such as `  ```py title="x"`."""
FENCE_BEHIND: Final = re.compile(r"(?![ \t]*```)((?:[^`\n]|`(?!``))*?[^`\s])[ \t]*(?=```[A-Za-z0-9_+.#-]*[ \t]*$)")
"""Pattern of the text before a fence on the same line, as in `Here it is: ```py`.

Discord opens a fence after text too.
"""
LANGUAGE: Final = re.compile(r"[ \t]*\{?[ \t]*\.?([A-Za-z0-9_+#-][A-Za-z0-9_+.#-]{0,40})(?![=/\w])")
"""Pattern of the language after a fence, such as `python` in `python title="x"`, `python:app.py` or `{.python}`."""
_RULE: Final = re.compile(r"[ \t]*([-*_])(?:[ \t]*\1){2,}[ \t\r]*$")
"""Pattern of a horizontal rule, such as `---` or `* * *`."""
UNDERLINE: Final = re.compile(r" {0,3}(?:={3,}|-{3,})[ \t\r]*$")
"""Pattern of the underline of a title, such as `===`."""
HEADING: Final = re.compile(r"[ \t]*+(#{1,6}|-#)[ \t]+(?=\S)")
"""Pattern of a heading's mark, such as `##` in `## Title`. `-#` is Discord's own mark."""
CLOSING_HASHES: Final = re.compile(r"(?:[ \t]++#++)?[ \t]*+$")
"""Pattern of the hashes that close a heading, as in `Title ##`."""
ITEM: Final = re.compile(r"[ \t]*+(?:([-*+])|(\d{1,9})([.)]))[ \t]++(?=\S)")
"""Pattern of a list mark, such as `- ` in `- a`. In `2. a`, it captures `2` and `.`."""
EMPTY_ITEM: Final = re.compile(r"[ \t]*(?:[-*+]|\d{1,9}[.)])[ \t]*$")
"""Pattern of an item without text, such as `-`. Discord has no such item, so that its mark is text."""
DISPLAY: Final = re.compile(
    r"([ \t]*)(?:\\\[(.{1,1000}?)\\\]|\$\$([^$]{1,1000})\$\$)[ \t]*+([.,;]?+)[ \t\r]*+(?:\n|\Z)", re.DOTALL
)
r"""Pattern of a display formula alone on its lines, such as `\[ x^2 \].`, with the punctuation after it."""
DISPLAY_END: Final = re.compile(r"\\\][ \t]*+[.,;]?+[ \t\r]*+(?:\n|\Z)")
r"""Pattern of the end of a bracketed display formula: in `x \].`, `\].`."""
LONGEST_DISPLAY: Final = 1000
HALF_DISPLAY: Final = re.compile(r"[ \t]*(?:\\\[|\$\$)")
r"""Pattern of the place where a display formula may begin, as in `\[ x`."""
ENVIRONMENT: Final = re.compile(r"[ \t]*\\begin\{([a-z]{1,20}\*?)\}")
r"""Pattern of a LaTeX environment's beginning, such as `\begin{align}`."""
COMMENT: Final = re.compile(r"[ \t]*<!--")
"""Pattern of a comment's beginning, as in `<!-- a note -->`."""
HALF_LINE: Final = re.compile(r"[ \t]*+(?:#{1,6}|-#|[-*_+=~` ]*+|\d{1,9}[.)]?|>+|\|)[ \t]*$")
"""Pattern of a line with only its mark written so far, so that its kind is not known yet: `##`, `-`, `12.` or `>`."""
BLANK_LINES: Final = re.compile(r"(?:[ \t\r]*\n)+")
"""Pattern of blank lines: in `\\n \\na`, all before `a`."""
_MARKERS: Final = frozenset("#>*+-=_~`\\$<0123456789 \t\r")
_LONGEST_RULE: Final = 100


@cache
def closing_fence(opening: str) -> re.Pattern[str]:
    """Return the pattern that closes a fence with this opening mark.

    Text after the closing mark does not belong to the code, since Discord closes a fence anywhere.
    """
    behind = r"(?:[ \t\r]*$|[ \t]+(?=[^\s`]+[ \t]+[^\s`]))" if opening[0] == "`" else r"[ \t\r]*$"
    return re.compile(rf"[ \t]*{opening}{opening[0]}*{behind}")


def line_end(source: str, at: int) -> int:
    """Return the offset of the end of the line at an offset."""
    end = source.find("\n", at)
    return len(source) if end < 0 else end


def columns(text: str) -> int:
    """Return the column where a text ends. A tab advances to the next multiple of four."""
    return len(text.expandtabs(4)) if "\t" in text else len(text)


def is_marked(line: str) -> bool:
    """Whether a line may be anything other than a paragraph's."""
    return line[:1] in _MARKERS or "|" in line or "```" in line


def is_rule(source: str, start: int, end: int) -> bool:
    """Whether a line is a horizontal rule."""
    return end - start < _LONGEST_RULE and _RULE.match(source, start, end) is not None


def is_text(source: str, start: int, end: int) -> bool:
    """Whether a line continues the paragraph above it."""
    line = source[start:end]
    if not is_marked(line):
        return line != ""
    stripped = line.lstrip()
    if not stripped:
        return False
    first = stripped[0]
    for pattern in _OTHERS.get(first, ()):
        if pattern.match(source, start, end):
            return False
    if first in "-*_" and is_rule(source, start, end):
        return False
    return "```" not in line or FENCE_BEHIND.match(source, start, end) is None


ITEM_SIGNS: Final = frozenset("-*+0123456789")
UNDERLINES: Final = frozenset("=- ")
_OTHERS: Final = {
    **dict.fromkeys("*+0123456789", (ITEM,)), "-": (ITEM, HEADING), ">": (QUOTE,), "`": (FENCE,), "~": (FENCE,),
    "#": (HEADING,), "\\": (HALF_DISPLAY, ENVIRONMENT), "$": (HALF_DISPLAY,), "=": (UNDERLINE,), "<": (COMMENT,),
}  # fmt: skip
"""Kinds of lines other than text, by the first character."""

"""What a line of Markdown can be. Patterns match from the line's start, or from behind the marks of a quote."""

from __future__ import annotations

import re
from functools import cache
from typing import Final

from bot.markdown.inline import LONGEST_TICKS

PROMPT: Final = r"(?!>>>(?:[ \t\n]|\Z))"
"""Not before `>>> 1 + 1`, Python's prompt, which is text."""
QUOTE: Final = re.compile(rf"[ \t]*+{PROMPT}>(?:[ \t]?{PROMPT}>)*[ \t]?")
"""`> > a` → what is before `a`."""
FENCE: Final = re.compile(rf"([ \t]*+)(`{{3,{LONGEST_TICKS}}}(?=[^`\n]*$)|~{{3,{LONGEST_TICKS}}}(?!~))(.*)$")
"""`  ```py title="x"` → its indentation, ```` ``` ```` and `py title="x"`."""
FENCE_BEHIND: Final = re.compile(r"(?![ \t]*```)((?:[^`\n]|`(?!``))*?[^`\s])[ \t]*(?=```[A-Za-z0-9_+.#-]*[ \t]*$)")
"""`Here it is: ```py` → `Here it is:`: Discord opens a fence behind text, too."""
LANGUAGE: Final = re.compile(r"[ \t]*\{?[ \t]*\.?([A-Za-z0-9_+#-][A-Za-z0-9_+.#-]{0,40})(?![=/\w])")
"""`python title="x"`, `python:app.py`, `{.python}` → `python`; `{r}` → `r`: of what is behind a fence, its language."""
_RULE: Final = re.compile(r"[ \t]*([-*_])(?:[ \t]*\1){2,}[ \t\r]*$")
"""`---`, `* * *`."""
UNDERLINE: Final = re.compile(r" {0,3}(?:={3,}|-{3,})[ \t\r]*$")
"""`===` below a title."""
HEADING: Final = re.compile(r"[ \t]*+(#{1,6}|-#)[ \t]+(?=\S)")
"""`## Title` → `##`; `-# small` is Discord's own."""
CLOSING_HASHES: Final = re.compile(r"(?:[ \t]++#++)?[ \t]*+$")
"""`Title ##` → ` ##`."""
ITEM: Final = re.compile(r"[ \t]*(?:([-*+])|(\d{1,9})([.)]))[ \t]+")
"""`- a` → `-`; `2. a` → `2` and `.`."""
DISPLAY: Final = re.compile(
    r"([ \t]*)(?:\\\[(.{1,1000}?)\\\]|\$\$([^$]{1,1000})\$\$)[ \t]*+([.,;]?+)[ \t\r]*+(?:\n|\Z)", re.DOTALL
)
r"""`\[ x^2 \].` → `x^2` and `.`, if nothing else is on its lines."""
DISPLAY_END: Final = re.compile(r"\\\][ \t]*+[.,;]?+[ \t\r]*+(?:\n|\Z)")
LONGEST_DISPLAY: Final = 1000
HALF_DISPLAY: Final = re.compile(r"[ \t]*(?:\\\[|\$\$)")
r"""`\[ x`: where one may begin."""
ENVIRONMENT: Final = re.compile(r"[ \t]*\\begin\{([a-z]{1,20}\*?)\}")
r"""`\begin{align}` → `align`."""
COMMENT: Final = re.compile(r"[ \t]*<!--")
"""`<!-- a note -->`."""
HALF_LINE: Final = re.compile(r"[ \t]*+(?:#{1,6}|-#|[-*_+=~` ]*+|\d{1,9}[.)]?|>+|\|)[ \t]*$")
"""A line of which only the mark has been written, so that it is not yet known what it is."""
BLANK_LINES: Final = re.compile(r"(?:[ \t\r]*\n)+")
_MARKERS: Final = frozenset("#>*+-=_~`\\$<0123456789 \t\r")
_LONGEST_RULE: Final = 100


@cache
def closing_fence(opening: str) -> re.Pattern[str]:
    """What closes a fence that these backticks or tildes opened.

    Text behind it, as in ```` ``` This prints one. ````, is not of the code: Discord closes a fence anywhere.
    """
    behind = r"(?:[ \t\r]*$|[ \t]+(?=[^\s`]+[ \t]+[^\s`]))" if opening[0] == "`" else r"[ \t\r]*$"
    return re.compile(rf"[ \t]*{opening}{opening[0]}*{behind}")


def columns(text: str) -> int:
    """How far a text reaches; a tab goes to the next fourth column."""
    return len(text.expandtabs(4)) if "\t" in text else len(text)


def is_marked(line: str) -> bool:
    """Whether a line may be anything but a paragraph's."""
    return line[:1] in _MARKERS or "|" in line or "```" in line


def is_rule(source: str, start: int, end: int) -> bool:
    """Whether a line is a horizontal rule."""
    return end - start < _LONGEST_RULE and _RULE.match(source, start, end) is not None


def is_text(source: str, start: int, end: int) -> bool:
    """Whether a line goes on with the paragraph above it."""
    line = source[start:end]
    if not is_marked(line):
        return line != ""
    stripped = line.lstrip()
    if not stripped:
        return False
    first = stripped[0]
    if first in _OTHERS and any(pattern.match(source, start, end) for pattern in _OTHERS[first]):
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
"""What a line may be that begins with this character, other than text."""

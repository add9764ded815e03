"""What a line of Markdown can be. Patterns match from the line's start, or from behind the marks of a quote."""

from __future__ import annotations

import re
from functools import cache
from typing import Final

from bot.markdown.inline import LONGEST_TICKS

QUOTE: Final = re.compile(r" {0,3}>(?:[ \t]?>)*[ \t]?")
QUOTE_REST: Final = ">>> "
"""From here on Discord quotes everything to the end of the message."""
FENCE: Final = re.compile(
    r"((?:[ \t]*+(?:[-*+]|\d{1,9}[.)])[ \t]++){0,4}[ \t]*+)"
    rf"(`{{3,{LONGEST_TICKS}}}(?=[^`\n]*$)|~{{3,{LONGEST_TICKS}}}(?!~))(.*)$"
)
_RULE: Final = re.compile(r"[ \t]*([-*_])(?:[ \t]*\1){2,}[ \t\r]*$")
UNDERLINE: Final = re.compile(r" {0,3}(?:={3,}|-{3,})[ \t\r]*$")
HEADING: Final = re.compile(r" {0,3}(#{1,6}|-#)[ \t]+(?=\S)")
ITEM: Final = re.compile(r"[ \t]*(?:[-*+]|\d{1,9}[.)])[ \t]+")
DISPLAY: Final = re.compile(
    r"([ \t]*)(?:\\\[(.{1,1000}?)\\\]|\$\$([^$]{1,1000})\$\$)[ \t]*+([.,;]?+)[ \t\r]*+(?:\n|\Z)", re.DOTALL
)
DISPLAY_END: Final = re.compile(r"\\\][ \t]*+[.,;]?+[ \t\r]*+(?:\n|\Z)")
LONGEST_DISPLAY: Final = 1000
HALF_DISPLAY: Final = re.compile(r"[ \t]*(?:\\\[|\$\$)")
HALF_LINE: Final = re.compile(r"[ \t]*+(?:#{1,6}|-#|[-*_+=~` ]*+|\d{1,9}[.)]?|>+|\|)[ \t]*$")
"""A line of which only the mark has been written, so that it is not yet known what it is."""
BLANK_LINES: Final = re.compile(r"(?:[ \t\r]*\n)+")
_MARKERS: Final = frozenset("#>*+-=_~`\\$0123456789 \t\r")
_LONGEST_RULE: Final = 100


@cache
def closing_fence(opening: str) -> re.Pattern[str]:
    """What closes a fence that these backticks or tildes opened."""
    return re.compile(rf"[ \t]*{opening}{opening[0]}*[ \t\r]*$")


def is_marked(line: str) -> bool:
    """Whether a line may be anything but a paragraph's."""
    return line[:1] in _MARKERS or "|" in line


def is_rule(source: str, start: int, end: int) -> bool:
    """Whether a line is a horizontal rule."""
    return end - start < _LONGEST_RULE and _RULE.match(source, start, end) is not None


def is_text(source: str, start: int, end: int) -> bool:
    """Whether a line goes on with the paragraph above it."""
    line = source[start:end]
    if not is_marked(line):
        return line != ""
    if line.isspace() or "|" in line or is_rule(source, start, end):
        return False
    return not any(pattern.match(source, start, end) for pattern in (QUOTE, ITEM, FENCE, HEADING, HALF_DISPLAY))

"""Text for a terminal: without control characters, in one line, or cut to a width. Pure."""

from __future__ import annotations

import re

from wcwidth import clip, wcswidth

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""Control characters, and those that change the direction of text: https://www.unicode.org/reports/tr9/#Bidi_Control"""


def plain(text: str) -> str:
    """The text without control characters (except newline and tab) and without bidirectional controls."""
    return _CONTROL.sub("", text)


def one_line(text: str) -> str:
    """The plain text with one space for each run of white space."""
    return " ".join(plain(text).split())


def shortened(text: str, columns: int) -> str:
    """The beginning of the text in one line of at most `columns`."""
    line = one_line(text)
    return line if wcswidth(line) <= columns else clip(line, 0, columns - 1).rstrip() + "…"

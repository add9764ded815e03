"""Sentences for the operator's terminal, broken between words."""

from __future__ import annotations

import os
import textwrap
from typing import TextIO


def wrapped(text: str, stream: TextIO) -> str:
    """The text as it is printed to a stream: in a terminal with no word broken, elsewhere as it is."""
    if not stream.isatty():
        return text
    # A terminal that does not know its size reports 0.
    width = os.get_terminal_size(stream.fileno()).columns or 80
    return "\n".join(_filled(line, width) for line in text.split("\n"))


def _filled(line: str, width: int) -> str:
    """The line with further ones under its own text. Paths, addresses and commands can be copied whole."""
    indent = " " * (len(line) - len(line.lstrip(" -")))
    return textwrap.fill(line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)

"""Shows a user's text exactly as the model gets it: nothing is rendered and nothing is invisible."""

from __future__ import annotations

import re

from bot.markdown import Document

_INVISIBLE = re.compile(
    # What is ignorable when displayed (Default_Ignorable_Code_Point):
    # https://www.unicode.org/Public/UCD/latest/ucd/DerivedCoreProperties.txt
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
    # Blanks beside the space and the ideographic space, and symbols without a form.
    "\u00a0\u1680\u2000-\u200a\u202f\u205f\u2800\U0001d159"
    # Controls beside the tab and the line feed, separators of lines, and marks of annotations.
    "\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ufff9-\ufffb]"
)
_SYMBOL = (
    r"[\xa9\xae\u203c\u2049\u2122\u2139\u2194-\u21aa\u231a-\u23ff\u24c2\u25aa-\u25fe\u2600-\u27bf\u2934\u2935\u2b05-\u2b55"
    r"\u3030\u303d\u3297\u3299\U0001f000-\U0001faff][\ufe0e\ufe0f\U0001f3fb-\U0001f3ff]?"
)
_EMOJI = re.compile(rf"{_SYMBOL}(?:\u200d{_SYMBOL}){{0,9}}|[#*0-9]\ufe0f\u20e3")
"""What the joiner and the selectors of forms are a part of: "👩🏽‍🚀" and "1️⃣" stay as they are."""
_PIECES = re.compile(f"(?P<emoji>{_EMOJI.pattern})|(?P<invisible>{_INVISIBLE.pattern})")
_BREAK = "\u200b"
"""A zero-width space, which breaks a run of backticks."""


def verbatim(text: str, heading: str) -> list[str]:
    """Messages with the text in code blocks under a heading. Invisible characters are shown as their code points."""
    document = Document()
    document.update(f"{heading}\n```\n{visible(text)}\n```", final=True)
    return [part.content for part in document.parts]


def visible(text: str) -> str:
    """The text as it stands in a code block: invisible characters as code points, and nothing that ends the block."""
    seen = _PIECES.sub(lambda piece: piece["emoji"] or f"[U+{ord(piece['invisible']):04X}]", text)
    # Three backticks would end the block, wherever they stand.
    while "```" in seen:
        seen = seen.replace("```", f"``{_BREAK}`")
    return seen

"""Shows a user's text exactly as the model gets it: nothing is rendered and nothing is invisible."""

from __future__ import annotations

import unicodedata

from bot.markdown import Document

_PARTS_OF_EMOJI = "\u200d\ufe0e\ufe0f"
"""The zero-width joiner and two variation selectors, which belong to the character before them."""
_BLANK_LETTERS = "\u115f\u1160\u3164\uffa0\u2800"
"""Letters and symbols of Unicode that are shown as nothing."""
_SELECTORS = (range(0xFE00, 0xFE10), range(0xE0100, 0xE01F0))
"""The variation selectors of Unicode."""
_BREAK = "\u200b"
"""A zero-width space, which breaks a run of backticks."""


def verbatim(text: str, heading: str) -> list[str]:
    """Messages with the text in code blocks under a heading. Invisible characters are shown as their code points."""
    seen = "".join(f"[U+{ord(c):04X}]" if _is_invisible(c) else c for c in text)
    # Three backticks would end the block, wherever they stand.
    while "```" in seen:
        seen = seen.replace("```", f"``{_BREAK}`")
    document = Document()
    document.update(f"{heading}\n```\n{seen}\n```", final=True)
    return [part.content for part in document.parts]


def _is_invisible(character: str) -> bool:
    if character in "\n\t" or character in _PARTS_OF_EMOJI:
        return False
    point = ord(character)
    return (
        unicodedata.category(character) in ("Cc", "Cf", "Zl", "Zp")
        or character in _BLANK_LETTERS
        or any(point in each for each in _SELECTORS)
    )

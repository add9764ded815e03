"""Finds words in texts of any script, however they are written there. Pure."""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from itertools import accumulate

_IGNORED = re.compile(
    # Accents of alphabets, points of Hebrew, and marks and the lengthening line of Arabic.
    "[\u0300-\u036f\u0483-\u0487\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0610-\u061a\u0640\u064b-\u065f\u0670"
    # What is invisible: the soft hyphen, joiners, forms of emoji.
    "\u00ad\u200b-\u200f\u2060\ufe00-\ufe0f\ufeff]"
)
"""What a word is found without. The vowels of Thai and Indic scripts and the dots of kana make other words."""


class Query:
    """Words to find, each anywhere in a text: many scripts put nothing between words.

    Case, accents, and full-width and other forms of a character make no difference.
    """

    def __init__(self, text: str) -> None:
        self._words = tuple(dict.fromkeys(_folded(text).split()))

    @property
    def is_empty(self) -> bool:
        return not self._words

    def matches(self, *texts: str) -> bool:
        """Whether each word is in one of the texts."""
        folded = [_folded(text) for text in texts]
        return all(any(word in text for text in folded) for word in self._words)

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Where words are in a text, in order and without overlap, from a first character to behind a last one."""
        starts = _starts(text)
        borders = [*starts, len(text)]
        pieces = [_folded(text[start:end]) for start, end in zip(starts, borders[1:], strict=True)]
        ends = list(accumulate(map(len, pieces)))
        folded = "".join(pieces)
        found: list[tuple[int, int]] = []
        for start, end in sorted(
            match.span() for word in self._words for match in re.finditer(re.escape(word), folded)
        ):
            first, last = bisect_right(ends, start), bisect_right(ends, end - 1)
            begins, behind = borders[first], borders[last + 1]
            if found and begins <= found[-1][1]:
                begins, behind = found[-1][0], max(behind, found.pop()[1])
            found.append((begins, behind))
        return found


def _folded(text: str) -> str:
    """A text in a form that is the same for all ways of writing it."""
    if text.isascii():
        return text.lower()
    plain = _IGNORED.sub("", unicodedata.normalize("NFKD", text).casefold())
    # A capital I may be one of the Turkish dotless letter too, so all four of them are the same.
    return unicodedata.normalize("NFC", plain.replace("ı", "i"))


def _starts(text: str) -> list[int]:
    """Where the characters begin, each with the marks behind it: only together have they one form for all.

    An emoji that is joined of several is one character, since its parts look like others.
    """
    return [
        at for at, character in enumerate(text) if not at or not _continues(character, joined=text[at - 1] == "\u200d")
    ]


def _continues(character: str, *, joined: bool) -> bool:
    if character.isascii():
        return False
    first = unicodedata.normalize("NFKD", character)[0]
    kind = unicodedata.category(first)
    return (
        bool(_IGNORED.match(first))
        or "\u1160" <= first <= "\u11ff"
        or kind[0] == "M"
        or (joined and kind == "So")
        or "\U0001f3fb" <= first <= "\U0001f3ff"  # tones of skin
    )

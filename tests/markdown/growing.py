"""How a reply looks while it grows: full messages never change, and of the last one little is taken back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

from bot.markdown import Document
from tests.discord_reading import read

MOST_TAKEN_BACK = 200


def whole(text: str, limit: int) -> list[str]:
    """The messages of a reply that comes all at once."""
    document = Document(limit)
    document.update(text, final=True)
    return [part.content for part in document.parts]


def mistakes(
    text: str, limit: int, ends: Sequence[int], wanted: Sequence[str] | None = None, *, taken_back: bool = True
) -> str | None:
    """What goes wrong with a reply that grows to these ends, if anything does.

    In the end it should look as it is `wanted`. Whether much is `taken_back` takes longest to tell.
    """
    document, before = Document(limit), list[str]()
    for end in [*ends, len(text)]:
        document.update(text[:end], final=end == len(text))
        parts = [part.content for part in document.parts]
        if any(len(part) > limit for part in parts):
            return f"too long at {end}"
        if parts[: max(0, len(before) - 1)] != before[:-1]:
            return f"a full message changed at {end}"
        gone = Counter(_words(before)) - Counter(_words(parts)) if taken_back else Counter[str]()
        if "```" not in "".join(before) and sum(len(word) * times for word, times in gone.items()) > MOST_TAKEN_BACK:
            return f"taken back at {end}: {gone}"
        before = parts
    if before != (whole(text, limit) if wanted is None else wanted):
        return "grown otherwise than whole"
    return None


def _words(messages: Sequence[str]) -> list[str]:
    """Visible text in pieces, by which it is compared."""
    return [_seen(word) for part in messages for word in part.split()]


@lru_cache(maxsize=10_000)
def _seen(word: str) -> str:
    return "".join(character for character, _ in read(word))

"""Which messages were deleted lately, and by whom: an event may come before what it is about is known here."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

_LATELY = 1000
"""How many are remembered."""


class Deletions:
    """The bot's own deletions come back as events too, and must not look like somebody else's."""

    def __init__(self) -> None:
        self._seen: deque[int] = deque(maxlen=_LATELY)
        self._own: deque[int] = deque(maxlen=_LATELY)

    def by_the_bot(self, message_id: int) -> None:
        """The bot is about to delete this one."""
        self._own.append(message_id)

    def by_people(self, message_ids: Iterable[int]) -> set[int]:
        """Take note of an event; returns those that the bot did not delete itself."""
        theirs = set(message_ids).difference(self._own)
        self._seen.extend(theirs)
        return theirs

    def __contains__(self, message_id: int) -> bool:
        """Whether people deleted it lately."""
        return message_id in self._seen

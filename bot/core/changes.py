"""What other processes on the same database change of what this process keeps in memory."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import NamedTuple


class Change(StrEnum):
    """What was changed, and what the id of a announcement is that says so."""

    FORGOTTEN = "forgotten"
    """A user was forgotten."""
    USED = "used"
    """What a forgotten user has used is known: `more` has it."""
    CHANNEL_SETTINGS = "channel settings"
    """The settings of a guild's channels."""
    FREED = "freed"
    """Reserved tokens were released. There is no id."""
    STARTED = "started"
    """A process began to listen, and knows nothing of before. There is no id."""


class Announcement(NamedTuple):
    """What one process tells the others. It holds numbers only, never a text of a person's."""

    change: Change
    id: int = 0
    more: str = ""


class Changes:
    """Whoever keeps something in memory that other processes change, and is to hear of it.

    Nothing is ever called where no other process uses the database.
    """

    def __init__(self) -> None:
        self._listeners: list[tuple[Change, Callable[[int], None], Callable[[], None]]] = []

    def on(self, change: Change, act: Callable[[int], None], missed: Callable[[], None] = lambda: None) -> None:
        """Have `act` called with the id of each such change, and `missed` once when some may not have been heard of."""
        self._listeners.append((change, act, missed))

    def made(self, announcement: Announcement) -> None:
        """Tell who listens of a change that another process has made."""
        for change, act, _ in self._listeners:
            if change is announcement.change:
                act(announcement.id)

    def missed(self) -> None:
        """Tell all who listen that changes may have been made of which nothing was heard."""
        for _, _, missed in self._listeners:
            missed()

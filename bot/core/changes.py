"""What other processes on the same database change of what this process keeps in memory."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import NamedTuple


class Change(StrEnum):
    """A kind of change to the database that other processes have to hear of. Each says whose id goes with it."""

    FORGOTTEN = "forgotten"
    """A user was forgotten, whose id it is."""
    USED = "used"
    """The tokens and questions of a forgotten user, whose id it is, are known to one process only so far."""
    CHANNEL_SETTINGS = "channel settings"
    """The settings of channels of a guild, whose id it is."""
    STARTED = "started"
    """A process began to listen, and knows nothing of before. There is no id."""


class Announcement(NamedTuple):
    """A message from one process of the bot to the others on its database: a change, and the id that it is about.

    `more` is empty, or the usage of a forgotten user as JSON: a random key, and numbers. It has no text of a person's.
    """

    change: Change
    id: int = 0
    more: str = ""


class Changes:
    """Whoever keeps something in memory that other processes change, and is to hear of it.

    Nothing is called where no other process changes the database.
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

"""What a command of the operator's tells the bot that runs on the same file: whom it has forgotten.

The command leaves a row with the deletion, unless no bot runs. The bot looks for such rows with everything that it
reads, on the same thread, and deletes them once it has acted on them.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Awaitable, Callable, Sequence

from bot.core.changes import Announcement, Change, Changes
from bot.core.errors import StoreError
from bot.store.engine import Statement

_log = logging.getLogger(__name__)


def told(announcements: Sequence[Announcement]) -> list[Statement]:
    """What a command writes with its change."""
    return [
        ("INSERT INTO forgotten_by_commands (user_id) VALUES (:user)", {"user": each.id})
        for each in announcements
        if each.change is Change.FORGOTTEN
    ]


NOBODY_HEARS: Statement = ("DELETE FROM forgotten_by_commands", {})
"""What a command writes afterwards where no bot runs: one that starts remembers nothing."""


class Listener:
    """What the running bot has heard. `delete` commits a deletion, whose bytes go before long. It raises StoreError."""

    def __init__(self, delete: Callable[[Statement], Awaitable[object]]) -> None:
        self.changes = Changes()
        self._delete = delete
        self._heard = 0
        """The last row that was acted on."""
        self._deleting: asyncio.Task[None] | None = None

    def unheard(self, connection: sqlite3.Connection) -> list[sqlite3.Row]:
        """The rows that are new."""
        return connection.execute(
            "SELECT id, user_id FROM forgotten_by_commands WHERE id > ? ORDER BY id", [self._heard]
        ).fetchall()

    def hear(self, rows: Sequence[sqlite3.Row]) -> None:
        """Act on the rows that are still new, and delete them in the background."""
        for row in rows:
            if row["id"] > self._heard:
                self._heard = row["id"]
                self.changes.made(Announcement(Change.FORGOTTEN, row["user_id"]))
                self._deleting = self._deleting or asyncio.create_task(self._delete_heard())

    async def drain(self) -> None:
        """Finish the deletion that is under way."""
        if self._deleting is not None:
            await asyncio.wait([self._deleting])

    async def _delete_heard(self) -> None:
        deleted = 0
        try:
            while deleted < (last := self._heard):
                await self._delete(("DELETE FROM forgotten_by_commands WHERE id <= :id RETURNING 1", {"id": last}))
                deleted = last
        except StoreError as error:
            _log.warning("The id of a forgotten person stays in the database until the next start: %s", error)
        finally:
            self._deleting = None

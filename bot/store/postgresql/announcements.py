"""Notices between the processes on one database, over a connection of its own: what one changes, the others hear of.

They are sent with the transaction that makes the change. PostgreSQL keeps them until each process that listens has
them, and on no record. Where the connection was lost, some may have been missed: all that they are about is dropped.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Sequence
from typing import Self

import psycopg

from bot.core.changes import Announcement, Change, Changes
from bot.core.errors import StoreError
from bot.store.forgotten_use import ForgottenUse
from bot.store.postgresql.connection import Address, Connection
from bot.store.postgresql.error_messages import in_a_line
from bot.store.postgresql.pipeline import Bound

log = logging.getLogger(__name__)

_CHANNEL = "parley_changes"
_TELL = f"SELECT pg_notify('{_CHANNEL}', announcement) FROM json_array_elements_text($1::json) AS announcement"
_KNOWN = frozenset(Change)
"""A newer version of the bot may tell more."""
RECONNECT_EVERY = 0.5
"""Seconds until the next attempt to connect."""
_UNREACHABLE = (StoreError, psycopg.Error, OSError)


def telling(announcements: Sequence[Announcement], sender: str) -> Bound:
    """The statement that sends announcements, once its transaction is made."""
    texts = [json.dumps([sender, *announcement], separators=(",", ":")) for announcement in announcements]
    return _TELL, [json.dumps(texts)]


class Listener:
    """Hears the announcements of other processes, while it is entered as a context.

    `sender` marks those of this process. `forgotten` is told to those that start, and learns from the others.
    """

    def __init__(self, url: str, sender: str, forgotten: ForgottenUse) -> None:
        self._address = Address.of(url)
        self._sender = sender
        self._forgotten = forgotten
        self.changes = Changes()
        """Who hears of what. It is replaced as a whole when others are to hear."""
        self._listening: asyncio.Task[None] | None = None
        self._hears = True
        """False once it could not, until it does again."""

    async def __aenter__(self) -> Self:
        self._listening = asyncio.create_task(self._listen())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.wait([self._listening])

    async def _listen(self) -> None:
        while True:
            try:
                await self._hear()
            except _UNREACHABLE as error:
                if self._hears:
                    log.warning("cannot hear what other processes change, connecting again: %s", in_a_line(error))
                self._hears = False
            except Exception:
                log.exception("cannot hear what other processes change because of a bug, connecting again")
            await asyncio.sleep(RECONNECT_EVERY)

    async def _hear(self) -> None:
        connection = await self._address.connect(0)
        try:
            await connection.execute(f"LISTEN {_CHANNEL}")
            self._hears = True
            self.changes.missed()
            await self._tell(connection, [Announcement(Change.STARTED)])
            while True:
                # Its connection takes no statement while announcements are waited for.
                for notify in [each async for each in connection.notifies(stop_after=1)]:
                    sender, change, *about = json.loads(notify.payload)
                    if sender != self._sender and change in _KNOWN:
                        await self._heard(connection, Announcement(Change(change), *about))
        finally:
            await connection.close()

    async def _heard(self, connection: Connection, announcement: Announcement) -> None:
        if announcement.change is Change.STARTED:
            await self._tell(connection, self._forgotten.announcements())
        elif announcement.change is Change.USED:
            self._forgotten.learn(announcement)
        else:
            self.changes.made(announcement)

    async def _tell(self, connection: Connection, announcements: Sequence[Announcement]) -> None:
        if announcements:
            await connection.execute(*telling(announcements, self._sender))

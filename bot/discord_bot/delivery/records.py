"""The records of which messages show which reply: written in their order, and again where the database fails.

What is not on record yet is kept in memory. Buttons, deletions and the recovery after a kill find a reply by these
records, so whoever is about to look one up completes it first.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Coroutine
from functools import partial
from typing import Any

from bot.core.errors import StoreError
from bot.core.gate import Gate
from bot.core.turns import Attempt
from bot.store import Store

log = logging.getLogger(__name__)

RETRY_EVERY = 1.0
"""Seconds between two tries to write what is missing."""


class ReplyRecord:
    """The record of the messages of one attempt at a reply. Made by `MessageRecords.of`."""

    def __init__(self, attempt: Attempt, store: Store, failed: Callable[[ReplyRecord], None]) -> None:
        self.attempt = attempt
        self._store = store
        self._failed = failed
        self._missing: deque[Callable[[], Awaitable[object]]] = deque()
        """The changes that are not on record yet, in their order."""
        self._writing = asyncio.Lock()
        self.unrecorded: set[int] = set()
        """Messages that may be missing on the record."""

    async def posting(self, part: int, start: int, nonce: str) -> None:
        """Note that a message is about to be posted for a part, as `DeliveryStore.posting` does."""
        await self._add(partial(self._store.deliveries.posting, self.attempt, part, start, nonce))

    async def posted(self, part: int, message_id: int) -> None:
        """Note the id of a posted message."""
        self.unrecorded.add(message_id)
        await self._add(partial(self._store.deliveries.posted, self.attempt, part, message_id))

    async def removed(self, message_id: int) -> None:
        """Note that a message is gone."""
        await self._add(partial(self._store.deliveries.removed, message_id))

    async def is_anothers(self, message_id: int) -> bool:
        """Whether a message shows the reply to another turn. Raises StoreError."""
        turn = await self._store.turns.of_message(message_id)
        return turn is not None and turn.id != self.attempt.turn_id

    async def complete(self) -> None:
        """Write what is missing. Raises StoreError, and what is missing then is still kept."""
        async with self._writing:
            while self._missing:
                await self._missing[0]()
                self._missing.popleft()
            self.unrecorded.clear()

    async def _add(self, change: Callable[[], Awaitable[object]]) -> None:
        """Write a change behind those before it. While the database fails, nobody waits for it to be tried again."""
        self._missing.append(change)
        if len(self._missing) > 1:
            return
        try:
            await self.complete()
        except StoreError as error:
            log.warning("turn %d: a message could not be stored yet: %s", self.attempt.turn_id, error)
            self._failed(self)


class MessageRecords:
    """The records of one client's replies. `spawn` runs a task in the background until the client leaves Discord.

    What is missing is tried again while the `gate` is open. Once it is shut, the replies are another process's.
    """

    def __init__(self, store: Store, gate: Gate, spawn: Callable[[Coroutine[Any, Any, None]], object]) -> None:
        self._store = store
        self._gate = gate
        self._spawn = spawn
        self._incomplete: set[ReplyRecord] = set()

    def of(self, attempt: Attempt) -> ReplyRecord:
        """A record for the messages of an attempt."""
        return ReplyRecord(attempt, self._store, self._try_again)

    async def complete(self, attempt: Attempt) -> None:
        """Write what is missing of an attempt's messages. Raises StoreError."""
        await self._complete(lambda record: record.attempt == attempt)

    async def complete_with(self, message_ids: Collection[int]) -> None:
        """Write what is missing of the replies that any of these messages shows. Raises StoreError."""
        await self._complete(lambda record: not record.unrecorded.isdisjoint(message_ids))

    async def _complete(self, concerned: Callable[[ReplyRecord], bool]) -> None:
        for record in [each for each in self._incomplete if concerned(each)]:
            await record.complete()
            self._incomplete.discard(record)

    def _try_again(self, record: ReplyRecord) -> None:
        if not self._incomplete:
            self._spawn(self._retry())
        self._incomplete.add(record)

    async def _retry(self) -> None:
        while self._incomplete and await self._gate.opened():
            await asyncio.sleep(RETRY_EVERY)
            # All at once: each may wait for seconds until it is known that the database fails.
            await asyncio.gather(*map(self._retry_one, tuple(self._incomplete)))

    async def _retry_one(self, record: ReplyRecord) -> None:
        try:
            await record.complete()
        except StoreError as error:
            log.debug("turn %d: messages could still not be stored: %s", record.attempt.turn_id, error)
        else:
            self._incomplete.discard(record)
            log.info("turn %d: its messages are stored", record.attempt.turn_id)

"""The records of which messages show which reply: written in their order, and again where the database fails.

Buttons, deletions and the recovery after a kill find a reply by these records, so whoever is about to look one up
completes it first.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import partial
from weakref import WeakSet

from bot.core.late_writes import LateWrites, about_turn
from bot.core.retrying import poll_until
from bot.core.turns import Attempt
from bot.discord_bot.delivery.view import Unavailable
from bot.store import Store

_ANSWERED_WITHIN = 5.0
"""Seconds for which answers to posts are waited for."""
_CHECK_EVERY = 0.05
"""Seconds between two looks for them."""


class ReplyRecord:
    """The record of the messages of one attempt at a reply. Made by `MessageRecords.of`.

    While the database fails, nobody waits for what is noted.
    """

    def __init__(self, attempt: Attempt, store: Store, late: LateWrites, unrecorded: dict[int, int]) -> None:
        self.attempt = attempt
        self._store = store
        self._late = late
        self._unrecorded = unrecorded
        self.unanswered: set[int] = set()
        """The parts whose messages may be there, without an answer of the platform's."""

    async def posting(self, part: int, start: int, nonce: str) -> None:
        """Note that a message is about to be posted for a part, as `DeliveryStore.posting` does."""
        self.unanswered.add(part)
        write = partial(self._store.deliveries.posting, self.attempt, part, start, nonce)
        await self._late.write(about_turn(self.attempt.turn_id), write)

    def refused(self, part: int) -> None:
        """Note that the platform has not taken a message."""
        self.unanswered.discard(part)

    async def posted(self, part: int, message_id: int) -> None:
        """Note the id of a posted message."""
        self._unrecorded[message_id] = self.attempt.turn_id
        self.unanswered.discard(part)

        async def write() -> None:
            await self._store.deliveries.posted(self.attempt, part, message_id)
            self._unrecorded.pop(message_id, None)

        await self._late.write(about_turn(self.attempt.turn_id), write)

    async def removed(self, message_id: int) -> None:
        """Note that a message is gone."""
        write = partial(self._store.deliveries.removed, message_id)
        await self._late.write(about_turn(self.attempt.turn_id), write)

    async def is_anothers(self, message_id: int) -> bool:
        """Whether a message shows the reply to another turn. Raises StoreError."""
        if self._unrecorded.get(message_id, self.attempt.turn_id) != self.attempt.turn_id:
            return True
        turn = await self._store.turns.of_message(message_id)
        return turn is not None and turn.id != self.attempt.turn_id


class MessageRecords:
    """The records of one client's replies, written with what else is about their turns."""

    def __init__(self, store: Store, late: LateWrites) -> None:
        self._store = store
        self._late = late
        self._unrecorded: dict[int, int] = {}
        """The turns whose replies messages show that may be missing on the record, by these messages."""
        self._records: WeakSet[ReplyRecord] = WeakSet()

    def of(self, attempt: Attempt) -> ReplyRecord:
        """A record for the messages of an attempt."""
        record = ReplyRecord(attempt, self._store, self._late, self._unrecorded)
        self._records.add(record)
        return record

    async def is_missing(self, message_id: int) -> bool:
        """Whether a message that was there before this call shows a reply of this process and may be on no record yet.

        Raises Unavailable if some posts have no answer for a while: it may be theirs.
        """
        under_way = [(record, part) for record in self._records for part in record.unanswered]

        async def answered() -> bool:
            return not any(part in record.unanswered for record, part in under_way)

        if not await poll_until(answered, every=_CHECK_EVERY, timeout=_ANSWERED_WITHIN):
            raise Unavailable("there are messages of which Discord has not told the ids")
        return message_id in self._unrecorded

    async def complete(self, turn_id: int) -> None:
        """Write what is missing of a turn's messages. Raises StoreError."""
        await self._late.complete(about_turn(turn_id))

    async def complete_with(self, message_ids: Collection[int]) -> None:
        """Write what is missing of the replies that any of these messages shows. Raises StoreError."""
        for turn_id in {self._unrecorded[each] for each in message_ids if each in self._unrecorded}:
            await self.complete(turn_id)

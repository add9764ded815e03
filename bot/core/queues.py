"""Who is answered next, and who not at all: places in line for prompts, with limits on how many wait. No platform.

One person's prompts in one conversation are served one after the other, those of different people side by side. When
the bot has as many replies under way as it may, conversations take turns, so that a flood in one keeps no other from
its next reply.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from bot.core.errors import Overloaded, QueueLimit
from bot.core.turns import Conversation

REFUSAL_REPEATED_AFTER = 60.0
"""Seconds until it is said again in a conversation that it, or the bot, has too much to do."""


@dataclass(frozen=True, slots=True)
class QueueLimits:
    """How much is taken on. What waits is counted without the replies under way."""

    max_concurrent_replies: int = 100
    max_replies_per_conversation: int = 8
    queue_per_user: int = 5
    """In one conversation."""
    queue_per_conversation: int = 25
    queue_total: int = 500


@dataclass(eq=False, slots=True)
class _Entry:
    person: int | None
    turn: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(eq=False, slots=True)
class _Queue:
    """One conversation: the places that wait, in the order they came, those being served, and who was refused one."""

    waiting: list[_Entry] = field(default_factory=list)
    served: list[_Entry] = field(default_factory=list)
    refused: set[int | None] = field(default_factory=set)

    def holds(self, person: int | None) -> bool:
        return any(place.person == person for place in (*self.waiting, *self.served))

    def next(self) -> _Entry | None:
        """The first to wait for nobody but other people."""
        busy = {place.person for place in self.served}
        return next((place for place in self.waiting if place.person not in busy), None)


class Queues:
    """The lines of all conversations. Those that nobody stands in are not kept."""

    def __init__(self, limits: QueueLimits) -> None:
        self._limits = limits
        self._lines: dict[Conversation, _Queue] = {}
        """The conversation that was served last stands last."""
        self._waiting = 0
        self._served = 0
        self._told: dict[Conversation, float] = {}
        """When it was last said in a conversation that there is too much to do, oldest first."""
        self.empty = asyncio.Event()
        """Set while there is no place taken."""
        self.empty.set()

    @contextmanager
    def place(
        self, conversation: Conversation, person: int | None, *, accepted: bool = False
    ) -> Iterator[asyncio.Event]:
        """A place behind the same person's earlier ones; the event is set when its turn has come.

        Entering does not wait. Raises Overloaded where there is no room, but never for what was `accepted` before.
        """
        if not accepted and (limit := self.limit_reached(conversation, person)) is not None:
            raise Overloaded(limit, repeated=self._told_before(limit, conversation, person))
        line = self._lines.setdefault(conversation, _Queue())
        place = _Entry(person)
        line.waiting.append(place)
        self._waiting += 1
        self.empty.clear()
        self._serve()
        try:
            yield place.turn
        finally:
            self._leave(conversation, line, place)

    def limit_reached(self, conversation: Conversation, person: int | None) -> QueueLimit | None:
        """The limit that keeps a prompt from being taken on. None: there is room."""
        limits = self._limits
        line = self._lines.get(conversation) or _Queue()
        own = sum(place.person == person for place in line.waiting)
        if own >= limits.queue_per_user:
            return QueueLimit.USER
        if self._may_begin(line) and not line.holds(person):
            return None
        if len(line.waiting) >= limits.queue_per_conversation:
            return QueueLimit.CONVERSATION
        return QueueLimit.BOT if self._waiting >= limits.queue_total else None

    def _may_begin(self, line: _Queue) -> bool:
        limits = self._limits
        return self._served < limits.max_concurrent_replies and len(line.served) < limits.max_replies_per_conversation

    def _serve(self) -> None:
        """Let as many begin as may, one of each conversation in turn."""
        while (found := self._next()) is not None:
            conversation, line, place = found
            line.waiting.remove(place)
            line.served.append(place)
            self._waiting -= 1
            self._served += 1
            self._lines[conversation] = self._lines.pop(conversation)
            place.turn.set()

    def _next(self) -> tuple[Conversation, _Queue, _Entry] | None:
        for conversation, line in self._lines.items():
            if self._may_begin(line) and (place := line.next()) is not None:
                return conversation, line, place
        return None

    def _leave(self, conversation: Conversation, line: _Queue, place: _Entry) -> None:
        if place.turn.is_set():
            line.served.remove(place)
            self._served -= 1
        else:
            line.waiting.remove(place)
            self._waiting -= 1
        if not line.holds(place.person):
            line.refused.discard(place.person)
        if not line.waiting and not line.served:
            del self._lines[conversation]
        if not self._lines:
            self.empty.set()
        self._serve()

    def _told_before(self, limit: QueueLimit, conversation: Conversation, person: int | None) -> bool:
        """Whether this refusal was said lately: to a person since they last had no place, else in the conversation."""
        if limit is QueueLimit.USER:
            refused = self._lines[conversation].refused
            repeated = person in refused
            refused.add(person)
            return repeated
        now = asyncio.get_running_loop().time()
        while self._told and now - next(iter(self._told.values())) >= REFUSAL_REPEATED_AFTER:
            del self._told[next(iter(self._told))]
        repeated = conversation in self._told
        self._told.setdefault(conversation, now)
        return repeated

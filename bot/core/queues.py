"""The queues of waiting prompts, one for each conversation, with limits on their length.

One person's prompts in one conversation run one after the other, those of different people side by side. When the bot
runs as many replies as it may, conversations take turns, so that a flood in one does not hold up the others.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from bot.core.errors import Overloaded, QueueLimit
from bot.core.turns import Conversation

REFUSAL_REPEATED_AFTER = 60.0
"""Seconds after which a full queue is announced again in a conversation."""


@dataclass(frozen=True, slots=True)
class QueueLimits:
    """The limits on running replies and waiting prompts. Running replies do not count as waiting."""

    max_concurrent_replies: int = 100
    max_replies_per_conversation: int = 8
    queue_per_user: int = 5
    """The prompts of one person that may wait in one conversation."""
    queue_per_conversation: int = 25
    queue_total: int = 500


@dataclass(eq=False, slots=True)
class _Entry:
    person: int | None
    queues: list[_Queue]
    """The queues in which it waits. It runs once all of them let it."""
    may_run: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(eq=False, slots=True)
class _Queue:
    """The queue of one conversation: waiting entries in their order, running ones, and the people who were refused."""

    conversation: Conversation

    waiting: list[_Entry] = field(default_factory=list)
    running: list[_Entry] = field(default_factory=list)
    refused: set[int | None] = field(default_factory=set)

    def holds(self, person: int | None) -> bool:
        return any(entry.person == person for entry in (*self.waiting, *self.running))

    def may_run(self, entry: _Entry, most: int) -> bool:
        """Whether an entry may run here, where so many may run: none of its person runs or waits before it."""
        if len(self.running) >= most or any(each.person == entry.person for each in self.running):
            return False
        return next(each for each in self.waiting if each.person == entry.person) is entry


class Queues:
    """The queues of all conversations. Empty queues are not kept."""

    def __init__(self, limits: QueueLimits) -> None:
        self._limits = limits
        self._queues: dict[Conversation, _Queue] = {}
        """Ordered by when a prompt of the conversation last began to run."""
        self._waiting = 0
        self._running = 0
        self._behind: set[asyncio.Event] = set()
        """Of each that runs behind the prompts, the event that ends it."""
        self._announced: dict[Conversation, float] = {}
        """When a full queue was last announced in each conversation, oldest first."""
        self.empty = asyncio.Event()
        """Set while nothing waits and nothing runs."""
        self.empty.set()

    @property
    def waiting(self) -> int:
        """The prompts that wait."""
        return self._waiting

    @property
    def running(self) -> int:
        """The prompts that run, and what runs behind them."""
        return self._running

    @contextmanager
    def place(
        self,
        conversation: Conversation,
        person: int | None,
        *,
        asked_in: Conversation | None = None,
        accepted: bool = False,
    ) -> Iterator[asyncio.Event]:
        """Hold a place in a conversation's queue during the block. The event is set when the prompt may run.

        A prompt from another conversation (`asked_in`) has a place in the queue of that one too: who opens many
        conversations from one does not get ahead. Entering the block does not wait. Raises Overloaded if a queue is
        full, but not for an `accepted` prompt.
        """
        places = [conversation] if asked_in is None else [conversation, asked_in]
        for each in places:
            if not accepted and (limit := self.limit_reached(each, person)) is not None:
                raise Overloaded(limit, repeated=self._is_repeated(limit, each, person))
        entry = _Entry(person, [self._queues.setdefault(each, _Queue(each)) for each in places])
        for queue in entry.queues:
            queue.waiting.append(entry)
        self._waiting += 1
        self.empty.clear()
        self._run_next()
        if not entry.may_run.is_set():
            for wanted in self._behind:
                wanted.set()
        try:
            yield entry.may_run
        finally:
            self._leave(entry)

    @contextmanager
    def place_behind(self) -> Iterator[asyncio.Event | None]:
        """Run during the block without a prompt, if there is room and no prompt waits. None: it may not.

        The event is set once a prompt waits: then the block is to end.
        """
        if self._waiting or self._running >= self._limits.max_concurrent_replies:
            yield None
            return
        wanted = asyncio.Event()
        self._behind.add(wanted)
        self._running += 1
        try:
            yield wanted
        finally:
            self._behind.discard(wanted)
            self._running -= 1
            self._run_next()

    def change_limits(self, limits: QueueLimits) -> None:
        """Apply other limits to what waits. Replies that are running go on."""
        self._limits = limits
        self._run_next()

    def limit_reached(self, conversation: Conversation, person: int | None) -> QueueLimit | None:
        """Return the limit that another prompt would exceed, or None if there is room."""
        limits = self._limits
        queue = self._queues.get(conversation) or _Queue(conversation)
        own = sum(entry.person == person for entry in queue.waiting)
        if own >= limits.queue_per_user:
            return QueueLimit.USER
        if self._may_begin(queue) and not queue.holds(person):
            return None
        if len(queue.waiting) >= limits.queue_per_conversation:
            return QueueLimit.CONVERSATION
        return QueueLimit.BOT if self._waiting >= limits.queue_total else None

    def _may_begin(self, queue: _Queue) -> bool:
        limits = self._limits
        return (
            self._running < limits.max_concurrent_replies and len(queue.running) < limits.max_replies_per_conversation
        )

    def _run_next(self) -> None:
        """Let as many entries run as the limits allow, one of each conversation in turn."""
        while (entry := self._next()) is not None:
            for queue in entry.queues:
                queue.waiting.remove(entry)
                queue.running.append(entry)
                self._queues[queue.conversation] = self._queues.pop(queue.conversation)
            self._waiting -= 1
            self._running += 1
            entry.may_run.set()

    def _next(self) -> _Entry | None:
        most = self._limits.max_replies_per_conversation
        for queue in self._queues.values():
            if self._may_begin(queue):
                for entry in queue.waiting:
                    if all(each.may_run(entry, most) for each in entry.queues):
                        return entry
        return None

    def _leave(self, entry: _Entry) -> None:
        running = entry.may_run.is_set()
        self._running -= running
        self._waiting -= not running
        for queue in entry.queues:
            (queue.running if running else queue.waiting).remove(entry)
            if not queue.holds(entry.person):
                queue.refused.discard(entry.person)
            if not queue.waiting and not queue.running:
                del self._queues[queue.conversation]
        if not self._queues:
            self.empty.set()
        self._run_next()

    def _is_repeated(self, limit: QueueLimit, conversation: Conversation, person: int | None) -> bool:
        """Whether this refusal was announced: to the person since their last entry ended, or in the conversation."""
        if limit is QueueLimit.USER:
            refused = self._queues[conversation].refused
            repeated = person in refused
            refused.add(person)
            return repeated
        now = asyncio.get_running_loop().time()
        while self._announced and now - next(iter(self._announced.values())) >= REFUSAL_REPEATED_AFTER:
            del self._announced[next(iter(self._announced))]
        repeated = conversation in self._announced
        self._announced.setdefault(conversation, now)
        return repeated

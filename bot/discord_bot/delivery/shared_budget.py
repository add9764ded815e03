"""The budget of requests of a bot that runs as several processes: slots drawn from what they share, as they are needed.

Discord counts the requests of all processes together. So each draws a slot for every request, a few at a time, and only
while calls are due: what is drawn and not used is lost to the others. The scheduler decides what a slot is used for.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from contextlib import suppress

from bot.core.errors import StoreError
from bot.core.protocols import SharedLimits
from bot.discord_bot.delivery.pacing import PER_SECOND, Budget

log = logging.getLogger(__name__)

_MOST = 4
"""Slots for calls that are drawn at once."""
BURST = 1
"""Slots of all processes together that may be at the same moment after a pause.

What goes ahead of its slot, one request of each process, adds to these.
"""
LASTS = 0.05
"""Seconds after which a slot that was not used is thrown away, so that few requests come late and all at once."""
TOLD_WITHIN = 0.02
"""Seconds by which the ways of answers to two draws may differ, so that slots are taken to be later than they are."""
_DRAW_TIMEOUT = 1.0
"""Seconds without an answer after which what is shared counts as out of reach."""
_PAUSE = 1.0
"""Seconds without requests once it is out of reach: other processes may be using what was drawn before."""
_TRY_AGAIN = 1.0
"""Seconds between two tries to draw while it is out of reach."""
_OTHERS_FIND_WITHIN = 2.5
"""Seconds from when one process can draw again until all others have tried to."""
_LOOK_AGAIN = 0.05
"""Seconds until somebody who waits for a slot looks again, where nothing wakes them."""


class SharedBudget(Budget):
    """One process's part of the budget.

    While nothing can be drawn, the processes seen last share the budget evenly. So they do a little longer, until no
    other one uses its share without drawing for it.
    """

    def __init__(self, limits: SharedLimits) -> None:
        super().__init__()
        self._limits = limits
        self._slots: deque[float] = deque()
        """When the next requests may go."""
        self._wanted = 0
        self._owed = 0
        """Requests that went without a slot. They are drawn for afterwards."""
        self._ahead_until = float("-inf")
        """The time of the slot for the last of these. Infinite: it is not drawn yet."""
        self._drawing: asyncio.Task[None] | None = None
        self._asked = False
        """Whether a draw is under way. What is wanted meanwhile is asked for after it."""
        self._holding: asyncio.Task[None] | None = None
        self._processes = 1
        self._away = False
        self._next_try = float("-inf")
        self._share_until = float("-inf")
        """Until when no more than an even share is used, though slots can be drawn."""
        self._own_until = float("-inf")

    def at(self, now: float) -> float:
        return max(super().at(now), self._slot_at(now))

    def has_room(self, now: float) -> bool:
        # What is asked here cannot wait for a slot, and is drawn for afterwards: one at a time goes ahead of its slot.
        return self._ahead_until <= now and super().room_at(now) <= now

    def room_at(self, now: float) -> float:
        return max(super().room_at(now), self._slot_at(now))

    def spend(self, now: float) -> None:
        super().spend(now)
        self._drop_old(now)
        if self._slots and self._slots[0] <= now:
            self._slots.popleft()
        else:
            self._owed += 1
            self._ahead_until = float("inf")
            self._draw_soon()

    def hold(self, until: float) -> None:
        super().hold(until)
        self._slots.clear()
        seconds = until - asyncio.get_running_loop().time()
        self._holding = asyncio.create_task(self._tell_hold(seconds))

    async def close(self) -> None:
        """Draw no more."""
        tasks = [task for task in (self._drawing, self._holding) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _slot_at(self, now: float) -> float:
        self._drop_old(now)
        if self._slots:
            return self._slots[0]
        if not self._asked:
            # A slot of an even share is later than what was drawn for it, the more so the more are drawn at once.
            self._wanted = min(1 if self._away or now < self._share_until else _MOST, self._wanted + 1)
            self._draw_soon()
        return now + _LOOK_AGAIN

    def _drop_old(self, now: float) -> None:
        while self._slots and self._slots[0] < now - LASTS:
            self._slots.popleft()

    def _draw_soon(self) -> None:
        if self._drawing is None:
            self._drawing = asyncio.create_task(self._draw_what_is_wanted())

    async def _draw_what_is_wanted(self) -> None:
        try:
            # Everybody who asks in this turn of the loop is asked for.
            await asyncio.sleep(0)
            while self._wanted or self._owed:
                wanted, self._wanted = self._wanted, 0
                owed, self._owed = self._owed, 0
                self._asked = True
                try:
                    drawn = await self._drawn(wanted + owed)
                    self._slots.extend(drawn[owed:])
                    if owed and not self._owed:
                        self._ahead_until = drawn[owed - 1]
                finally:
                    self._asked = False
                if wanted:
                    for tell in tuple(self.on_room):
                        tell()
        finally:
            self._drawing = None

    async def _drawn(self, number: int) -> list[float]:
        """When so many requests may go, in the event loop's time."""
        loop = asyncio.get_running_loop()
        asked_at = loop.time()
        if asked_at < self._next_try:
            return self._share(number)
        try:
            async with asyncio.timeout(_DRAW_TIMEOUT):
                last_in, processes = await self._limits.draw(number, PER_SECOND, BURST)
        except Exception as error:
            now = loop.time()
            if not self._away:
                if isinstance(error, StoreError | TimeoutError):
                    log.warning(
                        "cannot share Discord's limit of requests with the other processes: 1 of %d parts of it is used"
                        " here until the database answers: %s",
                        self._processes,
                        error or "no answer",
                    )
                else:
                    # Whoever waits for a slot would wait for ever.
                    log.exception("cannot share Discord's limit of requests with the other processes, because of a bug")
                self._away = True
                self._own_until = now + _PAUSE
            self._next_try = now + _TRY_AGAIN
            return self._share(number)
        now = loop.time()
        if self._away:
            self._away = False
            self._share_until = now + _OTHERS_FIND_WITHIN
        self._processes = max(1, processes)
        # The slots of an answer that was long under way are over: others have used the time since.
        last = min(now, asked_at + TOLD_WITHIN) + last_in
        slots = [last - (number - 1 - each) / PER_SECOND for each in range(number)]
        # But where every answer takes long, one of them has to do, and to last until somebody looks again.
        slots[-1] = max(slots[-1], now)
        return list(map(max, slots, self._share(number))) if now < self._share_until else slots

    def _share(self, number: int) -> list[float]:
        """When so many requests may go as one of several processes that each use an even part of the budget."""
        gap = self._processes / PER_SECOND
        self._own_until = max(self._own_until, asyncio.get_running_loop().time() - gap)
        slots = [self._own_until + gap * (1 + each) for each in range(number)]
        self._own_until = slots[-1]
        return slots

    async def _tell_hold(self, seconds: float) -> None:
        with suppress(StoreError, TimeoutError):
            async with asyncio.timeout(_DRAW_TIMEOUT):
                await self._limits.hold(seconds)

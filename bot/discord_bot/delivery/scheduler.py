"""Decides which live reply makes its next call to the platform, and when.

Only one call at a time is in flight in a channel, and all channels share one budget. Ends of replies come first, then
first messages, then the reply that has waited longest. The scheduler asks `pacing` when a call may go, and knows
nothing of what the calls do.

discord.py would send the calls one after another as they come, and sleep inside the call that takes a bucket's last
token (see `discord.http.Ratelimit`). So the scheduler decides what is worth a token before discord.py sees it.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Protocol, Self

from bot.core.figures import Figures
from bot.core.gate import Gate
from bot.discord_bot.delivery.figures import DeliveryFigures
from bot.discord_bot.delivery.pacing import Budget, ChannelPacer, InteractionPacer, RateLimitHeaders

scheduled: ContextVar[bool] = ContextVar("scheduled", default=False)
"""Whether the scheduler has counted the current request in its budget."""
calling: ContextVar[int | None] = ContextVar("calling", default=None)
"""The channel, or the interaction, for which the scheduler has the current request made."""

DRAIN_TIMEOUT = 0.2
"""Seconds that calls in flight have when the scheduler is left.

discord.py may sleep in one for much longer, after Discord has answered it.
"""
_LOW_PRIORITY_TIMEOUT = 5.0
"""Seconds for which a request with low priority gives way to others."""
_PREPARE_FOR = 0.01
"""Seconds for which calls are prepared in one go. Then the other tasks of the process have a turn."""
_MAX_CHANNELS = 1000
"""The number of channels from which on the limits of idle ones are forgotten."""


LONGEST_HOLD = 600.0
"""Seconds that a 429 may hold calls back. Discord counts refused requests over ten minutes."""


class Urgency(IntEnum):
    """The order of calls when not all of them can go; smaller ones go first."""

    END = 0
    """Shows the end of a reply."""
    FIRST = 1
    """Shows the first text of a reply."""
    MORE = 2
    """Shows more of a reply."""


class Caller(Protocol):
    """Something that makes calls in a channel, one at a time. Its methods raise nothing."""

    @property
    def wants(self) -> str | None:
        """The method of the next call (POST, PATCH or DELETE). None: there is no call to make just now."""
        ...

    @property
    def urgency(self) -> Urgency: ...

    @property
    def waiting_since(self) -> float:
        """Since when people see something older than there is, in the event loop's time."""
        ...

    @property
    def not_before(self) -> float:
        """The earliest time for the next call, whatever the limits allow."""
        ...

    def prepare(self) -> str | None:
        """Settle the next call, from the latest text, and return its method.

        None: there is no call to make, or it is not settled yet, and the caller will wake the scheduler.
        """
        ...

    async def call(self) -> None:
        """Make the call that was prepared."""
        ...

    def abandon(self) -> None:
        """No more calls will be made."""
        ...


@dataclass
class _Channel:
    pacer: ChannelPacer
    callers: list[Caller] = field(default_factory=list)
    busy: bool = False
    """Whether a call is in flight."""
    exempt: bool = False
    """Whether its calls are made with an interaction's token, so that they do not count in the budget."""


class Scheduler:
    """Starts the callers' calls while it is entered as a context.

    On leaving, it waits a moment for the calls in flight and abandons all callers.
    """

    def __init__(self, budget: Budget | None = None, figures: Figures | None = None, gate: Gate | None = None) -> None:
        self.gate = gate or Gate.always_open()
        """No call goes out while it is closed."""
        self._figures = DeliveryFigures(
            figures or Figures(),
            self._waiting,
            lambda: self._budget.last_second(asyncio.get_running_loop().time()),
        )
        self._budget = budget or Budget()
        self._channels: dict[int, _Channel] = {}
        self._active: set[int] = set()
        self._wake = asyncio.Event()
        self._budget.on_room.append(self.wake)
        self._calls: set[asyncio.Task[None]] = set()
        self._best_effort: set[tuple[str, int]] = set()
        self._low_priority_lock = asyncio.Lock()
        self._latest: dict[bool, ChannelPacer] = {}
        """The pacer that learned last, by whether its calls are exempt from the budget."""
        self._loop: asyncio.Task[None] | None = None
        self._left = False

    async def __aenter__(self) -> Self:
        self._loop = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_exception: object) -> None:
        if self._loop is not None:
            self._loop.cancel()
            await asyncio.wait([self._loop])
        if self._calls:
            _done, late = await asyncio.wait(self._calls, timeout=DRAIN_TIMEOUT)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        self._left = True
        for channel in self._channels.values():
            for caller in tuple(channel.callers):
                caller.abandon()

    def add(self, channel_id: int, caller: Caller) -> None:
        """Take in a caller, which is asked from now on what it wants."""
        self._channel(channel_id).callers.append(caller)
        self._active.add(channel_id)
        self.wake()
        if self._left:
            caller.abandon()

    def add_interaction(self, interaction_id: int) -> None:
        """Take an interaction for a channel of its own.

        The calls with its token have one limit for all methods, and do not count in the bot's budget:
        https://discord.com/developers/docs/interactions/receiving-and-responding#followup-messages.
        """
        if interaction_id not in self._channels:
            self._forget_idle()
            self._channels[interaction_id] = _Channel(InteractionPacer(self._latest.get(True)), exempt=True)

    def remove(self, channel_id: int, caller: Caller) -> None:
        """Drop a caller that has no more calls to make."""
        channel = self._channels[channel_id]
        channel.callers.remove(caller)
        if not channel.callers:
            self._active.discard(channel_id)

    def wake(self) -> None:
        """Ask the callers again, because what one of them wants has changed."""
        self._wake.set()

    def observe(self, channel_id: int | None, method: str, status: int, headers: Mapping[str, str]) -> None:
        """Learn from the answer to a call on a channel's messages, or to any other request (`channel_id` is None)."""
        self._figures.answered(None if channel_id is None else method, status, headers)
        now = asyncio.get_running_loop().time()
        retry_after = _seconds(headers.get("Retry-After")) if status == 429 else None
        if status == 429 and "X-RateLimit-Global" in headers:
            self._budget.hold(now + (retry_after or 1.0))
        elif channel_id is not None:
            pacer = self._channel(channel_id).pacer
            pacer.observe(method, RateLimitHeaders.read(headers), now, retry_after=retry_after)
            self._latest[False] = pacer

    def observe_exempt(self, method: str, status: int, headers: Mapping[str, str], sent: float) -> None:
        """Learn from the answer to the current request, which was `sent` then with an interaction's token."""
        self._figures.answered(method, status, headers, exempt=True)
        channel = self._channels.get(calling.get() or 0)
        if channel is not None and channel.exempt:
            retry_after = _seconds(headers.get("Retry-After")) if status == 429 else None
            now = asyncio.get_running_loop().time()
            seen = RateLimitHeaders.read(headers)
            channel.pacer.observe(method, seen, now, retry_after=retry_after, sent=sent)
            self._latest[True] = channel.pacer

    def spend(self) -> None:
        """Count a request that was not scheduled here in the budget of the whole bot."""
        self._budget.spend(asyncio.get_running_loop().time())

    def left(self) -> None:
        """Note that a request has left that counts in the budget of the whole bot."""
        self._budget.left(asyncio.get_running_loop().time())

    @contextmanager
    def best_effort(self, what: str, channel_id: int) -> Iterator[bool]:
        """Give room for one request that need not happen. False: others need the room, or such a request is in flight.

        Only one request of each kind (`what`) is in flight in a channel, because they have limits of their own, for
        which discord.py would let them queue up.
        """
        now = asyncio.get_running_loop().time()
        room = self.gate.is_open and self._budget.has_room(now)
        if (what, channel_id) in self._best_effort or not room:
            yield False
            return
        self._budget.spend(now)
        self._best_effort.add((what, channel_id))
        before = scheduled.set(True)
        try:
            yield True
        finally:
            scheduled.reset(before)
            self._best_effort.remove((what, channel_id))

    @asynccontextmanager
    async def low_priority(self) -> AsyncIterator[None]:
        """Wait for room for one request that has to happen: until no other needs the room, or some seconds at most.

        While the platform refuses all requests, there is no room.
        """
        loop = asyncio.get_running_loop()
        latest = loop.time() + _LOW_PRIORITY_TIMEOUT
        async with self._low_priority_lock:
            await self.gate.opened()
            room = asyncio.Event()
            with self._heard_of_room(room.set):
                while True:
                    room.clear()
                    now = loop.time()
                    at = max(min(self._budget.room_at(now), latest), self._budget.held_until)
                    if at <= now:
                        break
                    # The room may last for a moment only.
                    with suppress(TimeoutError):
                        async with asyncio.timeout(at - now):
                            await room.wait()
            self._budget.spend(now)
        before = scheduled.set(True)
        try:
            yield
        finally:
            scheduled.reset(before)

    @contextmanager
    def _heard_of_room(self, hear: Callable[[], None]) -> Iterator[None]:
        """Have it called whenever there is room earlier than was said."""
        self._budget.on_room.append(hear)
        try:
            yield
        finally:
            self._budget.on_room.remove(hear)

    def _channel(self, channel_id: int) -> _Channel:
        channel = self._channels.get(channel_id)
        if channel is None:
            self._forget_idle()
            channel = self._channels[channel_id] = _Channel(ChannelPacer(self._latest.get(False)))
        return channel

    def _forget_idle(self) -> None:
        if len(self._channels) >= _MAX_CHANNELS:
            now = asyncio.get_running_loop().time()
            self._channels = {
                key: kept
                for key, kept in self._channels.items()
                if kept.callers or kept.busy or not kept.pacer.idle(now)
            }

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self._wake.clear()
            # Waiting for an event that is set already would not let any other task run.
            await asyncio.sleep(0)
            if not await self.gate.opened():
                return
            now = loop.time()
            at = self._start_what_is_due(now)
            timer = None if at is None else loop.call_at(at, self._wake.set)
            try:
                await self._wake.wait()
            finally:
                if timer is not None:
                    timer.cancel()

    def _start_what_is_due(self, now: float) -> float | None:
        """Start the most urgent calls that may go. Returns when to look again without being woken, if at all."""
        due: list[tuple[Urgency, float, int, Caller]] = []
        later: list[float] = []
        if (free_at := self._budget.paced_at(now)) > now:
            later.append(free_at)
        for channel_id in self._active:
            channel = self._channels[channel_id]
            if channel.busy or (free_at > now and not channel.exempt):
                continue
            waiting = [
                (self._at(channel, caller, method, now), caller)
                for caller in channel.callers
                if (method := caller.wants) is not None
            ]
            ready = [(caller.urgency, caller.waiting_since, channel_id, caller) for at, caller in waiting if at <= now]
            if ready:
                due.append(min(ready, key=lambda each: each[:2]))
            elif waiting:
                later.append(min(at for at, _ in waiting))
        due.sort(key=lambda each: each[:2])
        time = asyncio.get_running_loop().time
        for _, _, channel_id, caller in due:
            channel = self._channels[channel_id]
            if not channel.exempt and (at := self._budget.at(now)) > now:
                later.append(at)
                continue
            if time() - now > _PREPARE_FOR:
                later.append(now)
                break
            method = caller.prepare()
            if method is None:
                # Another caller in the channel may have a call to make.
                self._wake.set()
                continue
            if (at := self._at(channel, caller, method, now)) > now:
                later.append(at)
                continue
            if not channel.exempt:
                self._budget.spend(now)
            channel.pacer.bucket(method).spend(now)
            channel.busy = True
            task = asyncio.create_task(self._call(channel_id, channel, caller))
            self._calls.add(task)
            task.add_done_callback(self._calls.discard)
        return min(later, default=None)

    def _at(self, channel: _Channel, caller: Caller, method: str, now: float) -> float:
        pacer = channel.pacer
        if method == "POST":
            at = pacer.post_at(now)
        elif method == "DELETE":
            at = pacer.delete_at(now)
        elif caller.urgency is Urgency.END:
            at = pacer.final_at(now)
        else:
            streams = sum(each.urgency is not Urgency.FIRST for each in channel.callers)
            at = pacer.edit_at(now, streams)
        return max(at, caller.not_before)

    async def _call(self, channel_id: int, channel: _Channel, caller: Caller) -> None:
        scheduled.set(True)
        calling.set(channel_id)
        since = caller.waiting_since
        try:
            await caller.call()
            if caller.waiting_since != since:
                self._figures.shown(asyncio.get_running_loop().time() - since)
        finally:
            channel.busy = False
            self._wake.set()

    def _waiting(self) -> int:
        """The number of callers with a call to make."""
        callers = (caller for each in self._active for caller in self._channels[each].callers)
        return sum(caller.wants is not None for caller in callers)


def _seconds(value: str | None) -> float:
    """The wait of a `Retry-After` header, within bounds: an infinite one would stop the bot for good."""
    try:
        seconds = float(value or "")
    except ValueError:
        return 1.0
    return min(max(0.0, seconds), LONGEST_HOLD) if not math.isnan(seconds) else 1.0

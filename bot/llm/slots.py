"""The requests that a model server works on at once, where it tells how many those are, as llama.cpp's does.

More requests would wait in the server's own queue, where nobody sees them, and a stop does not always take them out.
"""

from __future__ import annotations

import asyncio
import logging

import httpx2
import jiter

from bot.core.queues import QueueLimits, Queues
from bot.llm import bodies
from bot.llm.error_kinds import is_loading

_PATIENCE = 2.0
"""Seconds that the server may take to tell. The first question waits for it."""
_LONGEST = 256 * 1024
"""Bytes of its answer, which holds a chat template."""
_LONGEST_ERROR = 4_000
"""Bytes of an error that are searched."""
_FULLEST = 20_000
"""Objects and lists in its answer. Decoding blocks the event loop for a microsecond for each of them."""
_MOST_SLOTS = 1000

_log = logging.getLogger(__name__)


class ServerSlots:
    """The slots of one server, which is asked for them at the first use and after each `ask_again`."""

    def __init__(self, http: httpx2.AsyncClient, base_url: str) -> None:
        self._http = http
        self._url = f"{base_url.rstrip('/').removesuffix('/v1')}/props"
        self._due = True
        self._asking = asyncio.Lock()
        self._slots: int | None = None
        self._queue: Queues | None = None
        """Once a number of slots is known, it stays the same, so that all who wait stand in one queue."""

    def ask_again(self) -> None:
        """Ask the server at the next use, because it may be another one by then."""
        self._due = True

    async def queue(self) -> Queues | None:
        """The queue in which to wait for a slot, or None if the server does not tell of any."""
        async with self._asking:
            if self._due:
                await self._ask()
        return None if self._slots is None else self._queue

    async def _ask(self) -> None:
        try:
            async with asyncio.timeout(_PATIENCE), self._http.stream("GET", self._url) as response:
                answer = await bodies.whole(response, _LONGEST)
        except TimeoutError:
            # Every question would wait for this once more.
            self._due = False
            return
        except bodies.BROKEN:
            return
        except ValueError:
            answer = b""
        if is_loading(response.status_code, answer[:_LONGEST_ERROR].decode(errors="replace").lower()):
            # One request is enough to see when it is ready.
            self._set(1)
        elif response.status_code < 500:
            self._due = False
            self._set(_total_slots(answer) if response.status_code == 200 else None)

    def _set(self, slots: int | None) -> None:
        if slots != self._slots:
            self._slots = slots
            most = _MOST_SLOTS if slots is None else slots
            if self._queue is None:
                self._queue = Queues(QueueLimits(most, most))
            self._queue.change_limits(QueueLimits(most, most))
            _log.info("The model server works on %s at once.", "any number of requests" if slots is None else slots)


def _total_slots(answer: bytes) -> int | None:
    if answer.count(b"{") + answer.count(b"[") > _FULLEST:
        return None
    try:
        props = jiter.from_json(answer)
    except ValueError:
        return None
    match props:
        case {"total_slots": int(slots)} if 1 <= slots <= _MOST_SLOTS:
            return slots
    return None

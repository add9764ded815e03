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

_PATIENCE = 2.0
"""Seconds that the server may take to tell. The first question waits for it."""
_LONGEST = 256 * 1024
"""Bytes of its answer, which holds a chat template."""
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

    def ask_again(self) -> None:
        """Ask the server at the next use, because it may be another one by then."""
        self._due = True

    async def queue(self) -> Queues | None:
        """The queue in which to wait for a slot, or None if the server does not tell of any."""
        async with self._asking:
            if self._due:
                await self._ask()
        return self._queue

    async def _ask(self) -> None:
        try:
            async with asyncio.timeout(_PATIENCE), self._http.stream("GET", self._url) as response:
                if response.status_code >= 500:
                    return  # It is loading, and asked again at the next use.
                slots = await _total_slots(response)
        except TimeoutError:
            # Every question would wait for this once more.
            self._due = False
            return
        except bodies.BROKEN:
            return
        self._due = False
        if slots != self._slots:
            self._slots = slots
            self._queue = None if slots is None else Queues(QueueLimits(slots, slots))
            _log.info("The model server works on %s at once.", "any number of requests" if slots is None else slots)


async def _total_slots(response: httpx2.Response) -> int | None:
    if response.status_code != 200:
        return None
    try:
        body = await bodies.whole(response, _LONGEST)
        props = jiter.from_json(body) if body.count(b"{") + body.count(b"[") <= _FULLEST else None
    except ValueError:
        return None
    match props:
        case {"total_slots": int(slots)} if 1 <= slots <= _MOST_SLOTS:
            return slots
    return None

"""The REST calls of one client: none is cancelled before the client is closed, and it shows when none is answered.

On a global 429 discord.py 2.7 closes a lock that all its calls pass, sleeps, and opens the lock. A call that is
cancelled in that sleep leaves the lock closed for ever, and nothing is sent any more.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

import aiohttp
import discord
from discord.http import HTTPClient, Route

LONGEST_SLEEP = 30.0
"""Seconds that discord.py may sleep in a call until a limit is over, instead of raising RateLimited: its least."""


class Calls:
    """The calls of one client. Who waits for one may be cancelled; the call goes on until Discord has answered it.

    How many go on like that is up to those who stop waiting: before the client is closed, these are only the searches
    that are broken off, each with one call.
    """

    def __init__(self, http: HTTPClient) -> None:
        self._request = http.request
        self._under_way: set[asyncio.Task[Any]] = set()
        self._closed = False
        self._unanswered_since: float | None = None
        self._last_ended = 0.0
        # All of discord.py's calls pass this public method, those that it makes by itself included. On the wire, where
        # a trace sees them, the calls that wait for the closed lock never arrive. Answers to interactions pass neither.
        http.request = self._make  # type: ignore[method-assign]

    async def _make(self, route: Route, **details: Any) -> Any:
        if self._closed:
            raise aiohttp.ClientConnectionError("the bot is ending")
        if self._unanswered_since is None:
            self._unanswered_since = time.monotonic()
        call = asyncio.create_task(self._request(route, **details))
        self._under_way.add(call)
        call.add_done_callback(self._ended)
        await asyncio.wait([call])
        if call.cancelled():
            raise aiohttp.ClientConnectionError("the bot is ending")
        return call.result()

    def _ended(self, call: asyncio.Task[Any]) -> None:
        self._under_way.discard(call)
        self._last_ended = time.monotonic()
        # Looking at the error also keeps asyncio from reporting it where nobody waits for the call any more.
        if not call.cancelled() and isinstance(call.exception(), discord.DiscordException | None):
            self.answered()

    def answered(self) -> None:
        """Discord answered a call, whatever the status."""
        self._unanswered_since = time.monotonic() if self._under_way else None

    def unanswered_for(self) -> float:
        """Seconds from the first call after Discord's last answer until now, or until the last call failed."""
        if self._unanswered_since is None:
            return 0.0
        return (time.monotonic() if self._under_way else self._last_ended) - self._unanswered_since

    async def close(self) -> None:
        """Cancel what is under way. No call is made from now on."""
        self._closed = True
        for call in self._under_way:
            call.cancel()
        if self._under_way:
            await asyncio.wait(self._under_way)

"""The REST calls of one client: none is cancelled before the client is closed, and a lack of answers is measured.

On a global 429, discord.py 2.7 clears an event that all its calls wait for (`HTTPClient._global_over`), sleeps, and
sets the event again. A call that is cancelled in that sleep leaves the event cleared, and no call is sent any more.
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextvars import ContextVar
from typing import Any

import aiohttp
import discord
from discord.http import HTTPClient, Route

from bot.discord_bot.unreadable import UNREADABLE

log = logging.getLogger(__name__)

LONGEST_SLEEP = 30.0
"""Seconds that discord.py may sleep in a call for a rate limit before it raises RateLimited. It accepts no less."""

_answer: ContextVar[aiohttp.ClientResponse | None] = ContextVar("_answer", default=None)
"""Discord's last answer in the task of one call."""


class Calls:
    """The calls of one client. A task that waits for a call may be cancelled; the call goes on until it is answered.

    Before the client is closed, only the tasks that a shutdown cancels leave calls behind, each at most one.
    """

    def __init__(self, http: HTTPClient) -> None:
        self._request = http.request
        self._under_way: set[asyncio.Task[Any]] = set()
        self._closed = False
        self._unanswered_since: float | None = None
        self._last_ended = 0.0
        # All calls pass this public method, also those that discord.py makes by itself, but no answers to interactions.
        # An aiohttp trace does not see the calls that wait for the event above.
        http.request = self._make  # type: ignore[method-assign]

    async def _make(self, route: Route, **details: Any) -> Any:
        if self._closed:
            raise aiohttp.ClientConnectionError("the bot is ending")
        if self._unanswered_since is None:
            self._unanswered_since = time.monotonic()
        call = asyncio.create_task(self._ask(route, **details))
        self._under_way.add(call)
        call.add_done_callback(self._ended)
        await asyncio.wait([call])
        if call.cancelled():
            raise aiohttp.ClientConnectionError("the bot is ending")
        return call.result()

    async def _ask(self, route: Route, **details: Any) -> Any:
        """Make a call. An answer that discord.py cannot read counts by its status alone."""
        try:
            return await self._request(route, **details)
        except UNREADABLE as error:
            answer = _answer.get()
            if answer is None:
                raise
            log.warning(
                "could not read Discord's answer (%d) to %s %s: %r", answer.status, route.method, route.path, error
            )
            refused = 400 <= answer.status < 500
            raise (discord.HTTPException if refused else discord.DiscordServerError)(answer, "unreadable") from error

    def _ended(self, call: asyncio.Task[Any]) -> None:
        self._under_way.discard(call)
        self._last_ended = time.monotonic()
        # `exception()` also keeps asyncio from reporting the error of a call that nobody waits for any more.
        if not call.cancelled() and isinstance(call.exception(), discord.DiscordException | None):
            self.answered()

    def answered(self, response: aiohttp.ClientResponse | None = None) -> None:
        """Note that Discord answered a call, whatever the status. The task of the call gives the response."""
        if response is not None:
            _answer.set(response)
        self._unanswered_since = time.monotonic() if self._under_way else None

    def unanswered_for(self) -> float:
        """Seconds from the first call after Discord's last answer until now, or until the last call failed."""
        if self._unanswered_since is None:
            return 0.0
        return (time.monotonic() if self._under_way else self._last_ended) - self._unanswered_since

    async def close(self) -> None:
        """Cancel the calls under way and refuse further ones."""
        self._closed = True
        for call in self._under_way:
            call.cancel()
        if self._under_way:
            await asyncio.wait(self._under_way)

"""A reply's manners on Discord around its messages: the hourglass while it waits, typing until there is text."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine

import discord

from bot.core.turns import Outcome
from bot.discord_bot.delivery.messages import platform_errors
from bot.discord_bot.delivery.reactions import RETRY_AFTER, WAITING, Reactions
from bot.discord_bot.delivery.reconciler import LiveReply
from bot.discord_bot.delivery.scheduler import Scheduler
from bot.discord_bot.delivery.view import PlatformError

log = logging.getLogger(__name__)

HOURGLASS_AFTER = 3.0
"""Seconds that a prompt may wait for its turn before it gets its hourglass."""
TYPING_EVERY = 8.0
"""Seconds between two calls; Discord shows typing for 10."""


class ReplyActivity:
    """A `bot.core.protocols.ReplySink` around a live reply; courtesies never hold the reply up and never fail it.

    `spawn` runs a task in the background and keeps it alive.
    """

    def __init__(
        self,
        live: LiveReply,
        prompt: discord.PartialMessage,
        marks: Reactions,
        scheduler: Scheduler,
        spawn: Callable[[Coroutine[None, None, None]], object],
    ) -> None:
        self._live = live
        self._prompt = prompt
        self._marks = marks
        self._scheduler = scheduler
        self._started = asyncio.Event()
        spawn(self._be_polite())

    def start(self) -> None:
        """The model is being asked."""
        self._started.set()

    def update(self, text: str) -> None:
        """Take the whole text so far."""
        self._live.update(text)

    async def finish(self, outcome: Outcome) -> bool:
        """Return once the end can be seen, or never will be. False: not now, but another process may still show it."""
        self._started.set()
        return await self._live.finish(outcome)

    @property
    def messages(self) -> int:
        """How many messages show it."""
        return self._live.messages

    @property
    def delivery_error(self) -> str | None:
        """Why Discord would not show all of it."""
        return self._live.delivery_error

    async def _be_polite(self) -> None:
        if not await _within(HOURGLASS_AFTER, self._started):
            self._marks.add(self._prompt.channel.id, self._prompt.id, WAITING)
            await self._started.wait()
            self._marks.remove(self._prompt.channel.id, self._prompt.id, WAITING)
        # Only a new message ends it on Discord: beside one that is edited it would go on behind the end.
        while not self._live.messages and not self._live.visible.is_set():
            await self._type()
            await _within(TYPING_EVERY, self._live.visible)

    async def _type(self) -> None:
        """Show typing once that is in nobody's way, unless it is needless by then."""
        while not self._live.visible.is_set():
            with self._scheduler.best_effort("typing", self._prompt.channel.id) as has_room:
                if has_room:
                    try:
                        with platform_errors():
                            await self._prompt.channel.typing()
                    except PlatformError as error:
                        log.debug("typing could not be shown: %s", error)
                    return
            await _within(RETRY_AFTER, self._live.visible)


async def _within(seconds: float, event: asyncio.Event) -> bool:
    try:
        async with asyncio.timeout(seconds):
            return await event.wait()
    except TimeoutError:
        return False

"""A reply's manners on Discord around its messages: the hourglass while it waits, typing until there is text."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine

import discord

from bot.discord_bot.messages import platform_errors
from bot.live_reply import Frozen, Gone, LiveReply, Refused, Unavailable
from bot.scheduler import Scheduler
from bot.turns import Outcome

log = logging.getLogger(__name__)

WAITING = "⏳"
WAITS_UNNOTICED = 3.0
"""Seconds that a prompt may wait for its turn before it gets its hourglass."""
TYPING_EVERY = 8.0
"""Seconds between two calls; Discord shows typing for 10."""

_NO_ROOM = 0.2
"""Seconds until a courtesy is tried again that would have been in the way."""


class DiscordReply:
    """A `bot.turns.ReplySink` around a live reply; courtesies never hold the reply up and never fail it.

    `spawn` runs a task in the background and keeps it alive.
    """

    def __init__(
        self,
        live: LiveReply,
        prompt: discord.PartialMessage,
        me: discord.abc.Snowflake,
        scheduler: Scheduler,
        spawn: Callable[[Coroutine[None, None, None]], object],
    ) -> None:
        self._live = live
        self._prompt = prompt
        self._me = me
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

    async def _be_polite(self) -> None:
        if not await _within(WAITS_UNNOTICED, self._started):
            await self._courtesy(lambda: self._prompt.add_reaction(WAITING), self._started)
            await self._started.wait()
            # Also where adding it seemed to fail: what is left would say for good that the prompt is waiting.
            await take_hourglass_away(self._prompt, self._me)
        while not self._live.visible.is_set():
            await self._courtesy(self._type, self._live.visible)
            await _within(TYPING_EVERY, self._live.visible)

    async def _type(self) -> None:
        await self._prompt.channel.typing()

    async def _courtesy(self, call: Callable[[], Awaitable[None]], needless: asyncio.Event) -> None:
        """Make the call once it is in nobody's way, unless it is needless by then."""
        while not needless.is_set():
            with self._scheduler.courtesy() as has_room:
                if has_room:
                    try:
                        with platform_errors():
                            await call()
                    except (Gone, Unavailable, Refused, Frozen) as error:
                        log.debug("a courtesy was not possible: %s", error)
                    return
            await _within(_NO_ROOM, needless)


async def take_hourglass_away(prompt: discord.PartialMessage, me: discord.abc.Snowflake) -> None:
    """Remove it, if it is there, and try for a while."""
    for wait in (0.5, 5.0, 25.0):
        try:
            with platform_errors():
                await prompt.remove_reaction(WAITING, me)
        except Unavailable:
            await asyncio.sleep(wait)
        except (Gone, Refused, Frozen):
            return
        else:
            return


async def _within(seconds: float, event: asyncio.Event) -> bool:
    try:
        async with asyncio.timeout(seconds):
            return await event.wait()
    except TimeoutError:
        return False

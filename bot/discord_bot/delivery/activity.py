"""The signs of activity around a reply: the hourglass under a prompt that waits, and typing until there is text.

They are best effort: they never delay a reply, and a failure of one changes nothing else.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine

import discord

from bot.core.turns import Outcome
from bot.discord_bot.delivery.messages import platform_errors
from bot.discord_bot.delivery.reactions import RETRY_AFTER, WAITING, Reactions
from bot.discord_bot.delivery.reconciler import LiveReply
from bot.discord_bot.delivery.scheduler import Scheduler
from bot.discord_bot.delivery.view import PlatformError

log = logging.getLogger(__name__)

HOURGLASS_AFTER = 3.0
"""Seconds for which a prompt waits for its turn before it gets an hourglass."""
TYPING_AFTER = 0.1
"""Seconds that the model has for its first words before there is typing.

Whoever is answered within these has no use for it. It would be one more call, made as the model is being asked.
"""
TYPING_INTERVAL = 8.0
"""Seconds from one typing request to the next.

Discord shows typing for 10 seconds: https://discord.com/developers/docs/resources/channel#trigger-typing-indicator.
"""

BeforeEnd = Callable[[Outcome], Awaitable[None]]
"""Takes an outcome before people see it."""
ShowElsewhere = Callable[[Outcome], Awaitable[bool]]
"""Shows the whole reply where the bot may still write. False: another process may still show it."""


class ReplyActivity:
    """A live reply with its signs of activity; a `bot.core.protocols.ReplySink`.

    `channel` is that of the reply, which may be a thread on the prompt. `spawn` runs a task in the background and keeps
    it alive. `before_end` is awaited before the end is shown. Without a `prompt` there are no signs: Discord itself
    shows that a command is being answered.
    """

    def __init__(
        self,
        live: LiveReply,
        prompt: discord.PartialMessage | None,
        channel: discord.PartialMessageable,
        reactions: Reactions,
        scheduler: Scheduler,
        spawn: Callable[[Coroutine[None, None, None]], object],
        before_end: BeforeEnd | None = None,
    ) -> None:
        self._live = live
        self._channel = channel
        self._reactions = reactions
        self._scheduler = scheduler
        self._before_end = before_end
        self._started = asyncio.Event()
        self.show_elsewhere: ShowElsewhere | None = None
        """Set where there is another place for a reply that the bot may not write in its own place any more."""
        if prompt is not None:
            spawn(self._show_activity(prompt))

    def start(self) -> None:
        """The reply is being worked on."""
        self._started.set()

    def update(self, text: str) -> None:
        """Take the whole text so far."""
        self._live.update(text)

    def replace(self, text: str) -> None:
        """Take the whole text so far, in place of a text that was no reply."""
        self._live.replace(text)

    async def finish(self, outcome: Outcome) -> bool:
        """Return once the end is shown, or never will be. False: another process may still show it."""
        self._started.set()
        if self._before_end is not None:
            await self._before_end(outcome)
        seen = await self._live.finish(outcome)
        if self._live.lifecycle.shut_out and self.show_elsewhere is not None:
            seen = await self.show_elsewhere(outcome)
        return seen

    @property
    def messages(self) -> int:
        """How many messages show the reply."""
        return len(self._live.shown)

    @property
    def delivery_error(self) -> str | None:
        """Why Discord would not show all of the reply."""
        return self._live.lifecycle.delivery_error

    async def _show_activity(self, prompt: discord.PartialMessage) -> None:
        if not await _set_within(HOURGLASS_AFTER, self._started):
            self._reactions.add(prompt.channel.id, prompt.id, WAITING)
            await self._started.wait()
            self._reactions.remove(prompt.channel.id, prompt.id, WAITING)
        # Discord stops showing typing at a new message, but not at an edit. So a reply that begins in messages which
        # are there already shows none: it would go on beyond the reply's end.
        pause = TYPING_AFTER
        while not len(self._live.shown) and not await _set_within(pause, self._live.lifecycle.visible):
            await self._type()
            pause = TYPING_INTERVAL

    async def _type(self) -> None:
        """Request typing as soon as there is room for it, unless the reply is visible by then."""
        while not self._live.lifecycle.visible.is_set():
            # Typing that comes after the message would go on beyond the reply's end.
            if not self._live.is_calling:
                with self._scheduler.best_effort("typing", self._channel.id) as has_room:
                    if has_room:
                        try:
                            with platform_errors():
                                await self._channel.typing()
                        except PlatformError as error:
                            log.debug("could not show typing: %s", error)
                        return
            await _set_within(RETRY_AFTER, self._live.lifecycle.visible)


async def _set_within(seconds: float, event: asyncio.Event) -> bool:
    """Wait for an event. False: the seconds passed without it."""
    try:
        async with asyncio.timeout(seconds):
            return await event.wait()
    except TimeoutError:
        return False

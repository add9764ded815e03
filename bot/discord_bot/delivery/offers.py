"""The button that a finished reply gets when its question was edited: an edit of its message, paced as a reply's."""

from __future__ import annotations

import asyncio
import logging

import discord

from bot.discord_bot.delivery.backoff import BackOff
from bot.discord_bot.delivery.messages import platform_errors
from bot.discord_bot.delivery.scheduler import Scheduler, Urgency
from bot.discord_bot.delivery.view import METHODS, Edit, PlatformError, Unavailable

log = logging.getLogger(__name__)


class ButtonOffer:
    """Sets the buttons of a message, whose text stays; a `bot.discord_bot.delivery.scheduler.Caller`."""

    urgency = Urgency.MORE
    wants: str | None = METHODS[Edit]

    def __init__(self, message: discord.PartialMessage, view: discord.ui.View, scheduler: Scheduler) -> None:
        self._message = message
        self._view = view
        self._scheduler = scheduler
        self._backoff = BackOff()
        self.waiting_since = asyncio.get_running_loop().time()
        scheduler.add(message.channel.id, self)

    @property
    def not_before(self) -> float:
        """The earliest time for the call, after failures."""
        return self._backoff.not_before

    def prepare(self) -> str | None:
        """Return the method of the call."""
        return self.wants

    async def call(self) -> None:
        """Make the call. It is not made again if Discord refuses it: the answer is there all the same."""
        try:
            with platform_errors():
                await self._message.edit(view=self._view)
        except Unavailable as error:
            if self._backoff.failed(asyncio.get_running_loop().time()) is not None:
                return
            log.info("no button could be added to message %d: %s", self._message.id, error)
        except PlatformError as error:
            log.info("no button could be added to message %d: %s", self._message.id, error)
        except Exception:
            log.exception("no button could be added to message %d, because of a bug", self._message.id)
        self.abandon()

    def abandon(self) -> None:
        """Make no more calls."""
        if self.wants is not None:
            self.wants = None
            self._scheduler.remove(self._message.channel.id, self)

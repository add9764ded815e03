"""Runner of the real bot in this process, with any number of starts and stops."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Literal

from bot.core.errors import BotError

log = logging.getLogger(__name__)

State = Literal["starting", "online", "reconnecting", "stopped"]


class Runner:
    """The bot's starts and stops.

    `serve` runs the bot until its event is set. `connected` tells whether Discord has the bot connected.
    """

    def __init__(
        self,
        serve: Callable[[asyncio.Event], Awaitable[None]],
        connected: Callable[[], bool],
        changed: Callable[[], None],
    ) -> None:
        self.failure: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()
        """The error that kept the bot from starting, or the defect that ended it."""
        self._serve = serve
        self._connected = connected
        self._changed = changed
        self._turn = asyncio.Lock()
        self._stop = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._was_online = False
        self._closed = False

    @property
    def running(self) -> bool:
        return self._task is not None

    @property
    def state(self) -> State:
        if not self.running:
            return "stopped"
        if self._connected():
            return "online"
        if self._stop.is_set():
            return "stopped"
        return "reconnecting" if self._was_online else "starting"

    def notice(self) -> None:
        """Check whether the bot has come online."""
        self._was_online |= self.running and self._connected()

    async def start(self) -> None:
        """Start the bot unless it is running."""
        async with self._turn:
            if self._task is None:
                self._begin()

    async def stop(self) -> None:
        """Ask the bot to stop, and wait until it has."""
        async with self._turn:
            await self._end()

    async def restart(self) -> None:
        async with self._turn:
            await self._end()
            self._begin()

    async def close(self, patience: float) -> None:
        """End the bot for good. After `patience` seconds, the bot is ended even if it has not finished."""
        self._closed = True
        task = self._task
        if task is not None:
            self._stop.set()
            await asyncio.wait([task], timeout=patience)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def _begin(self) -> None:
        if self._closed:
            return
        self._stop = asyncio.Event()
        self._was_online = False
        self._task = asyncio.create_task(self._run(self._stop))
        self._changed()

    async def _end(self) -> None:
        if self._task is not None:
            self._stop.set()
            await self._task

    async def _run(self, stop: asyncio.Event) -> None:
        try:
            await self._serve(stop)
        except Exception as error:  # noqa: BLE001  whoever started it is told
            if self._was_online and isinstance(error, BotError):
                log.error("the bot has ended: %s", error)
            elif not self.failure.done():
                self.failure.set_result(error)
        finally:
            self._task = None
            self._changed()

"""Events of the gateway while this process may not act: they are held back, and handed on in their order afterwards."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

from bot.core.gate import Gate
from bot.discord_bot.tasks import TaskSupervisor

log = logging.getLogger(__name__)

Parse: TypeAlias = Callable[[Any], None]

MOST_HELD = 10_000
"""Events that are held at most. The oldest ones go first, and are events that nobody knows of."""


class HeldEvents:
    """The events for discord.py's `parsers`, by the events' names. `lost` is called after some had to be dropped.

    What comes when the gate is shut for good is another process's.
    """

    def __init__(self, parsers: dict[str, Parse], gate: Gate, tasks: TaskSupervisor, lost: Callable[[], None]) -> None:
        self._gate = gate
        self._tasks = tasks
        self._lost = lost
        self._held: deque[tuple[Parse, Any]] = deque()
        self._dropped = False
        self._releasing = False
        for name, parse in parsers.items():
            parsers[name] = partial(self._received, parse)

    def _received(self, parse: Parse, data: Any) -> None:
        if self._gate.is_open and not self._releasing:
            parse(data)
            return
        if len(self._held) >= MOST_HELD:
            self._held.popleft()
            self._dropped = True
        self._held.append((parse, data))
        if not self._releasing:
            self._releasing = True
            self._tasks.spawn(self._release(), on_shutdown="cancel")

    async def _release(self) -> None:
        try:
            while self._held and await self._gate.opened():
                parse, data = self._held.popleft()
                parse(data)
                await asyncio.sleep(0)
        finally:
            self._held.clear()
            self._releasing = False
        if self._dropped and self._gate.is_open:
            self._dropped = False
            log.warning("dropped events: more than %d came while this process could not act", MOST_HELD)
            self._lost()

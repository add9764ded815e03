"""Events of the gateway while this process may not act: they are held back, and handed on in their order afterwards."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from functools import partial
from itertools import count
from typing import Any, TypeAlias

from bot.core.gate import Gate
from bot.discord_bot.tasks import TaskSupervisor

log = logging.getLogger(__name__)

Parse: TypeAlias = Callable[[Any], None]

MOST_HELD = 10_000
"""Events about messages that are held at most. The oldest ones go first, and are events that nobody knows of."""
_ABOUT_MESSAGES = ("MESSAGE_", "INTERACTION_")
"""How the names of events begin that can be dropped: what they ask for is looked up, or asked again. All others tell
which guilds, channels and roles there are, and are as few as these."""
_Held: TypeAlias = tuple[int, Parse, Any]


class HeldEvents:
    """The events for discord.py's `parsers`, by the events' names. `lost` is called after some had to be dropped.

    What comes when the gate is shut for good is another process's.
    """

    def __init__(self, parsers: dict[str, Parse], gate: Gate, tasks: TaskSupervisor, lost: Callable[[], None]) -> None:
        self._gate = gate
        self._tasks = tasks
        self._lost = lost
        self._numbers = count()
        self._messages: deque[_Held] = deque()
        self._others: deque[_Held] = deque()
        self._dropped = False
        self._releasing = False
        for name, parse in parsers.items():
            held = self._messages if name.startswith(_ABOUT_MESSAGES) else self._others
            parsers[name] = partial(self._received, held, parse)

    def _received(self, held: deque[_Held], parse: Parse, data: Any) -> None:
        if self._gate.is_open and not self._releasing:
            parse(data)
            return
        held.append((next(self._numbers), parse, data))
        if len(self._messages) > MOST_HELD:
            self._messages.popleft()
            self._dropped = True
        if not self._releasing:
            self._releasing = True
            self._tasks.spawn(self._release(), on_shutdown="cancel")

    async def _release(self) -> None:
        try:
            while (self._messages or self._others) and await self._gate.opened():
                queues = [held for held in (self._messages, self._others) if held]
                _, parse, data = min(queues, key=lambda held: held[0][0]).popleft()
                parse(data)
                await asyncio.sleep(0)
        finally:
            self._messages.clear()
            self._others.clear()
            self._releasing = False
        if self._dropped and self._gate.is_open:
            self._dropped = False
            log.warning("dropped events: more than %d came while this process could not act", MOST_HELD)
            self._lost()

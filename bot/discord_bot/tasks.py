"""The background tasks of one bot, and what becomes of each when the bot shuts down."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Iterable
from typing import Any, Literal, TypeAlias

log = logging.getLogger(__name__)

OnShutdown: TypeAlias = Literal["drain", "cancel", "keep"]
"""What a shutdown does to a task.

"drain": `drain` waits for the task, and `close` cancels it if it still runs. For changes that have to get on record.
"cancel": `drain` cancels the task. For searches that the next start begins again.
"keep": nothing; the task goes on until it ends by itself. For replies, whose end the conversation service decides.
"""

Tasks: TypeAlias = set[asyncio.Task[object]]


class TaskSupervisor:
    """Starts tasks, keeps a reference to each until it ends, and logs the error of a task that fails.

    asyncio itself keeps only weak references to tasks: see the note at
    https://docs.python.org/3/library/asyncio-task.html#asyncio.create_task.
    """

    def __init__(self) -> None:
        self._tasks: dict[OnShutdown, Tasks] = {"drain": set(), "cancel": set(), "keep": set()}

    def spawn(self, work: Coroutine[Any, Any, object], *, on_shutdown: OnShutdown = "keep") -> None:
        """Run a coroutine in the background."""
        tasks = self._tasks[on_shutdown]
        task: asyncio.Task[object] = asyncio.create_task(work)
        tasks.add(task)

        def ended(_: object) -> None:
            tasks.discard(task)
            if not task.cancelled() and (error := task.exception()) is not None:
                log.error("a task failed because of a bug", exc_info=error)

        task.add_done_callback(ended)

    async def drain(self, timeout: float) -> None:
        """Cancel the tasks marked "cancel" and wait up to `timeout` seconds for those marked "drain"."""
        _cancel(self._tasks["cancel"])
        if draining := self._tasks["drain"]:
            await asyncio.wait(draining, timeout=timeout)

    def close(self) -> None:
        """Cancel every task but those marked "keep"."""
        _cancel(self._tasks["cancel"] | self._tasks["drain"])


def _cancel(tasks: Iterable[asyncio.Task[object]]) -> None:
    for task in tuple(tasks):
        task.cancel()

"""Has work wait for a database that is away: a restart of its server, or a file that is held for some seconds.

What waits goes on as soon as the database is back. Only what waited for too long fails.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

from bot.core.attempt import ActiveAttempt
from bot.core.errors import ClaimLost, ClaimUnconfirmed, StoreBug, StoreError

log = logging.getLogger(__name__)

AWAY_FOR = 10.0
"""Seconds for which a question or an end waits for the database.

Far more than a restart of PostgreSQL takes. It is above `bot.core.gate.OPEN_FOR`: where processes share the work,
nothing is shown any more by then, and nobody is told of a failure that is over when they read of it.
"""
_PAUSE = 0.25
"""Seconds between two tries."""

_T = TypeVar("_T")


class Outages:
    """The waits of one process for its database."""

    def __init__(self) -> None:
        self._given_up = asyncio.Event()

    def give_up(self) -> None:
        """Have nothing wait any more, since the process ends: the next one recovers what could not be saved."""
        self._given_up.set()

    async def wait_out(
        self,
        work: Callable[[], Awaitable[_T]],
        what: str = "a question",
        *,
        needed: Callable[[], bool] = lambda: True,
        on_wait: Callable[[], None] = lambda: None,
    ) -> _T:
        """Do some work, again and again until the database takes it or has been away for too long. Raises StoreError.

        A try that failed may have been made all the same. `what` names the work in the log. It is not tried again once
        it is not `needed` any more, and `on_wait` is called when it has to wait.
        """
        now = asyncio.get_running_loop().time
        give_up_at, waits = now() + AWAY_FOR, False
        while True:
            try:
                return await work()
            except (ClaimLost, StoreBug):
                raise
            except StoreError as error:
                if isinstance(error, ClaimUnconfirmed):
                    # Nothing can be shown either, until the database is back.
                    give_up_at = now() + AWAY_FOR
                if self._given_up.is_set() or not needed() or now() >= give_up_at:
                    raise
                if not waits:
                    log.warning("%s waits for the database: %s", what, error)
                    on_wait()
                waits = True
            with suppress(TimeoutError):
                async with asyncio.timeout(_PAUSE):
                    await self._given_up.wait()

    async def during(
        self, running: ActiveAttempt, work: Callable[[], Awaitable[_T]], on_wait: Callable[[], None] = lambda: None
    ) -> _T:
        """`wait_out` for an attempt under way, whose stop ends the wait. People see that it is being worked on."""

        def waits() -> None:
            running.show_work()
            on_wait()

        return await self.wait_out(
            work,
            f"turn {running.attempt.turn_id}",
            needed=lambda: running.stop_reason is None,
            on_wait=waits,
        )

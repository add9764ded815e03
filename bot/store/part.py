"""What the parts of the store share."""

from __future__ import annotations

import time
from collections.abc import Callable

from bot.store.database import Database


class Part:
    """One subject of the store, over the database that all of them share. `clock` gives seconds since the epoch."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock

    def _now(self) -> int:
        return int(self._clock())

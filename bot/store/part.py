"""The base of the store's parts."""

from __future__ import annotations

from collections.abc import Callable

from bot.core.shards import Shards
from bot.store.engine import Engine

ALL = Shards()
"""One process serves every guild."""


class Part:
    """One subject of the store. `clock` gives seconds since the epoch.

    What is about all guilds is about those of `shards` only, which this process serves.
    """

    def __init__(self, engine: Engine, clock: Callable[[], float], shards: Shards = ALL) -> None:
        self._engine = engine
        self._clock = clock
        self._shards = shards

    def _served(self, guild: str) -> str:
        """An SQL condition: this process serves a guild, or direct messages where its id is NULL."""
        if self._shards.are_all:
            return "TRUE"
        ids = ", ".join(map(str, self._shards.ids))
        return f"coalesce(({guild} >> 22) % {self._shards.count}, {self._shards.of(None)}) IN ({ids})"

    def _now(self) -> int:
        return int(self._clock())

"""The base of the store's parts."""

from __future__ import annotations

from collections.abc import Callable

from bot.store.engine import Engine


class Part:
    """One subject of the store. `clock` gives seconds since the epoch."""

    def __init__(self, engine: Engine, clock: Callable[[], float]) -> None:
        self._engine = engine
        self._clock = clock

    def _now(self) -> int:
        return int(self._clock())

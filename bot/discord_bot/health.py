"""What a running bot can be asked about its health. How the answers are published is not decided here."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Self

from bot.core.figures import Figures


@dataclass(frozen=True, slots=True)
class HealthChecks:
    """The checks of one running bot. Times are seconds."""

    gateway: Callable[[], Mapping[int, float | None]]
    """Returns for each shard of Discord's gateway how long it has been without a session, or None if it has one.

    Without any shard, the process stands by: others serve what it could.
    """
    unanswered: Callable[[], float]
    """Returns how long requests to Discord have been under way without an answer to any of them."""
    database: Callable[[], Awaitable[None]]
    """Returns if the database works. Raises StoreError."""
    model: Callable[[], float | None]
    """Returns when the model's last good reply ended, on the monotonic clock, or None if there was none."""

    @classmethod
    def of_standby(cls, database: Callable[[], Awaitable[None]]) -> Self:
        """The checks of a process that stands by."""
        return cls(dict, lambda: 0.0, database, lambda: None)


def count_shards(figures: Figures, checks: HealthChecks) -> None:
    """Declare figures of the connections to Discord."""

    def away() -> list[float]:
        return [seconds for seconds in checks.gateway().values() if seconds is not None]

    figures.gauge("shards", "Shards of the gateway that this process serves.", lambda: len(checks.gateway()))
    figures.gauge("shards_connected", "Shards that have a session.", lambda: len(checks.gateway()) - len(away()))
    figures.gauge(
        "shard_away_seconds",
        "How long the shard has been without a session that has been so the longest. 0: all have one.",
        lambda: max(away(), default=0.0),
    )
    figures.gauge(
        "discord_unanswered_seconds",
        "How long requests to Discord have been under way without an answer to any of them.",
        checks.unanswered,
    )


PublishHealth = Callable[[HealthChecks], AbstractAsyncContextManager[None]]
"""Publishes the results of the checks until its block ends."""

"""What a running bot can be asked about its health. How the answers are published is not decided here."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class HealthChecks:
    """The checks of one running bot. Times are seconds."""

    gateway: Callable[[], Mapping[int, float | None]]
    """Returns for each shard of Discord's gateway how long it has been without a session, or None if it has one."""
    unanswered: Callable[[], float]
    """Returns how long requests to Discord have been under way without an answer to any of them."""
    database: Callable[[], Awaitable[None]]
    """Returns if the database works. Raises StoreError."""
    model: Callable[[], float | None]
    """Returns when the model's last good reply ended, on the monotonic clock, or None if there was none."""


PublishHealth = Callable[[HealthChecks], AbstractAsyncContextManager[None]]
"""Publishes the results of the checks until its block ends."""

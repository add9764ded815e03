"""How long a model server may take."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timeouts:
    """The timeouts of one model server, in seconds."""

    connect: float = 10.0
    first_delta: float = 120.0
    """From a request to its first text or reasoning."""
    silence: float = 60.0
    """From one text or reasoning to the next."""
    retry_within: float = 20.0
    """From a request to the last time that it is repeated, because it failed before anything came of it."""

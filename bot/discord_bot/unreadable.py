"""Answers and events of Discord that discord.py cannot read: each is passed over alone."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

log = logging.getLogger(__name__)

UNREADABLE = (AttributeError, LookupError, TypeError, ValueError)
"""The exceptions that discord.py raises for data that is not as it expects."""

_SESSION_EVENTS = frozenset({"READY", "RESUMED"})
"""Events without which there is no session."""


def pass_over_unreadable(parsers: dict[str, Callable[[Any], None]]) -> None:
    """Keep an event that cannot be read from ending the connection; `parsers` are discord.py's, by the event's name."""
    for name, parse in parsers.items():
        if name not in _SESSION_EVENTS:
            parsers[name] = _passing_over(name, parse)


def _passing_over(name: str, parse: Callable[[Any], None]) -> Callable[[Any], None]:
    def parse_or_log(data: Any) -> None:
        try:
            parse(data)
        except Exception:
            log.exception("skipped an event %s that cannot be read", name)

    return parse_or_log

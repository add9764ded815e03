"""When the fallback model is asked in place of another one. No IO."""

from __future__ import annotations

import asyncio

from bot.core.attempt import ActiveAttempt
from bot.core.turns import FailureReason, Outcome, is_blank

REST = 60.0
"""Seconds for which a model that failed is not asked, while there is a fallback."""
_REASONS = frozenset({FailureReason.UNREACHABLE, FailureReason.BUSY, FailureReason.CONFIGURATION})
"""The failures of a server. Another model is no answer to a content filter, a quota of ours or a context too long."""


def may_be_replaced(outcome: Outcome, running: ActiveAttempt) -> bool:
    """Whether a request ended like this because its server failed before the first word of the reply."""
    return (
        outcome.failure in _REASONS
        and running.stop_reason is None
        # Otherwise it was not sent, since others had reserved the tokens.
        and running.estimated_usage() is not None
        and is_blank(running.text[len(running.resumed_text) :])
    )


class FailingModels:
    """The models that failed a short time ago."""

    def __init__(self) -> None:
        self._resting_until: dict[str, float] = {}

    def is_resting(self, model: str) -> bool:
        """Whether a model is not to be asked yet. After its rest, one caller is told to ask it, and others to wait."""
        until = self._resting_until.get(model)
        if until is None:
            return False
        if _now() < until:
            return True
        self.add(model)
        return False

    def add(self, model: str) -> None:
        """Note that a model failed, or is about to be tried again."""
        self._resting_until[model] = _now() + REST

    def discard(self, model: str) -> None:
        """Note that a model answers."""
        self._resting_until.pop(model, None)


def _now() -> float:
    return asyncio.get_running_loop().time()

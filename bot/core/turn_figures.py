"""Counts how attempts at replies end, and how long people wait for them."""

from __future__ import annotations

from bot.core.attempt import AttemptClock
from bot.core.figures import WAITS, Figures
from bot.core.turns import FailureReason, Outcome, StopReason, TurnState

NO_REASON = "none"


class TurnFigures:
    """The figures of the attempts of one process."""

    def __init__(self, figures: Figures) -> None:
        self._ended = figures.counters(
            "turns",
            "Attempts at a reply that ended, by their state, and by what stopped or failed them.",
            "outcome",
            "reason",
        )
        # What may be rare is there from the beginning, so that its first time shows.
        self._ended.of(TurnState.COMPLETE.value, NO_REASON)
        for reason in FailureReason:
            self._ended.of(TurnState.FAILED.value, _word(reason))
        self._first_word = figures.histogram(
            "first_word_seconds", "Time from accepting a question to the first word of the model.", WAITS
        )
        self._finish_delay = figures.histogram(
            "finish_delay_seconds", "Time from the end of what the model says until a person can see the end.", WAITS
        )

    def ended(self, outcome: Outcome, clock: AttemptClock) -> None:
        """Count an attempt whose outcome is known."""
        reason = outcome.failure or outcome.stop_reason
        self._ended.of(outcome.state.value, _word(reason) if reason else NO_REASON).add()
        if clock.first_word is not None:
            self._first_word.observe(clock.first_word)

    def shown(self, clock: AttemptClock) -> None:
        """Count an end that a person can see since now."""
        if clock.since_end is not None:
            self._finish_delay.observe(clock.since_end)


def _word(reason: FailureReason | StopReason) -> str:
    return reason.value.replace(" ", "_")

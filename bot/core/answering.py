"""Answers one prompt that is on record: what it leaves open is found out, then it is generated, saved and shown.

Not its job: which prompts there are and when the turn of each has come (service), what the model is sent (generation),
and how the database is written (saving).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

from bot.core.attached import is_unheard
from bot.core.attempt import ActiveAttempt
from bot.core.counted_model import CountedModel
from bot.core.errors import StoreError
from bot.core.generation import ReplyGenerator
from bot.core.protocols import ReplySink
from bot.core.saving import ReplySaver
from bot.core.turn_figures import TurnFigures
from bot.core.turns import FailureReason, Outcome, StopReason, TurnState

log = logging.getLogger(__name__)

CompletePrompt = Callable[[ActiveAttempt], Coroutine[Any, Any, Outcome | None]]
"""Finds out what the prompt of an attempt leaves open, such as what its files say, and commits it.

The result is how the attempt ends if it cannot be answered without. It is cancelled when the attempt is stopped.
"""


class Answering:
    """Takes attempts from their commit to their delivery. `figures` take how they end, and `model` what they used."""

    def __init__(self, generator: ReplyGenerator, saver: ReplySaver, model: CountedModel, figures: TurnFigures) -> None:
        self._generator = generator
        self._saver = saver
        self._model = model
        self._figures = figures

    async def run(
        self,
        running: ActiveAttempt,
        turn_has_come: asyncio.Event,
        open_sink: Callable[[ActiveAttempt], ReplySink],
        complete: CompletePrompt | None,
    ) -> Outcome:
        """Answer a prompt once its turn has come, until its end can be seen. Raises what `open_sink` raises."""
        try:
            sink = open_sink(running)
        except Exception:
            # Without a sink the end cannot be shown. The caller reports the error to the person.
            await self._settle(running, Outcome(TurnState.FAILED, failure=FailureReason.INTERNAL))
            raise
        running.show_work = sink.start
        unanswerable = None if complete is None else await self._complete(running, complete)
        await running.wait_for(turn_has_come)
        outcome = await self._generate(running, sink, unanswerable)
        seen = await self._show(running, sink, outcome)
        log.info(running.log_entry(outcome, sink.messages))
        if seen:
            self._figures.shown(running.clock)
            await self._mark_delivered(running, outcome, sink)
        if running.new_statistics is not None:
            await self._saver.record_statistics(*running.new_statistics)
        return outcome

    async def _complete(self, running: ActiveAttempt, complete: CompletePrompt) -> Outcome | None:
        """Complete a prompt. Where that fails, it is answered as it is.

        It is not where nobody has heard yet what it asks, or where something was used already that is not paid for.
        """
        try:
            return await running.until_stopped(complete(running))
        except Exception as error:
            if running.stop_reason is not None:
                # The stop has ended it, and what was to be written on the way out could not be.
                log.warning("turn %d: not all was saved when it was stopped: %s", running.attempt.turn_id, error)
                return None
            log.error(
                "turn %d: what the question leaves open could not be found out: %s",
                running.attempt.turn_id,
                error,
                exc_info=not isinstance(error, StoreError),
            )
            if not is_unheard(running.prompt.text) and running.estimated_usage() is None:
                return None
            failure = FailureReason.STORAGE if isinstance(error, StoreError) else FailureReason.INTERNAL
            return Outcome(TurnState.FAILED, failure=failure)

    async def _show(self, running: ActiveAttempt, sink: ReplySink, outcome: Outcome) -> bool:
        """Show the end. Returns whether nothing more is to be shown: it is visible, or can never be."""
        try:
            return await sink.finish(outcome)
        except Exception:
            log.exception("turn %d: the end of the reply could not be shown, because of a bug", running.attempt.turn_id)
            return await sink.finish(Outcome(TurnState.FAILED, outcome.text, FailureReason.INTERNAL))

    async def _mark_delivered(self, running: ActiveAttempt, outcome: Outcome, sink: ReplySink) -> None:
        if outcome.stop_reason is StopReason.PROMPT_DELETED:
            # Only now: after a kill, the next start finds the messages to remove by the turn.
            await self._saver.forget_turn(running.attempt.turn_id)
        else:
            await self._saver.mark_delivered(running.attempt, sink.delivery_error)

    async def _generate(self, running: ActiveAttempt, sink: ReplySink, unanswerable: Outcome | None) -> Outcome:
        try:
            outcome = unanswerable or await self._outcome(running, sink)
        except Exception:
            log.exception("turn %d: stopped by a bug", running.attempt.turn_id)
            outcome = Outcome(TurnState.FAILED, running.text, FailureReason.INTERNAL)
        return await self._settle(running, outcome)

    async def _settle(self, running: ActiveAttempt, outcome: Outcome) -> Outcome:
        """Save an end and its usage. Returns the outcome to show, which may be a failed or a forgotten one."""
        running.clock.mark_end()
        if not outcome.text and outcome.state is TurnState.FAILED:
            outcome = replace(outcome, text=running.previous_text)
        if not running.text and outcome.state in (TurnState.FAILED, TurnState.STOPPED):
            outcome = replace(outcome, kept=running.previous_end)
        outcome = replace(outcome, usage=running.estimated_usage(outcome.usage), answered_by=running.answered_by)
        outcome = await self._saver.end(running, outcome)
        self._figures.ended(outcome, running.clock)
        if running.model is not None and outcome.usage is not None:
            self._model.used(running.model, outcome.usage)
        return outcome

    async def _outcome(self, running: ActiveAttempt, sink: ReplySink) -> Outcome:
        if running.stop_reason is not None:
            return running.stop_outcome()
        try:
            return await self._generator.generate(running, sink)
        except StoreError as error:
            if running.stop_reason is not None:
                return running.stop_outcome()
            log.error("turn %d: the database failed: %s", running.attempt.turn_id, error)
            return Outcome(TurnState.FAILED, running.text, FailureReason.STORAGE)

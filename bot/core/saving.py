"""Saves the progress and the ends of replies, and waits for a database that is away for a while.

While a database restarts or its file is held, replies go on from memory. The text of one that ends meanwhile is shown
to its last word like any other, and only its end is held back: the write is repeated until it is made, so that the end
is shown as what is on record. Where that takes too long, the end is shown as one that could not be saved. It is written
all the same when the database is back, with whatever else could not be written about the turn.

Not its job: how a reply comes about (generation), and who is shown its end (service).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

from bot.core.attempt import ActiveAttempt
from bot.core.errors import StoreBug, StoreError
from bot.core.generation_settings import GenerationSettings
from bot.core.late_writes import LateWrites, about_turn
from bot.core.model_events import TokenStatistics
from bot.core.outages import Outages
from bot.core.protocols import Store
from bot.core.turns import Attempt, Conversation, FailureReason, Outcome, StopReason, TurnState, is_blank

log = logging.getLogger(__name__)

_GONE = frozenset({StopReason.RESET, StopReason.FORGOTTEN, StopReason.PROMPT_DELETED, StopReason.REPLY_DELETED})
"""What leaves nothing of a turn to be on record: nobody waits until that is saved."""


class ReplySaver:
    """Saves the replies of one process. `running` are the attempts under way.

    `on_closed` is called after each end that was saved, with whether a title is to be made from it.
    """

    def __init__(
        self,
        store: Store,
        running: Mapping[Attempt, ActiveAttempt],
        settings: GenerationSettings,
        outages: Outages,
        on_closed: Callable[[bool], None],
    ) -> None:
        self._store = store
        self._running = running
        self._settings = settings
        self._outages = outages
        self._on_closed = on_closed
        self._saved: dict[Attempt, tuple[str, int]] = {}
        """The text and the tokens that were last saved of each attempt."""
        self.late = LateWrites()
        """What is written about turns besides, also by others."""

    async def save(self, conversation: Conversation | None = None) -> None:
        """Save the progress of the replies in a conversation, or (None) of all. Raises StoreError.

        What is to be written late is tried first, so that the next question's context has it.
        """
        await self.late.try_again(only_due=conversation is None)
        progress = {
            attempt: (running.text, running.tokens.attempt_reply_tokens)
            for attempt, running in self._running.items()
            if running.reading
            and (running.text, running.tokens.attempt_reply_tokens) != self._saved.get(attempt, ("", 0))
            and conversation in (None, running.prompt.conversation)
        }
        if not progress:
            return
        alive = await self._save(progress)
        for attempt, saved in progress.items():
            running = self._running.get(attempt)
            if running is not None and running.reading:
                self._saved[attempt] = saved
                if attempt not in alive:
                    running.stop(StopReason.FORGOTTEN)

    async def _save(self, progress: Mapping[Attempt, tuple[str, int]]) -> set[Attempt]:
        """Save texts and tokens of attempts. Returns those that are alive, as far as that is known."""
        counts = {attempt: tokens for attempt, (_, tokens) in progress.items()} if self._settings.quotas else {}
        try:
            return await self._store.turns.save({attempt: text for attempt, (text, _) in progress.items()}, counts)
        except StoreBug:
            if len(progress) == 1:
                return set(progress)
        # One of them must not cost the others their progress.
        return set().union(*[await self._save({attempt: saved}) for attempt, saved in progress.items()])

    def forget_progress(self, attempt: Attempt) -> None:
        """Drop what is known of an attempt that is over."""
        self._saved.pop(attempt, None)

    async def end(self, running: ActiveAttempt, outcome: Outcome) -> Outcome:
        """Save an end and its usage, once the database takes it. Returns the outcome to show.

        That is a forgotten one if the turn is gone, or a failed one if the database is away for too long. The end is
        saved later then, as the failed one.
        """
        try:
            if await self._close_in_time(running, outcome):
                return outcome
            return replace(outcome, state=TurnState.STOPPED, stop_reason=outcome.stop_reason or StopReason.FORGOTTEN)
        except Exception as error:
            log.error(
                "turn %d: the end of the reply could not be saved: %s",
                running.attempt.turn_id,
                error,
                exc_info=not isinstance(error, StoreError),
            )
        if running.stop_reason in _GONE:
            outcome = replace(
                outcome, state=TurnState.STOPPED, stop_reason=running.stop_reason, stopped_by=running.stopped_by
            )
        else:
            outcome = replace(outcome, state=TurnState.FAILED, failure=FailureReason.STORAGE)
        self.late.keep(about_turn(running.attempt.turn_id), partial(self._close, running, outcome))
        return outcome

    async def mark_delivered(self, attempt: Attempt, delivery_error: str | None = None) -> None:
        """Save that a person has seen an end, or why nobody can, once it is on record which messages show the reply.

        A turn that counts as delivered before that cannot be found by its messages any more.
        """
        mark = partial(self._store.turns.mark_delivered, attempt, delivery_error)
        await self.late.write(about_turn(attempt.turn_id), mark)

    async def forget_turn(self, turn_id: int) -> None:
        """Delete a turn for good: now, or as soon as the database takes it."""
        # By itself: it waits for nothing else about the turn, whose writes change nothing afterwards.
        await self.late.write(f"the deletion of turn {turn_id}", partial(self._store.retention.forget_turn, turn_id))

    async def record_statistics(self, model: str, learned: TokenStatistics) -> None:
        """Save how a model counts tokens, by its key: now, or as soon as the database takes it."""
        record = partial(self._store.token_statistics.record, model, learned)
        await self.late.write(f"the token statistics of {model}", record)

    def is_late(self, turn_id: int) -> bool:
        """Whether something of a turn is still to be written, so that what is on record of it is old."""
        return about_turn(turn_id) in self.late

    async def _close_in_time(self, running: ActiveAttempt, outcome: Outcome) -> bool:
        """Save an end, once the database takes it. False: the turn was forgotten, superseded or had ended."""
        tries = 0

        async def close() -> bool:
            nonlocal tries
            tries += 1
            # A try without an answer may have been made all the same. Then this one finds the turn ended.
            return await self._close(running, outcome) or (
                tries > 1 and await self._store.turns.exists(running.attempt.turn_id)
            )

        return await self._outages.wait_out(
            close,
            f"turn {running.attempt.turn_id}: its end",
            needed=lambda: outcome.failure is not FailureReason.STORAGE and running.stop_reason not in _GONE,
        )

    async def _close(self, running: ActiveAttempt, outcome: Outcome) -> bool:
        nothing_seen = is_blank(running.text[len(running.resumed_text) :])
        free = nothing_seen and not outcome.charged_unseen
        whole = outcome.state is TurnState.COMPLETE and outcome.failure is None
        titles = self._settings.summaries and running.prompt.asked_in is not None and whole
        closed = await self._store.turns.close(running.attempt, outcome, free=free, titles=titles)
        self._on_closed(titles)
        return closed

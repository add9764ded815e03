"""Saves the progress and the ends of replies, and waits for a database that is away for a while.

While a database restarts or its file is held, replies go on from memory. The text of one that ends meanwhile is shown
to its last word like any other, and only its end is held back: the write is repeated until it is made, so that the end
is shown as what is on record. Where that takes too long, the end is shown as one that could not be saved. It is written
all the same when the database is back, with whatever else could not be written about the turn.

Not its job: how a reply comes about (generation), and who is shown its end (service).
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeAlias

from bot.core.attempt import ActiveAttempt
from bot.core.errors import ClaimLost, StoreError
from bot.core.generation_settings import GenerationSettings
from bot.core.model_events import TokenStatistics
from bot.core.outages import Outages
from bot.core.protocols import Store
from bot.core.turns import Attempt, Conversation, FailureReason, Outcome, StopReason, TurnState, is_blank

log = logging.getLogger(__name__)

_PAUSE = 0.25
"""Seconds between two tries at what is written late, at a shutdown."""
_LATE_PAUSES = (1.0, 10.0)
"""The first and the longest pause, in seconds, between two tries at what is written late. Each is twice the last."""
_MOST_LATE = 1000
"""Turns of which something is kept to be written late. What is left out is recovered by the next start."""

_GONE = frozenset({StopReason.RESET, StopReason.FORGOTTEN, StopReason.PROMPT_DELETED, StopReason.REPLY_DELETED})
"""What leaves nothing of a turn to be on record: nobody waits until that is saved."""

_Write: TypeAlias = Callable[[], Awaitable[object]]


@dataclass(slots=True, eq=False)
class _Late:
    """Writes about one subject that are still to be made, in their order."""

    writes: deque[_Write] = field(default_factory=deque)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    pause: float = 0.0
    due_at: float = 0.0
    """When to try again, in the event loop's time."""

    def put_off(self) -> None:
        first, longest = _LATE_PAUSES
        self.pause = min(longest, 2 * self.pause or first)
        self.due_at = asyncio.get_running_loop().time() + self.pause


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
        self._late: dict[str, _Late] = {}
        """What is being written or still to be written, by what it is about."""

    async def save(self, conversation: Conversation | None = None) -> None:
        """Save the progress of the replies in a conversation, or (None) of all. Raises StoreError.

        What is to be written late is tried first, so that the next question's context has it.
        """
        await self._write_late(only_due=conversation is None)
        progress = {
            attempt: (running.text, running.tokens.attempt_reply_tokens)
            for attempt, running in self._running.items()
            if running.reading
            and (running.text, running.tokens.attempt_reply_tokens) != self._saved.get(attempt, ("", 0))
            and conversation in (None, running.prompt.conversation)
        }
        if not progress:
            return
        alive = await self._store.turns.save(
            {attempt: text for attempt, (text, _) in progress.items()},
            {attempt: tokens for attempt, (_, tokens) in progress.items()} if self._settings.quotas else {},
        )
        for attempt, saved in progress.items():
            running = self._running.get(attempt)
            if running is not None and running.reading:
                self._saved[attempt] = saved
                if attempt not in alive:
                    running.stop(StopReason.FORGOTTEN)

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
                "turn %d: the end of the reply could not be saved, trying again: %s",
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
        self._of(_turn(running.attempt.turn_id)).writes.append(partial(self._close, running, outcome))
        return outcome

    async def mark_delivered(self, attempt: Attempt, put_on_record: _Write, delivery_error: str | None = None) -> None:
        """Save that a person has seen an end, or why nobody can: now, or as soon as the database takes it.

        `put_on_record` saves before that which messages show the reply.
        """
        mark = partial(self._store.turns.mark_delivered, attempt, delivery_error)
        await self._write(_turn(attempt.turn_id), put_on_record, mark)

    async def forget_turn(self, turn_id: int) -> None:
        """Delete a turn for good: now, or as soon as the database takes it."""
        # By itself: it waits for nothing else about the turn, whose writes change nothing afterwards.
        await self._write(f"the deletion of turn {turn_id}", partial(self._store.retention.forget_turn, turn_id))

    async def record_statistics(self, model: str, learned: TokenStatistics) -> None:
        """Save how a model counts tokens, by its key: now, or as soon as the database takes it."""
        record = partial(self._store.token_statistics.record, model, learned)
        await self._write(f"the token statistics of {model}", record)

    def is_late(self, turn_id: int) -> bool:
        """Whether something of a turn is still to be written, so that what is on record of it is old."""
        return _turn(turn_id) in self._late

    async def written(self) -> None:
        """Try to write what is late until nothing is left of it."""
        while self._late:
            await self._write_late()
            if self._late:
                await asyncio.sleep(_PAUSE)

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

    def _of(self, subject: str) -> _Late:
        late = self._late.setdefault(subject, _Late())
        if len(self._late) > _MOST_LATE:
            oldest = next(iter(self._late))
            del self._late[oldest]
            log.error("%s: could not be saved, and too much else waits to be", oldest)
        return late

    async def _write(self, subject: str, *writes: _Write) -> None:
        """Make writes after those about the same subject that are still to be made, or keep them for later."""
        late = self._of(subject)
        late.writes.extend(writes)
        await self._make(subject, late)

    async def _write_late(self, *, only_due: bool = False) -> None:
        now = asyncio.get_running_loop().time()
        due = [(subject, late) for subject, late in self._late.items() if not only_due or late.due_at <= now]
        await asyncio.gather(*(self._make(*each) for each in due))

    async def _make(self, subject: str, late: _Late) -> None:
        """Make what is to be written about a subject, as far as the database takes it."""
        async with late.lock:
            try:
                while late.writes:
                    await late.writes[0]()
                    late.writes.popleft()
            except ClaimLost as error:
                log.warning("%s: left to another process: %s", subject, error)
            except Exception as error:
                if not late.pause:
                    bug = not isinstance(error, StoreError)
                    log.warning("%s: could not be saved, trying again: %s", subject, error, exc_info=bug)
                late.put_off()
                return
            else:
                if late.pause:
                    log.info("%s: saved now", subject)
            if self._late.get(subject) is late:
                del self._late[subject]


def _turn(turn_id: int) -> str:
    return f"turn {turn_id}"

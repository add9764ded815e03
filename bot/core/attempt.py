"""One attempt at a reply while it is under way: its text so far, its tokens, its times, and what stops it."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from bot.core import context
from bot.core.log_entries import TurnLogEntry
from bot.core.model_events import Message, TokenStatistics
from bot.core.quotas import Usage
from bot.core.turns import Attempt, Ending, FailureReason, Outcome, Prompt, StopReason, TurnState

if TYPE_CHECKING:
    from bot.core.requests import OnRecord

_Result = TypeVar("_Result")


class TokenCounter:
    """The tokens of one attempt, by estimate, and the check of what the model's server counted."""

    def __init__(self) -> None:
        self._requested = False
        self._earlier = Usage(0, 0)
        """What earlier requests of the attempt used that are paid for."""
        self._prompt_tokens = 0
        self._bytes_per_token = 1.0
        self._bytes = 0
        self._reasoning_chunks = 0

    def mark_requested(self, prompt_tokens: int, bytes_per_token: float) -> None:
        """Note a request with these estimates. It takes the place of one that was refused."""
        self._requested = True
        self._prompt_tokens, self._bytes_per_token = prompt_tokens, bytes_per_token

    def mark_rejected(self) -> None:
        """Charge no context for the request, unless something of a reply has come."""
        if not self._bytes and not self._reasoning_chunks:
            self._prompt_tokens = 0

    def add_reasoning(self) -> None:
        self._reasoning_chunks += 1

    def discard_text(self) -> None:
        """Count the text so far as reasoning."""
        self._bytes, self._reasoning_chunks = 0, self.reply_tokens

    def add(self, text: str) -> None:
        self._bytes += len(text.encode(errors="replace"))

    @property
    def text_tokens(self) -> int:
        """The estimated tokens of the text of this request, without the text that it resumed."""
        return math.ceil(self._bytes / self._bytes_per_token)

    @property
    def reply_tokens(self) -> int:
        """The estimated tokens of text and reasoning of this request."""
        return self.text_tokens + self._reasoning_chunks

    @property
    def attempt_reply_tokens(self) -> int:
        """The tokens of text and reasoning of all requests of the attempt."""
        return self._earlier.reply_tokens + self.reply_tokens

    def settle(self, counted: Usage | None) -> Usage:
        """Begin the count of a further request. Returns what those before it used; `counted` is of the last one."""
        self._earlier = self.usage(counted) or self._earlier
        self._prompt_tokens = self._bytes = self._reasoning_chunks = 0
        return self._earlier

    def credible(self, usage: Usage, messages: list[Message], granted: int) -> Usage:
        """The server's count for a request with these messages, without what `context.credible` rules out."""
        return context.credible(usage, messages, self._bytes, self._reasoning_chunks, granted)

    def usage(self, counted: Usage | None) -> Usage | None:
        """What the attempt used, with the server's count of its last request and estimates for missing numbers.

        The result is None if the model was not asked.
        """
        if not self._requested:
            return None
        counted = counted or Usage(0, 0)
        return self._earlier + replace(
            counted,
            prompt_tokens=counted.prompt_tokens or self._prompt_tokens,
            reply_tokens=counted.reply_tokens or self.reply_tokens,
        )


class AttemptClock:
    """The moments of one attempt, in the event loop's time."""

    def __init__(self) -> None:
        self._now = asyncio.get_running_loop().time
        self._accepted_at = self._now()
        self._requested_at: float | None = None
        self._first_text_at: float | None = None
        self._ended_at: float | None = None

    def mark_requested(self) -> None:
        """Note the first request."""
        if self._requested_at is None:
            self._requested_at = self._now()

    def mark_text(self) -> None:
        """Note the first text."""
        if self._first_text_at is None:
            self._first_text_at = self._now()

    def mark_end(self) -> None:
        """Note that the outcome is known."""
        self._ended_at = self._now()

    @property
    def waited(self) -> float | None:
        """Seconds from the acceptance to the first request."""
        return None if self._requested_at is None else self._requested_at - self._accepted_at

    @property
    def first_text(self) -> float | None:
        """Seconds from the first request to the first text."""
        if self._requested_at is None or self._first_text_at is None:
            return None
        return self._first_text_at - self._requested_at

    @property
    def first_word(self) -> float | None:
        """Seconds from the acceptance to the first text."""
        return None if self._first_text_at is None else self._first_text_at - self._accepted_at

    @property
    def since_end(self) -> float | None:
        """Seconds since the outcome is known."""
        return None if self._ended_at is None else self._now() - self._ended_at

    @property
    def total(self) -> float:
        """Seconds from the acceptance until now."""
        return self._now() - self._accepted_at


class ActiveAttempt:
    """One attempt under way, from its commit until a person can see its end.

    `resumed_text` is the text that the reply goes on from. `previous_text` is what an earlier attempt said; it stays if
    this one says nothing, and the turn is then what it was after that attempt: `previous_end`, unless nothing of it can
    be kept. `answered_by` is the fallback that wrote the one or the other, as people are told it.
    """

    def __init__(
        self,
        prompt: Prompt,
        attempt: Attempt,
        *,
        resumed_text: str = "",
        previous_text: str = "",
        previous_end: Ending | None = None,
        answered_by: str | None = None,
    ) -> None:
        self.prompt = prompt
        self.attempt = attempt
        self.resumed_text = resumed_text
        self.previous_text = previous_text
        self.previous_end = previous_end
        self.answered_by = answered_by
        """The fallback that wrote the text to show."""
        self.text = resumed_text
        """The reply so far."""
        self.asked: str | None = None
        """The question as the model was last sent it. None: it was not."""
        self.model: str | None = None
        """The model that was last asked. `tokens` are counted for it."""
        self.stop_reason: StopReason | None = None
        self.stopped_by: str | None = None
        self.show_work: Callable[[], None] = lambda: None
        """Shows people that their question is being worked on, before work that takes long."""
        self.new_statistics: tuple[str, TokenStatistics] | None = None
        """The token statistics that the attempt's requests have shown, with the model's key."""
        self.read_ahead: asyncio.Task[OnRecord] | None = None
        """What is on record for its first request, but for its turn, if that is being read since it began."""
        self.tokens = TokenCounter()
        self.clock = AttemptClock()
        self._reading: asyncio.Task[Outcome] | None = None
        self._stopped = asyncio.Event()

    def stop(self, reason: StopReason, by: str | None = None) -> None:
        """End the attempt, for the person named. The first reason counts. Only reading the model is cancelled."""
        if self.stop_reason is None:
            self.stop_reason, self.stopped_by = reason, by
            self._stopped.set()
            if self._reading is not None:
                self._reading.cancel()

    def mark_requested(self, model: str, prompt_tokens: int, bytes_per_token: float) -> None:
        """Note that a model is asked, with estimates of the context's tokens and of the bytes in a token."""
        self.model = model
        self.tokens.mark_requested(prompt_tokens, bytes_per_token)
        self.clock.mark_requested()

    def add(self, text: str) -> None:
        """Append text to the reply."""
        self.text += text
        self.tokens.add(text)
        self.clock.mark_text()

    def discard(self) -> None:
        """Take back the text that this attempt has added. Its tokens stay counted."""
        self.text = self.resumed_text
        self.tokens.discard_text()

    def estimated_usage(self, counted: Usage | None = None) -> Usage | None:
        """The server's count, with estimates for missing numbers, or None if the model was not asked."""
        return self.tokens.usage(counted)

    def log_entry(self, outcome: Outcome, messages: int) -> TurnLogEntry:
        """The log's line about the attempt, once a person can see its end."""
        return TurnLogEntry(
            conversation=self.prompt.conversation,
            prompt_id=self.prompt.position,
            turn=self.attempt.turn_id,
            attempt=self.attempt.number,
            state=outcome.state,
            failure=outcome.failure,
            stop_reason=outcome.stop_reason,
            waited=self.clock.waited,
            first_text=self.clock.first_text,
            total=self.clock.total,
            usage=outcome.usage,
            messages=messages,
            prompt=self.prompt.text,
            reply=outcome.text,
        )

    async def wait_for(self, event: asyncio.Event) -> None:
        """Wait for the event or for a stop, whichever comes first."""
        if event.is_set() or self._stopped.is_set():
            return
        waiting = [asyncio.create_task(each.wait()) for each in (event, self._stopped)]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waiting:
                task.cancel()

    async def until_stopped(self, work: Coroutine[Any, Any, _Result]) -> _Result | None:
        """Do some work, which a stop cancels: then there is no result."""
        working, stopped = asyncio.create_task(work), asyncio.create_task(self._stopped.wait())
        try:
            await asyncio.wait([working, stopped], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (working, stopped):
                task.cancel()
        await asyncio.wait([working])
        return None if working.cancelled() else working.result()

    @property
    def reading(self) -> bool:
        """Whether the model is being read for this attempt."""
        return self._reading is not None

    async def read(self, reading: asyncio.Task[Outcome]) -> Outcome:
        """Wait for the task that reads the model. Returns its outcome, or that of the stop that ended it."""
        self._reading = reading
        if self.stop_reason is not None:
            reading.cancel()
        try:
            await asyncio.wait([reading])
        finally:
            reading.cancel()
            self._reading = None
        if not reading.cancelled():
            return reading.result()
        if self.stop_reason is None:
            return Outcome(TurnState.FAILED, self.text, FailureReason.UNREACHABLE)
        return self.stop_outcome()

    def stop_outcome(self) -> Outcome:
        """The outcome of an attempt that was stopped."""
        state = TurnState.INTERRUPTED if self.stop_reason is StopReason.SHUTDOWN else TurnState.STOPPED
        if self.stop_reason is StopReason.TIME_UP:
            text = self.text or self.previous_text
            return Outcome(TurnState.FAILED, text, FailureReason.TIME_UP, stop_reason=self.stop_reason)
        deleted = self.stop_reason in (StopReason.PROMPT_DELETED, StopReason.REPLY_DELETED)
        return Outcome(
            state,
            "" if deleted else self.text or self.previous_text,
            stop_reason=self.stop_reason,
            stopped_by=self.stopped_by,
        )

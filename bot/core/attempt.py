"""One attempt at a reply, while it is under way: what has come of it, and what ends it."""

from __future__ import annotations

import asyncio
import math

from bot.core import context
from bot.core.log_entries import TurnLogEntry
from bot.core.model_events import Message, TokenStatistics
from bot.core.quotas import Usage
from bot.core.turns import Attempt, FailureReason, Outcome, Prompt, StopReason, TurnState


class ActiveAttempt:
    """One attempt under way, from its commit until a person can see its end.

    `begun` is the text that it goes on from; `kept`, what an earlier one said, which stays if this one says nothing.
    """

    def __init__(self, prompt: Prompt, attempt: Attempt, *, resumed_text: str = "", previous_text: str = "") -> None:
        self.prompt = prompt
        self.attempt = attempt
        self.resumed_text = resumed_text
        self.previous_text = previous_text
        self.text = resumed_text
        """What has come of the reply so far."""
        self.stop_reason: StopReason | None = None
        self.stopped_by: str | None = None
        self.new_statistics: tuple[str, TokenStatistics] | None = None
        """What its requests have taught about a model's tokens, with that model's key."""
        self._reading: asyncio.Task[Outcome] | None = None
        self._stopped = asyncio.Event()
        self._clock = asyncio.get_running_loop().time
        self._accepted_at = self._clock()
        self._asked_at: float | None = None
        self._first_text_at: float | None = None
        self._prompt_tokens = 0
        self._bytes_per_token = 1.0
        self._bytes = 0
        self._reasoning_chunks = 0

    def stop(self, reason: StopReason, by: str | None = None) -> None:
        """End it, for the person named. The first cause counts; only reading the model is cancelled."""
        if self.stop_reason is None:
            self.stop_reason, self.stopped_by = reason, by
            self._stopped.set()
            if self._reading is not None:
                self._reading.cancel()

    def mark_requested(self, prompt_tokens: int, bytes_per_token: float) -> None:
        """The model is being asked, for the first time or with less context. Both are estimates."""
        self._prompt_tokens, self._bytes_per_token = prompt_tokens, bytes_per_token
        if self._asked_at is None:
            self._asked_at = self._clock()

    def mark_rejected(self) -> None:
        """The model's server has not worked on it, unless something has come."""
        if not self._bytes and not self._reasoning_chunks:
            self._prompt_tokens = 0

    def add_reasoning(self) -> None:
        """The model has reasoned for a moment."""
        self._reasoning_chunks += 1

    def add(self, text: str) -> None:
        """The model has said more."""
        self.text += text
        self._bytes += len(text.encode(errors="replace"))
        if self._first_text_at is None:
            self._first_text_at = self._clock()

    @property
    def reply_tokens(self) -> int:
        """What the model has said and thought so far, by estimate; without what was there before."""
        return math.ceil(self._bytes / self._bytes_per_token) + self._reasoning_chunks

    def credible(self, usage: Usage, messages: list[Message], granted: int) -> Usage:
        """As `context.credible` says of a request with these messages, by what has come of the reply."""
        return context.credible(usage, messages, self._bytes, self._reasoning_chunks, granted)

    def estimated_usage(self, counted: Usage | None = None) -> Usage | None:
        """What it has cost so far, by estimate where that is not counted. None: the model was not asked."""
        if self._asked_at is None:
            return None
        prompt, reply = (counted.prompt_tokens, counted.reply_tokens) if counted else (0, 0)
        return Usage(prompt or self._prompt_tokens, reply or self.reply_tokens)

    def log_entry(self, outcome: Outcome, messages: int) -> TurnLogEntry:
        """What the log says of it, now that a person can see its end."""
        asked, first = self._asked_at, self._first_text_at
        return TurnLogEntry(
            conversation=self.prompt.conversation,
            prompt_id=self.prompt.position,
            turn=self.attempt.turn_id,
            attempt=self.attempt.number,
            state=outcome.state,
            failure=outcome.failure,
            stop_reason=outcome.stop_reason,
            waited=None if asked is None else asked - self._accepted_at,
            first_text=None if asked is None or first is None else first - asked,
            total=self._clock() - self._accepted_at,
            usage=outcome.usage,
            messages=messages,
            prompt=self.prompt.text,
            reply=outcome.text,
        )

    async def wait_for(self, event: asyncio.Event) -> None:
        """Wait for the event or for a cause, whichever comes first."""
        if event.is_set() or self._stopped.is_set():
            return
        waiting = [asyncio.create_task(each.wait()) for each in (event, self._stopped)]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waiting:
                task.cancel()

    @property
    def reading(self) -> bool:
        """Whether the model is being read for it just now."""
        return self._reading is not None

    async def read(self, reading: asyncio.Task[Outcome]) -> Outcome:
        """The task's outcome, or that of the cause which ended it."""
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
        """The outcome of the cause that came."""
        state = TurnState.INTERRUPTED if self.stop_reason is StopReason.SHUTDOWN else TurnState.STOPPED
        deleted = self.stop_reason in (StopReason.PROMPT_DELETED, StopReason.REPLY_DELETED)
        return Outcome(
            state,
            "" if deleted else self.text or self.previous_text,
            stop_reason=self.stop_reason,
            stopped_by=self.stopped_by,
        )

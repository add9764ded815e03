"""Reads the reply to one request of an attempt: its text, thoughts and counts, up to its end or to a limit."""

from __future__ import annotations

import logging
import time

from bot.core.attempt import ActiveAttempt
from bot.core.counted_model import CountedModel
from bot.core.errors import ModelError, StoreError
from bot.core.generation_settings import GenerationSettings
from bot.core.learning import ModelLearning, thoughts_advice
from bot.core.log_entries import FailureLog
from bot.core.model_events import Discard, End, Origin, Reasoning, Text
from bot.core.protocols import ReplySink, Store
from bot.core.quotas import Usage
from bot.core.requests import Asking, Request
from bot.core.turns import FailureReason, Outcome, TurnState, is_blank

log = logging.getLogger(__name__)

CHARACTERS_PER_TOKEN = 32
"""More characters than any text has in a token. A reply that is longer than its tokens by this measure comes from a
server that ignores the limit and might never end. A chunk of reasoning counts as one character."""
OVERRUN = 2
"""The multiple of its reserved tokens that a reply may use, by our estimate or the server's count."""


class ReplyReader:
    """Reads the replies of one process. `learning` and `failures` are shared with the other requests."""

    def __init__(
        self,
        store: Store,
        model: CountedModel,
        settings: GenerationSettings,
        learning: ModelLearning,
        failures: FailureLog,
    ) -> None:
        self._store = store
        self._model = model
        self._settings = settings
        self._learning = learning
        self._failures = failures
        self.last_reply_at: float | None = None
        """The time at which the model last completed a reply, on the monotonic clock."""

    async def read(self, asking: Asking, request: Request) -> Outcome:
        """Ask the model, and read its reply to the end. The error of one that fails is kept with the request."""
        running, sink, model, fitting = asking.running, asking.sink, asking.model, request.fitting
        usage: Usage | None = None
        failure: FailureReason | None = None
        left = max(self._settings.reply_tokens, request.reply_tokens) * CHARACTERS_PER_TOKEN
        # What a request allows for thoughts must not make its text longer.
        most_text = self._settings.reply_tokens if request.reply_tokens > self._settings.reply_tokens else None
        counted = self._settings.quotas is not None
        running.mark_requested(model, fitting.tokens, fitting.bytes_per_token)
        origin = Origin(running.prompt.conversation, running.prompt.user_id)
        try:
            async with self._model.stream(
                fitting.messages(), model=model, reply_tokens=request.reply_tokens, origin=origin
            ) as events:
                async for event in events:
                    if isinstance(event, Text):
                        running.add(event.text[:left])
                        left -= len(event.text)
                        sink.update(running.text)
                    elif isinstance(event, Reasoning):
                        running.tokens.add_reasoning()
                        self._learning.mark_reasoning(asking.key)
                        left -= 1
                    elif isinstance(event, Discard):
                        self._learning.mark_reasoning(asking.key)
                        await self._discard(running, sink)
                    elif isinstance(event, Usage):
                        usage = running.tokens.credible(event, fitting.messages(), OVERRUN * request.reply_tokens)
                        if usage != event:
                            log.warning(
                                "turn %d: the server's count of tokens cannot be true: %s",
                                running.attempt.turn_id,
                                event,
                            )
                    elif isinstance(event, End):
                        failure = event.failure
                        request.ended_at_limit = failure is FailureReason.LENGTH
                        continue
                    if most_text is not None and running.tokens.text_tokens >= most_text:
                        failure = FailureReason.LENGTH
                        break
                    if request.limited_by is not None and running.tokens.reply_tokens >= request.reply_tokens:
                        # The server was allowed no more, so an estimate beyond that is too high.
                        usage = usage or Usage(0, request.reply_tokens)
                        failure = FailureReason.LENGTH
                        break
                    if left <= 0 or (counted and running.tokens.reply_tokens >= OVERRUN * request.reply_tokens):
                        log.warning("turn %d: the reply did not end, so it was cut off", running.attempt.turn_id)
                        failure = FailureReason.LENGTH
                        break
        except ModelError as error:
            request.error = error
            turn_id = running.attempt.turn_id
            self._failures.add(model, turn_id, error.detail, error.advice, error.server_message)
            if not error.accepted:
                running.tokens.mark_rejected()
            return Outcome(
                TurnState.FAILED,
                running.text,
                error.failure,
                retry_after=error.retry_after,
                detail=error.detail,
                advice=error.advice,
            )
        if is_blank(running.text) and failure is None:
            return Outcome(TurnState.FAILED, "", FailureReason.EMPTY_REPLY, usage=usage)
        if (
            is_blank(running.text[len(running.resumed_text) :])
            and failure is FailureReason.LENGTH
            and request.limited_by is None
        ):
            detail = thoughts_advice(model, request.reply_tokens, await self._model.longest_reply(model))
            return Outcome(
                TurnState.FAILED, running.resumed_text, FailureReason.OUT_OF_ROOM, usage=usage, detail=detail
            )
        self.last_reply_at = time.monotonic()
        self._failures.discard(model)
        if failure is FailureReason.LENGTH and request.limited_by is not None:
            return Outcome(
                TurnState.COMPLETE, running.text, FailureReason.QUOTA, usage=usage, quota_exceeded=request.limited_by
            )
        state = TurnState.FAILED if failure is FailureReason.CONTENT_FILTERED else TurnState.COMPLETE
        return Outcome(state, running.text, failure, usage=usage)

    async def _discard(self, running: ActiveAttempt, sink: ReplySink) -> None:
        """Take back the text of an attempt, also what is on record of it: a crash must not bring it back."""
        running.discard()
        sink.replace(running.text)
        try:
            await self._store.turns.replace(running.attempt, running.text or running.previous_text)
        except StoreError as error:
            log.warning("turn %d: its reasoning is kept until it has a reply: %s", running.attempt.turn_id, error)

"""Turns the voice messages of prompts into text, each paid for by its length: reserved before, charged afterwards."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from bot.core.attempt import ActiveAttempt
from bot.core.counted_model import CountedModel
from bot.core.errors import ModelError, StoreError
from bot.core.log_entries import FailureLog
from bot.core.outages import Outages
from bot.core.preparing import RequestPreparer
from bot.core.protocols import Store
from bot.core.quotas import Contended, QuotaExceeded, Usage
from bot.core.turns import FailureReason, Outcome, StopReason, TurnState, is_blank

LONGEST = 600.0
"""Seconds of the longest voice message that is heard."""
TOKENS_PER_SECOND = 40
"""The tokens that a second of a voice message counts as, for quotas and prices. `docs/settings.md` states it.

It makes the price of a minute a price of tokens: the $0.0045 that gpt-transcribe costs are $1.875 for a million. Models
that count tokens count fewer: OpenAI's count 10 for a second of what people say, beside the words that they write. See
https://developers.openai.com/api/docs/models/gpt-transcribe and
https://developers.openai.com/api/docs/guides/realtime-costs.
"""


@dataclass(frozen=True, slots=True)
class Recording:
    """A voice message, OGG Opus, and its length in seconds."""

    data: bytes = field(repr=False)
    seconds: float


class Hearing:
    """The transcriptions of one process, by the `model` of that name; None: there is none."""

    def __init__(
        self,
        store: Store,
        server: CountedModel,
        model: str | None,
        preparer: RequestPreparer,
        failures: FailureLog,
        outages: Outages,
    ) -> None:
        self._store = store
        self._server = server
        self._model = model
        self._preparer = preparer
        self._failures = failures
        self._outages = outages

    async def hear(self, running: ActiveAttempt, recording: Recording) -> str | Outcome:
        """The words in a voice message, or the outcome of its attempt if they cannot be had. Raises StoreError."""
        if self._model is None:
            return _failed(FailureReason.NO_TRANSCRIPTION)
        if recording.seconds > LONGEST:
            return _failed(FailureReason.VOICE_TOO_LONG)
        tokens = math.ceil(recording.seconds * TOKENS_PER_SECOND)
        granted = await self._preparer.reserve(running, self._model, tokens, 0, 0)
        if granted is None:
            running.stop(StopReason.FORGOTTEN)
        if running.stop_reason is not None or granted is None:
            return running.stop_outcome()
        if isinstance(granted, QuotaExceeded):
            return _failed(FailureReason.QUOTA, quota_exceeded=granted)
        if isinstance(granted, Contended):
            return _failed(FailureReason.BUSY)
        # Whatever becomes of a request that went out, it may have to be paid for.
        used, failed = Usage(tokens, 0), False
        try:
            words = await self._server.transcribe(recording.data, model=self._model)
        except ModelError as error:
            failed = True
            if not error.accepted:
                used = Usage(0, 0)
            self._failures.add(self._model, running.attempt.turn_id, error.detail, error.advice, error.server_message)
            return _failed(
                error.failure,
                retry_after=error.retry_after,
                detail=error.detail,
                advice=error.advice,
                model=self._model,
            )
        finally:
            self._server.used(self._model, used)
            settle = partial(self._store.quotas.settle_replaced, running.attempt, used, free=failed)
            try:
                await self._outages.during(running, settle)
            except StoreError:
                # It is still the open charge of the attempt, whose end is charged with it.
                running.tokens.mark_requested(used.prompt_tokens, 1.0)
                raise
            self._preparer.notify_released()
        self._failures.discard(self._model)
        return _failed(FailureReason.NOTHING_HEARD) if is_blank(words) else words


def _failed(failure: FailureReason, **more: Any) -> Outcome:
    return Outcome(TurnState.FAILED, failure=failure, **more)

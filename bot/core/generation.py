"""Asks a model for the reply of one turn: with as much of the conversation as fits, and within what may be used."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date

from bot.core import context
from bot.core.attempt import ActiveAttempt
from bot.core.errors import ModelError
from bot.core.log_entries import with_texts
from bot.core.model_events import End, Reasoning, Text, TokenStatistics
from bot.core.protocols import ChatModel, ReplySink, Store
from bot.core.quotas import Contended, QuotaExceeded, Quotas, Reservation, Usage
from bot.core.turns import Conversation, FailureReason, Outcome, Prompt, StopReason, Turn, TurnState, is_blank

log = logging.getLogger(__name__)

MAX_HALVINGS = 3
"""How often a context that the server finds too long is halved before the turn fails."""
PAGE_SIZE, MAX_PAGE_SIZE = 32, 512
"""The fewest and the most turns that are read from the store at a time: about as many as will fit."""
TYPICAL_TURN_TOKENS = 100
"""Tokens of a turn, as long as it is not known how long they are in a conversation."""
MINIMUM_REPLY_TOKENS = 100
"""With less left for it a reply is not begun."""
CONTEXT_MAX_AGE = 0.1
"""Seconds after which a context is built anew: what was forgotten while tokens were waited for is not sent."""
RESERVATION_TIMEOUT = 20.0
"""Seconds that a request waits for tokens that are reserved for others, who as a rule use far fewer."""
CHARACTERS_PER_TOKEN = 32
"""More than any text has: a reply that is over its tokens by this measure comes from a server that does not keep to
them, and might never end. A thought counts as one character."""
OVERRUN = 2
"""How many times what was granted a reply may come to, by our estimate or the server's count."""


@dataclass(frozen=True, slots=True)
class GenerationSettings:
    """What is asked of which models, where a conversation's behaviour says nothing else, and how much.

    The first of `models` answers unless another of them was chosen. `provider_key` tells their server from others in
    what is learned of their tokens. A reply of more than `reply_tokens`, by a generous measure, is cut off. Without
    `allowances` nothing is counted.
    """

    models: tuple[str, ...]
    provider_key: str
    system_prompt: str
    context_tokens: int
    reply_tokens: int
    quotas: Quotas | None

    def chosen_model(self, chosen: str | None) -> str:
        """The model that answers where this one was chosen."""
        return self.models[0] if chosen is None or chosen not in self.models else chosen


class ReplyGenerator:
    """All requests of one process. `save` has the store know how far the replies in a conversation have got.

    `today` gives the date that the model is told.
    """

    def __init__(
        self,
        store: Store,
        model: ChatModel,
        terms: GenerationSettings,
        *,
        save: Callable[[Conversation], Awaitable[None]],
        today: Callable[[], date],
    ) -> None:
        self._store = store
        self._model = model
        self._settings = terms
        self._save = save
        self._today = today
        self._released = asyncio.Event()
        """Set, and replaced, at the end of each request."""
        self.last_reply_at: float | None = None
        """When the model last came to the end of a reply, on the monotonic clock."""

    async def quota_exceeded(self, prompt: Prompt) -> QuotaExceeded | None:
        """The allowance that leaves nothing for a reply, whatever becomes of what is under way. Raises StoreError."""
        if self._settings.quotas is None:
            return None
        least = self._minimum + context.tokens(prompt.text, context.BYTES_PER_TOKEN)
        return await self._store.quotas.exceeded(prompt, least, self._settings.quotas)

    def notify_released(self) -> None:
        """What was reserved for a request is settled: those that wait for room look again."""
        self._released.set()
        self._released = asyncio.Event()

    async def generate(self, turn: Turn, running: ActiveAttempt, sink: ReplySink) -> Outcome:
        """Ask the model, with less and less context as long as the server finds it too long. Raises StoreError."""
        terms = self._settings
        behaviour = await self._store.personas.settings_of(turn.conversation)
        model = terms.chosen_model(behaviour.model)
        system_prompt = behaviour.persona or terms.system_prompt
        key = f"{terms.provider_key} {model}".strip()
        learned = await self._store.token_statistics.of(key)
        budget = min(terms.context_tokens, learned.context_tokens or terms.context_tokens)
        halvings = 0
        fitting, grant = await self._reserve_context(turn, running, model, system_prompt, budget, learned)
        if grant is None:
            running.stop(StopReason.FORGOTTEN)
        if running.stop_reason is not None or grant is None:
            return running.stop_outcome()
        if isinstance(grant, QuotaExceeded):
            return Outcome(TurnState.FAILED, running.text, FailureReason.QUOTA, quota_exceeded=grant)
        if isinstance(grant, Contended):
            log.warning("turn %d: what is left of the day's tokens is reserved for others", turn.id)
            return Outcome(TurnState.FAILED, running.text, FailureReason.BUSY)
        sink.start()
        while True:
            outcome = await running.read(asyncio.create_task(self._read(running, sink, model, fitting, grant)))
            if outcome.failure is not FailureReason.TOO_LONG or halvings == MAX_HALVINGS:
                break
            messages = fitting.messages()
            budget = min(budget, fitting.tokens) // 2
            halvings += 1
            fitting = await self._context(turn, running, system_prompt, budget, learned)
            if fitting.messages() == messages:
                return outcome
        now = learned if outcome.usage is None else context.learn_from_usage(learned, fitting.messages(), outcome.usage)
        if halvings and (outcome.usage is not None or outcome.text):
            now = replace(now, context_tokens=budget)
        if now != learned:
            running.new_statistics = (key, now)
        return outcome

    async def _context(
        self, turn: Turn, running: ActiveAttempt, system_prompt: str, budget: int, learned: TokenStatistics
    ) -> context.Context:
        # What a neighbour's reply has got to is part of the context, so the store has to know it.
        await self._save(turn.conversation)
        fitting = context.Context(
            system_prompt, turn, begun=running.resumed_text, today=self._today(), budget=budget, learned=learned
        )
        before: int | None = None
        limit = min(max(PAGE_SIZE, budget // TYPICAL_TURN_TOKENS), MAX_PAGE_SIZE)
        while page := await self._store.turns.earlier(turn.id, before, limit):
            if not all(map(fitting.add, page)) or len(page) < limit:
                break
            before = page[-1].position
            limit = min(max(PAGE_SIZE, fitting.room + PAGE_SIZE // 4), MAX_PAGE_SIZE)
        return fitting

    async def _reserve_context(
        self, turn: Turn, running: ActiveAttempt, model: str, system_prompt: str, budget: int, learned: TokenStatistics
    ) -> tuple[context.Context, Reservation | QuotaExceeded | Contended | None]:
        """The context and what was reserved for it: of a long one the latest part, where all of it costs too much.

        One reservation covers all requests of the attempt: of those but the last the server does nothing.
        """
        clock = asyncio.get_running_loop().time
        built_at = clock()
        fitting = await self._context(turn, running, system_prompt, budget, learned)
        grant = await self._reserve(running, model, fitting.reserved_tokens)
        for _ in range(MAX_HALVINGS):
            if not isinstance(grant, QuotaExceeded):
                break
            smaller = await self._context(turn, running, system_prompt, fitting.tokens // 2, learned)
            if smaller.tokens == fitting.tokens:
                break
            fitting = smaller
            grant = await self._reserve(running, model, fitting.reserved_tokens)
        if clock() - built_at > CONTEXT_MAX_AGE:
            fitting = await self._context(turn, running, system_prompt, fitting.tokens, learned)
        return fitting, grant

    async def _reserve(
        self, running: ActiveAttempt, model: str, prompt_tokens: int
    ) -> Reservation | QuotaExceeded | Contended | None:
        """What the attempt may use. Waits for what others have reserved and may not need, then takes what they leave.

        Contended: that is nothing, or the attempt was ended meanwhile.
        """
        terms = self._settings
        if terms.quotas is None:
            return Reservation(terms.reply_tokens)
        clock = asyncio.get_running_loop().time
        give_up = clock() + RESERVATION_TIMEOUT
        while True:
            room_made, at_once = self._released, clock() >= give_up
            answer = await self._store.quotas.reserve(
                running.attempt,
                model,
                prompt_tokens,
                terms.reply_tokens,
                self._minimum,
                terms.quotas,
                accept_partial=at_once,
            )
            if not isinstance(answer, Contended) or at_once:
                return answer
            with suppress(TimeoutError):
                async with asyncio.timeout_at(give_up):
                    await running.wait_for(room_made)
            if running.stop_reason is not None:
                return answer

    @property
    def _minimum(self) -> int:
        return min(MINIMUM_REPLY_TOKENS, self._settings.reply_tokens)

    async def _read(
        self, running: ActiveAttempt, sink: ReplySink, model: str, fitting: context.Context, grant: Reservation
    ) -> Outcome:
        usage: Usage | None = None
        problem: FailureReason | None = None
        left = self._settings.reply_tokens * CHARACTERS_PER_TOKEN
        counted = self._settings.quotas is not None
        running.mark_requested(fitting.tokens, fitting.bytes_per_token)
        try:
            async with self._model.stream(fitting.messages(), model=model, reply_tokens=grant.reply_tokens) as events:
                async for event in events:
                    if isinstance(event, Text):
                        running.add(event.text[:left])
                        left -= len(event.text)
                        sink.update(running.text)
                    elif isinstance(event, Reasoning):
                        running.add_reasoning()
                        left -= 1
                    elif isinstance(event, Usage):
                        usage = running.credible(event, fitting.messages(), OVERRUN * grant.reply_tokens)
                        if usage != event:
                            log.warning(
                                "turn %d: the server's count of tokens cannot be true: %s",
                                running.attempt.turn_id,
                                event,
                            )
                    elif isinstance(event, End):
                        problem = event.failure
                        continue
                    if grant.limited_by is not None and running.reply_tokens >= grant.reply_tokens:
                        problem = FailureReason.LENGTH
                        break
                    if left <= 0 or (counted and running.reply_tokens >= OVERRUN * grant.reply_tokens):
                        log.warning("turn %d: a reply without end is cut off", running.attempt.turn_id)
                        problem = FailureReason.LENGTH
                        break
        except ModelError as error:
            log.warning(
                "turn %d: %s", running.attempt.turn_id, error.detail, extra=with_texts(server=error.server_message)
            )
            if not error.accepted:
                running.mark_rejected()
            return Outcome(
                TurnState.FAILED,
                running.text,
                error.failure,
                retry_after=error.retry_after,
                detail=error.detail,
                advice=error.advice,
            )
        if is_blank(running.text) and problem is None:
            return Outcome(TurnState.FAILED, "", FailureReason.EMPTY_REPLY, usage=usage)
        if (
            is_blank(running.text[len(running.resumed_text) :])
            and problem is FailureReason.LENGTH
            and grant.limited_by is None
        ):
            detail = (
                f"{model} used all {grant.reply_tokens} tokens of its reply before anything could be seen of it. Raise"
                " REPLY_TOKENS or lower REASONING_EFFORT in .env and restart."
            )
            log.warning("turn %d: %s", running.attempt.turn_id, detail)
            return Outcome(
                TurnState.FAILED, running.resumed_text, FailureReason.OUT_OF_ROOM, usage=usage, detail=detail
            )
        self.last_reply_at = time.monotonic()
        if problem is FailureReason.LENGTH and grant.limited_by is not None:
            return Outcome(
                TurnState.COMPLETE, running.text, FailureReason.QUOTA, usage=usage, quota_exceeded=grant.limited_by
            )
        state = TurnState.FAILED if problem is FailureReason.CONTENT_FILTERED else TurnState.COMPLETE
        return Outcome(state, running.text, problem, usage=usage)

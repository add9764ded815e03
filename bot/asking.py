"""Asks a model for the reply of one turn: with as much of the conversation as fits, and within what may be used."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date

from bot import context
from bot.errors import ModelError
from bot.logs import quoting
from bot.running import Running
from bot.seams import ChatModel, ReplySink, Store
from bot.turns import (
    Allowances,
    Cause,
    Contended,
    End,
    Grant,
    Learned,
    Outcome,
    Problem,
    Prompt,
    State,
    Text,
    Thinking,
    Turn,
    Usage,
    UsedUp,
    is_blank,
)

log = logging.getLogger(__name__)

HALVINGS = 3
"""How often a context that the server finds too long is halved before the turn fails."""
PAGE, LARGEST_PAGE = 32, 512
"""The fewest and the most turns that are read from the store at a time: about as many as will fit."""
SHORT_TURN = 100
"""Tokens of a turn, as long as it is not known how long they are in a conversation."""
LEAST_REPLY_TOKENS = 100
"""With less left for it a reply is not begun."""
STALE_AFTER = 0.1
"""Seconds after which a context is built anew: what was forgotten while tokens were waited for is not sent."""
ROOM_WITHIN = 20.0
"""Seconds that a request waits for tokens that are reserved for others, who as a rule use far fewer."""
CHARACTERS_PER_TOKEN = 32
"""More than any text has: a reply that is over its tokens by this measure comes from a server that does not keep to
them, and might never end. A thought counts as one character."""
OVERRUN = 2
"""How many times what was granted a reply may come to, by our estimate or the server's count."""


@dataclass(frozen=True, slots=True)
class Terms:
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
    allowances: Allowances | None

    def model(self, chosen: str | None) -> str:
        """The model that answers where this one was chosen."""
        return self.models[0] if chosen is None or chosen not in self.models else chosen


class Asking:
    """All requests of one process. `save` has the store know how far the replies in a conversation have got.

    `today` gives the date that the model is told.
    """

    def __init__(
        self,
        store: Store,
        model: ChatModel,
        terms: Terms,
        *,
        save: Callable[[str], Awaitable[None]],
        today: Callable[[], date],
    ) -> None:
        self._store = store
        self._model = model
        self._terms = terms
        self._save = save
        self._today = today
        self._room_made = asyncio.Event()
        """Set, and replaced, at the end of each request."""
        self.answered_at: float | None = None
        """When the model last came to the end of a reply, on the monotonic clock."""

    async def used_up(self, prompt: Prompt) -> UsedUp | None:
        """The allowance that leaves nothing for a reply, whatever becomes of what is under way. Raises StoreError."""
        if self._terms.allowances is None:
            return None
        least = self._least + context.tokens(prompt.text, context.BYTES_PER_TOKEN)
        return await self._store.used_up(prompt, least, self._terms.allowances)

    def made_room(self) -> None:
        """What was reserved for a request is settled: those that wait for room look again."""
        self._room_made.set()
        self._room_made = asyncio.Event()

    async def ask(self, turn: Turn, running: Running, sink: ReplySink) -> Outcome:
        """Ask the model, with less and less context as long as the server finds it too long. Raises StoreError."""
        terms = self._terms
        behaviour = await self._store.behaviour(turn.conversation)
        model = terms.model(behaviour.model)
        system_prompt = behaviour.persona or terms.system_prompt
        key = f"{terms.provider_key} {model}".strip()
        learned = await self._store.learned(key)
        budget = min(terms.context_tokens, learned.context_tokens or terms.context_tokens)
        halvings = 0
        fitting, grant = await self._afford(turn, running, model, system_prompt, budget, learned)
        if grant is None:
            running.stop(Cause.FORGOTTEN)
        if running.cause is not None or grant is None:
            return running.ended()
        if isinstance(grant, UsedUp):
            return Outcome(State.FAILED, running.text, Problem.USED_UP, used_up=grant)
        if isinstance(grant, Contended):
            log.warning("turn %d: what is left of the day's tokens is reserved for others", turn.id)
            return Outcome(State.FAILED, running.text, Problem.BUSY)
        sink.start()
        while True:
            outcome = await running.read(asyncio.create_task(self._read(running, sink, model, fitting, grant)))
            if outcome.problem is not Problem.TOO_LONG or halvings == HALVINGS:
                break
            messages = fitting.messages()
            budget = min(budget, fitting.tokens) // 2
            halvings += 1
            fitting = await self._context(turn, running, system_prompt, budget, learned)
            if fitting.messages() == messages:
                return outcome
        now = learned if outcome.usage is None else context.learn(learned, fitting.messages(), outcome.usage)
        if halvings and (outcome.usage is not None or outcome.text):
            now = replace(now, context_tokens=budget)
        if now != learned:
            running.learned = (key, now)
        return outcome

    async def _context(
        self, turn: Turn, running: Running, system_prompt: str, budget: int, learned: Learned
    ) -> context.Context:
        # What a neighbour's reply has got to is part of the context, so the store has to know it.
        await self._save(turn.conversation)
        fitting = context.Context(
            system_prompt, turn, begun=running.begun, today=self._today(), budget=budget, learned=learned
        )
        before: int | None = None
        limit = min(max(PAGE, budget // SHORT_TURN), LARGEST_PAGE)
        while page := await self._store.earlier(turn.id, before, limit):
            if not all(map(fitting.add, page)) or len(page) < limit:
                break
            before = page[-1].position
            limit = min(max(PAGE, fitting.room + PAGE // 4), LARGEST_PAGE)
        return fitting

    async def _afford(
        self, turn: Turn, running: Running, model: str, system_prompt: str, budget: int, learned: Learned
    ) -> tuple[context.Context, Grant | UsedUp | Contended | None]:
        """The context and what was reserved for it: of a long one the latest part, where all of it costs too much.

        One reservation covers all requests of the attempt: of those but the last the server does nothing.
        """
        clock = asyncio.get_running_loop().time
        built_at = clock()
        fitting = await self._context(turn, running, system_prompt, budget, learned)
        grant = await self._reserve(running, model, fitting.safe_tokens)
        for _ in range(HALVINGS):
            if not isinstance(grant, UsedUp):
                break
            smaller = await self._context(turn, running, system_prompt, fitting.tokens // 2, learned)
            if smaller.tokens == fitting.tokens:
                break
            fitting = smaller
            grant = await self._reserve(running, model, fitting.safe_tokens)
        if clock() - built_at > STALE_AFTER:
            fitting = await self._context(turn, running, system_prompt, fitting.tokens, learned)
        return fitting, grant

    async def _reserve(self, running: Running, model: str, prompt_tokens: int) -> Grant | UsedUp | Contended | None:
        """What the attempt may use. Waits for what others have reserved and may not need, then takes what they leave.

        Contended: that is nothing, or the attempt was ended meanwhile.
        """
        terms = self._terms
        if terms.allowances is None:
            return Grant(terms.reply_tokens)
        clock = asyncio.get_running_loop().time
        give_up = clock() + ROOM_WITHIN
        while True:
            room_made, at_once = self._room_made, clock() >= give_up
            answer = await self._store.reserve(
                running.attempt,
                model,
                prompt_tokens,
                terms.reply_tokens,
                self._least,
                terms.allowances,
                at_once=at_once,
            )
            if not isinstance(answer, Contended) or at_once:
                return answer
            with suppress(TimeoutError):
                async with asyncio.timeout_at(give_up):
                    await running.wait_for(room_made)
            if running.cause is not None:
                return answer

    @property
    def _least(self) -> int:
        return min(LEAST_REPLY_TOKENS, self._terms.reply_tokens)

    async def _read(
        self, running: Running, sink: ReplySink, model: str, fitting: context.Context, grant: Grant
    ) -> Outcome:
        usage: Usage | None = None
        problem: Problem | None = None
        left = self._terms.reply_tokens * CHARACTERS_PER_TOKEN
        counted = self._terms.allowances is not None
        running.asked(fitting.tokens, fitting.bytes_per_token)
        try:
            async with self._model.stream(fitting.messages(), model=model, reply_tokens=grant.reply_tokens) as events:
                async for event in events:
                    if isinstance(event, Text):
                        running.add(event.text[:left])
                        left -= len(event.text)
                        sink.update(running.text)
                    elif isinstance(event, Thinking):
                        running.thought()
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
                        problem = event.problem
                        continue
                    if grant.bound is not None and running.reply_tokens >= grant.reply_tokens:
                        problem = Problem.LENGTH
                        break
                    if left <= 0 or (counted and running.reply_tokens >= OVERRUN * grant.reply_tokens):
                        log.warning("turn %d: a reply without end is cut off", running.attempt.turn_id)
                        problem = Problem.LENGTH
                        break
        except ModelError as error:
            log.warning("turn %d: %s", running.attempt.turn_id, error.detail, extra=quoting(server=error.said))
            if not error.accepted:
                running.refused()
            return Outcome(
                State.FAILED,
                running.text,
                error.problem,
                retry_after=error.retry_after,
                detail=error.detail,
                advice=error.advice,
            )
        if is_blank(running.text) and problem is None:
            return Outcome(State.FAILED, "", Problem.EMPTY, usage=usage)
        if is_blank(running.text[len(running.begun) :]) and problem is Problem.LENGTH and grant.bound is None:
            detail = (
                f"{model} used all {grant.reply_tokens} tokens of its reply before anything could be seen of it. Raise"
                " REPLY_TOKENS or lower REASONING_EFFORT in .env and restart."
            )
            log.warning("turn %d: %s", running.attempt.turn_id, detail)
            return Outcome(State.FAILED, running.begun, Problem.OUT_OF_ROOM, usage=usage, detail=detail)
        self.answered_at = time.monotonic()
        if problem is Problem.LENGTH and grant.bound is not None:
            return Outcome(State.COMPLETE, running.text, Problem.USED_UP, usage=usage, used_up=grant.bound)
        state = State.FAILED if problem is Problem.DECLINED else State.COMPLETE
        return Outcome(state, running.text, problem, usage=usage)

"""The life of one turn: saved, queued, answered from the store's context, closed. Knows no platform."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date
from typing import Self

from bot import context
from bot.errors import ModelError, OverAllowance, StoreError
from bot.logs import quoting
from bot.queues import Limits, Queues
from bot.running import Running
from bot.turns import (
    Allowances,
    Attempt,
    Cause,
    ChatModel,
    End,
    Forgotten,
    Grant,
    Learned,
    Limit,
    Outcome,
    Problem,
    Prompt,
    ReplySink,
    State,
    Store,
    Text,
    Thinking,
    Turn,
    Usage,
    UsedUp,
    is_blank,
)

log = logging.getLogger(__name__)

SAVE_EVERY = 1.0
"""Seconds between two savings of what has streamed in: the most that a kill can cost."""
HALVINGS = 3
"""How often a context that the server finds too long is halved before the turn fails."""
PAGE = 32
"""Turns read from the store at a time."""
LEAST_REPLY_TOKENS = 100
"""With less left for it a reply is not begun."""
CHARACTERS_PER_TOKEN = 32
"""More than any text has: a reply that is over its tokens by this measure comes from a server that does not keep to
them, and might never end. A thought counts as one character."""


class Conversations:
    """All conversations of one process, over one store and the models of one server.

    The first of `models` answers where a conversation's behaviour names no other of them. `provider_key` tells their
    server from others in what is learned of their tokens. A reply of more than `reply_tokens`, by a generous measure,
    is cut off. Without `allowances` nothing is counted. `today` gives the date that the model is told.
    """

    def __init__(
        self,
        store: Store,
        model: ChatModel,
        *,
        models: Sequence[str],
        provider_key: str = "",
        system_prompt: str,
        context_tokens: int,
        reply_tokens: int = 4000,
        limits: Limits = Limits(),  # noqa: B008 -- it is frozen
        allowances: Allowances | None = None,
        today: Callable[[], date] = date.today,
    ) -> None:
        self._store = store
        self._model = model
        self.models = tuple(models)
        self._provider_key = provider_key
        self._system_prompt = system_prompt
        self._context_tokens = context_tokens
        self._reply_tokens = reply_tokens
        self.allowances = allowances
        self._today = today
        self._running: dict[Attempt, Running] = {}
        self._saved: dict[Attempt, tuple[str, int]] = {}
        """The text, and the tokens it cost."""
        self._queues = Queues(limits)
        self._closing = False
        self._saver: asyncio.Task[None] | None = None
        self.answered_at: float | None = None
        """When the model last came to the end of a reply, on the monotonic clock."""

    async def __aenter__(self) -> Self:
        self._saver = asyncio.create_task(self._save_regularly())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
        await self._queues.empty.wait()
        if self._saver is not None:
            self._saver.cancel()
            await asyncio.wait([self._saver])

    async def close(self, grace: float = 0.0, endings: float = 0.0) -> None:
        """Let running replies go on for `grace` seconds, then interrupt what is left, and what may still come.

        Waits up to `endings` seconds more until that can be seen.
        """
        await self._idle_within(grace)
        self._closing = True
        for running in self._running.values():
            running.stop(Cause.SHUTDOWN)
        await self._idle_within(endings)

    async def _idle_within(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._queues.empty.wait()
        except TimeoutError:
            return

    @property
    def running(self) -> Sequence[Running]:
        """The attempts under way or waiting, oldest first."""
        return tuple(self._running.values())

    async def answer(self, prompt: Prompt, open_sink: Callable[[Running], ReplySink]) -> Outcome | None:
        """A prompt's whole life; returns when its end can be seen. None: it had been taken before.

        Prompts of one person in one conversation are answered in the order of these calls, those of different people
        side by side. Raises StoreError, with nothing accepted, when the prompt cannot be saved, Overloaded when too
        many are waiting, and OverAllowance when the person has asked too much lately.
        """
        most = self.allowances.prompts_per_hour if self.allowances else None
        with self._queues.place(prompt.conversation, prompt.author_id) as turn_has_come:
            attempt = await self._store.begin(prompt, most)
            if attempt is None:
                return None
            if isinstance(attempt, UsedUp):
                raise OverAllowance(attempt)
            return await self._live(Running(prompt, attempt), turn_has_come, open_sink)

    def full(self, turn: Turn) -> Limit | None:
        """The limit that another attempt at the turn is over just now; None: there is room."""
        return self._queues.full(turn.conversation, turn.author_id)

    async def again(
        self, turn: Turn, open_sink: Callable[[Running], ReplySink], *, go_on: bool = False, recovery: bool = False
    ) -> Outcome | None:
        """Another attempt at an ended turn, from the beginning or from where its reply stopped, whatever is waiting.

        None: somebody was faster, and nothing happens. `recovery`: nobody asked for it. Raises StoreError, with nothing
        changed.
        """
        prompt = Prompt(turn.conversation, turn.position, turn.prompt, turn.author_id, turn.author_name)
        with self._queues.place(turn.conversation, turn.author_id, accepted=True) as turn_has_come:
            ended = Attempt(turn.id, turn.attempt)
            attempt = await self._store.reopen(ended, turn.state, recovery=recovery)
            if attempt is None:
                return None
            text = {"begun": turn.reply} if go_on else {"kept": turn.reply}
            return await self._live(Running(prompt, attempt, **text), turn_has_come, open_sink)

    async def _live(
        self, running: Running, turn_has_come: asyncio.Event, open_sink: Callable[[Running], ReplySink]
    ) -> Outcome:
        self._running[running.attempt] = running
        if self._closing:
            running.stop(Cause.SHUTDOWN)
        try:
            sink = open_sink(running)
            await running.wait_for(turn_has_come)
            outcome = await self._attempt(running, sink)
            seen = await sink.finish(outcome)
            log.info(running.line(outcome, sink.messages))
            if seen:
                await self._was_seen(running.attempt, outcome, sink.unshown)
            if running.learned is not None:
                await self._learn(*running.learned)
            return outcome
        finally:
            del self._running[running.attempt]
            self._saved.pop(running.attempt, None)

    async def _was_seen(self, attempt: Attempt, outcome: Outcome, unshown: str | None) -> None:
        try:
            if outcome.cause is Cause.PROMPT_DELETED:
                # Not before nothing of it is shown any more: only by its turn a start after a kill would find it.
                await self._store.forget_turn(attempt.turn_id)
                return
            if outcome.problem is Problem.STORAGE:
                # What could not be written a moment ago may be by now; else the next start takes it up.
                await self._store.close(attempt, outcome)
            await self._store.told(attempt, unshown)
        except StoreError as error:
            log.warning("turn %d: the next start will show its end once more: %s", attempt.turn_id, error)

    async def _learn(self, key: str, learned: Learned) -> None:
        try:
            await self._store.learn(key, learned)
        except StoreError as error:
            log.warning("what was learned of the model's tokens is not kept: %s", error)

    async def forget(self, conversation: str, by: str | None = None) -> Forgotten:
        """Delete a conversation for good, and end what is being written or waiting there. Raises StoreError."""
        await self._save(conversation)
        return self._end(await self._store.forget(conversation), by)

    async def forget_person(self, person_id: int, by: str | None = None) -> Forgotten:
        """Delete a person's turns in all conversations for good, and end what is being written or waiting of them.

        A prompt that was accepted before this call is among them, however far it has got. What they used of the
        allowances goes on to count. Raises StoreError.
        """
        await self._save()
        if self.allowances is not None:
            await self._store.carry_over(person_id)
        return self._end(await self._store.forget_person(person_id), by)

    def _end(self, forgotten: Forgotten, by: str | None) -> Forgotten:
        """Stop the attempts at what was forgotten. Those that only now hear of their turn find it gone."""
        for running in self.running:
            if running.attempt.turn_id in forgotten.turn_ids:
                running.stop(Cause.RESET, by)
        return forgotten

    async def _attempt(self, running: Running, sink: ReplySink) -> Outcome:
        try:
            outcome = await self._outcome(running, sink)
        except Exception:
            log.exception("turn %d: a defect ended it", running.attempt.turn_id)
            outcome = Outcome(State.FAILED, running.text, Problem.INTERNAL)
        if not outcome.text and outcome.state is State.FAILED:
            outcome = replace(outcome, text=running.kept)
        if outcome.usage is None:
            outcome = replace(outcome, usage=running.used())
        try:
            if not await self._store.close(running.attempt, outcome):
                outcome = replace(outcome, state=State.STOPPED, cause=outcome.cause or Cause.RESET)
        except StoreError as error:
            log.error("turn %d: its end could not be saved: %s", running.attempt.turn_id, error)
            outcome = replace(outcome, state=State.FAILED, problem=Problem.STORAGE)
        return outcome

    async def _outcome(self, running: Running, sink: ReplySink) -> Outcome:
        if running.cause is not None:
            return running.ended()
        try:
            turn = await self._store.start(running.attempt)
            if turn is None:
                running.stop(Cause.RESET)
                return running.ended()
            return await self._ask(turn, running, sink)
        except StoreError as error:
            log.error("turn %d: the database failed: %s", running.attempt.turn_id, error)
            return Outcome(State.FAILED, running.text, Problem.STORAGE)

    async def _ask(self, turn: Turn, running: Running, sink: ReplySink) -> Outcome:
        """Ask the model, with less and less context as long as the server finds it too long."""
        behaviour = await self._store.behaviour(turn.conversation)
        model = behaviour.model if behaviour.model in self.models else self.models[0]
        system_prompt = behaviour.persona or self._system_prompt
        key = f"{self._provider_key} {model}".strip()
        learned = await self._store.learned(key)
        budget = min(self._context_tokens, learned.context_tokens or self._context_tokens)
        halvings = 0
        fitting, grant = await self._afford(turn, running, model, system_prompt, budget, learned)
        if grant is None:
            running.stop(Cause.RESET)
            return running.ended()
        if isinstance(grant, UsedUp):
            return Outcome(State.FAILED, running.text, Problem.USED_UP, used_up=grant)
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
        while page := await self._store.earlier(turn.id, before, PAGE):
            if not all(map(fitting.add, page)):
                break
            before = page[-1].position
        return fitting

    async def _afford(
        self, turn: Turn, running: Running, model: str, system_prompt: str, budget: int, learned: Learned
    ) -> tuple[context.Context, Grant | UsedUp | None]:
        """The context and what was reserved for it: of a long one the latest part, where all of it costs too much.

        One reservation covers all requests of the attempt: of those but the last the server does nothing.
        """
        fitting = await self._context(turn, running, system_prompt, budget, learned)
        grant = await self._reserve(running.attempt, model, fitting.tokens)
        for _ in range(HALVINGS):
            if not isinstance(grant, UsedUp):
                break
            smaller = await self._context(turn, running, system_prompt, fitting.tokens // 2, learned)
            if smaller.tokens == fitting.tokens:
                break
            fitting = smaller
            grant = await self._reserve(running.attempt, model, fitting.tokens)
        return fitting, grant

    async def _reserve(self, attempt: Attempt, model: str, prompt_tokens: int) -> Grant | UsedUp | None:
        if self.allowances is None:
            return Grant(self._reply_tokens)
        least = min(LEAST_REPLY_TOKENS, self._reply_tokens)
        return await self._store.reserve(attempt, model, prompt_tokens, self._reply_tokens, least, self.allowances)

    async def _read(
        self, running: Running, sink: ReplySink, model: str, fitting: context.Context, grant: Grant
    ) -> Outcome:
        usage: Usage | None = None
        problem: Problem | None = None
        left = self._reply_tokens * CHARACTERS_PER_TOKEN
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
                        usage = event
                    elif isinstance(event, End):
                        problem = event.problem
                        continue
                    if grant.bound is not None and running.reply_tokens >= grant.reply_tokens:
                        problem = Problem.LENGTH
                        break
                    if left <= 0 or (self.allowances is not None and running.reply_tokens >= 2 * grant.reply_tokens):
                        log.warning("turn %d: a reply without end is cut off", running.attempt.turn_id)
                        problem = Problem.LENGTH
                        break
        except ModelError as error:
            log.warning("turn %d: %s", running.attempt.turn_id, error.detail, extra=quoting(server=error.said))
            if not error.accepted:
                running.refused()
            return Outcome(
                State.FAILED, running.text, error.problem, retry_after=error.retry_after, detail=error.detail
            )
        if is_blank(running.text) and problem is None:
            return Outcome(State.FAILED, "", Problem.EMPTY, usage=usage)
        self.answered_at = time.monotonic()
        if problem is Problem.LENGTH and grant.bound is not None:
            return Outcome(State.COMPLETE, running.text, Problem.USED_UP, usage=usage, used_up=grant.bound)
        state = State.FAILED if problem is Problem.DECLINED else State.COMPLETE
        return Outcome(state, running.text, problem, usage=usage)

    async def _save_regularly(self) -> None:
        while True:
            await asyncio.sleep(SAVE_EVERY)
            try:
                await self._save()
            except StoreError as error:
                log.warning("replies under way could not be saved, trying again: %s", error)

    async def _save(self, conversation: str | None = None) -> None:
        progress = {
            attempt: (running.text, running.reply_tokens)
            for attempt, running in self._running.items()
            if running.reading
            and (running.text, running.reply_tokens) != self._saved.get(attempt, ("", 0))
            and conversation in (None, running.prompt.conversation)
        }
        if not progress:
            return
        alive = await self._store.save(
            {attempt: text for attempt, (text, _) in progress.items()},
            {attempt: tokens for attempt, (_, tokens) in progress.items()} if self.allowances else {},
        )
        for attempt, saved in progress.items():
            running = self._running.get(attempt)
            if running is not None and running.reading:
                self._saved[attempt] = saved
                if attempt not in alive:
                    running.stop(Cause.RESET)

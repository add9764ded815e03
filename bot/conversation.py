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
from bot.errors import ModelError, StoreError
from bot.logs import quoting
from bot.queues import Limits, Queues
from bot.running import Running
from bot.turns import (
    Attempt,
    Cause,
    ChatModel,
    End,
    Forgotten,
    Learned,
    Limit,
    Message,
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
    is_blank,
)

log = logging.getLogger(__name__)

SAVE_EVERY = 1.0
"""Seconds between two savings of what has streamed in: the most that a kill can cost."""
HALVINGS = 3
"""How often a context that the server finds too long is halved before the turn fails."""
PAGE = 32
"""Turns read from the store at a time."""
CHARACTERS_PER_TOKEN = 32
"""More than any text has: a reply that is over its tokens by this measure comes from a server that does not keep to
them, and might never end. A thought counts as one character."""


class Conversations:
    """All conversations of one process, over one store and one model.

    `model_key` names the model in what is learned of its tokens. A reply of more than `reply_tokens`, by a generous
    measure, is cut off. `today` gives the date that the model is told.
    """

    def __init__(
        self,
        store: Store,
        model: ChatModel,
        *,
        model_key: str,
        system_prompt: str,
        context_tokens: int,
        reply_tokens: int = 4000,
        limits: Limits = Limits(),  # noqa: B008 -- it is frozen
        today: Callable[[], date] = date.today,
    ) -> None:
        self._store = store
        self._model = model
        self._model_key = model_key
        self._system_prompt = system_prompt
        self._context_tokens = context_tokens
        self._reply_characters = reply_tokens * CHARACTERS_PER_TOKEN
        self._today = today
        self._running: dict[Attempt, Running] = {}
        self._saved: dict[Attempt, str] = {}
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
        side by side. Raises StoreError, with nothing accepted, when the prompt cannot be saved, and Overloaded when too
        many are waiting.
        """
        with self._queues.place(prompt.conversation, prompt.author_id) as turn_has_come:
            attempt = await self._store.begin(prompt)
            if attempt is None:
                return None
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

    async def forget(self, conversation: str, by: str | None = None) -> Forgotten:
        """Delete a conversation for good, and end what is being written or waiting there. Raises StoreError."""
        await self._save(conversation)
        forgotten = await self._store.forget(conversation)
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
            sink.start()
            return await self._ask(turn, running, sink)
        except StoreError as error:
            log.error("turn %d: the database failed: %s", running.attempt.turn_id, error)
            return Outcome(State.FAILED, running.text, Problem.STORAGE)

    async def _ask(self, turn: Turn, running: Running, sink: ReplySink) -> Outcome:
        """Ask the model, with less and less context as long as the server finds it too long."""
        learned = await self._store.learned(self._model_key)
        budget = min(self._context_tokens, learned.context_tokens or self._context_tokens)
        halvings = 0
        fitting = await self._context(turn, running, budget, learned)
        while True:
            messages = fitting.messages()
            outcome = await running.read(asyncio.create_task(self._read(running, sink, messages)))
            if outcome.problem is not Problem.TOO_LONG or halvings == HALVINGS:
                break
            budget = min(budget, fitting.tokens) // 2
            halvings += 1
            fitting = await self._context(turn, running, budget, learned)
            if fitting.messages() == messages:
                return outcome
        now = learned if outcome.usage is None else context.learn(learned, messages, outcome.usage)
        if halvings and (outcome.usage is not None or outcome.text):
            now = replace(now, context_tokens=budget)
        try:
            if now != learned:
                await self._store.learn(self._model_key, now)
        except StoreError as error:
            log.warning("what was learned of the model's tokens is not kept: %s", error)
        return outcome

    async def _context(self, turn: Turn, running: Running, budget: int, learned: Learned) -> context.Context:
        # What a neighbour's reply has got to is part of the context, so the store has to know it.
        await self._save(turn.conversation)
        fitting = context.Context(
            self._system_prompt, turn, begun=running.begun, today=self._today(), budget=budget, learned=learned
        )
        before: int | None = None
        while page := await self._store.earlier(turn.id, before, PAGE):
            if not all(map(fitting.add, page)):
                break
            before = page[-1].position
        return fitting

    async def _read(self, running: Running, sink: ReplySink, messages: Sequence[Message]) -> Outcome:
        usage: Usage | None = None
        problem: Problem | None = None
        left = self._reply_characters
        running.asked()
        try:
            async with self._model.stream(messages) as events:
                async for event in events:
                    if isinstance(event, Text):
                        running.add(event.text[:left])
                        left -= len(event.text)
                        sink.update(running.text)
                    elif isinstance(event, Thinking):
                        left -= 1
                    elif isinstance(event, Usage):
                        usage = event
                    elif isinstance(event, End):
                        problem = event.problem
                    if left <= 0 and problem is None:
                        log.warning("turn %d: a reply without end is cut off", running.attempt.turn_id)
                        problem = Problem.LENGTH
                        break
        except ModelError as error:
            log.warning("turn %d: %s", running.attempt.turn_id, error.detail, extra=quoting(server=error.said))
            return Outcome(State.FAILED, running.text, error.problem, retry_after=error.retry_after)
        if is_blank(running.text) and problem is None:
            return Outcome(State.FAILED, "", Problem.EMPTY, usage=usage)
        self.answered_at = time.monotonic()
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
            attempt: running.text
            for attempt, running in self._running.items()
            if running.reading
            and running.text != self._saved.get(attempt, "")
            and conversation in (None, running.prompt.conversation)
        }
        if not progress:
            return
        alive = await self._store.save(progress)
        for attempt, text in progress.items():
            running = self._running.get(attempt)
            if running is not None and running.reading:
                self._saved[attempt] = text
                if attempt not in alive:
                    running.stop(Cause.RESET)

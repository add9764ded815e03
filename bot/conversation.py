"""The life of one turn: saved, queued, answered from the store's context, closed. Knows no platform."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from typing import Self

from bot import context
from bot.errors import ModelError, StoreError
from bot.turns import (
    Attempt,
    Cause,
    ChatModel,
    End,
    Forgotten,
    Learned,
    Message,
    Outcome,
    Problem,
    Prompt,
    ReplySink,
    State,
    Store,
    Text,
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


class Running:
    """One attempt under way, from its commit until a person can see its end.

    `begun` is the text that it goes on from; `kept`, what an earlier one said, which stays if this one says nothing.
    """

    def __init__(self, prompt: Prompt, attempt: Attempt, *, begun: str = "", kept: str = "") -> None:
        self.prompt = prompt
        self.attempt = attempt
        self.begun = begun
        self.kept = kept
        self.text = begun
        """What has come of the reply so far."""
        self.cause: Cause | None = None
        self.by: str | None = None
        self._reading: asyncio.Task[Outcome] | None = None
        self._stopped = asyncio.Event()

    def stop(self, cause: Cause, by: str | None = None) -> None:
        """End it, for the person named. The first cause counts; only reading the model is cancelled."""
        if self.cause is None:
            self.cause, self.by = cause, by
            self._stopped.set()
            if self._reading is not None:
                self._reading.cancel()

    async def wait_for(self, event: asyncio.Event) -> None:
        """Wait for the event or for a cause, whichever comes first."""
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
        if self.cause is not None:
            reading.cancel()
        try:
            await asyncio.wait([reading])
        finally:
            reading.cancel()
            self._reading = None
        if not reading.cancelled():
            return reading.result()
        if self.cause is None:
            return Outcome(State.FAILED, self.text, Problem.UNREACHABLE)
        return self.ended()

    def ended(self) -> Outcome:
        """The outcome of the cause that came."""
        state = State.INTERRUPTED if self.cause is Cause.SHUTDOWN else State.STOPPED
        deleted = self.cause in (Cause.PROMPT_DELETED, Cause.REPLY_DELETED)
        return Outcome(state, "" if deleted else self.text or self.kept, cause=self.cause, by=self.by)


class _Queue:
    """One person's prompts in one conversation, first come, first served, however early a later one leaves."""

    def __init__(self) -> None:
        self._turns: deque[asyncio.Event] = deque()
        self._left: set[asyncio.Event] = set()

    def __bool__(self) -> bool:
        return bool(self._turns)

    def join(self) -> asyncio.Event:
        """A place at the end; the event is set when its turn has come."""
        turn = asyncio.Event()
        self._turns.append(turn)
        self._turns[0].set()
        return turn

    def leave(self, turn: asyncio.Event) -> None:
        """Give the place up, served or not."""
        self._left.add(turn)
        while self._turns and self._turns[0] in self._left:
            self._left.remove(self._turns.popleft())
        if self._turns:
            self._turns[0].set()


class Conversations:
    """All conversations of one process, over one store and one model.

    `model_key` names the model in what is learned of its tokens. `today` gives the date that the model is told.
    """

    def __init__(
        self,
        store: Store,
        model: ChatModel,
        *,
        model_key: str,
        system_prompt: str,
        context_tokens: int,
        today: Callable[[], date] = date.today,
    ) -> None:
        self._store = store
        self._model = model
        self._model_key = model_key
        self._system_prompt = system_prompt
        self._context_tokens = context_tokens
        self._today = today
        self._running: dict[Attempt, Running] = {}
        self._saved: dict[Attempt, str] = {}
        self._queues: defaultdict[tuple[str, int | None], _Queue] = defaultdict(_Queue)
        self._closing = False
        self._busy = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._saver: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._saver = asyncio.create_task(self._save_regularly())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
        await self._idle.wait()
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
                await self._idle.wait()
        except TimeoutError:
            return

    @property
    def running(self) -> Sequence[Running]:
        """The attempts under way or waiting, oldest first."""
        return tuple(self._running.values())

    async def answer(self, prompt: Prompt, open_sink: Callable[[Running], ReplySink]) -> Outcome | None:
        """A prompt's whole life; returns when its end can be seen. None: it had been taken before.

        Prompts of one person in one conversation are answered in the order of these calls, those of different people
        side by side. Raises StoreError, with nothing accepted, when the prompt cannot be saved.
        """
        with self._queue(prompt) as turn_has_come:
            attempt = await self._store.begin(prompt)
            if attempt is None:
                return None
            return await self._live(Running(prompt, attempt), turn_has_come, open_sink)

    async def again(
        self, turn: Turn, open_sink: Callable[[Running], ReplySink], *, go_on: bool = False
    ) -> Outcome | None:
        """Another attempt at an ended turn, from the beginning or from where its reply stopped.

        None: somebody was faster, and nothing happens. Raises StoreError, with nothing changed.
        """
        prompt = Prompt(turn.conversation, turn.position, turn.prompt, turn.author_id, turn.author_name)
        with self._queue(prompt) as turn_has_come:
            attempt = await self._store.reopen(Attempt(turn.id, turn.attempt), turn.state)
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
            if await sink.finish(outcome):
                await self._told(running.attempt)
            return outcome
        finally:
            del self._running[running.attempt]
            self._saved.pop(running.attempt, None)

    async def _told(self, attempt: Attempt) -> None:
        try:
            await self._store.told(attempt)
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

    @contextmanager
    def _queue(self, prompt: Prompt) -> Iterator[asyncio.Event]:
        """A place behind the same person's prompts before this one; entering it does not wait."""
        key = (prompt.conversation, prompt.author_id)
        queue = self._queues[key]
        turn = queue.join()
        self._busy += 1
        self._idle.clear()
        try:
            yield turn
        finally:
            queue.leave(turn)
            if not queue:
                self._queues.pop(key, None)
            self._busy -= 1
            if self._busy == 0:
                self._idle.set()

    async def _attempt(self, running: Running, sink: ReplySink) -> Outcome:
        began = time.monotonic()
        try:
            outcome = await self._outcome(running, sink)
        except Exception:
            log.exception("turn %d: a defect ended it", running.attempt.turn_id)
            outcome = Outcome(State.FAILED, running.text, Problem.INTERNAL)
        if not outcome.text and outcome.state is State.FAILED:
            outcome = replace(outcome, text=running.kept)
        try:
            if outcome.cause is Cause.PROMPT_DELETED:
                await self._store.forget_turn(running.attempt.turn_id)
            elif not await self._store.close(running.attempt, outcome):
                outcome = replace(outcome, state=State.STOPPED, cause=outcome.cause or Cause.RESET)
        except StoreError as error:
            log.error("turn %d: its end could not be saved: %s", running.attempt.turn_id, error)
            outcome = replace(outcome, state=State.FAILED, problem=Problem.STORAGE)
        log.info(
            "turn %d in %s: %s, %d characters in %.1f s, tokens %s",
            running.attempt.turn_id,
            running.prompt.conversation,
            " ".join(filter(None, (outcome.state, outcome.problem, outcome.cause and outcome.cause.value))),
            len(outcome.text),
            time.monotonic() - began,
            f"{outcome.usage.prompt_tokens} + {outcome.usage.reply_tokens}" if outcome.usage else "not reported",
        )
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
            if len(fitting.messages()) == len(messages):
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
        try:
            async with self._model.stream(messages) as events:
                async for event in events:
                    if isinstance(event, Text):
                        running.text += event.text
                        sink.update(running.text)
                    elif isinstance(event, Usage):
                        usage = event
                    elif isinstance(event, End):
                        problem = event.problem
        except ModelError as error:
            log.warning("turn %d: %s", running.attempt.turn_id, error.detail)
            return Outcome(State.FAILED, running.text, error.problem, retry_after=error.retry_after)
        if is_blank(running.text) and problem is None:
            return Outcome(State.FAILED, "", Problem.EMPTY, usage=usage)
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

"""The life of one turn: saved, queued, answered from the store's context, closed. Knows no platform."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date
from typing import Self

from bot.asking import Asking, Terms
from bot.errors import OverAllowance, StoreError
from bot.queues import Limits, Queues
from bot.running import Running
from bot.seams import ChatModel, ReplySink, Store
from bot.turns import (
    Allowances,
    Attempt,
    Cause,
    Learned,
    Limit,
    Outcome,
    Problem,
    Prompt,
    State,
    Turn,
    UsedUp,
)

log = logging.getLogger(__name__)

SAVE_EVERY = 1.0
"""Seconds between two savings of what has streamed in: the most that a kill can cost."""


class Conversations:
    """All conversations of one process, over one store and the models of one server, on the same `Terms`.

    `today` gives the date that the model is told.
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
        self.terms = Terms(tuple(models), provider_key, system_prompt, context_tokens, reply_tokens, allowances)
        self._asking = Asking(store, model, self.terms, save=self._save, today=today)
        self._running: dict[Attempt, Running] = {}
        self._saved: dict[Attempt, tuple[str, int]] = {}
        """The text, and the tokens it cost."""
        self._queues = Queues(limits)
        self._closing = False
        self._saver: asyncio.Task[None] | None = None

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
    def answered_at(self) -> float | None:
        """When the model last came to the end of a reply, on the monotonic clock."""
        return self._asking.answered_at

    @property
    def running(self) -> Sequence[Running]:
        """The attempts under way or waiting, oldest first."""
        return tuple(self._running.values())

    async def answer(self, prompt: Prompt, open_sink: Callable[[Running], ReplySink]) -> Outcome | None:
        """A prompt's whole life; returns when its end can be seen. None: it had been taken before.

        Prompts of one person in one conversation are answered in the order of these calls, those of different people
        side by side. Raises StoreError, with nothing accepted, when the prompt cannot be saved, Overloaded when too
        many are waiting, and OverAllowance when the person has asked too much lately or no tokens are left for a reply.
        """
        most = self.terms.allowances.prompts_per_hour if self.terms.allowances else None
        with self._queues.place(prompt.conversation, prompt.author_id) as turn_has_come:
            used_up = await self._asking.used_up(prompt)
            attempt = used_up or await self._store.begin(prompt, most)
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
        prompt = Prompt(turn.conversation, turn.position, turn.prompt, turn.author_id, turn.author_name, turn.guild_id)
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
            try:
                sink = open_sink(running)
            except Exception:
                # There is nothing to show an end with: the caller tells the person.
                await self._settle(running, Outcome(State.FAILED, problem=Problem.INTERNAL))
                raise
            await running.wait_for(turn_has_come)
            outcome = await self._attempt(running, sink)
            seen = await self._show(running, sink, outcome)
            log.info(running.line(outcome, sink.messages))
            if seen:
                await self._was_seen(running.attempt, outcome, sink.unshown)
            if running.learned is not None:
                await self._learn(*running.learned)
            return outcome
        finally:
            del self._running[running.attempt]
            self._saved.pop(running.attempt, None)

    async def _show(self, running: Running, sink: ReplySink, outcome: Outcome) -> bool:
        """Whether the end can be seen, or never will be."""
        try:
            return await sink.finish(outcome)
        except Exception:
            log.exception("turn %d: its end could not be shown for a defect", running.attempt.turn_id)
            return await sink.finish(Outcome(State.FAILED, outcome.text, Problem.INTERNAL))

    async def _was_seen(self, attempt: Attempt, outcome: Outcome, unshown: str | None) -> None:
        try:
            if outcome.cause is Cause.PROMPT_DELETED:
                # Not before nothing of it is shown any more: only by its turn a start after a kill would find it.
                await self._store.forget_turn(attempt.turn_id)
                return
            if outcome.problem is Problem.STORAGE:
                # What could not be written a moment ago may be by now; else the next start takes it up.
                await self._close(attempt, outcome)
            await self._store.told(attempt, unshown)
        except Exception as error:
            log.warning(
                "turn %d: the next start will show its end once more: %s",
                attempt.turn_id,
                error,
                exc_info=not isinstance(error, StoreError),
            )

    async def _learn(self, key: str, learned: Learned) -> None:
        try:
            await self._store.learn(key, learned)
        except Exception as error:
            log.warning(
                "what was learned of the model's tokens is not kept: %s",
                error,
                exc_info=not isinstance(error, StoreError),
            )

    async def forget(self, conversation: str, by: str | None = None) -> set[int]:
        """Delete a conversation for good, and end what is being written or waiting there. Raises StoreError.

        The answer is the ids of its turns.
        """
        await self._save(conversation)
        return self._end(await self._store.forget(conversation), Cause.RESET, by)

    async def forget_person(self, person_id: int, by: str | None = None) -> set[int]:
        """Delete a person's turns in all conversations for good, and end what is being written or waiting of them.

        A prompt that was accepted before this call is among them, however far it has got. What they used of the
        allowances goes on to count. Raises StoreError. The answer is the ids of the turns.
        """
        await self._save()
        return self._end(await self._store.forget_person(person_id), Cause.FORGOTTEN, by)

    def _end(self, forgotten: set[int], cause: Cause, by: str | None) -> set[int]:
        """Stop the attempts at what was forgotten. Those that only now hear of their turn find it gone."""
        for running in self.running:
            if running.attempt.turn_id in forgotten:
                running.stop(cause, by)
        return forgotten

    async def _attempt(self, running: Running, sink: ReplySink) -> Outcome:
        try:
            outcome = await self._outcome(running, sink)
        except Exception:
            log.exception("turn %d: a defect ended it", running.attempt.turn_id)
            outcome = Outcome(State.FAILED, running.text, Problem.INTERNAL)
        return await self._settle(running, outcome)

    async def _settle(self, running: Running, outcome: Outcome) -> Outcome:
        """Commit an end and what it cost; the outcome that can be told then."""
        if not outcome.text and outcome.state is State.FAILED:
            outcome = replace(outcome, text=running.kept)
        outcome = replace(outcome, usage=running.used(outcome.usage))
        try:
            if not await self._close(running.attempt, outcome):
                outcome = replace(outcome, state=State.STOPPED, cause=outcome.cause or Cause.FORGOTTEN)
        except Exception as error:
            log.error(
                "turn %d: its end could not be saved: %s",
                running.attempt.turn_id,
                error,
                exc_info=not isinstance(error, StoreError),
            )
            outcome = replace(outcome, state=State.FAILED, problem=Problem.STORAGE)
        return outcome

    async def _close(self, attempt: Attempt, outcome: Outcome) -> bool:
        closed = await self._store.close(attempt, outcome)
        self._asking.made_room()
        return closed

    async def _outcome(self, running: Running, sink: ReplySink) -> Outcome:
        if running.cause is not None:
            return running.ended()
        try:
            turn = await self._store.turn_of_attempt(running.attempt)
            if turn is None:
                running.stop(Cause.FORGOTTEN)
                return running.ended()
            return await self._asking.ask(turn, running, sink)
        except StoreError as error:
            log.error("turn %d: the database failed: %s", running.attempt.turn_id, error)
            return Outcome(State.FAILED, running.text, Problem.STORAGE)

    async def _save_regularly(self) -> None:
        while True:
            await asyncio.sleep(SAVE_EVERY)
            try:
                await self._save()
            except StoreError as error:
                log.warning("replies under way could not be saved, trying again: %s", error)
            except Exception:
                log.exception("replies under way could not be saved for a defect, trying again")

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
            {attempt: tokens for attempt, (_, tokens) in progress.items()} if self.terms.allowances else {},
        )
        for attempt, saved in progress.items():
            running = self._running.get(attempt)
            if running is not None and running.reading:
                self._saved[attempt] = saved
                if attempt not in alive:
                    running.stop(Cause.FORGOTTEN)

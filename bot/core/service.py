"""The conversations of one process: each prompt is saved and queued, answered in its turn, and stopped if it is to be.

Not its job: how one is answered (answering), what the model is sent (generation), what is written of replies (saving),
how they are shown (the platform's sink), and how they are forgotten (forgetting).
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import date
from functools import partial
from typing import Self, TypeVar
from weakref import WeakValueDictionary

from bot.core.answering import Answering, CompletePrompt
from bot.core.attempt import ActiveAttempt
from bot.core.context import BYTES_PER_TOKEN
from bot.core.counted_model import CountedModel
from bot.core.errors import OverQuota, QueueLimit, StoreError
from bot.core.figures import Figures
from bot.core.forgetting import Forgetting
from bot.core.generation import MINIMUM_REPLY_TOKENS, ReplyGenerator
from bot.core.generation_settings import GenerationSettings
from bot.core.hearing import Recording
from bot.core.outages import Outages
from bot.core.pictures import Pictures
from bot.core.protocols import ChatModel, ReplySink, Store
from bot.core.queues import QueueLimits, Queues
from bot.core.quotas import QuotaExceeded
from bot.core.recent import RecentMessages
from bot.core.saving import ReplySaver
from bot.core.summarizing import SummaryMaker
from bot.core.turn_figures import TurnFigures
from bot.core.turns import (
    Attempt,
    Conversation,
    Ending,
    Outcome,
    Prompt,
    StopReason,
    Turn,
    TurnState,
)
from bot.core.window import Room

log = logging.getLogger(__name__)

_T = TypeVar("_T")
SettlePlace = Callable[[Prompt], Awaitable[Prompt]]
"""Opens the conversation of a prompt, and returns the prompt, which belongs elsewhere where that fails."""
SAVE_EVERY = 1.0
"""Seconds between two writes of the replies' progress. A kill loses at most the text of that time."""
SWEEP_AFTER = 30
"""Writes after which the pictures of forgotten turns are dropped from memory. No request can have them any more."""


class ConversationService:
    """All conversations of one process, over one store and the models of one server.

    `today` returns the date that the system prompt names. `figures` take how the conversations go.
    """

    def __init__(
        self,
        store: Store,
        model: ChatModel,
        settings: GenerationSettings,
        limits: QueueLimits = QueueLimits(),  # noqa: B008 -- it is frozen
        *,
        today: Callable[[], date] = date.today,
        figures: Figures | None = None,
    ) -> None:
        figures = figures or Figures()
        counted = CountedModel(model, figures, settings.prices)
        self._store = store
        self.settings = settings
        self.pictures = Pictures(store.pictures)
        self._running: dict[Attempt, ActiveAttempt] = {}
        self.outages = Outages()
        self.saver = ReplySaver(store, self._running, settings, self.outages, self._closed)
        """What writes about turns, and again later where the database is away."""
        self._generator = ReplyGenerator(
            store,
            counted,
            self.pictures,
            settings,
            self.outages,
            save=self.saver.save,
            today=today,
            summaries_due=lambda: self.summaries.wake(),
        )
        self.summaries = SummaryMaker(
            store, counted, settings, self._generator.learning, self._generator.notify_released
        )
        """What is to run in the background."""
        self._answering = Answering(self._generator, self.saver, counted, TurnFigures(figures))
        self._queues = Queues(limits)
        figures.gauge("prompts_waiting", "Accepted questions that wait for their turn.", lambda: self._queues.waiting)
        figures.gauge("replies_running", "Replies under way.", lambda: self._queues.running)
        self.forgetting = Forgetting(store, self._running, self.saver, self.recent)
        self._beginning: WeakValueDictionary[int, asyncio.Lock] = WeakValueDictionary()
        """Held while a turn's other attempt begins, by the turn: of two at once, one would find that of the other."""
        self._closing = False
        self._saving: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._saving = asyncio.create_task(self._save_regularly())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
        await self.idle()
        if self._saving is not None:
            self._saving.cancel()
            await asyncio.wait([self._saving])
        await self.pictures.close()

    async def idle(self) -> None:
        """Return once no reply is under way and no prompt waits."""
        await self._queues.empty.wait()

    async def close(self, grace: float = 0.0, endings: float = 0.0) -> None:
        """Let running replies go on for `grace` seconds, then interrupt them and every later attempt.

        Waits up to `endings` seconds more until the interrupted ends are shown. For the first half of these, what could
        not be saved is tried again.
        """
        await _within(grace, self.idle())
        self._closing = True
        for running in self._running.values():
            running.stop(StopReason.SHUTDOWN)
        await _within(endings / 2, self._all_written())
        self.outages.give_up()
        await _within(endings / 2, self.idle())

    async def _all_written(self) -> None:
        await self.idle()
        await self.saver.late.written()

    @property
    def recent(self) -> RecentMessages:
        """The recent messages that go along with questions."""
        return self._generator.recent

    @property
    def last_reply_at(self) -> float | None:
        """The time at which the model last completed a reply, on the monotonic clock."""
        return self._generator.last_reply_at

    @property
    def running(self) -> Sequence[ActiveAttempt]:
        """The attempts that are waiting or under way, oldest first."""
        return tuple(self._running.values())

    def is_under_way(self, attempt: Attempt) -> bool:
        """Whether the end of an attempt is still to come, or to be shown."""
        return attempt in self._running

    async def room_for_files(self, conversation: Conversation) -> int:
        """The bytes of text that a prompt's files may have: half of what the model is sent. Raises StoreError."""
        behaviour = await self._store.personas.settings_of(conversation)
        key = self.settings.servers.key(self.settings.chosen_model(behaviour.model))
        known = await self._store.token_statistics.of(key)
        room = Room(self.settings.context_tokens, self.settings.reply_tokens)
        if known.window is not None:
            room = room.within(known.window, MINIMUM_REPLY_TOKENS)
        return int(room.context / 2 * (known.bytes_per_token or BYTES_PER_TOKEN))

    async def answer(
        self,
        prompt: Prompt,
        open_sink: Callable[[ActiveAttempt], ReplySink],
        complete: CompletePrompt | None = None,
        *,
        settle: SettlePlace | None = None,
    ) -> Outcome | None:
        """Answer a prompt until its end can be seen. The result is None if the prompt was accepted before.

        `settle` finds out where it belongs before it is committed, `complete` the rest of it afterwards.

        Prompts of one person in one conversation are answered in the order of these calls, those of different people
        side by side. Three errors mean that nothing was accepted: StoreError if the prompt cannot be saved, Overloaded
        if too many prompts are waiting, and OverQuota if the person's questions or the day's tokens are used up.
        """
        with self._queues.place(prompt.conversation, prompt.user_id, asked_in=prompt.asked_in) as turn_has_come:
            used_up = None
            if settle is not None:
                # Nothing is opened for a question that is refused.
                used_up = await self._in_time(partial(self._quota_exceeded, prompt))
                used_up = used_up or await self._in_time(partial(self._questions_exceeded, prompt.user_id))
                prompt = prompt if used_up else await self._in_time(partial(settle, prompt))
            mark, reading = self.forgetting.mark, None
            if turn_has_come.is_set() and settle is None and mark is not None:
                # At once: each waits for a database server.
                reading = self._generator.read_ahead(prompt)
            attempt = used_up or await self._begin(prompt)
            if attempt is None:
                return None
            if isinstance(attempt, QuotaExceeded):
                raise OverQuota(attempt)
            running = ActiveAttempt(prompt, attempt)
            if mark == self.forgetting.mark:
                running.read_ahead = reading
            return await self._run(running, turn_has_come, open_sink, complete)

    @property
    def hears(self) -> bool:
        """Whether voice messages can be turned into text."""
        return self.settings.transcription_model is not None

    async def hear(self, running: ActiveAttempt, recording: Recording) -> str | Outcome:
        """The words in a voice message of an attempt, or the outcome of the attempt if they cannot be had.

        Raises StoreError.
        """
        return await self._generator.hearing.hear(running, recording)

    async def retry_exceeds(self, turn: Turn, user_id: int) -> QuotaExceeded | None:
        """Return the quota that a retry of the turn for a user would exceed, or None. Raises StoreError."""
        used_up = await self._questions_exceeded(user_id)
        # Without a message: that of the turn is known already.
        return used_up or await self._quota_exceeded(
            Prompt(
                turn.conversation, turn.position, turn.prompt, user_id, guild_id=turn.guild_id, pictures=turn.pictures
            )
        )

    def queue_limit(self, turn: Turn) -> QueueLimit | None:
        """Return the queue limit that another attempt at the turn would exceed now, or None if there is room."""
        return self._queues.limit_reached(turn.conversation, turn.user_id)

    async def retry(
        self,
        turn: Turn,
        open_sink: Callable[[ActiveAttempt], ReplySink],
        complete: CompletePrompt | None = None,
        *,
        user_id: int | None = None,
        reads_history: bool = True,
        resume: bool = False,
        recovery: bool = False,
    ) -> Outcome | None:
        """Make another attempt at an ended turn, charged to the user who asks for it. The queue limits do not apply.

        `reads_history` tells whether that user may read the history of the place. With `resume` the reply goes on from
        its text so far, otherwise it starts again. `recovery` marks an attempt
        that nobody asked for, which is charged as the one before. None: another attempt was already made. Raises
        StoreError and OverQuota, with nothing changed.
        """
        prompt = Prompt(
            turn.conversation,
            turn.position,
            turn.prompt,
            turn.user_id,
            turn.author_name,
            turn.guild_id,
            message_id=turn.message_id,
            pictures=turn.pictures,
            target_id=turn.target_id,
            asked_in=turn.asked_in,
        )
        with self._queues.place(turn.conversation, turn.user_id, accepted=True) as turn_has_come:
            reopen = partial(
                self._store.turns.reopen,
                Attempt(turn.id, turn.attempt),
                turn.state,
                user_id=user_id,
                hourly_limit=self._hourly_limit,
                reads_history=reads_history,
                recovery=recovery,
            )
            async with self._beginning.setdefault(turn.id, asyncio.Lock()):
                # Nobody else recovers a turn: what is there was made by an earlier call, which had no answer.
                attempt = await self._begun(reopen, partial(self._reopened, turn), first_try=not recovery)
            if attempt is None:
                return None
            if isinstance(attempt, QuotaExceeded):
                raise OverQuota(attempt)
            running = ActiveAttempt(
                prompt,
                attempt,
                resumed_text=turn.reply if resume else "",
                previous_text="" if resume else turn.reply,
                previous_end=None if resume else _end_of(turn),
                answered_by=turn.answered_by,
            )
            return await self._run(running, turn_has_come, open_sink, complete)

    async def _begin(self, prompt: Prompt) -> Attempt | QuotaExceeded | None:
        """Commit a prompt, as `TurnStore.begin` does, once the database takes it. Raises StoreError."""
        least = self._generator.least_request(prompt)
        begin = partial(self._store.turns.begin, prompt, self._hourly_limit, least)
        return await self._begun(begin, partial(self._store.turns.begun, prompt))

    async def _reopened(self, turn: Turn) -> Attempt | None:
        """The attempt after the one of a turn, if it has begun and not ended."""
        following = Attempt(turn.id, turn.attempt + 1)
        return None if await self._store.turns.of_attempt(following) is None else following

    async def _begun(
        self,
        begin: Callable[[], Awaitable[Attempt | QuotaExceeded | None]],
        find: Callable[[], Awaitable[Attempt | None]],
        *,
        first_try: bool = True,
    ) -> Attempt | QuotaExceeded | None:
        """Commit an attempt, once the database takes it. Raises StoreError.

        A try without an answer may have been made all the same. So a further one has to `find` what is there already.
        """
        is_first = first_try

        async def try_once() -> Attempt | QuotaExceeded | None:
            nonlocal is_first
            may_be_there, is_first = not is_first, False
            attempt = await begin()
            if may_be_there and not isinstance(attempt, Attempt):
                begun = await find()
                if begun is not None and begun not in self._running:
                    return begun
            return attempt

        return await self._in_time(try_once)

    async def _in_time(self, work: Callable[[], Awaitable[_T]]) -> _T:
        """Do some of what comes before a prompt is on record, once the database takes it. Raises StoreError."""
        return await self.outages.wait_out(work, needed=lambda: not self._closing)

    async def _quota_exceeded(self, prompt: Prompt) -> QuotaExceeded | None:
        """The quota that leaves no tokens for a reply, even if running requests use none."""
        if self.settings.quotas is None:
            return None
        return await self._store.quotas.exceeded(prompt, self._generator.least_request(prompt))

    async def _questions_exceeded(self, user_id: int | None) -> QuotaExceeded | None:
        if self.settings.quotas is None or user_id is None:
            return None
        return await self._store.quotas.questions_exceeded(user_id, self._hourly_limit)

    @property
    def _hourly_limit(self) -> int | None:
        return self.settings.quotas.hourly_questions_per_user if self.settings.quotas else None

    async def _run(
        self,
        running: ActiveAttempt,
        turn_has_come: asyncio.Event,
        open_sink: Callable[[ActiveAttempt], ReplySink],
        complete: CompletePrompt | None,
    ) -> Outcome:
        self._running[running.attempt] = running
        if self._closing:
            running.stop(StopReason.SHUTDOWN)
        try:
            return await self._answering.run(running, turn_has_come, open_sink, complete)
        finally:
            del self._running[running.attempt]
            self.saver.forget_progress(running.attempt)

    def _closed(self, titles: bool) -> None:
        self._generator.notify_released()
        if titles:
            self.summaries.wake()

    async def _save_regularly(self) -> None:
        for number in itertools.count(1):
            await asyncio.sleep(SAVE_EVERY)
            try:
                await self.saver.save()
                if number % SWEEP_AFTER == 0:
                    await self.pictures.sweep()
            except StoreError as error:
                log.warning("running replies could not be saved, trying again: %s", error)
            except Exception:
                log.exception("running replies could not be saved because of a bug, trying again")


def _end_of(turn: Turn) -> Ending | None:
    """How a turn ended whose text can be kept. None: it has none, or a process ended under it."""
    ended = turn.state in (TurnState.COMPLETE, TurnState.STOPPED, TurnState.FAILED)
    return Ending(turn.state, turn.failure) if ended and turn.reply else None


async def _within(seconds: float, work: Awaitable[None]) -> None:
    """Wait for some work, for up to so many seconds."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await work

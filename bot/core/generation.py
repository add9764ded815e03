"""The requests of an attempt: which models are asked, and with how much."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import date
from functools import partial

from bot.core import context
from bot.core.attempt import ActiveAttempt, TokenCounter
from bot.core.counted_model import CountedModel
from bot.core.errors import ContextTooLong, EmptyStream, PicturesRefused, StoreError
from bot.core.fallback import FailingModels, may_be_replaced
from bot.core.generation_settings import GenerationSettings
from bot.core.hearing import Hearing
from bot.core.learning import ModelLearning, cut_advice
from bot.core.log_entries import FailureLog
from bot.core.model_events import TokenStatistics
from bot.core.outages import Outages
from bot.core.pictures import PictureProblem, Pictures
from bot.core.preparing import RequestPreparer, is_old
from bot.core.protocols import ReplySink, Store
from bot.core.quotas import Usage
from bot.core.recent import RecentMessages
from bot.core.reply_reader import ReplyReader
from bot.core.requests import Asking, OnRecord, Request
from bot.core.turns import Attempt, Conversation, FailureReason, Outcome, Prompt, StopReason, Turn, TurnState
from bot.core.usage import ANY_REQUEST, LeastRequest
from bot.core.window import Room

log = logging.getLogger(__name__)

MAX_HALVINGS = 3
"""The number of times that a refused request is made smaller before the turn fails."""
MINIMUM_REPLY_TOKENS = 100
"""The fewest tokens with which a reply is begun."""
PICTURES_WITHIN = 30.0
"""Seconds that a question waits for its own pictures, before it takes a slot of its server."""
LATELY = 4
"""Turns before a question whose pictures it may be about, so that a model is asked that can see them."""


class _CannotSee(Exception):
    """A model has refused the pictures that a question is about."""


class ReplyGenerator:
    """All requests of one process. `pictures` are those that prompts show.

    `save` writes the progress of a conversation's replies to the store. `today` returns the date that the system prompt
    names, and `summaries_due` is called when there are summaries to be made.
    """

    def __init__(
        self,
        store: Store,
        model: CountedModel,
        pictures: Pictures,
        settings: GenerationSettings,
        outages: Outages,
        *,
        save: Callable[[Conversation], Awaitable[None]],
        today: Callable[[], date],
        summaries_due: Callable[[], None],
    ) -> None:
        self._store = store
        self._model = model
        self._pictures = pictures
        self._settings = settings
        self._outages = outages
        self._preparer = RequestPreparer(
            store,
            pictures,
            settings.quotas,
            settings.prices,
            outages,
            save=save,
            today=today,
            about_memory=settings.about_memory,
            summaries_due=summaries_due if settings.summaries else None,
        )
        self.recent = RecentMessages(store.recent_authors, outages)
        self._failing = FailingModels()
        self.learning = ModelLearning()
        """What the requests have shown of the models. Those for summaries share it."""
        self._failures = FailureLog()
        self._reader = ReplyReader(store, model, settings, self.learning, self._failures)
        self.hearing = Hearing(store, model, settings.transcription_model, self._preparer, self._failures, outages)

    @property
    def last_reply_at(self) -> float | None:
        """The time at which the model last completed a reply, on the monotonic clock."""
        return self._reader.last_reply_at

    def least_request(self, prompt: Prompt) -> LeastRequest:
        """The least that a prompt can be answered with."""
        if self._settings.quotas is None:
            return ANY_REQUEST
        tokens = context.tokens(prompt.text, context.BYTES_PER_TOKEN)
        # Not all pictures may be sent. One without which there is nothing to answer is.
        tokens += min((each.tokens for each in prompt.pictures), default=0)
        # The model is not known yet: it may be the cheapest.
        may_answer = (*self._settings.models, self._settings.fallback_model or "", self._settings.vision_model or "")
        prices = filter(None, map(self._settings.prices.of_models.get, may_answer))
        price = min(prices, key=lambda price: price.cost(Usage(tokens, self._minimum)), default=None)
        return LeastRequest(tokens, self._minimum, self._settings.quotas, price)

    def notify_released(self) -> None:
        """Wake the requests that wait for reserved tokens, because a reservation was released."""
        self._preparer.notify_released()

    async def generate(self, running: ActiveAttempt, sink: ReplySink) -> Outcome:
        """Ask the model of the conversation, or the fallback if that one fails before its first word.

        A model that failed a short time ago is left out, unless somebody asked for another attempt. Raises StoreError.
        """
        found = await self._find(running)
        system_prompt = found.behaviour.persona or self._settings.system_prompt
        first, fallback = self._settings.chosen_model(found.behaviour.model), self._settings.fallback_model
        # Before a slot is taken: what is somebody's file keeps nobody else waiting.
        own = [each._replace(turn_id=running.attempt.turn_id) for each in running.prompt.pictures]
        await running.wait_for(self._pictures.loading(own, PICTURES_WITHIN))
        outcome: Outcome | None = None
        if fallback in (None, first) or running.attempt.number > 1 or not self._failing.is_resting(first):
            first, outcome = await self._ask_seeing(running, sink, first, system_prompt, found)
            if fallback is None or fallback == first or not may_be_replaced(outcome, running):
                if running.stop_reason is None and running.estimated_usage() is not None:
                    self._failing.discard(first)
                return outcome
            self._failing.add(first)
            await self._settle_first(running, outcome)
        # Why is in the log already: once as a warning.
        log.info("turn %d: %s is asked in place of %s", running.attempt.turn_id, fallback, first)
        described = self._settings.servers.described(fallback)
        return replace(await self._ask(running, sink, fallback, system_prompt, described=described), replaced=outcome)

    def read_ahead(self, prompt: Prompt) -> asyncio.Task[OnRecord]:
        """Read what is on record for a prompt, as it begins. It has no turn yet, and may have no conversation."""
        reading = asyncio.create_task(self._read(prompt, None))
        # Whoever is refused does not ask for it.
        reading.add_done_callback(lambda task: task.cancelled() or task.exception())
        return reading

    async def _find(self, running: ActiveAttempt) -> OnRecord:
        """What is on record for an attempt. Raises StoreError."""
        found = await self._found_ahead(running)
        if found is None:
            found = await self._outages.during(running, partial(self._read, running.prompt, running.attempt))
        return found

    async def _found_ahead(self, running: ActiveAttempt) -> OnRecord | None:
        """What was read as the attempt began, if it is new, with its turn. None: it is to be read."""
        reading, running.read_ahead = running.read_ahead, None
        if reading is None:
            return None
        turn = self._store.turns.as_begun(running.prompt, running.attempt)
        try:
            if turn is None:
                turn, found = await asyncio.gather(self._store.turns.of_attempt(running.attempt), reading)
            else:
                found = await reading
        except StoreError:
            return None
        window = found.stored.window
        # Where there was nothing, the conversation may have been opened since, on a turn elsewhere.
        is_something = bool(window.turns or window.running)
        return replace(found, turn=turn) if is_something and not is_old(found.stored) else None

    async def _read(self, prompt: Prompt, attempt: Attempt | None) -> OnRecord:
        # At once: each read waits for a database server.
        behaviour, turn, statistics, stored = await asyncio.gather(
            self._store.personas.settings_of(prompt.conversation),
            _no_turn() if attempt is None else self._store.turns.of_attempt(attempt),
            self._store.token_statistics.of_all(),
            self._preparer.read(prompt, attempt.turn_id if attempt else None, self._settings.context_tokens),
        )
        return OnRecord(behaviour, turn, statistics, stored)

    async def _ask_seeing(
        self, running: ActiveAttempt, sink: ReplySink, model: str, system_prompt: str, found: OnRecord
    ) -> tuple[str, Outcome]:
        """Ask a model, or the one for pictures if there are some that it cannot see. Returns which was asked."""
        vision = self._settings.vision_model
        if vision in (None, model):
            return model, await self._ask(running, sink, model, system_prompt, found)
        if await self._model.most_pictures(model) != 0 or not await self._is_about_pictures(running):
            try:
                return model, await self._ask(running, sink, model, system_prompt, found, may_be_blind=False)
            except _CannotSee:
                await self._settle_first(running, Outcome(TurnState.FAILED))
        log.info("turn %d: %s is asked about images in place of %s", running.attempt.turn_id, vision, model)
        described = self._settings.servers.described(vision)
        return vision, await self._ask(running, sink, vision, system_prompt, described=described)

    async def _is_about_pictures(self, running: ActiveAttempt) -> bool:
        """Whether a question, or one a short time before it, shows pictures."""
        if running.prompt.pictures:
            return True
        turn_id = running.attempt.turn_id
        page = await self._outages.during(running, lambda: self._store.windows.earlier(turn_id, None, LATELY))
        return any(turn.pictures for turn in (*page.running, *page.turns))

    async def _settle_first(self, running: ActiveAttempt, outcome: Outcome) -> None:
        """Charge the failed request to its own model, so that the fallback is reserved and charged for itself."""
        usage = running.estimated_usage(outcome.usage)
        if running.model is not None and usage is not None:
            self._model.used(running.model, usage)
        if self._settings.quotas is not None and usage is not None:
            settle = partial(self._store.quotas.settle_replaced, running.attempt, usage)
            await self._outages.during(running, settle)
            self._preparer.notify_released()
        running.tokens = TokenCounter()

    async def _ask(
        self,
        running: ActiveAttempt,
        sink: ReplySink,
        model: str,
        system_prompt: str,
        found: OnRecord | None = None,
        *,
        described: str | None = None,
        may_be_blind: bool = True,
    ) -> Outcome:
        """Ask a model, once its server has a free slot. `described` is what people are told of another than theirs.

        `found` is used while it is new. Raises _CannotSee if the model refuses the pictures that the question is about,
        unless it `may_be_blind`.
        """
        async with self._slot(running, model):
            if running.stop_reason is not None:
                return running.stop_outcome()
            if found is None or is_old(found.stored):
                found = await self._find(running)
            turn, key = found.turn, self._settings.servers.key(model)
            if turn is None:
                running.stop(StopReason.FORGOTTEN)
                return running.stop_outcome()
            running.asked = turn.prompt
            # A reply that goes on keeps what is said of its beginning. One without a word leaves the earlier reply.
            earlier = running.answered_by
            running.answered_by = described or (earlier if running.resumed_text else None)
            try:
                if running.answered_by != turn.answered_by:
                    # Before the first word, so that a kill in the middle does not hide it.
                    note = partial(self._store.turns.set_answered_by, running.attempt, running.answered_by)
                    await self._outages.during(running, note)
                # What a fallback has no room for is not lost for the model of the conversation.
                moves_window = described is None and running.attempt.number == 1
                most_pictures = await self._model.most_pictures(model)
                await self.recent.add_to(running)
                asking = Asking(
                    turn,
                    found.stored,
                    running,
                    sink,
                    model,
                    key,
                    system_prompt,
                    found.statistics.get(key, TokenStatistics()),
                    moves_window,
                    most_pictures,
                )
                return await self._request(asking, may_be_blind=may_be_blind)
            finally:
                if running.text == running.resumed_text:
                    running.answered_by = earlier

    @asynccontextmanager
    async def _slot(self, running: ActiveAttempt, model: str) -> AsyncIterator[None]:
        """Hold one of the slots of a model's server during the block, after a wait for it that a stop ends.

        Nothing is reserved during the wait.
        """
        prompt = running.prompt
        slots = await self._model.slots(model)
        if slots is None:
            yield
            return
        with slots.place(prompt.conversation, prompt.user_id, accepted=True) as slot_is_free:
            await running.wait_for(slot_is_free)
            yield

    async def _request(self, asking: Asking, *, may_be_blind: bool) -> Outcome:
        """Ask a model, in a smaller window each time the server refuses a request as too long. Raises StoreError."""
        settings, turn, running, model = self._settings, asking.turn, asking.running, asking.model
        key, before = asking.key, asking.learned
        wanted = Room(settings.context_tokens, settings.reply_tokens)
        longest = await self._model.longest_reply(model)
        room = self.learning.room(key, wanted, settings.reasoning_effort, longest, before, self._minimum)
        request = await self._preparer.prepare(asking, room, self._minimum)
        if isinstance(request, Outcome):
            return request
        asking.sink.start()
        tried_anew = self.learning.tries_more(key, before, request.size)
        refusals, asked_again, window = 0, False, None
        while True:
            while not await self.recent.may_be_sent(running):
                await self._preparer.rebuild(asking, request, room)
            outcome = await running.read(asyncio.create_task(self._reader.read(asking, request)))
            outcome = replace(outcome, model=model, unseen=request.fitting.unseen)
            if isinstance(request.error, PicturesRefused):
                if not may_be_blind and request.error.most in (0, None) and await self._is_about_pictures(running):
                    raise _CannotSee
                asking.refuse_pictures(request.error)
                fewer = await self._preparer.prepare(asking, room, self._minimum)
                if isinstance(fewer, Outcome):
                    return fewer
                request = fewer
            elif outcome.failure is FailureReason.TOO_LONG and refusals < MAX_HALVINGS:
                smaller = await self._smaller(asking, request, room)
                if smaller is None and request.fitting.has_pictures:
                    asking.most_pictures, asking.blind = 0, PictureProblem.LEFT_OUT
                    smaller = await self._smaller(asking, request, room)
                if smaller is None:
                    break
                refusals += 1
                room, request = smaller
                window = room.window
            elif not asked_again and (other := await self._room_again(asking, request, outcome, room)) is not None:
                asked_again, room = True, other
                further = await self._further(asking, request, outcome, room)
                if isinstance(further, Outcome):
                    return further
                if isinstance(request.error, EmptyStream) and further.fitting.tokens < request.fitting.tokens:
                    # The window of which this context may take three quarters.
                    window = further.fitting.tokens * 4 // 3
                    self.learning.mark_tried(key)
                request = further
            else:
                break
        if outcome.failure is FailureReason.OUT_OF_ROOM:
            self._failures.add(model, turn.id, outcome.detail)
        now = asking.learned
        if (outcome.usage is not None or running.tokens.reply_tokens) and (window is not None or tried_anew):
            now = replace(now, window=window)
        if outcome.usage is not None:
            messages = request.fitting.messages()
            now, cut = self.learning.from_count(key, turn.conversation, now, messages, outcome.usage)
            if cut:
                advice = cut_advice(model, settings.context_tokens + settings.reply_tokens)
                log.warning("turn %d: only %d tokens were read. %s", turn.id, outcome.usage.prompt_tokens, advice)
                outcome = replace(outcome, context_cut=True, detail=outcome.detail or advice)
        if now != before:
            running.new_statistics = (key, now)
        return outcome

    async def _room_again(self, asking: Asking, request: Request, outcome: Outcome, room: Room) -> Room | None:
        """The limits of a second request, if the first one had too little room for a reply. Otherwise None."""
        if isinstance(request.error, EmptyStream):
            return Room(max(1, request.fitting.tokens // 2), max(self._minimum, request.reply_tokens // 2))
        if outcome.failure is not FailureReason.OUT_OF_ROOM or not request.ended_at_limit:
            return None
        self.learning.mark_reasoning(asking.key)
        longest = await self._model.longest_reply(asking.model)
        more = room.with_more_reasoning(request.reply_tokens).with_reply_within(longest)
        return more if more.beside(request.fitting.tokens) > request.reply_tokens else None

    async def _further(self, asking: Asking, request: Request, outcome: Outcome, room: Room) -> Request | Outcome:
        """A further request of the attempt, with a reservation of its own, or the outcome without it."""
        running = asking.running
        running.discard()
        spent = running.tokens.settle(outcome.usage)
        minimum = request.reply_tokens if outcome.failure is FailureReason.OUT_OF_ROOM else self._minimum
        further = await self._preparer.prepare(asking, room, minimum, spent)
        if isinstance(further, Outcome) and further.failure is FailureReason.BUSY:
            return replace(outcome, usage=None)
        return further

    async def _smaller(self, asking: Asking, refused: Request, room: Room) -> tuple[Room, Request] | None:
        """A request that fits the window that a refusal names, or else half of what was refused.

        The result is None if nothing of the refused request can be left out.
        """
        error, minimum, fitting, named = refused.error, self._minimum, refused.fitting, None
        if isinstance(error, ContextTooLong):
            asking.learned, named = self.learning.from_refusal(
                asking.key, asking.learned, error, fitting.messages(), fitting.tokens, refused.reply_tokens
            )
        else:
            self.learning.mark_tried(asking.key)
        room = room.within(named or refused.size // 2, minimum)
        fitting = await self._preparer.context(asking, room.context, room.context)
        reply_tokens = min(room.beside(fitting.tokens), refused.reply_tokens)
        if reply_tokens < minimum and named is None:
            # The prompt and the shortest reply take more than half, so each is made as small as it can be.
            reply_tokens = max(minimum, refused.reply_tokens // 2)
            fitting = await self._preparer.context(asking, refused.fitting.tokens // 2, room.context)
            room = replace(room, window=fitting.tokens + reply_tokens)
        smaller = fitting.tokens + reply_tokens < refused.size
        if reply_tokens < minimum or not smaller:
            return None
        return room, Request(fitting, reply_tokens, refused.limited_by)

    @property
    def _minimum(self) -> int:
        return min(MINIMUM_REPLY_TOKENS, self._settings.reply_tokens)


async def _no_turn() -> Turn | None:
    return None

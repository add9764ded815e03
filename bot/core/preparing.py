"""Requests ready to be sent: a context that fits, and a reservation of the tokens for it and for the reply."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from datetime import date
from functools import partial

from bot.core.attempt import ActiveAttempt
from bot.core.context import Context
from bot.core.illustrating import MOST_PICTURES, bounded, chosen
from bot.core.outages import Outages
from bot.core.pictures import PictureProblem, Pictures
from bot.core.protocols import Store
from bot.core.quotas import Contended, QuotaExceeded, Quotas, Reservation, Usage
from bot.core.requests import Asking, Request, Stored
from bot.core.summaries import NO_SUMMARIES, WindowSummaries
from bot.core.turns import Conversation, FailureReason, Outcome, Prompt, StopReason, TurnState
from bot.core.usage import Prices
from bot.core.window import Room

log = logging.getLogger(__name__)

MAX_HALVINGS = 3
"""The number of times that a context is halved because the whole of it would use more than is left of a quota."""
PAGE_SIZE = 32
"""The fewest turns that are read from the store at a time."""
MAX_PAGE_SIZE = 512
"""The most turns that are read from the store at a time."""
TYPICAL_TURN_TOKENS = 100
"""The assumed tokens of a turn, before the first turns of a conversation are read."""
CONTEXT_MAX_AGE = 0.1
"""Seconds after which a context is built again, so that nothing is sent that was forgotten during a wait for tokens."""
EARLIER_PICTURES_WITHIN = 3.0
"""Seconds that a question waits for the pictures of turns before it: it is somebody else's file that is slow."""
RESERVATION_TIMEOUT = 20.0
"""Seconds that a request waits for tokens that others have reserved. Most of them use far fewer."""
RELEASED_ELSEWHERE = 1.0
"""Seconds after which it asks again for what another process may have released."""


class RequestPreparer:
    """The requests that wait for their context and their reservation.

    Without quotas nothing is reserved. `save` writes the progress of a conversation's replies to the store. `today`
    returns the date that a question names, and `about_memory` is what the system prompt says on how people make notes.
    `summaries_due` is called when there are summaries to be made; without it, none are made or sent.
    """

    def __init__(
        self,
        store: Store,
        pictures: Pictures,
        quotas: Quotas | None,
        prices: Prices,
        outages: Outages,
        *,
        save: Callable[[Conversation], Awaitable[None]],
        today: Callable[[], date],
        about_memory: str = "",
        summaries_due: Callable[[], None] | None = None,
    ) -> None:
        self._store = store
        self._pictures = pictures
        self._quotas = quotas
        self._prices = prices
        self._outages = outages
        self._save = save
        self._today = today
        self._about_memory = about_memory
        self._summaries_due = summaries_due
        self._released = asyncio.Event()
        """Set and replaced at the end of each request."""

    def notify_released(self) -> None:
        """Wake the requests that wait for reserved tokens, because a reservation was released."""
        self._released.set()
        self._released = asyncio.Event()

    async def prepare(self, asking: Asking, room: Room, minimum: int, spent: Usage | None = None) -> Request | Outcome:
        """A request in this room with its reservation, or the outcome if there is none for it.

        Its reply has at least `minimum` tokens. If the whole context costs too much, only its latest part is sent. One
        reservation covers all requests of the attempt that the server refuses, because it works on the last one only.
        `spent` is what earlier requests used that it did not refuse.
        """
        running = asking.running
        if asking.stored is not None and is_old(asking.stored):
            asking.stored = None
        built_at = asking.stored.read_at if asking.stored else _now()
        # What a refusal or a quota leaves too little room for is not lost for the requests to come.
        moves_window = asking.moves_window and spent is None
        fitting = await self.context(asking, room.context, room.context, moves_window=moves_window)
        grant = await self._reserve(asking, fitting, room, minimum, spent)
        for _ in range(MAX_HALVINGS):
            if not isinstance(grant, QuotaExceeded):
                break
            smaller = await self.context(asking, fitting.tokens // 2, room.context)
            if smaller.tokens == fitting.tokens:
                break
            fitting = smaller
            grant = await self._reserve(asking, fitting, room, minimum, spent)
        if _now() - built_at > CONTEXT_MAX_AGE:
            fitting = await self.context(asking, fitting.tokens, room.context)
        if grant is None:
            running.stop(StopReason.FORGOTTEN)
        if running.stop_reason is not None or grant is None:
            return running.stop_outcome()
        if isinstance(grant, QuotaExceeded):
            return Outcome(TurnState.FAILED, running.text, FailureReason.QUOTA, quota_exceeded=grant)
        if isinstance(grant, Contended):
            log.warning("turn %d: the rest of today's tokens is reserved for other questions", asking.turn.id)
            return Outcome(TurnState.FAILED, running.text, FailureReason.BUSY)
        return Request(fitting, grant.reply_tokens, grant.limited_by)

    async def rebuild(self, asking: Asking, request: Request, room: Room) -> None:
        """Give a request a new context, no larger than the one for which its tokens are reserved."""
        request.fitting = await self.context(asking, request.fitting.tokens, room.context)

    async def _reserve(
        self, asking: Asking, fitting: Context, room: Room, minimum: int, spent: Usage | None
    ) -> Reservation | QuotaExceeded | Contended | None:
        reply_tokens = max(minimum, room.beside(fitting.tokens))
        return await self.reserve(asking.running, asking.model, fitting.reserved_tokens, reply_tokens, minimum, spent)

    async def reserve(
        self,
        running: ActiveAttempt,
        model: str,
        prompt_tokens: int,
        reply_tokens: int,
        minimum: int,
        spent: Usage | None = None,
    ) -> Reservation | QuotaExceeded | Contended | None:
        """Reserve tokens for a request of an attempt.

        While other requests hold them, it waits until some are released, and in the end accepts fewer than it wants.
        Contended: none are left, or the attempt was stopped during the wait. Without quotas, all are granted.
        """
        quotas = self._quotas
        if quotas is None:
            return Reservation(reply_tokens)
        give_up = _now() + RESERVATION_TIMEOUT
        while True:
            released, accept_partial = self._released, _now() >= give_up
            reserve = partial(
                self._store.quotas.reserve,
                running.attempt,
                model,
                prompt_tokens,
                reply_tokens,
                minimum,
                quotas,
                price=self._prices.of_models.get(model),
                spent=spent,
                accept_partial=accept_partial,
            )
            answer = await self._outages.during(running, reserve)
            if not isinstance(answer, Contended) or accept_partial:
                return answer
            with suppress(TimeoutError):
                async with asyncio.timeout_at(min(give_up, _now() + RELEASED_ELSEWHERE)):
                    await running.wait_for(released)
            if running.stop_reason is not None:
                return answer

    async def context(self, asking: Asking, budget: int, window: int, *, moves_window: bool = False) -> Context:
        """The context of at most so many tokens: from the beginning of the window, or else the latest turns that fit.

        `window` is the most that the context may take in the model's window. With `moves_window` a full one begins
        further on, for all requests of the conversation from now on.
        """
        build = partial(self._built, asking, budget, window, moves_window)
        fitting = await self._outages.during(asking.running, build)
        await self._illustrate(asking, fitting)
        return fitting

    async def _built(self, asking: Asking, budget: int, window: int, moves_window: bool) -> Context:
        """The context without its pictures."""
        begins, fitting = await self._collected(asking, budget, window)
        return await self._moved(asking, budget, window, begins, fitting) if moves_window else fitting

    async def _moved(self, asking: Asking, budget: int, window: int, begins: int, fitting: Context) -> Context:
        """The context, from further on if it is full. What leaves the window next is put on record before that."""
        turn_id, due = asking.turn.id, self._summaries_due
        if (to := fitting.moved_beginning) is not None and to > begins:
            # Another request may have moved it: then it begins where that one says.
            await self._store.windows.move(turn_id, begins, to, summarized=due is not None)
            _, fitting = await self._collected(asking, budget, window)
        elif due is not None and (ends := fitting.next_block) is not None:
            await self._store.summaries.plan(turn_id, begins, ends)
        else:
            return fitting
        if due is not None:
            due()
        return fitting

    async def _illustrate(self, asking: Asking, fitting: Context) -> None:
        """Give the context its pictures. The prompt's own are in memory by now, as far as they can be had."""
        earlier, own = fitting.references
        if not earlier and not own:
            return
        most = min(MOST_PICTURES, MOST_PICTURES if asking.most_pictures is None else asking.most_pictures)
        if not most:
            fitting.show({}, asking.blind)
            return
        sent_earlier, sent_own = chosen(earlier, own, most)
        within, asking.pictures_awaited = 0.0 if asking.pictures_awaited else EARLIER_PICTURES_WITHIN, True
        await self._pictures.load((*sent_earlier, *sent_own), within)
        left_out = dict.fromkeys({*earlier, *own} - {*sent_earlier, *sent_own}, PictureProblem.LEFT_OUT)
        found = bounded(self._pictures.found((*sent_earlier, *sent_own)), sent_earlier, sent_own)
        fitting.show({**left_out, **found}, PictureProblem.UNAVAILABLE)

    async def read(self, prompt: Prompt, turn_id: int | None, budget: int) -> Stored:
        """What is on record for a context of about so many tokens. Without a turn, the prompt begins only now.

        Raises StoreError.
        """
        # The context includes the text so far of other people's running replies, so the store needs it.
        await self._save(prompt.conversation)
        windows, read_at = self._store.windows, _now()
        most_turns = min(max(PAGE_SIZE, budget // TYPICAL_TURN_TOKENS), MAX_PAGE_SIZE)
        # At once: each waits for a database server.
        window, notes, summaries = await asyncio.gather(
            windows.ahead(prompt, most_turns) if turn_id is None else windows.earlier(turn_id, None, most_turns),
            self._store.notes.texts_of(prompt.user_id, prompt.guild_id),
            self._summaries_ahead(prompt) if turn_id is None else self._summaries_before(turn_id, None),
        )
        return Stored(window, most_turns, notes, summaries, read_at)

    async def _collected(self, asking: Asking, budget: int, window: int) -> tuple[int, Context]:
        """The number with which the window begins, and the context of the turns from there on that fit."""
        turn = asking.turn
        stored = asking.stored or await self.read(asking.running.prompt, turn.id, budget)
        asking.stored = None
        first, summaries, limit = stored.window, stored.summaries, stored.most_turns
        page = first
        if (first.turns or first.running) and summaries.begins not in (None, first.begins):
            # Another request has moved the window meanwhile. They are to be those before what was read of it.
            summaries = await self._summaries_before(turn.id, first.begins)
        fitting = Context(
            asking.system_prompt,
            turn,
            begun=asking.running.resumed_text,
            notes=stored.notes,
            recent=asking.running.prompt.recent,
            summaries=summaries,
            about_memory=self._about_memory,
            today=self._today(),
            budget=budget,
            window=window,
            # Pictures that are not sent take no room.
            learned=asking.learned if asking.most_pictures != 0 else replace(asking.learned, picture_ratio=0.0),
        )
        fitting.add_running(page.running)
        while all(map(fitting.add, page.turns)) and len(page.turns) == limit:
            before = page.turns[-1].number
            limit = min(max(PAGE_SIZE, fitting.room + PAGE_SIZE // 4), MAX_PAGE_SIZE)
            page = await self._store.windows.earlier(turn.id, before, limit)
        return first.begins, fitting

    async def _summaries_before(self, turn_id: int, begins: int | None) -> WindowSummaries:
        return NO_SUMMARIES if self._summaries_due is None else await self._store.summaries.in_context(turn_id, begins)

    async def _summaries_ahead(self, prompt: Prompt) -> WindowSummaries:
        return NO_SUMMARIES if self._summaries_due is None else await self._store.summaries.ahead(prompt)


def is_old(stored: Stored) -> bool:
    """Whether too much may have been forgotten since it was read."""
    return _now() - stored.read_at > CONTEXT_MAX_AGE


def _now() -> float:
    return asyncio.get_running_loop().time()

"""Has the model summarize what leaves the conversations' windows, and title threads, in the background.

Each summary is a row from before its request until it is made or given up, so that a kill loses none. It is made from
its block alone, so that nothing of another block is in it, and is committed only if the block is still the same.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace

from bot.core.attempt import TokenCounter
from bot.core.context import (
    BYTES_PER_TOKEN,
    KEPT_OF_FULL,
    as_sent,
    system_message,
    system_share,
    tokens,
    tokens_to_reserve,
)
from bot.core.counted_model import CountedModel
from bot.core.errors import ContextTooLong, ModelError, StoreError
from bot.core.generation_settings import GenerationSettings
from bot.core.learning import ModelLearning, cut_advice
from bot.core.model_events import Discard, Message, Origin, Reasoning, Text, TokenStatistics
from bot.core.protocols import Store
from bot.core.quotas import Usage
from bot.core.summaries import TITLE, Block, SummaryJob
from bot.core.titles import TITLE_TOKENS, title_request, written_title
from bot.core.turns import Attempt, Conversation, EarlierTurn, FailureReason, is_blank
from bot.core.window import Room

log = logging.getLogger(__name__)

PACE = 60.0
"""Seconds between the beginnings of two requests for summaries of one conversation."""
LOOK_EVERY = 15.0
"""Seconds after which it is looked again for what is due."""
BACK_OFF = (60.0, 600.0, 3600.0)
"""Seconds to the next try after each failure. After one more the summary is given up."""
NO_ROOM_FOR = 900.0
"""Seconds to the next try where the quotas leave no room."""
_UNPLACED = 100
"""The most titles that are kept for a platform that fails."""
_AT_ONCE = 4
"""Summaries of different conversations that are made at the same time."""
_SHARE = 40
"""The part of the window that a summary of a block takes at most, as a divisor. One of a higher level may take more."""
_HIGHEST_SHARE = 4
_FEWEST_TOKENS = 128
_WORDS_PER_TOKEN = 0.6
_BLOCK_SLACK = 1.5
"""How much longer a block may be than was planned: the window may have been moved later than at its end."""
_OVERRUN = 2
"""The multiple of its tokens that a summary may use before it is cut off, by our estimate."""

ASKED_FOR = "[Summarize"
"""The beginning of the instruction in a request's last message."""
_WHAT_FOR = (
    "{asked} in at most {words} words, because you will no longer be shown the messages themselves. Carry over word "
    "for word: names, numbers, dates, decisions and open questions, and who said each. Leave out greetings and general "
    "knowledge. Write lines that begin with “- ”, in the order and in the language in which it was said. Write nothing "
    "but the summary.]"
)
_TURNS = "the conversation above"
_SUMMARIES = "these summaries of parts of the conversation into one"


PlaceTitle = Callable[[Conversation, str, EarlierTurn], Awaitable[bool]]
"""Gives the thread of a conversation a title in place of the first one, which was made from the question of this turn.

False: the platform fails, and may take it later.
"""


@dataclass(frozen=True, slots=True)
class _SummaryRequest:
    """A request for a summary. `learned` is what was known of the model, under its `key`, when it was asked."""

    job: SummaryJob
    block: Block
    model: str
    key: str
    learned: TokenStatistics
    messages: list[Message]
    text_tokens: int
    """The tokens that the summary may have."""
    reply_tokens: int
    """The tokens that the model is allowed, with those for reasoning."""

    @property
    def bytes_per_token(self) -> float:
        """The ratio of all estimates."""
        return self.learned.bytes_per_token or BYTES_PER_TOKEN

    @property
    def tokens(self) -> int:
        """The estimated tokens that are sent."""
        return sum(tokens(message.content, self.bytes_per_token) for message in self.messages)


@dataclass(slots=True)
class _Answer:
    """What came of a request. Without a text nothing did, because of the error if there is one."""

    text: str | None = None
    usage: Usage | None = None
    error: ModelError | None = None


class SummaryMaker:
    """Makes the summaries that are due.

    `learning` is shared with the requests for replies. `released` is called when there are tokens for them that a
    summary has not used.
    """

    place_title: PlaceTitle | None = None
    """Set by the platform, where threads have titles."""

    def __init__(
        self,
        store: Store,
        model: CountedModel,
        settings: GenerationSettings,
        learning: ModelLearning,
        released: Callable[[], None],
    ) -> None:
        self._store = store
        self._model = model
        self._settings = settings
        self._learning = learning
        self._released = released
        self._begun: dict[int, float] = {}
        """When a summary of each conversation was last begun, by its id, for as long as that matters."""
        self._woken = asyncio.Event()
        self._unplaced: dict[int, tuple[Block, str]] = {}
        """The titles that the platform may take later, by the ids of their jobs."""

    def wake(self) -> None:
        """Look at once for what is due."""
        self._woken.set()
        self._woken = asyncio.Event()

    async def run(self) -> None:
        """Make what is due until this is cancelled."""
        if self._settings.summaries:
            await asyncio.gather(*(self._run_one() for _ in range(_AT_ONCE)))

    async def _run_one(self) -> None:
        while True:
            woken = self._woken
            try:
                if await self.make_next():
                    continue
            except StoreError as error:
                log.warning("summaries are made later: %s", error)
            except Exception:
                log.exception("summaries are made later because of a bug")
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_EVERY):
                    await woken.wait()

    async def make_next(self) -> bool:
        """Make a summary that is due, or try to. False: none is due, or only of conversations that had one just now."""
        now = _now()
        self._begun = {key: begun for key, begun in self._begun.items() if now - begun < PACE}
        job = await self._store.summaries.next_due(self._begun.keys())
        if job is None:
            return False
        if job.conversation_id not in self._begun:
            self._begun[job.conversation_id] = now
            try:
                await self._make(job)
            except StoreError:
                raise
            except Exception:
                # As any failure, so that the model is not asked for it again and again.
                log.exception("summary %d: it could not be made because of a bug", job.id)
                await self._failed(job)
        return True

    async def _make(self, job: SummaryJob) -> None:
        behaviour = await self._store.personas.settings_of(job.conversation)
        model = self._settings.summarizing_model(behaviour.model)
        slots, title = await self._model.slots(model), self._unplaced.pop(job.id, None)
        if title is not None and await self._store.summaries.is_due(job, title[0]):
            await self._place(job, *title)
            return
        title = None
        with nullcontext(asyncio.Event()) if slots is None else slots.place_behind() as wanted:
            if wanted is not None:
                request = await self._request(job, model, behaviour.persona or self._settings.system_prompt)
                if request is None:
                    # It was no work.
                    self._begun.pop(job.conversation_id, None)
                else:
                    text = await self._ask(request, wanted)
                    title = None if text is None else (request.block, text)
        if title is not None:
            await self._place(job, *title)

    async def _place(self, job: SummaryJob, block: Block, text: str) -> None:
        """Have a title shown, unless people gave the thread another one or forgot what it was made from."""
        title = written_title(text)
        if not await self._store.summaries.is_due(job, block):
            log.info("title %d: what it was made from has changed, or people chose another", job.id)
        elif not title or self.place_title is None:
            await self._failed(job)
        elif await self.place_title(job.conversation, title, block.turns[0]):
            await self._store.summaries.end_title(job.conversation)
        else:
            # The model is not asked again for what it has written already.
            self._unplaced[job.id] = block, text
            if len(self._unplaced) > _UNPLACED:
                del self._unplaced[next(iter(self._unplaced))]
            await self._failed(job)

    async def _request(self, job: SummaryJob, model: str, persona: str) -> _SummaryRequest | None:
        """The request for a summary, in the room that the model has. None: the job is another one now, or none."""
        settings = self._settings
        key = settings.servers.key(model)
        learned = await self._store.token_statistics.of(key)
        bytes_per_token = learned.bytes_per_token or BYTES_PER_TOKEN
        most = _most_tokens(settings, job.level)
        minimum = min(most, _FEWEST_TOKENS)
        longest = await self._model.longest_reply(model)
        wanted = Room(settings.context_tokens, most)
        room = self._learning.room(key, wanted, settings.reasoning_effort, longest, learned, minimum)
        longest_block = (1 - KEPT_OF_FULL) * room.context * bytes_per_token * _BLOCK_SLACK
        block = await self._store.summaries.block_of(job, int(longest_block))
        if block is None:
            return None
        named = any(turn.author_name is not None for turn in block.turns)
        share = system_share(room.context, bytes_per_token)
        system = system_message(persona, share, named=named, about_memory=settings.about_memory)
        messages = title_request(block.turns[0]) if job.level == TITLE else [system, *_messages(block, most)]
        request = _SummaryRequest(job, block, model, key, learned, messages, most, room.reply)
        if request.tokens > room.context and await self._shortened(request, room.context / request.tokens):
            return None
        return replace(request, reply_tokens=max(minimum, room.beside(request.tokens)))

    async def _shortened(self, request: _SummaryRequest, part: float) -> bool:
        """Make two jobs of one, of which the later has at most this part of its turns. False: it has only one turn."""
        turns = request.block.turns
        size = sum(len(text.encode(errors="replace")) for turn in turns for text in (turn.prompt, turn.reply))
        return len(turns) > 1 and await self._store.summaries.block_of(request.job, int(part * size)) is None

    async def _ask(self, request: _SummaryRequest, wanted: asyncio.Event) -> str | None:
        """Ask the model, and commit what it says. The result is the text of a title, which is not committed.

        Once a prompt waits for the slot, the request is ended.
        """
        settings, store, job, model = self._settings, self._store, request.job, request.model
        attempt: Attempt | None = None
        if settings.quotas is not None:
            reserved, price = tokens_to_reserve(request.messages, request.learned), settings.prices.of_models.get(model)
            attempt = await store.quotas.reserve_summary(
                job.id, model, reserved, request.reply_tokens, settings.quotas, price=price
            )
            if attempt is None:
                await store.summaries.postpone(job, NO_ROOM_FOR)
                return None
        tried_anew = self._learning.tries_more(request.key, request.learned, request.tokens + request.reply_tokens)
        counter = TokenCounter()
        counter.mark_requested(request.tokens, request.bytes_per_token)
        reading = asyncio.create_task(self._read(request, counter))
        waiting = asyncio.create_task(wanted.wait())
        usage: Usage | None = None
        try:
            await asyncio.wait([reading, waiting], return_when=asyncio.FIRST_COMPLETED)
        finally:
            reading.cancel()
            waiting.cancel()
            # The request has ended when the slot is free.
            await asyncio.wait([reading])
            if not reading.cancelled() and reading.exception() is None:
                usage = reading.result().usage
            used = counter.usage(usage)
            if used is not None:
                self._model.used(model, used)
            if attempt is not None:
                await asyncio.shield(store.quotas.settle(attempt, used))
                self._released()
        if reading.cancelled():
            log.info("summary %d: ended for a question, it is tried again later", job.id)
            return None
        answer = reading.result()
        if isinstance(answer.error, ContextTooLong):
            await self._refused(request, answer.error)
            return None
        text, learned = answer.text, request.learned
        if answer.error is None and tried_anew:
            learned = replace(learned, window=None)
        if usage is not None:
            learned, cut = self._learning.from_count(request.key, job.conversation, learned, request.messages, usage)
            if cut:
                advice = cut_advice(model, settings.context_tokens + settings.reply_tokens)
                log.warning("summary %d: only %d tokens were read. %s", job.id, usage.prompt_tokens, advice)
                text = None
        if text is None:
            await self._failed(job)
        elif job.level == TITLE:
            await self._record(request, learned)
            return text
        elif await store.summaries.commit(job, request.block, text):
            log.info("summary %d: made at level %d of %s", job.id, job.level, job.conversation)
        else:
            log.info("summary %d: what it was made from has changed, it is made again", job.id)
        await self._record(request, learned)
        return None

    async def _read(self, request: _SummaryRequest, counter: TokenCounter) -> _Answer:
        """What the model says, with the server's count."""
        text, answer, cut, granted = "", _Answer(), False, request.reply_tokens
        # What a request allows for thoughts must not make its text longer.
        most_text = request.text_tokens if granted > request.text_tokens else math.inf
        try:
            origin = Origin(request.job.conversation, None)
            async with self._model.stream(
                request.messages, model=request.model, reply_tokens=granted, origin=origin
            ) as events:
                async for event in events:
                    if isinstance(event, Text):
                        text += event.text
                        counter.add(event.text)
                    elif isinstance(event, Reasoning):
                        self._learning.mark_reasoning(request.key)
                        counter.add_reasoning()
                    elif isinstance(event, Discard):
                        self._learning.mark_reasoning(request.key)
                        text = ""
                        counter.discard_text()
                    elif isinstance(event, Usage):
                        answer.usage = counter.credible(event, request.messages, _OVERRUN * granted)
                    else:
                        cut = event.failure is not None
                        if event.failure is FailureReason.LENGTH and is_blank(text):
                            self._learning.mark_reasoning(request.key)
                    if counter.text_tokens >= most_text or counter.reply_tokens > _OVERRUN * granted:
                        cut = True
                        break
        except ModelError as error:
            log.warning("summary %d: %s", request.job.id, error.detail)
            if not error.accepted:
                counter.mark_rejected()
            answer.error = error
            return answer
        if cut and "\n" in text:
            text = text.rpartition("\n")[0]
        answer.text = None if is_blank(text) else text.strip()
        return answer

    async def _refused(self, request: _SummaryRequest, error: ContextTooLong) -> None:
        """Make a shorter job of one that the server refused as too long."""
        learned, named = self._learning.from_refusal(
            request.key, request.learned, error, request.messages, request.tokens, request.reply_tokens
        )
        if not await self._shortened(request, 0.5):
            await self._failed(request.job)
        await self._record(request, learned if named is None else replace(learned, window=named))

    async def _record(self, request: _SummaryRequest, learned: TokenStatistics) -> None:
        if learned != request.learned:
            await self._store.token_statistics.record(request.key, learned)

    async def _failed(self, job: SummaryJob) -> None:
        again_in = BACK_OFF[job.failures] if job.failures < len(BACK_OFF) else None
        if again_in is None:
            log.warning("summary %d: given up, %s goes without it", job.id, job.conversation)
        await self._store.summaries.failed(job, again_in)


def _messages(block: Block, most: int) -> list[Message]:
    words = int(most * _WORDS_PER_TOKEN)
    if block.turns:
        turns = [message for turn in block.turns for message in as_sent(turn)]
        return [*turns, Message("user", _WHAT_FOR.format(asked=f"{ASKED_FOR} {_TURNS}", words=words))]
    texts = "\n\n".join(summary.text for summary in block.summaries)
    asked = _WHAT_FOR.format(asked=f"{ASKED_FOR} {_SUMMARIES}", words=words)
    return [Message("user", f"{texts}\n\n{asked}")]


def _most_tokens(settings: GenerationSettings, level: int) -> int:
    """The tokens of a summary or a title."""
    if level == TITLE:
        return min(TITLE_TOKENS, settings.reply_tokens)
    most = max(_FEWEST_TOKENS, math.ceil(settings.context_tokens / _SHARE)) * min(level, _HIGHEST_SHARE)
    return min(most, settings.reply_tokens)


def _now() -> float:
    return asyncio.get_running_loop().time()

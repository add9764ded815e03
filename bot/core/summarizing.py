"""Has the model summarize what leaves the conversations' windows, in the background.

Each summary is a row from before its request until it is made or given up, so that a kill loses none. It is made from
its block alone, so that nothing of another block is in it, and is committed only if the block is still the same.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Sequence
from contextlib import nullcontext, suppress

from bot.core.attempt import TokenCounter
from bot.core.context import (
    BYTES_PER_TOKEN,
    KEPT_OF_FULL,
    SAFE_BYTES_PER_TOKEN,
    as_sent,
    system_message,
    system_share,
    tokens,
)
from bot.core.errors import ModelError, StoreError
from bot.core.generation_settings import GenerationSettings
from bot.core.model_events import Discard, Message, Origin, Reasoning, Text
from bot.core.protocols import ChatModel, Store
from bot.core.quotas import Usage
from bot.core.summaries import Block, SummaryJob
from bot.core.turns import Attempt, is_blank
from bot.core.window import Room, reasoning_tokens

log = logging.getLogger(__name__)

PACE = 60.0
"""Seconds between the beginnings of two requests for summaries of one conversation."""
LOOK_EVERY = 15.0
"""Seconds after which it is looked again for what is due."""
BACK_OFF = (60.0, 600.0, 3600.0)
"""Seconds to the next try after each failure. After one more the summary is given up."""
NO_ROOM_FOR = 900.0
"""Seconds to the next try where the quotas leave no room."""
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


class SummaryMaker:
    """Makes the summaries that are due."""

    def __init__(self, store: Store, model: ChatModel, settings: GenerationSettings) -> None:
        self._store = store
        self._model = model
        self._settings = settings
        self._begun: dict[int, float] = {}
        """When a summary of each conversation was last begun, by its id, for as long as that matters."""
        self._reasoning = set[str]()
        """The models that reason, whatever they are asked for."""
        self._woken = asyncio.Event()

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
                log.exception("a summary could not be made because of a bug")
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
            await self._make(job)
        return True

    async def _make(self, job: SummaryJob) -> None:
        settings = self._settings
        behaviour = await self._store.personas.settings_of(job.conversation)
        model = settings.summarizing_model(behaviour.model)
        learned = await self._store.token_statistics.of(settings.servers.key(model))
        bytes_per_token = learned.bytes_per_token or BYTES_PER_TOKEN
        most = _most_tokens(settings, job.level)
        room = Room(settings.context_tokens, most)
        if learned.window is not None:
            room = room.within(learned.window, most)
        slots = await self._model.slots(model)
        with nullcontext(asyncio.Event()) if slots is None else slots.place_behind() as wanted:
            if wanted is None:
                return
            longest_block = (1 - KEPT_OF_FULL) * room.context * bytes_per_token * _BLOCK_SLACK
            block = await self._store.summaries.block_of(job, int(longest_block))
            if block is None:
                # It was no work.
                self._begun.pop(job.conversation_id, None)
                return
            share = system_share(room.context, bytes_per_token)
            named = any(turn.author_name is not None for turn in block.turns)
            system = system_message(
                behaviour.persona or settings.system_prompt, share, named=named, about_memory=settings.about_memory
            )
            messages = [system, *_request(block, most)]
            await self._ask(job, block, messages, model, most, bytes_per_token, wanted)

    async def _ask(
        self,
        job: SummaryJob,
        block: Block,
        messages: Sequence[Message],
        model: str,
        most: int,
        bytes_per_token: float,
        wanted: asyncio.Event,
    ) -> None:
        """Ask the model, and commit what it says. Once a prompt waits for the slot, the request is ended."""
        settings, store = self._settings, self._store
        seen = model in self._reasoning
        granted = most + reasoning_tokens(settings.reasoning_effort, seen=seen)
        longest = await self._model.longest_reply(model)
        granted = granted if longest is None else min(granted, longest)
        attempt: Attempt | None = None
        if settings.quotas is not None:
            reserved = sum(tokens(message.content, min(bytes_per_token, SAFE_BYTES_PER_TOKEN)) for message in messages)
            price = settings.prices.of_models.get(model)
            attempt = await store.quotas.reserve_summary(job.id, model, reserved, granted, settings.quotas, price=price)
            if attempt is None:
                await store.summaries.postpone(job, NO_ROOM_FOR)
                return
        counter = TokenCounter()
        counter.mark_requested(sum(tokens(message.content, bytes_per_token) for message in messages), bytes_per_token)
        reading = asyncio.create_task(self._read(job, messages, model, granted, counter))
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
                usage = reading.result()[1]
            if attempt is not None:
                await asyncio.shield(store.quotas.settle(attempt, counter.usage(usage)))
        if reading.cancelled():
            log.info("summary %d: ended for a question, it is tried again later", job.id)
            return
        text = reading.result()[0]
        if text is None:
            await self._failed(job)
        elif await store.summaries.commit(job, block, text):
            log.info("summary %d: made at level %d of %s", job.id, job.level, job.conversation)
        else:
            log.info("summary %d: what it was made from has changed, it is made again", job.id)

    async def _read(
        self, job: SummaryJob, messages: Sequence[Message], model: str, granted: int, counter: TokenCounter
    ) -> tuple[str | None, Usage | None]:
        """The text of the model, or None if it has none, with the server's count."""
        text, usage, cut = "", None, False
        try:
            origin = Origin(job.conversation, None)
            async with self._model.stream(messages, model=model, reply_tokens=granted, origin=origin) as events:
                async for event in events:
                    if isinstance(event, Text):
                        text += event.text
                        counter.add(event.text)
                    elif isinstance(event, Reasoning):
                        self._reasoning.add(model)
                        counter.add_reasoning()
                    elif isinstance(event, Discard):
                        self._reasoning.add(model)
                        text = ""
                        counter.discard_text()
                    elif isinstance(event, Usage):
                        usage = counter.credible(event, list(messages), _OVERRUN * granted)
                    else:
                        cut = event.failure is not None
                    if counter.reply_tokens > _OVERRUN * granted:
                        cut = True
                        break
        except ModelError as error:
            log.warning("summary %d: %s", job.id, error.detail)
            if not error.accepted:
                counter.mark_rejected()
            return None, usage
        if cut and "\n" in text:
            text = text.rpartition("\n")[0]
        return None if is_blank(text) else text.strip(), usage

    async def _failed(self, job: SummaryJob) -> None:
        again_in = BACK_OFF[job.failures] if job.failures < len(BACK_OFF) else None
        if again_in is None:
            log.warning("summary %d: given up, %s goes without it", job.id, job.conversation)
        await self._store.summaries.failed(job, again_in)


def _request(block: Block, most: int) -> list[Message]:
    words = int(most * _WORDS_PER_TOKEN)
    if block.turns:
        turns = [message for turn in block.turns for message in as_sent(turn)]
        return [*turns, Message("user", _WHAT_FOR.format(asked=f"{ASKED_FOR} {_TURNS}", words=words))]
    texts = "\n\n".join(summary.text for summary in block.summaries)
    asked = _WHAT_FOR.format(asked=f"{ASKED_FOR} {_SUMMARIES}", words=words)
    return [Message("user", f"{texts}\n\n{asked}")]


def _most_tokens(settings: GenerationSettings, level: int) -> int:
    """The tokens of a summary."""
    most = max(_FEWEST_TOKENS, math.ceil(settings.context_tokens / _SHARE)) * min(level, _HIGHEST_SHARE)
    return min(most, settings.reply_tokens)


def _now() -> float:
    return asyncio.get_running_loop().time()

"""A model that does as a test says, and people who talk to it through the core on a real store."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Iterable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from datetime import date
from typing import Any, TypeAlias

from bot.core.attempt import ActiveAttempt
from bot.core.generation_settings import GenerationSettings
from bot.core.model_events import Discard, End, Event, Message, Origin, Reasoning, Text
from bot.core.pictures import PictureReference
from bot.core.prompt_text import picture_note
from bot.core.queues import QueueLimits, Queues
from bot.core.quotas import Quotas, Usage
from bot.core.service import ConversationService
from bot.core.turns import Conversation, Outcome, Prompt, Turn
from bot.standin.model import Request
from bot.standin.parts import text_of
from bot.store import Store
from tests.places import on_discord
from tests.waiting import PATIENCE, until

HERE = on_discord(1)
TODAY = "⟦Today is Sunday, 22 November 2026.⟧"
"""What a question is preceded by."""
_DATE = re.compile(r"^⟦Today is [^⟧]+⟧\n", re.MULTILINE)
Step: TypeAlias = str | Exception | asyncio.Event | Reasoning | Discard | Usage | End


def question_of(request: Request) -> str:
    """The last message of a request to the stand-in for a model server, without the date."""
    question, dates = _DATE.subn("", text_of(request.messages[-1]["content"]), count=1)
    assert dates == 1
    return question


class Model:
    """Answers each request with the next of `replies`: deltas, thoughts, an error, or something awaited in between."""

    def __init__(self) -> None:
        self.replies: list[Iterable[Step]] = []
        self.asked: list[list[Message]] = []
        self.asked_for: list[tuple[str, int]] = []
        """Of which model each request was, and for how many tokens."""
        self.left_early = 0
        self.queue: Queues | None = None
        """Where requests wait for one of the server's slots."""
        self.most: int | None = None
        """The most pictures that the model takes."""

    @asynccontextmanager
    async def stream(
        self, messages: Sequence[Message], *, model: str, reply_tokens: int, origin: Origin | None = None
    ) -> AsyncIterator[AsyncIterator[Event]]:
        self.asked.append(list(messages))
        self.asked_for.append((model, reply_tokens))
        async with aclosing(self._events(self.replies.pop(0) if self.replies else ["Yes."])) as events:
            yield events

    async def slots(self, model: str) -> Queues | None:
        return self.queue

    async def transcribe(self, audio: bytes, *, model: str) -> str:
        return "words"

    async def longest_reply(self, model: str) -> int | None:
        return None

    async def most_pictures(self, model: str) -> int | None:
        return self.most

    async def _events(self, reply: Iterable[Step]) -> AsyncGenerator[Event, None]:
        try:
            for each in reply:
                if isinstance(each, Exception):
                    raise each
                if isinstance(each, asyncio.Event):
                    await each.wait()
                else:
                    yield Text(each) if isinstance(each, str) else each
                if isinstance(each, End):
                    return
            yield End()
        except (asyncio.CancelledError, GeneratorExit):
            self.left_early += 1
            raise


class Sink:
    """Somebody who looks at a reply."""

    def __init__(self, running: ActiveAttempt) -> None:
        self.running = running
        self.texts: list[str] = []
        self.outcome: Outcome | None = None
        self.visible = True
        self.started = asyncio.Event()
        self.seen = asyncio.Event()
        self.seen.set()

    def start(self) -> None:
        self.started.set()

    def update(self, text: str) -> None:
        self.texts.append(text)

    def replace(self, text: str) -> None:
        self.texts.append(text)

    async def finish(self, outcome: Outcome) -> bool:
        self.outcome = outcome
        await self.seen.wait()
        return self.visible

    @property
    def messages(self) -> int:
        return 1

    @property
    def delivery_error(self) -> None:
        return None

    async def said(self) -> None:
        """Wait for the first text."""
        await until(lambda: self.texts)


class Talk:
    """Prompts from people to one set of conversations."""

    def __init__(self, core: ConversationService, model: Model, store: Store) -> None:
        self.core = core
        self.model = model
        self.store = store
        self.sinks: list[Sink] = []
        self.position = 0

    def say(
        self,
        text: str,
        by: int = 1,
        where: Conversation = HERE,
        guild: int | None = None,
        position: int | None = None,
        pictures: Sequence[PictureReference] = (),
    ) -> asyncio.Task[Outcome | None]:
        self.position = self.position + 1 if position is None else position
        text = "\n".join([text, *(picture_note(each.name) for each in pictures)])
        prompt = Prompt(where, self.position, text, user_id=by, guild_id=guild, pictures=pictures)
        return asyncio.create_task(self._told(self.core.answer(prompt, self.open)))

    def again(
        self, turn: Turn, *, by: int = 1, go_on: bool = False, recovery: bool = False
    ) -> asyncio.Task[Outcome | None]:
        retrying = self.core.retry(turn, self.open, user_id=by, resume=go_on, recovery=recovery)
        return asyncio.create_task(self._told(retrying))

    @staticmethod
    async def _told(answering: Awaitable[Outcome | None]) -> Outcome | None:
        """How it ended, as far as people are told."""
        outcome = await answering
        return outcome and replace(outcome, usage=None, detail="", advice="", model=None)

    async def sink(self, number: int) -> Sink:
        await until(lambda: len(self.sinks) > number)
        return self.sinks[number]

    async def kept(self) -> list[str]:
        """The latest reply here as far as it is stored. The list is empty before the first question."""
        return [turn.reply for turn in await self.store.turns.history(HERE, 1)]

    def sent(self, number: int) -> list[str]:
        """The messages of a request, without the system prompt and the date."""
        return [message.content.replace(f"{TODAY}\n", "") for message in self.model.asked[number][1:]]

    def open(self, running: ActiveAttempt) -> Sink:
        self.sinks.append(Sink(running))
        return self.sinks[-1]


class _Conversations(ConversationService):
    """Conversations that end with their block, however that ends: what does not end fails its test."""

    async def __aexit__(self, *raised: Any) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                await super().__aexit__(*raised)
        except TimeoutError:
            left = [f"turn {each.attempt.turn_id}, {each.prompt.text!r}" for each in self.running]
            raise AssertionError(f"not ended within {PATIENCE} s: {'; '.join(left) or 'the background'}") from raised[1]


def conversations(
    store: Store,
    model: Model,
    limits: QueueLimits = QueueLimits(),  # noqa: B008 -- it is frozen
    allowances: Quotas | None = None,
    reply_tokens: int = 100,
) -> ConversationService:
    return _Conversations(
        store,
        model,
        GenerationSettings(
            models=("m", "large"),
            system_prompt="Be brief.",
            context_tokens=8000,
            reply_tokens=reply_tokens,
            quotas=allowances,
        ),
        limits,
        today=lambda: date(2026, 11, 22),
    )

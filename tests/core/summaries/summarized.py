"""Talks of which a test has the summaries made, and a model that summarizes by the questions."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import date

from bot.core.generation_settings import GenerationSettings
from bot.core.model_events import Event, Message, Origin
from bot.core.quotas import Quotas
from bot.core.service import ConversationService
from bot.core.summarizing import ASKED_FOR
from bot.core.turns import Conversation, Turn
from bot.store import Store
from tests.talking import HERE, Model, Step, Talk

LONG = "r" * 900
"""A reply with which a turn takes about a fifteenth of the window."""
WINDOW = 4000
ONE_BLOCK = 16
"""Turns after which one block has left the window."""
SIX_BLOCKS = 50
"""Turns after which so many have left that four are one."""
MAY_BE_WRONG = "A model wrote them, and they may be wrong"


class Summarizer(Model):
    """Summarizes by the questions of the messages, unless the test says what it does. Other requests are others'."""

    def __init__(self) -> None:
        super().__init__()
        self.summarized: list[list[Message]] = []
        self.summaries: list[Sequence[Step]] = []

    @asynccontextmanager
    async def stream(
        self, messages: Sequence[Message], *, model: str, reply_tokens: int, origin: Origin | None = None
    ) -> AsyncIterator[AsyncIterator[Event]]:
        if not is_summary(messages):
            async with super().stream(messages, model=model, reply_tokens=reply_tokens, origin=origin) as events:
                yield events
            return
        self.summarized.append(list(messages))
        self.asked_for.append((model, reply_tokens))
        said = re.findall(r"question \d+", "\n".join(each.content for each in messages[1:]))
        events = self._events(self.summaries.pop(0) if self.summaries else ["\n".join(f"- {each}" for each in said)])
        try:
            yield events
        finally:
            await events.aclose()


def is_summary(messages: Sequence[Message]) -> bool:
    return ASKED_FOR in messages[-1].content


def service(
    store: Store, model: Model, allowances: Quotas | None = None, *, summaries: bool = True, window: int = WINDOW
) -> ConversationService:
    settings = GenerationSettings(
        models=("m", "large"),
        system_prompt="Be brief.",
        context_tokens=window,
        reply_tokens=100,
        quotas=allowances,
        summaries=summaries,
    )
    return ConversationService(store, model, settings, today=lambda: date(2026, 11, 22))


class Summarized(Talk):
    """A talk in which what is due is summarized when a test says so."""

    model: Summarizer

    async def ask(
        self,
        turns: int,
        *,
        first: int = 0,
        where: Conversation = HERE,
        guild: int | None = None,
        reply: Sequence[Step] = (LONG,),
    ) -> None:
        """Have so many questions answered, and nothing summarized yet."""
        for number in range(first, first + turns):
            self.model.replies = [reply]
            await self.say(f"question {number}", where=where, guild=guild)

    async def fill(self, turns: int, *, first: int = 0) -> None:
        """Have so many questions answered, and what is due summarized after each."""
        for number in range(first, first + turns):
            await self.ask(1, first=number)
            await self.summarize()

    async def summarize(self) -> None:
        while await self.core.summaries.make_next():
            pass

    async def turn(self, number: int) -> Turn:
        history = await self.store.turns.history(HERE, 9999)
        return next(turn for turn in history if turn.prompt == f"question {number}")

    async def delete(self, number: int) -> None:
        await self.store.retention.forget_turn((await self.turn(number)).id)

    async def told(self, text: str = "question 9999") -> tuple[str, list[int], list[int]]:
        """Of the next request what the model is told of what was before, which questions that are, and which follow."""
        await self.say(text)
        return parts(self.model.asked[-1])


def parts(messages: Sequence[Message]) -> tuple[str, list[int], list[int]]:
    told = messages[1].content if MAY_BE_WRONG in messages[1].content else ""
    return told, numbers(told), numbers("\n".join(each.content for each in messages[3 if told else 1 : -1]))


def numbers(text: str) -> list[int]:
    return [int(number) for number in re.findall(r"question (\d+)", text)]


async def jobs(store: Store) -> list[tuple[int, int, int, bool, bool]]:
    """Level, beginning, end, whether it is made, and whether it is to be."""
    found = await store.engine.read(
        "SELECT level, begins, ends, text IS NOT NULL, due_at IS NOT NULL FROM stored_summaries ORDER BY level, begins"
    )
    return [(level, begins, ends, bool(made), bool(due)) for level, begins, ends, made, due in found]


async def beginning(store: Store) -> int:
    [[number]] = await store.engine.read("SELECT window_begins FROM conversations ORDER BY id LIMIT 1")
    return int(number)

"""How many of fifty facts that were told long ago are in a request, with the summaries of the demo model.

    python -m benchmarks.facts [--context 8000] [--turns 3000]

The facts are those of `tests/facts.py`, told 300 to 3,000 turns ago, among questions, requests and remarks. Every
summary is made as soon as it is due.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

from bot.core import summarizing
from bot.core.attempt import ActiveAttempt
from bot.core.context import BYTES_PER_TOKEN, tokens
from bot.core.generation_settings import GenerationSettings
from bot.core.model_events import End, Event, Message, Origin, Text
from bot.core.service import ConversationService
from bot.core.summarizing import ASKED_FOR
from bot.core.turns import Conversation, Outcome, Prompt
from bot.llm.demo import DemoModel, demo_reply
from bot.store.sqlite import open_store
from tests.facts import FACTS

OLDEST, LATEST = 3000, 300
"""Turns ago."""
ANSWER = "The keeper of the lighthouse wrote down every ship that passed the harbour in the night. " * 3
OTHER = (
    "And what does the keeper do on the {}th night?",
    "Please write a line about lighthouse number {}.",
    "How many ships were there in year {}?",
    "The soup was good today, and I like this weather.",
)


class Model(DemoModel):
    """The demo, which says the same to everything but a request for a summary."""

    def __init__(self) -> None:
        super().__init__()
        self.last: Sequence[Message] = ()
        self.summaries = 0
        self.sent = 0
        self.sent_to_summarize = 0

    @asynccontextmanager
    async def stream(
        self, messages: Sequence[Message], *, model: str, reply_tokens: int, origin: Origin | None = None
    ) -> AsyncIterator[AsyncIterator[Event]]:
        """Answer at once."""
        size = sum(tokens(message.content, BYTES_PER_TOKEN) for message in messages)
        if ASKED_FOR in messages[-1].content:
            self.summaries += 1
            self.sent_to_summarize += size
            reply = demo_reply(messages)
        else:
            self.last, reply = messages, ANSWER
            self.sent += size

        async def events() -> AsyncGenerator[Event]:
            yield Text(reply)
            yield End()

        async with aclosing(events()) as said:
            yield said


class Sink:
    """Nobody looks."""

    def start(self) -> None:
        """Show nothing."""

    def update(self, text: str) -> None:
        """Show nothing."""

    def replace(self, text: str) -> None:
        """Show nothing."""

    async def finish(self, outcome: Outcome) -> bool:
        """The end is seen."""
        return True

    async def put_on_record(self) -> None:
        """There are no messages."""

    @property
    def messages(self) -> int:
        return 1

    @property
    def delivery_error(self) -> str | None:
        return None


async def main(context: int, turns: int) -> None:
    """Tell the facts, and print what is left of them."""
    summarizing.PACE = 0.0
    step = (OLDEST - LATEST) // (len(FACTS) - 1)
    told = {turns - OLDEST + step * number: fact for number, (fact, _) in enumerate(FACTS)}
    model, here = Model(), Conversation("discord", "1")
    settings = GenerationSettings(
        models=("demo",), system_prompt="Be brief.", context_tokens=context, reply_tokens=4000, summaries=True
    )

    def nobody(_: ActiveAttempt) -> Sink:
        return Sink()

    with tempfile.TemporaryDirectory() as folder:
        async with (
            open_store(Path(folder) / "parley.db", exclusive=True) as store,
            ConversationService(store, model, settings) as core,
        ):
            for number in range(turns + 1):
                text = told.get(number) or OTHER[number % len(OTHER)].format(number)
                await core.answer(Prompt(here, number + 1, text, user_id=1, message_id=number + 1), nobody)
                while await core.summaries.make_next():
                    pass
            shown = (await store.summaries.remembered(here)).summaries
    sent = "\n".join(message.content for message in model.last)
    found = [ago for ago, fact in ((turns - number, fact) for number, fact in told.items()) if fact in sent]
    print(f"{len(found)} of {len(FACTS)} facts are in the request, told {min(found)} to {max(found)} turns ago")
    print(f"{len(shown)} summaries stand for {turns} turns in a context of {context:,} tokens")
    share = model.sent_to_summarize / model.sent
    print(f"{model.summaries} requests for summaries, with {share:.1%} of the tokens of all others")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--context", type=int, default=8000, help="CONTEXT_TOKENS")
    parser.add_argument("--turns", type=int, default=OLDEST, help="turns before the question")
    arguments = parser.parse_args()
    asyncio.run(main(arguments.context, arguments.turns))

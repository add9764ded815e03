"""A model whose requests, tokens and costs are counted."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager

from bot.core.errors import ModelError
from bot.core.figures import Figures
from bot.core.model_events import Event, Message, Origin
from bot.core.protocols import ChatModel
from bot.core.queues import Queues
from bot.core.quotas import Usage
from bot.core.usage import MICRO, Prices


class CountedModel:
    """A `ChatModel` over another one. What its requests used is known only to whoever made them: see `used`."""

    def __init__(self, model: ChatModel, figures: Figures, prices: Prices) -> None:
        self._model = model
        self._prices = prices
        self._under_way = 0
        self._requests = figures.counters(
            "model_requests",
            "Requests to a model that ended: answered, ended by the bot (ended_early), or failed, by the reason.",
            "model",
            "outcome",
        )
        self._tokens = figures.counters(
            "tokens",
            "Tokens of requests to a model. Each is of one kind: of the context, fresh (prompt) or from the server's"
            " cache (cached), or of the reply, its text (reply) or what the model thought (reasoning).",
            "model",
            "kind",
        )
        self._cost = figures.counters(
            "cost", "Cost of the tokens of a model that has a price, in the currency of PRICES.", "model"
        )
        figures.gauge(
            "model_requests_under_way", "Requests to all models that have not ended.", lambda: self._under_way
        )

    @asynccontextmanager
    async def stream(
        self, messages: Sequence[Message], *, model: str, reply_tokens: int, origin: Origin | None = None
    ) -> AsyncIterator[AsyncIterator[Event]]:
        """See `ChatModel.stream`."""
        with self._counted(model):
            async with self._model.stream(messages, model=model, reply_tokens=reply_tokens, origin=origin) as events:
                yield events

    async def transcribe(self, audio: bytes, *, model: str) -> str:
        """See `ChatModel.transcribe`."""
        with self._counted(model):
            return await self._model.transcribe(audio, model=model)

    async def slots(self, model: str) -> Queues | None:
        """See `ChatModel.slots`."""
        return await self._model.slots(model)

    async def longest_reply(self, model: str) -> int | None:
        """See `ChatModel.longest_reply`."""
        return await self._model.longest_reply(model)

    async def most_pictures(self, model: str) -> int | None:
        """See `ChatModel.most_pictures`."""
        return await self._model.most_pictures(model)

    def used(self, model: str, usage: Usage) -> None:
        """Count what the requests of one charge used."""
        cached = min(usage.cached_tokens, usage.prompt_tokens)
        reasoning = min(usage.reasoning_tokens, usage.reply_tokens)
        self._tokens.of(model, "prompt").add(usage.prompt_tokens - cached)
        self._tokens.of(model, "cached").add(cached)
        self._tokens.of(model, "reply").add(usage.reply_tokens - reasoning)
        self._tokens.of(model, "reasoning").add(reasoning)
        cost = self._prices.cost(model, usage)
        if cost is not None:
            self._cost.of(model).add(cost / MICRO)

    @contextmanager
    def _counted(self, model: str) -> Iterator[None]:
        self._under_way += 1
        outcome = "ended_early"
        try:
            yield
            outcome = "answered"
        except ModelError as error:
            outcome = error.failure.value.replace(" ", "_")
            raise
        finally:
            self._under_way -= 1
            self._requests.of(model, outcome).add()

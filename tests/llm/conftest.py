"""Asking a real server on this machine, with the real client."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager

import pytest

from bot.config import ModelServerSettings, Secret
from bot.core.errors import ModelError
from bot.core.model_events import Event, Message, Text
from bot.core.turns import FailureReason
from bot.llm.client import OpenAIModel
from bot.llm.remembered_shapes import ServerFacts
from bot.llm.timeouts import Timeouts
from bot.standin.model import ModelStandin
from bot.standin.script import Reply
from tests.waiting import PATIENCE

KEY = "sk-very-secret-0123456789"
HELLO = [Message("user", "Hello!")]


@pytest.fixture
async def server() -> AsyncIterator[ModelStandin]:
    async with ModelStandin(default=Reply("Hi there.")) as standin:
        yield standin


@asynccontextmanager
async def client(
    base_url: str,
    *,
    api_key: str | None = KEY,
    extra_body: Mapping[str, object] | None = None,
    reasoning_effort: str = "none",
    first_delta_timeout: float = PATIENCE,
    silence_timeout: float = PATIENCE,
    retry_within: float = 0.0,
    facts: ServerFacts | None = None,
    clock: Callable[[], float] = time.time,
) -> AsyncIterator[OpenAIModel]:
    async with OpenAIModel(
        ModelServerSettings(base_url, Secret(api_key) if api_key else None, extra_body or {}),
        reasoning_effort=reasoning_effort,
        timeouts=Timeouts(PATIENCE, first_delta_timeout, silence_timeout, retry_within),
        jitter=lambda: 0.0,
        facts=facts,
        clock=clock,
    ) as model:
        yield model


async def ask(model: OpenAIModel, name: str = "gpt-x") -> list[Event | FailureReason]:
    """The events of one reply, and the problem that ended it, if one did."""
    events: list[Event | FailureReason] = []
    try:
        async with model.stream(HELLO, model=name, reply_tokens=100) as stream:
            async for event in stream:
                events.append(event)  # noqa: PERF401 - a comprehension would lose them when the stream fails
    except ModelError as error:
        events.append(error.failure)
    return events


async def failure(model: OpenAIModel, name: str = "gpt-x") -> ModelError:
    try:
        async with model.stream(HELLO, model=name, reply_tokens=100) as stream:
            async for _ in stream:
                pass
    except ModelError as error:
        return error
    pytest.fail("The reply came whole.")


def text(events: Sequence[object]) -> str:
    return "".join(event.text for event in events if isinstance(event, Text))

"""How long a reply is waited for."""

from __future__ import annotations

import asyncio

import pytest

from bot.core.model_events import End, Text
from bot.core.quotas import Usage
from bot.core.turns import FailureReason
from bot.standin.model import ModelStandin
from bot.standin.script import Raw, Reply
from tests.llm.conftest import HELLO, ask, client, failure, text
from tests.llm.wire import DONE, NO_CHOICES, STOP, data, say

pytestmark = pytest.mark.virtual_time


@pytest.mark.parametrize("ping", [None, 0.02])
async def test_waits_for_the_server_are_limited(server: ModelStandin, ping: float | None) -> None:
    server.script += [
        Reply("One two", stall_after=0, ping_every=ping),
        Reply("One two", stall_after=1, ping_every=ping),
    ]
    async with client(server.base_url, first_delta_timeout=0.3) as model:
        error = await failure(model)
        assert error.failure is FailureReason.UNREACHABLE
        assert "raise FIRST_DELTA_TIMEOUT" in error.detail
    async with client(server.base_url, silence_timeout=0.1) as model:
        error = await failure(model)
        assert error.failure is FailureReason.UNREACHABLE
        assert "raise SILENCE_TIMEOUT" in error.detail
    for request in server.requests:
        await request.over()
        assert request.left


async def test_slow_reply_or_reader_is_not_silence(server: ModelStandin) -> None:
    server.script.append(Reply("One two three four five six", tokens_per_second=5, reasoning="hm hm hm"))
    async with client(server.base_url, first_delta_timeout=2.0, silence_timeout=1.0) as model:
        said = []
        async with model.stream(HELLO, model="gpt-x", reply_tokens=100) as events:
            async for event in events:
                if event == Text(" two"):
                    await asyncio.sleep(1.2)
                said.append(event)
    assert text(said) == "One two three four five six"
    assert said[-1] == End()


@pytest.mark.parametrize("finish", ["stop", "null"])
async def test_text_behind_a_finish_reason_is_awaited(server: ModelStandin, finish: str) -> None:
    error = b'data: {"error": {"message": "boom"}}\n\n'
    server.script += [
        Raw([say("One", finish), say(" two", finish), say(" three", "stop")], pause=2.5),
        Raw([data({"role": "assistant", "content": ""}, finish), say("One") + DONE], pause=2.5),
        Raw([say("One", finish), error], pause=2.5),
    ]
    async with client(server.base_url, silence_timeout=60.0) as model:
        replies = await asyncio.gather(ask(model), ask(model), ask(model))
    ends = {(text(reply), reply[-1]) for reply in replies}
    assert ends == {("One two three", End()), ("One", End()), ("One", FailureReason.UNREACHABLE)}


@pytest.mark.parametrize("last", [say("Hi") + STOP, say("H") + say("i", "stop"), say("Hi", "stop")])
async def test_server_that_never_closes_is_left_soon(server: ModelStandin, last: bytes) -> None:
    server.script.append(Raw([last, b": never"], pause=3600))
    async with client(server.base_url, silence_timeout=3600) as model:
        reply = await ask(model)
    assert (text(reply), reply[-1]) == ("Hi", End())


async def test_usage_is_awaited_but_hardly_the_end(server: ModelStandin) -> None:
    server.script.append(Raw([say("Hi") + STOP, NO_CHOICES + DONE], pause=0.1))
    server.script.append(Raw([say("Hi") + DONE, b": never"], pause=3600))
    async with client(server.base_url) as model:
        assert await ask(model) == [Text("Hi"), Usage(7, 2), End()]
        assert await ask(model) == [Text("Hi"), End()]

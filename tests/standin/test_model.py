from __future__ import annotations

import asyncio

import pytest
from openai import AsyncOpenAI, BadRequestError, DefaultAioHttpClient

from bot.core.quotas import Usage
from bot.standin.model import ModelStandin
from bot.standin.script import Reply
from tests.waiting import PATIENCE

pytestmark = pytest.mark.virtual_time


def client(server: ModelStandin) -> AsyncOpenAI:
    return AsyncOpenAI(api_key="x", base_url=server.base_url, http_client=DefaultAioHttpClient(), max_retries=0)


async def test_unmodified_client_is_served() -> None:
    async with (
        ModelStandin(default=Reply(lambda messages: f"You said: {messages[-1].content}")) as server,
        client(server) as openai,
    ):
        whole = await openai.chat.completions.create(model="demo", messages=[{"role": "user", "content": "Aha!"}])
        assert whole.choices[0].message.content == "You said: Aha!"
        stream = await openai.chat.completions.create(
            model="demo", messages=[{"role": "user", "content": "Aha!"}], stream=True
        )
        pieces = [chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices]
        assert "".join(pieces) == whole.choices[0].message.content
        assert [model.id async for model in openai.models.list()] == ["demo"]


async def test_context_over_the_limit_is_refused() -> None:
    async with ModelStandin(context_tokens=20) as server, client(server) as openai:
        await openai.chat.completions.create(model="demo", messages=[{"role": "user", "content": "short"}])
        with pytest.raises(BadRequestError) as refused:
            await openai.chat.completions.create(model="demo", messages=[{"role": "user", "content": "word " * 20}])
        assert refused.value.code == "context_length_exceeded"


@pytest.mark.parametrize(
    ("say", "server_ignores", "deltas", "finish"),
    [
        (Reply(["a"] * 5), False, 3, "length"),
        (Reply(["a"] * 5, reasoning="hm hm"), False, 1, "length"),
        (Reply(["a"] * 3), False, 3, "stop"),
        (Reply(["a"] * 5, ignores_max_tokens=True), False, 5, "stop"),
        (Reply(["a"] * 5), True, 5, "stop"),
    ],
)
@pytest.mark.parametrize("limit", ["max_tokens", "max_completion_tokens"])
async def test_reply_ends_at_the_requested_length(
    limit: str, say: Reply, server_ignores: bool, deltas: int, finish: str
) -> None:
    async with ModelStandin(default=say, ignores_max_tokens=server_ignores) as server, client(server) as openai:
        stream = await openai.chat.completions.create(
            model="demo", messages=[{"role": "user", "content": "Go."}], stream=True, extra_body={limit: 3}
        )
        choices = [chunk.choices[0] async for chunk in stream]
        whole = await openai.chat.completions.create(
            model="demo", messages=[{"role": "user", "content": "Go."}], extra_body={limit: 3}
        )
    assert (
        sum(bool(choice.delta.content) for choice in choices) == len(whole.choices[0].message.content or "") == deltas
    )
    assert choices[-1].finish_reason == whole.choices[0].finish_reason == finish
    assert whole.usage is not None
    assert whole.usage.completion_tokens == deltas + len(say.reasoning.split())


async def test_usage_is_counted_or_scripted() -> None:
    steps = [Reply(["one ", "two"]), Reply("much", usage=Usage(700, 30)), Reply("untold", usage=False)]
    told = []
    async with ModelStandin(steps) as server, client(server) as openai:
        for _ in steps:
            stream = await openai.chat.completions.create(
                model="demo",
                messages=[{"role": "user", "content": "Go."}],
                stream=True,
                stream_options={"include_usage": True},
            )
            told.append([chunk.usage.completion_tokens async for chunk in stream if chunk.usage])
    assert told == [[2], [30], []]


async def test_pace_follows_the_script() -> None:
    clock = asyncio.get_running_loop().time
    reply = Reply(["a"] * 20, tokens_per_second=100, first_token_after=0.1, jitter=0.5)
    async with ModelStandin([reply], seed=1) as server, client(server) as openai:
        begun = clock()
        stream = await openai.chat.completions.create(
            model="demo", messages=[{"role": "user", "content": "Go."}], stream=True
        )
        times = [clock() - begun async for chunk in stream if chunk.choices[0].delta.content]
    assert times[0] == pytest.approx(0.1)
    assert times[-1] - times[0] >= 0.1


async def test_server_closes_during_replies() -> None:
    clock = asyncio.get_running_loop().time
    async with ModelStandin(default=Reply("word " * 99, stall_after=1)) as server, client(server) as openai:
        stream = await openai.chat.completions.create(
            model="demo", messages=[{"role": "user", "content": "Go."}], stream=True
        )
        async with stream:
            await anext(stream)
            begun = clock()
            await server.__aexit__()
            assert clock() - begun < PATIENCE

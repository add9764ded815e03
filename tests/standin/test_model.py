from __future__ import annotations

import asyncio

import pytest
from openai import AsyncOpenAI, BadRequestError, DefaultAioHttpClient

from bot.standin.model import ModelStandin, Reply


def client(server: ModelStandin) -> AsyncOpenAI:
    return AsyncOpenAI(api_key="x", base_url=server.base_url, http_client=DefaultAioHttpClient(), max_retries=0)


async def test_an_unmodified_client_talks_to_it() -> None:
    async with ModelStandin() as server, client(server) as openai:
        whole = await openai.chat.completions.create(
            model="demo", messages=[{"role": "user", "content": "repeat Aha!"}]
        )
        assert (whole.choices[0].message.content or "").startswith("Aha!")
        stream = await openai.chat.completions.create(
            model="demo", messages=[{"role": "user", "content": "repeat Aha!"}], stream=True
        )
        pieces = [chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices]
        assert "".join(pieces) == whole.choices[0].message.content
        assert [model.id async for model in openai.models.list()] == ["demo"]


async def test_a_context_over_its_limit_is_refused() -> None:
    async with ModelStandin(context_tokens=20) as server, client(server) as openai:
        await openai.chat.completions.create(model="demo", messages=[{"role": "user", "content": "short"}])
        with pytest.raises(BadRequestError) as refused:
            await openai.chat.completions.create(model="demo", messages=[{"role": "user", "content": "word " * 20}])
        assert refused.value.code == "context_length_exceeded"


async def test_its_pace_is_that_of_the_script() -> None:
    clock = asyncio.get_running_loop().time
    reply = Reply(["a"] * 20, tokens_per_second=100, first_token_after=0.1, jitter=0.5)
    async with ModelStandin([reply], seed=1) as server, client(server) as openai:
        begun = clock()
        stream = await openai.chat.completions.create(
            model="demo", messages=[{"role": "user", "content": "Go."}], stream=True
        )
        times = [clock() - begun async for chunk in stream if chunk.choices[0].delta.content]
    assert times[0] >= 0.1
    assert times[-1] - times[0] >= 0.1


async def test_it_closes_at_once_with_replies_under_way() -> None:
    clock = asyncio.get_running_loop().time
    async with ModelStandin(default=Reply("word " * 99, stall_after=1)) as server, client(server) as openai:
        stream = await openai.chat.completions.create(
            model="demo", messages=[{"role": "user", "content": "Go."}], stream=True
        )
        async with stream:
            await anext(stream)
            begun = clock()
            await server.__aexit__()
            assert clock() - begun < 0.5

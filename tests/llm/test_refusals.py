"""What the operator is told of a server that refuses, and that the key is never told."""

from __future__ import annotations

import asyncio
import logging

import pytest

from bot.standin.model import REFUSALS, Drop, ModelStandin, Raw, Refusal, Step
from bot.turns import Problem
from tests.llm.conftest import KEY, ask, client, failure, text


@pytest.mark.parametrize(
    ("step", "problem", "words"),
    [
        (REFUSALS["bad key"], Problem.SETUP, "OPENAI_API_KEY"),
        (REFUSALS["forbidden"], Problem.SETUP, "OPENAI_API_KEY use gpt-x (403)"),
        (REFUSALS["unknown model"], Problem.SETUP, "OPENAI_MODEL gpt-x (404)"),
        (REFUSALS["unknown model (Ollama)"], Problem.SETUP, "OPENAI_MODEL gpt-x (404)"),
        (REFUSALS["unknown address"], Problem.SETUP, "OPENAI_BASE_URL http://127.0.0.1"),
        (Raw([b"<html>Welcome</html>"], "text/html"), Problem.SETUP, "is a web page"),
        (
            Refusal(307, "", {"Location": "https://example.com/v1"}),
            Problem.SETUP,
            "redirects to https://example.com/v1",
        ),
        (REFUSALS["quota"], Problem.SETUP, "no credit left (429)"),
        (REFUSALS["no credit (OpenRouter)"], Problem.SETUP, "no credit left (402)"),
        (REFUSALS["rate limit"], Problem.BUSY, "limits its rate (429)"),
        (REFUSALS["context too long"], Problem.TOO_LONG, "CONTEXT_TOKENS or REPLY_TOKENS"),
        (REFUSALS["context too long (llama.cpp)"], Problem.TOO_LONG, "the request exceeds the available context size"),
        (REFUSALS["context too long (vLLM)"], Problem.TOO_LONG, "4000 in the completion"),
        (REFUSALS["context too long (LM Studio)"], Problem.TOO_LONG, "only 4096 tokens"),
        (REFUSALS["context too long (a proxy)"], Problem.TOO_LONG, "(413)"),
        (REFUSALS["content filter"], Problem.DECLINED, "content filter"),
        (REFUSALS["bad request (FastAPI)"], Problem.SETUP, "Input should be a string"),
        (REFUSALS["server error"], Problem.UNREACHABLE, "failed (500)"),
        (REFUSALS["bad gateway"], Problem.UNREACHABLE, "failed (502)"),
        (REFUSALS["overloaded"], Problem.UNREACHABLE, "Loading model"),
        (Refusal(500, f"trace of {KEY}\n" * 500), Problem.UNREACHABLE, "trace of *** trace of ***"),
        (Drop(), Problem.UNREACHABLE, "OPENAI_BASE_URL"),
    ],
)
async def test_every_refusal_says_what_to_change_and_never_the_key(
    server: ModelStandin, step: Step, problem: Problem, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server.script.append(step)
    async with client(server.base_url) as model:
        error = await failure(model)
        assert error.problem is problem
        assert words in error.detail
        assert len(error.detail) < 600
        assert "\n" not in error.detail
        logging.getLogger("test").error("It failed.", exc_info=error)
        parts = repr([vars(model)["_client"], vars(model)["_advisor"]])
        for shown in (error.detail, repr(error), repr(model), parts, caplog.text):
            assert KEY not in shown
        assert server.requests[0].headers["Authorization"] == f"Bearer {KEY}"


async def test_a_server_that_is_not_there(server: ModelStandin) -> None:
    await server.stop_listening()
    async with client(server.base_url) as model:
        error = await failure(model)
        assert error.problem is Problem.UNREACHABLE
        assert f"{server.base_url} cannot be reached. Start it, or correct OPENAI_BASE_URL" in error.detail
        await server.listen()
        assert text(await ask(model)) == "Hi there."
    async with client("localhost:1234/v1") as model:
        assert (await failure(model)).problem is Problem.SETUP


async def test_a_server_that_speaks_something_else() -> None:
    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example.com ESMTP\r\n\r\n")
        writer.close()

    listening = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with listening, client(f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/v1") as model:
        assert (await failure(model)).problem is Problem.UNREACHABLE


async def test_a_server_that_wants_a_key(server: ModelStandin) -> None:
    server.script.append(REFUSALS["bad key"])
    async with client(server.base_url, api_key=None) as model:
        assert "Set OPENAI_API_KEY" in (await failure(model)).detail

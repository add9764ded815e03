"""What the operator is told of a server that refuses, and that the key is never told."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace

import pytest

from bot.core.turns import FailureReason
from bot.standin.model import ModelStandin
from bot.standin.profile import Profile
from bot.standin.profiles import PROFILES
from bot.standin.script import REFUSALS, Drop, Raw, Refusal, Step
from tests.llm.conftest import KEY, ask, client, failure, text

pytestmark = pytest.mark.virtual_time

DAY = 24 * 3600.0


@pytest.mark.parametrize(
    ("step", "problem", "words"),
    [
        (REFUSALS["bad key"], FailureReason.CONFIGURATION, "OPENAI_API_KEY"),
        (REFUSALS["forbidden"], FailureReason.CONFIGURATION, "OPENAI_API_KEY use gpt-x (403)"),
        (REFUSALS["unknown model"], FailureReason.CONFIGURATION, "the model gpt-x (404). Correct OPENAI_MODEL"),
        (
            REFUSALS["unknown model (Ollama)"],
            FailureReason.CONFIGURATION,
            "the model gpt-x (404). Correct OPENAI_MODEL",
        ),
        (REFUSALS["unknown address"], FailureReason.CONFIGURATION, "OPENAI_BASE_URL http://127.0.0.1"),
        (Raw([b"<html>Welcome</html>"], "text/html"), FailureReason.CONFIGURATION, "is a web page"),
        (
            Refusal(307, "", {"Location": "https://example.com/v1"}),
            FailureReason.CONFIGURATION,
            "redirects to https://example.com. Correct",
        ),
        (REFUSALS["quota"], FailureReason.CONFIGURATION, "no credit left (429)"),
        (REFUSALS["no credit (OpenRouter)"], FailureReason.CONFIGURATION, "no credit left (402)"),
        (REFUSALS["rate limit"], FailureReason.BUSY, "allows no more requests right now (429)"),
        (REFUSALS["context too long"], FailureReason.TOO_LONG, "CONTEXT_TOKENS or REPLY_TOKENS"),
        (
            REFUSALS["context too long (llama.cpp)"],
            FailureReason.TOO_LONG,
            "the request exceeds the available context size",
        ),
        (REFUSALS["context too long (vLLM)"], FailureReason.TOO_LONG, "4000 in the completion"),
        (REFUSALS["context too long (LM Studio)"], FailureReason.TOO_LONG, "only 4096 tokens"),
        (REFUSALS["context too long (a proxy)"], FailureReason.TOO_LONG, "(413)"),
        (REFUSALS["content filter"], FailureReason.CONTENT_FILTERED, "content filter"),
        (REFUSALS["bad request (FastAPI)"], FailureReason.CONFIGURATION, "Input should be a string"),
        (REFUSALS["server error"], FailureReason.UNREACHABLE, "failed (500)"),
        (REFUSALS["bad gateway"], FailureReason.UNREACHABLE, "failed (502)"),
        (REFUSALS["overloaded"], FailureReason.UNREACHABLE, "Loading model"),
        (Refusal(500, f"trace of {KEY}\n" * 500), FailureReason.UNREACHABLE, "trace of *** trace of ***"),
        (Drop(), FailureReason.UNREACHABLE, "OPENAI_BASE_URL"),
    ],
)
async def test_every_refusal_says_what_to_change(
    server: ModelStandin, step: Step, problem: FailureReason, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server.default = step
    async with client(server.base_url) as model:
        error = await failure(model)
        assert error.failure is problem
        assert words in f"{error.detail} {error.server_message}"
        assert len(error.detail) < 400
        assert "\n" not in error.detail + error.server_message
        logging.getLogger("test").error("It failed.", exc_info=error)
        parts = repr([vars(model)["_client"], vars(model)["_errors"]])
        for shown in (error.detail, error.server_message, repr(error), repr(model), parts, caplog.text):
            assert KEY not in shown
        assert server.requests[0].headers["Authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({"Retry-After": "2.5"}, 2.5),
        ({"Retry-After": "0"}, 0.0),
        ({"Retry-After": "43200"}, 43_200.0),
        ({"Retry-After": "100000"}, DAY),
        ({"Retry-After": "inf"}, DAY),
        ({"Retry-After": "1e309"}, DAY),
        ({"Retry-After": "9" * 400}, DAY),
        ({"Retry-After": "Fri, 06 Nov 2099 08:49:37 GMT"}, DAY),
        ({"Retry-After": "Sun, 06 Nov 1994 08:49:37 GMT"}, 0.0),
        ({"Retry-After": "Fri, 31 Dec 9999 23:59:59 -0000"}, DAY),
        ({"Retry-After": "Sun, 06 Nov 99999 08:49:37 GMT"}, None),
        ({"Retry-After": "-inf"}, None),
        ({"Retry-After": "-1"}, None),
        ({"Retry-After": "nan"}, None),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": ""}, None),
        ({}, None),
        ({"retry-after-ms": "1500", "Retry-After": "9"}, 1.5),
        ({"retry-after-ms": "1e400"}, DAY),
        ({"retry-after-ms": "soon"}, None),
        ({"retry-after-ms": "nan", "Retry-After": "9"}, 9.0),
    ],
)
async def test_retry_wait_is_bounded(server: ModelStandin, headers: dict[str, str], wait: float | None) -> None:
    server.default = replace(REFUSALS["rate limit"], headers=headers)
    async with client(server.base_url) as model:
        error = await failure(model)
    assert (error.failure, error.retry_after) == (FailureReason.BUSY, wait)


def said(number: int, message: str, **more: object) -> Refusal:
    return Refusal(number, {"error": {"message": message, **more}})


UNREACHABLE, BUSY, CONFIGURATION = FailureReason.UNREACHABLE, FailureReason.BUSY, FailureReason.CONFIGURATION
KEY_REFUSED = "The model server refused OPENAI_API_KEY"
NO_CREDIT = "The account of OPENAI_API_KEY has no credit left"
TOO_MUCH_TO_DO = "The model server is too busy"
LOADING = " did not load gpt-x within 0.2 s"


@pytest.mark.parametrize(
    ("refusal", "problem", "words"),
    [
        (said(498, "Flex tier capacity exceeded", type="capacity_exceeded"), BUSY, TOO_MUCH_TO_DO),
        (said(529, "Overloaded", type="overloaded_error"), BUSY, TOO_MUCH_TO_DO),
        (said(503, "server busy, please try again. maximum pending requests exceeded"), BUSY, TOO_MUCH_TO_DO),
        (said(503, "The model is overloaded. Please try again later."), BUSY, TOO_MUCH_TO_DO),
        (said(503, "Service is too busy. We advise users to switch to others."), BUSY, TOO_MUCH_TO_DO),
        (said(503, "Loading model", type="unavailable_error"), UNREACHABLE, LOADING),
        (Refusal(503, {"error": "Model m is currently loading", "estimated_time": 20.0}), UNREACHABLE, LOADING),
        (said(503, "llm server loading model"), UNREACHABLE, LOADING),
        (Refusal(503, {"detail": "The engine is still starting up."}), UNREACHABLE, LOADING),
        (said(500, "error loading model: unable to allocate CUDA0 buffer"), UNREACHABLE, "failed (500)"),
        (said(402, "Payment Required"), CONFIGURATION, NO_CREDIT),
        (said(402, "Insufficient Balance"), CONFIGURATION, NO_CREDIT),
        (said(429, "Your account is suspended", type="exceeded_current_quota_error"), CONFIGURATION, NO_CREDIT),
        (said(429, "余额不足或无可用资源包,请充值。", code="1113"), CONFIGURATION, NO_CREDIT),
        (said(429, "Please recharge.", code=1113), CONFIGURATION, NO_CREDIT),
        (Refusal(403, {"code": 30001, "message": "your account balance is insufficient"}), CONFIGURATION, NO_CREDIT),
        (said(400, "Budget has been exceeded!", type="budget_exceeded"), CONFIGURATION, NO_CREDIT),
        (
            said(429, "You exceeded your current quota, wait.", status="RESOURCE_EXHAUSTED"),
            BUSY,
            "allows no more requests",
        ),
        (said(400, "No connected db.", type="no_db_connection", code="400"), CONFIGURATION, KEY_REFUSED),
        (said(400, "Incorrect API key provided: xx."), CONFIGURATION, KEY_REFUSED),
        (said(400, "Missing or invalid Authorization header."), CONFIGURATION, KEY_REFUSED),
        (said(403, "Method doesn't allow unregistered callers"), CONFIGURATION, KEY_REFUSED),
        (Refusal(500, "Internal Server Error"), UNREACHABLE, "failed (500)"),
    ],
)
async def test_busy_loading_and_broke_are_told_apart(
    server: ModelStandin, refusal: Refusal, problem: FailureReason, words: str
) -> None:
    server.default = refusal
    async with client(server.base_url, first_delta_timeout=0.2 if words is LOADING else 5.0) as model:
        error = await failure(model)
    assert (error.failure, words in error.detail) == (problem, True), error.detail
    assert not error.accepted


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
async def test_refusals_of_each_server_are_understood(server: ModelStandin, profile: Profile) -> None:
    server.profile = profile
    async with client(server.base_url) as model:
        await ask(model)
        requests = len(server.requests)
        assert text(await ask(model)) == "Hi there."
        assert len(server.requests) == requests + 1, "it is known what the server takes"
        for refusal, problem, words in (
            (profile.bad_key, CONFIGURATION, KEY_REFUSED),
            (profile.no_credit, CONFIGURATION, NO_CREDIT),
            (profile.busy, BUSY, "The model server "),
        ):
            if refusal is not None:
                server.default = refusal
                error = await failure(model)
                assert (error.failure, words in error.detail) == (problem, True), error.detail


async def test_proxy_that_fails_without_a_word_wants_a_key(server: ModelStandin) -> None:
    server.default = Refusal(500, "Internal Server Error")
    async with client(server.base_url, api_key=None) as model:
        error = await failure(model)
    assert (error.failure, "Set OPENAI_API_KEY" in error.detail) == (FailureReason.CONFIGURATION, True)


async def test_missing_server_is_unreachable(server: ModelStandin) -> None:
    await server.stop_listening()
    async with client(server.base_url) as model:
        error = await failure(model)
        assert error.failure is FailureReason.UNREACHABLE
        assert f"{server.base_url} cannot be reached. Start it, or correct OPENAI_BASE_URL" in error.detail
        await server.listen()
        assert text(await ask(model)) == "Hi there."
    async with client("localhost:1234/v1") as model:
        assert (await failure(model)).failure is FailureReason.CONFIGURATION


async def test_server_of_another_protocol_is_unreachable() -> None:
    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example.com ESMTP\r\n\r\n")
        writer.close()

    listening = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with listening, client(f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/v1") as model:
        assert (await failure(model)).failure is FailureReason.UNREACHABLE


async def test_server_that_wants_a_key_says_so(server: ModelStandin) -> None:
    server.script.append(REFUSALS["bad key"])
    async with client(server.base_url, api_key=None) as model:
        assert "Set OPENAI_API_KEY" in (await failure(model)).detail


@pytest.mark.parametrize(
    ("step", "words"),
    [
        (REFUSALS["bad key"], "Replace it in .env and restart. Its error: invalid_request_error, invalid_api_key."),
        (Refusal(400, {"error": {"message": "hello?", "type": "bad_value", "param": "hello? Yes."}}), "bad_value."),
        (Refusal(422, {"detail": [{"msg": "No string.", "input": "hello?"}]}), "shows what it says."),
        (Refusal(500, "hello?"), "failed (500)."),
    ],
)
async def test_prompt_repeated_in_an_error_is_not_shown(
    server: ModelStandin, step: Step, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    server.default = step
    async with client(server.base_url, retry_within=3.0) as model:
        error = await failure(model)
    assert words in error.detail
    assert "hello?" not in error.detail + str(error) + caplog.text


async def test_unreadable_reply_is_not_shown() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\nhello?\r\n"
        )
        await writer.drain()
        writer.close()

    listening = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with listening, client(f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/v1") as model:
        error = await failure(model)
    assert error.failure is FailureReason.UNREACHABLE
    assert "The reason: " in error.detail
    assert "hello?" in error.server_message
    assert "hello?" not in error.detail

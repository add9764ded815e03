from __future__ import annotations

import asyncio
import gc
import json
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.errors import ModelError
from bot.llm import Decoder, OpenAIModel, Refused
from bot.standin.model import REFUSALS, Drop, ModelStandin, Raw, Refusal, Reply, Step
from bot.turns import End, Event, Message, Problem, Text, Thinking, Usage

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
    first_delta_timeout: float = 5.0,
    silence_timeout: float = 5.0,
    retry_within: float = 0.0,
) -> AsyncIterator[OpenAIModel]:
    async with OpenAIModel(
        model="gpt-x",
        reply_tokens=100,
        api_key=api_key,
        base_url=base_url,
        connect_timeout=2.0,
        first_delta_timeout=first_delta_timeout,
        silence_timeout=silence_timeout,
        retry_within=retry_within,
        jitter=lambda: 0.0,
    ) as model:
        yield model


async def ask(model: OpenAIModel) -> list[Event | Problem]:
    """The events of one reply, and the problem that ended it, if one did."""
    events: list[Event | Problem] = []
    try:
        async with model.stream(HELLO) as stream:
            async for event in stream:
                events.append(event)  # noqa: PERF401 - a comprehension would lose them when the stream fails
    except ModelError as error:
        events.append(error.problem)
    return events


async def failure(model: OpenAIModel) -> ModelError:
    try:
        async with model.stream(HELLO) as stream:
            async for _ in stream:
                pass
    except ModelError as error:
        return error
    pytest.fail("The reply came whole.")


def text(events: Sequence[object]) -> str:
    return "".join(event.text for event in events if isinstance(event, Text))


def data(delta: object, finish: str | None = None, **more: object) -> bytes:
    chunk = {"id": "1", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **more}
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


def say(content: object, finish: str | None = None, **more: object) -> bytes:
    return data({"content": content}, finish, **more)


DONE = b"data: [DONE]\n\n"
STOP = data({}, "stop")
HI = [Text("Hi"), End()]
CUT = [Text("Hi"), Problem.UNREACHABLE]
USAGE: dict[str, Any] = {"usage": {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}}
NO_CHOICES = b"data: " + json.dumps({"choices": [], **USAGE}).encode() + b"\n\n"
EMPTY_DELTAS = data({"role": "assistant", "content": ""}) + data({"content": None}) + data(None) + data({})
ERROR_LATER = {"error": {"message": "boom", "code": 502}}


@pytest.mark.parametrize(
    ("wire", "expected"),
    [
        pytest.param(EMPTY_DELTAS + say("Hi") + STOP + DONE, HI, id="role-only and empty deltas"),
        pytest.param(
            say("Hi") + STOP + NO_CHOICES + DONE, [Text("Hi"), Usage(7, 2), End()], id="usage without choices"
        ),
        pytest.param(say("Hi", "stop", **USAGE) + DONE, [Text("Hi"), Usage(7, 2), End()], id="all in the last chunk"),
        pytest.param(say("Hi", usage=None, error=None) + STOP + DONE, HI, id="null fields"),
        pytest.param(b'data: {"choices": null}\n\n' + say("Hi") + STOP + DONE, HI, id="null choices"),
        pytest.param(say("Hi") + DONE, HI, id="no finish reason"),
        pytest.param(say("Hi") + STOP, HI, id="no [DONE]"),
        pytest.param(say("Hi") + b"data: [DONE]", HI, id="no line end"),
        pytest.param(say("Hi") + DONE + say("!"), HI, id="nothing counts after [DONE]"),
        pytest.param(b": ping\n\n" + say("Hi") + b": ping\n\nid: 4\nretry: 9\n\n" + DONE, HI, id="comments and fields"),
        pytest.param((say("Hi") + STOP + DONE).replace(b"data: ", b"data:"), HI, id="no space behind data:"),
        pytest.param((say("Hi") + STOP + DONE).replace(b"\n", b"\r\n"), HI, id="CRLF"),
        pytest.param(say("Hi").replace(b"data: ", b"event: message\ndata: ") + DONE, HI, id="named events"),
        pytest.param(say([{"type": "text", "text": "Hi"}]) + DONE, HI, id="content in parts"),
        pytest.param(
            say([{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}]) + say("Hi") + DONE,
            [Thinking(), *HI],
            id="thinking in parts",
        ),
        pytest.param(data({"refusal": "I won't."}) + STOP + DONE, [Text("I won't."), End()], id="refusal"),
        pytest.param(data({"reasoning_content": "hm"}) + say("Hi") + DONE, [Thinking(), *HI], id="reasoning_content"),
        pytest.param(data({"reasoning": "hm"}) + say("Hi") + DONE, [Thinking(), *HI], id="reasoning"),
        pytest.param(say("<think>hm</think>\n\nHi") + DONE, [Thinking(), *HI], id="think block"),
        pytest.param(
            b"".join(say(piece) for piece in ["\n", "<th", "ink>h", "m</", "think", ">", "\n", "\n Hi", "<think>"])
            + DONE,
            [Thinking()] * 4 + [Text("Hi"), Text("<think>"), End()],
            id="think block in pieces",
        ),
        pytest.param(say("<think>hm, so") + STOP + DONE, [Thinking(), End()], id="think block that never ends"),
        pytest.param(say("<th") + say("anks>") + DONE, [Text("<thanks>"), End()], id="no think block"),
        pytest.param(say("<th") + DONE, [Text("<th"), End()], id="no think block at the end"),
        pytest.param(
            say("Hi ") + say("\ud83d") + say("\ude00") + DONE, [Text("Hi "), Text("😀"), End()], id="half emoji"
        ),
        pytest.param(say("\ude00\ud83d") + DONE, [Text("\N{REPLACEMENT CHARACTER}"), End()], id="lone halves"),
        pytest.param(
            say("Hi").replace(b"Hi", b"H\xff") + DONE, [Text("H\N{REPLACEMENT CHARACTER}"), End()], id="bad UTF-8"
        ),
        pytest.param(say("Hi") + data({}, "length") + DONE, [Text("Hi"), End(Problem.LENGTH)], id="length"),
        pytest.param(say("Hi", "content_filter") + DONE, [Text("Hi"), End(Problem.DECLINED)], id="content filter"),
        pytest.param(data({"tool_calls": []}, "tool_calls") + DONE, [End()], id="tool calls"),
        pytest.param(STOP + DONE, [End()], id="empty reply"),
        pytest.param(say("Hi"), CUT, id="closed without an end"),
        pytest.param(say("Hi") + b'data: {"choi', CUT, id="closed within a line"),
        pytest.param(say("Hi") + data({}, "error"), CUT, id="given up"),
        pytest.param(say("Hi") + b"data: " + json.dumps(ERROR_LATER).encode() + b"\n\n" + DONE, CUT, id="error event"),
        pytest.param(say("Hi") + b'event: error\ndata: {"message": "boom"}\n\n' + DONE, CUT, id="event: error"),
        pytest.param(say("Hi") + b'error: {"code": 500, "message": "boom"}\n\n', CUT, id="error line"),
        pytest.param(
            b'data: {"error": {"message": "Rate limit", "type": "rate_limit_exceeded"}}\n\n',
            [Problem.BUSY],
            id="busy event",
        ),
        pytest.param(b'data: {"error": {"code": "429", "message": "slow"}}\n\n', [Problem.BUSY], id="code as a string"),
        pytest.param(
            b'data: {"error": {"message": "x", "code": "insufficient_quota"}}\n\n', [Problem.SETUP], id="quota event"
        ),
        pytest.param(
            b'data: {"error": {"message": "x", "code": "context_length_exceeded"}}\n\n',
            [Problem.TOO_LONG],
            id="long event",
        ),
        pytest.param(say("Hi", "stop") + b'data: {"error": {"message": "late"}}\n\n', HI, id="error behind the end"),
    ],
)
async def test_what_servers_send(server: ModelStandin, wire: bytes, expected: list[object]) -> None:
    server.script.append(Raw([wire]))
    async with client(server.base_url) as model:
        assert await ask(model) == expected
        assert text(await ask(model)) == "Hi there."


@pytest.mark.parametrize("stream_cut", [True, False])
async def test_a_connection_cut_behind_the_end_is_no_problem(server: ModelStandin, stream_cut: bool) -> None:
    server.script.append(Raw([say("Hi") + STOP], cut=stream_cut))
    async with client(server.base_url) as model:
        assert await ask(model) == HI


async def test_the_usage_is_waited_for_and_the_end_of_the_response_hardly(server: ModelStandin) -> None:
    server.script.append(Raw([say("Hi") + STOP, NO_CHOICES + DONE], pause=0.1))
    server.script.append(Raw([say("Hi") + DONE, b": never"], pause=60))
    async with client(server.base_url) as model, asyncio.timeout(2):
        assert await ask(model) == [Text("Hi"), Usage(7, 2), End()]
        assert await ask(model) == HI


async def test_an_answer_that_is_not_streamed(server: ModelStandin) -> None:
    message = {"role": "assistant", "content": "<think>hm</think>Hi"}
    body = json.dumps({"choices": [{"message": message, "finish_reason": "length"}], **USAGE}, indent=1).encode()
    server.script.append(Raw([body], "application/json; charset=utf-8"))
    server.script.append(
        Raw([b'{"error": {"code": 400, "message": "maximum context length is 9"}}'], "application/json")
    )
    async with client(server.base_url) as model:
        assert await ask(model) == [Thinking(), Text("Hi"), Usage(7, 2), End(Problem.LENGTH)]
        assert await ask(model) == [Problem.TOO_LONG]


WIRE = (
    b": ping\r\n\r\n" + say("<think>é</think>") + say("Grüße, 世界 😀\n", **USAGE).replace(b"\n", b"\r\n") + STOP + DONE
)
WIRE = WIRE.replace(b"\\u4e16", "世".encode()).replace(b"\\u00fc", "ü".encode())


@given(st.lists(st.integers(0, len(WIRE))))
def test_the_same_events_wherever_the_bytes_are_divided(cuts: list[int]) -> None:
    decoder = Decoder()
    bounds = [0, *sorted(cuts), len(WIRE)]
    events = [event for start, end in pairwise(bounds) for event in decoder.feed(WIRE[start:end])] + list(
        decoder.close()
    )
    assert events == [Thinking(), Text("Grüße, 世界 😀\n"), Usage(7, 2), End()]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["choices", "delta", "content", "error", "usage", "finish_reason", "refusal", "text", "type"]
            ),
            inner,
        )
    ),
    max_leaves=12,
)


@given(JSON)
def test_no_json_is_a_defect_of_ours(value: object) -> None:
    for wire in (
        value,
        {"choices": [value]},
        {"choices": [{"delta": value}]},
        {"choices": [{"delta": {"content": value}}]},
    ):
        decoder = Decoder()
        try:
            events = [
                *decoder.feed(b"data: " + json.dumps(wire).encode() + b"\n\n"),
                *decoder.feed(DONE),
                *decoder.close(),
            ]
        except (Refused, ConnectionError):
            continue
        assert isinstance(events[-1], End)
        text(events).encode()


LOADING = Refusal(503, {"error": {"message": "Loading"}}, {"Retry-After": "7"})


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
        for shown in (error.detail, repr(error), repr(model), repr(vars(model)["_client"]), caplog.text):
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


@pytest.mark.parametrize("ping", [None, 0.02])
async def test_waiting_has_limits(server: ModelStandin, ping: float | None) -> None:
    server.script += [
        Reply("One two", stall_after=0, ping_every=ping),
        Reply("One two", stall_after=1, ping_every=ping),
    ]
    async with client(server.base_url, first_delta_timeout=0.3) as model:
        error = await failure(model)
        assert error.problem is Problem.UNREACHABLE
        assert "raise FIRST_DELTA_TIMEOUT" in error.detail
    async with client(server.base_url, silence_timeout=0.1) as model, asyncio.timeout(2):
        error = await failure(model)
        assert error.problem is Problem.UNREACHABLE
        assert "raise SILENCE_TIMEOUT" in error.detail
    for request in server.requests:
        await request.over()
        assert request.left


async def test_a_slow_reply_and_a_slow_reader_are_not_silence(server: ModelStandin) -> None:
    server.script.append(Reply("One two three four five six", tokens_per_second=20, reasoning="hm hm hm"))
    async with client(server.base_url, first_delta_timeout=0.4, silence_timeout=0.2) as model:
        said = []
        async with model.stream(HELLO) as events:
            async for event in events:
                if event == Text(" two"):
                    await asyncio.sleep(0.3)
                said.append(event)
    assert text(said) == "One two three four five six"
    assert said[-1] == End()


async def test_a_request_is_repeated_until_something_came(server: ModelStandin) -> None:
    soon = Refusal(429, REFUSALS["rate limit"].body, {"Retry-After": "0.1"})
    server.script += [soon, Refusal(503, "", {"retry-after-ms": "50"})]
    clock = asyncio.get_running_loop().time
    async with client(server.base_url, retry_within=2.0) as model:
        begun = clock()
        assert text(await ask(model)) == "Hi there."
        assert 0.15 <= clock() - begun < 0.5
        server.script += [Reply("Hi", error_after=0)]
        assert text(await ask(model)) == "Hi there."
        server.script += [Reply("One two", cut_after=1)]
        assert await ask(model) == [Text("One"), Problem.UNREACHABLE]
    assert len(server.requests) == 6


async def test_some_refusals_are_not_worth_a_second_try(server: ModelStandin) -> None:
    later = Refusal(429, REFUSALS["rate limit"].body, {"Retry-After": "30"})
    server.script += [REFUSALS["quota"], later, later]
    async with client(server.base_url, retry_within=2.0) as model:
        assert (await failure(model)).problem is Problem.SETUP
        error = await failure(model)
        assert (error.problem, error.retry_after) == (Problem.BUSY, 30.0)
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("refused", "left"),
    [
        ({"stream_options"}, {"max_tokens"}),
        ({"max_tokens"}, {"stream_options", "max_completion_tokens"}),
        ({"stream_options", "max_tokens", "max_completion_tokens"}, set()),
    ],
)
async def test_what_a_server_refused_is_not_sent_again(server: ModelStandin, refused: set[str], left: set[str]) -> None:
    server.refused_parameters = refused
    async with client(server.base_url) as model:
        for _ in range(3):
            assert text(await ask(model)) == "Hi there."
    assert len(server.requests) == 3 + len(refused)
    for request in server.requests[-3:]:
        assert request.body.keys() - {"model", "messages", "stream"} == left


@pytest.mark.parametrize(
    "body",
    [
        {"detail": [{"type": "extra_forbidden", "loc": ["body", "x"], "msg": "Extra inputs are not permitted"}]},
        {"error": {"message": "Unrecognized request argument supplied"}},
    ],
)
async def test_a_refused_parameter_without_a_name(server: ModelStandin, body: object) -> None:
    server.script.append(Refusal(422, body))
    async with client(server.base_url) as model:
        assert text(await ask(model)) == "Hi there."
    assert "stream_options" not in server.requests[-1].body


async def test_leaving_early_ends_the_reply_on_the_server() -> None:
    talking = Reply("word " * 1000, tokens_per_second=100)
    async with (
        ModelStandin([talking, talking, Reply("word", first_token_after=60)]) as server,
        client(server.base_url) as model,
    ):
        async with model.stream(HELLO) as events:
            await anext(events)
        await server.requests[0].over()

        begun = asyncio.Event()

        async def read() -> None:
            async with model.stream(HELLO) as events:
                async for _ in events:
                    begun.set()

        for number in (1, 2):
            reading = asyncio.create_task(read())
            request = await server.request(number)
            await begun.wait()  # The third reply never begins: it is left while nothing has come.
            reading.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reading
            await request.over()
        assert [request.left for request in server.requests] == [True, True, True]
    gc.collect()
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_nothing_is_taken_from_the_environment(server: ModelStandin, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_ADMIN_KEY", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "OPENAI_WEBHOOK_SECRET"):
        monkeypatch.setenv(name, "from-the-environment")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Own: from-the-environment\nAuthorization: from-the-environment")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/from-the-environment")
    async with client(server.base_url, api_key=None) as model:
        assert text(await ask(model)) == "Hi there."
    assert "from-the-environment" not in str(server.requests[0].headers)
    assert "Authorization" not in server.requests[0].headers

    # A proxy, on the other hand, is the environment's to name.
    monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    async with OpenAIModel(model="x", reply_tokens=1, retry_within=0) as model:
        assert "https://api.openai.com/v1 cannot be reached" in (await failure(model)).detail
    assert len(server.requests) == 1


async def test_a_server_that_wants_a_key(server: ModelStandin) -> None:
    server.script.append(REFUSALS["bad key"])
    async with client(server.base_url, api_key=None) as model:
        assert "Set OPENAI_API_KEY" in (await failure(model)).detail


async def test_the_connection_is_used_again(server: ModelStandin) -> None:
    async with client(server.base_url) as model:
        for _ in range(3):
            await ask(model)
    assert len({request.peer for request in server.requests}) == 1


async def test_models_and_probe(server: ModelStandin) -> None:
    server.models = ("small", "large")
    async with client(server.base_url) as model:
        assert await model.models() == ["small", "large"]
        server.models = None
        assert await model.models() == []
        await model.probe()
        server.script.append(REFUSALS["unknown model"])
        with pytest.raises(ModelError, match="OPENAI_MODEL"):
            await model.probe()
        await server.stop_listening()
    async with client(server.base_url) as model:
        with pytest.raises(ModelError, match="OPENAI_BASE_URL"):
            await model.models()

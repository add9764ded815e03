"""What servers send, and the events that it is."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.core.model_events import End, Reasoning, Text
from bot.core.quotas import Usage
from bot.core.turns import FailureReason
from bot.llm.decoder import Decoder
from bot.llm.server_events import StreamError
from bot.standin.model import ModelStandin
from bot.standin.script import Raw
from tests.llm.conftest import ask, client, failure, text
from tests.llm.wire import DONE, NO_CHOICES, STOP, USAGE, data, say

HI = [Text("Hi"), End()]
HI_IN_TWO = [Text("H"), Text("i"), End()]
CUT = [Text("Hi"), FailureReason.UNREACHABLE]
EMPTY_DELTAS = data({"role": "assistant", "content": ""}) + data({"content": None}) + data(None) + data({})


def counts(prompt: object, reply: object) -> dict[str, Any]:
    return {"usage": {"prompt_tokens": prompt, "completion_tokens": reply}}


ERROR_LATER = {"error": {"message": "boom", "code": 502}}


@pytest.mark.parametrize(
    ("wire", "expected"),
    [
        pytest.param(EMPTY_DELTAS + say("Hi") + STOP + DONE, HI, id="role-only and empty deltas"),
        pytest.param(
            say("Hi") + STOP + NO_CHOICES + DONE, [Text("Hi"), Usage(7, 2), End()], id="usage without choices"
        ),
        pytest.param(say("Hi", "stop", **USAGE) + DONE, [Text("Hi"), Usage(7, 2), End()], id="all in the last chunk"),
        pytest.param(
            say("Hi", **counts(7, 1)) + say("", "stop", **counts(7, 2)) + DONE,
            [Text("Hi"), Usage(7, 2), End()],
            id="usage in every event",
        ),
        pytest.param(
            say("Hi", **counts(7, 2)) + data({}, "stop", **counts(0, None)) + DONE,
            [Text("Hi"), Usage(7, 2), End()],
            id="usage that is taken back",
        ),
        pytest.param(say("Hi", **counts(7.0, 2.5)) + DONE, [Text("Hi"), Usage(7, 0), End()], id="usage in fractions"),
        pytest.param(say("Hi", **counts("7", 2)) + DONE, [Text("Hi"), Usage(0, 2), End()], id="usage as a string"),
        pytest.param(say("Hi", **counts(True, -2)) + DONE, HI, id="usage that is no number, or below zero"),
        pytest.param(say("Hi", **counts(math.nan, math.inf)) + DONE, HI, id="usage without bounds"),
        pytest.param(say("Hi", usage=[7, 2]) + DONE, HI, id="usage as a list"),
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
            [Reasoning(), *HI],
            id="thinking in parts",
        ),
        pytest.param(data({"refusal": "I won't."}) + STOP + DONE, [Text("I won't."), End()], id="refusal"),
        pytest.param(data({"reasoning_content": "hm"}) + say("Hi") + DONE, [Reasoning(), *HI], id="reasoning_content"),
        pytest.param(data({"reasoning": "hm"}) + say("Hi") + DONE, [Reasoning(), *HI], id="reasoning"),
        pytest.param(say("<think>hm</think>\n\nHi") + DONE, [Reasoning(), *HI], id="think block"),
        pytest.param(
            b"".join(say(piece) for piece in ["\n", "<th", "ink>h", "m</", "think", ">", "\n", "\n Hi", "<think>"])
            + DONE,
            [Reasoning()] * 4 + [Text("Hi"), Text("<think>"), End()],
            id="think block in pieces",
        ),
        pytest.param(say("<think>hm, so") + STOP + DONE, [Reasoning(), End()], id="think block that never ends"),
        pytest.param(say("<th") + say("anks>") + DONE, [Text("<thanks>"), End()], id="no think block"),
        pytest.param(say("<th") + DONE, [Text("<th"), End()], id="no think block at the end"),
        pytest.param(
            say("Hi ") + say("\ud83d") + say("\ude00") + DONE, [Text("Hi "), Text("😀"), End()], id="half emoji"
        ),
        pytest.param(say("\ude00\ud83d") + DONE, [Text("\N{REPLACEMENT CHARACTER}"), End()], id="lone halves"),
        pytest.param(
            say("Hi").replace(b"Hi", b"H\xff") + DONE, [Text("H\N{REPLACEMENT CHARACTER}"), End()], id="bad UTF-8"
        ),
        pytest.param(say("Hi") + data({}, "length") + DONE, [Text("Hi"), End(FailureReason.LENGTH)], id="length"),
        pytest.param(
            say("Hi", "content_filter") + DONE, [Text("Hi"), End(FailureReason.CONTENT_FILTERED)], id="content filter"
        ),
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
            [FailureReason.BUSY],
            id="busy event",
        ),
        pytest.param(
            b'data: {"error": {"code": "429", "message": "slow"}}\n\n', [FailureReason.BUSY], id="code as a string"
        ),
        pytest.param(
            b'data: {"error": {"message": "x", "code": "insufficient_quota"}}\n\n',
            [FailureReason.CONFIGURATION],
            id="quota event",
        ),
        pytest.param(
            b'data: {"error": {"message": "x", "code": "context_length_exceeded"}}\n\n',
            [FailureReason.TOO_LONG],
            id="long event",
        ),
        pytest.param(say("Hi") + STOP + b'data: {"error": {"message": "late"}}\n\n', HI, id="error behind the end"),
        pytest.param(say("Hi") + STOP + b"event: error\ndata: late\n\n", HI, id="event: error behind the end"),
        pytest.param(say("Hi", "stop") + b'data: {"error": {"message": "boom"}}\n\n', CUT, id="finish reason at once"),
        pytest.param(
            say("H", "stop") + say("i", "stop") + b'data: {"error": "boom"}\n\n',
            [Text("H"), Text("i"), FailureReason.UNREACHABLE],
            id="finish reason in each event, then an error",
        ),
        pytest.param(say("H", "null") + say("i", "stop"), HI_IN_TWO, id="null as a string"),
        pytest.param(say("H", "stop") + say("i", "stop"), HI_IN_TWO, id="finish reason in each event"),
        pytest.param(say("H", "stop") + say("i"), [*HI_IN_TWO[:2], CUT[1]], id="finish reason in the first event only"),
        pytest.param(b"\xef\xbb\xbf" + say("Hi") + DONE, HI, id="byte order mark"),
        pytest.param((say("Hi") + STOP + DONE).replace(b"\n", b"\r"), HI, id="CR"),
        pytest.param(b"\n\n" + say("Hi") + DONE, HI, id="empty lines first"),
        pytest.param(say("Hi").replace(b', "', b',\ndata: "') + DONE, HI, id="several data lines"),
        pytest.param(say("Hi").replace(b', "', b',\r\ndata: "') + DONE, HI, id="several data lines with CRLF"),
        pytest.param((say("Hi") + STOP + DONE).replace(b"\n\n", b"\n"), HI, id="no empty lines"),
        pytest.param(say("Hi") + b'data: "[DONE]"\n\n' + say("!"), HI, id="[DONE] as a string"),
        pytest.param(say("Hi").replace(b'"delta"', b'"message"') + DONE, HI, id="message for delta"),
        pytest.param(b'data: {"choices": [{"text": "Hi"}]}\n\n' + DONE, HI, id="text for delta"),
        pytest.param(
            say("Hi") + data({}, "MAX_TOKENS") + DONE, [Text("Hi"), End(FailureReason.LENGTH)], id="Gemini's length"
        ),
        pytest.param(
            say("Hi") + data({}, "model_length") + DONE, [Text("Hi"), End(FailureReason.LENGTH)], id="Mistral's length"
        ),
        *(
            pytest.param(say("Hi", reason) + DONE, [Text("Hi"), End(FailureReason.CONTENT_FILTERED)], id=reason)
            for reason in ("SAFETY", "RECITATION", "refusal")
        ),
        pytest.param(
            say("Hi") + data({}, "stop", x_groq={"id": "r", **USAGE}) + DONE,
            [Text("Hi"), Usage(7, 2), End()],
            id="Groq's usage",
        ),
        pytest.param(
            say("Hi") + STOP.replace(b'"finish', json.dumps(USAGE).encode()[1:-1] + b', "finish') + DONE,
            [Text("Hi"), Usage(7, 2), End()],
            id="Moonshot's usage",
        ),
    ],
)
async def test_streams_of_real_servers_are_decoded(server: ModelStandin, wire: bytes, expected: list[object]) -> None:
    server.script.append(Raw([wire]))
    async with client(server.base_url) as model:
        assert await ask(model) == expected
        assert text(await ask(model)) == "Hi there."


LABELS = ["text/event-stream", "application/json; charset=utf-8", "text/html", "text/plain", ""]
ANSWER = {"choices": [{"message": {"content": "<think>hm</think>Hi"}, "finish_reason": "length"}], **USAGE}


@pytest.mark.virtual_time
@pytest.mark.parametrize("label", LABELS)
async def test_body_says_whether_it_is_streamed(server: ModelStandin, label: str) -> None:
    stream = say("Hi") + STOP + DONE
    pieces = [b": hello\n", *(stream[at : at + 1] for at in range(30)), stream[30:]]
    decoded = [Reasoning(), Text("Hi"), Usage(7, 2), End(FailureReason.LENGTH)]
    for wire, expected in (
        ([stream], HI),
        ([*pieces], HI),
        ([b"id: 1\n" + stream], HI),
        ([json.dumps(ANSWER).encode()], decoded),
        ([b"\n" + json.dumps(ANSWER, indent=1).encode()[:40], json.dumps(ANSWER, indent=1).encode()[40:]], decoded),
        ([json.dumps(ANSWER).encode() + b"\n"], decoded),
        ([b'{"choices": [{"message": {"content": "Hi"}}]}\n'], HI),
        ([say("H")[6:-1] + data({"content": "i"}, "stop")[6:-1]], HI_IN_TWO),
        ([b'{"error": {"code": 400, "message": "maximum context length is 9"}}'], [FailureReason.TOO_LONG]),
        ([b'{"choi'], [FailureReason.UNREACHABLE]),
        ([b"\n <!doctype html><p>Hi</p>"], [FailureReason.CONFIGURATION]),
    ):
        server.script.append(Raw(wire, label))
        async with client(server.base_url, retry_within=2.0) as model:
            if expected == [FailureReason.UNREACHABLE]:
                server.script.append(Raw(wire, label))
                server.script.append(Raw(wire, label))
            assert await ask(model) == expected
    assert len(server.requests) == 13, "an answer is paid once"


async def test_page_without_a_tag_is_a_page(server: ModelStandin) -> None:
    server.script += [Raw([b"Welcome"], "text/html"), Raw([b"Hi"], "text/html")]
    async with client(server.base_url) as model:
        for _ in range(2):
            assert "is a web page" in (await failure(model)).detail


@pytest.mark.parametrize("where", ["answer", "event", "line"])
@pytest.mark.parametrize(
    "body",
    [
        {"code": 1305, "message": "busy"},
        {"error_code": 17, "error_msg": "busy"},
        {"detail": "busy"},
        {"detail": [{"msg": "busy", "type": "x"}]},
        [{"error": {"code": 503, "message": "busy"}}],
        {"error": "busy"},
        {"error": True, "message": "busy"},
        {"object": "error", "message": "busy"},
        {"type": "error", "error": {"type": "overloaded_error", "message": "busy"}},
        {"status": 500, "msg": "busy"},
        {"message": "busy"},
        {"errors": [{"message": "busy"}]},
        {"choices": None, "base_resp": {"status_code": 1002, "status_msg": "busy"}},
        {"choices": [{"finish_reason": "error", "error": {"code": 502, "message": "busy"}}]},
    ],
)
async def test_error_in_any_shape_says_what_was_said(server: ModelStandin, body: object, where: str) -> None:
    text = json.dumps(body).encode()
    match where:
        case "event":
            server.script.append(Raw([b"data: " + text + b"\n\n" + DONE]))
        case "line":
            server.script.append(Raw([text + b"\n"]))
        case _:
            server.script.append(Raw([json.dumps(body, indent=2).encode()], "application/json"))
    async with client(server.base_url) as model:
        error = await failure(model)
    assert error.failure in (FailureReason.UNREACHABLE, FailureReason.BUSY)
    assert "busy" in error.server_message


@pytest.mark.parametrize("body", [{"status": "no"}, [], {}, "busy", 5, None])
async def test_answer_without_choices_is_an_error(server: ModelStandin, body: object) -> None:
    server.script.append(Raw([json.dumps(body).encode()], "application/json"))
    async with client(server.base_url) as model:
        assert (await failure(model)).failure is FailureReason.UNREACHABLE


WIRE = (
    b": ping\r\n\r\n" + say("<think>é</think>") + say("Grüße, 世界 😀\n", **USAGE).replace(b"\n", b"\r\n") + STOP + DONE
)
WIRE = WIRE.replace(b"\\u4e16", "世".encode()).replace(b"\\u00fc", "ü".encode())


@given(st.lists(st.integers(0, len(WIRE))))
def test_chunk_boundaries_do_not_change_the_events(cuts: list[int]) -> None:
    decoder = Decoder()
    bounds = [0, *sorted(cuts), len(WIRE)]
    events = [event for start, end in pairwise(bounds) for event in decoder.feed(WIRE[start:end])] + list(
        decoder.close()
    )
    assert events == [Reasoning(), Text("Grüße, 世界 😀\n"), Usage(7, 2), End()]


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
def test_any_json_decodes_without_a_defect(value: object) -> None:
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
        except (StreamError, ConnectionError):
            continue
        assert isinstance(events[-1], End)
        text(events).encode()


def billed(prompt: int, reply: int, total: int, **more: object) -> dict[str, object]:
    return {"prompt_tokens": prompt, "completion_tokens": reply, "total_tokens": total, **more}


OPENAI = {
    "prompt_tokens_details": {"cached_tokens": 1024, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 64, "audio_tokens": 0, "accepted_prediction_tokens": 0},
}
COUNTED = Usage(1336, 90, cached_tokens=1024, reasoning_tokens=64)


@pytest.mark.parametrize(
    ("more", "usage"),
    [
        pytest.param({"usage": billed(1336, 90, 1426, **OPENAI)}, COUNTED, id="OpenAI"),
        pytest.param(
            {
                "usage": billed(
                    1336,
                    90,
                    1426,
                    prompt_cache_hit_tokens=1024,
                    prompt_cache_miss_tokens=312,
                    completion_tokens_details={"reasoning_tokens": 64},
                )
            },
            COUNTED,
            id="DeepSeek",
        ),
        pytest.param({"x_groq": {"id": "req_1", "usage": billed(1336, 90, 1426, **OPENAI)}}, COUNTED, id="Groq"),
        pytest.param({"x_groq": {"id": "req_1"}}, None, id="the head of Groq's stream"),
        pytest.param(
            {"choices": [{"index": 0, "delta": {}, "usage": billed(1336, 90, 1426, cached_tokens=1024)}]},
            replace(COUNTED, reasoning_tokens=0),
            id="Moonshot",
        ),
        pytest.param(
            {"usage": billed(1336, 90, 1426, num_cached_tokens=1024)},
            replace(COUNTED, reasoning_tokens=0),
            id="Mistral",
        ),
        pytest.param(
            {"usage": billed(1336, 90, 1426, reasoning_tokens=64, prompt_tokens_details=None)},
            replace(COUNTED, cached_tokens=0),
            id="SGLang",
        ),
        pytest.param({"usage": billed(1336, 26, 1426, **OPENAI)}, COUNTED, id="xAI, whose total has the thoughts"),
        pytest.param(
            {"usage": billed(1336, 26, 1426)},
            replace(COUNTED, cached_tokens=0),
            id="Gemini, whose total alone has the thoughts",
        ),
        pytest.param({"usage": billed(1336, 90, 90)}, Usage(1336, 90), id="a total that is none"),
        pytest.param(
            {"usage": billed(7, 2, 9, prompt_tokens_details=[5], completion_tokens_details="1", cached_tokens="3")},
            Usage(7, 2),
            id="details of other types",
        ),
    ],
)
def test_servers_count_in_many_places(more: dict[str, Any], usage: Usage | None) -> None:
    decoder = Decoder()
    events = [*decoder.feed(say("Hi") + data({}, **more) + STOP + DONE), *decoder.close()]
    assert events == [Text("Hi"), *([usage] if usage else []), End()]

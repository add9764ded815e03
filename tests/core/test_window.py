"""How much a server is sent that takes less than it could be: through the core, the SDK and a real socket."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import date
from itertools import pairwise
from pathlib import Path

import pytest

from bot.config import ModelServerSettings
from bot.core.context import BYTES_PER_TOKEN, tokens
from bot.core.generation_settings import GenerationSettings
from bot.core.quotas import Quota, Quotas, Usage
from bot.core.service import ConversationService
from bot.core.turns import FailureReason, TurnState
from bot.llm.client import OpenAIModel
from bot.llm.timeouts import Timeouts
from bot.standin.model import ModelStandin, Request
from bot.standin.profiles import PROFILES
from bot.standin.script import REFUSALS, Raw, Refusal, Reply
from bot.store import Store
from tests.talking import Model, Talk

pytestmark = pytest.mark.virtual_time

PLENTY = 10**9
ONE_LINE = "The quick brown fox jumps over the lazy dog by the river. "
LONG = ONE_LINE * 60
REPLY_TOKENS = 4000


@asynccontextmanager
async def asking(
    store: Store, server: ModelStandin, *, tokens: int = PLENTY, effort: str = "none"
) -> AsyncIterator[Talk]:
    """One process that asks a server."""
    settings = GenerationSettings(
        models=("m",),
        system_prompt="Be brief.",
        context_tokens=8000,
        reply_tokens=REPLY_TOKENS,
        reasoning_effort=effort,
        quotas=Quotas(PLENTY, tokens, PLENTY, PLENTY),
    )
    async with (
        OpenAIModel(
            ModelServerSettings(server.base_url), timeouts=Timeouts(retry_within=0.0), reasoning_effort=effort
        ) as model,
        ConversationService(store, model, settings, today=lambda: date(2026, 11, 22)) as core,
    ):
        yield Talk(core, Model(), store)


def context_of(request: Request) -> int:
    """The tokens of a request's context, as they are estimated before a server counts any."""
    return sum(tokens(message["content"], BYTES_PER_TOKEN) for message in request.messages)


def limit_of(request: Request) -> int:
    assert request.max_tokens is not None
    return request.max_tokens


async def charged(store: Store) -> int:
    """The tokens of all people together, with what nobody pays for, since it failed through nobody's fault."""
    return (await store.quotas.usage_today(1)).total


def said(status: int, message: str, **more: object) -> Refusal:
    return Refusal(status, {"error": {"message": message, **more}})


def bare(**body: object) -> Refusal:
    return Refusal(400, body)


_VLLM = (
    "'max_tokens' or 'max_completion_tokens' is too large: 4000. This model's maximum context length is 4096 tokens and"
    " your request has 500 input tokens (4000 > 4096 - 500)."
)
_VERTEX = "The input token count is 5000 but model only supports up to 4096."
WORDINGS: dict[str, tuple[Refusal, int | None]] = {
    "OpenAI": (REFUSALS["context too long"], 4096),
    "OpenAI, without a number": (
        said(400, "Your input exceeds the context window of this model. Please adjust your input and try again."),
        None,
    ),
    "OpenAI, of a minute": (
        said(429, "Request too large for gpt-x on tokens per min (TPM): Limit 10,000, Requested 12,043.", code="x"),
        10_000,
    ),
    "llama.cpp": (REFUSALS["context too long (llama.cpp)"], 4096),
    "llama.cpp, with numbers": (
        said(400, "request (5000 tokens) exceeds the available context size (4096 tokens), try increasing it"),
        4096,
    ),
    "llama.cpp, small": (
        said(400, "the request exceeds the available context size, try increasing it", n_prompt_tokens=5000, n_ctx=512),
        512,
    ),
    "llama-cpp-python": (said(400, "Requested tokens (5000) exceed context window of 4096"), 4096),
    "vLLM": (REFUSALS["context too long (vLLM)"], 4096),
    "vLLM, the reply": (bare(object="error", message=_VLLM, type="BadRequestError", code=400), 4096),
    "SGLang": (
        bare(
            object="error",
            message="Requested token count exceeds the model's maximum context length of 4096 tokens. You requested a"
            " total of 4500 tokens: 500 tokens from the input messages and 4000 tokens for the completion.",
        ),
        4096,
    ),
    "SGLang, the prompt": (
        bare(message="The input (5000 tokens) is longer than the model's context length (4096 tokens)."),
        4096,
    ),
    "LM Studio": (REFUSALS["context too long (LM Studio)"], 4096),
    "Anthropic": (
        said(
            400,
            "input length and `max_tokens` exceed context limit: 1000 + 4000 > 4096, decrease input length or"
            " `max_tokens` and try again",
        ),
        4096,
    ),
    "Anthropic, the prompt": (said(400, "prompt is too long: 5000 tokens > 4096 maximum"), 4096),
    "OpenRouter": (
        said(400, "Input length 5000 exceeds the maximum allowed input length of 4096 tokens.", code=400),
        4096,
    ),
    "Mistral": (
        bare(
            message="Prompt contains 5000 tokens and 0 draft tokens, too large for model with 4096 maximum context"
            " length"
        ),
        4096,
    ),
    "Groq": (said(400, "Please reduce the length of the messages or completion.", param="messages"), None),
    "Moonshot": (said(400, "Invalid request: Your request exceeded model token limit: 8192"), 8192),
    "Zhipu": (said(400, "Prompt exceeds max length", code="1261"), None),
    "Zhipu, in Chinese": (said(400, "Prompt 超长", code="1261"), None),
    "xAI": (
        bare(code="x", error="This model's maximum prompt length is 4096 but the request contains 5000 tokens."),
        4096,
    ),
    "Qwen": (said(400, "<400> InternalError: Range of input length should be [1, 6000]", code="x"), 6000),
    "TGI": (
        Refusal(422, {"error": "Input validation error: `inputs` must have less than 1024 tokens. Given: 5090"}),
        1024,
    ),
    "TGI, with the reply": (
        Refusal(
            422,
            {
                "error": "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096. Given: 500"
                " `inputs` tokens and 4000 `max_new_tokens`",
                "error_type": "validation",
            },
        ),
        4096,
    ),
    "Vertex": (Refusal(400, [{"error": {"code": 400, "message": _VERTEX, "status": "INVALID_ARGUMENT"}}]), 4096),
    "Gemini": (
        said(400, "The input token count (5000) exceeds the maximum number of tokens allowed (4096).", code=400),
        4096,
    ),
    "LiteLLM": (
        said(400, "litellm.ContextWindowExceededError: litellm.BadRequestError: token limit exceeded", code="400"),
        None,
    ),
    "a proxy": (REFUSALS["context too long (a proxy)"], None),
    "zero": (said(400, "context too long", n_ctx=0), None),
    "too small to be true": (said(400, "context too long", n_ctx=3), None),
    "more than was sent": (said(400, "This model's maximum context length is 999999999 tokens."), None),
    "endless": (said(400, f"This model's maximum context length is {'9' * 3000} tokens."), None),
    "negative": (said(400, "context too long", n_ctx=-4096), None),
    "no number": (said(400, "context too long", n_ctx=[{}]), None),
}
ABOUT_THE_REPLY = [WORDINGS[name][0] for name in ("vLLM, the reply", "SGLang", "Anthropic", "TGI, with the reply")]
"""Refusals of a context that is short enough by itself."""
SILENT = {"ollama", "llama_cpp_python"}
"""The servers that do not say that a context is too long."""


@pytest.mark.parametrize(("refusal", "window"), [pytest.param(*each, id=name) for name, each in WORDINGS.items()])
async def test_refused_size_is_sent_smaller(store: Store, refusal: Refusal, window: int | None) -> None:
    """A named window is filled, and otherwise half of what was refused is sent. Both leave room for a reply."""
    async with ModelStandin(default=Reply("Yes.", usage=False)) as server, asking(store, server) as talk:
        for n in range(0 if refusal in ABOUT_THE_REPLY else 9):
            await talk.say(f"{n} {LONG[:2000]}")
        server.script += [refusal, Reply("It fits.", usage=False)]
        ended = await talk.say("And?")
        assert ended is not None
        assert (ended.state, ended.text, ended.failure) == (TurnState.COMPLETE, "It fits.", None)
        refused, answered = server.requests[-2:]
        size, was = (context_of(each) + limit_of(each) for each in (answered, refused))
        assert size <= (window or was // 2)
        assert size >= (window or was // 2) // 3, "and no less than it needs to be"
        assert limit_of(answered) >= 100
        assert answered.messages[0] == refused.messages[0]
        assert answered.messages[-1] == refused.messages[-1]


async def test_hello_is_answered_in_a_small_window(store: Store) -> None:
    """The reply's allowance does not fit, although the prompt does. The next question is refused no more."""
    async with ModelStandin(context_tokens=4000, profile=PROFILES["vllm"]) as server, asking(store, server) as talk:
        for question in ("Hello!", "And now?"):
            ended = await talk.say(question)
            assert ended is not None
            assert (ended.state, ended.failure) == (TurnState.COMPLETE, None)
        assert [limit_of(request) for request in server.requests[:1]] == [REPLY_TOKENS]
        assert len(server.requests) == 3
        assert 3000 < limit_of(server.requests[2]) < 4000, "nearly all of the window"
        for n in range(20):
            ended = await talk.say(f"{n} {LONG[:1900]}")
            assert ended is not None
            assert ended.failure is None
        assert len(server.requests) == 23, "a long conversation fits without another refusal"
        assert limit_of(server.requests[-1]) >= 1000 - 100


@pytest.mark.parametrize("name", sorted(PROFILES.keys() - SILENT))
async def test_every_server_answers_in_a_small_window(store: Store, name: str) -> None:
    """A long conversation with each server is answered throughout, and few requests are refused."""
    async with ModelStandin(context_tokens=4000, profile=PROFILES[name]) as server, asking(store, server) as talk:
        for n in range(25):
            ended = await talk.say(f"{n} {LONG[:1900]}")
            assert ended is not None
            assert (ended.state, ended.failure) == (TurnState.COMPLETE, None)
        refused = [request for request in server.requests if request.step is None]
        assert len(refused) <= 5
        assert context_of(server.requests[-1]) > 1000, "and it is still reminded of much"


async def test_prompt_without_room_gets_a_sentence(store: Store) -> None:
    async with ModelStandin(context_tokens=300, profile=PROFILES["vllm"]) as server, asking(store, server) as talk:
        ended = await talk.say(LONG)
        assert ended is not None
        assert (ended.state, ended.failure) == (TurnState.FAILED, FailureReason.TOO_LONG)
        assert len(server.requests) == 1, "nothing smaller could be sent"
        assert await charged(store) == 0
        ended = await talk.say("Hello!")
        assert ended is not None
        assert ended.failure is None


async def test_size_is_halved_three_times_at_the_most(store: Store) -> None:
    async with ModelStandin(default=Reply("Yes.", usage=False)) as server, asking(store, server) as talk:
        for n in range(20):
            await talk.say(f"{n} {LONG[:1900]}")
        server.default = REFUSALS["context too long (a proxy)"]
        ended = await talk.say("And?")
        assert ended is not None
        assert ended.failure is FailureReason.TOO_LONG
        sizes = [context_of(request) + limit_of(request) for request in server.requests[20:]]
        assert len(sizes) == 4
        assert all(smaller <= larger // 2 for larger, smaller in pairwise(sizes))


async def test_grown_window_is_used_after_a_start(store: Store) -> None:
    async with ModelStandin(context_tokens=1024, profile=PROFILES["vllm"]) as server:
        async with asking(store, server) as talk:
            for n in range(12):
                await talk.say(f"{n} {LONG[:1900]}")
            few = len(server.requests[-1].messages)
            asked = len(server.requests)
        async with asking(store, server) as talk:
            talk.position = 100
            for n in range(3):
                await talk.say(f"{n} {LONG[:1900]}")
            assert len(server.requests) == asked + 3 + 1, "one request too many at a start"
            asked = len(server.requests)
        server.context_tokens = 16_384
        async with asking(store, server) as talk:
            talk.position = 200
            await talk.say("And?")
            await talk.say("And?")
            assert len(server.requests) == asked + 2
            for request in server.requests[-2:]:
                assert limit_of(request) == REPLY_TOKENS
                assert len(request.messages) > 2 * few


async def test_grown_window_is_used_after_a_day(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    async with (
        ModelStandin(context_tokens=1024, profile=PROFILES["vllm"]) as server,
        asking(store, server) as talk,
    ):
        await talk.say("Hello!")
        server.context_tokens = 16_384
        await talk.say("And?")
        assert limit_of(server.requests[-1]) < 1024
        monkeypatch.setattr("bot.core.learning.WINDOW_MAX_AGE", 0.0)
        await talk.say("And?")
        assert limit_of(server.requests[-1]) == REPLY_TOKENS
        monkeypatch.undo()
        await talk.say("And?")
        assert limit_of(server.requests[-1]) == REPLY_TOKENS
        assert len(server.requests) == 5


async def test_reasoning_has_room_beside_the_reply(store: Store) -> None:
    """The limit that is sent grows with the effort, and the text ends at REPLY_TOKENS all the same."""
    limits: list[int] = []
    for effort in ("none", "minimal", "low", "medium", "high", "unheard-of"):
        async with ModelStandin() as server, asking(store, server, effort=effort) as talk:
            talk.position = 1000 * len(limits)
            server.script.append(Reply("long " * 2 * REPLY_TOKENS, reasoning="hm " * 2000))
            ended = await talk.say("Why?")
            assert ended is not None
            limits.append(limit_of(server.requests[0]))
            assert (ended.state, ended.failure) == (TurnState.COMPLETE, FailureReason.LENGTH)
            if effort == "none":
                assert len(ended.text) == pytest.approx((REPLY_TOKENS - 2000) * len("long "), rel=0.01)
            else:
                # By our estimate, before the server has counted anything.
                assert tokens(ended.text, BYTES_PER_TOKEN) == pytest.approx(REPLY_TOKENS, rel=0.01)
    assert limits[0] == REPLY_TOKENS
    assert limits[:5] == sorted(set(limits[:5]))
    assert limits[5] == limits[3], "as much as by default"


async def test_model_that_reasons_unasked_gets_room_for_it(store: Store) -> None:
    async with ModelStandin(default=Reply("Yes.", reasoning="hm")) as server, asking(store, server) as talk:
        await talk.say("Why?")
        await talk.say("Why?")
        first, second = map(limit_of, server.requests)
        assert first == REPLY_TOKENS < second


ALL_THOUGHT = Reply("", reasoning="hm " * 50, finish="length", usage=Usage(300, 4000))


async def test_reply_of_only_thoughts_is_asked_for_again(store: Store) -> None:
    """The second request has more room and a charge of its own. A second reply of only thoughts is the last."""
    async with ModelStandin() as server, asking(store, server) as talk:
        server.script += [ALL_THOUGHT, Reply("Because.", usage=Usage(300, 20))]
        ended = await talk.say("Why?")
        assert ended is not None
        assert (ended.state, ended.text, ended.failure) == (TurnState.COMPLETE, "Because.", None)
        first, second = map(limit_of, server.requests)
        assert second > first
        assert server.requests[0].messages == server.requests[1].messages
        assert await charged(store) == 300 + 4000 + 300 + 20
        [row] = await store.usage.by_day(0)
        assert row.requests == 2
        server.script += [ALL_THOUGHT, ALL_THOUGHT, Reply("Never asked for.")]
        ended = await talk.say("Why?")
        assert ended is not None
        assert (ended.state, ended.text, ended.failure) == (TurnState.FAILED, "", FailureReason.OUT_OF_ROOM)
        assert len(server.requests) == 4
        assert await charged(store) == 3 * (300 + 4000) + 320


async def test_longest_reply_of_the_server_is_reserved_and_told(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    """Where the server allows no more, nothing is asked for twice or reserved in vain, and the advice fits."""
    refusal = said(400, "max_tokens is too large: 4000. This model supports at most 1024 completion tokens.")
    caplog.set_level(logging.INFO)
    all_thought, hold = replace(ALL_THOUGHT, usage=Usage(300, 1024)), asyncio.Event()
    async with ModelStandin() as server, asking(store, server, tokens=6000) as talk:
        server.script += [refusal, all_thought, all_thought, Reply("Because.", held_until=hold)]
        for _ in range(2):
            ended = await talk.say("Why?")
            assert ended is not None
            assert ended.failure is FailureReason.OUT_OF_ROOM
        assert list(map(limit_of, server.requests)) == [REPLY_TOKENS, 1024, 1024]
        told = [each for each in caplog.records if "used all 1024 tokens of its reply" in each.message]
        assert [each.levelname for each in told] == ["WARNING", "INFO"], "once for each cause"
        assert "its server allows no more. Lower REASONING_EFFORT" in told[0].message
        assert (await store.quotas.usage_today(1)).total == 2 * 1324
        answering = talk.say("Why?")
        await server.request(3)
        [row] = await store.engine.read("SELECT reply_tokens FROM charges WHERE settled = 0")
        assert row["reply_tokens"] == 1024
        hold.set()
        assert (await answering) is not None


async def test_further_request_needs_tokens_of_its_own(store: Store) -> None:
    """Whoever has too few left for a second request is told so, pays for the first, and gets no request unpaid."""
    async with ModelStandin() as server, asking(store, server, tokens=8000) as talk:
        server.script += [ALL_THOUGHT]
        ended = await talk.say("Why?")
        assert ended is not None
        assert (ended.state, ended.text, ended.failure) == (TurnState.FAILED, "", FailureReason.QUOTA)
        assert ended.quota_exceeded is not None
        assert ended.quota_exceeded.quota is Quota.USER
        assert len(server.requests) == 1
        assert await charged(store) == 4300


async def test_further_request_survives_a_kill(store: Store, tmp_path: Path) -> None:
    """What the first request used stays charged, and of the second what had come."""
    hold = asyncio.Event()
    async with ModelStandin() as server, asking(store, server) as talk:
        server.script += [ALL_THOUGHT, Reply("Because.", held_until=hold)]
        answering = talk.say("Why?")
        await server.request(1)
        [reserved] = await store.engine.read("SELECT prompt_tokens, reply_tokens, reply_so_far FROM charges")
        assert reserved["prompt_tokens"] > 300
        assert reserved["reply_tokens"] == 4000 + limit_of(server.requests[1])
        assert reserved["reply_so_far"] == 4000
        assert await charged(store) == reserved["prompt_tokens"] + reserved["reply_tokens"]
        hold.set()
        await answering


async def test_empty_stream_is_tried_once_with_half_the_context(store: Store) -> None:
    server = ModelStandin(context_tokens=3000, profile=PROFILES["llama_cpp_python"])
    async with server, asking(store, server) as talk:
        for n in range(20):
            ended = await talk.say(f"{n} {LONG[:1900]}")
            assert ended is not None
            assert (ended.state, ended.failure) == (TurnState.COMPLETE, None)
        [empty] = [n for n, request in enumerate(server.requests) if request.step is None]
        assert len(server.requests) == 21
        assert context_of(server.requests[empty + 1]) < context_of(server.requests[empty]) * 0.6
        assert limit_of(server.requests[empty]) == REPLY_TOKENS


async def test_second_empty_stream_is_a_failure(store: Store) -> None:
    async with ModelStandin(default=Raw([b": ping\n\n"])) as server, asking(store, server) as talk:
        ended = await talk.say("Hello!")
        assert ended is not None
        assert (ended.state, ended.failure) == (TurnState.FAILED, FailureReason.UNREACHABLE)
        assert len(server.requests) == 2
        assert await charged(store) == sum(map(context_of, server.requests)), "it may have worked on both"


async def test_server_that_cuts_silently_is_found_out(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    """It drops the oldest messages, and only its count shows that. Once found, it is sent no more than it reads."""
    async with ModelStandin(context_tokens=4000, profile=PROFILES["ollama"]) as server, asking(store, server) as talk:
        cut = []
        for n in range(60):
            await talk.say(f"{n} {LONG[:1900]}")
            cut.append(server.requests[-1].read != server.requests[-1].messages)
        assert any(cut)
        assert not any(cut[-10:]), "the system prompt is read again"
        assert sum(cut) <= 15
        [line] = [message for message in caplog.messages if "OLLAMA_CONTEXT_LENGTH" in message]
        assert "Give it a context of 12000 tokens" in line

"""The steps of a scripted model server: replies, their faults, and refusals."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from bot.standin.parts import Picture


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a request."""

    role: str
    content: str
    pictures: Sequence[Picture] = ()


class TokenCounts(Protocol):
    """The token counts that a reply reports. Any object with these two attributes fits."""

    @property
    def prompt_tokens(self) -> int: ...

    @property
    def reply_tokens(self) -> int: ...


Say = str | Sequence[str] | Callable[[Sequence[Message]], str]
"""The text of a reply: a string, its deltas, or a function that makes the text from the request's messages."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply and its faults. `..._after` is the number of deltas before a fault. Times are in seconds.

    `jitter` lengthens or shortens each pause by up to that fraction. The server's seed determines the random values.
    """

    say: Say
    tokens_per_second: float | None = None
    """The speed of the reply. The value None sends everything at once."""
    first_token_after: float = 0.0
    held_until: asyncio.Event | None = None
    """An event that holds the reply back until it is set."""
    jitter: float = 0.0
    reasoning: str = ""
    """The reasoning text, sent before the reply as `reasoning_content`."""
    finish: str | None = "stop"
    done: bool = True
    """Whether `[DONE]` is sent at the end."""
    usage: bool | TokenCounts = True
    """Whether the reply reports its tokens if the request asks for them. Given counts replace the true ones."""
    ignores_max_tokens: bool = False
    """Whether the reply exceeds the length that the request allows, as on some servers."""
    stall_after: int | None = None
    cut_after: int | None = None
    error_after: int | None = None
    error: Mapping[str, object] = field(
        default_factory=lambda: {"message": "The server had an error", "type": "server_error", "code": None}
    )
    ping_every: float | None = None
    """The seconds between comment lines while the reply stalls."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """An error status with the body of a real server."""

    status: int
    body: object
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Raw:
    """A response given byte for byte. `pause` seconds follow each piece. `cut` then aborts the connection.

    Among the pieces, an event holds back those behind it until it is set.
    """

    pieces: Sequence[bytes | asyncio.Event]
    content_type: str = "text/event-stream"
    pause: float = 0.0
    cut: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Drop:
    """The connection is closed without a response."""


Step = Reply | Refusal | Raw | Drop


def is_fault(step: Step) -> bool:
    """Tell whether a step contains a fault. A raw response always counts as a fault."""
    return not isinstance(step, Reply) or (step.stall_after, step.cut_after, step.error_after) != (None, None, None)


def openai_error(status: int, message: str, type_: str, code: str | None, param: str | None = None) -> Refusal:
    """Build a refusal in OpenAI's format."""
    return Refusal(status, {"error": {"message": message, "type": type_, "param": param, "code": code}})


REFUSALS: Mapping[str, Refusal] = {
    "bad key": openai_error(
        401,
        "Incorrect API key provided: {key}. You can find your API key at …",
        "invalid_request_error",
        "invalid_api_key",
    ),
    "forbidden": openai_error(
        403, "Project `proj_1` does not have access to model `{model}`", "invalid_request_error", "model_not_found"
    ),
    "unknown model": openai_error(
        404,
        "The model `{model}` does not exist or you do not have access to it.",
        "invalid_request_error",
        "model_not_found",
    ),
    "unknown model (Ollama)": openai_error(404, 'model "{model}" not found, try pulling it first', "api_error", None),
    "unknown address": Refusal(404, "404 page not found"),
    "quota": openai_error(
        429, "You exceeded your current quota, please check your plan.", "insufficient_quota", "insufficient_quota"
    ),
    "no credit (OpenRouter)": Refusal(402, {"error": {"message": "Insufficient credits. Add more.", "code": 402}}),
    "rate limit": openai_error(429, "Rate limit reached for {model}.", "requests", "rate_limit_exceeded"),
    "context too long": openai_error(
        400,
        "This model's maximum context length is 4096 tokens. However, your messages resulted in 5000 tokens.",
        "invalid_request_error",
        "context_length_exceeded",
        "messages",
    ),
    "context too long (llama.cpp)": Refusal(
        400,
        {
            "error": {
                "code": 400,
                "message": "the request exceeds the available context size, try increasing it",
                "type": "exceed_context_size_error",
                "n_prompt_tokens": 5000,
                "n_ctx": 4096,
            }
        },
    ),
    "context too long (vLLM)": Refusal(
        400,
        {
            "object": "error",
            "message": "This model's maximum context length is 4096 tokens. However, you requested 9000 tokens"
            " (5000 in the messages, 4000 in the completion).",
            "type": "BadRequestError",
            "param": None,
            "code": 400,
        },
    ),
    "context too long (LM Studio)": Refusal(
        400,
        {
            "error": "Trying to keep the first 5000 tokens when context the overflows. However, the model is loaded"
            " with context length of only 4096 tokens."
        },
    ),
    "context too long (a proxy)": Refusal(413, "<html><body>413 Request Entity Too Large</body></html>"),
    "content filter": openai_error(
        400,
        "The response was filtered due to the prompt triggering Azure OpenAI's content management policy.",
        "invalid_request_error",
        "content_filter",
        "prompt",
    ),
    "bad request (FastAPI)": Refusal(
        422, {"detail": [{"loc": ["body", "messages", 0], "msg": "Input should be a string", "type": "string_type"}]}
    ),
    "server error": openai_error(500, "The server had an error while processing your request.", "server_error", None),
    "bad gateway": Refusal(502, "<html><head><title>502 Bad Gateway</title></head></html>"),
    "overloaded": Refusal(503, {"error": {"message": "Loading model", "type": "unavailable_error", "code": 503}}),
}
"""Refusals with the words of real servers. `{key}` and `{model}` stand for the values in the request."""

"""A model server on this machine that speaks OpenAI's chat completions, for tests, benchmarks and the playground.

Each request takes the next step of the script, or `default` when the script has run out:

    async with ModelStandin() as server:
        server.script.append(Reply("Hello there.", tokens_per_second=60))
        server.script.append(REFUSALS["rate limit"])
        server.script.append(Reply("Half of this", cut_after=2))
        ...
        assert server.requests[0].messages[-1]["content"] == "Hi!"

Whatever a step says, the server first refuses what no server of its kind would take: parameters in `refused_parameters`
and a context over `context_tokens`.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from aiohttp import web

from bot.demo import demo_reply, tokens
from bot.standin.guard import no_browsers
from bot.turns import Message

Say = str | Sequence[str] | Callable[[Sequence[Message]], str]
"""A reply's text; or its deltas one by one; or what to answer to the messages."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply, and what goes wrong with it. `..._after` counts deltas that are sent before; times are seconds.

    `jitter` stretches and shrinks each pause by up to that fraction, drawn from the server's seed.
    """

    say: Say
    tokens_per_second: float | None = None
    """None sends everything at once."""
    first_token_after: float = 0.0
    jitter: float = 0.0
    reasoning: str = ""
    """Sent before the reply, as `reasoning_content`."""
    finish: str | None = "stop"
    done: bool = True
    """Whether `[DONE]` is sent."""
    usage: bool = True
    """Whether the tokens are counted where the request asks for it."""
    stall_after: int | None = None
    cut_after: int | None = None
    error_after: int | None = None
    error: Mapping[str, object] = field(
        default_factory=lambda: {"message": "The server had an error", "type": "server_error", "code": None}
    )
    ping_every: float | None = None
    """Seconds between comment lines while the reply stalls."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """An error status with the body of a real server."""

    status: int
    body: object
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Raw:
    """A response byte for byte, with `pause` seconds behind each piece. `cut` aborts the connection behind the last."""

    pieces: Sequence[bytes]
    content_type: str = "text/event-stream"
    pause: float = 0.0
    cut: bool = False


@dataclass(frozen=True, slots=True)
class Drop:
    """The connection is closed without a response."""


Step = Reply | Refusal | Raw | Drop


def _openai_error(status: int, message: str, type_: str, code: str | None, param: str | None = None) -> Refusal:
    return Refusal(status, {"error": {"message": message, "type": type_, "param": param, "code": code}})


REFUSALS: Mapping[str, Refusal] = {
    "bad key": _openai_error(
        401,
        "Incorrect API key provided: {key}. You can find your API key at …",
        "invalid_request_error",
        "invalid_api_key",
    ),
    "forbidden": _openai_error(
        403, "Project `proj_1` does not have access to model `{model}`", "invalid_request_error", "model_not_found"
    ),
    "unknown model": _openai_error(
        404,
        "The model `{model}` does not exist or you do not have access to it.",
        "invalid_request_error",
        "model_not_found",
    ),
    "unknown model (Ollama)": _openai_error(404, 'model "{model}" not found, try pulling it first', "api_error", None),
    "unknown address": Refusal(404, "404 page not found"),
    "quota": _openai_error(
        429, "You exceeded your current quota, please check your plan.", "insufficient_quota", "insufficient_quota"
    ),
    "no credit (OpenRouter)": Refusal(402, {"error": {"message": "Insufficient credits. Add more.", "code": 402}}),
    "rate limit": _openai_error(429, "Rate limit reached for {model}.", "requests", "rate_limit_exceeded"),
    "context too long": _openai_error(
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
    "content filter": _openai_error(
        400,
        "The response was filtered due to the prompt triggering Azure OpenAI's content management policy.",
        "invalid_request_error",
        "content_filter",
        "prompt",
    ),
    "bad request (FastAPI)": Refusal(
        422, {"detail": [{"loc": ["body", "messages", 0], "msg": "Input should be a string", "type": "string_type"}]}
    ),
    "server error": _openai_error(500, "The server had an error while processing your request.", "server_error", None),
    "bad gateway": Refusal(502, "<html><head><title>502 Bad Gateway</title></head></html>"),
    "overloaded": Refusal(503, {"error": {"message": "Loading model", "type": "unavailable_error", "code": 503}}),
}
"""Refusals as real servers word them. `{key}` and `{model}` stand for what the request named, as servers repeat it."""


class Request:
    """One request as it arrived, and what became of it."""

    def __init__(self, body: Mapping[str, Any], headers: Mapping[str, str], peer: object) -> None:
        self.body = body
        self.headers = headers
        self.peer = peer
        """The address and port it came from: the same for one connection."""
        self.left = False
        """Whether the client left before the response was whole."""
        self.sent_at: list[float] = []
        """When each delta was sent, in the event loop's time."""
        self._over = asyncio.Event()

    @property
    def messages(self) -> list[dict[str, str]]:
        """The context that was sent."""
        return list(self.body["messages"])

    async def over(self) -> None:
        """Return once the response is whole or the client has left."""
        await self._over.wait()

    def _close(self, left: bool) -> None:
        self.left = left
        self._over.set()


class ModelStandin:
    """The server. It listens on a port of the system's choice from `async with` to its end.

    `script`, `default`, `models`, `refused_parameters` and `context_tokens` may be changed at any time. `keep_requests`
    bounds the record of requests; None keeps all.
    """

    def __init__(
        self,
        script: Iterable[Step] = (),
        *,
        default: Step | None = None,
        models: Sequence[str] | None = ("demo",),
        refused_parameters: Iterable[str] = (),
        context_tokens: int | None = None,
        seed: int = 0,
        keep_requests: int | None = None,
    ) -> None:
        self.script = deque(script)
        self.default = default or Reply(demo_reply)
        self.models = models
        """What `/v1/models` lists; None for a server that has no such list."""
        self.refused_parameters = set(refused_parameters)
        self.context_tokens = context_tokens
        self.requests: list[Request] = []
        self._keep_requests = keep_requests
        self._random = random.Random(seed)
        self._port = 0
        self._arrived = asyncio.Condition()
        app = web.Application(client_max_size=64 * 2**20, middlewares=[no_browsers])
        app.router.add_post("/v1/chat/completions", self._completions)
        app.router.add_get("/v1/models", self._models)
        # Cancellation tells at once that a client has left, also while nothing is being written.
        self._runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0.01)

    @property
    def base_url(self) -> str:
        """For OPENAI_BASE_URL."""
        return f"http://127.0.0.1:{self._port}/v1"

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        await self.listen()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def listen(self) -> None:
        """Accept connections, at the same port as before if there was one."""
        site = web.TCPSite(self._runner, "127.0.0.1", self._port)
        await site.start()
        self._port = self._runner.addresses[0][1]

    async def stop_listening(self) -> None:
        """Refuse new connections. Those that are open stay."""
        for site in list(self._runner.sites):
            await site.stop()

    async def request(self, number: int) -> Request:
        """The request of this number, counted from 0, as soon as it has arrived."""
        async with self._arrived:
            await self._arrived.wait_for(lambda: len(self.requests) > number)
        return self.requests[number]

    async def _models(self, _: web.Request) -> web.Response:
        if self.models is None:
            return web.Response(status=404, text="404 page not found")
        return web.json_response({"object": "list", "data": [{"id": name, "object": "model"} for name in self.models]})

    async def _completions(self, http: web.Request) -> web.StreamResponse:
        request = Request(await http.json(), dict(http.headers), http.get_extra_info("peername"))
        self.requests.append(request)
        if self._keep_requests is not None:
            del self.requests[: -self._keep_requests]
        async with self._arrived:
            self._arrived.notify_all()
        left = True
        try:
            response = await self._answer(http, request)
            left = False
        except _Aborted:
            response = web.Response()
            left = False
        except ConnectionError:
            response = web.Response()
        finally:
            request._close(left)
        return response

    async def _answer(self, http: web.Request, request: Request) -> web.StreamResponse:
        step = self._objection(request) or (self.script.popleft() if self.script else self.default)
        match step:
            case Refusal():
                return _refuse(step, request)
            case Drop():
                raise _abort(http)
            case Raw():
                return await self._send_raw(step, http)
            case Reply():
                if request.body.get("stream"):
                    return await self._stream(step, http, request)
                return web.json_response(_completion(step, request))

    def _objection(self, request: Request) -> Refusal | None:
        for name in sorted(self.refused_parameters & request.body.keys()):
            message = f"Unsupported parameter: '{name}' is not supported with this model."
            return _openai_error(400, message, "invalid_request_error", "unsupported_parameter", name)
        if self.context_tokens is not None and _prompt_tokens(request) > self.context_tokens:
            return REFUSALS["context too long"]
        return None

    async def _send_raw(self, step: Raw, http: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": step.content_type})
        await response.prepare(http)
        for piece in step.pieces:
            await response.write(piece)
            await asyncio.sleep(step.pause)
        if step.cut:
            raise _abort(http)
        return response

    async def _stream(self, reply: Reply, http: web.Request, request: Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"})
        await response.prepare(http)
        model = request.body.get("model")
        head = f'{{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1700000000,"model":{json.dumps(model)},'

        async def send(delta: str, finish: str | None = None) -> None:
            choice = f'{{"index":0,"delta":{delta},"logprobs":null,"finish_reason":{json.dumps(finish)}}}'
            await response.write(f'data: {head}"choices":[{choice}]}}\n\n'.encode())

        async def goes_wrong(sent: int) -> bool:
            if reply.cut_after == sent:
                raise _abort(http)
            while reply.stall_after == sent:
                await asyncio.sleep(reply.ping_every or 3600)
                await response.write(b": ping\n\n")
            if reply.error_after == sent:
                await response.write(f"data: {json.dumps({'error': reply.error})}\n\n".encode())
            return reply.error_after == sent

        clock = asyncio.get_running_loop().time
        due = clock() + reply.first_token_after
        await send('{"role":"assistant","content":""}')
        sent = 0
        for field_name, delta in _deltas(reply, request):
            if await goes_wrong(sent):
                return response
            if (pause := due - clock()) > 0:
                await asyncio.sleep(pause)
            await send(f'{{"{field_name}":{json.dumps(delta)}}}')
            request.sent_at.append(clock())
            sent += 1
            if reply.tokens_per_second:
                due += (1 + reply.jitter * self._random.uniform(-1, 1)) / reply.tokens_per_second
        if await goes_wrong(sent):
            return response
        if reply.finish:
            await send("{}", reply.finish)
        if reply.usage and (request.body.get("stream_options") or {}).get("include_usage"):
            usage = json.dumps(_usage(request, sent))
            await response.write(f'data: {head}"choices":[],"usage":{usage}}}\n\n'.encode())
        if reply.done:
            await response.write(b"data: [DONE]\n\n")
        return response


class _Aborted(Exception):
    """The server itself has closed the connection."""


def _abort(http: web.Request) -> _Aborted:
    if http.transport is not None:
        http.transport.abort()
    return _Aborted()


def _refuse(refusal: Refusal, request: Request) -> web.Response:
    key = request.headers.get("Authorization", "").removeprefix("Bearer ")
    body = refusal.body if isinstance(refusal.body, str) else json.dumps(refusal.body)
    kind = "text/html" if body.startswith("<") else "text/plain" if body is refusal.body else "application/json"
    body = body.replace("{key}", key).replace("{model}", str(request.body.get("model")))
    return web.Response(status=refusal.status, text=body, content_type=kind, headers=refusal.headers)


def _completion(reply: Reply, request: Request) -> dict[str, object]:
    text = "".join(delta for name, delta in _deltas(reply, request) if name == "content")
    message = {"role": "assistant", "content": text}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "model": request.body.get("model"),
        "choices": [{"index": 0, "message": message, "finish_reason": reply.finish}],
        "usage": _usage(request, len(tokens(text))),
    }


def _deltas(reply: Reply, request: Request) -> list[tuple[str, str]]:
    """Which field of a delta, and its text, one for each delta."""
    match reply.say:
        case str(text):
            said: Sequence[str] = tokens(text)
        case [*deltas]:
            said = deltas
        case say:
            said = tokens(say([Message(m["role"], m["content"]) for m in request.body["messages"]]))
    return [
        *(("reasoning_content", token) for token in tokens(reply.reasoning)),
        *(("content", token) for token in said),
    ]


def _prompt_tokens(request: Request) -> int:
    # Every message costs a few tokens for its role, as with real chat templates.
    return sum(4 + len(tokens(message["content"])) for message in request.messages)


def _usage(request: Request, reply_tokens: int) -> dict[str, int]:
    prompt_tokens = _prompt_tokens(request)
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": reply_tokens,
        "total_tokens": prompt_tokens + reply_tokens,
    }

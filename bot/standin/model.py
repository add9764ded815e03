"""A model server on this machine that speaks OpenAI's chat completions, for tests, benchmarks and the playground.

Each request takes the next step of the script, or `default` when the script has run out:

    async with ModelStandin() as server:
        server.script.append(Reply("Hello there.", tokens_per_second=60))
        server.script.append(REFUSALS["rate limit"])
        server.script.append(Reply("Half of this", cut_after=2))
        ...
        assert server.requests[0].messages[-1]["content"] == "Hi!"

Before any step, the server refuses the parameters in `refused_parameters`, a reasoning_effort that is not among
`efforts`, a context over `context_tokens`, and what `objects` refuses. A delta counts as one token. A reply ends at the
length that the request allows, or where the context window is full. How all that looks is up to the server's profile.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Self

from aiohttp import web

from bot.standin.guard import no_browsers
from bot.standin.parts import pictures_of, text_of
from bot.standin.profile import PLAIN, Json, Profile, Sizes, UsagePlace, unsupported_effort
from bot.standin.script import Drop, Message, Raw, Refusal, Reply, Step, is_fault, openai_error
from bot.standin.transcribing import Transcriptions

_BURST = 200
"""The number of deltas that are sent without a pause if the script gives no speed."""
_WINDOW = 4096
"""The tokens of the context window that the server names where none is set."""


class Request:
    """One recorded request and the progress of its response."""

    def __init__(self, body: Mapping[str, Any], headers: Mapping[str, str], peer: object) -> None:
        self.body = body
        self.headers = headers
        self.peer = peer
        """The address and port of the client. Requests on one connection have the same value."""
        self.left = False
        """Whether the client left before the response was complete."""
        self.sent_at: list[float] = []
        """The times at which the deltas were sent, in the event loop's time."""
        self.read: list[dict[str, str]] = list(body["messages"])
        """The messages that the model reads: all, unless the server cuts a context that is too long."""
        self.step: Step | None = None
        """The script step for this request, or None if it is undecided or the server itself refuses the request."""
        self.struck = False
        """Whether the fault of the step has happened."""
        self._over = asyncio.Event()

    @property
    def messages(self) -> list[dict[str, str]]:
        """The messages that the client sent as context."""
        return list(self.body["messages"])

    @property
    def prompt_tokens(self) -> int:
        """The tokens of the messages that the model reads."""
        # Every message has a few extra tokens for its role, as in real chat templates.
        return sum(
            4 + len(_tokens(text_of(message["content"]))) + sum(each.tokens for each in pictures_of(message["content"]))
            for message in self.read
        )

    @property
    def max_tokens(self) -> int | None:
        """The longest reply that the request allows, from the parameter's newer or older name."""
        most: int | None = self.body.get("max_completion_tokens", self.body.get("max_tokens"))
        return most

    async def over(self) -> None:
        """Return when the response is complete or the client has left."""
        await self._over.wait()

    def _close(self, left: bool) -> None:
        self.left = left
        self._over.set()


class ModelStandin:
    """A model server. It listens on a free port for the length of the `async with` block.

    `script`, `default`, `models`, `shutdown_dates`, `refused_parameters`, `efforts`, `context_tokens`, `profile`,
    `objects` and `ignores_max_tokens` can be changed at any time. `keep_requests` limits the record of requests; None
    keeps all.
    """

    def __init__(
        self,
        script: Iterable[Step] = (),
        *,
        default: Step | None = None,
        models: Sequence[str] | Raw | None = ("demo",),
        refused_parameters: Iterable[str] = (),
        efforts: Sequence[str] | None = None,
        context_tokens: int | None = None,
        profile: Profile = PLAIN,
        ignores_max_tokens: bool = False,
        seed: int = 0,
        keep_requests: int | None = None,
    ) -> None:
        self.script = deque(script)
        self._default = default or Reply("Hello from the model.")
        self._default_taken = False
        self._missed: list[Step] = []
        self.models = models
        """The models that `/v1/models` lists, or its exact response. None means that there is no list."""
        self.shutdown_dates: dict[str, object] = {}
        """The shutdown dates in the list of models, by model name. An empty dictionary leaves the field out."""
        self.refused_parameters = set(refused_parameters)
        self.efforts = efforts
        """The accepted values of reasoning_effort. The value None accepts all."""
        self.context_tokens = context_tokens
        """The size of the context window. None: every context fits."""
        self.profile = profile
        self.objects: Callable[[Mapping[str, Any]], Refusal | None] = lambda _body: None
        """What the server has against the body of a request, beside all that."""
        self.ignores_max_tokens = ignores_max_tokens
        self.requests: list[Request] = []
        self._keep_requests = keep_requests
        self._random = random.Random(seed)
        self._port = 0
        self._arrived = asyncio.Condition()
        self.transcriptions = Transcriptions(keep_requests)
        app = web.Application(client_max_size=64 * 2**20, middlewares=[no_browsers])
        app.router.add_post("/v1/chat/completions", self._completions)
        app.router.add_post("/v1/audio/transcriptions", self.transcriptions.handle)
        app.router.add_get("/v1/models", self._models)
        app.router.add_get("/props", self._props)
        # Cancellation reports at once that a client has left, even while the server writes nothing.
        self._runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0.01)

    @property
    def base_url(self) -> str:
        """The value for OPENAI_BASE_URL."""
        return f"http://127.0.0.1:{self._port}/v1"

    @property
    def never_struck(self) -> list[object]:
        """Return the steps whose fault has not happened. Either no request took the step, or the reply ended first."""
        untaken = [*self.script, *([] if self._default_taken else [self._default])]
        over = [request.step for request in self.requests if request.step and not request.struck]
        missed = [*self._missed, *(step for step in (*untaken, *over) if is_fault(step))]
        return [*missed, *self.transcriptions.never_struck]

    @property
    def default(self) -> Step:
        """The step for requests that arrive after the end of the script."""
        return self._default

    @default.setter
    def default(self, step: Step) -> None:
        if not self._default_taken and is_fault(self._default):
            self._missed.append(self._default)
        self._default, self._default_taken = step, False

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        await self.listen()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def listen(self) -> None:
        """Accept connections. A server that listened before uses the same port again."""
        site = web.TCPSite(self._runner, "127.0.0.1", self._port)
        await site.start()
        self._port = self._runner.addresses[0][1]

    async def stop_listening(self) -> None:
        """Refuse new connections. Open connections stay."""
        for site in list(self._runner.sites):
            await site.stop()

    async def request(self, number: int) -> Request:
        """Wait for the request with this number, counted from 0, and return it."""
        async with self._arrived:
            await self._arrived.wait_for(lambda: len(self.requests) > number)
        return self.requests[number]

    async def _models(self, http: web.Request) -> web.StreamResponse:
        if self.models is None:
            return web.Response(status=404, text="404 page not found")
        if isinstance(self.models, Raw):
            try:
                return await self._send_raw(self.models, http)
            except ConnectionError:
                return web.Response()
        more = self.profile.entry(self.context_tokens or _WINDOW)
        data: list[dict[str, object]] = [{"id": name, "object": "model", **more} for name in self.models]
        if self.shutdown_dates:
            data = [{**entry, "shutdown_date": self.shutdown_dates.get(str(entry["id"]))} for entry in data]
        return web.json_response({"object": "list", "data": data})

    async def _props(self, http: web.Request) -> web.Response:
        if self.profile.props is None:
            return web.Response(status=404, text="404 page not found")
        if self.profile.loading is not None and self._default is self.profile.loading:
            return web.json_response(self.profile.loading.body, status=self.profile.loading.status)
        return web.json_response(self.profile.props(self.context_tokens or _WINDOW))

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
        step: Step | None = self._objection(request)
        if step is None:
            self._default_taken = self._default_taken or not self.script
            step = request.step = self.script.popleft() if self.script else self._default
        request.struck = not isinstance(step, Reply)
        match step:
            case Refusal():
                return _refuse(step, request)
            case Drop():
                raise _abort(http)
            case Raw():
                return await self._send_raw(step, http)
            case Reply():
                if self.ignores_max_tokens:
                    step = replace(step, ignores_max_tokens=True)
                if request.body.get("stream"):
                    return await self._stream(step, http, request)
                if step.held_until is not None:
                    await step.held_until.wait()
                await asyncio.sleep(step.first_token_after)
                return web.json_response(self._completion(step, request))

    def _objection(self, request: Request) -> Refusal | Raw | None:
        for name, refusal in self.profile.refuses.items():
            if name in request.body and (refused := refusal(request.body[name])):
                return refused
        for name in sorted(self.refused_parameters & request.body.keys()):
            message = f"Unsupported parameter: '{name}' is not supported with this model."
            return openai_error(400, message, "invalid_request_error", "unsupported_parameter", name)
        effort = request.body.get("reasoning_effort")
        if self.efforts is not None and effort is not None and effort not in self.efforts:
            return unsupported_effort(effort, self.efforts)
        return self._overflow(request) or self.objects(request.body)

    def _overflow(self, request: Request) -> Refusal | Raw | None:
        """Return the answer to a context that is too long, or make it fit where the server does that silently."""
        if self.context_tokens is None:
            return None
        sizes = Sizes(request.prompt_tokens, request.max_tokens or 0, self.context_tokens)
        if (sizes.total if self.profile.allowance_counts else sizes.prompt) <= sizes.window:
            return None
        if self.profile.too_long is not None:
            return self.profile.too_long(sizes)
        while len(request.read) > 1 and request.prompt_tokens > sizes.window:
            del request.read[0]
        return None

    async def _send_raw(self, step: Raw, http: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": step.content_type, **step.headers})
        await response.prepare(http)
        for piece in step.pieces:
            if isinstance(piece, asyncio.Event):
                await piece.wait()
                continue
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
        shape = self.profile.stream

        async def send(delta: Json, finish: str | None = None, within: Json | None = None, beside: str = "") -> None:
            await response.write(shape.event(f'{head}"choices":[{shape.choice(delta, finish, within)}]{beside}}}'))

        async def goes_wrong(sent: int) -> bool:
            if reply.cut_after == sent:
                request.struck = True
                raise _abort(http)
            while reply.stall_after == sent:
                request.struck = True
                await asyncio.sleep(reply.ping_every or 3600)
                await response.write(b": ping\n\n")
            if reply.error_after == sent:
                request.struck = True
                await response.write(shape.event(json.dumps({"error": reply.error})))
            return reply.error_after == sent

        if shape.preface:
            await response.write(shape.preface)
        if shape.first is not None:
            await send(shape.first)
        if reply.held_until is not None:
            await reply.held_until.wait()
        clock = asyncio.get_running_loop().time
        due = clock() + reply.first_token_after
        sent = 0
        deltas, finish = self._said(reply, request)
        for delta in deltas:
            if await goes_wrong(sent):
                return response
            # A burst gives other tasks on this event loop a turn.
            if (pause := due - clock()) > 0 or sent % _BURST == _BURST - 1:
                await asyncio.sleep(max(0.0, pause))
            if delta is not None:
                await send(delta)
            request.sent_at.append(clock())
            sent += 1
            if reply.tokens_per_second:
                due += (1 + reply.jitter * self._random.uniform(-1, 1)) / reply.tokens_per_second
        if await goes_wrong(sent):
            return response
        usage = _usage(reply, request, sent) if reply.usage else None
        if finish:
            within, beside = shape.counted(usage)
            await send({}, finish, within, beside)
        asked = (request.body.get("stream_options") or {}).get("include_usage")
        if usage and asked and shape.usage is UsagePlace.LAST:
            await response.write(shape.event(f'{head}"choices":[],"usage":{json.dumps(usage)}}}'))
        if reply.done:
            await response.write(shape.event("[DONE]"))
        return response

    def _completion(self, reply: Reply, request: Request) -> dict[str, object]:
        deltas, finish = self._said(reply, request)
        texts = [delta.get("content") for delta in deltas if delta is not None]
        message = {"role": "assistant", "content": "".join(text for text in texts if isinstance(text, str))}
        return {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "model": request.body.get("model"),
            "choices": [{"index": 0, "message": message, "finish_reason": finish}],
            "usage": _usage(reply, request, len(deltas)),
        }

    def _said(self, reply: Reply, request: Request) -> tuple[list[Json | None], str | None]:
        """Return the deltas that the request and the window allow, with None for unsent ones, and the finish reason."""
        match reply.say:
            case str(text):
                said: Sequence[str] = _tokens(text)
            case [*deltas]:
                said = deltas
            case say:
                read = [Message(m["role"], text_of(m["content"]), pictures_of(m["content"])) for m in request.read]
                said = _tokens(say(read))
        whole = [*self.profile.stream.reasoning(_tokens(reply.reasoning)), *({"content": token} for token in said)]
        limits = [] if reply.ignores_max_tokens or request.max_tokens is None else [(request.max_tokens, "length")]
        if self.context_tokens is not None:
            limits.append((max(1, self.context_tokens - request.prompt_tokens), "window"))
        most, finish = min(limits, default=(len(whole), ""))
        if len(whole) <= most:
            return whole, reply.finish
        return whole[:most], reply.finish and finish


class _Aborted(Exception):
    """Raised when the server itself has closed the connection."""


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


def _tokens(text: str) -> list[str]:
    """Split a text into pieces of about one token."""
    return re.findall(r"\s*\S{1,5}|\s+", text)


def _usage(reply: Reply, request: Request, reply_tokens: int) -> dict[str, int]:
    prompt_tokens = request.prompt_tokens
    if not isinstance(reply.usage, bool):
        prompt_tokens, reply_tokens = reply.usage.prompt_tokens, reply.usage.reply_tokens
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": reply_tokens,
        "total_tokens": prompt_tokens + reply_tokens,
    }

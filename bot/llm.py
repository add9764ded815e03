"""The model client: a streamed chat completion from any server that speaks OpenAI's protocol, as events.

`OpenAIModel` asks, waits, retries and closes; `Decoder` turns the bytes of an answer into events; the functions at the
end turn a refusal into a `ModelError`. The SDK's typed chunks cost over 100 µs of CPU each, so only what is needed of
each line is decoded here.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
import re
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from enum import Enum, auto
from types import TracebackType
from typing import Any, Self

import aiohttp
import httpx2
import openai

from bot.config import Settings
from bot.errors import ModelError
from bot.turns import End, Event, Message, Problem, Text, Thinking, Usage

_OPENAI = "https://api.openai.com/v1"
_UNUSED_KEY = "unused"
"""The SDK insists on a key; what is sent is decided in `OpenAIModel._authorize`."""
_HEADERS_SENT = frozenset(
    {"host", "accept", "connection", "content-length", "content-type", "user-agent"}
    # The SDK reads from this one that we want the response itself.
    | {"x-stainless-raw-response"}
)
_PAUSES = (0.5, 1.5)
"""Seconds before the first and the second retry, where the server names none."""
_LINGER_FINISHED = 2.0
"""Seconds for the usage to follow a finish reason."""
_LINGER_DONE = 0.1
"""Seconds for the response to end after `[DONE]`, so that its connection can be used again."""
_BROKEN = (httpx2.HTTPError, aiohttp.ClientError, OSError)
"""What a failing connection raises; aiohttp's own errors are those that the SDK's transport does not translate."""

_decode = json.JSONDecoder().decode
_log = logging.getLogger(__name__)


class OpenAIModel:
    """A `ChatModel` on an OpenAI-compatible server. An async context manager that owns its connections.

    `base_url` None is OpenAI's own. Without an `api_key` none is sent. Timeouts are seconds: `first_delta_timeout` runs
    from a request to its first text or thought, `silence_timeout` from one of them to the next. A failed request is
    repeated while nothing has come of the reply, up to twice, and begun at most `retry_within` seconds after the first.
    """

    def __init__(
        self,
        *,
        model: str,
        reply_tokens: int,
        api_key: str | None = None,
        base_url: str | None = None,
        connect_timeout: float = 10.0,
        first_delta_timeout: float = 120.0,
        silence_timeout: float = 60.0,
        retry_within: float = 20.0,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._model = model
        self._reply_tokens = reply_tokens
        self._key = api_key
        self._base_url = base_url or _OPENAI
        self._connect_timeout = connect_timeout
        self._first_delta_timeout = first_delta_timeout
        self._silence_timeout = silence_timeout
        self._retry_within = retry_within
        self._jitter = jitter
        self._dialect = _Dialect()
        # Comment lines would keep a read timeout from firing, and a timer per read costs CPU: no read timeout here.
        timeout = httpx2.Timeout(None, connect=connect_timeout, pool=connect_timeout)
        self._client = openai.AsyncOpenAI(
            api_key=_UNUSED_KEY,
            base_url=self._base_url,
            timeout=timeout,
            # The SDK would repeat requests that an exhausted quota refused.
            max_retries=0,
            http_client=openai.DefaultAioHttpClient(
                timeout=timeout,
                # The hook would carry the key to wherever a redirect points.
                follow_redirects=False,
                event_hooks={"request": [self._authorize]},
            ),
        )

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The model that the settings name."""
        return cls(
            model=settings.openai_model,
            reply_tokens=settings.reply_tokens,
            api_key=settings.openai_api_key.reveal() if settings.openai_api_key else None,
            base_url=settings.openai_base_url,
            connect_timeout=settings.connect_timeout,
            first_delta_timeout=settings.first_delta_timeout,
            silence_timeout=settings.silence_timeout,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close all connections."""
        await self._client.close()

    @asynccontextmanager
    async def stream(self, messages: Sequence[Message]) -> AsyncIterator[AsyncIterator[Event]]:
        """One reply. `Usage`, where the server counts, comes before `End`, and `End` is last."""
        async with aclosing(self._with_retries(messages)) as events:
            yield events

    async def probe(self) -> None:
        """Ask for a reply as every turn does, and leave it at its first event."""
        async with self.stream([Message("user", "Say ok.")]) as events:
            await anext(events)

    async def models(self) -> list[str]:
        """The ids of the models that the server lists; none where it keeps no list."""
        try:
            async with (
                asyncio.timeout(self._first_delta_timeout),
                self._client.models.with_streaming_response.list() as response,
            ):
                body = json.loads(await response.read())
        except openai.APIStatusError as error:
            if error.status_code in (404, 405, 501):
                return []
            raise self._status_error(error) from None
        except (openai.APIConnectionError, *_BROKEN) as error:
            raise self._connection_error(error, begun=False) from None
        except ValueError:
            return []  # a page instead of a list
        match body:
            case {"data": [*entries]}:
                return [entry["id"] for entry in entries if isinstance(entry, dict) and "id" in entry]
        return []

    async def _with_retries(self, messages: Sequence[Message]) -> AsyncGenerator[Event]:
        clock = asyncio.get_running_loop().time
        give_up = clock() + self._retry_within
        for pause in (*_PAUSES, None):
            begun = False
            try:
                async with aclosing(self._attempt(messages)) as events:
                    async for event in events:
                        begun = True
                        yield event
                return
            except ModelError as error:
                if begun or pause is None or error.problem not in (Problem.UNREACHABLE, Problem.BUSY):
                    raise
                wait = error.retry_after if error.retry_after is not None else pause * (1 + self._jitter() / 4)
                if clock() + wait > give_up:
                    raise
                _log.info("%s Trying again in %.1f s.", error.detail, wait)
            await asyncio.sleep(wait)

    async def _attempt(self, messages: Sequence[Message]) -> AsyncGenerator[Event]:
        clock = asyncio.get_running_loop().time
        deadline = clock() + self._first_delta_timeout
        decoder = Decoder()
        begun = False
        try:
            async with AsyncExitStack() as stack:
                async with asyncio.timeout_at(deadline):
                    response = await stack.enter_async_context(self._open(messages))
                    kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
                    if kind == "text/html":
                        raise ModelError(Problem.SETUP, self._web_page())
                    # Not streamed although that was asked for.
                    whole = await response.aread() if kind == "application/json" else None
                if whole is not None:
                    for event in decoder.whole(whole):
                        yield event
                    return
                chunks = await stack.enter_async_context(aclosing(_body(response)))
                watch = stack.enter_context(_Watch(deadline))
                while True:
                    try:
                        chunk = await watch.next(chunks)
                    except _BROKEN:
                        if not decoder.finished:
                            raise
                        break
                    if not chunk:
                        break
                    progress = False
                    for event in decoder.feed(chunk):
                        begun = progress = True
                        yield event
                    # A reader that took its time does not shorten the server's.
                    if progress:
                        watch.reschedule(clock() + self._silence_timeout)
                    if decoder.finished:
                        linger = _LINGER_DONE if decoder.done else _LINGER_FINISHED
                        watch.reschedule(min(watch.deadline, clock() + linger))
                for event in decoder.close():
                    yield event
        except Refused as refused:
            raise self._refusal(None, refused.body) from None
        except openai.APIStatusError as error:
            raise self._status_error(error) from None
        except (openai.APIConnectionError, *_BROKEN) as error:
            raise self._connection_error(error, begun) from None

    @asynccontextmanager
    async def _open(self, messages: Sequence[Message]) -> AsyncIterator[httpx2.Response]:
        """A response of status 200, asked for with as many of our optional parameters as the server takes."""
        dialect = self._dialect
        async with AsyncExitStack() as stack:
            while True:
                try:
                    response = await stack.enter_async_context(
                        self._client.chat.completions.with_streaming_response.create(
                            model=self._model,
                            messages=[_as_sent(message) for message in messages],
                            stream=True,
                            extra_body=dialect.parameters(self._reply_tokens),
                        )
                    )
                    break
                except (openai.BadRequestError, openai.UnprocessableEntityError) as error:
                    said = error.response.text.lower()
                    simpler = dialect.without(said) if _problem(error.status_code, said) is Problem.SETUP else None
                    if simpler is None:
                        raise
                    dialect = simpler
            if dialect != self._dialect:
                _log.info("The model server takes fewer parameters; from now on it is sent %s.", dialect)
                self._dialect = dialect
            yield response.http_response

    async def _authorize(self, request: httpx2.Request) -> None:
        """Send our key or none, and nothing that the SDK found in the environment or tells about this machine."""
        for name in [name for name in request.headers if name not in _HEADERS_SENT]:
            del request.headers[name]
        # A server that compresses holds deltas back.
        request.headers["Accept-Encoding"] = "identity"
        if self._key:
            request.headers["Authorization"] = f"Bearer {self._key}"

    def _status_error(self, error: openai.APIStatusError) -> ModelError:
        if error.status_code in (301, 302, 303, 307, 308):
            target = self._clean(error.response.headers.get("Location", "another address"))
            return ModelError(
                Problem.SETUP,
                f"OPENAI_BASE_URL {self._base_url} redirects to {target}. Correct it in .env and restart.",
            )
        body = error.response.text
        try:
            body = json.loads(body)
        except ValueError:
            if "<html" in body.lower():
                body = ""
        return self._refusal(error.status_code, body, _retry_after(error.response.headers))

    def _refusal(self, status: int | None, body: object, retry_after: float | None = None) -> ModelError:
        """What a server said, in a status or within a stream, as an error that names the setting to change."""
        status = status or _code(body)
        said = json.dumps(body, ensure_ascii=False).lower()
        problem = _problem(status, said)
        sentence = self._advice(problem, status, said)
        message = self._clean(_message(body))
        return ModelError(problem, f"{sentence} It said: {message}" if message else sentence, retry_after)

    def _advice(self, problem: Problem, status: int | None, said: str) -> str:
        number = f" ({status})" if status else ""
        key = "OPENAI_API_KEY"
        if problem is Problem.TOO_LONG:
            return (
                f"The context is too long for {self._model}{number}. If this lasts, lower CONTEXT_TOKENS or"
                " REPLY_TOKENS in .env and restart."
            )
        if problem is Problem.DECLINED:
            return f"The provider's content filter declined the request{number}; no setting helps."
        if problem is Problem.BUSY:
            return f"The model server limits its rate{number}. If this lasts, raise the limit of the account of {key}."
        if problem is Problem.UNREACHABLE:
            return f"The model server at {self._base_url} failed{number}. Look at its log or its status page."
        if _QUOTA.search(said) or status == 402:
            return (
                f"The account of {key} has no credit left{number}. Top it up, or replace the key in .env and restart."
            )
        if status == 401 or _BAD_KEY.search(said):
            if self._key:
                return f"The model server refused {key}{number}. Replace it in .env and restart."
            return f"The model server wants a key{number}. Set {key} in .env and restart."
        if status == 403:
            return f"The model server does not let {key} use {self._model}{number}. Change either in .env and restart."
        if "model" in said:
            return f"The model server refused OPENAI_MODEL {self._model}{number}. Correct it in .env and restart."
        if status == 404:
            return (
                f"The model server has nothing at OPENAI_BASE_URL {self._base_url}{number}. Correct it in .env (most"
                " end in /v1) and restart."
            )
        return f"The model server refused the request{number}. Check OPENAI_MODEL and OPENAI_BASE_URL in .env."

    def _web_page(self) -> str:
        return (
            f"OPENAI_BASE_URL {self._base_url} is a web page and no model server. Correct it in .env (most end in /v1)"
            " and restart."
        )

    def _connection_error(self, error: BaseException, begun: bool) -> ModelError:
        chain = [error]
        while (cause := chain[-1].__cause__) is not None:
            chain.append(cause)
        reason = self._clean(str(chain[min(1, len(chain) - 1)]))
        if isinstance(error, openai.APIConnectionError):
            if any(isinstance(link, httpx2.UnsupportedProtocol | httpx2.InvalidURL) for link in chain):
                return ModelError(
                    Problem.SETUP, f"OPENAI_BASE_URL {self._base_url} is no address. Correct it in .env and restart."
                )
            if any(isinstance(link, TimeoutError) for link in chain):
                reason = f"no connection within CONNECT_TIMEOUT, {self._connect_timeout:g} s"
            detail = (
                f"The model server at {self._base_url} cannot be reached. Start it, or correct OPENAI_BASE_URL in .env"
                f" and restart. The reason: {reason}"
            )
        elif not isinstance(error, TimeoutError):
            detail = f"The model server cut its reply off. Look at its log or its status page. The reason: {reason}"
        elif begun:
            detail = (
                f"The model server fell silent in the middle of a reply for {self._silence_timeout:g} s. Look at its"
                " log; if it only needs longer, raise SILENCE_TIMEOUT in .env and restart."
            )
        else:
            detail = (
                f"The model server sent nothing of a reply within {self._first_delta_timeout:g} s. Look at its log; if"
                " it only needs longer, raise FIRST_DELTA_TIMEOUT in .env and restart."
            )
        return ModelError(Problem.UNREACHABLE, detail)

    def _clean(self, text: str) -> str:
        """One line of limited length without the key, which servers like to repeat."""
        if self._key:
            text = text.replace(self._key, "***")
        text = " ".join("".join(c if c.isprintable() else " " for c in text[:2000]).split())
        return text if len(text) <= 300 else text[:299] + "…"


class _Watch:
    """`asyncio.timeout_at` around one read after another, for a tenth of its CPU: its timer outlives the reads."""

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._reader: asyncio.Task[Any] | None = None
        self._expired = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._disarm()

    def reschedule(self, deadline: float) -> None:
        """Move the deadline of the reads to come."""
        self.deadline = deadline
        if self._timer is not None and deadline < self._timer.when():
            self._disarm()

    async def next(self, chunks: AsyncIterator[bytes]) -> bytes:
        """The next chunk, or nothing at the end. `TimeoutError` when the deadline passes first."""
        self._reader = reader = asyncio.current_task()
        cancelling = reader.cancelling() if reader is not None else 0
        if self._timer is None:
            self._timer = self._loop.call_at(self.deadline, self._check)
        try:
            return await anext(chunks)
        except StopAsyncIteration:
            return b""
        except asyncio.CancelledError:
            # As in `asyncio.timeout`: somebody else's cancellation goes before ours.
            if self._expired and reader is not None and reader.uncancel() <= cancelling:
                raise TimeoutError from None
            raise
        finally:
            self._reader = None

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _check(self) -> None:
        self._timer = None
        if self._reader is None:
            return
        if self._loop.time() < self.deadline:
            self._timer = self._loop.call_at(self.deadline, self._check)
        else:
            self._expired = True
            self._reader.cancel()


@dataclass(frozen=True, slots=True)
class _Dialect:
    """Which of our optional parameters a server takes."""

    usage: bool = True
    limit: str | None = "max_tokens"

    def parameters(self, reply_tokens: int) -> dict[str, object]:
        parameters: dict[str, object] = {}
        if self.usage:
            parameters["stream_options"] = {"include_usage": True}
        if self.limit:
            parameters[self.limit] = reply_tokens
        return parameters

    def without(self, said: str) -> _Dialect | None:
        """The dialect without what a refusal complains of; None where it is not about our parameters."""
        # The newer models of OpenAI want the newer name.
        shorter = replace(self, limit="max_completion_tokens" if self.limit == "max_tokens" else None)
        if self.usage and "stream_options" in said:
            return replace(self, usage=False)
        if self.limit and self.limit in said:
            return shorter
        if _UNKNOWN_PARAMETER.search(said):
            return replace(self, usage=False) if self.usage else shorter if self.limit else None
        return None

    def __str__(self) -> str:
        return ", ".join(self.parameters(0)) or "none of the optional ones"


class Refused(Exception):
    """An error where a reply should be; within this module only."""

    def __init__(self, body: object) -> None:
        super().__init__()
        self.body = body


class Decoder:
    """The bytes of one answer into events.

    Raises `Refused` where they hold an error, and `ConnectionError` where the reply is not whole.
    """

    def __init__(self) -> None:
        self.done = False
        self._rest = b""
        self._in_error = False
        self._finish = ""
        self._usage: Usage | None = None
        self._thoughts = _Thoughts()
        self._high = ""

    @property
    def finished(self) -> bool:
        """Whether the reply is whole."""
        return self.done or bool(self._finish)

    def feed(self, chunk: bytes) -> Iterator[Event]:
        """Take the next bytes of a stream of server-sent events, wherever they are divided."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            if line or self._in_error:
                yield from self._line(line)

    def whole(self, body: bytes) -> Iterator[Event]:
        """Take the JSON of an answer that was not streamed."""
        self.done = True
        yield from self._chunk(_json(body), "message")
        yield from self.close()

    def close(self) -> Iterator[Event]:
        """Nothing more will come: what was held back, the usage and the end."""
        rest, self._rest = self._rest, b""
        yield from self._line(rest)
        if not self.finished:
            raise ConnectionError("it ended without an end")
        if self._finish in _GIVEN_UP:
            raise ConnectionError(f"it was given up with {self._finish}")
        yield from self._thoughts.close()
        if self._usage:
            yield self._usage
        yield End(_ENDINGS.get(self._finish))

    # From here on lists instead of generators, and `get` instead of patterns: this runs for every delta.

    def _line(self, line: bytes) -> Sequence[Event]:
        if line.startswith(b"data:"):
            data = line[5:].strip()
        elif line.startswith(b"{"):
            data = line
        elif line.startswith(b"error:"):  # llama.cpp before 2024
            data = line[6:].strip()
            self._in_error = True
        elif line.startswith(b"event:"):
            self._in_error = line[6:].strip() == b"error"
            return ()
        else:  # a comment, a field of no use, or the empty line behind an event
            self._in_error = self._in_error and bool(line.strip())
            return ()
        if not data or self.done:
            return ()
        if data == b"[DONE]":
            self.done = True
            return ()
        chunk = _json(data)
        if self._in_error:
            raise Refused(chunk)
        return self._chunk(chunk, "delta")

    def _chunk(self, chunk: Any, key: str) -> Sequence[Event]:
        if not isinstance(chunk, dict):
            return ()
        if not self._finish and (chunk.get("error") or chunk.get("object") == "error"):
            raise Refused(chunk.get("error") or chunk)
        if usage := chunk.get("usage"):
            self._count(usage)
        choices = chunk.get("choices")
        if not choices or not isinstance(choices, list) or not isinstance(choice := choices[0], dict):
            return ()
        if finish := choice.get("finish_reason"):
            self._finish = str(finish)
        delta = choice.get(key)
        if not isinstance(delta, dict):
            return ()
        events: list[Event] = []
        if delta.get("reasoning_content") or delta.get("reasoning"):
            events.append(Thinking())
        if content := delta.get("content"):
            events += self._content(content)
        if isinstance(refusal := delta.get("refusal"), str) and refusal:
            events.append(Text(refusal))
        return events

    def _count(self, usage: object) -> None:
        match usage:
            case {"prompt_tokens": int(prompt), "completion_tokens": int(reply)}:
                self._usage = Usage(prompt, reply)

    def _content(self, content: object) -> Sequence[Event]:
        if isinstance(content, str):
            text = self._paired(content)
            return self._thoughts.feed(text) if text else ()
        events: list[Event] = []
        for part in content if isinstance(content, list) else ():
            match part:
                case {"text": str(text)} if text:
                    events += self._content(text)
                case {"type": "thinking" | "reasoning"}:
                    events.append(Thinking())
        return events

    def _paired(self, text: str) -> str:
        """Join the halves of a character beyond the BMP: JSON can divide it between two deltas."""
        if text.isascii() and not self._high:
            return text
        text = self._high + text
        self._high = text[-1] if "\ud800" <= text[-1] <= "\udbff" else ""
        text = text[: len(text) - len(self._high)]
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


class _Part(Enum):
    START = auto()
    THOUGHT = auto()
    GAP = auto()
    REPLY = auto()


class _Thoughts:
    """Tells the reply from a `<think>` block in front of it, wherever deltas divide the tags."""

    _OPEN, _CLOSE = "<think>", "</think>"

    def __init__(self) -> None:
        self._part = _Part.START
        self._held = ""

    def feed(self, text: str) -> Sequence[Event]:
        """The events of a delta's text."""
        if self._part is _Part.REPLY:
            return (Text(text),)
        self._held += text
        if self._part is _Part.START:
            first = self._held.lstrip()
            if first.startswith(self._OPEN):
                self._part, self._held = _Part.THOUGHT, first.removeprefix(self._OPEN)
            elif not self._OPEN.startswith(first):
                return self._reply(self._held)
        thinks = self._part is _Part.THOUGHT
        if thinks:
            _, closed, after = self._held.partition(self._CLOSE)
            self._held = after if closed else self._held[1 - len(self._CLOSE) :]
            self._part = _Part.GAP if closed else _Part.THOUGHT
        reply = self._held.lstrip() if self._part is _Part.GAP else ""
        return [*([Thinking()] if thinks else []), *(self._reply(reply) if reply else [])]

    def close(self) -> Sequence[Event]:
        """What looked like the beginning of a tag and was none."""
        return self._reply(self._held) if self._part is _Part.START and self._held.strip() else ()

    def _reply(self, text: str) -> Sequence[Event]:
        self._part = _Part.REPLY
        return (Text(text),)


_ENDINGS = {"length": Problem.LENGTH, "max_tokens": Problem.LENGTH, "content_filter": Problem.DECLINED}
_GIVEN_UP = {"error", "insufficient_system_resource"}
"""Finish reasons of a reply that its server could not finish: OpenRouter's and DeepSeek's."""

# The words of OpenAI, Azure, OpenRouter, Anthropic, Gemini, DeepSeek, Qwen, Groq, Mistral, vLLM, llama.cpp, LM Studio.
_QUOTA = re.compile(r"insufficient_quota|insufficient.(credits|balance)|billing_|credit balance|payment_required")
_BAD_KEY = re.compile(r"invalid_api_key|authentication_error|api.key not valid|api_key_invalid")
_TOO_LONG = re.compile(
    r"context.(length|size|window)|(prompt|input|request) (is )?too (long|large)"
    r"|too many tokens|token count.{0,40}exceeds|tokens.{0,40}must be <="
)
_DECLINED = re.compile(
    r"content.(filter|policy|management)|responsibleai|moderation|flagged|content exists risk|data_inspection_failed"
)
_UNKNOWN_PARAMETER = re.compile(
    r"unsupported.(parameter|field|argument|value)|un(recognized|known|expected).{0,20}(parameter|field|argument|property)"
    r"|extra.(fields|inputs|forbidden)|additional properties"
)
_RATE = re.compile(r"rate.?limit|too many requests|resource_exhausted")
_OURS_TO_MEND = re.compile(r"invalid_request|model_not_found|not_found_error|permission|badrequest")


def _body(response: httpx2.Response) -> AsyncGenerator[bytes]:
    return response.aiter_bytes() if "Content-Encoding" in response.headers else response.aiter_raw()


def _problem(status: int | None, said: str) -> Problem:
    """Which problem a refusal is; the words, in lower case, count for more than the status."""
    if status in (401, 402, 404) or _QUOTA.search(said) or _BAD_KEY.search(said):
        return Problem.SETUP
    if status == 413 or _TOO_LONG.search(said):
        return Problem.TOO_LONG
    if status in (None, 400, 403, 422, 451) and _DECLINED.search(said):
        return Problem.DECLINED
    if status == 429 or (status is None and _RATE.search(said)):
        return Problem.BUSY
    if status is None:
        return Problem.SETUP if _OURS_TO_MEND.search(said) else Problem.UNREACHABLE
    # 408 and 409 are timeouts: of the request, and of a lock.
    return Problem.UNREACHABLE if status >= 500 or status in (408, 409) else Problem.SETUP


def _message(body: object) -> str:
    """The sentence in what a server said, whose shape every server chooses for itself."""
    match body:
        case str():
            return body
        case {"error": inner} | {"message": inner} | {"detail": inner} | [inner] if inner:
            return _message(inner)
    return json.dumps(body, ensure_ascii=False) if body else ""


def _code(body: object) -> int | None:
    """The HTTP status that an error within a stream carries, if it does."""
    match body:
        case {"code": int(code) | str(code)} if str(code).isdecimal() and 400 <= int(code) < 600:
            return int(code)
    return None


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait, from a number or a date."""
    try:
        if "retry-after-ms" in headers:
            return max(0.0, float(headers["retry-after-ms"]) / 1000)
        value = headers.get("retry-after", "")
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None


def _json(data: bytes) -> Any:
    try:
        return _decode(data.decode("utf-8", "replace"))
    except ValueError:
        raise ConnectionError("a part of it was not JSON") from None


def _as_sent(message: Message) -> Any:
    return {"role": message.role, "content": message.content}

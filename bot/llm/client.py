"""The model client: asks for streamed chat completions, waits, retries and closes."""

from __future__ import annotations

import asyncio
import logging
import random
import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass
from datetime import date
from types import TracebackType
from typing import Any, Self

import aiohttp
import httpx2
import jiter
import openai

from bot.config import Settings
from bot.core.errors import ModelError
from bot.core.model_events import Event, Message
from bot.core.turns import FailureReason
from bot.llm.decoder import Decoder, StreamError
from bot.llm.error_kinds import classify
from bot.llm.error_messages import ErrorTranslator
from bot.llm.parameters import RequestParameters
from bot.llm.read_deadline import ReadDeadline

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
_LONGEST_LIST = 2 * 2**20
"""Bytes of a list of models; one that is longer is not read to its end."""
_FULLEST_LIST = 20_000
"""Objects and lists in it: each costs a microsecond, and nothing else happens meanwhile."""
_FIRST_SHUTDOWN = date(2023, 1, 1)
"""There were no chat completions before: an earlier date stands for none."""
_BROKEN = (httpx2.HTTPError, aiohttp.ClientError, OSError)
"""What a failing connection raises; aiohttp's own errors are those that the SDK's transport does not translate."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Request:
    model: str
    reply_tokens: int
    messages: Sequence[Message]


class OpenAIModel:
    """A `ChatModel` on an OpenAI-compatible server. An async context manager that owns its connections.

    `base_url` None is OpenAI's own. Without an `api_key` none is sent. Timeouts are seconds: `first_delta_timeout` runs
    from a request to its first text or thought, `silence_timeout` from one of them to the next. A failed request is
    repeated while nothing has come of the reply, up to twice, and begun at most `retry_within` seconds after the first.
    `reasoning_effort` is sent as it is; a server that takes other values is sent the lowest that it names.
    """

    def __init__(
        self,
        *,
        api_key: str | None = None,
        base_url: str | None = None,
        reasoning_effort: str = "none",
        connect_timeout: float = 10.0,
        first_delta_timeout: float = 120.0,
        silence_timeout: float = 60.0,
        retry_within: float = 20.0,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._key = api_key
        self._first_delta_timeout = first_delta_timeout
        self._silence_timeout = silence_timeout
        self._retry_within = retry_within
        self._jitter = jitter
        self._dialect = RequestParameters(effort=reasoning_effort)
        self._dialects: dict[str, RequestParameters] = {}
        base_url = base_url or _OPENAI
        self._advisor = ErrorTranslator(
            base_url=base_url,
            key=api_key,
            connect_timeout=connect_timeout,
            first_delta_timeout=first_delta_timeout,
            silence_timeout=silence_timeout,
        )
        # Comment lines would keep a read timeout from firing, and a timer per read costs CPU: no read timeout here.
        timeout = httpx2.Timeout(None, connect=connect_timeout, pool=connect_timeout)
        self._client = openai.AsyncOpenAI(
            api_key=_UNUSED_KEY,
            base_url=base_url,
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
        """The models of the server that the settings name."""
        return cls(
            api_key=settings.openai_api_key.reveal() if settings.openai_api_key else None,
            base_url=settings.openai_base_url,
            reasoning_effort=settings.reasoning_effort,
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
    async def stream(
        self, messages: Sequence[Message], *, model: str, reply_tokens: int
    ) -> AsyncIterator[AsyncIterator[Event]]:
        """One reply. `Usage`, where the server counts, comes before `End`, and `End` is last."""
        async with aclosing(self._with_retries(_Request(model, reply_tokens, messages))) as events:
            yield events

    async def probe(self, model: str, reply_tokens: int) -> None:
        """Ask for a reply as every turn does, and leave it at its first event."""
        async with self.stream([Message("user", "Say ok.")], model=model, reply_tokens=reply_tokens) as events:
            await anext(events)

    async def models(self) -> Mapping[str, date | None]:
        """The models that the server lists, each with the day on which it is shut down, where the server tells one.

        None where it keeps no list.
        """
        try:
            async with (
                asyncio.timeout(self._first_delta_timeout),
                self._client.models.with_streaming_response.list() as response,
            ):
                listing = await _limited(response.http_response, _LONGEST_LIST)
            body = jiter.from_json(listing) if listing.count(b"{") + listing.count(b"[") <= _FULLEST_LIST else None
        except openai.APIStatusError as error:
            if error.status_code in (404, 405, 501):
                return {}
            raise self._advisor.from_status(error, "its list of models") from None
        except (openai.APIConnectionError, *_BROKEN) as error:
            raise self._advisor.from_connection(error, begun=False) from None
        except ValueError:
            return {}  # a page instead of a list, or too long for one
        match body:
            case {"data": [*entries]}:
                listed = [entry for entry in entries if isinstance(entry, dict) and isinstance(entry.get("id"), str)]
                return {entry["id"]: _date(entry.get("shutdown_date")) for entry in listed}
        return {}

    async def _with_retries(self, request: _Request) -> AsyncGenerator[Event]:
        clock = asyncio.get_running_loop().time
        give_up = clock() + self._retry_within
        accepted = False
        for pause in (*_PAUSES, None):
            begun = False
            try:
                async with aclosing(self._attempt(request)) as events:
                    async for event in events:
                        begun = True
                        yield event
                return
            except ModelError as error:
                error.accepted = accepted = accepted or error.accepted
                if begun or pause is None or error.failure not in (FailureReason.UNREACHABLE, FailureReason.BUSY):
                    raise
                wait = error.retry_after if error.retry_after is not None else pause * (1 + self._jitter() / 4)
                if clock() + wait > give_up:
                    raise
                _log.info("%s Trying again in %.1f s.", error.detail, wait)
            await asyncio.sleep(wait)

    async def _attempt(self, request: _Request) -> AsyncGenerator[Event]:
        clock = asyncio.get_running_loop().time
        deadline = clock() + self._first_delta_timeout
        decoder = Decoder()
        begun = False
        try:
            async with AsyncExitStack() as stack:
                async with asyncio.timeout_at(deadline):
                    response = await stack.enter_async_context(self._open(request))
                    kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
                    if kind == "text/html":
                        raise self._advisor.from_web_page()
                    # Not streamed although that was asked for.
                    whole = await response.aread() if kind == "application/json" else None
                if whole is not None:
                    for event in decoder.decode_json(whole):
                        yield event
                    return
                chunks = await stack.enter_async_context(aclosing(_body(response)))
                watch = stack.enter_context(ReadDeadline(deadline))
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
        except StreamError as refused:
            raise self._advisor.from_event(refused.body, request.model) from None
        except openai.APIStatusError as error:
            raise self._advisor.from_status(error, request.model) from None
        except (openai.APIConnectionError, *_BROKEN) as error:
            raise self._advisor.from_connection(error, begun) from None

    @asynccontextmanager
    async def _open(self, request: _Request) -> AsyncIterator[httpx2.Response]:
        """A response of status 200, asked for with as many of our optional parameters as the server takes."""
        dialect = known = self._dialects.get(request.model, self._dialect)
        sent = [_as_sent(message) for message in request.messages]
        async with AsyncExitStack() as stack:
            while True:
                try:
                    response = await stack.enter_async_context(
                        self._client.chat.completions.with_streaming_response.create(
                            model=request.model,
                            # In `messages` the SDK would look at each one's type: 0.2 ms a message.
                            messages=[],
                            stream=True,
                            extra_body={"messages": sent, **dialect.parameters(request.reply_tokens)},
                        )
                    )
                    break
                except (openai.BadRequestError, openai.UnprocessableEntityError) as error:
                    said = error.response.text
                    ours = classify(error.status_code, said.lower()) is FailureReason.CONFIGURATION
                    other = dialect.dropping(said) if ours else None
                    if other is None:
                        raise
                    dialect = other
            if dialect != known:
                _log.info("%s takes other parameters; from now on it is sent %s.", request.model, dialect)
                self._dialects[request.model] = dialect
            yield response.http_response

    async def _authorize(self, request: httpx2.Request) -> None:
        """Send our key or none, and nothing that the SDK found in the environment or tells about this machine."""
        for name in [name for name in request.headers if name not in _HEADERS_SENT]:
            del request.headers[name]
        # A server that compresses holds deltas back.
        request.headers["Accept-Encoding"] = "identity"
        if self._key:
            request.headers["Authorization"] = f"Bearer {self._key}"


def _body(response: httpx2.Response) -> AsyncGenerator[bytes]:
    return response.aiter_bytes() if "Content-Encoding" in response.headers else response.aiter_raw()


async def _limited(response: httpx2.Response, most: int) -> bytes:
    """The body of an answer. ValueError where it is longer, or packed although that was not asked for: a few bytes
    can be unpacked to any length.
    """
    if "Content-Encoding" in response.headers:
        raise ValueError
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > most:
            raise ValueError
    return bytes(body)


def _date(value: object) -> date | None:
    if not isinstance(value, str) or not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value):
        return None
    try:
        found = date.fromisoformat(value)
    except ValueError:
        return None
    return found if found >= _FIRST_SHUTDOWN else None


def _as_sent(message: Message) -> Any:
    return {"role": message.role, "content": message.content}

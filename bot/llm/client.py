"""The model client: asks for streamed chat completions, waits, retries and closes."""

from __future__ import annotations

import asyncio
import json
import logging
import math
import random
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from itertools import chain, repeat
from types import TracebackType
from typing import Self, TypeVar
from urllib.parse import urlsplit

import httpx2
import openai

from bot.config import ModelServerSettings, Settings
from bot.core.errors import EmptyStream, ModelError
from bot.core.model_events import Event, Message, Origin
from bot.core.queues import Queues
from bot.core.turns import FailureReason
from bot.llm import bodies
from bot.llm.decoder import Decoder
from bot.llm.error_kinds import classify, is_bad_key, is_out_of_credit, may_be_about_pictures, shortened, status_of
from bot.llm.error_messages import ErrorTranslator, StillLoading, wants_tls
from bot.llm.listing import LONGEST_LIST, listed_in
from bot.llm.parameters import LIMITS, RequestShape, as_sent, longest_reply
from bot.llm.picture_refusals import is_about_pictures, most_pictures
from bot.llm.read_deadline import ReadDeadline
from bot.llm.remembered_shapes import RememberedShapes, ServerFacts
from bot.llm.server_events import StreamError, WebPageError
from bot.llm.slots import ServerSlots
from bot.llm.timeouts import Timeouts
from bot.llm.transcription import NoTranscription, transcription
from bot.network.connections import Network

_OPENAI_HOST = "api.openai.com"
_OPENAI = f"https://{_OPENAI_HOST}/v1"
_UNUSED_KEY = "unused"
"""The SDK requires a key. `OpenAIModel._authorize` sets the one that is sent."""
_HEADERS_SENT = frozenset(
    {"host", "accept", "connection", "content-length", "content-type", "user-agent"}
    # By this header the SDK itself knows that the raw response is wanted.
    | {"x-stainless-raw-response"}
)
_PAUSES = (0.5, 1.5)
"""Seconds before the first and the second retry, unless the server names a wait."""
_POLLS = (0.5, 1.0, 2.0, 4.0)
"""Seconds between two requests to a server that is loading its model; the last one holds for all further ones."""
_STRETCH = 2**16
"""Bytes of a reply after which other tasks get a turn, however fast more of them come."""
_OTHERWISE = (FailureReason.TOO_LONG, FailureReason.CONTENT_FILTERED, FailureReason.BUSY)
"""The reasons of a refusal for which a request in another shape does not help."""

_log = logging.getLogger(__name__)

_Event = TypeVar("_Event")


@dataclass(frozen=True, slots=True)
class _Request:
    model: str
    reply_tokens: int
    messages: Sequence[Message]
    origin: Origin | None = None

    @property
    def pictures(self) -> int:
        return sum(len(message.pictures) for message in self.messages)


class OpenAIModel:
    """A `ChatModel` on one OpenAI-compatible server. An async context manager that owns its connections.

    As long as nothing of a reply has come, a failed request is repeated up to twice, within
    `timeouts.retry_within`; a server that is loading its model is waited for as long as for a first
    delta. `reasoning_effort` is sent as it is. A server that takes other values is sent the lowest that it names.
    `jitter` returns a number from 0 to 1 that varies the pauses between repeated requests. What the server takes is
    kept in `facts`, or without it until the client is closed; `clock` gives seconds since the epoch.
    """

    def __init__(
        self,
        server: ModelServerSettings = ModelServerSettings(),  # noqa: B008 -- it is frozen
        *,
        reasoning_effort: str = "none",
        timeouts: Timeouts = Timeouts(),  # noqa: B008 -- it is frozen
        network: Network = Network(),  # noqa: B008 -- it is frozen
        jitter: Callable[[], float] = random.random,
        facts: ServerFacts | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._key = server.api_key.reveal() if server.api_key else None
        self._extra_body = server.extra_body
        self._timeouts = timeouts
        self._jitter = jitter
        base_url = server.base_url or _OPENAI
        self.is_openai = _is_openai(base_url)
        """Whether the server is OpenAI's own."""
        # OpenAI's newer models refuse max_tokens; all of them take the newer name.
        first = RequestShape(effort=reasoning_effort, limits=LIMITS[::-1] if self.is_openai else LIMITS)
        self._shapes = RememberedShapes(base_url, first, facts, clock)
        proxy = network.proxy(base_url)
        self._errors = ErrorTranslator(base_url, self._key, timeouts, server, proxy)
        # Comment lines would keep a read timeout from firing, and a timer per read costs CPU: no read timeout here.
        timeout = httpx2.Timeout(None, connect=timeouts.connect, pool=timeouts.connect)
        http = openai.DefaultAioHttpClient(
            timeout=timeout,
            verify=network.tls(),
            proxy=proxy,
            # Proxies and certificates are the settings' to name.
            trust_env=False,
            # The hook would carry the key to wherever a redirect points.
            follow_redirects=False,
            event_hooks={"request": [self._authorize], "response": [bodies.limit]},
        )
        self._client = openai.AsyncOpenAI(
            api_key=_UNUSED_KEY,
            base_url=base_url,
            timeout=timeout,
            # The SDK would repeat requests that an exhausted quota refused.
            max_retries=0,
            http_client=http,
        )
        self._loading_since = -math.inf
        """The event loop's time at which the server was first found to be loading its model."""
        self._slots = None if self.is_openai else ServerSlots(http, base_url)

    @classmethod
    def of(cls, server: ModelServerSettings, settings: Settings, facts: ServerFacts | None = None) -> Self:
        """The client for one of the servers in the settings."""
        return cls(
            server,
            reasoning_effort=settings.reasoning_effort,
            timeouts=Timeouts(settings.connect_timeout, settings.first_delta_timeout, settings.silence_timeout),
            facts=facts,
            network=settings.network,
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
        self, messages: Sequence[Message], *, model: str, reply_tokens: int, origin: Origin | None = None
    ) -> AsyncIterator[AsyncIterator[Event]]:
        """Request one reply. `End` is the last event; `Usage`, if the server counts, comes before it."""
        attempt = partial(self._attempt, _Request(model, reply_tokens, messages, origin))
        async with aclosing(self._with_retries(attempt, model)) as events:
            yield events

    async def transcribe(self, audio: bytes, *, model: str) -> str:
        """The words in a recording, OGG Opus; empty if there are none. Raises ModelError."""
        async with aclosing(self._with_retries(partial(self._transcribed, audio, model), model)) as found:
            return await anext(found)

    async def slots(self, model: str) -> Queues | None:
        """The queue for the server's slots, whichever of its models is asked. None: it does not tell of any."""
        return None if self._slots is None else await self._slots.queue()

    async def longest_reply(self, model: str) -> int | None:
        """The longest reply, in tokens, that a request may allow, as far as the server's refusals have shown it."""
        known = await self._shapes.of(model)
        return known.shape.most_tokens if known else None

    async def most_pictures(self, model: str) -> int | None:
        """The most pictures that a request may have, as far as the server's refusals have shown it. 0: none."""
        known = await self._shapes.of(model)
        return known.shape.most_pictures if known else None

    async def probe(self, model: str, reply_tokens: int) -> None:
        """Request a reply as a turn does, and close it at its first event. Raises ModelError."""
        async with self.stream([Message("user", "Say ok.")], model=model, reply_tokens=reply_tokens) as events:
            await anext(events)

    async def models(self) -> Mapping[str, date | None]:
        """The models that the server lists, each with the day of its shutdown if the server gives one.

        The answer is empty where the server has no such list. Raises ModelError.
        """
        try:
            async with (
                asyncio.timeout(self._timeouts.first_delta),
                self._client.models.with_streaming_response.list() as response,
            ):
                listing = await bodies.whole(response.http_response, LONGEST_LIST)
        except openai.APIStatusError as error:
            if error.status_code in (404, 405, 501):
                return {}
            raise self._errors.from_status(error, "its list of models") from None
        except (openai.APIConnectionError, *bodies.BROKEN) as error:
            raise self._errors.from_connection(error, begun=False) from None
        except ValueError:
            return {}  # too long for a list
        return listed_in(listing)

    async def _with_retries(self, attempt: Callable[[], AsyncGenerator[_Event]], model: str) -> AsyncGenerator[_Event]:
        clock = asyncio.get_running_loop().time
        give_up = clock() + self._timeouts.retry_within
        pauses, polls = iter(_PAUSES), chain(_POLLS, repeat(_POLLS[-1]))
        accepted = False
        while True:
            begun = False
            try:
                async with aclosing(attempt()) as events:
                    async for event in events:
                        begun = True
                        yield event
                self._loading_since = -math.inf
                return
            except ModelError as error:
                error.accepted = accepted = accepted or error.accepted
                if self._slots is not None and error.failure is FailureReason.UNREACHABLE:
                    self._slots.ask_again()
                loading = isinstance(error, StillLoading)
                pause = next(polls if loading else pauses, None)
                # Sent as it is, a request that was too long for its server would come to nothing again.
                if (
                    begun
                    or pause is None
                    or isinstance(error, EmptyStream)
                    or error.failure not in (FailureReason.UNREACHABLE, FailureReason.BUSY)
                ):
                    raise
                wait = error.retry_after if error.retry_after is not None else pause * (1 + self._jitter() / 4)
                if loading:
                    give_up = self._loaded_by(model)
                if clock() + wait > give_up:
                    raise
                if not loading:
                    _log.info("%s Trying again in %.1f s.", error.detail, wait)
            await asyncio.sleep(wait)
            if loading:
                give_up = clock() + self._timeouts.retry_within
                # As soon as the server is ready, others need not wait for this request.
                await self.slots(model)

    def _loaded_by(self, model: str) -> float:
        """The time until which the server is given to load a model.

        It is the same for all who wait, so that a server that never gets ready does not keep one after the other.
        """
        now, patience = asyncio.get_running_loop().time(), self._timeouts.first_delta
        if now - self._loading_since > 2 * patience:
            _log.info("The model server is loading %s. Waiting for it.", model)
            self._loading_since = now
        return self._loading_since + patience

    async def _attempt(self, request: _Request) -> AsyncGenerator[Event]:
        clock = asyncio.get_running_loop().time
        deadline = clock() + self._timeouts.first_delta
        begun = sent_events = False
        try:
            async with AsyncExitStack() as stack:
                async with asyncio.timeout_at(deadline):
                    response = await stack.enter_async_context(self._open(request))
                label = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
                decoder = Decoder(is_page=label == "text/html")
                chunks = await stack.enter_async_context(aclosing(response.aiter_raw()))
                read_deadline = stack.enter_context(ReadDeadline(deadline))
                stretch = 0
                while True:
                    try:
                        chunk = await read_deadline.next(chunks)
                    except TimeoutError:
                        if decoder.linger is None:
                            raise
                        break
                    except bodies.BROKEN:
                        if not decoder.complete:
                            raise
                        break
                    if not chunk:
                        break
                    # Lines that begin with a colon are comments.
                    sent_events = sent_events or any(line[:1] not in (b"", b":") for line in chunk.splitlines())
                    progress = False
                    for event in decoder.feed(chunk):
                        begun = progress = True
                        yield event
                    # A reader that took its time does not shorten the server's.
                    if progress:
                        read_deadline.reschedule(clock() + self._timeouts.silence)
                    if (linger := decoder.linger) is not None:
                        read_deadline.reschedule(min(read_deadline.deadline, clock() + linger))
                    stretch += len(chunk)
                    if stretch >= _STRETCH:
                        stretch = 0
                        await asyncio.sleep(0)
                if not sent_events:
                    raise self._errors.from_empty_stream()
                for event in decoder.close():
                    yield event
        except WebPageError:
            raise self._errors.from_web_page() from None
        except StreamError as refused:
            body = shortened(refused.body)
            if not begun:
                await self._raise_for_pictures(request, status_of(body), json.dumps(body, ensure_ascii=False))
            raise self._errors.from_event(body, request.model) from None
        except openai.APIStatusError as error:
            raise self._errors.from_status(error, request.model) from None
        except (openai.APIConnectionError, *bodies.BROKEN) as error:
            raise self._errors.from_connection(error, begun) from None

    async def _transcribed(self, audio: bytes, model: str) -> AsyncGenerator[str]:
        errors = replace(self._errors, for_transcription=True)
        try:
            async with asyncio.timeout(self._timeouts.first_delta):
                words = await transcription(self._client, audio, model)
        except NoTranscription:
            raise errors.from_web_page() from None
        except openai.APIStatusError as error:
            raise errors.from_status(error, model) from None
        except (openai.APIConnectionError, *bodies.BROKEN) as error:
            raise errors.from_connection(error, begun=False) from None
        yield words

    @asynccontextmanager
    async def _open(self, request: _Request) -> AsyncIterator[httpx2.Response]:
        """Send a request in a shape that the server takes, until its status is 200."""
        known = await self._shapes.of(request.model)
        shape = known.shape if known else self._shapes.first
        identifiers = await self._shapes.identifiers(request.origin) if self.is_openai else {}
        messages = [as_sent(message) for message in request.messages]
        async with AsyncExitStack() as stack:
            while True:
                parameters = shape.parameters(request.reply_tokens, identifiers)
                try:
                    response = await stack.enter_async_context(
                        self._client.chat.completions.with_streaming_response.create(
                            model=request.model,
                            # In `messages` the SDK would look at each one's type: 0.2 ms a message.
                            messages=[],
                            stream=shape.stream,
                            extra_body={"messages": shape.messages(messages), **parameters, **self._extra_body},
                        )
                    )
                    break
                except openai.APIStatusError as error:
                    await self._raise_for_pictures(request, error.status_code, error.response.text)
                    # What the operator wants sent is not left out in silence.
                    blamed = self._errors.blames_extra_body(error.response.text.lower(), parameters)
                    if blamed or not _may_be_about_shape(error):
                        raise
                    if known is not None and shape.trial is None and error.status_code in (400, 422):
                        # What was known of the server may no longer be true.
                        await self._shapes.forget(request.model)
                        known, shape = None, self._shapes.first
                        continue
                    other = shape.after(error.status_code, error.response.text, parameters)
                    if other is None:
                        if request.pictures and error.status_code in (400, 422):
                            raise self._errors.from_refused_pictures(
                                error.status_code, error.response.text, request.model, None
                            ) from None
                        raise
                    shape = replace(other, trial=None)
            if shape != (known.shape if known else self._shapes.first) or shape.trial is not None:
                _log.info("%s needs other requests than usual: it is sent %s.", request.model, shape)
                await self._shapes.learn(request.model, shape, known)
            yield response.http_response

    async def _raise_for_pictures(self, request: _Request, status: int | None, said: str) -> None:
        """Raise PicturesRefused if a refusal is about a request's pictures. What it says of all pictures is kept."""
        if not request.pictures or not may_be_about_pictures(status, said.lower()):
            return
        most = most_pictures(said)
        if most is not None and most < request.pictures:
            known = await self._shapes.of(request.model)
            shape = replace(known.shape if known else self._shapes.first, most_pictures=most)
            await self._shapes.learn(request.model, shape, known)
        elif not is_about_pictures(said):
            return
        raise self._errors.from_refused_pictures(status, said, request.model, most)

    async def _authorize(self, request: httpx2.Request) -> None:
        """Send the configured key or none, and no header with what the SDK found in the environment or the system."""
        for name in [name for name in request.headers if name not in _HEADERS_SENT]:
            del request.headers[name]
        # A server that compresses holds deltas back.
        request.headers["Accept-Encoding"] = "identity"
        if self._key:
            request.headers["Authorization"] = f"Bearer {self._key}"
        # A recording has no such attribute: it is sent piece by piece anyway.
        if len(content := getattr(request, "_content", b"")) > bodies.LARGE:
            request.stream = bodies.Pieces(content)
            # The transport takes the stream only where there is no such attribute.
            del request._content


def _is_openai(base_url: str) -> bool:
    """Whether a server is OpenAI's own, in any of its regions."""
    host = urlsplit(base_url).hostname or ""
    return host == _OPENAI_HOST or host.endswith(f".{_OPENAI_HOST}")


def _may_be_about_shape(error: openai.APIStatusError) -> bool:
    """Whether another shape of the request may help after this refusal."""
    status, refusal = error.status_code, error.response.text
    said = refusal.lower()
    if wants_tls(error) or is_bad_key(status, said) or is_out_of_credit(status, said):
        return False
    return longest_reply(refusal) is not None or classify(status, said) not in _OTHERWISE

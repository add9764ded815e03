"""The playground's model: the configured server or the offline demo, with faults that a switch turns on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from bot.config import ModelServerSettings, Settings
from bot.core.model_events import Event, Message, Origin
from bot.core.protocols import ChatModel
from bot.core.queues import Queues
from bot.llm.client import OpenAIModel
from bot.llm.demo import DEMO_HEARS, asked_as, demo_reply
from bot.llm.timeouts import Timeouts
from bot.standin.model import ModelStandin
from bot.standin.script import REFUSALS, Refusal, Reply, Step
from bot.standin.transcribing import Transcript

_DEMO = Reply(demo_reply, tokens_per_second=30.0, jitter=0.6, first_token_after=0.5)
_HEARS = Transcript(DEMO_HEARS)
_BREAKS_AFTER = 12
"""Number of deltas after which a reply stalls or is cut."""
_SILENCE = 8.0
"""Seconds until a stalled demo reply is given up.

The wait is shorter than the minute for a real model, so that it can be watched.
"""

_DEMO_MODELS = ("demo", "demo-twin")
"""Names of the demo models. There are two so that people can choose, and both give the same replies."""

FAULTS: Mapping[str, Step] = {
    "model_fails": REFUSALS["server error"],
    "model_stalls": replace(_DEMO, stall_after=_BREAKS_AFTER, ping_every=5.0),
    "model_cuts": replace(_DEMO, cut_after=_BREAKS_AFTER),
    "model_refuses_key": REFUSALS["bad key"],
    "model_busy": replace(REFUSALS["rate limit"], headers={"Retry-After": "20"}),
}
"""Faults by the name of their switch, each with the step that the model stand-in then plays."""


@dataclass(frozen=True, slots=True)
class Described:
    """A description of the model for the page. `name` and `host` are None for the offline demo."""

    name: str | None = None
    host: str | None = None

    @classmethod
    def of(cls, settings: Settings) -> Described:
        if not settings.model_configured:
            return cls()
        server, name = settings.model_servers_by_name.split(settings.openai_model)
        url = urlsplit(settings.all_model_servers[server].base_url or "https://api.openai.com")
        return cls(name, url.netloc)


def or_demo(settings: Settings) -> Settings:
    """Return the settings, with the demo's models if no model is configured."""
    if settings.model_configured:
        return settings
    return replace(settings, openai_model=_DEMO_MODELS[0], models=_DEMO_MODELS[1:], transcription_model=_DEMO_MODELS[0])


def demo_server() -> ModelStandin:
    """Return the model stand-in that serves the demo and every fault."""
    server = ModelStandin(default=_DEMO, keep_requests=10)
    server.transcriptions.default = _HEARS
    return server


def demo_client(server: ModelStandin) -> OpenAIModel:
    """Return the real model client, connected to the stand-in. Faults thus reach the client over the wire."""
    return OpenAIModel(
        ModelServerSettings(server.base_url),
        timeouts=Timeouts(first_delta=_SILENCE, silence=_SILENCE, retry_within=3.0),
    )


class SwitchedModel:
    """A `ChatModel` that uses the configured model, or the demo if there is none.

    While a fault is on, it uses the demo's server, except for the configured `fallback`: one can watch it answer.
    """

    def __init__(
        self, server: ModelStandin, demo: ChatModel, configured: ChatModel | None, fallback: str | None = None
    ) -> None:
        self._server = server
        self._fallback = fallback
        self._demo = demo
        self._configured = configured
        self._fault: str | None = None

    @property
    def fault(self) -> str | None:
        """The name of the fault in `FAULTS` that is on, or None."""
        return self._fault

    @fault.setter
    def fault(self, name: str | None) -> None:
        self._fault = name
        step = self._server.default = _DEMO if name is None else FAULTS[name]
        self._server.transcriptions.default = step if isinstance(step, Refusal) else _HEARS

    def stream(
        self, messages: Sequence[Message], *, model: str, reply_tokens: int, origin: Origin | None = None
    ) -> AbstractAsyncContextManager[AsyncIterator[Event]]:
        """Stream the reply to one request."""
        if (configured := self._answering(model)) is not None:
            return configured.stream(messages, model=model, reply_tokens=reply_tokens, origin=origin)
        return self._demo.stream(asked_as(model, messages), model=model, reply_tokens=reply_tokens)

    async def transcribe(self, audio: bytes, *, model: str) -> str:
        """The words in a recording."""
        return await (self._answering(model) or self._demo).transcribe(audio, model=model)

    async def slots(self, model: str) -> Queues | None:
        """The queue of the configured server, if it has one."""
        configured = self._answering(model)
        return None if configured is None else await configured.slots(model)

    async def longest_reply(self, model: str) -> int | None:
        """The longest reply that the configured server is known to allow, in tokens."""
        configured = self._answering(model)
        return None if configured is None else await configured.longest_reply(model)

    async def most_pictures(self, model: str) -> int | None:
        """The most pictures that the configured server is known to take. The demo takes any number."""
        configured = self._answering(model)
        return None if configured is None else await configured.most_pictures(model)

    def _answering(self, model: str) -> ChatModel | None:
        """The configured server, unless a fault takes its place."""
        return self._configured if self._fault is None or model == self._fallback else None

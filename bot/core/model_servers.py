"""Which of several servers a model is on, and what it is called there and by people. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

LONGEST_DESCRIPTION = 42
"""Characters of a model and its provider, which stand in small text under a reply."""


@dataclass(frozen=True, slots=True)
class ModelServer:
    """One model server. `provider` is its name for people; `base_url` is empty for OpenAI's own API."""

    provider: str = "OpenAI"
    base_url: str = ""


@dataclass(frozen=True, slots=True)
class ModelServers:
    """The model servers of one bot: the default one, and those with a name.

    The full name of a model is `server:model`, and on the default server just `model`. A colon behind anything but the
    name of a server belongs to the model's own name.
    """

    default: ModelServer = ModelServer()
    named: Mapping[str, ModelServer] = field(default_factory=dict)

    def split(self, model: str) -> tuple[str, str]:
        """The name of the server that a full name leads to, empty for the default one, and the model's name there."""
        server, colon, name = model.partition(":")
        return (server, name) if colon and server in self.named else ("", model)

    @staticmethod
    def join(server: str, name: str) -> str:
        """The full name of a model on the server of that name, which is empty for the default one."""
        return f"{server}:{name}" if server else name

    def key(self, model: str) -> str:
        """The key under which the token statistics of a model are stored."""
        server, name = self.split(model)
        return f"{self._of(server).base_url} {name}".strip()

    def provider(self, model: str) -> str:
        """The name of the provider that a model's requests go to."""
        return self._of(self.split(model)[0]).provider

    def described(self, model: str) -> str:
        """The name of a model and its provider, for people who did not choose it."""
        name, provider = self.split(model)[1], _shortened(self.provider(model), LONGEST_DESCRIPTION // 2)
        return f"{_shortened(name, LONGEST_DESCRIPTION - len(f' ({provider})'))} ({provider})"

    def label(self, model: str) -> str:
        """The name of a model for people who choose one: with its server, if there are several."""
        server, name = self.split(model)
        return f"{name} ({server or self.default.provider})" if self.named else model

    def _of(self, server: str) -> ModelServer:
        return self.named[server] if server else self.default


def _shortened(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[: limit - 1]}…"

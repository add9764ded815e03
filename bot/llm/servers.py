"""The model clients of several servers as one: each request goes to the server that its model is on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from datetime import date
from functools import partial
from types import TracebackType
from typing import Self

from bot.config import Settings
from bot.core.model_events import Event, Message, Origin
from bot.core.model_servers import ModelServers
from bot.core.protocols import ListModels
from bot.core.queues import Queues
from bot.llm.client import OpenAIModel
from bot.llm.remembered_shapes import ServerFacts


class ModelRouter:
    """A `ChatModel` on several servers. An async context manager that owns the clients' connections.

    `clients` are by the name of their server; that of the default server is empty. Models go by their full names.
    """

    def __init__(self, servers: ModelServers, clients: Mapping[str, OpenAIModel]) -> None:
        self._servers = servers
        self.clients = clients
        self._stack = AsyncExitStack()

    @classmethod
    def of(cls, settings: Settings, facts: ServerFacts) -> Self:
        """The clients for all servers in the settings. What the servers take is kept in `facts`."""
        servers = settings.all_model_servers.items()
        clients = {name: OpenAIModel.of(server, settings, facts) for name, server in servers}
        return cls(settings.model_servers_by_name, clients)

    async def __aenter__(self) -> Self:
        for client in self.clients.values():
            await self._stack.enter_async_context(client)
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    def stream(
        self, messages: Sequence[Message], *, model: str, reply_tokens: int, origin: Origin | None = None
    ) -> AbstractAsyncContextManager[AsyncIterator[Event]]:
        """Request one reply from the server that the model is on."""
        server, name = self._servers.split(model)
        return self.clients[server].stream(messages, model=name, reply_tokens=reply_tokens, origin=origin)

    async def transcribe(self, audio: bytes, *, model: str) -> str:
        """The words in a recording, from the server that the model is on."""
        server, name = self._servers.split(model)
        return await self.clients[server].transcribe(audio, model=name)

    async def slots(self, model: str) -> Queues | None:
        """The queue of the requests to the model's server, if that works on a limited number of them at once."""
        server, name = self._servers.split(model)
        return await self.clients[server].slots(name)

    async def longest_reply(self, model: str) -> int | None:
        """The longest reply, in tokens, that the model's server is known to allow."""
        server, name = self._servers.split(model)
        return await self.clients[server].longest_reply(name)

    async def most_pictures(self, model: str) -> int | None:
        """The most pictures that a request to the model is known to be allowed. 0: none."""
        server, name = self._servers.split(model)
        return await self.clients[server].most_pictures(name)

    @property
    def listings(self) -> Sequence[ListModels]:
        """One function for each server, which lists its models by their full names."""
        return [partial(self._list, name, client) for name, client in self.clients.items()]

    async def _list(self, server: str, client: OpenAIModel) -> Mapping[str, date | None]:
        return {self._servers.join(server, name): day for name, day in (await client.models()).items()}

"""A real discord.py client on the stand-in, over sockets; whatever passes is checked if DISCORD_OPENAPI is set."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any, Protocol

import aiohttp
import discord
import pytest
from discord import app_commands

from bot.discord_bot.endpoint import connect_to
from bot.standin.entities import Channel
from bot.standin.server import DiscordStandin
from tests.waiting import PATIENCE

MESSAGES = "/channels/{channel_id}/messages"
UNPRIVILEGED = discord.Intents(guilds=True, guild_messages=True, dm_messages=True)


class Client(discord.Client):
    """Keeps what it is given; `heard` is a person's message, `seen` every message."""

    def __init__(self, intents: discord.Intents, **options: Any) -> None:
        self.events: list[tuple[str, Any]] = []
        self._happened = asyncio.Event()
        super().__init__(intents=intents, guild_ready_timeout=0, **options)
        self.tree: app_commands.CommandTree[Client] = app_commands.CommandTree(self)
        self.answer: Callable[[discord.Message], Awaitable[object]] | None = None

    def dispatch(self, event: str, /, *args: Any, **kwargs: Any) -> None:
        self.events.append((event, args))
        super().dispatch(event, *args, **kwargs)
        self._happened.set()

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until what the client was given makes the condition true."""
        async with asyncio.timeout(PATIENCE):
            while not condition():
                self._happened.clear()
                await self._happened.wait()

    def heard(self) -> list[discord.Message]:
        return [args[0] for event, args in self.events if event == "message" and args[0].author != self.user]

    def count(self, event: str) -> int:
        return sum(each == event for each, _ in self.events)

    async def on_message(self, message: discord.Message) -> None:
        if self.answer is not None and message.author != self.user:
            await self.answer(message)


def text_channel(client: Client, channel: Channel) -> discord.TextChannel:
    """The client's idea of the stand-in's channel."""
    found = client.get_channel(channel.id)
    assert isinstance(found, discord.TextChannel)
    return found


class Connect(Protocol):
    async def __call__(self, standin: DiscordStandin, intents: discord.Intents = ..., **options: Any) -> Client: ...


class Open(Protocol):
    async def __call__(self, **options: Any) -> DiscordStandin: ...


@pytest.fixture
async def open_standin() -> AsyncIterator[Open]:
    """Start stand-ins; each must end without an unknown route or a body that Discord's description forbids."""
    started: list[DiscordStandin] = []
    async with AsyncExitStack() as stack:

        async def start(**options: Any) -> DiscordStandin:
            clock = asyncio.get_running_loop().time
            epoch = time.time() - clock()
            standin = DiscordStandin(
                openapi=os.environ.get("DISCORD_OPENAPI"), **{"wall": lambda: epoch + clock(), **options}
            )
            started.append(standin)
            return await stack.enter_async_context(standin)

        yield start
    for standin in started:
        assert standin.unknown_routes == []
        assert standin.violations == []
        assert standin.crashes == []


@pytest.fixture
async def connect(open_standin: Open) -> AsyncIterator[Connect]:
    """Log a client in and wait until it is ready."""
    async with AsyncExitStack() as stack:

        async def start(standin: DiscordStandin, intents: discord.Intents = UNPRIVILEGED, **options: Any) -> Client:
            stack.enter_context(connect_to(standin.url, standin.gateway_url, standin.cdn_url))
            client = await stack.enter_async_context(Client(intents, **options))
            await client.login(standin.token)
            running = asyncio.create_task(client.connect())

            async def stop() -> None:
                await client.close()
                await running

            stack.push_async_callback(stop)
            await client.wait_until_ready()
            return client

        yield start


@pytest.fixture
async def standin(open_standin: Open) -> DiscordStandin:
    """With limits that nobody has to wait for."""
    standin = await open_standin(period=0.01)
    standin.limits.others.clear()
    return standin


@pytest.fixture
async def client(standin: DiscordStandin, connect: Connect) -> Client:
    return await connect(standin, allowed_mentions=discord.AllowedMentions.none())


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session

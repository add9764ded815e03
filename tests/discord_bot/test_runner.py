"""The end of the bot: nothing of it goes on in the process."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from discord.gateway import DiscordWebSocket, KeepAliveHandler

from bot.standin.server import DiscordStandin
from bot.standin.sessions import Frame
from tests.discord_bot.conftest import Start


async def test_stop_during_a_new_session_leaves_no_heartbeat(
    discord: DiscordStandin, start: Start, shards: int
) -> None:
    async with start() as world:
        greeted: list[Frame] = []
        discord.gateway.on_frame.append(lambda frame: greeted.append(frame) if frame.name == "HELLO" else None)
        await discord.gateway.invalidate()
        # Discord allows the next IDENTIFY some seconds later, and the connection waits for that.
        await world.until(lambda: len(greeted) == shards)
        await world.until(lambda: heartbeats() == shards)
    assert heartbeats() == 0


async def test_stop_in_the_moment_of_a_connection_is_not_lost(
    discord: DiscordStandin, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect, stopped = DiscordWebSocket.from_client, list[bool]()

    async def connected(*details: Any, **more: Any) -> DiscordWebSocket:
        socket = await connect(*details, **more)
        for task in asyncio.all_tasks():
            if getattr(task.get_coro(), "__name__", "") == "_until_full":
                task.add_done_callback(lambda ended: stopped.append(ended.cancelled()))
                task.cancel()
        return socket

    async with start() as world:
        monkeypatch.setattr(DiscordWebSocket, "from_client", connected)
        await discord.gateway.invalidate()
        await world.until(lambda: stopped)
    assert all(stopped)


def heartbeats() -> int:
    return sum(isinstance(thread, KeepAliveHandler) for thread in threading.enumerate())

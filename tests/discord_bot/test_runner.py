"""The end of the bot: nothing of it goes on in the process."""

from __future__ import annotations

import threading

from discord.gateway import KeepAliveHandler

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


def heartbeats() -> int:
    return sum(isinstance(thread, KeepAliveHandler) for thread in threading.enumerate())

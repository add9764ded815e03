from __future__ import annotations

import asyncio

from bot.core.errors import DiscordError
from bot.playground.runner import Runner
from tests.waiting import PATIENCE


async def test_bot_that_cannot_start_says_why() -> None:
    async def serve(_: asyncio.Event) -> None:
        raise DiscordError("Discord refused.")

    runner = Runner(serve, connected=lambda: False, changed=lambda: None)
    await runner.start()
    async with asyncio.timeout(PATIENCE):
        assert str(await runner.failure) == "Discord refused."
    assert runner.state == "stopped"


async def test_closed_bot_stays_closed() -> None:
    begun = 0

    async def serve(stop: asyncio.Event) -> None:
        nonlocal begun
        begun += 1
        await stop.wait()
        await asyncio.sleep(0.01)

    runner = Runner(serve, connected=lambda: True, changed=lambda: None)
    await runner.start()
    await asyncio.sleep(0)
    restarting = asyncio.create_task(runner.restart())
    await runner.close(1.0)
    await asyncio.gather(restarting, return_exceptions=True)
    assert (begun, runner.state) == (1, "stopped")

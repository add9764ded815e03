"""A platform for live replies, in virtual time. It keeps Discord's rules, and raises the armed failures."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from itertools import count
from typing import Any

from bot.core.turns import Outcome, TurnState
from bot.discord_bot.delivery.beginning import Beginning
from bot.discord_bot.delivery.reconciler import LiveReply
from bot.discord_bot.delivery.scheduler import Scheduler
from bot.discord_bot.delivery.view import Buttons, WantedMessage
from tests.discord_bot.delivery.buckets import Bucket
from tests.virtual_time import run


class Platform:
    """One channel, whose calls take time, count in buckets and raise the armed failures. It records what it shows."""

    def __init__(self, scheduler: Scheduler, rtt: float = 0.08, channel_id: int = 1) -> None:
        self.messages: dict[int, str] = {}
        self.buttons: dict[int, Buttons] = {}
        self.files: dict[int, str | None] = {}
        self._ids = count()
        self.shown: list[tuple[float, int, str]] = []
        self.failures: list[Exception] = []
        self.calls: list[float] = []
        self.overlapping = 0
        self._in_flight = 0
        self._scheduler = scheduler
        self._rtt = rtt
        self._channel_id = channel_id
        self.buckets = {method: Bucket(False, 5, 1.0) for method in ("POST", "PATCH", "DELETE")}

    @property
    def refused(self) -> int:
        return sum(bucket.refused for bucket in self.buckets.values())

    async def post(self, part: int, wanted: WantedMessage) -> tuple[int, bool]:
        await self._call("POST")
        message_id = next(self._ids)
        self._show(message_id, wanted)
        return message_id, True

    async def edit(self, part: int, message_id: int, wanted: WantedMessage) -> None:
        await self._call("PATCH")
        self._show(message_id, wanted)

    async def delete(self, message_id: int) -> None:
        await self._call("DELETE")
        del self.messages[message_id]

    def _show(self, message_id: int, wanted: WantedMessage) -> None:
        self.messages[message_id] = wanted.content
        self.buttons[message_id] = wanted.buttons
        self.files[message_id] = wanted.file
        self.shown.append((asyncio.get_running_loop().time(), message_id, wanted.content))

    async def _call(self, method: str) -> None:
        self.calls.append(asyncio.get_running_loop().time())
        self._in_flight += 1
        self.overlapping = max(self.overlapping, self._in_flight)
        await asyncio.sleep(self._rtt)
        self._in_flight -= 1
        if self.failures:
            raise self.failures.pop(0)
        seen = self.buckets[method].call(asyncio.get_running_loop().time())
        assert seen is not None, "over the limit"
        headers = {
            "X-RateLimit-Limit": str(seen.limit),
            "X-RateLimit-Remaining": str(seen.remaining),
            "X-RateLimit-Reset": str(seen.reset),
            "X-RateLimit-Reset-After": str(seen.reset_after),
        }
        self._scheduler.observe(self._channel_id, method, 200, headers)


def scene(play: Callable[[Scheduler, Platform], Coroutine[Any, Any, None]]) -> Platform:
    async def main() -> Platform:
        async with Scheduler() as scheduler:
            platform = Platform(scheduler)
            await play(scheduler, platform)
            assert not platform.failures, "an armed failure never struck"
            return platform

    return run(main())


def live(
    scheduler: Scheduler, platform: Platform, beginning: Beginning | None = None, *, max_messages: int | None = None
) -> LiveReply:
    def note(outcome: Outcome) -> str | None:
        return f"-# {outcome.failure}" if outcome.failure else None

    return LiveReply(1, platform, scheduler, note=note, beginning=beginning, max_messages=max_messages)


async def stream(reply: LiveReply, seconds: float, per_second: int = 60, name: str = "w") -> str:
    text = ""
    for n in range(int(seconds * per_second)):
        text += f"{name}{n} "
        reply.update(text)
        await asyncio.sleep(1 / per_second)
    await reply.finish(Outcome(TurnState.COMPLETE, text))
    return text

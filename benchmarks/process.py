"""What the bot costs as a process: its start, its idle memory, and many turns in one channel.

python -m benchmarks.process
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Sequence

from benchmarks.harness import Usage, bot
from bot.standin.entities import Channel
from bot.standin.model import ModelStandin
from bot.standin.script import Reply
from bot.standin.server import DiscordStandin

STARTS = 5
TURNS = 500
RTT = 0.08


async def main() -> None:
    starts = [await start() for _ in range(STARTS)]
    print(
        f"start to READY                     {statistics.median(starts):.2f} s (worst of {STARTS}: {max(starts):.2f} s)"
    )
    await turns()


async def start() -> float:
    """Seconds from starting the process to READY; a prompt sent in that moment has to be answered."""
    async with DiscordStandin(openapi=None) as discord, ModelStandin(default=Reply("Here I am.")) as model:
        began = time.monotonic()
        async with bot(discord, model):
            await discord.ready()
            took = time.monotonic() - began
            await ask(discord, discord.general, "there?")
            return took


async def turns() -> None:
    """Many one-sentence turns in one channel, with round trips as on the real Discord."""
    reply = Reply("One sentence is enough for this answer.", tokens_per_second=60)
    async with (
        DiscordStandin(rtt=RTT, openapi=None, keep_requests=None) as discord,
        ModelStandin(default=reply) as model,
        bot(discord, model) as process,
    ):
        await discord.ready()
        await asyncio.sleep(2)
        print(f"idle memory                        {Usage.of(process.pid).memory:.0f} MB")
        delays = []
        for number in range(20):
            await ask(discord, discord.random_channel, f"warm {number}")
            seen = discord.bot_messages(discord.random_channel)[-1].shown[-1].at + RTT / 2
            delays.append(seen - model.requests[-1].sent_at[-1])
            await asyncio.sleep(1)
        print(
            f"last delta to the whole reply seen {statistics.median(delays):.2f} s (worst of 20: {max(delays):.2f} s)"
        )
        before, requests = Usage.of(process.pid), len(discord.requests)
        model.default = Reply("One sentence is enough for this answer.")
        discord.limits.messages = type(discord.limits.messages)(5, 0.01)
        for number in range(TURNS):
            await ask(discord, discord.general, f"question {number}")
        after = Usage.of(process.pid)
        print(f"{TURNS} turns in one channel          +{after.memory - before.memory:.1f} MB,", end=" ")
        print(f"{(len(discord.requests) - requests) / TURNS:.1f} requests and", end=" ")
        print(f"{(after.cpu - before.cpu) / TURNS * 1000:.0f} ms of CPU a turn,", end=" ")
        print(f"{max(len(request.messages) for request in model.requests)} messages of context at the most")


def spread(values: Sequence[float]) -> str:
    """Median and worst, in seconds."""
    return f"{statistics.median(values):.2f} s (worst of {len(values)}: {max(values):.2f} s)"


async def ask(discord: DiscordStandin, channel: Channel, question: str) -> None:
    """Ask, and wait for the end of the answer."""
    count = len(discord.bot_messages(channel))
    await discord.say(channel, discord.bo, f"<@{discord.bot.id}> {question}")

    def answered() -> bool:
        messages = discord.bot_messages(channel)
        return len(messages) > count and messages[-1].content.endswith(".")

    await discord.wait_for(answered, timeout=10)


if __name__ == "__main__":
    asyncio.run(main())

"""One bot in very many servers: what its start, its memory, events and replies cost, on one shard and on several.

    python -m benchmarks.growth [--servers 10000] [--replies 100] [--shards 1 10]

The bot is a process of its own, and CPU and memory are its alone. Discord and the model share the machine with it:
while they are held up, calls arrive late and several at once, and the times by the clock are longer than they would be.
"""

from __future__ import annotations

import argparse
import asyncio
import bisect
import statistics
import time
from asyncio.subprocess import Process
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass

from benchmarks.harness import Usage, bot
from benchmarks.streaming import figures, text
from bot.standin.entities import Channel, User
from bot.standin.model import ModelStandin
from bot.standin.script import Reply
from bot.standin.server import DiscordStandin
from bot.standin.sharding import Sharding, shard_of

CHANNELS, ROLES = 20, 10
"""Of each server."""
RTT = 0.08
MESSAGES = 20_000
"""Messages that nobody meant for the bot."""
BATCH = 100
"""Of these, so many are sent in one go."""
QUESTIONS = 400
"""Short questions at once, in as many servers."""
SECONDS, TOKENS_PER_SECOND = 10, 60
"""Of each long reply."""
AT_REST = 0.05
"""Seconds of CPU in a second, below which the bot has nothing to do."""
PATIENCE = 300.0

Place = tuple[Channel, User]
Rows = dict[str, str]
"""What is printed, by its label."""


@dataclass(frozen=True)
class Bench:
    """A bot in its servers. Each place is a channel with a member who asks there, in a server of its own."""

    discord: DiscordStandin
    model: ModelStandin
    places: Sequence[Place]
    shards: int
    process: Process

    async def answered(self, places: Sequence[Place], question: str) -> None:
        """Ask in all places at once, and wait for the ends of the answers."""
        counts = [len(self.discord.bot_messages(channel)) for channel, _ in places]
        for channel, person in places:
            await self.discord.say(channel, person, f"{self.discord.bot.mention} {question}")
            await asyncio.sleep(0)
        waiting = list(zip(places, counts, strict=True))

        def all_answered() -> bool:
            while waiting:
                (channel, _), count = waiting[-1]
                shown = self.discord.bot_messages(channel)
                if len(shown) == count or not shown[-1].content.endswith("."):
                    return False
                waiting.pop()
            return True

        await self.discord.wait_for(all_answered, timeout=PATIENCE)

    async def answered_on_all_shards(self) -> None:
        by_shard = {
            shard_of(channel.guild.id, self.shards): (channel, person)
            for channel, person in self.places
            if channel.guild is not None
        }
        await self.answered(list(by_shard.values()), "are you there?")

    async def at_rest(self) -> Usage:
        """Wait until the bot has done all that it has to do."""
        now = Usage.of(self.process.pid)
        while True:
            await asyncio.sleep(1)
            before, now = now, Usage.of(self.process.pid)
            if now.cpu - before.cpu < AT_REST:
                return now

    async def cost(self, work: Awaitable[None]) -> tuple[float, float, float]:
        """The seconds that something takes, the CPU until the bot is at rest again, and the calls to Discord."""
        cpu, calls, began = Usage.of(self.process.pid).cpu, len(self.discord.requests), time.monotonic()
        await work
        took = time.monotonic() - began
        return took, (await self.at_rest()).cpu - cpu, len(self.discord.requests) - calls


async def measure(servers: int, replies: int, shards: int) -> Rows:
    """The figures of one bot, from its start on."""
    empty = await alone()
    sharding = Sharding(guilds_per_shard=max(2500, 2 * servers // shards))
    async with (
        DiscordStandin(rtt=RTT, openapi=None, keep_requests=None, sharding=sharding) as discord,
        ModelStandin(default=Reply("One sentence is enough for this answer.")) as model,
    ):
        places = [furnish(discord, number) for number in range(servers)]
        began = time.monotonic()
        async with bot(discord, model, SHARDS=str(shards)) as process:
            bench = Bench(discord, model, places, shards, process)
            await discord.ready(PATIENCE)
            ready = time.monotonic() - began
            await bench.answered_on_all_shards()
            answering = time.monotonic() - began
            used, rest = await bench.at_rest(), time.monotonic() - began
            rows = {
                "READY on every shard after": f"{ready:.1f} s",
                "an answer on every shard after": f"{answering:.1f} s",
                "at rest after": f"{rest:.0f} s, {len(discord.requests)} calls",
                "CPU of the start": f"{used.cpu:.1f} s",
                "  CPU for a server": f"{(used.cpu - empty.cpu) / servers * 1000:.2f} ms",
                "memory": f"{used.memory:.0f} MB",
                "  memory for a server": f"{(used.memory - empty.memory) / servers * 1024:.0f} KB",
            }
            return (
                rows
                | await messages(bench)
                | await questions(bench)
                | await long_replies(bench, replies)
                | limits(discord)
            )


async def watch(pauses: list[float]) -> None:
    """Note for how long this process is held up each time, in seconds."""
    while True:
        began = time.monotonic()
        await asyncio.sleep(0.01)
        pauses.append(time.monotonic() - began - 0.01)


async def alone() -> Usage:
    """What a bot in one server uses."""
    async with DiscordStandin(openapi=None) as discord, ModelStandin() as model, bot(discord, model) as process:
        await discord.ready()
        return await Bench(discord, model, [], 1, process).at_rest()


def furnish(discord: DiscordStandin, number: int) -> Place:
    guild = discord.add_guild(f"Server {number}")
    for role in range(ROLES):
        discord.add_role(f"role-{role}", guild=guild)
    first, *_ = [discord.add_channel(f"channel-{channel}", guild) for channel in range(CHANNELS)]
    return first, discord.add_user(f"p{number}x", guild=guild)


async def messages(bench: Bench) -> Rows:
    """Messages that are not for the bot, in all servers by turns, as fast as they can be sent."""

    async def talk() -> None:
        for number in range(MESSAGES):
            channel, person = bench.places[number % len(bench.places)]
            bench.discord.world.post(channel, person, f"Nothing that a bot has to know, number {number}.")
            if number % BATCH == 0:
                await asyncio.sleep(0)
        await bench.answered_on_all_shards()

    took, cpu, _ = await bench.cost(talk())
    return {
        f"{MESSAGES:,} messages not for it": f"{took:.1f} s, {MESSAGES / took:,.0f} a second",
        "  CPU for a message": f"{cpu / MESSAGES * 1000:.2f} ms",
        "  as many as one core takes": f"{MESSAGES / cpu:,.0f} a second",
    }


async def questions(bench: Bench) -> Rows:
    """Questions with short answers, each in a server of its own."""
    places = bench.places[:QUESTIONS]
    took, cpu, calls = await bench.cost(bench.answered(places, "and what about this?"))
    return {
        f"{len(places)} questions at once": f"{took:.1f} s, {len(places) / took:.0f} a second",
        "  CPU for a question": f"{cpu / len(places) * 1000:.1f} ms",
        "  calls for a question": f"{calls / len(places):.1f}",
    }


async def long_replies(bench: Bench, replies: int) -> Rows:
    """Long replies at once, each in a server of its own."""
    words = SECONDS * TOKENS_PER_SECOND
    bench.model.default = Reply(text, tokens_per_second=TOKENS_PER_SECOND, jitter=0.5, first_token_after=0.2)
    bench.model.requests.clear()
    places = bench.places[-replies:]
    waiting = list(places)

    def ended() -> bool:
        while waiting:
            shown = bench.discord.bot_messages(waiting[-1][0])
            if not shown or not shown[-1].content.endswith(f"a{words - 1:04}"):
                return False
            waiting.pop()
        return True

    async def follow() -> None:
        for channel, person in places:
            await bench.discord.say(channel, person, f"{bench.discord.bot.mention} a {words}")
            await asyncio.sleep(0)
        await bench.discord.wait_for(ended, timeout=PATIENCE)

    pauses: list[float] = []
    watching = asyncio.create_task(watch(pauses))
    took, cpu, calls = await bench.cost(follow())
    watching.cancel()
    asked = {request.messages[-1]["content"].split(")")[0]: request for request in bench.model.requests}
    found = [
        figures(
            bench.discord.bot_messages(channel),
            "a",
            next(request.sent_at for name, request in asked.items() if name.endswith(f"@{person.name}")),
            RTT / 2,
        )
        for channel, person in places
    ]
    return {
        f"{len(places)} long replies at once": f"{took:.1f} s",
        "  CPU for a second of a reply": f"{cpu / len(places) / SECONDS * 1000:.1f} ms",
        "  calls for a second of a reply": f"{calls / len(places) / SECONDS:.2f}",
        "  first text after": f"{statistics.median(each.first for each in found):.2f} s",
        "  mean staleness": f"{statistics.median(statistics.fmean(each.staleness) for each in found):.2f} s",
        "  end shown after": f"{statistics.median(each.final for each in found):.2f} s",
        "  Discord and the model held up for": f"{max(pauses):.2f} s at the most",
    }


def limits(discord: DiscordStandin) -> Rows:
    """What Discord counted."""
    times = [each.started for each in discord.requests]
    busiest = max(bisect.bisect_left(times, at + 1.0) - number for number, at in enumerate(times))
    return {
        "calls to Discord in the busiest second": f"{busiest}",
        "answers of 429": f"{discord.too_many}",
        "IDENTIFYs too early": f"{discord.gateway.starts.too_early}",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--servers", type=int, default=10_000, metavar="N", help="servers that the bot is in (10,000)")
    parser.add_argument("--replies", type=int, default=100, metavar="N", help="long replies at once (100)")
    parser.add_argument("--shards", type=int, nargs="+", default=[1, 10], metavar="N", help="one run for each (1 10)")
    options = parser.parse_args()
    print(f"{options.servers:,} servers with {CHANNELS} channels and {ROLES} roles each; {RTT * 1000:.0f} ms a call\n")
    runs = [asyncio.run(measure(options.servers, options.replies, shards)) for shards in options.shards]
    print(f"{'shards':<40}" + "".join(f"{shards:>26}" for shards in options.shards))
    for label in runs[0]:
        print(f"{label:<40}" + "".join(f"{rows[label]:>26}" for rows in runs))


if __name__ == "__main__":
    main()

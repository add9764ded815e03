"""How closely people follow a reply: the whole bot, as a process of its own, against the stand-ins.

    python -m benchmarks.streaming [--seeds N] [--drawn N] [--charts FOLDER] [SCENARIO ...]

Staleness is, for each word, the time from its leaving the model's server to the end of the call that showed it.
`bound` is what no schedule can beat that keeps within the limits: all edits known in advance, evenly spaced, every
token used. CPU and memory are those of the bot's process alone.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import re
import statistics
import string
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from benchmarks.charts import Bar, bars, curves
from benchmarks.harness import Usage, bot
from bot.standin.entities import Channel
from bot.standin.entities import Message as Shown
from bot.standin.model import ModelStandin
from bot.standin.script import Message as Asked
from bot.standin.script import Reply
from bot.standin.server import DiscordStandin

RTT = 0.08
TOKENS_PER_SECOND = 60


@dataclass(frozen=True)
class Scenario:
    """`replies` at once in each of `channels`, each `seconds` long; `at_once` channels of them run side by side."""

    name: str
    seconds: float
    bucket: Literal["leaky", "fixed"] = "leaky"
    replies: int = 1
    channels: int | None = None
    """None: as many as seeds are asked for, ten at a time."""
    rtt: tuple[float, float] = (RTT, RTT)
    limit: int = 5
    period: float = 1.0
    command: bool = False
    """Whether it is asked with /ask. Then the bucket is that of an interaction's token."""

    @property
    def bound(self) -> float | None:
        """Mean staleness of one reply alone, at the best."""
        if self.replies > 1 or self.channels is not None:
            return None
        if self.bucket == "leaky":
            squares = self.seconds**2 / (self.seconds / self.period + self.limit)
        else:
            whole, rest = divmod(self.seconds, self.limit * self.period)
            squares = whole * self.limit * self.period**2 + rest**2 / self.limit
        return sum(self.rtt) / 2 + squares / (2 * self.seconds)


SETTINGS = {"REPLY_TOKENS": "100000", "CONTEXT_TOKENS": "100000", "MESSAGES_PER_REPLY": "100"}
KINDS: tuple[Literal["leaky", "fixed"], ...] = ("leaky", "fixed")
SCENARIOS = [
    *(Scenario(f"{bucket}, {seconds} s", seconds, bucket) for bucket in ("leaky", "fixed") for seconds in (8, 20, 60)),
    Scenario("three at once, 20 s", 20, replies=3, channels=3),
    Scenario("100 channels, 8 s", 8, channels=100),
    *(Scenario(f"/ask, {seconds} s", seconds, "fixed", period=0.4, command=True) for seconds in (8, 20, 60)),
]


def drawn(seed: int) -> Scenario:
    """A Discord with other limits and another way to it."""
    draw = random.Random(seed)
    bucket, limit, period = draw.choice(KINDS), draw.randint(3, 10), round(draw.uniform(0.3, 2.0), 1)
    rtt, seconds = round(draw.uniform(0.03, 0.4), 2), draw.choice([8, 20])
    name = f"drawn {seed}: {bucket}, {seconds} s, {limit} of {period} s, {rtt * 1000:.0f} ms"
    return Scenario(name, seconds, bucket, rtt=(rtt, rtt), limit=limit, period=period)


@dataclass
class Measured:
    """One reply's figures, in seconds. For each word, `sent` is when it left, after the first one."""

    first: float
    sent: list[float]
    staleness: list[float]
    final: float
    edits: int


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.streaming")
    parser.add_argument("--seeds", type=int, default=20, metavar="N", help="replies per scenario (20)")
    parser.add_argument("--drawn", type=int, default=0, metavar="N", help="so many Discords with other limits instead")
    parser.add_argument("--charts", type=Path, metavar="FOLDER", help="also draw what is measured, into this folder")
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help="only those whose name begins like this")
    options = parser.parse_args()
    chosen = [drawn(seed) for seed in range(options.drawn)] or [
        each
        for each in SCENARIOS
        if not options.scenarios or any(each.name.startswith(name) for name in options.scenarios)
    ]
    print(f"{TOKENS_PER_SECOND} tokens/s, {RTT * 1000:.0f} ms per call; seconds; median of the replies (worst)\n")
    print(
        "| scenario | first text | mean staleness | bound | p95 | final | edits | 429s | CPU/1,000 tokens | peak MB |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    results = {scenario: asyncio.run(measure(scenario, options.seeds)) for scenario in chosen}
    if options.charts is not None:
        draw_charts(options.charts, results)


def draw_charts(folder: Path, results: dict[Scenario, list[Measured]]) -> None:
    """Draw how one reply of the first scenario was followed, and how stale all of them were."""
    reply = next(iter(results.values()))[0]
    following = curves(
        f"A reply of {len(reply.sent)} words, as it is written and as it is shown",
        "seconds since the first word",
        "words",
        {
            "written by the model": [(at, count) for count, at in enumerate(reply.sent, 1)],
            "shown in Discord": steps([at + late for at, late in zip(reply.sent, reply.staleness, strict=True)]),
        },
    )
    stale = bars(
        "How long a word takes to be shown",
        "seconds",
        "median of the replies' means",
        "the least that the limits allow",
        [
            Bar(
                scenario.name, statistics.median(statistics.fmean(reply.staleness) for reply in replies), scenario.bound
            )
            for scenario, replies in results.items()
        ],
    )
    for name, chart in {"streaming-reply.svg": following, "streaming-staleness.svg": stale}.items():
        (folder / name).write_text(chart, encoding="utf-8")


def steps(times: Sequence[float]) -> list[tuple[float, float]]:
    """The corners of the count of what has happened by then, for times in order."""
    last = {at: count for count, at in enumerate(times, 1)}
    corners = [(0.0, 0.0)]
    for at, count in last.items():
        corners += [(at, corners[-1][1]), (at, count)]
    return corners


async def measure(scenario: Scenario, seeds: int) -> list[Measured]:
    """Run one scenario, print its row and return the figures of each reply."""
    draw = random.Random(1)
    channels = seeds if scenario.channels is None else scenario.channels
    model_server = ModelStandin(
        default=Reply(text, tokens_per_second=TOKENS_PER_SECOND, jitter=0.5, first_token_after=0.2)
    )
    discord_server = DiscordStandin(
        rtt=scenario.rtt if scenario.rtt[0] != scenario.rtt[1] else scenario.rtt[0],
        bucket=scenario.bucket,
        limit=scenario.limit,
        period=scenario.period,
        heartbeat_interval=1.0,
        keep_requests=None,
        openapi=None,
    )
    async with discord_server as discord, model_server as model, bot(discord, model, **SETTINGS) as process:
        places = [discord.add_channel(f"bench-{number}") for number in range(channels)]
        await discord.ready()
        await discord.wait_for(lambda: discord.commands.registered(None))
        await asyncio.sleep(1)
        busy = Usage.of(process.pid)
        side_by_side = asyncio.Semaphore(10 if scenario.channels is None else channels)

        async def one(channel: Channel) -> list[Measured]:
            async with side_by_side:
                if scenario.channels is None:
                    await asyncio.sleep(draw.random())
                return await replies(discord, model, channel, scenario)

        results = [each for some in await asyncio.gather(*map(one, places)) for each in some]
        used = Usage.of(process.pid)
        tokens = sum(len(request.sent_at) for request in model.requests)
        means = [statistics.fmean(each.staleness) for each in results]
        p95 = [statistics.quantiles(each.staleness, n=20)[-1] for each in results]
        print(
            "|",
            " | ".join(
                [
                    scenario.name,
                    spread([each.first for each in results]),
                    spread(means),
                    "" if scenario.bound is None else f"{scenario.bound:.2f}",
                    spread(p95),
                    spread([each.final for each in results]),
                    f"{statistics.median(each.edits for each in results):.0f}",
                    str(discord.too_many),
                    f"{(used.cpu - busy.cpu) / tokens * 1000:.3f} s ({used.cpu - busy.cpu:.1f} s in all)",
                    f"{used.peak:.0f}",
                ]
            ),
            "|",
            flush=True,
        )
        late = max(discord.gateway.heartbeats_late, default=0.0)
        if late > 0.05:
            print(f"  heartbeats up to {late:.2f} s late")
        return results


def text(messages: Sequence[Asked]) -> str:
    """Words that begin with the letter and are as many as the prompt asks for."""
    letter, count = messages[-1].content.split()[-2:]
    return " ".join(f"{letter}{n:04}" for n in range(int(count)))


async def replies(discord: DiscordStandin, model: ModelStandin, channel: Channel, scenario: Scenario) -> list[Measured]:
    """Ask in one channel, wait for the ends and measure what was seen there."""
    people = [discord.add_user(f"p{channel.id}x{number}") for number in range(scenario.replies)]
    letters = string.ascii_lowercase[: scenario.replies]
    words = int(scenario.seconds * TOKENS_PER_SECOND)
    for person, letter in zip(people, letters, strict=True):
        if scenario.command:
            await discord.slash(person, channel, "ask", question=f"{letter} {words}")
        else:
            await discord.say(channel, person, f"<@{discord.bot.id}> {letter} {words}")
    lasts = [f"{letter}{words - 1:04}" for letter in letters]

    def ended() -> bool:
        shown = [message.content[-5:] for message in discord.bot_messages(channel)]
        return all(last in shown for last in lasts)

    await discord.wait_for(ended, timeout=scenario.seconds * 2 + 60)
    way_back = sum(scenario.rtt) / 4
    found = []
    for person, letter in zip(people, letters, strict=True):
        request = next(r for r in model.requests if f"@{person.name})" in r.messages[-1]["content"])
        found.append(figures(discord.bot_messages(channel), letter, request.sent_at, way_back))
    return found


def figures(messages: Sequence[Shown], letter: str, sent_at: Sequence[float], way_back: float) -> Measured:
    """Compare when each word of one reply was sent with when it was seen."""
    seen_at = [float("inf")] * len(sent_at)
    edits = 0
    for message in messages:
        if re.match(f"(?:-# .*\n)?{letter}", message.content) is None:
            continue
        edits += len(message.shown) - 1
        for state in message.shown:
            for word in state.content.split():
                if re.fullmatch(f"{letter}[0-9]{{4}}", word):
                    number = int(word[1:])
                    seen_at[number] = min(seen_at[number], state.at + way_back)
    return Measured(
        first=seen_at[0] - sent_at[0],
        sent=[sent - sent_at[0] for sent in sent_at],
        staleness=[seen - sent for seen, sent in zip(seen_at, sent_at, strict=True)],
        final=seen_at[-1] - sent_at[-1],
        edits=edits,
    )


def spread(values: Sequence[float]) -> str:
    """Median and worst."""
    return f"{statistics.median(values):.2f} ({max(values):.2f})"


if __name__ == "__main__":
    main()

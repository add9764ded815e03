"""What a turn costs beside the model, with every check on, in a database of many turns.

    python -m benchmarks.overhead [--turns 100000]

The bot runs in a process of its own with a model that answers at once, and the stand-in for Discord adds no round
trip. The overhead is the time from a message's leaving Discord until the model is asked, and that from the model's end
until the turn's is committed. One after the other, 95 % of the turns are to stay under 10 ms.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import signal
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path

from benchmarks.harness import Usage as Machine
from bot.core.access import AccessSettings
from bot.core.generation_settings import GenerationSettings
from bot.core.model_events import End, Event, Message, Origin, Text
from bot.core.quotas import QuotaExceeded, Quotas, Usage
from bot.core.service import ConversationService
from bot.core.summarizing import ASKED_FOR
from bot.core.turns import Attempt, Outcome, Prompt
from bot.core.usage import DAY
from bot.discord_bot.endpoint import connect_to
from bot.discord_bot.options import Options
from bot.discord_bot.runner import run
from bot.llm.demo import DemoModel
from bot.standin.entities import Channel, User
from bot.standin.limits import Limit
from bot.standin.server import DiscordStandin
from bot.standin.sessions import Frame
from bot.store import Store
from bot.store.sqlite import open_store
from bot.store.turns import TurnStore
from bot.texts.memory import TOLD_TO_MODEL

TURNS = 300
AT_ONCE = 8
WARM_UP = 20
EVERY = 0.03
"""Seconds from the end of a turn to the next prompt: the bot keeps to Discord's calls a second."""
CONVERSATIONS, PEOPLE = 1000, 2000
"""Of those that are stored; the first `AT_ONCE` of them ask, where they asked before."""
ANSWER = "A sentence of an answer, of the usual length. " * 8
PLENTY = 10**12
RUN = "from benchmarks.overhead import serve; serve()"
Noted = dict[int, dict[str, float]]
"""Of each question by its number: when the model was asked, when it ended, and when that was committed."""
_NUMBER = re.compile(r"number (\d+)")


# The bot's process


class ClockedTurns(TurnStore):
    """Notes when the end of each question's turn is committed."""

    async def begin(
        self, prompt: Prompt, hourly_questions_per_user: int | None = None
    ) -> Attempt | QuotaExceeded | None:
        attempt = await super().begin(prompt, hourly_questions_per_user)
        if isinstance(attempt, Attempt):
            _questions[attempt.turn_id] = _number(prompt.text)
        return attempt

    async def close(self, attempt: Attempt, outcome: Outcome, *, free: bool = False, titles: bool = False) -> bool:
        done = await super().close(attempt, outcome, free=free, titles=titles)
        _note(_questions[attempt.turn_id], "closed")
        return done


@asynccontextmanager
async def clocked_store(database: str) -> AsyncIterator[Store]:
    async with open_store(database, exclusive=True) as store:
        store.turns = ClockedTurns(store.engine, time.time, store.quotas)
        yield store


class AtOnce(DemoModel):
    """Answers at once, and notes when it is asked and when it ends."""

    @asynccontextmanager
    async def stream(
        self, messages: Sequence[Message], *, model: str, reply_tokens: int, origin: Origin | None = None
    ) -> AsyncIterator[AsyncIterator[Event]]:
        summarizing = ASKED_FOR in messages[-1].content
        number = None if summarizing else _number(messages[-1].content)
        _note(number, "asked")

        async def events() -> AsyncIterator[Event]:
            yield Text(ANSWER)
            yield Usage(sum(len(message.content) for message in messages) // 4, len(ANSWER) // 4)
            _note(number, "ended")
            yield End()

        yield events()


_questions: dict[int, int] = {}
_noted: Noted = {}


def _number(text: str) -> int:
    return int(_NUMBER.findall(text)[-1])


def _note(number: int | None, what: str) -> None:
    """Note what happens to a question. None: it is a summary that is made."""
    if number is not None:
        _noted.setdefault(number, {})[what] = time.monotonic()


def serve() -> None:
    """Run the bot until SIGTERM, then print what was noted."""
    job = json.loads(sys.argv[1])

    async def until_told() -> None:
        stop = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
        async with (
            clocked_store(job["database"]) as store,
            ConversationService(
                store,
                AtOnce(),
                GenerationSettings(
                    models=("small", "large"),
                    system_prompt="Be brief.",
                    about_memory=TOLD_TO_MODEL,
                    context_tokens=8000,
                    quotas=Quotas(1000, PLENTY, PLENTY, PLENTY),
                    summaries=True,
                ),
            ) as conversations,
        ):
            access = AccessSettings(allowed_roles=frozenset({job["role"]}), blocked_users=frozenset({1}))
            await run(job["token"], store, conversations, Options(grace=1.0, access=access), stop=stop)

    with connect_to(*job["urls"]):
        asyncio.run(until_told())
    print(json.dumps(_noted))


# What is stored


async def fill(database: Path, turns: int, discord: DiscordStandin, channels: Sequence[Channel]) -> None:
    """Turns of the last 80 days, a tenth of them of today, each with its charge; notes; what moderators decided."""
    async with open_store(database, exclusive=True):
        pass
    now = int(time.time())
    keys = [channel.id for channel in channels] + list(range(1, CONVERSATIONS - len(channels) + 1))
    people = [user.id for user in askers(discord)] + list(range(1, PEOPLE - AT_ONCE + 1))

    def at(number: int) -> int:
        past = turns - number
        return now - (past * 6 * 3600 // (turns // 10) if past < turns // 10 else past * 80 * DAY // turns)

    with closing(sqlite3.connect(database)) as filler, filler:
        guild = discord.guild.id
        filler.executemany(
            """
            INSERT INTO conversations (id, platform, channel, guild_id, used_at, last_number)
            VALUES (?, 'discord', ?, ?, 0, ?)
            """,
            ((row, str(key), guild, turns) for row, key in enumerate(keys, 1)),
        )
        filler.executemany(
            """
            INSERT INTO stored_turns
                (id, conversation_id, number, position, user_id, display_name, user_name, prompt, reply,
                state, created_at, delivered)
            VALUES (?, ?, ?, ?, ?, 'Bo', 'bo', 'Why is the sky over the harbour so dark at night?', ?, 'complete', ?, 1)
            """,
            (
                (n, n % len(keys) + 1, n, at(n) << 22, people[n % len(people)], ANSWER, at(n))
                for n in range(1, turns + 1)
            ),
        )
        filler.executemany(
            """
            INSERT INTO charges
                (turn_id, attempt, user_id, guild_id, model, day, prompt_tokens, reply_tokens, settled)
            VALUES (?, 1, ?, ?, 'small', ?, 2000, 100, 1)
            """,
            ((n, people[n % len(people)], guild, at(n) // DAY) for n in range(1, turns + 1)),
        )
        filler.executemany(
            "INSERT INTO channel_rules (channel_id, guild_id, allowed) VALUES (?, ?, 1)",
            ((channel.id, guild) for channel in channels),
        )
        filler.executemany(
            "INSERT INTO notes (user_id, guild_id, size, created_at, used_at, text) VALUES (?, ?, 330, ?, ?, ?)",
            ((person, guild, now, now, f"{n} {'I am vegan. ' * 27}") for person in people for n in range(3)),
        )
        filler.executemany("INSERT INTO blocks (guild_id, user_id) VALUES (?, ?)", ((guild, n) for n in range(1000)))
        filler.executemany(
            """
            INSERT INTO personas (platform, channel, guild_id, persona, model)
            VALUES ('discord', ?, ?, 'You are a patient teacher.', 'large')
            """,
            ((str(channel.id), guild) for channel in channels),
        )
    os.sync()  # or the first commits would wait for the filling to reach the disk


def askers(discord: DiscordStandin) -> list[User]:
    return [user for user in discord.world.users.values() if user.name.startswith("asker")]


# Discord's process


@dataclass
class Times:
    """When each question left Discord, and when its answer was seen there."""

    left: dict[int, float]
    seen: dict[int, float]

    @classmethod
    def watching(cls, discord: DiscordStandin) -> Times:
        times = cls({}, {})

        def said(frame: Frame) -> None:
            if frame.to_bot and frame.name == "MESSAGE_CREATE" and (found := _NUMBER.findall(frame.data["content"])):
                times.left[int(found[-1])] = time.monotonic()

        discord.gateway.on_frame.append(said)
        return times


async def ask(discord: DiscordStandin, times: Times, channel: Channel, user: User, number: int) -> None:
    """Ask, and wait until the whole answer is there."""
    question = await discord.say(channel, user, f"{discord.bot.mention} why, and what about number {number}?")

    def answered() -> bool:
        return any(message.reply_to is question for message in discord.bot_messages(channel)[-2:])

    await discord.wait_for(answered, timeout=30)
    times.seen[number] = time.monotonic()
    await asyncio.sleep(EVERY)


async def measure(turns: int, folder: Path) -> None:
    async with DiscordStandin(openapi=None) as discord:
        discord.limits.messages = Limit(5, 0.01)
        role = discord.add_role("askers")
        channels = [discord.add_channel(f"harbour-{n}") for n in range(AT_ONCE)]
        for n in range(AT_ONCE):
            discord.member(discord.add_user(f"asker{n}")).roles.append(role)
        people = askers(discord)
        database = folder / "parley.db"
        await fill(database, turns, discord, channels)
        times = Times.watching(discord)
        numbers = iter(range(10**6))
        urls = (discord.url, discord.gateway_url, discord.cdn_url)
        job = {"database": str(database), "token": discord.token, "urls": urls, "role": role.id}
        async with bot(job) as (process, noted):
            await discord.ready()
            await asyncio.sleep(1)
            for _ in range(WARM_UP):
                await ask(discord, times, channels[0], people[0], next(numbers))
            cpu = Machine.of(process.pid).cpu
            alone = [next(numbers) for _ in range(TURNS)]
            for number in alone:
                await ask(discord, times, channels[number % AT_ONCE], people[number % AT_ONCE], number)
            cpu = (Machine.of(process.pid).cpu - cpu) / TURNS
            together = [[next(numbers) for _ in range(AT_ONCE)] for _ in range(TURNS // AT_ONCE)]
            for round_ in together:
                places = zip(channels, people, round_, strict=True)
                await asyncio.gather(*(ask(discord, times, *place) for place in places))
                await asyncio.sleep(AT_ONCE * EVERY)
    print(f"{turns:,} turns stored, milliseconds{'p50':>18}{'p95':>8}{'worst':>8}")
    report("one after the other", alone, times, noted)
    print(f"  {'CPU of the bot':<40}{cpu * 1000:>8.1f}")
    report(f"{AT_ONCE} at once", [number for round_ in together for number in round_], times, noted)


@asynccontextmanager
async def bot(job: Mapping[str, object]) -> AsyncIterator[tuple[asyncio.subprocess.Process, Noted]]:
    """The bot, in its own process; what it noted is there at the end."""
    noted: Noted = {}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", RUN, json.dumps(job)), stdout=asyncio.subprocess.PIPE
    )
    try:
        yield process, noted
    finally:
        if process.returncode is None:
            process.terminate()
        printed, _ = await process.communicate()
        noted.update((int(number), marks) for number, marks in json.loads(printed or "{}").items())


def report(title: str, numbers: Sequence[int], times: Times, noted: Noted) -> None:
    def spans() -> Iterator[tuple[float, float, float]]:
        for number in numbers:
            marks = noted[number]
            yield (
                marks["asked"] - times.left[number],
                marks["closed"] - marks["ended"],
                times.seen[number] - marks["ended"],
            )

    before, after, seen = zip(*spans(), strict=True)
    print(title)
    for what, values in {
        "message to model asked": before,
        "model's end to committed": after,
        "overhead": [sum(both) for both in zip(before, after, strict=True)],
        "model's end to answer seen": seen,
    }.items():
        p50, p95 = (statistics.quantiles(values, n=100)[percent - 1] for percent in (50, 95))
        print(f"  {what:<40}{p50 * 1000:>8.1f}{p95 * 1000:>8.1f}{max(values) * 1000:>8.1f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=100_000)
    parser.add_argument("--folder", help="where the database is made; else where the system keeps such things")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        asyncio.run(measure(options.turns, Path(folder)))

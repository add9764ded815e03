"""What a turn costs beside the model, with every check on, in a database of many turns, on each engine.

    python -m benchmarks.overhead [--turns 100000] [--engines sqlite postgresql]

A bot runs on each engine, in a process of its own with a model that answers at once, and the stand-ins for Discord add
no round trip. PostgreSQL is a server of the benchmark's own on loopback, as it is installed. The overhead is the time
from a message's leaving Discord until the model is asked, and that from the model's end until the turn's is committed.
Rounds of the engines alternate, and figures are medians of those of the rounds. One after the other, 95 % of the turns
are to stay under 10 ms on each engine: the exit code is 1 where they do not. In the end, commands that read or delete
much of what is stored are timed.
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
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.harness import Usage as Machine
from benchmarks.harness import progress
from bot.core.access import AccessSettings
from bot.core.figures import Figures
from bot.core.generation_settings import GenerationSettings
from bot.core.model_events import End, Event, Message, Origin, Text
from bot.core.quotas import QuotaExceeded, Quotas, Usage
from bot.core.service import ConversationService
from bot.core.shards import WantedShards
from bot.core.summarizing import ASKED_FOR
from bot.core.turns import Attempt, Outcome, Prompt
from bot.core.usage import ANY_REQUEST, DAY, LeastRequest
from bot.discord_bot.endpoint import connect_to
from bot.discord_bot.options import Options
from bot.discord_bot.runner import run
from bot.llm.demo import DemoModel
from bot.standin.entities import Channel, User
from bot.standin.limits import Limit
from bot.standin.server import DiscordStandin
from bot.standin.sessions import Frame
from bot.store.databases import Database, DatabaseServer, serving
from bot.store.moving import Progress, move
from bot.store.sqlite import open_store
from bot.store.turns import TurnStore
from bot.texts.memory import TOLD_TO_MODEL
from tests.postgresql import MISSING, Server, installed, running
from tests.waiting import FOR_A_PROCESS

ROUNDS = 10
ALONE, AT_ONCE, WAVES = 40, 8, 5
"""The turns of a round: so many one after the other, and then as many waves of others at once."""
WARM_UP = 20
EVERY = 0.03
"""Seconds from the end of a turn to the next prompt: the bot keeps to Discord's calls a second."""
CONVERSATIONS, PEOPLE = 1000, 2000
"""Of those that are stored; the first `AT_ONCE` of them ask, where they asked before."""
ANSWER = "A sentence of an answer, of the usual length. " * 8
PLENTY = 10**12
MOST_MS = 10.0
SQLITE, POSTGRESQL = "SQLite", "PostgreSQL"
RUN = "from benchmarks.overhead import serve; serve()"
Noted = dict[int, dict[str, float]]
"""Of each question by its number: when the model was asked, when it ended, and when that was committed."""
_NUMBER = re.compile(r"number (\d+)")


# The bot's process


class ClockedTurns(TurnStore):
    """Notes when the end of each question's turn is committed."""

    async def begin(
        self, prompt: Prompt, hourly_limit: int | None = None, least: LeastRequest = ANY_REQUEST
    ) -> Attempt | QuotaExceeded | None:
        attempt = await super().begin(prompt, hourly_limit, least)
        if isinstance(attempt, Attempt):
            _questions[attempt.turn_id] = _number(prompt.text)
        return attempt

    async def close(self, attempt: Attempt, outcome: Outcome, *, free: bool = False, titles: bool = False) -> bool:
        done = await super().close(attempt, outcome, free=free, titles=titles)
        _note(_questions[attempt.turn_id], "closed")
        return done


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
    database: Database = DatabaseServer(job["server"]) if job["server"] else Path(job["file"])

    async def until_told() -> None:
        stop = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
        async with serving(database, WantedShards(), Figures()) as terms:
            term = await terms.next()
            store = term.store
            store.turns = ClockedTurns(store.engine, time.time, store.quotas)
            generation = GenerationSettings(
                models=("small", "large"),
                system_prompt="Be brief.",
                about_memory=TOLD_TO_MODEL,
                context_tokens=8000,
                quotas=Quotas(100_000, PLENTY, PLENTY, PLENTY),
                summaries=True,
            )
            access = AccessSettings(allowed_roles=frozenset({job["role"]}), blocked_users=frozenset({1}))
            options = Options(grace=1.0, access=access)
            async with ConversationService(store, AtOnce(), generation) as conversations:
                await run(job["token"], store, conversations, options, stop=stop, gate=term.gate, limits=term.limits)

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


@dataclass
class Bot:
    """A bot on one engine, with a Discord of its own, and what was measured of it."""

    engine: str
    discord: DiscordStandin
    channels: Sequence[Channel]
    times: Times
    server: Server | None
    process: asyncio.subprocess.Process
    noted: Noted
    """It is there once the bot has ended."""
    started_in: float
    """Seconds from its start until it was ready."""
    alone: list[Sequence[int]] = field(default_factory=list)
    """The numbers of each round's questions that were asked one after the other."""
    together: list[Sequence[int]] = field(default_factory=list)
    cpu: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    """Seconds of each round, by whose they are."""
    answered: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    """Seconds until the answer to a command, by its name."""
    memory: float = 0.0
    """MB of its process at the peak, before the commands."""
    asked: int = 0

    async def warm_up(self) -> None:
        for number in self._numbers(WARM_UP):
            await self._ask(number, 0)

    async def round(self) -> None:
        alone = self._numbers(ALONE)
        with self._cpu(ALONE):
            for number in alone:
                await self._ask(number, number % AT_ONCE)
        together = self._numbers(AT_ONCE * WAVES)
        for first in range(0, len(together), AT_ONCE):
            wave = together[first : first + AT_ONCE]
            await asyncio.gather(*(self._ask(number, place) for place, number in enumerate(wave)))
            await asyncio.sleep(AT_ONCE * EVERY)
        self.alone.append(alone)
        self.together.append(together)

    async def use_commands(self) -> None:
        """Have a moderator see what was used, and forget the conversation of each channel."""
        self.memory = Machine.of(self.process.pid).peak
        discord = self.discord
        for channel in self.channels:
            with self._timed("/usage"):
                await (await discord.slash(discord.max, channel, "usage")).answered()
            with self._timed("/reset"):
                asked = await (await discord.slash(discord.max, channel, "reset")).answered()
            with self._timed("/reset, confirmed"):
                await (await discord.press(discord.max, asked, "reset:all")).acknowledged()

    @contextmanager
    def _timed(self, command: str) -> Iterator[None]:
        began = time.monotonic()
        yield
        self.answered[command].append(time.monotonic() - began)

    def _numbers(self, count: int) -> Sequence[int]:
        first, self.asked = self.asked, self.asked + count
        return range(first, self.asked)

    async def _ask(self, number: int, place: int) -> None:
        await ask(self.discord, self.times, self.channels[place], askers(self.discord)[place], number)

    @contextmanager
    def _cpu(self, turns: int) -> Iterator[None]:
        of = {"CPU of the bot": [self.process.pid]}
        if self.server is not None:
            of["CPU of the server"] = self.server.process_ids
        before = {who: sum(Machine.of(pid).cpu for pid in pids) for who, pids in of.items()}
        yield
        for who, pids in of.items():
            self.cpu[who].append((sum(Machine.of(pid).cpu for pid in pids) - before[who]) / turns)


async def measure(turns: int, engines: Sequence[str], binaries: Path | None, folder: Path) -> bool:
    """Print the figures. Returns whether the turns are as quick as they are to be on each engine."""
    async with AsyncExitStack() as stack:
        bots = []
        for engine in engines:
            server = None
            if engine == POSTGRESQL and binaries is not None:
                server = stack.enter_context(running(binaries, loopback=True))
            bots.append(await stack.enter_async_context(bot(engine, server, turns, folder)))
        for each in bots:
            await each.warm_up()
        for number in range(1, ROUNDS + 1):
            for each in bots:
                progress(f"round {number} of {ROUNDS}: {each.engine}")
                await each.round()
        for each in bots:
            await each.use_commands()
        progress("")
    print(f"{turns:,} turns stored, milliseconds{'p50':>18}{'p95':>8}{'worst':>8}")
    quick = [report(each) for each in bots]
    return all(quick)


@asynccontextmanager
async def bot(engine: str, server: Server | None, turns: int, folder: Path) -> AsyncIterator[Bot]:
    """A bot that runs on so many turns, on a server or else on a file."""
    file = folder / f"{engine}.db"
    async with AsyncExitStack() as stack:
        discord = await stack.enter_async_context(DiscordStandin(openapi=None))
        discord.limits.messages = Limit(5, 0.01)
        discord.patience = FOR_A_PROCESS
        role = discord.add_role("askers")
        channels = [discord.add_channel(f"harbour-{n}") for n in range(AT_ONCE)]
        for user in (discord.max, *(discord.add_user(f"asker{n}") for n in range(AT_ONCE))):
            discord.member(user).roles.append(role)
        progress(f"{engine}: storing {turns:,} turns")
        await fill(file, turns, discord, channels)
        url = None
        if server is not None:
            url = stack.enter_context(server.new_database())
            await move(file, url, moving)
        times = Times.watching(discord)
        urls = (discord.url, discord.gateway_url, discord.cdn_url)
        job = {"file": str(file), "server": url, "token": discord.token, "urls": urls, "role": role.id}
        began = time.monotonic()
        process, noted = await stack.enter_async_context(process_of(job))
        await discord.ready()
        started_in = time.monotonic() - began
        await asyncio.sleep(1)
        yield Bot(engine, discord, channels, times, server, process, noted, started_in)


def moving(at: Progress) -> None:
    progress(f"{POSTGRESQL}: {at.step.lower()} {at.done:,} of {at.of:,} rows")


@asynccontextmanager
async def process_of(job: Mapping[str, object]) -> AsyncIterator[tuple[asyncio.subprocess.Process, Noted]]:
    """The bot's own process; what it noted is there at the end."""
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


def report(bot: Bot) -> bool:
    """Print the figures of a bot. Returns whether its turns are as quick as they are to be."""
    p95_ms = table(f"{bot.engine}, one after the other", bot, bot.alone)
    for who, seconds in bot.cpu.items():
        print(f"  {who:<40}{statistics.median(seconds) * 1000:>8.1f}")
    table(f"{bot.engine}, {AT_ONCE} at once", bot, bot.together)
    print(f"{bot.engine}, else")
    for command, seconds in bot.answered.items():
        print(f"  {command:<40}{statistics.median(seconds) * 1000:>8.1f}{max(seconds) * 1000:>16.1f}")
    print(f"  {'start to READY':<40}{bot.started_in * 1000:>8.1f}")
    print(f"  {'memory of the bot at its peak, MB':<40}{bot.memory:>8.1f}")
    quick = p95_ms < MOST_MS
    print(f"{bot.engine}: {'' if quick else 'NOT '}95 % of the turns under {MOST_MS:g} ms, one after the other")
    return quick


def table(title: str, bot: Bot, rounds: Iterable[Sequence[int]]) -> float:
    """Print how long the turns of the rounds took. Returns the overhead that 95 % of them stay under, in ms."""
    print(title)
    of_turns = ([spans(bot, number) for number in round_] for round_ in rounds)
    before, after, seen = zip(*(zip(*each, strict=True) for each in of_turns), strict=True)
    p95: dict[str, float] = {}
    for what, of_rounds in {
        "message to model asked": before,
        "model's end to committed": after,
        "overhead": [[sum(both) for both in zip(*parts, strict=True)] for parts in zip(before, after, strict=True)],
        "model's end to answer seen": seen,
    }.items():
        percentiles = [statistics.quantiles(values, n=100) for values in of_rounds]
        p50, p95[what] = (statistics.median(of[percent - 1] for of in percentiles) * 1000 for percent in (50, 95))
        print(f"  {what:<40}{p50:>8.1f}{p95[what]:>8.1f}{max(map(max, of_rounds)) * 1000:>8.1f}")
    return p95["overhead"]


def spans(bot: Bot, number: int) -> tuple[float, float, float]:
    """Seconds from a message to the model, from its end to the commit, and from there until the answer was seen."""
    marks, times = bot.noted[number], bot.times
    return marks["asked"] - times.left[number], marks["closed"] - marks["ended"], times.seen[number] - marks["ended"]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=100_000)
    parser.add_argument("--engines", nargs="+", choices=(SQLITE.lower(), POSTGRESQL.lower()), help="else both")
    parser.add_argument("--folder", help="where the files are made; else where the system keeps such things")
    options = parser.parse_args()
    engines = [each for each in (SQLITE, POSTGRESQL) if not options.engines or each.lower() in options.engines]
    binaries = installed()
    if POSTGRESQL in engines and binaries is None:
        print(f"{MISSING}. Only SQLite is measured.")
        engines = [SQLITE]
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        sys.exit(0 if asyncio.run(measure(options.turns, engines, binaries, Path(folder))) else 1)

"""How long others wait for the first word while somebody attacks the bot.

    python -m benchmarks.hostile [--attack NAME] [--measurements N] [--gigabytes N] [folder]

The bot runs in a process of its own with a model whose first word takes 200 ms. Somebody whom it knows asks again and
again, in quiet and under each attack by turns; each time is from the message's leaving Discord to the first word that
is seen there. At the 95th percentile an attack may cost 200 ms. The exit code is 1 if one costs more.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import itertools
import json
import os
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.forgetting import fill, make
from benchmarks.harness import bot
from bot.standin.entities import Channel, Message, User
from bot.standin.model import ModelStandin
from bot.standin.script import REFUSALS, Raw, Reply
from bot.standin.server import DiscordStandin
from bot.standin.sessions import Frame

BOUND = 0.2
"""Seconds that an attack may cost at the 95th percentile."""
FIRST_WORD = 0.2
BLOCK = 10
"""Measurements in a row before it is the other's turn."""
PLACES = 8
"""Channels that the victim asks in by turns, so that Discord's limits on a channel do not count."""
PAUSE = 0.1
GIVEN_UP = 30.0
ANSWER = "Because it is so. " * 8
PEOPLE = 50
FULL_OF_RULES = 500

Attack = Callable[["Scene"], Coroutine[Any, Any, None]]
"""Goes on until it is cancelled."""


# The bodies of the hostile model server


def _event(text: str) -> bytes:
    return b"data: " + json.dumps({"id": "1", "choices": [{"index": 0, "delta": {"content": text}}]}).encode() + b"\n\n"


ENDLESS_LINE = Raw([b"data: " + b"x" * 65536] + [b"x" * 65536] * 800)
GZIP_BOMB = Raw([gzip.compress(b"data: " + b" " * 200_000_000)], headers={"Content-Encoding": "gzip"})
DEEP_NESTING = Raw([b"data: " + b'{"a":' * 200_000 + b"1" + b"}" * 200_000 + b"\n\n"] * 5)
MARKDOWN = [
    "- - -\n" * 2600,
    ">" * 4000 + "\n" + "> " * 2000,
    "*_~|`[(" * 2000,
    "|" * 3000 + "\n" + "|-" * 1500 + "|\n" + "|a" * 3000,
    "```\n" * 3000,
    "[" * 4000 + "](" * 2000,
    "$" + "\\frac{" * 1500,
]


# The scene


@dataclass
class Scene:
    """Discord, with people who attack and one who only asks."""

    discord: DiscordStandin
    hostile_model: ModelStandin
    victim: User
    places: Sequence[Channel]
    attackers: Sequence[User]
    arena: Sequence[Channel]
    """Channels that attackers write in."""
    odd: Channel
    """The channel whose model is on the hostile server."""
    long: Channel
    """The channel with every tenth turn."""
    acts: int = 0
    """What the attackers have done so far."""

    def mention(self, text: str) -> str:
        return f"{self.discord.bot.mention} {text}"

    async def every(self, seconds: float, do: Callable[[int], Awaitable[object]]) -> None:
        """Do something again and again, whether or not Discord's client would refuse it."""
        for number in itertools.count():
            with suppress(LookupError, PermissionError):
                await do(number)
                self.acts += 1
            await asyncio.sleep(seconds)


async def strangers(scene: Scene) -> None:
    """Direct messages of people whom the bot does not know, each of whom it has to look up."""
    discord = scene.discord

    async def write(_: int) -> None:
        somebody = discord.world.add_user(f"stranger{scene.acts}", "Stranger")
        await discord.say(discord.open_dm(somebody), somebody, "hello?")

    await scene.every(0.05, write)


async def flood(scene: Scene) -> None:
    """Questions of many people in one channel."""
    await scene.every(0.05, lambda n: _ask(scene, scene.arena[0], n))


async def floods(scene: Scene) -> None:
    """Questions of many people over many channels."""
    await scene.every(0.05, lambda n: _ask(scene, scene.arena[n % len(scene.arena)], n))


async def _ask(scene: Scene, channel: Channel, number: int) -> None:
    await scene.discord.say(channel, scene.attackers[number % PEOPLE], scene.mention(f"why {number}?"))


async def rules(scene: Scene) -> None:
    """Rules for channels and blocks of people, made and listed in a server that is full of them."""
    discord = scene.discord

    async def rule(number: int) -> None:
        if number % 3 == 0:
            opened = await discord.slash(discord.max, scene.arena[number % 30], "server")
            page = await opened.answered(GIVEN_UP)
            here = next(each["custom_id"] for each in page.buttons if each["custom_id"].endswith(":here"))
            await (await discord.press(discord.max, page, here)).acknowledged(GIVEN_UP)
            allow = next(each["custom_id"] for each in page.buttons if ":allow:" in each["custom_id"])
            await discord.press(discord.max, page, allow)
        elif number % 3 == 1:
            await discord.slash(discord.max, scene.arena[0], "block", member=scene.attackers[number % PEOPLE])
        else:
            await discord.slash(discord.max, scene.arena[0], "server")

    await scene.every(0.05, rule)


async def resets(scene: Scene) -> None:
    """Conversations that are forgotten, and questions that are deleted."""
    discord = scene.discord

    async def reset(number: int) -> None:
        channel = scene.arena[number % len(scene.arena)]
        said = await discord.say(channel, scene.attackers[number % PEOPLE], scene.mention("why?"))
        await discord.slash(scene.attackers[number % PEOPLE], channel, "reset")
        await discord.delete(said)

    await scene.every(0.2, reset)


async def exports(scene: Scene) -> None:
    """Exports of people with many questions."""
    await scene.every(0.1, lambda n: scene.discord.slash(scene.attackers[n % 5], scene.arena[0], "export"))


async def searches(scene: Scene) -> None:
    """Searches of many people for what nobody said, in a long conversation."""
    discord = scene.discord
    await scene.every(
        0.1, lambda n: discord.slash(scene.attackers[n % PEOPLE], scene.long, "memory", search="nobody said")
    )


async def presses(scene: Scene) -> None:
    """Presses on the buttons under replies, by people whose replies these are not."""
    discord = scene.discord
    # A reply that failed has a button.
    scene.hostile_model.default = REFUSALS["rate limit"]
    await discord.say(scene.odd, scene.attackers[0], scene.mention("why?"))

    def with_buttons() -> list[Message]:
        return [message for message in discord.bot_messages(scene.odd) if message.buttons]

    await discord.wait_for(with_buttons, timeout=GIVEN_UP)

    async def press(number: int) -> None:
        found = with_buttons()
        if found:
            button = str(found[-1].buttons[0]["custom_id"])
            await discord.press(scene.attackers[number % PEOPLE], found[-1], button)

    await scene.every(0.03, press)


def body(step: Raw) -> Attack:
    """Questions that a model server answers with such a body."""

    async def attack(scene: Scene) -> None:
        scene.hostile_model.default = step
        await scene.every(0.5, lambda n: _ask(scene, scene.odd, n))

    return attack


async def markdown(scene: Scene) -> None:
    """Replies that are costly to render."""
    texts = itertools.cycle(MARKDOWN)
    scene.hostile_model.default = Reply(lambda _: next(texts))
    await scene.every(0.5, lambda n: _ask(scene, scene.odd, n))


ATTACKS: dict[str, Attack] = {
    "strangers": strangers,
    "flood": flood,
    "floods": floods,
    "rules": rules,
    "resets": resets,
    "exports": exports,
    "searches": searches,
    "presses": presses,
    "endless-line": body(ENDLESS_LINE),
    "gzip-bomb": body(GZIP_BOMB),
    "deep-nesting": body(DEEP_NESTING),
    "markdown": markdown,
}


# Measuring


class Stopwatch:
    """Times the victim's questions."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._left: dict[int, float] = {}
        self._places = itertools.cycle(scene.places)
        scene.discord.gateway.on_frame.append(self._heard)

    def _heard(self, frame: Frame) -> None:
        if frame.to_bot and frame.name == "MESSAGE_CREATE" and int(frame.data["author"]["id"]) == self._scene.victim.id:
            self._left[int(frame.data["id"])] = time.monotonic()

    async def measure(self) -> float:
        """Seconds from a question's leaving Discord to the first word of its answer."""
        discord, channel = self._scene.discord, next(self._places)
        said = await discord.say(channel, self._scene.victim, self._scene.mention("why?"))

        def answers() -> list[Message]:
            return [message for message in discord.bot_messages(channel)[-3:] if message.reply_to is said]

        try:
            await discord.wait_for(answers, timeout=GIVEN_UP)
        except (AssertionError, TimeoutError):
            return GIVEN_UP
        await asyncio.sleep(PAUSE)
        return answers()[0].shown[0].at - self._left[said.id]


async def measure(scene: Scene, watch: Stopwatch, attack: Attack, count: int) -> tuple[list[float], list[float]]:
    """The times in quiet and under an attack, taken by turns."""
    quiet: list[float] = []
    attacked: list[float] = []
    while len(attacked) < count:
        await settle(scene)
        quiet += [await watch.measure() for _ in range(BLOCK)]
        attacking = asyncio.create_task(attack(scene))
        await asyncio.sleep(0.5)
        attacked += [await watch.measure() for _ in range(BLOCK)]
        if attacking.done():
            attacking.result()
        attacking.cancel()
        await asyncio.gather(attacking, return_exceptions=True)
    return quiet, attacked


async def settle(scene: Scene) -> None:
    """Wait until the bot has asked nothing of Discord for a second, but not for ever."""
    requests, ends = scene.discord.requests, time.monotonic() + 2 * GIVEN_UP
    seen = -1
    while seen != requests[-1].number and time.monotonic() < ends:
        seen = requests[-1].number
        await asyncio.sleep(1)


def p95(values: Sequence[float]) -> float:
    return statistics.quantiles(values, n=20, method="inclusive")[-1]


@asynccontextmanager
async def scenery(folder: Path, gigabytes: float) -> AsyncIterator[Scene]:
    async with (
        DiscordStandin(openapi=None, keep_requests=1000) as discord,
        ModelStandin(default=Reply(ANSWER, first_token_after=FIRST_WORD), keep_requests=10) as model,
        ModelStandin(models=("odd",), keep_requests=10) as hostile_model,
    ):
        scene = Scene(
            discord,
            hostile_model,
            discord.bo,
            [discord.add_channel(f"place-{n}") for n in range(PLACES)],
            [discord.add_user(f"attacker{n}") for n in range(PEOPLE)],
            [discord.add_channel(f"arena-{n}") for n in range(40)],
            discord.add_channel("odd"),
            discord.add_channel("long"),
        )
        database = folder / "parley.db"
        await make(database)
        fill(database, gigabytes * 1e9)
        furnish(database, scene)
        settings = {
            "DATABASE_PATH": str(database),
            "OPENAI_MODEL": "demo",
            "MODEL_SERVERS": f"hostile={hostile_model.base_url}",
            "MODELS": "hostile:odd",
            "FIRST_DELTA_TIMEOUT": "10",
        }
        async with bot(discord, model, **settings):
            await discord.ready()
            await asyncio.sleep(2)
            yield scene


def furnish(database: Path, scene: Scene) -> None:
    """Give the attackers much to export, the server many rules, and the odd channel its model."""
    guild = scene.discord.guild.id
    with closing(sqlite3.connect(database)) as filler, filler:
        filler.execute("UPDATE conversations SET guild_id = ?", (guild,))
        filler.execute("UPDATE conversations SET channel = ? WHERE id = 1", (str(scene.long.id),))
        filler.execute("UPDATE stored_turns SET state = 'complete', delivered = 1 WHERE delivered = 0")
        for n in range(5):
            filler.execute("UPDATE stored_turns SET user_id = ? WHERE id % 20 = ?", (scene.attackers[n].id, n))
        filler.executemany(
            "INSERT INTO channel_rules (channel_id, guild_id, allowed) VALUES (?, ?, 1)",
            ((channel.id, guild) for channel in (*scene.places, *scene.arena, scene.odd)),
        )
        filler.executemany(
            "INSERT INTO channel_rules (channel_id, guild_id, allowed) VALUES (?, ?, 0)",
            ((n, guild) for n in range(1, FULL_OF_RULES - PLACES - 41)),
        )
        filler.executemany("INSERT INTO blocks (guild_id, user_id) VALUES (?, ?)", ((guild, n) for n in range(1, 1001)))
        filler.execute(
            "INSERT INTO personas (platform, channel, guild_id, model) VALUES ('discord', ?, ?, 'hostile:odd')",
            (str(scene.odd.id), guild),
        )
    os.sync()


async def main(names: Sequence[str], count: int, gigabytes: float, folder: Path) -> bool:
    """Print a line for each attack. False: one costs too much."""
    kept = True
    print(f"first word, ms{'':8}{'quiet p50':>11}{'p95':>7}{'attack p50':>12}{'p95':>7}{'costs':>7}{'acts':>7}")
    for name in names:
        with tempfile.TemporaryDirectory(dir=folder) as place:
            async with scenery(Path(place), gigabytes) as scene:
                watch = Stopwatch(scene)
                for _ in range(PLACES):
                    await watch.measure()
                quiet, attacked = await measure(scene, watch, ATTACKS[name], count)
        cost = p95(attacked) - p95(quiet)
        kept = kept and cost <= BOUND
        figures = (statistics.median(quiet), p95(quiet), statistics.median(attacked), p95(attacked), cost)
        columns = "".join(
            f"{value * 1000:>{width}.0f}" for value, width in zip(figures, (11, 7, 12, 7, 7), strict=True)
        )
        print(f"{name:22}{columns}{scene.acts:>7}  {'kept' if cost <= BOUND else 'BROKEN'}", flush=True)
    return kept


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--attack", choices=list(ATTACKS), help="this one only")
    parser.add_argument("--measurements", type=int, default=100, help="of each kind (default: 100)")
    parser.add_argument("--gigabytes", type=float, default=0.02, help="size of the database (default: 0.02)")
    parser.add_argument("folder", nargs="?", type=Path, help="where the databases are made, and removed in the end")
    given = parser.parse_args()
    attacks = [given.attack] if given.attack else list(ATTACKS)
    sys.exit(0 if asyncio.run(main(attacks, given.measurements, given.gigabytes, given.folder)) else 1)

"""Ten minutes of a hard life: people, kills, faults of Discord and of the model, and then an audit.

    python -m benchmarks.soak --minutes 10 --seed 1
    python -m benchmarks.soak --minutes 10 --seed 1 --processes 3

The first is one process on a file; the second is three on one PostgreSQL with a standby, in as many servers, as
`benchmarks.soak_fleet` says. Everything is drawn from the seed. At the end every prompt must have exactly one outcome
that a person can see, and one row in the database that says the same. Notes and searches are audited as
`benchmarks.soak_memory` says, summaries as `benchmarks.soak_summaries` does, recent messages as `benchmarks.soak_talk`
does, and what is asked only for oneself as `benchmarks.soak_ask` does. If anything is wrong, or a run had none of what
it is to try, the exit code is 1.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from benchmarks import soak_audit, soak_summaries
from benchmarks.soak_ask import Askers
from benchmarks.soak_ledger import Asked, Ledger, heads_of, is_answered
from benchmarks.soak_lives import Lives, OneProcess, Scene
from benchmarks.soak_memory import MemoryUsers
from benchmarks.soak_menus import MenuUsers
from benchmarks.soak_talk import Talkers
from benchmarks.soak_town import Town
from benchmarks.soak_troubles import KINDS, make_trouble
from bot.standin.entities import Attachment, Channel, Intent, Permission, User
from bot.standin.model import ModelStandin
from bot.standin.parts import pictures_of, text_of
from bot.standin.script import Reply, Step
from bot.standin.server import DiscordStandin
from tests.pictures import png

FILE_TEXT = "a line of a list\n" * 20
DEEDS_A_SECOND = 2.0
TELL_EVERY = 30.0
FAULTS_STRIKE_WITHIN = 60.0
"""Seconds that all goes on for after the last fault was armed, or a quarter of a short run."""
QUIET_WITHIN = 240.0
"""Seconds that the last life gets to end everything in, without faults."""
NEEDED = (
    *("summaries", "notes", "searches", "requests with files", "requests with pictures"),
    *("questions about a message", "uses of Retry answer"),
    *("questions without a mention", "requests with recent messages"),
    *("questions in threads", "titles of a model"),
    *("questions with /ask", "questions only for oneself", "files with /ask", "settings chosen"),
    *KINDS,
)
"""What a run that had none of it does not try, as the ledger names it."""


class Soak:
    """One run over one pair of stand-ins and one database."""

    def __init__(
        self,
        seed: int,
        discord: DiscordStandin,
        model: ModelStandin,
        folder: Path,
        lives: Callable[[Scene], Lives],
    ) -> None:
        self.random = random.Random(seed)
        self.discord = discord
        self.model = model
        self.ledger = Ledger()
        self.lives = lives(Scene(self.random, discord, model, folder, self.ledger, self._excuse_the_killed))
        self.town = Town(self.random, discord, model, self.ledger, self.lives.serves)
        self.pier = discord.add_channel("pier")
        """Where new questions are answered in threads."""
        self.removed: list[Asked] = []
        """What a reset took out of the queue, and is still to be told of."""
        self.memory = MemoryUsers(self.town)
        self.talk = Talkers(self.town)
        self.menus = MenuUsers(self.town)
        self.askers = Askers(self.town)

    def settle_in(self, name: str) -> None:
        """Have the same people in one more server, and ask there too."""
        discord = self.discord
        guild = discord.add_guild(name)
        moderators = discord.add_role("Moderators", Permission.MANAGE_GUILD | Permission.MANAGE_MESSAGES, guild=guild)
        discord.world.add_member(guild, discord.max, roles=[moderators])
        for person in (discord.bo, discord.cleo):
            discord.world.add_member(guild, person)
        self.town.places += [discord.add_channel(f"{name.lower()}-{number}", guild) for number in range(2)]

    async def run(self, minutes: float) -> None:
        """Live, be killed and start again for that long, then come to rest and be audited."""
        discord, town = self.discord, self.town
        town.places.append(await discord.open_thread(discord.general, "aside", discord.bo))
        for person in (discord.cleo, discord.bo):
            channel = discord.open_dm(person)
            town.places.append(channel)
            town.direct[channel.id] = person
        async with self.lives.first():
            # Only then it knows the direct messages that it has to look through after a restart.
            for channel, person in ((c, town.direct[c.id]) for c in town.places if c.id in town.direct):
                await self._ask(channel, person, Reply("glad to meet you"))
            await self.talk.settle(self.pier)
            await self._until(lambda: all(is_answered(discord, asked) for asked in self.ledger.asked), 30)
            if not any(is_answered(discord, asked) for asked in self.ledger.asked):
                raise SystemExit(f"The bot does not answer at all:\n{self.lives.log()}")
        ends = time.monotonic() + minutes * 60
        people = asyncio.create_task(self._people())
        troubles = asyncio.create_task(make_trouble(self.random, discord, self.ledger.did))
        telling = asyncio.create_task(self._tell())
        # What is armed has to strike before the end.
        asyncio.get_running_loop().call_later(minutes * 60 - min(FAULTS_STRIKE_WITHIN, minutes * 15), troubles.cancel)
        await self.lives.go_on(ends)
        people.cancel()
        await asyncio.gather(people, troubles, return_exceptions=True)
        await town.rest()
        self.ledger.wrong += [f"a fault never struck: {each.action}" for each in discord.faults.never_struck]
        discord.faults.clear()
        self.model.script.clear()
        self.model.default = Reply("all is quiet", tokens_per_second=100)
        async with self.lives.last():
            await self._until(self._quiet, QUIET_WITHIN)
            await self.askers.see_ends(self.lives.rows)
            await self._until(self._quiet, QUIET_WITHIN)
            await self.memory.audit(self.model, self.lives.rows)
            self.ledger.wrong += self.lives.audit()
        telling.cancel()
        self._audit()

    def _excuse_the_killed(self) -> None:
        """What a reset has removed nobody knows of after a kill, if there was no time to tell."""
        for asked in self.removed:
            if not is_answered(self.discord, asked):
                asked.excused = True
                self.ledger.did["killed before telling of a reset"] += 1
        self.removed.clear()

    async def _tell(self) -> None:
        """Print how it goes, twice a minute, until the task is cancelled."""
        began = time.monotonic()
        while True:
            await asyncio.sleep(TELL_EVERY)
            open_ones = sum(not asked.excused and not is_answered(self.discord, asked) for asked in self.ledger.asked)
            print(
                f"{time.monotonic() - began:4.0f} s: {len(self.ledger.asked)} prompts, {open_ones} open,"
                f" {self.lives.progress()}, {len(self.ledger.wrong)} wrong",
                flush=True,
            )

    # What people do

    async def _people(self) -> None:
        """Have people begin something now and then, until the task is cancelled. What was begun goes on."""
        pick = self.random
        while True:
            await asyncio.sleep(pick.expovariate(DEEDS_A_SECOND))
            deed = pick.choices(
                [
                    *(self._speak, self._press, self._edit, self._delete, self._delete_reply, self._reset, self._stop),
                    *(self.memory.act, self.menus.act, self.talk.act, self._ask_for_thread),
                    self.askers.act,
                ],
                [60, 14, 5, 3, 2, 1, 3, 20, 12, 15, 15, 25],
            )[0]
            self.town.begin(deed())

    async def _speak(self) -> None:
        channel = self.random.choice(self.town.places)
        await self._ask(channel, self.town.somebody_in(channel))

    async def _ask_for_thread(self) -> None:
        discord = self.discord
        await self._ask(self.pier, self.random.choice([discord.ada, discord.bo, discord.cleo]))

    async def _ask(self, channel: Channel, person: User, step: Step | None = None) -> None:
        text = f"{self.discord.bot.mention} question {self.ledger.number(channel, person)}"
        self.town.note(await self.discord.say(channel, person, text, attachments=self._files()), step=step)
        self.ledger.did["prompts"] += 1

    def _files(self) -> list[Attachment]:
        """What is sent with a prompt: mostly nothing."""
        files = [Attachment("square.png", png(64, 64), "image/png"), Attachment("list.txt", FILE_TEXT.encode())]
        return self.random.choices([[], *([file] for file in files), files], [80, 8, 8, 4])[0]

    async def _press(self) -> None:
        places = self.town.places
        shown = [message for place in places for message in self.discord.bot_messages(place) if message.buttons]
        message = self.random.choice(shown)
        button = message.buttons[0]
        await self.discord.press(self.town.moderator_of(message.channel), message, button["custom_id"])
        self.ledger.did[f"pressed {button['label']}"] += 1

    async def _edit(self) -> None:
        asked = self.random.choice(self.ledger.asked[-20:])
        if not asked.message.deleted and asked.command is None:
            await self.discord.edit(asked.message, f"{asked.message.content}, edited")
            self.ledger.did["edited prompts"] += 1

    async def _delete(self) -> None:
        asked = self.random.choice(self.ledger.asked[-20:])
        if not asked.message.deleted and not asked.private:
            asked.forgotten = asked.excused = True
            await self.discord.delete(asked.message)
            self.ledger.did["deleted prompts"] += 1

    async def _delete_reply(self) -> None:
        asked = self.random.choice(self.ledger.asked[-20:])
        if heads := heads_of(self.discord, asked):
            asked.forgotten = asked.excused = True
            await self.discord.delete(heads[0])
            self.ledger.did["deleted replies"] += 1

    async def _reset(self) -> None:
        channel = self.random.choice(self.town.places)
        if not self.lives.serves(channel):
            return
        await self.discord.slash(self.town.moderator_of(channel), channel, "reset")
        for asked in self.ledger.asked:
            if asked.message.channel is channel and not asked.private:
                asked.forgotten = True
                if not is_answered(self.discord, asked):
                    self.removed.append(asked)
        self.ledger.did["/reset"] += 1

    async def _stop(self) -> None:
        channel = self.random.choice(self.town.places)
        await self.discord.slash(self.town.moderator_of(channel), channel, "stop")
        self.ledger.did["/stop"] += 1

    # The audit

    def _quiet(self) -> bool:
        """Everything has ended, and everybody has been told."""
        open_ones = self.lives.rows(
            """
            SELECT count(*) AS n FROM turns JOIN conversations ON conversations.id = conversation_id
            WHERE channel NOT LIKE '%:%' AND (delivered = 0 OR state IN ('pending', 'streaming'))
            """
        )
        return not open_ones[0]["n"] and all(
            asked.excused or is_answered(self.discord, asked) for asked in self.ledger.asked
        )

    async def _until(self, met: Callable[[], bool], seconds: float) -> None:
        ends = time.monotonic() + seconds
        while time.monotonic() < ends and not met():  # noqa: ASYNC110  the database tells nobody when it changes
            await asyncio.sleep(0.25)
        # What is still on its way, such as the last edits and reactions.
        await asyncio.sleep(3)

    def _audit(self) -> None:
        wrong = self.ledger.wrong
        wrong += soak_audit.audit(self.discord, self.ledger, self.lives.rows, self.lives.lost_track_of)
        wrong += self.askers.audit(self.model.requests, self.lives.rows)
        sent_contents = [[each["content"] for each in request.messages] for request in self.model.requests]
        did = self.ledger.did
        threads = [channel for channel in self.discord.world.channels.values() if channel.parent is self.pier]
        did["questions in threads"] = len(threads)
        did["titles of a model"] = sum(not thread.name.startswith("question ") for thread in threads)
        did["requests with files"] = sum(FILE_TEXT in text_of(each[-1]) for each in sent_contents)
        did["requests with pictures"] = sum(any(map(pictures_of, each)) for each in sent_contents)
        wrong += self.talk.audit(self.model.requests, self.lives.rows)
        wrong += soak_summaries.audit(self.model.requests, self.ledger.questions, self.lives.rows, did)
        wrong += [f"the stand-in: {each}" for each in [*self.discord.unknown_routes, *self.discord.crashes]]
        wrong += self.discord.violations
        wrong += [f"the run had no {each}: make it longer" for each in NEEDED if not did[each]]


@asynccontextmanager
async def _lives(processes: int) -> AsyncIterator[Callable[[Scene], Lives]]:
    """What the lives of so many processes are made with."""
    if processes == 1:
        yield OneProcess
        return
    from benchmarks.soak_fleet import Fleet, database_server

    with database_server() as server, server.new_database() as url:
        yield lambda scene: Fleet(scene, processes, server, url)


async def soak(minutes: float, seed: int, processes: int, keep: Path | None) -> int:
    """Run it, print the ledger, and return the exit code."""
    print(f"seed {seed}, {minutes:g} minutes", flush=True)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as temporary:
        folder = keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        async with (
            _lives(processes) as lives,
            DiscordStandin(
                seed=seed, rtt=(0.02, 0.15), keep_requests=1000, privileged=Intent.MESSAGE_CONTENT
            ) as discord,
            ModelStandin() as model,
        ):
            run = Soak(seed, discord, model, folder, lives)
            # One after the other is on the next shard.
            for number in range(1, processes):
                run.settle_in(f"Haven-{number}")
            await run.run(minutes)
            ledger = run.ledger
            states = Counter(
                f"{row['state']}{' (' + row['failure'] + ')' if row['failure'] else ''}"
                for row in run.lives.rows("SELECT state, failure FROM turns")
            )
            forgotten = sum(asked.forgotten for asked in ledger.asked)
            print(f"did:    {', '.join(f'{name} {count}' for name, count in sorted(ledger.did.items()))}")
            print(f"turns:  {', '.join(f'{name} {count}' for name, count in sorted(states.items()))}")
            print(
                f"ledger: {len(ledger.asked)} prompts, {sum(not asked.alive for asked in ledger.asked)} of them while "
                f"the bot was away, {forgotten} deleted or in a conversation that was reset; "
                f"{discord.too_many} answers of 429; {time.monotonic() - began:.0f} s"
            )
    for fault in ledger.wrong:
        print(f"WRONG   {fault}")
    print("exceptions: 0" if not ledger.wrong else f"exceptions: {len(ledger.wrong)}")
    return 1 if ledger.wrong else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=None, help="drawn and printed if not given")
    parser.add_argument("--keep", type=Path, help="leave the database and the bot's log in this folder")
    parser.add_argument("--processes", type=int, default=1, help="so many, and a standby, on one PostgreSQL")
    options = parser.parse_args()
    seed = random.SystemRandom().randrange(10_000) if options.seed is None else options.seed
    return asyncio.run(soak(options.minutes, seed, options.processes, options.keep))


if __name__ == "__main__":
    sys.exit(main())

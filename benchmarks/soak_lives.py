"""The lives of the bot in a soak: one process on a file, which is killed and starts again."""

from __future__ import annotations

import asyncio
import random
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from benchmarks.harness import bot
from benchmarks.soak_ledger import Ledger
from bot.standin.entities import Channel, Message
from bot.standin.model import ModelStandin
from bot.standin.server import DiscordStandin
from bot.store.engine import Row
from tests.waiting import FOR_A_PROCESS

AWAY = (0.0, 6.0)
"""Seconds from a process's end to its next start."""
LIFE = (4.0, 40.0)
SETTINGS = {
    "SILENCE_TIMEOUT": "3",
    "FIRST_DELTA_TIMEOUT": "6",
    "CATCH_UP_PER_CHANNEL": "100",
    "QUEUE_PER_USER": "1000",
    "QUEUE_PER_CONVERSATION": "1000",
    "QUEUE_TOTAL": "5000",
    "MESSAGE_CONTENT": "true",
    # So little that much leaves it, and is summarized.
    "CONTEXT_TOKENS": "1500",
    "REPLY_TOKENS": "1500",
    "LOG_LEVEL": "INFO",
}


class Lives(Protocol):
    """The bot, as one process or as several."""

    def serves(self, channel: Channel) -> bool:
        """Whether the bot is connected to where the channel is."""

    def first(self) -> AbstractAsyncContextManager[None]:
        """The bot runs, and nothing is done to it."""

    async def go_on(self, ends: float) -> None:
        """Do to the bot what may be done to it, until that time of the monotonic clock."""

    def last(self) -> AbstractAsyncContextManager[None]:
        """The bot runs and may come to rest."""

    def rows(self, sql: str) -> list[Row]:
        """What is on record."""

    def lost_track_of(self, message: Message) -> bool:
        """Whether nobody could note that a message was posted, so that the answer in it is given again."""

    def audit(self) -> list[str]:
        """What is wrong with how it lived, once all is quiet."""

    def log(self) -> str:
        """What the bot logged."""

    def progress(self) -> str:
        """What was done to it so far."""


@dataclass(frozen=True, slots=True)
class Scene:
    """What the bot lives between. `killed` is to be called whenever a process was kept from what it had begun."""

    pick: random.Random
    discord: DiscordStandin
    model: ModelStandin
    folder: Path
    """For the logs, and for the database if it is a file."""
    ledger: Ledger
    killed: Callable[[], None]


class OneProcess:
    """One process on a file of SQLite's."""

    def __init__(self, scene: Scene) -> None:
        self._alive = False
        self._scene = scene

    def serves(self, channel: Channel) -> bool:
        return self._alive

    @asynccontextmanager
    async def first(self) -> AsyncIterator[None]:
        async with self._life():
            yield

    async def go_on(self, ends: float) -> None:
        while time.monotonic() < ends:
            async with self._life() as process:
                with suppress(TimeoutError):
                    await asyncio.wait_for(process.wait(), self._scene.pick.uniform(*LIFE))
            await asyncio.sleep(self._scene.pick.uniform(*AWAY))

    @asynccontextmanager
    async def last(self) -> AsyncIterator[None]:
        async with self._life(gently=True):
            yield

    def rows(self, sql: str) -> list[Row]:
        with closing(sqlite3.connect(f"file:{self._scene.folder / 'parley.db'}?mode=ro", uri=True)) as database:
            database.row_factory = sqlite3.Row
            rows: list[Row] = database.execute(sql).fetchall()
            return rows

    def lost_track_of(self, message: Message) -> bool:
        return False

    def audit(self) -> list[str]:
        return []

    def log(self) -> str:
        return (self._scene.folder / "bot.log").read_text()

    def progress(self) -> str:
        return f"{self._scene.ledger.did['kill -9']} kills"

    @asynccontextmanager
    async def _life(self, *, gently: bool = False) -> AsyncIterator[asyncio.subprocess.Process]:
        """The bot as a process, from its start to a kill -9."""
        with (self._scene.folder / "bot.log").open("ab") as log:
            path = str(self._scene.folder / "parley.db")
            starts = self._scene.discord.gateway.starts
            too_early = starts.too_early
            async with bot(self._scene.discord, self._scene.model, log, DATABASE_PATH=path, **SETTINGS) as process:
                # Some are killed before they are even connected.
                patience = self._scene.pick.choice([0.3, 10, 10, 10]) if self._scene.ledger.asked else FOR_A_PROCESS
                connected = False
                with suppress(AssertionError):
                    await self._scene.discord.ready(patience)
                    connected = True
                self._alive = True
                yield process
                self._alive = False
                # Of the session that an earlier process has started just before, the new one cannot know.
                if starts.too_early > too_early + 1:
                    self._scene.ledger.wrong.append(f"{starts.too_early - too_early} sessions were asked for too early")
                if process.returncode == 1 and not connected:
                    self._scene.ledger.did["refused by Discord at the start"] += 1
                elif process.returncode is not None:
                    self._scene.ledger.wrong.append(f"the bot left by itself with {process.returncode}")
                elif not gently:
                    process.kill()
                    self._scene.ledger.did["kill -9"] += 1
                    self._scene.killed()

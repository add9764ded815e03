"""What the tests of the store do and look at."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import sys
import threading
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from bot.errors import StoreUnusable
from bot.store import SQLiteStore
from bot.turns import Attempt, EarlierTurn, Outcome, Prompt, State, Turn

ROOT = Path(__file__).parents[2]
HERE = "discord:1"


class Clock:
    """Seconds since the epoch, as a test sets them."""

    now = 1000.9

    def __call__(self) -> float:
        return self.now


posix_only = pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions and limits")


async def begin(store: SQLiteStore, position: int, text: str = "Why?", conversation: str = HERE) -> Attempt:
    attempt = await store.begin(Prompt(conversation, position, text))
    assert isinstance(attempt, Attempt)
    return attempt


async def answer(store: SQLiteStore, position: int, reply: str, conversation: str = HERE) -> Attempt:
    attempt = await begin(store, position, conversation=conversation)
    assert await store.close(attempt, Outcome(State.COMPLETE, reply))
    return attempt


def rows(path: Path, sql: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(sql).fetchall()


def files(path: Path) -> dict[str, bytes]:
    """Everything that lies beside a database, and itself."""
    return {file.name: file.read_bytes() for file in path.parent.iterdir()}


def write(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def said(turns: Sequence[Turn | EarlierTurn]) -> list[tuple[int, str]]:
    return [(turn.position, turn.reply) for turn in turns]


async def child(script: str, *arguments: object, **environ: object) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        script,
        *map(str, arguments),
        cwd=ROOT,
        env=os.environ | {name: str(value) for name, value in environ.items()},
        stdout=asyncio.subprocess.PIPE,
    )


async def refusal(path: Path) -> str:
    """What an opening says that fails; it leaves no thread behind, which would keep the process alive."""
    threads = set(threading.enumerate())
    with pytest.raises(StoreUnusable) as caught:
        async with SQLiteStore.open(path, exclusive=False):
            pass
    for thread in set(threading.enumerate()) - threads:
        thread.join(1)
        assert not thread.is_alive()
    sentence = str(caught.value)
    assert str(path) in sentence
    assert sentence.count(". ") == 0
    assert sentence.endswith(".")
    return sentence

"""A store in a new file."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.store import Store
from bot.store.sqlite.engine import SQLiteEngine
from tests.store.steps import Clock


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "chat.db"


@pytest.fixture
async def database(path: Path) -> AsyncIterator[SQLiteEngine]:
    async with SQLiteEngine.open(path, exclusive=True) as opened:
        yield opened


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(database: SQLiteEngine, clock: Clock) -> Store:
    return Store(database, clock)

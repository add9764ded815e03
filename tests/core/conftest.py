"""A store in a new file, and people who talk to a model that does as the test says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.store import Store
from bot.store.sqlite import open_store
from tests.talking import Model, Talk, conversations
from tests.waiting import PATIENCE


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with open_store(tmp_path / "chat.db", exclusive=True) as store:
        yield store


@pytest.fixture
async def talk(store: Store) -> AsyncIterator[Talk]:
    model = Model()
    async with conversations(store, model) as core:
        async with asyncio.timeout(PATIENCE):
            yield Talk(core, model, store)

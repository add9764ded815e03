"""A talk that is summarized, at any pace."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from bot.core import summarizing
from bot.store import Store
from tests.core.summaries.summarized import Summarized, Summarizer, service


@pytest.fixture(autouse=True)
def at_any_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(summarizing, "PACE", 0.0)


@pytest.fixture
async def talk(store: Store) -> AsyncIterator[Summarized]:
    model = Summarizer()
    async with service(store, model) as core, asyncio.timeout(30):
        yield Summarized(core, model, store)

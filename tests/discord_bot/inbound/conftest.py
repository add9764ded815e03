"""A bot that reads the messages of its servers."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.discord_bot.conftest import Start, World
from tests.discord_bot.inbound.recent_messages import READING


@pytest.fixture
async def reading(start: Start) -> AsyncIterator[World]:
    async with start(options=READING) as world:
        yield world

"""Bots for the tests of commands: with several models, and with quotas and prices."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from bot.core.quotas import Quotas
from bot.core.usage import MICRO, Price, Prices
from bot.discord_bot.options import Options
from bot.standin.entities import Channel, User
from bot.standin.model import ModelStandin
from bot.standin.server import DiscordStandin
from tests.discord_bot.conftest import OPTIONS, World, serving

ALLOWANCES = Quotas(20, 10_000, 30_000, 100_000)
PRICED = replace(OPTIONS, prices=Prices({"demo": Price(500 * MICRO, 2000 * MICRO, 50 * MICRO)}))
MODELS = ("small", "large", "Huge")


@pytest.fixture
def options() -> Options:
    return PRICED


@pytest.fixture
async def counted(
    discord: DiscordStandin, model: ModelStandin, tmp_path: Path, options: Options
) -> AsyncIterator[World]:
    """A bot that may be used only so much."""
    running = serving(
        discord,
        model,
        tmp_path / "parley.db",
        asyncio.Event(),
        options=options,
        allowances=ALLOWANCES,
        models=("demo", "large"),
        clock=lambda: time.time(),
    )
    async with running as world:
        yield world


@pytest.fixture
def models() -> Sequence[str]:
    return MODELS


@pytest.fixture
async def choice(
    discord: DiscordStandin, model: ModelStandin, tmp_path: Path, models: Sequence[str]
) -> AsyncIterator[World]:
    """A bot with more than one model."""
    async with serving(discord, model, tmp_path / "parley.db", asyncio.Event(), models=models) as world:
        yield world


async def ask(world: World, user: User, channel: Channel) -> list[dict[str, str]]:
    """Ask something there; the answer is what the model was sent."""
    before = len(world.model.requests)
    await world.ask("who are you?", channel, user)
    request = await world.asked(before)
    await world.idle()
    return request.messages

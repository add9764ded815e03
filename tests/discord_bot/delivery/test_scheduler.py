"""The scheduler's budget for the whole bot."""

from __future__ import annotations

import asyncio

import pytest

from bot.discord_bot.delivery.pacing import Budget
from bot.discord_bot.delivery.scheduler import LONGEST_HOLD, Scheduler


@pytest.mark.parametrize("header", ["inf", "1e309", "nan", "-5", "soon", "99999999"])
async def test_no_retry_after_stops_the_bot_for_good(header: str) -> None:
    budget = Budget()
    Scheduler(budget).observe(None, "GET", 429, {"Retry-After": header, "X-RateLimit-Global": "true"})
    now = asyncio.get_running_loop().time()
    assert now < budget.at(now) <= now + LONGEST_HOLD

"""The scheduler's budget for the whole bot, and its end."""

from __future__ import annotations

import asyncio

import pytest

from bot.discord_bot.delivery.pacing import Budget
from bot.discord_bot.delivery.reconciler import LiveReply
from bot.discord_bot.delivery.scheduler import LONGEST_HOLD, Scheduler
from tests.discord_bot.delivery.platform import Platform


@pytest.mark.parametrize("header", ["inf", "1e309", "nan", "-5", "soon", "99999999"])
async def test_no_retry_after_stops_the_bot_for_good(header: str) -> None:
    budget = Budget()
    Scheduler(budget).observe(None, "GET", 429, {"Retry-After": header, "X-RateLimit-Global": "true"})
    now = asyncio.get_running_loop().time()
    assert now < budget.at(now) <= now + LONGEST_HOLD


async def test_end_of_the_process_leaves_no_reply_waiting() -> None:
    async with Scheduler() as scheduler:
        replies = []
        for interaction_id in (1, 2, 3):
            scheduler.add_interaction(interaction_id)
            replies.append(LiveReply(interaction_id, Platform(scheduler), scheduler, note=lambda _: None))
        replies.append(LiveReply(4, Platform(scheduler), scheduler, note=lambda _: None))
    assert all(each.lifecycle.abandoned for each in replies)

"""The scheduler's budget for the whole bot, and its end."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest

from bot.discord_bot.delivery.http_trace import http_trace
from bot.discord_bot.delivery.pacing import Budget
from bot.discord_bot.delivery.reconciler import LiveReply
from bot.discord_bot.delivery.scheduler import LONGEST_HOLD, Scheduler
from bot.standin.server import DiscordStandin
from tests.discord_bot.delivery.platform import Platform


@pytest.mark.parametrize("header", ["inf", "1e309", "nan", "-5", "soon", "99999999"])
async def test_no_retry_after_stops_the_bot_for_good(header: str) -> None:
    budget = Budget()
    Scheduler(budget).observe(None, "GET", 429, {"Retry-After": header, "X-RateLimit-Global": "true"})
    now = asyncio.get_running_loop().time()
    assert now < budget.at(now) <= now + LONGEST_HOLD


async def test_requests_count_when_they_leave_but_for_those_of_interactions(discord: DiscordStandin) -> None:
    left = []

    class Noted(Budget):
        def left(self, now: float) -> None:
            left.append(now)

    trace = http_trace(Scheduler(Noted()), lambda _: None)
    async with aiohttp.ClientSession(trace_configs=[trace]) as session:
        for path in ("/gateway", "/webhooks/1/token/messages/@original", "/users/@me"):
            async with session.get(discord.url + path):
                pass
    assert len(left) == 2


async def test_end_of_the_process_leaves_no_reply_waiting() -> None:
    async with Scheduler() as scheduler:
        replies = []
        for interaction_id in (1, 2, 3):
            scheduler.add_interaction(interaction_id)
            replies.append(LiveReply(interaction_id, Platform(scheduler), scheduler, note=lambda _: None))
        replies.append(LiveReply(4, Platform(scheduler), scheduler, note=lambda _: None))
    assert all(each.lifecycle.abandoned for each in replies)

"""The check that every fault a test arms has struck."""

from __future__ import annotations

import aiohttp
import pytest

from bot.standin.faults import FORBIDDEN, ServerError
from bot.standin.model import ModelStandin
from bot.standin.script import Drop, Reply, Step
from bot.standin.server import DiscordStandin
from tests.armed import missed_faults

pytestmark = pytest.mark.fault_may_miss("These tests arm such faults in order to have them reported.")

CUT = Reply("Half", cut_after=1)
LATE = Reply("Whole", cut_after=9)


@pytest.mark.parametrize("cleared", [True, False])
async def test_missed_discord_fault_is_reported(cleared: bool) -> None:
    with missed_faults() as missed:
        async with DiscordStandin() as discord, aiohttp.ClientSession() as client:
            discord.faults.add(ServerError(502), times=9)
            discord.faults.add(FORBIDDEN, method="PATCH")
            headers = {"Authorization": f"Bot {discord.token}"}
            async with client.get(f"{discord.url}/users/@me", headers=headers) as response:
                assert response.status == 502
            if cleared:
                discord.faults.clear()
    assert missed == [FORBIDDEN]


@pytest.mark.parametrize(
    ("script", "default", "expected"),
    [
        ([CUT], Reply("Yes."), []),
        ([Reply("Yes."), Reply("More.")], Reply("Yes."), []),
        ([CUT, Drop()], Reply("Yes."), [Drop()]),
        ([LATE], Reply("Yes."), [LATE]),
        ([Reply("Yes.")], Drop(), [Drop()]),
    ],
    ids=["struck", "none armed", "left in the script", "over before it", "default not asked for"],
)
async def test_missed_model_fault_is_reported(script: list[Step], default: Step, expected: list[Step]) -> None:
    body = {"model": "demo", "stream": True, "messages": [{"role": "user", "content": "Hi"}]}
    with missed_faults() as missed:
        async with ModelStandin(script, default=default) as model, aiohttp.ClientSession() as client:
            async with client.post(f"{model.base_url}/chat/completions", json=body) as response:
                await response.content.readany()
            await model.requests[0].over()
    assert missed == expected


async def test_model_default_replaced_before_any_request_is_reported() -> None:
    with missed_faults() as missed:
        async with ModelStandin(default=Drop()) as model:
            model.default = Reply("Yes.")
    assert missed == [Drop()]

"""The log of a bot that runs."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping
from typing import Any

import pytest

from bot.standin.faults import RateLimited
from bot.standin.model import ModelStandin
from bot.standin.script import Reply
from bot.standin.server import DiscordStandin
from tests.discord_bot.conftest import Launch

KEY = "sk-very-secret-0123456789"

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")


async def ended(process: asyncio.subprocess.Process) -> str:
    """Its log, once it has ended."""
    process.terminate()
    _, log = await process.communicate()
    return log.decode()


def turns(log: str) -> list[Mapping[str, Any]]:
    """The lines about turns; every line has to be an object."""
    return [entry for entry in map(json.loads, log.splitlines()) if "turn" in entry]


async def test_each_turn_is_one_log_line_without_text(
    discord: DiscordStandin, model: ModelStandin, launch: Launch
) -> None:
    model.script.append(Reply("A long answer. " * 200))
    discord.faults.add(RateLimited(0.05), method="POST", route="/channels/{channel_id}/messages")
    async with launch(LOG_LEVEL="DEBUG", LOG_FORMAT="json", OPENAI_API_KEY=KEY) as process:
        await discord.ready()
        prompt = await discord.say(discord.general, discord.bo, f"<@{discord.bot.id}> tell me the watchword")
        await discord.wait_for(lambda: len(discord.bot_messages(discord.general)) == 2)
        log = await ended(process)
    [line] = turns(log)
    assert line["message"].startswith(f"turn 1 in discord:{discord.general.id}: complete; prompt {prompt.id}")
    assert (line["prompt_id"], line["attempt"], line["state"], line["messages"]) == (prompt.id, 1, "complete", 2)
    assert line["characters"] == len("A long answer. " * 200)
    assert line["prompt_tokens"] > 0 < line["reply_tokens"]
    assert 0 <= line["waited_s"] < line["total_s"] > line["first_text_s"] >= 0
    for secret in (KEY, discord.token, "watchword", "A long answer"):
        assert secret not in log


async def test_operator_can_log_the_messages(discord: DiscordStandin, model: ModelStandin, launch: Launch) -> None:
    model.script.append(Reply("The answer."))
    async with launch(LOG_FORMAT="json", LOG_MESSAGES="true") as process:
        await discord.ready()
        await discord.say(discord.general, discord.bo, f"<@{discord.bot.id}> tell me the watchword")
        await discord.wait_for(lambda: len(discord.bot_messages(discord.general)) == 1)
        [line] = turns(await ended(process))
    assert (line["prompt"], line["reply"]) == ("tell me the watchword", "The answer.")


async def test_reason_for_giving_up_is_logged(discord: DiscordStandin, launch: Launch) -> None:
    async with launch(LOG_FORMAT="json", DISCORD_TOKEN="wrong.wrong.wrong") as process:
        _, log = await process.communicate()
        assert process.returncode == 1
    last = json.loads(log.splitlines()[-1])
    assert last["level"] == "CRITICAL"
    assert last["message"].startswith("Discord refused DISCORD_TOKEN.")

"""What Discord is told of the commands."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

from tests.discord_bot.conftest import COMMANDS, Start, World

PAYLOAD = Path(__file__).with_name("payload.json")
"""The registration as it is meant to be. A change of it makes every running bot register its commands anew."""


async def test_commands_are_registered_only_on_change(start: Start) -> None:
    async with start() as world:
        assert world.discord.commands.puts == 1
    async with start() as world:
        read = partial(world.discord.calls, "GET", COMMANDS)
        await world.discord.wait_for(lambda: len(read()) == 2 and read()[1].answered)
        # What would be registered is on its way by now.
        await world.answered("hello")
        assert world.discord.commands.puts == 1


async def test_the_registered_payload_is_the_one_on_file(world: World) -> None:
    [put] = world.discord.calls("PUT", COMMANDS)
    assert json.dumps(put.body, ensure_ascii=False, indent=1) + "\n" == PAYLOAD.read_text(encoding="utf-8")

"""Answers to interactions that take long."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from bot.standin.script import REFUSALS
from bot.store.turns import TurnStore
from tests.discord_bot.conftest import World

pytestmark = pytest.mark.virtual_time


@pytest.mark.parametrize("whose", ["theirs", "another's"])
async def test_slow_lookup_defers_the_press(world: World, monkeypatch: pytest.MonkeyPatch, whose: str) -> None:
    monkeypatch.setattr("bot.discord_bot.interactions.responses.DEFER_AFTER", 0.05)
    look_up = TurnStore.of_message

    async def slow(*details: Any) -> Any:
        await asyncio.sleep(0.2)
        return await look_up(*details)

    monkeypatch.setattr(TurnStore, "of_message", slow)
    discord = world.discord
    world.model.script.append(REFUSALS["rate limit"])
    await world.ask("hello")
    message = await world.reply(discord.general, "My model is busy")
    await world.idle()
    press = await world.press(message, discord.bo if whose == "theirs" else discord.cleo, "reply:retry")
    if whose == "theirs":
        await discord.wait_for(lambda: "busy" not in message.content and not message.buttons)
        await world.idle()
    else:
        await discord.wait_for(lambda: press.followups)
        assert [each.content for each in press.followups] == ["Only Bo and moderators can do that."]
        assert message.buttons

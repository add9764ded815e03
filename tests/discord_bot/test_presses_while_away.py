"""Buttons are pressed while the database is away: a stop is in force at once, and all else waits or is told."""

from __future__ import annotations

import pytest

from bot.core.outages import AWAY_FOR
from bot.standin.script import Reply
from tests.discord_bot.conftest import World
from tests.discord_bot.outages import Outage
from tests.store.steps import failing

pytestmark = [pytest.mark.virtual_time, pytest.mark.both_engines]


@pytest.mark.parametrize("press", ["Retry", "Retry answer"])
async def test_press_in_an_outage_is_done_afterwards(world: World, outage: Outage, press: str) -> None:
    discord = world.discord
    world.model.script.append(Reply("A whole") if press == "Retry answer" else Reply("A whole", cut_after=1))
    message = await world.answered()
    world.model.default = Reply("The whole answer.")
    outage.begin(AWAY_FOR / 2)
    if press == "Retry":
        pressed = await world.press(message)
    else:
        pressed = await discord.context_menu(discord.bo, press, message, message.channel)
    await discord.wait_for(lambda: message.content == "The whole answer.")
    await world.idle()
    assert not any("right now" in each.content for each in pressed.followups)


async def test_press_in_an_outage_that_lasts_is_told(world: World, outage: Outage) -> None:
    world.model.script.append(Reply("A whole", cut_after=1))
    message = await world.answered()
    outage.begin(2 * AWAY_FOR)
    pressed = await world.press(message)
    await world.discord.wait_for(lambda: pressed.followups)
    assert pressed.followups[0].content.startswith("-# I can't save right now")
    await world.until(lambda: not outage.on)
    world.model.default = Reply("The whole answer.")
    await world.press(message)
    await world.discord.wait_for(lambda: message.content == "The whole answer.")
    await world.idle()


async def test_reply_can_be_stopped_in_an_outage(world: World, outage: Outage, monkeypatch: pytest.MonkeyPatch) -> None:
    discord = world.discord
    monkeypatch.setattr("bot.discord_bot.delivery.reconciler.STOP_AFTER", 0.2)
    world.model.script.append(Reply(["word "] * 400, tokens_per_second=20))
    await world.ask("tell me")
    message = await world.reply(discord.general, "word")
    await discord.wait_for(lambda: [each["label"] for each in message.buttons] == ["Stop"])
    outage.begin(AWAY_FOR / 2)
    refused = await world.press(message, discord.cleo)
    await refused.answered()
    assert refused.content == "Only Bo and moderators can do that."
    await world.press(message)
    await world.model.requests[-1].over()
    assert outage.on, "the model is not read until the database is back"
    await world.idle()
    assert "stopped" in world.shown()[-1].lower()


async def test_button_that_could_do_nothing_in_an_outage_can_be_pressed_again(world: World) -> None:
    discord = world.discord
    world.model.script.append(Reply("A whole", cut_after=1))
    message = await world.answered()
    async with failing(world.store.engine, "BEFORE UPDATE ON stored_turns"):
        press = await world.press(message)
        await discord.wait_for(lambda: press.followups)
        assert press.followups[0].content.startswith("-# I can't save right now")
    await discord.wait_for(lambda: [each["label"] for each in message.buttons] == ["Retry"])
    world.model.default = Reply("The whole answer.")
    await world.press(message)
    await discord.wait_for(lambda: message.content == "The whole answer.")
    await world.idle()

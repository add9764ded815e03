"""What people choose about themselves with /settings, and what comes of it."""

from __future__ import annotations

import pytest

from bot.core.records import PersonSettings, Ping
from bot.standin.entities import Message, User
from bot.standin.interactions import Interaction
from bot.standin.script import Reply
from tests.discord_bot.conftest import Start, World

pytestmark = pytest.mark.virtual_time

LEAVE_OUT, USE = "settings:leave-out:1", "settings:leave-out:0"


async def settings_of(world: World, person: User) -> Message:
    used = await world.discord.slash(person, world.discord.general, "settings")
    said = await used.answered()
    assert used.ephemeral
    return said


async def choose(world: World, said: Message, person: User, custom_id: str) -> Interaction:
    pressed = await world.press(said, person, custom_id)
    await pressed.acknowledged()
    return pressed


def chosen(said: Message) -> list[str]:
    """The labels that stand out, which are those that cannot be pressed."""
    assert all((button["style"] == 1) == bool(button.get("disabled")) for button in said.buttons)
    return [button["label"] for button in said.buttons if button.get("disabled")]


async def test_choices_are_ones_own_and_kept(start: Start) -> None:
    async with start() as world:
        discord = world.discord
        said = await settings_of(world, discord.bo)
        assert chosen(said) == ["Use my messages", "Ping after a wait"]
        await choose(world, said, discord.bo, LEAVE_OUT)
        await choose(world, said, discord.bo, "settings:ping:never")
        await discord.wait_for(lambda: chosen(said) == ["Leave my messages out", "Never ping"])
        assert "Your recent messages are left out when someone else asks me something." in said.content
        assert await world.store.person_settings.of(discord.bo.id) == PersonSettings(leave_out=True, ping=Ping.NEVER)
        # Discord shows nobody else the message. A press counts for whoever it comes from all the same.
        await choose(world, said, discord.cleo, USE)
        assert (await world.store.person_settings.of(discord.bo.id)).leave_out
    async with start() as world:
        assert chosen(await settings_of(world, discord.bo)) == ["Leave my messages out", "Never ping"]
        assert chosen(await settings_of(world, discord.cleo)) == ["Use my messages", "Ping after a wait"]


@pytest.mark.parametrize(("ping", "soon", "late"), [("auto", False, True), ("always", True, True), ("never",) * 3])
async def test_answers_ping_as_chosen(
    world: World, monkeypatch: pytest.MonkeyPatch, ping: str, soon: bool, late: bool
) -> None:
    discord = world.discord
    if ping != "auto":
        await choose(world, await settings_of(world, discord.bo), discord.bo, f"settings:ping:{ping}")
        await world.until(lambda: world.store.person_settings.of(discord.bo.id), PersonSettings(ping=Ping(ping)))
    for after, pinged in ((60.0, soon), (0.0, late)):
        monkeypatch.setattr("bot.discord_bot.delivery.messages.PINGS_AFTER", after)
        world.model.script.append(Reply("There."))
        said = await world.answered()
        assert said.pinged == ({discord.bo} if pinged is True else set())


async def test_choice_that_cannot_be_saved_is_said(world: World) -> None:
    discord = world.discord
    said = await settings_of(world, discord.bo)
    await world.store.engine.write("DROP TABLE person_settings")
    pressed = await choose(world, said, discord.bo, LEAVE_OUT)
    assert (await pressed.answered()).content == (
        "I can't save right now, so nothing is changed. Please try again later."
    )
    assert chosen(said) == ["Use my messages", "Ping after a wait"]


async def test_forgotten_person_may_keep_being_left_out(world: World) -> None:
    discord = world.discord
    await world.answered()
    await choose(world, await settings_of(world, discord.bo), discord.bo, "settings:ping:always")
    for answer, left in (("out", PersonSettings(leave_out=True)), ("yes", PersonSettings())):
        used = await discord.slash(discord.bo, discord.general, "forget-me")
        said = await used.answered()
        [_, second, _] = said.buttons
        assert second["label"] == "Forget it, and leave my messages out"
        for _ in range(2):  # also a second press, after which nothing else is there
            await (await world.press(said, discord.bo, f"forget-me:{answer}:{discord.bo.id}")).acknowledged()
            if not said.buttons:
                break
        await discord.wait_for(lambda said=said: said.content.startswith("I have forgotten everything about you"))  # type: ignore[misc]
        assert ("leave your messages out" in said.content) is left.leave_out
        assert await world.turns(discord.general) == []
        assert await world.store.person_settings.of(discord.bo.id) == left
    assert (await world.store.people.record_of(discord.bo.id)).is_empty

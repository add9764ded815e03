"""The line that tells a server's moderators about /server: under the first answer to one of them, once a server."""

from __future__ import annotations

import asyncio

import pytest

from bot.standin.entities import Channel, Guild, User
from bot.standin.script import Refusal, Reply
from bot.standin.server import DiscordStandin
from tests.discord_bot.conftest import Start, World
from tests.discord_bot.people import MODERATORS
from tests.discord_bot.server_pages import ALLOW, EVERYWHERE, change

pytestmark = pytest.mark.usefixtures("echo")


async def test_the_first_moderator_sees_it_and_no_member(start: Start, discord: DiscordStandin) -> None:
    async with start() as world:
        assert (await world.answered("a", author=discord.bo)).content == "To a."
        await world.answered("b", discord.open_dm(discord.max), discord.max)
        assert MODERATORS not in "".join(world.shown(discord.open_dm(discord.max))), "it is about no direct messages"
        assert (await world.answered("c", author=discord.max)).content == "To c." + MODERATORS
        assert (await world.answered("d", author=discord.bo)).content == "To d."
        assert (await world.answered("e", author=discord.max)).content == "To e."
        assert (await world.answered("f", author=discord.ada)).content == "To f.", "once a server, whoever asks"
    async with start() as world:
        assert (await world.answered("g", author=discord.max)).content == "To g.", "also after a restart"


async def test_moderators_who_ask_at_once_see_it_once(world: World) -> None:
    discord = world.discord
    ask = asyncio.Event()
    world.model.script += [Reply("One.", held_until=ask), Reply("Two.", held_until=ask)]
    for moderator in (discord.max, discord.ada):
        await world.ask("why?", author=moderator)
    await world.asked(1)
    ask.set()
    await world.reply(discord.general, count=2)
    await world.idle()
    assert sorted(text.removesuffix(MODERATORS) for text in world.shown()) == ["One.", "Two."]
    assert "".join(world.shown()).count(MODERATORS) == 1


async def test_each_server_is_told_for_itself(
    start: Start, discord: DiscordStandin, elsewhere: Guild, lobby: Channel, eve: User
) -> None:
    discord.world.add_member(elsewhere, discord.ada)
    async with start() as world:
        assert (await world.answered("a", author=discord.max)).content == "To a." + MODERATORS
        assert (await world.answered("b", lobby, eve)).content == "To b." + MODERATORS


async def test_a_failed_answer_does_not_use_it_up(world: World) -> None:
    discord = world.discord
    world.model.script += [Refusal(401, {"error": {"message": "Incorrect API key provided"}})]
    await world.answered("a", author=discord.max)
    [failed] = world.shown()
    assert failed.startswith("-#")
    assert MODERATORS not in failed
    assert (await world.answered("b", author=discord.max)).content == "To b." + MODERATORS


async def test_moderators_who_know_the_command_are_not_told(world: World) -> None:
    discord = world.discord
    await change(discord, ALLOW, discord.general, discord.ada)
    await world.until(lambda: has_rules(world))
    assert (await world.answered("a", author=discord.max)).content == "To a."
    await change(discord, EVERYWHERE, person=discord.ada)
    await world.until(lambda: has_rules(world), False)
    assert (await world.answered("b", author=discord.max)).content == "To b.", "nor later"


async def has_rules(world: World) -> bool:
    rules = await world.store.guild_rules.rules_for(world.discord.guild.id, 0)
    return bool(rules.channels)

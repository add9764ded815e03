"""What the application's owner is told in direct messages, and how often."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from bot.standin.entities import Channel, User
from bot.standin.faults import ServerError
from bot.standin.model import ModelStandin
from bot.standin.script import REFUSALS, Drop, Reply
from bot.standin.server import DiscordStandin
from bot.turns import Allowances, Usage
from tests.discord_bot.conftest import Start, World, serving

pytestmark = pytest.mark.standin(period=0.05)

SETUP = "-# I have a set-up problem; it's nothing you did."
PRIVATE = "my diary"


async def ask(world: World, channel: Channel, count: int = 1) -> None:
    """Bo asks, and sees the end."""
    asked = len(world.discord.bot_messages(channel))
    for _ in range(count):
        await world.discord.say(channel, world.discord.bo, f"<@{world.discord.bot.id}> {PRIVATE}")
    await world.reply(channel, count=asked + count)
    await world.idle()


def told(discord: DiscordStandin, whom: User | None = None) -> list[str]:
    """What somebody was told in direct messages; Ada, who owns the application, unless another is named."""
    return [message.content for message in discord.bot_messages(discord.open_dm(whom or discord.ada))]


async def test_four_fifths_of_the_days_tokens_and_the_end_of_them_are_told_once_each(
    discord: DiscordStandin, model: ModelStandin, tmp_path: Path
) -> None:
    allowances = Allowances(tokens_per_server=20_000, tokens_in_all=10_000)

    def bot() -> AbstractAsyncContextManager[World]:
        return serving(discord, model, tmp_path / "parley.db", asyncio.Event(), allowances=allowances)

    async with bot() as world:
        for tokens in (7_900, 200, 200):
            model.script.append(Reply("Here.", usage=Usage(tokens - 10, 10)))
            await ask(world, discord.general)
        await discord.wait_for(lambda: told(discord))
        [mostly] = told(discord)
        assert mostly.startswith(
            "81 % of my tokens for today are used: 8,100 of 10,000. If the rest goes too, I answer"
        )
        assert mostly.endswith("For more, raise TOKENS_IN_ALL in .env and restart.")
    async with bot() as world:
        model.script.append(Reply("Here.", usage=Usage(1_690, 0)))
        await ask(world, discord.general, 3)
        await discord.wait_for(lambda: len(told(discord)) == 2)
        assert told(discord)[1].startswith("My tokens for today are used up, all 10,000. I answer nobody until <t:")


async def test_a_servers_tokens_are_told_of_by_its_name(
    discord: DiscordStandin, model: ModelStandin, tmp_path: Path
) -> None:
    allowances = Allowances(tokens_per_server=10_000)
    model.script.append(Reply("Here.", usage=Usage(9_990, 10)))
    async with serving(discord, model, tmp_path / "parley.db", asyncio.Event(), allowances=allowances) as world:
        await ask(world, discord.open_dm(discord.bo))
        model.script.append(Reply("Here.", usage=Usage(9_990, 10)))
        await ask(world, discord.general)
        await discord.wait_for(lambda: told(discord))
        await ask(world, discord.general)
    [sentence] = told(discord)
    assert sentence.startswith(f"The tokens of Harbour ({discord.guild.id}) for today are used up, all 10,000.")
    assert "I answer nobody there until" in sentence
    assert sentence.endswith("For more, raise TOKENS_PER_SERVER in .env and restart.")


async def test_a_refused_key_is_told_once_however_many_ask_and_also_after_a_restart(
    discord: DiscordStandin, model: ModelStandin, start: Start
) -> None:
    model.default = REFUSALS["bad key"]
    for _ in range(2):
        async with start() as world:
            await ask(world, discord.general, 4)
            assert {message.content for message in discord.bot_messages(discord.general)} == {SETUP}
    [sentence] = told(discord)
    assert sentence.startswith("A question went unanswered for a set-up problem. The model server wants a key (401).")
    assert PRIVATE not in sentence
    model.default = REFUSALS["unknown model"]
    async with start() as world:
        await ask(world, discord.general)
        await discord.wait_for(lambda: len(told(discord)) == 2)
    assert len(told(discord)) == 2
    assert "The model server refused the model demo (404)." in told(discord)[1]


async def test_of_a_team_its_owner_is_told_that_the_model_does_not_answer(
    discord: DiscordStandin, model: ModelStandin, start: Start
) -> None:
    discord.found_team("Crew", discord.max, discord.ada)
    model.default = Drop()
    async with start() as world:
        await ask(world, discord.general, 2)
        await discord.wait_for(lambda: told(discord, discord.max))
    [sentence] = told(discord, discord.max)
    assert sentence.startswith("My model isn't answering. The model server")
    assert told(discord) == []


async def test_where_the_owner_takes_no_message_it_is_logged_and_nobody_else_notices(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    discord = world.discord
    discord.ada.closed_dms = True
    world.model.default = REFUSALS["bad key"]

    def logged() -> list[str]:
        return [record.getMessage() for record in caplog.records if record.name == "bot.discord_bot.warnings"]

    await ask(world, discord.general, 2)
    await discord.wait_for(logged)
    discord.ada.closed_dms = False
    await ask(world, discord.general, 2)
    [line] = logged()
    assert line.startswith("the owner takes no direct message from the bot (403")
    assert {message.content for message in discord.bot_messages(discord.general)} == {SETUP}
    assert told(discord) == []


async def test_a_warning_that_discord_could_not_take_is_sent_at_the_next_occasion(world: World) -> None:
    discord = world.discord
    failed = discord.faults.add(ServerError(503), channel_id=discord.open_dm(discord.ada).id)
    world.model.default = REFUSALS["bad key"]
    await ask(world, discord.general)
    await discord.wait_for(lambda: failed.hits)
    assert told(discord) == []
    await ask(world, discord.general)
    await discord.wait_for(lambda: told(discord))
    await ask(world, discord.general)
    assert len(told(discord)) == 1

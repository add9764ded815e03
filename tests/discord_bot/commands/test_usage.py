"""/usage, as members, moderators and people in DMs read it."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from bot.core.quotas import Quotas, Usage
from bot.core.usage import MICRO
from bot.standin.entities import Channel, User
from bot.standin.model import ModelStandin
from bot.standin.script import Raw, Reply
from bot.standin.server import DiscordStandin
from tests.discord_bot.commands.conftest import PRICED
from tests.discord_bot.conftest import World, serving
from tests.llm.wire import DONE, STOP, data, say

pytestmark = pytest.mark.virtual_time

DAY = 24 * 3600
TODAY = int(time.time()) // DAY
MIDNIGHT = (TODAY + 1) * DAY


@pytest.fixture(autouse=True)
def before_midnight(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that no test begins on one day and ends on the next: in the last minutes of a day it is a little earlier."""
    clock = time.time
    ahead = max(0.0, clock() - (MIDNIGHT - 300.0))
    monkeypatch.setattr("time.time", lambda: clock() - ahead)


async def ask(world: World, user: User, channel: Channel, *, prompt: int, reply: int) -> None:
    """Ask something that costs so many tokens."""
    world.model.script.append(Reply("Because.", usage=Usage(prompt, reply)))
    before = len(world.model.requests)
    await world.ask("why?", channel, user)
    await world.asked(before)
    await world.idle()


async def used(world: World, user: User, channel: Channel, **options: str) -> list[str]:
    """The lines that /usage shows a person."""
    shown = await world.discord.slash(user, channel, "usage", **options)
    answer = await shown.answered()
    assert shown.ephemeral
    assert answer.pinged == set()
    return answer.content.splitlines()


async def charged(world: World, person: int, guild: int | None, days_ago: int, model: str, tokens: int) -> None:
    """Something asked for at another time."""
    await world.store.engine.write(
        """
        INSERT INTO charges (turn_id, attempt, user_id, guild_id, model, day, prompt_tokens, reply_tokens, settled)
        SELECT coalesce(max(turn_id), 0) + 1000, 1, :person, :guild, :model, :day, :tokens, 0, 1 FROM charges
        """,
        person=person,
        guild=guild,
        model=model,
        day=TODAY - days_ago,
        tokens=tokens,
    )


async def test_usage_shows_own_use_and_what_is_left(counted: World) -> None:
    discord = counted.discord
    await ask(counted, discord.bo, discord.general, prompt=1_000, reply=200)
    await ask(counted, discord.bo, discord.open_dm(discord.bo), prompt=2_000, reply=34)
    await ask(counted, discord.cleo, discord.general, prompt=500, reply=5)
    await charged(counted, discord.bo.id, discord.guild.id, 29, "demo", 1_000)
    await charged(counted, discord.bo.id, discord.guild.id, 30, "demo", 1_000)
    assert await used(counted, discord.bo, discord.general) == [
        "**What you used**",
        "Questions in the last hour: 2 of 20",
        f"Tokens today: 3,234 of 10,000, 6,766 left, reset <t:{MIDNIGHT}:R>",
        "Last 30 days: 4,234 tokens, at a price of 2.47 (in my owner's currency)",
        "-# Tokens are pieces of words. I count your question, the history sent with it, and my answer.",
    ]
    assert (await used(counted, discord.cleo, discord.open_dm(discord.cleo), whose=" Mine "))[1:3] == [
        "Questions in the last hour: 1 of 20",
        f"Tokens today: 505 of 10,000, 9,495 left, reset <t:{MIDNIGHT}:R>",
    ]


async def test_moderator_sees_the_guilds_usage(counted: World) -> None:
    discord = counted.discord
    other = discord.add_guild("Elsewhere")
    for number in range(6):
        await charged(counted, 1000 + number, discord.guild.id, 1, "demo", 1_000 - number)
    await charged(counted, 7, other.id, 0, "demo", 50_000)
    await charged(counted, discord.bo.id, discord.guild.id, 0, "unpriced", 20_000)
    lines = await used(counted, discord.max, discord.general, whose="server")
    assert lines == [
        "**What this server used**",
        f"Tokens today: 20,000 of 30,000, 10,000 left, reset <t:{MIDNIGHT}:R>",
        "Last 30 days: 25,985 tokens, at a price of >2.99 (in my owner's currency)",
        "By model: `unpriced` 20,000 · `demo` 5,985",
        f"Most by: <@{discord.bo.id}> 20,000 · <@1000> 1,000 · <@1001> 999 · <@1002> 998 · <@1003> 997",
    ]


async def test_members_do_not_see_the_guilds_usage(counted: World) -> None:
    discord = counted.discord
    await charged(counted, discord.cleo.id, discord.guild.id, 0, "demo", 20_000)
    [refused] = await used(counted, discord.bo, discord.general, whose="SERVER")
    assert refused.startswith("Only moderators can see what this server used.")
    direct = discord.open_dm(discord.max)
    [nowhere] = await used(counted, discord.max, direct, whose="server")
    assert nowhere.startswith("This is a direct message, not a server.")
    [unknown] = await used(counted, discord.max, discord.general, whose="Bo")
    assert unknown == "I can show what you used (`mine`), or what this server used (`server`)."
    for person, channel, offered in (
        (discord.bo, discord.general, ["mine"]),
        (discord.max, discord.general, ["mine", "server"]),
        (discord.max, direct, ["mine"]),
    ):
        asked = await discord.complete(person, channel, "usage", focused="whose", whose="")
        await asked.acknowledged()
        assert [each["value"] for each in asked.choices or []] == offered
    asked = await discord.complete(discord.max, discord.general, "usage", focused="whose", whose="Serv")
    await asked.acknowledged()
    assert [each["value"] for each in asked.choices or []] == ["server"]


async def test_usage_says_when_others_used_up_the_quota(counted: World) -> None:
    discord = counted.discord
    await charged(counted, 7, discord.guild.id, 0, "demo", 30_000)
    assert "This server's limit for today is used up, for everyone." in await used(counted, discord.bo, discord.general)
    direct = discord.open_dm(discord.bo)
    assert not any("used up" in line for line in await used(counted, discord.bo, direct))
    await charged(counted, 7, None, 0, "demo", 70_000)
    assert "My limit for today is used up, for everyone." in await used(counted, discord.bo, direct)


PRICE = ", at a price of 0.68 (in my owner's currency)"


async def test_only_moderators_read_of_cached_and_reasoning_tokens(counted: World) -> None:
    discord = counted.discord
    usage = {
        "prompt_tokens": 1_000,
        "completion_tokens": 200,
        "prompt_tokens_details": {"cached_tokens": 500},
        "completion_tokens_details": {"reasoning_tokens": 150},
    }
    counted.model.script.append(Raw([say("Because.") + STOP + data({}, usage=usage) + DONE]))
    await counted.answered("why?", discord.general, discord.bo)
    # 500 tokens at a tenth of the price count as 50.
    lines = await used(counted, discord.max, discord.general, whose="server")
    assert lines[1:3] == [
        f"Tokens today: 750 of 30,000, 29,250 left, reset <t:{MIDNIGHT}:R>",
        f"Last 30 days: 1,200 tokens (500 cached, 150 reasoning){PRICE}",
    ]
    lines = await used(counted, discord.bo, discord.general)
    assert lines[2:4] == [
        f"Tokens today: 750 of 10,000, 9,250 left, reset <t:{MIDNIGHT}:R>",
        f"Last 30 days: 1,200 tokens{PRICE}",
    ]


async def test_usage_without_token_limits_or_with_a_spent_budget(
    discord: DiscordStandin, model: ModelStandin, tmp_path: Path
) -> None:
    quotas = Quotas(20, None, None, None, daily_budget=5 * MICRO)
    running = serving(
        discord, model, tmp_path / "parley.db", asyncio.Event(), options=PRICED, allowances=quotas, clock=time.time
    )
    async with running as world:
        await ask(world, discord.bo, discord.general, prompt=100, reply=20)
        lines = await used(world, discord.bo, discord.general)
        assert lines[1:3] == ["Questions in the last hour: 1 of 20", "Tokens today: 120"]
        assert not any("used up" in line for line in lines)
        assert "Tokens today: 120" in await used(world, discord.max, discord.general, whose="server")
        await ask(world, discord.bo, discord.general, prompt=200, reply=3_000)
        assert "My limit for today is used up, for everyone." in await used(world, discord.bo, discord.general)


async def test_unreadable_usage_is_reported(counted: World) -> None:
    discord = counted.discord
    await used(counted, discord.bo, discord.general)
    await counted.store.engine.write("ALTER TABLE charges RENAME TO elsewhere")
    sentence = "I can't reach my memory right now. Please try again later."
    assert await used(counted, discord.bo, discord.general) == [sentence]
    assert await used(counted, discord.max, discord.general, whose="server") == [sentence]

"""/help and /usage, as members, moderators and people in DMs read them."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from bot.core.access import AccessSettings
from bot.core.quotas import Quotas, Usage
from bot.core.usage import Price, Prices
from bot.discord_bot.options import Options
from bot.standin.entities import Channel, User
from bot.standin.faults import Slow
from bot.standin.model import ModelStandin
from bot.standin.script import Reply
from bot.standin.server import DiscordStandin
from bot.texts.about import help_text
from tests.discord_bot.conftest import COMMANDS, OPTIONS, World, serving
from tests.places import on_discord
from tests.store.steps import set_clock

ALLOWANCES = Quotas(20, 10_000, 30_000, 100_000)
PRICED = replace(OPTIONS, prices=Prices({"demo": Price(500.0, 2000.0)}))
MODELS = ("demo", "large")
DAY = 24 * 3600
TODAY = int(time.time()) // DAY
MIDNIGHT = (TODAY + 1) * DAY


@pytest.fixture(autouse=True)
def before_midnight(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that no test begins on one day and ends on the next: in the last minutes of a day it is a little earlier."""
    began, monotonic = min(time.time(), MIDNIGHT - 300.0), time.monotonic()
    monkeypatch.setattr("time.time", lambda: began + time.monotonic() - monotonic)


@pytest.fixture
def options() -> Options:
    return PRICED


@pytest.fixture
async def counted(
    discord: DiscordStandin, model: ModelStandin, tmp_path: Path, options: Options
) -> AsyncIterator[World]:
    """A bot that may be used only so much."""
    running = serving(
        discord, model, tmp_path / "parley.db", asyncio.Event(), options=options, allowances=ALLOWANCES, models=MODELS
    )
    async with running as world:
        set_clock(world.store, time.time)
        yield world


async def ask(world: World, user: User, channel: Channel, *, prompt: int, reply: int) -> None:
    """Ask something that costs so many tokens."""
    world.model.script.append(Reply("Because.", usage=Usage(prompt, reply)))
    before = len(world.model.requests)
    await world.discord.say(channel, user, f"<@{world.discord.bot.id}> why?")
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


async def test_everybody_sees_what_they_used_and_what_is_left(counted: World) -> None:
    discord = counted.discord
    await ask(counted, discord.bo, discord.general, prompt=1_000, reply=200)
    await ask(counted, discord.bo, discord.open_dm(discord.bo), prompt=2_000, reply=34)
    await ask(counted, discord.cleo, discord.general, prompt=500, reply=5)
    await charged(counted, discord.bo.id, discord.guild.id, 29, "demo", 1_000)
    await charged(counted, discord.bo.id, discord.guild.id, 30, "demo", 1_000)
    assert await used(counted, discord.bo, discord.general) == [
        "**What you used**",
        "Questions in the last hour: 2 of 20",
        f"Tokens today: 3,234 of 10,000, 6,766 left, renewed <t:{MIDNIGHT}:R>",
        "Last 30 days: 4,234 tokens, at a price of 2.47 (in the currency of whoever runs me)",
        "-# Tokens are bits of words: of what you ask, of what I'm reminded of, and of what I answer.",
    ]
    assert (await used(counted, discord.cleo, discord.open_dm(discord.cleo), whose=" Mine "))[1:3] == [
        "Questions in the last hour: 1 of 20",
        f"Tokens today: 505 of 10,000, 9,495 left, renewed <t:{MIDNIGHT}:R>",
    ]


async def test_a_moderator_sees_what_the_server_used(counted: World) -> None:
    discord = counted.discord
    other = discord.add_guild("Elsewhere")
    for number in range(6):
        await charged(counted, 1000 + number, discord.guild.id, 1, "demo", 1_000 - number)
    await charged(counted, 7, other.id, 0, "demo", 50_000)
    await charged(counted, discord.bo.id, discord.guild.id, 0, "unpriced", 20_000)
    lines = await used(counted, discord.max, discord.general, whose="server")
    assert lines == [
        "**What this server used**",
        f"Tokens today: 20,000 of 30,000, 10,000 left, renewed <t:{MIDNIGHT}:R>",
        "Last 30 days: 25,985 tokens, at a price of >2.99 (in the currency of whoever runs me)",
        "By model: `unpriced` 20,000 · `demo` 5,985",
        f"Most by: <@{discord.bo.id}> 20,000 · <@1000> 1,000 · <@1001> 999 · <@1002> 998 · <@1003> 997",
    ]


async def test_nobody_else_sees_what_the_server_used(counted: World) -> None:
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


async def test_what_others_have_used_up_is_said(counted: World) -> None:
    discord = counted.discord
    await charged(counted, 7, discord.guild.id, 0, "demo", 30_000)
    assert "All that this server may use today is used up, whoever asks." in await used(
        counted, discord.bo, discord.general
    )
    direct = discord.open_dm(discord.bo)
    assert not any("used up" in line for line in await used(counted, discord.bo, direct))
    await charged(counted, 7, None, 0, "demo", 70_000)
    assert "All that I may use today is used up, whoever asks." in await used(counted, discord.bo, direct)


async def test_what_was_used_and_cannot_be_read_is_said_so(counted: World) -> None:
    discord = counted.discord
    await used(counted, discord.bo, discord.general)
    await counted.store.engine.write("ALTER TABLE charges RENAME TO elsewhere")
    await counted.store.engine.write("ALTER TABLE personas RENAME TO elsewhere_too")
    sentence = "I can't reach my memory right now. Please try again later."
    assert await used(counted, discord.bo, discord.general) == [sentence]
    assert await used(counted, discord.max, discord.general, whose="server") == [sentence]
    assert await help_of(counted, discord.bo, discord.general) == sentence


async def help_of(world: World, user: User, channel: Channel) -> str:
    shown = await world.discord.slash(user, channel, "help")
    answer = await shown.answered()
    assert shown.ephemeral
    assert len(answer.content) <= 2000
    return answer.content


@pytest.fixture
def nickname(discord: DiscordStandin) -> None:
    """What the bot is called in the server."""
    discord.guild.members[discord.bot.id].nick = "Polly"


@pytest.mark.usefixtures("nickname")
async def test_help_says_how_it_is_used_and_where_messages_go(counted: World) -> None:
    discord = counted.discord
    text = await help_of(counted, discord.bo, discord.general)
    assert text.startswith(
        '**Ask me** by mentioning me, like "@Polly why is the night sky dark?", by a reply to one of my messages, or in'
        " a direct message. You have 20 questions an hour; /usage shows what is left.\n\n"
        "**I remember** what is said with me, separately in every channel, thread and direct message. /reset forgets"
        " what was said here, /forget-me all that you said. Where nobody talks to me for 90 days, I forget by myself."
        "\n\n**Your messages go** to the model `demo` (OpenAI), with what I remember here.\n\n**Commands**\n"
    )
    assert " Forget everything about you, in all servers and DMs. I ask once more.\n" in text
    assert " See what I remember here, from whom, and who can read it\n" in text
    direct = await help_of(counted, discord.bo, discord.open_dm(discord.bo))
    assert direct.startswith(
        '**Just write to me**, like "why is the night sky dark?". In a server, mention me or reply to me. You have 20'
    )


async def test_help_names_the_commands_that_a_person_finds_there(counted: World) -> None:
    discord = counted.discord
    direct = discord.open_dm(discord.max)
    for person, channel in ((discord.bo, discord.general), (discord.max, discord.general), (discord.max, direct)):
        text = await help_of(counted, person, channel)
        found = {(each["name"], each["id"]) for each in discord.visible_commands(person, channel)}
        named = {(name.split(" ")[0], id_) for name, id_ in re.findall(r"</([^:]+):(\d+)>", text)}
        assert named == found
        assert "persona" in text
    assert "</model:" not in await help_of(counted, discord.bo, discord.general)


async def test_help_tells_of_the_model_and_the_persona_here(counted: World) -> None:
    discord = counted.discord
    await counted.store.personas.set_persona(on_discord(discord.general.id), discord.guild.id, "You are a pirate.")
    await counted.store.personas.set_model(on_discord(discord.general.id), discord.guild.id, "large")
    thread = await discord.open_thread(discord.general, "side", discord.bo)
    for channel in (discord.general, thread):
        text = await help_of(counted, discord.bo, channel)
        assert "the model `large` (OpenAI)" in text
        assert "/persona shows it." in text
    text = await help_of(counted, discord.bo, discord.random_channel)
    assert "the model `demo` (OpenAI)" in text
    assert "/persona shows it." not in text


async def test_help_says_where_it_does_not_answer(counted: World) -> None:
    discord = counted.discord
    await counted.store.guild_rules.pause(discord.guild.id)
    text = await help_of(counted, discord.bo, discord.general)
    assert text.startswith("**The moderators have paused me here.")


@pytest.mark.parametrize(
    "options", [replace(PRICED, access=AccessSettings(direct_messages="off"), retention_days=0, provider="ollama.lan")]
)
async def test_help_says_what_the_operator_has_set(counted: World) -> None:
    discord = counted.discord
    text = await help_of(counted, discord.bo, discord.general)
    assert "or in a direct message" not in text
    assert "I forget by myself" not in text
    assert "`demo` (ollama.lan)" in text


async def test_help_does_without_what_discord_does_not_tell(counted: World, monkeypatch: pytest.MonkeyPatch) -> None:
    discord = counted.discord
    monkeypatch.setattr("bot.discord_bot.commands.about.IDS_WITHIN", 0.1)
    before = len(discord.calls("GET", COMMANDS))
    discord.faults.add(Slow(1.0), method="GET", route=COMMANDS)
    for _ in range(2):
        text = await help_of(counted, discord.bo, discord.general)
        assert "\n/reset Forget this conversation\n" in text
    await discord.wait_for(lambda: all(call.answered for call in discord.calls("GET", COMMANDS)))
    assert "\n</reset:" in await help_of(counted, discord.bo, discord.general), "what came too late is used"
    assert len(discord.calls("GET", COMMANDS)) == before + 1, "asked once, however many wait for it"


def test_help_only_names_the_commands_where_they_are_many() -> None:
    many = [(f"</command-{n}:1234567890123456789>", "What it does, at some length") for n in range(25)]
    text = help_text(
        "Polly",
        None,
        "demo",
        "OpenAI",
        direct_messages=True,
        retention_days=90,
        hourly_questions_per_user=20,
        persona=True,
        commands=many,
    )
    assert len(text) <= 2000
    assert all(name in text for name, _ in many)
    assert "What it does" not in text

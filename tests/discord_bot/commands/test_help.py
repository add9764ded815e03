"""/help, as members, moderators and people in DMs read it."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from bot.core.access import AccessSettings
from bot.standin.commands import SLASH
from bot.standin.entities import Channel, User
from bot.standin.faults import Slow
from bot.standin.server import DiscordStandin
from bot.texts.help import listed
from tests.discord_bot.commands.conftest import PRICED
from tests.discord_bot.conftest import COMMANDS, World
from tests.places import on_discord

pytestmark = pytest.mark.virtual_time


async def help_of(world: World, user: User, channel: Channel) -> str:
    shown = await world.discord.slash(user, channel, "help")
    answer = await shown.answered()
    assert shown.ephemeral
    assert len(answer.content) <= 2000
    if not answer.embeds:
        return answer.content
    [commands] = answer.embeds
    assert not answer.embeds_suppressed
    return f"{answer.content}\n\n**{commands['title']}**\n{commands['description']}\n"


@pytest.fixture
def nickname(discord: DiscordStandin) -> None:
    """What the bot is called in the server."""
    discord.guild.members[discord.bot.id].nick = "Polly"


@pytest.mark.usefixtures("nickname")
async def test_help_explains_use_and_privacy(counted: World) -> None:
    discord = counted.discord
    text = await help_of(counted, discord.bo, discord.general)
    assert text.startswith(
        '**Ask me** by mentioning me, like "@Polly why is the night sky dark?", by a reply to one of my messages, or in'
        " a direct message. I also read images, text files and PDFs. About any message: its menu, then Apps, Ask about"
        " this. You have 20 questions an hour; /usage shows what is left.\n\n"
        "**I remember** our conversation in each channel, thread and direct message separately. /reset forgets the"
        " conversation here, /forget-me forgets everything you said. I forget a conversation that nobody uses for 90"
        " days."
        "\n\n**Your messages go** to the model `demo` (OpenAI), with what I remember here.\n\n**Commands**\n"
    )
    assert " Forget everything about you, in all servers and DMs. I ask you first.\n" in text
    assert " See or search what I remember here, see who can read it, and add notes about you\n" in text
    direct = await help_of(counted, discord.bo, discord.open_dm(discord.bo))
    assert direct.startswith(
        '**Just write to me**, like "why is the night sky dark?". In a server, mention me or reply to me. I also'
        " read images, text files and PDFs. About any message: its menu, then Apps, Ask about this. You have 20"
    )


async def test_help_lists_the_commands_available_to_the_person(counted: World) -> None:
    discord = counted.discord
    direct = discord.open_dm(discord.max)
    for person, channel in ((discord.bo, discord.general), (discord.max, discord.general), (discord.max, direct)):
        text = await help_of(counted, person, channel)
        visible = discord.visible_commands(person, channel)
        found = {(each["name"], each["id"]) for each in visible if each["type"] == SLASH}
        named = {(name.split(" ")[0], id_) for name, id_ in re.findall(r"</([^:]+):(\d+)>", text)}
        assert named == found
        assert "persona" in text
    assert "</model:" not in await help_of(counted, discord.bo, discord.general)


async def test_help_names_the_model_and_persona(counted: World) -> None:
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


PRIVACY, TERMS = "https://parley.example/privacy", "https://parley.example/terms?lang=en"


@pytest.fixture
def policies(request: pytest.FixtureRequest, discord: DiscordStandin) -> None:
    """What the owner entered in the developer portal."""
    discord.set_policies(**request.param)


@pytest.mark.parametrize(
    ("policies", "shown"),
    [
        ({}, ""),
        ({"privacy_policy_url": PRIVACY}, f"\n\nRead my owner's [privacy policy](<{PRIVACY}>)."),
        ({"terms_of_service_url": TERMS}, f"\n\nRead my owner's [terms of service](<{TERMS}>)."),
        (
            {"terms_of_service_url": TERMS, "privacy_policy_url": PRIVACY},
            f"\n\nRead my owner's [privacy policy](<{PRIVACY}>) and [terms of service](<{TERMS}>).",
        ),
    ],
    indirect=["policies"],
)
@pytest.mark.usefixtures("policies")
async def test_help_links_the_owners_policies(counted: World, shown: str) -> None:
    text = await help_of(counted, counted.discord.bo, counted.discord.general)
    assert f"with what I remember here.{shown}\n\n**Commands**\n" in text


async def test_help_says_where_the_bot_does_not_answer(counted: World) -> None:
    discord = counted.discord
    await counted.store.guild_rules.pause(discord.guild.id)
    text = await help_of(counted, discord.bo, discord.general)
    assert text.startswith("**The moderators have paused me here.")


async def test_help_that_cannot_be_read_is_said_so(counted: World) -> None:
    await counted.store.engine.write("ALTER TABLE personas RENAME TO elsewhere")
    text = await help_of(counted, counted.discord.bo, counted.discord.general)
    assert text == "I can't reach my memory right now. Please try again later."


@pytest.mark.parametrize("options", [replace(PRICED, access=AccessSettings(direct_messages="off"), retention_days=0)])
async def test_help_states_the_operators_settings(counted: World) -> None:
    discord = counted.discord
    text = await help_of(counted, discord.bo, discord.general)
    assert "or in a direct message" not in text
    assert "I forget a conversation" not in text


async def test_help_works_without_data_from_discord(counted: World, monkeypatch: pytest.MonkeyPatch) -> None:
    discord = counted.discord
    monkeypatch.setattr("bot.discord_bot.commands.help.IDS_WITHIN", 0.1)
    before = len(discord.calls("GET", COMMANDS))
    discord.faults.add(Slow(1.0), method="GET", route=COMMANDS)
    for _ in range(2):
        text = await help_of(counted, discord.bo, discord.general)
        assert "\n/reset Forget this conversation\n" in text
    await discord.wait_for(lambda: all(call.answered for call in discord.calls("GET", COMMANDS)))
    assert "\n</reset:" in await help_of(counted, discord.bo, discord.general), "what came too late is used"
    assert len(discord.calls("GET", COMMANDS)) == before + 1, "asked once, however many wait for it"


async def test_help_names_every_model_that_may_get_a_message(world: World) -> None:
    world.conversations.settings = replace(
        world.conversations.settings,
        fallback_model="b",
        vision_model="c",
        transcription_model="d",
        summaries=True,
        summary_model="demo",
    )
    text = await help_of(world, world.discord.bo, world.discord.general)
    way = next(line for line in text.splitlines() if line.startswith("**Your messages go**"))
    assert way == (
        "**Your messages go** to the model `demo` (OpenAI), or to `b` (OpenAI) if that one fails, to `c` (OpenAI) for"
        " images, to `d` (OpenAI) for voice messages, with what I remember here."
    )


def test_help_has_a_line_for_each_of_many_commands() -> None:
    many = [(f"</command-{n}:1234567890123456789>", "What it does, at some length") for n in range(40)]
    text = listed(many)
    assert len(text) <= 4096, "as many as an embed may have"
    assert text.splitlines() == [f"{name} {does}" for name, does in many]

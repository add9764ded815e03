"""The slash commands, as people use them."""

from __future__ import annotations

import asyncio

import pytest

from bot.core.access import GuildRules
from bot.core.turns import Attempt, Outcome, Prompt, TurnState, UserName
from bot.standin.entities import Channel, User
from bot.standin.interactions import Interaction
from bot.standin.script import Reply
from tests.discord_bot.conftest import World
from tests.places import on_discord
from tests.waiting import PATIENCE

pytestmark = [pytest.mark.virtual_time, pytest.mark.both_engines]


async def test_reset_forgets_the_conversation(world: World) -> None:
    discord = world.discord
    for channel in (discord.general, discord.random_channel):
        await world.ask("my name is Bo", channel)
        await world.reply(channel)
        await world.idle()
    used = await discord.slash(discord.cleo, discord.general, "reset")
    answer = await used.answered()
    assert answer.content == "Cleo cleared my memory here: 1 question. The messages above stay."
    assert answer.silent
    assert not used.ephemeral
    assert await world.turns(discord.general) == []
    assert len(await world.turns(discord.random_channel)) == 1
    await world.ask("what is my name?")
    request = await world.asked(2)
    assert len(request.messages) == 2, "nothing of before is sent"
    await world.idle()


async def test_reset_stops_running_and_waiting_replies(world: World) -> None:
    discord = world.discord
    world.model.script.append(Reply("a reply that goes on and on " * 40, tokens_per_second=100))
    await world.ask("first")
    await world.ask("second")
    running = await world.reply(discord.general, "a reply that goes on")
    used = await discord.slash(discord.cleo, discord.general, "reset")
    assert "2 questions." in (await used.answered()).content, "what is being written counts, and what waits"
    await discord.wait_for(lambda: "-# Stopped by Cleo." in running.content)
    await world.idle()
    assert running.content.startswith("a reply that goes on")
    waiting = discord.bot_messages(discord.general)[-1]
    assert waiting.content == "-# Cleo cleared my memory here before I could answer. Please ask again."
    assert await world.turns(discord.general) == []
    assert await world.store.turns.count(on_discord(discord.general.id)) == 0
    async with asyncio.timeout(PATIENCE):
        await world.model.requests[0].over()
    assert world.model.requests[0].left, "the model's server is told to stop"


async def test_reset_works_in_a_direct_message(world: World) -> None:
    discord = world.discord
    direct = discord.open_dm(discord.bo)
    await discord.say(direct, discord.bo, "hello")
    await world.reply(direct)
    await world.idle()
    used = await discord.slash(discord.bo, direct, "reset")
    assert "1 question" in (await used.answered()).content
    assert await world.turns(direct) == []


async def fill(world: World, channel: Channel, questions: int, *people: User) -> None:
    """Put answered questions on record, one after the other from each of these people."""
    here = on_discord(channel.id)
    for number in range(questions):
        author = people[number % len(people)]
        name, guild = UserName(author.name, author.name), channel.guild.id if channel.guild else None
        # Ids that the stand-in gives to no message.
        prompt = Prompt(here, 10**6 + number, f"question {number}", author.id, name, guild_id=guild)
        attempt = await world.store.turns.begin(prompt)
        assert isinstance(attempt, Attempt)
        await world.store.turns.close(attempt, Outcome(TurnState.COMPLETE, f"reply {number}"))


async def reset(world: World, user: User, channel: Channel) -> tuple[Interaction, list[str]]:
    """The use of /reset, and the ids of the buttons that it shows."""
    used = await world.discord.slash(user, channel, "reset")
    return used, [str(button["custom_id"]) for button in (await used.answered()).buttons]


async def test_reset_of_what_many_asked_is_asked_about_first(world: World) -> None:
    discord = world.discord
    await fill(world, discord.general, 42, discord.bo, discord.ada)
    before = len(discord.bot_messages(discord.general))
    used, offered = await reset(world, discord.cleo, discord.general)
    limited = "I remember 42 questions from 2 people here. Only people who can manage messages can reset all of them."
    assert (used.content, used.ephemeral, offered) == (limited, True, [])

    used, offered = await reset(world, discord.bo, discord.general)
    assert (used.content, offered) == (f"{limited} Forget yours?", ["reset:mine"])
    await discord.press(discord.bo, await used.answered(), "reset:mine")
    mine = "I have forgotten what you asked here: 21 questions. The messages above stay."
    await discord.wait_for(lambda: used.content == mine)
    assert len(await world.turns(discord.general)) == 21
    assert len(discord.bot_messages(discord.general)) == before, "nobody else is told"

    asking, offered = await reset(world, discord.max, discord.general)
    assert (asking.content, offered) == (
        "I remember 21 questions from 1 person here. Forget all of them?",
        ["reset:all"],
    )
    message = await asking.answered()
    roles = discord.guild.members[discord.max.id].roles
    taken = list(roles)
    roles.clear()
    refused = await discord.press(discord.max, message, "reset:all")
    assert (await refused.answered()).content == (
        "Only people who can manage messages here can reset everyone's questions."
    )
    roles.extend(taken)
    await discord.press(discord.max, message, "reset:all")
    notice = await world.reply(discord.general, "Max cleared my memory here: 21 questions. The messages above stay.")
    assert notice.silent
    assert asking.content == "Done."
    assert await world.turns(discord.general) == []


async def test_reset_at_once_in_own_threads_and_of_few_questions(world: World) -> None:
    discord = world.discord
    thread = await discord.open_thread(discord.general, "boats", discord.bo)
    await fill(world, thread, 30, discord.ada)
    used, _ = await reset(world, discord.bo, thread)
    assert (used.content, used.ephemeral) == (
        "Bo cleared my memory here: 30 questions. The messages above stay.",
        False,
    )
    await fill(world, discord.general, 40, discord.bo, discord.ada)
    used, _ = await reset(world, discord.bo, discord.general)
    assert used.content == "Bo cleared my memory here: 40 questions. The messages above stay."


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("**Bo** `x`", r"\*\*Bo\*\* \`x\`"),
        ("@everyone", "@everyone"),
        ("<@1> <t:0:R>", r"\<@1> \<t:0:R>"),
        ("-# small", r"\-# small"),
        ("# big", r"\# big"),
        ("1. first", r"1\. first"),
    ],
)
async def test_display_name_cannot_format_the_reset_notice(world: World, name: str, shown: str) -> None:
    discord = world.discord
    person = discord.add_user("someone", name)
    await world.ask("hello", author=person)
    await world.reply(discord.general)
    await world.idle()
    used = await discord.slash(person, discord.general, "reset")
    answer = await used.answered()
    assert answer.pinged == set()
    assert answer.content.startswith(f"{shown} cleared my memory here:")


async def test_reset_of_an_empty_conversation_is_private(world: World) -> None:
    used = await world.discord.slash(world.discord.bo, world.discord.general, "reset")
    assert (await used.answered()).content == "There was nothing to forget."
    assert used.ephemeral


async def test_slow_reset_is_deferred_privately(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    discord = world.discord
    await world.ask("hello")
    await world.reply(discord.general)
    await world.idle()
    monkeypatch.setattr("bot.discord_bot.interactions.responses.DEFER_AFTER", 0.02)
    read, go_on = world.store.guild_rules.rules_for, asyncio.Event()

    async def slowly(guild_id: int, user_id: int) -> GuildRules:
        await go_on.wait()
        return await read(guild_id, user_id)

    monkeypatch.setattr(world.store.guild_rules, "rules_for", slowly)
    used = [await discord.slash(discord.bo, discord.general, name) for name in ("reset", "stop")]
    for each in used:
        await each.acknowledged()
        assert each.deferred
        assert each.ephemeral, "it may be refused"
    go_on.set()
    assert (await used[1].answered()).content == "I'm not writing anything for you here right now."
    told = await world.reply(discord.general, "Bo cleared my memory here: 1 question.", count=2)
    assert told.silent
    assert not told.ephemeral
    assert used[0].response is not None
    thinking = used[0].response
    await discord.wait_for(lambda: thinking.deleted)

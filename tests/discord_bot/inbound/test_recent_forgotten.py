"""Nothing is kept of the recent messages that went along with questions, and what was made from them goes."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from bot.discord_bot.channels import private_conversation
from bot.standin.entities import Intent, User
from bot.standin.model import ModelStandin
from bot.standin.script import Reply
from bot.standin.server import DiscordStandin
from tests import forkserver
from tests.discord_bot.conftest import Launch, Start, World
from tests.discord_bot.inbound.recent_messages import READING, forget_me, heard, let
from tests.discord_bot.people import shown
from tests.store.forgetting import secret
from tests.waiting import PATIENCE

pytestmark = [pytest.mark.usefixtures("echo"), pytest.mark.standin(privileged=Intent.MESSAGE_CONTENT)]


async def test_nothing_of_it_is_stored(reading: World, file: Path, model: ModelStandin) -> None:
    discord = reading.discord
    await let(reading)
    await reading.answered("first")
    await discord.say(discord.general, discord.cleo, "SECRET word")
    await reading.answered("what was said?")
    assert "SECRET" in heard(reading)
    assert not secret(file)


async def test_reply_goes_with_each_person_it_may_repeat(reading: World, model: ModelStandin) -> None:
    discord = reading.discord
    await let(reading)
    await reading.answered("first")
    await discord.say(discord.general, discord.cleo, "I live by the sea")
    model.script += [Reply("Cleo lives by the sea.")]
    await reading.answered("where does Cleo live?")
    assert [prompt for prompt, *_ in await reading.turns(discord.general)] == ["first", "where does Cleo live?"]
    await forget_me(discord, discord.cleo)
    await reading.until(lambda: reading.turns(discord.general), [("first", "To first.", "complete")])
    await reading.answered("and now?")
    assert "sea" not in str(reading.model.requests[-1].messages), "neither from the memory nor from the recent messages"


async def test_private_question_has_them_too_and_goes_with_each_of_them(
    reading: World, model: ModelStandin, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A busy machine may take longer than Discord allows for the first answer.
    monkeypatch.setattr("bot.standin.interactions.DEADLINE", PATIENCE)
    discord = reading.discord
    await let(reading)
    await reading.answered("first")
    await discord.say(discord.general, discord.cleo, "I live by the sea")
    model.script += [Reply("Cleo lives by the sea.")]
    question = "where does Cleo live?"
    used = await discord.slash(discord.bo, discord.general, "ask", question=question, only_for_me=True)
    await discord.wait_for(lambda: used.content == "Cleo lives by the sea.")
    await reading.idle()
    assert used.ephemeral
    assert heard(reading) == "[Cleo (@cleo)]\n> I live by the sea"
    mine = private_conversation(discord.general.id, discord.bo.id)
    assert [turn.reply for turn in await reading.store.turns.history(mine, 10)] == ["Cleo lives by the sea."]
    await forget_me(discord, discord.cleo)
    await reading.until(lambda: reading.store.turns.history(mine, 10), [])
    used = await discord.slash(discord.bo, discord.general, "ask", question="and now?", only_for_me=True)
    await discord.wait_for(lambda: used.content == "To and now?.")
    assert "sea" not in str(model.requests[-1].messages)


async def test_reply_under_way_stops_when_one_of_them_is_forgotten(reading: World, model: ModelStandin) -> None:
    discord = reading.discord
    await let(reading)
    await reading.answered("first")
    await discord.say(discord.general, discord.cleo, "I live by the sea")
    model.script += [Reply("Cleo lives by the sea. " * 100, tokens_per_second=50)]
    await reading.ask("where does Cleo live?")
    await reading.reply(discord.general, "Cleo lives")
    await forget_me(discord, discord.cleo)
    await reading.idle()
    assert reading.shown()[-1].endswith("\n-# Stopped."), "nobody is told whose messages it had"
    assert await reading.turns(discord.general) == [("first", "To first.", "complete")]


@pytest.mark.parametrize("is_on_record", [False, True])
async def test_command_of_the_operator_empties_the_memory_of_the_running_bot(
    reading: World, file: Path, is_on_record: bool
) -> None:
    discord = reading.discord
    await let(reading)
    await reading.answered("first")
    await discord.say(discord.general, discord.cleo, "I live by the sea")
    await discord.say(discord.general, discord.max, "I don't")
    if is_on_record:
        await reading.answered("where does Cleo live?")
        assert "sea" in heard(reading)
    await forgotten_by_the_operator(discord.cleo, file)
    await reading.answered("and now?")
    assert heard(reading) == "[Max (@max)]\n> I don't"
    assert not await reading.store.engine.read("SELECT 1 FROM recent_authors WHERE user_id = :id", id=discord.cleo.id)
    note = "SELECT 1 FROM forgotten_by_commands"
    await reading.until(lambda: reading.store.engine.read(note), [])


@pytest.mark.parametrize("by", ["themselves", "the operator"])
async def test_what_somebody_wrote_before_they_were_forgotten_is_not_read_from_discord(
    start: Start, discord: DiscordStandin, file: Path, by: str
) -> None:
    async with start(options=READING) as world:
        await let(world)
        await world.answered("long ago")
        await world.ask_and_wait("hello", discord.random_channel, discord.cleo)
    await discord.say(discord.general, discord.cleo, "I live by the sea")
    await discord.say(discord.general, discord.max, "I don't")
    async with start(options=READING) as world:
        await world.caught_up()
        if by == "themselves":
            await forget_me(discord, discord.cleo)
        else:
            await forgotten_by_the_operator(discord.cleo, file)
            note = "SELECT 1 FROM forgotten_by_commands"
            await world.until(lambda: world.store.engine.read(note), [])
        await discord.say(discord.general, discord.cleo, "I am new here")
        await world.answered("and now?")
        assert heard(world) == "[Max (@max)]\n> I don't\n[Cleo (@cleo)]\n> I am new here"


async def test_command_of_the_operator_stops_a_reply_that_has_no_word_yet(
    start: Start, discord: DiscordStandin, model: ModelStandin, file: Path
) -> None:
    never = asyncio.Event()
    async with start(options=READING, patience=3600.0) as reading:
        await let(reading)
        await reading.answered("first")
        await discord.say(discord.general, discord.cleo, "I live by the sea")
        model.script += [Reply("Cleo lives by the sea.", held_until=never)]
        await reading.ask("where does Cleo live?")
        await discord.wait_for(lambda: len(model.requests) == 2)
        await forgotten_by_the_operator(discord.cleo, file)
        await reading.idle()
        assert reading.shown()[-1] == "-# This was forgotten before I could answer."
        assert await reading.turns(discord.general) == [("first", "To first.", "complete")]


async def forgotten_by_the_operator(person: User, file: Path) -> None:
    """What `python -m bot forget` does while the bot runs."""
    command = await forkserver.start(
        *("-m", "bot", "forget", str(person.id), "--yes"),
        env={**os.environ, "DATABASE_PATH": str(file)},
        cwd=file.parent,
        stdout=asyncio.subprocess.DEVNULL,
    )
    assert await command.wait() == 0


async def test_kill_while_it_is_used_loses_nothing(
    launch: Launch, discord: DiscordStandin, model: ModelStandin, start: Start
) -> None:
    async with start(options=READING) as world:
        await let(world)
        await world.answered("hello", discord.random_channel)
    await discord.say(discord.general, discord.cleo, "I live by the sea")
    model.script += [Reply("She lives " + "far " * 400, tokens_per_second=40)]
    async with launch(MESSAGE_CONTENT="true") as process:
        await discord.ready()
        await discord.say(discord.general, discord.bo, f"{discord.bot.mention} where?")
        await discord.wait_for(lambda: "She lives" in "".join(shown(discord)))
        process.kill()
        await process.wait()
    async with start(options=READING) as world:
        await world.reply(discord.general, "To where?.")
        await world.idle()
        assert heard(world) == "[Cleo (@cleo)]\n> I live by the sea", "it goes along again"
        await forget_me(discord, discord.cleo)
        await world.until(lambda: world.turns(discord.general), [])

"""A conversation that the operator imports into a channel while the bot runs."""

from __future__ import annotations

import re
from pathlib import Path

from bot.core.records import Exchange, Transcript
from bot.store.sqlite import open_store
from bot.transcripts.transfer import import_into
from tests.discord_bot.conftest import World
from tests.places import on_discord

SAID = Transcript("Be a pirate.", [Exchange("Why?", "Because."), Exchange("[Bo (@bo)]\nAnd then?", "Nothing.")])


async def test_the_next_question_continues_what_was_imported(world: World, file: Path) -> None:
    discord = world.discord
    await world.answered("Who are you?")
    await discord.slash(discord.max, discord.general, "reset")
    here = on_discord(discord.general.id)
    await world.until(lambda: world.store.turns.count(here), 0)
    async with open_store(file, exclusive=False) as store:
        await import_into(store, here, SAID)

    await world.ask_and_wait("go on")
    system, *others = (await world.asked(1)).messages
    assert system["content"].startswith("Be a pirate.\n\n")
    assert [each["content"] for each in others] == [
        *(text for each in SAID.exchanges for text in (each.prompt, each.reply)),
        others[-1]["content"],
    ]
    assert others[-1]["content"].endswith("go on")

    memory = await discord.slash(discord.bo, discord.general, "memory")
    assert re.match(
        r"Here I remember 3 questions and my replies since <t:\d+:D>: someone 2, Bo 1\.\n",
        (await memory.answered()).content,
    )
    persona = await discord.slash(discord.bo, discord.general, "persona")
    assert "Be a pirate." in (await persona.answered()).content
    forgotten = await discord.slash(discord.max, discord.general, "reset")
    assert "3 questions" in (await forgotten.answered()).content
    await world.ask_and_wait("still there?")
    assert len((await world.asked(2)).messages) == 2

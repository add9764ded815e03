"""/memory: what is remembered in a place, and one's own notes there, with their buttons and their form."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from bot.core.prompt_text import speaker
from bot.core.turns import Prompt
from bot.standin.entities import Channel, Guild, Message, User
from bot.standin.faults import Slow
from bot.standin.interactions import Interaction
from bot.standin.model import ModelStandin
from bot.standin.script import Raw
from bot.standin.server import DiscordStandin
from bot.texts.memory import TOLD_TO_MODEL
from tests.discord_bot.commands.test_privacy import chat, file
from tests.discord_bot.conftest import Launch, World, commands_are_settled
from tests.llm.wire import DONE, STOP, data, say
from tests.places import on_discord
from tests.store.steps import files, read_only
from tests.waiting import FOR_A_PROCESS, until

pytestmark = pytest.mark.virtual_time

ANSWER = "/interactions/{interaction_id}/{interaction_token}/callback"

NONE = (
    'You have no notes in this server. Add one, like "call me Kim" or "I\'m vegan": the model gets it with each of '
    "your questions here."
)
PUBLIC = "Saved. My answers in this server are public: everyone in the channel sees what they say about you."
HEADING = (
    "**Your notes in this {}** ({} of 1,000 characters). The model gets them with each of your questions here. Only "
    "you can see and delete them. /reset keeps them, /forget-me deletes them. I delete them if you "
    "ask nothing here for 90 days."
)


async def test_memory_says_what_is_stored(world: World) -> None:
    discord = world.discord
    await chat(world, discord.general, discord.bo, "a" * 350)
    await chat(world, discord.general, discord.cleo, "b" * 350)
    await chat(world, discord.general, discord.bo, "c" * 350)
    used = await discord.slash(discord.max, discord.general, "memory")
    said = (await used.answered()).content
    assert used.ephemeral
    assert re.fullmatch(
        r"Here I remember 3 questions and my replies since <t:\d+:D>: Bo 2, Cleo 1\.\n"
        r"That is roughly 304 tokens\. With each question my model is sent at most 8,000 of them, the latest\.\n"
        r"I keep the words in text files, PDFs and voice messages, and which images were shown, but not the files "
        r"themselves\.\n"
        r"It can be read by my model's provider \(OpenAI\), by my owner and, through my answers, by everyone "
        r"who can see this channel\.\n"
        r"I delete it when nobody has used it for 90 days\. /reset forgets all of it now\. /forget-me forgets "
        r"everything of yours, here and elsewhere\.\n"
        r"The model also gets my persona or standard instructions, today's date and your notes\.\n"
        r"Of the \d{3} tokens sent with the last questions here, 0 came from the provider's cache\.",
        said,
    )
    elsewhere = await discord.slash(discord.bo, discord.random_channel, "memory")
    assert (await elsewhere.answered()).content == "I remember nothing here."

    direct = discord.open_dm(discord.bo)
    await chat(world, direct, discord.bo, "hello")
    used = await discord.slash(discord.bo, direct, "memory")
    said = (await used.answered()).content
    assert re.match(r"Here I remember 1 question and my replies since <t:\d+:D>\.\n", said)
    assert "It can be read by you, by my model's provider (OpenAI) and by my owner." in said


async def test_memory_tells_what_the_provider_had_cached(world: World) -> None:
    discord = world.discord
    for cached in (0, 700):
        usage = {
            "prompt_tokens": 1000,
            "completion_tokens": 10,
            "prompt_tokens_details": {"cached_tokens": cached},
        }
        world.model.script.append(Raw([say("Yes.") + STOP + data({}, usage=usage) + DONE]))
        await world.answered()
    told = "Of the 2,000 tokens sent with the last questions here, 700 came from the provider's cache."
    for person in (discord.bo, discord.cleo):
        said = (await (await discord.slash(person, discord.general, "memory")).answered()).content
        assert said.endswith(f"\n{told}")
    # A thread is a conversation of its own.
    thread = await discord.open_thread(discord.general, "aside", discord.bo)
    said = (await (await discord.slash(discord.bo, thread, "memory")).answered()).content
    assert said == "I remember nothing here."


async def test_names_in_the_memory_list_are_plain_text(world: World) -> None:
    discord = world.discord
    key = on_discord(discord.general.id)
    for number in range(12):
        await world.store.turns.begin(
            Prompt(key, number, "Why?", number, speaker(f"**{number:x}**" + "_*" * 13, "x" * 32))
        )
    said = (await (await discord.slash(discord.bo, discord.general, "memory")).answered()).content
    assert r": \*\*0\*\*" in said
    assert " and 2 more people." in said
    assert len(said) < 2000


async def notes_of(discord: DiscordStandin, person: User, place: Channel | None = None) -> Message:
    """The message of /memory with somebody's notes."""
    used = await discord.slash(person, place or discord.general, "memory")
    await discord.wait_for(lambda: len(used.followups) == 1)
    [notes] = used.followups
    assert notes.ephemeral
    return notes


async def add(world: World, person: User, shown: Message, text: str) -> Interaction:
    """Add a note as a person does: the button, the form."""
    pressed = await (await world.press(shown, person, "notes:add")).acknowledged()
    assert pressed.modal is not None
    sent = await world.discord.submit(pressed, text=text)
    await sent.answered()
    return sent


def labels(message: Message) -> list[str]:
    return [each["label"] for each in message.buttons]


async def question(world: World, person: User, place: Channel | None = None) -> str:
    """What the model is sent as the question that somebody asks now."""
    count = len(world.model.requests)
    await world.answered("why?", place, person)
    return str(world.model.requests[count].messages[-1]["content"])


async def test_notes_are_made_shown_used_and_deleted(world: World) -> None:
    discord = world.discord
    shown = await notes_of(world.discord, discord.bo)
    assert (shown.content, labels(shown)) == (NONE, ["Add a note"])
    before = await question(world, discord.bo)
    sent = await add(world, discord.bo, shown, "  call me Kim ")
    assert sent.response is shown
    listed = f"{HEADING.format('server', 11)}\n```\n1. call me Kim\n```"
    assert shown.content == f"{PUBLIC}\n\n{listed}"
    await add(world, discord.bo, shown, "I'm vegan")
    assert labels(shown) == ["Add a note", "Delete 1", "Delete 2"]

    about = "⟦Notes by the author of this message about themselves, sent with each of their questions:\n{}⟧"
    told = about.format("- call me Kim\n- I'm vegan")
    assert await question(world, discord.bo) == before.replace("why?", f"{told}\nwhy?")
    assert told in await question(world, discord.bo, discord.random_channel), "everywhere in the server"
    thread = await discord.open_thread(discord.general, "aside", discord.bo)
    assert told in await question(world, discord.bo, thread)
    assert "Notes by" not in await question(world, discord.cleo, thread)
    direct = discord.open_dm(discord.bo)
    for person, place in ((discord.cleo, discord.general), (discord.max, discord.general), (discord.bo, direct)):
        assert "Notes by" not in await question(world, person, place)
    for person in (discord.cleo, discord.max, discord.ada):
        assert (await notes_of(world.discord, person)).content == NONE, (
            "nobody else sees them, no moderator and no owner"
        )

    again = await notes_of(world.discord, discord.bo, discord.random_channel)
    assert again.content == f"{HEADING.format('server', 20)}\n```\n1. call me Kim\n2. I'm vegan\n```"
    first = again.buttons[1]["custom_id"]
    await (await world.press(again, discord.bo, first)).answered()
    assert again.content == f"Deleted.\n\n{HEADING.format('server', 9)}\n```\n1. I'm vegan\n```"
    await (await world.press(shown, discord.bo, first)).answered()
    assert shown.content.startswith("This note is already deleted.\n\n")
    assert about.format("- I'm vegan") in await question(world, discord.bo)


async def test_notes_of_a_direct_message_stay_there(world: World) -> None:
    discord = world.discord
    direct = discord.open_dm(discord.bo)
    shown = await notes_of(world.discord, discord.bo, direct)
    assert shown.content == NONE.replace("in this server", "in this chat")
    await add(world, discord.bo, shown, "call me Kim")
    assert shown.content == f"Saved.\n\n{HEADING.format('chat', 11)}\n```\n1. call me Kim\n```"
    assert "call me Kim" in await question(world, discord.bo, direct)
    assert "call me Kim" not in await question(world, discord.bo)
    assert (await notes_of(world.discord, discord.bo)).content == NONE


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (" \u200b\n ", "The note is empty. Write something in it."),
        ("known", "You already have this note."),
        (
            "x" * 996,
            "That's too much. You can have 20 notes with 1,000 characters in total. Delete a note or shorten this one.",
        ),
        # An invisible character is shown, and counts, as its code point.
        (
            "\u200b" * 125 + "x",
            "That's too much. You can have 20 notes with 1,000 characters in total. Delete a note or shorten this one.",
        ),
    ],
)
async def test_unusable_note_is_refused(world: World, text: str, answer: str) -> None:
    discord = world.discord
    shown = await notes_of(world.discord, discord.bo)
    await add(world, discord.bo, shown, "known")
    sent = await add(world, discord.bo, shown, text)
    assert (sent.content, sent.ephemeral) == (answer, True)
    assert await world.store.notes.texts_of(discord.bo.id, discord.guild.id) == ["known"]


async def test_notes_at_their_limits_fit_one_message(world: World) -> None:
    discord = world.discord
    texts = ["````\n||a||\u200b👩‍🚀" * 3, *(f"{number}" + "`" * 25 for number in range(19))]
    for text in texts:
        shown = await notes_of(world.discord, discord.bo)
        await add(world, discord.bo, shown, text)
    assert labels(shown)[-1] == "Delete 20"
    assert shown.content.count("```") == 2
    assert len(await world.store.notes.of(discord.bo.id, discord.guild.id)) == 20
    long = await notes_of(world.discord, discord.cleo)
    await add(world, discord.cleo, long, "\n" * 3 + "\u202e\n" * 110 + "x")
    assert len(long.content) < 2000


async def test_notes_are_refused_where_the_bot_may_not_be_used(world: World) -> None:
    discord = world.discord
    shown = await notes_of(world.discord, discord.bo)
    await add(world, discord.bo, shown, "call me Kim")
    await world.store.guild_rules.block(discord.guild.id, discord.bo.id, None)
    refused = await add(world, discord.bo, shown, "vegan")
    assert refused.ephemeral
    assert refused.content == "The moderators here asked me not to answer you. They can change that."
    # What is kept of them they see in any case.
    assert (await notes_of(discord, discord.bo)).content.endswith("1. call me Kim\n```")
    await (await world.press(shown, discord.bo, shown.buttons[1]["custom_id"])).answered()
    assert shown.content.startswith("Deleted."), "one's own goes in any case"
    assert await world.store.notes.texts_of(discord.bo.id, discord.guild.id) == []


async def test_unserved_guild_keeps_no_notes(world: World, lobby: Channel, elsewhere: Guild, eve: User) -> None:
    shown = await notes_of(world.discord, eve, lobby)
    pressed = await world.press(shown, eve, "notes:add")
    await pressed.answered()
    assert pressed.modal is None
    assert pressed.ephemeral


async def test_failed_write_is_told_and_changes_nothing(world: World) -> None:
    discord = world.discord
    shown = await notes_of(world.discord, discord.bo)
    await add(world, discord.bo, shown, "call me Kim")
    before = shown.content
    sentence = "I can't save right now, so nothing is changed. Please try again later."
    async with read_only(world.store):
        assert (await add(world, discord.bo, shown, "vegan")).content == sentence
        pressed = await world.press(shown, discord.bo, shown.buttons[1]["custom_id"])
        assert (await pressed.answered()).content == sentence
    assert shown.content == before
    assert await world.store.notes.texts_of(discord.bo.id, discord.guild.id) == ["call me Kim"]


@pytest.mark.real_time("a process")
@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
async def test_killed_before_the_answer_a_note_is_there_once(
    discord: DiscordStandin, model: ModelStandin, launch: Launch
) -> None:
    """A person whose form seems to have failed sends it again. Buttons and forms of an earlier process work."""
    async with launch() as process:
        await discord.ready()
        await discord.wait_for(lambda: commands_are_settled(discord))
        shown = await notes_of(discord, discord.bo)
        form = await (await discord.press(discord.bo, shown, "notes:add")).acknowledged()
        # Discord never takes the answer, which comes once the note is saved.
        held = discord.faults.add(Slow(600, applied=False), method="POST", route=ANSWER)
        await discord.submit(form, text="call me Kim")
        await until(lambda: held.hits, within=FOR_A_PROCESS)
        process.kill()
    discord.faults.clear()
    async with launch():
        await discord.ready()
        sent = await discord.submit(form, text="call me Kim")
        assert (await sent.answered()).content == "You already have this note."
        await (await discord.submit(form, text="vegan")).answered()
        assert shown.content.endswith("1. call me Kim\n2. vegan\n```")
        await (await discord.press(discord.bo, shown, shown.buttons[1]["custom_id"])).answered()
        assert shown.content.endswith("1. vegan\n```")
        await discord.say(discord.general, discord.bo, f"{discord.bot.mention} remember that I'm tall")
        await discord.wait_for(lambda: discord.bot_messages(discord.general))
    [system, question] = [str(message["content"]) for message in model.requests[-1].messages]
    assert system.endswith(f"\n\n{TOLD_TO_MODEL}"), "the model knows that it cannot promise it"
    assert "\n- vegan⟧\n" in question


async def test_forgotten_person_has_no_notes_left(world: World, tmp_path: Path) -> None:
    discord = world.discord
    direct = discord.open_dm(discord.bo)
    for person, place in ((discord.bo, discord.general), (discord.bo, direct), (discord.cleo, discord.general)):
        shown = await notes_of(world.discord, person, place)
        await add(world, person, shown, "SECRET" if person is discord.bo else "Cleo's")
    await (await discord.slash(discord.bo, discord.general, "reset")).answered()
    assert await world.store.notes.texts_of(discord.bo.id, discord.guild.id) == ["SECRET"]
    used = await discord.slash(discord.bo, discord.general, "forget-me")
    said = (await used.answered()).content
    assert "your notes" in said
    assert used.response is not None
    await world.press(used.response, discord.bo, f"forget-me:yes:{discord.bo.id}")
    await discord.wait_for(lambda: (used.content or "").startswith("I have forgotten everything about you."))
    assert (await notes_of(world.discord, discord.bo)).content == NONE
    assert "Notes by" not in await question(world, discord.bo)
    assert "Notes by" not in await question(world, discord.bo, direct)
    assert await world.store.notes.texts_of(discord.cleo.id, discord.guild.id) == ["Cleo's"]
    await world.store.engine.erase_deleted()
    names = ("parley.db", "parley.db-wal")
    assert not any(b"SECRET" in files(tmp_path / "parley.db")[name] for name in names)


async def test_export_holds_ones_own_notes(world: World) -> None:
    discord = world.discord
    direct = discord.open_dm(discord.bo)
    for person, place, text in (
        (discord.bo, discord.general, "here"),
        (discord.bo, direct, "in a DM"),
        (discord.cleo, discord.general, "Cleo's"),
    ):
        await add(world, person, await notes_of(discord, person, place), text)
    for place, texts in ((discord.random_channel, ["here"]), (direct, ["here", "in a DM"])):
        used = await discord.slash(discord.bo, place, "export")
        await used.answered()
        assert [note["text"] for note in file(used)["notes"]] == texts


async def test_nobody_uses_up_anothers_buttons(world: World) -> None:
    """Discord shows the message to nobody else; whoever presses its buttons all the same acts on their own notes."""
    discord = world.discord
    shown = await notes_of(world.discord, discord.bo)
    await add(world, discord.bo, shown, "call me Kim")
    await (await world.press(shown, discord.max, shown.buttons[1]["custom_id"])).answered()
    assert await world.store.notes.texts_of(discord.bo.id, discord.guild.id) == ["call me Kim"]

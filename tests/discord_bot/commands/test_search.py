"""/memory search: what people find, how it is shown, page by page, and who finds nothing."""

from __future__ import annotations

import asyncio
import re
import threading
from functools import partial

import pytest

from bot.core.turns import Attempt, Outcome, Prompt, TurnState, UserName
from bot.discord_bot.commands import search as command
from bot.standin.entities import Channel, Message, Permission, User
from bot.standin.interactions import Interaction
from bot.standin.script import Reply
from bot.standin.server import DiscordStandin
from bot.store import Store
from bot.store import search as store_search
from tests.discord_bot.conftest import Start, World
from tests.discord_reading import read
from tests.facts import FACTS
from tests.places import on_discord

pytestmark = pytest.mark.virtual_time

NO_SEARCH = "You can't read this channel's history, so you can't search it."


async def searched(discord: DiscordStandin, person: User, text: str, place: Channel | None = None) -> Message:
    used = await discord.slash(person, place or discord.general, "memory", search=text)
    said = await used.answered()
    assert said.ephemeral
    assert len(said.content) <= 2000
    return said


async def remember(store: Store, place: Channel, number: int, prompt: str, reply: str = "So it is.") -> None:
    """A turn of the past, asked in the message of this number."""
    name, guild = (None, None) if place.guild is None else (UserName("B*o", "bo"), place.guild.id)
    attempt = await store.turns.begin(Prompt(on_discord(place.id), number, prompt, 7, name, guild, message_id=number))
    assert isinstance(attempt, Attempt)
    await store.turns.close(attempt, Outcome(TurnState.COMPLETE, reply))
    await store.turns.mark_delivered(attempt)


def numbers(message: Message) -> list[int]:
    """The numbers of the questions that a page links to."""
    return [
        int(number) for number in re.findall(r"\[asked\]\(https://discord\.com/channels/\S+/(\d+)\)", message.content)
    ]


def bold(message: Message) -> str:
    return "".join(character for character, styles in read(message.content) if "bold" in styles)


async def press(world: World, person: User, message: Message, label: str) -> Interaction:
    [button] = [each for each in message.buttons if each["label"] == label]
    pressed = await world.press(message, person, button["custom_id"])
    return await pressed.acknowledged()


async def test_question_and_answer_are_found_with_links_and_marks(world: World) -> None:
    discord = world.discord
    world.model.script += [Reply("She is called Marigold, your boat."), Reply("Quite.")]
    asked = await world.ask_and_wait("what is the BOAT's name?")
    answer = discord.bot_messages(discord.general)[-1]
    await world.ask_and_wait("nothing of that kind")
    said = await searched(discord, discord.cleo, "boat")
    here = f"https://discord.com/channels/{discord.guild.id}/{discord.general.id}"
    assert re.fullmatch(
        r"\*\*Search for\*\* boat\n"
        rf"<t:\d+:d> \*\*Bo\*\* \[asked\]\({here}/{asked.id}\): what is the \*\*BOAT\*\*'s name\?\n"
        rf"I \[answered\]\({here}/{answer.id}\): She is called Marigold, your \*\*boat\*\*\.\n"
        r"-# That's all: I searched back to <t:\d+:f>, the first I remember here\.",
        said.content,
    )
    assert said.buttons == []
    # Deleting the message behind a fact takes it out.
    await discord.delete(asked)
    await world.until(partial(world.turns, discord.general), [("nothing of that kind", "Quite.", "complete")])
    nothing = await searched(discord, discord.cleo, "boat")
    assert re.fullmatch(r"\*\*Nothing found for\*\* boat\n-# That's all: .*", nothing.content)
    empty = await searched(discord, discord.cleo, "boat", discord.random_channel)
    assert empty.content == "**Nothing found for** boat\n-# I remember nothing older here."


async def test_pages_outlive_a_restart(start: Start) -> None:
    async with start() as world:
        discord = world.discord
        for number in range(1, 13):
            await remember(world.store, discord.general, number, f"boat {number}")
        shown = await searched(discord, discord.bo, "Boat")
        assert (numbers(shown), [each["label"] for each in shown.buttons]) == ([12, 11, 10, 9, 8], ["Older"])
        await press(world, discord.bo, shown, "Older")
        assert numbers(shown) == [7, 6, 5, 4, 3]
    async with start() as world:
        await press(world, discord.bo, shown, "Older")
        assert (numbers(shown), [each["label"] for each in shown.buttons]) == ([2, 1], ["Newer"])
        assert "That's all" in shown.content
        await remember(world.store, discord.general, 13, "boat 13")
        await world.store.retention.forget_prompts([5])
        await press(world, discord.bo, shown, "Newer")
        assert numbers(shown) == [8, 7, 6, 4, 3]
        await press(world, discord.bo, shown, "Newer")
        assert (numbers(shown), [each["label"] for each in shown.buttons]) == ([13, 12, 11, 10, 9], ["Older"])
        await press(world, discord.bo, shown, "Older")
        assert numbers(shown) == [8, 7, 6, 4, 3]


async def test_fifty_facts_are_found_by_the_command(world: World) -> None:
    """Told 300 to 3,000 turns ago, each looked for by one shared word."""
    discord = world.discord
    await remember(world.store, discord.general, 1, "So it goes.")
    await world.store.engine.write(
        """
        WITH RECURSIVE numbers (n) AS (SELECT 2 UNION ALL SELECT n + 1 FROM numbers WHERE n < 3100)
        INSERT INTO stored_turns (
            conversation_id, position, message_id, user_id, display_name, user_name, prompt, reply, state, created_at,
            delivered
        )
        SELECT conversation_id, n, n, user_id, display_name, user_name, prompt || ' ' || n, reply, state, n, delivered
        FROM stored_turns, numbers
        """
    )
    told = {3100 - (300 + number * 55): fact for number, fact in enumerate(FACTS)}
    for position, (fact, _) in told.items():
        await world.store.engine.write(
            "UPDATE stored_turns SET prompt = :fact WHERE position = :position", fact=fact, position=position
        )
    found = 0
    for position, (_, word) in told.items():
        said = await searched(discord, discord.cleo, word)
        found += numbers(said) == [position] and bool(bold(said).removeprefix("Searchfor").removeprefix("B*o"))
    assert found == 50


@pytest.mark.parametrize(
    ("query", "told", "marked"),
    [
        ("ısparta", "ISPARTA'dan geldim", "ISPARTA"),
        ("DİYARBAKIR", "Diyarbakır'a gidelim", "Diyarbakır"),
        ("STRASSE", "In der Straße", "Straße"),
        ("名字", "我的名字是小明。", "名字"),
        ("ปลา", "ฉันชอบปลาทู", "ปลา"),
        ("احمد", "اسمي أَحْمَد", "أَحْمَد"),
        ("🚀", "to the 👩\u200d🚀!", "👩\u200d🚀"),
        ("👍", "👍🏽 from me", "👍🏽"),
    ],
)
async def test_words_are_found_and_marked_in_any_script(world: World, query: str, told: str, marked: str) -> None:
    discord = world.discord
    await remember(world.store, discord.general, 1, told)
    await remember(world.store, discord.general, 2, "something else: Ιθάκη, 船, เรือ, سفينة, 🐟")
    said = await searched(discord, discord.cleo, query)
    assert numbers(said) == [1]
    assert f": {told.replace(marked, f'**{marked}**')}" in said.content


async def test_edited_question_is_found_as_it_is_now(world: World) -> None:
    discord = world.discord
    world.model.script.append(Reply("There."))
    asked = await world.ask_and_wait("where is the boat?")
    await discord.edit(asked, f"{discord.bot.mention} where is the sledge?")
    await world.until(partial(_prompts, world), ["where is the sledge?"])
    assert numbers(await searched(discord, discord.cleo, "where sledge")) == [asked.id]
    assert numbers(await searched(discord, discord.cleo, "where boat")) == []


async def _prompts(world: World) -> list[str]:
    return [prompt for prompt, *_ in await world.turns(world.discord.general)]


@pytest.mark.parametrize("at", ["the command", "the button", "a thread"])
async def test_nobody_searches_a_history_that_they_may_not_read(world: World, at: str) -> None:
    discord = world.discord
    thread = await discord.open_thread(discord.general, "aside", discord.bo)
    place = thread if at == "a thread" else discord.general
    for number in range(1, 9):
        await remember(world.store, place, number, f"boat {number}")
    shown = await searched(discord, discord.cleo, "boat") if at == "the button" else None
    # A thread has the permissions of its channel.
    discord.world.set_permissions(discord.general, discord.cleo, deny=Permission.READ_MESSAGE_HISTORY)
    if shown is None:
        said = await searched(discord, discord.cleo, "boat", place)
    else:
        before = shown.content
        said = await (await press(world, discord.cleo, shown, "Older")).answered()
        assert shown.content == before
    assert (said.content, said.ephemeral) == (NO_SEARCH, True)


async def test_each_place_is_searched_by_itself(world: World) -> None:
    discord = world.discord
    direct = discord.open_dm(discord.bo)
    thread = await discord.open_thread(discord.general, "aside", discord.bo)
    for number, place in enumerate((discord.general, thread, direct, discord.random_channel), 1):
        await remember(world.store, place, number, "boat")
        found = await searched(discord, discord.bo, "boat", place)
        assert numbers(found) == [number]
        assert f"/{place.id}/{number})" in found.content
    said = await searched(discord, discord.bo, "boat", direct)
    assert f"**You** [asked](https://discord.com/channels/@me/{direct.id}/3): **boat**" in said.content


async def test_page_belongs_to_whoever_asked_for_it(world: World) -> None:
    discord = world.discord
    for number in range(1, 9):
        await remember(world.store, discord.general, number, f"boat {number}")
    shown = await searched(discord, discord.bo, "boat")
    before = shown.content
    pressed = await press(world, discord.max, shown, "Older")
    assert (await pressed.answered()).content == "Only the person who used the command can press this."
    assert shown.content == before


@pytest.mark.parametrize(
    ("query", "prompt"),
    [
        (
            "boat",
            "**boat** ||hidden|| `code` <@1> <#2> <:x:3> @everyone https://evil.example/boat [boat](https://e.example)",
        ),
        ("*", "2*3*4 and **"),
        ("_", "__init__"),
        ("\\", r"a\b"),
        ("boat", "# boat\n> quoted\n- item\n```\nboat\n```"),
        ("https://evil.example", "see https://evil.example/x"),
    ],
)
async def test_text_is_shown_as_text(world: World, query: str, prompt: str) -> None:
    discord = world.discord
    await remember(world.store, discord.general, 1, prompt)
    said = await searched(discord, discord.bo, query)
    line = said.content.split("\n")[1]
    seen = "".join(character for character, _ in read(line)).partition("asked:")[2]
    assert "".join(prompt.split()).startswith(seen.removesuffix("…"))
    marked = "".join(c for c, styles in read(line) if "bold" in styles).removeprefix("B*o")
    assert marked == query * (len(marked) // len(query)) != ""
    assert {style for _, styles in read(line) for style in styles} <= {"bold"}


async def test_worst_page_fits_a_message(world: World) -> None:
    discord = world.discord
    direct = discord.open_dm(discord.bo)
    for place, first in ((discord.general, 10**18), (direct, 2 * 10**18)):
        for number in range(first, first + 12):
            await remember(world.store, place, number, "*" * 4000, "*" * 4000)
        seen: list[int] = []
        shown = await searched(discord, discord.bo, "*" * 60, place)
        seen += numbers(shown)
        while any(each["label"] == "Older" for each in shown.buttons):
            await press(world, discord.bo, shown, "Older")
            assert len(shown.content) <= 2000
            seen += numbers(shown)
        assert seen == [*range(first + 11, first - 1, -1)]


async def test_long_text_keeps_nobody_waiting(world: World) -> None:
    """Where the words are in it takes longer to find than a callback may take (`tests/callbacks.py`)."""
    discord = world.discord
    await remember(world.store, discord.general, 1, "äöü " * 50_000 + "boat", "boot äöü " * 50_000 + "boat")
    said = await searched(discord, discord.bo, "BOAT")
    assert bold(said).endswith("boatboat")


async def test_long_search_stops_and_goes_on(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "SECONDS", 0.0)
    discord = world.discord
    for number in range(1, 152):
        await remember(world.store, discord.general, number, "boat" if number == 1 else "so it goes")
    shown = await searched(discord, discord.bo, "boat")
    assert re.fullmatch(
        r"\*\*Nothing found for\*\* boat\n-# I searched back to <t:\d+:f>\. Press Older to search further\.",
        shown.content,
    )
    await press(world, discord.bo, shown, "Older")
    assert numbers(shown) == [1]


@pytest.mark.real_time("a thread that the test holds up")
async def test_one_search_at_a_time_for_each_person(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    discord = world.discord
    await remember(world.store, discord.general, 1, "boat")
    matching, go_on, begun = store_search.matching, threading.Event(), threading.Event()

    def slowly(*arguments: object) -> object:
        begun.set()
        go_on.wait()
        return matching(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(store_search, "matching", slowly)
    try:
        first = await discord.slash(discord.bo, discord.general, "memory", search="boat")
        await asyncio.to_thread(begun.wait)
        said = await searched(discord, discord.bo, "boat")
        assert said.content == "I'm still searching for you. Try again in a moment."
        assert "**boat**" not in await _answer(world), "others are answered meanwhile"
    finally:
        go_on.set()
    await first.answered(30)
    await discord.wait_for(lambda: "**boat**" in (first.content or ""))


async def _answer(world: World) -> str:
    return (await world.answered("why?", author=world.discord.max)).content


@pytest.mark.parametrize("text", ["   \u3000", "\u200b"])
async def test_search_needs_a_word(world: World, text: str) -> None:
    said = await searched(world.discord, world.discord.bo, text)
    assert said.content == "Type a word to search for."

"""Messages that do not mention the bot, where moderators let it answer them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from bot.core.access import AccessSettings
from bot.core.channel_settings import WithoutMention
from bot.discord_bot.inbound.unmentioned import PAUSE, Talk
from bot.standin.entities import Attachment, Channel, Intent, Message, User
from bot.standin.model import ModelStandin
from bot.standin.script import Reply
from bot.standin.server import DiscordStandin
from tests.discord_bot.conftest import ALLOWANCES, OPTIONS, Held, Launch, Start, World
from tests.discord_bot.server_pages import BLOCK, change, choose

pytestmark = [pytest.mark.usefixtures("echo"), pytest.mark.standin(privileged=Intent.MESSAGE_CONTENT)]
READING = replace(OPTIONS, message_content=True)
SECOND = 1000 << 22
"""A second in snowflakes."""


@pytest.fixture
async def reading(start: Start) -> AsyncIterator[World]:
    async with start(options=READING) as world:
        yield world


async def let(world: World, channel: Channel, where: WithoutMention) -> None:
    """Have moderators let the bot answer without a mention, without the announcement."""
    await world.store.channel_settings.change(
        world.discord.guild.id, channel.id, by=world.discord.max.id, without_mention=where
    )


async def say(world: World, author: User, text: str, channel: Channel | None = None, **how: Any) -> str | None:
    """Say something without a mention, and what the bot replies, if anything."""
    said = await world.discord.say(channel or world.discord.general, author, text, **how)
    await settled(world)
    return reply_to(world.discord, said)


async def settled(world: World) -> None:
    """Wait until what was said before is dealt with."""
    quiet = world.discord.open_dm(world.discord.ada)
    count = len(world.discord.bot_messages(quiet)) + 1
    await world.discord.say(quiet, world.discord.ada, "quiet")
    await world.reply(quiet, count=count)
    await world.idle()


def reply_to(discord: DiscordStandin, said: Message) -> str | None:
    found = [each for each in discord.bot_messages(said.channel) if each.reply_to is said]
    return found[0].content if found else None


# Where and to whom


async def test_moderators_choose_where_no_mention_is_needed(reading: World) -> None:
    discord = reading.discord
    bo, general, random = discord.bo, discord.general, discord.random_channel
    mine = await discord.open_thread(general, "mine", bo)
    theirs = await discord.open_thread(general, "theirs", bo)
    await reading.answered("hello", mine)
    assert await say(reading, bo, "and now?", mine) is None, "nobody has chosen anything"
    await choose(discord, "mention", "threads")
    assert await say(reading, bo, "and now?", mine) == "To and now?."
    assert await say(reading, bo, "and here?", theirs) is None, "it has not answered in it"
    assert await say(reading, bo, "and here?") is None
    await choose(discord, "mention", "all")
    assert await say(reading, bo, "and now?") == "To and now?."
    assert await say(reading, bo, "and now?", theirs) == "To and now?."
    assert await say(reading, bo, "and now?", random) is None
    await choose(discord, "mention", "never")
    assert await say(reading, bo, "and now?", mine) is None
    assert [prompt for prompt, *_ in await reading.turns(mine)] == ["hello", "and now?"]


async def test_thread_that_was_answered_in_before_a_restart_is_still_ones_own(start: Start) -> None:
    async with start(options=READING) as world:
        thread = await world.discord.open_thread(world.discord.general, "side", world.discord.bo)
        await let(world, world.discord.general, WithoutMention.THREADS)
        await world.answered("hello", thread)
    async with start(options=READING) as world:
        assert await say(world, world.discord.bo, "still there?", thread) == "To still there?."


async def test_a_questions_thread_goes_on_without_a_mention(reading: World) -> None:
    discord, store = reading.discord, reading.store.channel_settings
    await store.change(
        discord.guild.id, discord.general.id, by=discord.max.id, without_mention=WithoutMention.THREADS, threads=True
    )
    question = await reading.ask_and_wait("what is a quay?")
    thread = question.thread
    assert thread is not None
    assert [each.content for each in discord.bot_messages(thread)][1:] == ["To what is a quay?."], "no word on mentions"
    said = await discord.say(thread, discord.bo, "and a pier?")
    await settled(reading)
    assert reply_to(discord, said) == "To and a pier?."
    assert [prompt for prompt, _, _ in await reading.turns(thread)] == ["what is a quay?", "and a pier?"]
    assert await reading.turns(discord.general) == []
    assert await say(reading, discord.bo, "and here?") is None, "a new question needs one"


async def test_what_is_for_somebody_else_is_left_alone(reading: World) -> None:
    discord = reading.discord
    bo, cleo, here = discord.bo, discord.cleo, discord.general
    theirs = await discord.say(here, cleo, "a quay is a wall")
    await settled(reading)
    await let(reading, here, WithoutMention.ALL)
    first = await discord.say(here, bo, "what is a quay?")
    assert (await reading.reply(here)).content == "To what is a quay?."
    [mine] = discord.bot_messages(here)
    role = discord.add_role("Sailors", mentionable=True)
    for text, replied in (
        (f"{cleo.mention} do you know?", None),
        (f"{role.mention} does anybody know?", None),
        ("no, it is not", theirs),
    ):
        assert await say(reading, bo, text, reply_to=replied) is None, text
    assert await say(reading, discord.ada, "@everyone lunch") is None
    assert await say(reading, bo, "thank you", reply_to=mine, ping=False) == "To thank you."
    assert await say(reading, bo, "and where is one?", reply_to=first) == "To and where is one?."
    assert await say(reading, cleo, "I mean a wall in the water", reply_to=theirs) is None, "it is not her conversation"
    robot, hook = discord.add_user("robot", bot=True), discord.world.add_user("hook")
    assert await say(reading, robot, "hello") is None
    assert await say(reading, hook, "news", webhook=True) is None
    assert await say(reading, bo, "", attachments=[Attachment("quay.txt", b"a quay", "text/plain")]) is not None


async def test_sticker_in_reply_to_it_is_not_withheld(reading: World) -> None:
    discord, here = reading.discord, reading.discord.general
    await reading.answered("hello")
    [mine] = discord.bot_messages(here)
    assert await say(reading, discord.bo, "", stickers=["wave"], reply_to=mine, ping=False) is None
    await let(reading, here, WithoutMention.ALL)
    assert await say(reading, discord.bo, "", stickers=["wave"], reply_to=mine, ping=False) is not None
    assert any("wave" in str(each.messages[-1]["content"]) for each in reading.model.requests)


async def test_it_waits_for_a_mention_once_two_others_talk_in_a_row(reading: World) -> None:
    discord = reading.discord
    ada, bo, cleo, here = discord.ada, discord.bo, discord.cleo, discord.general
    await let(reading, here, WithoutMention.ALL)
    assert await say(reading, bo, "one") == "To one."
    assert await say(reading, cleo, "two") == "To two.", "one other person may talk to it too"
    assert await say(reading, bo, "three") == "To three."
    assert await say(reading, cleo, "four") == "To four."
    for author, text in ((ada, "five"), (cleo, "six"), (bo, "seven")):
        assert await say(reading, author, text) is None
    assert (await reading.answered("eight", author=ada)).content == "To eight."
    assert await say(reading, ada, "nine") == "To nine."


def message(author: int, at: float) -> Any:
    return SimpleNamespace(id=int(at * SECOND), author=SimpleNamespace(id=author))


ADA, BO, CLEO = 1, 2, 3
TALKS: dict[str, tuple[Sequence[tuple[int, float, bool]], Sequence[bool]]] = {
    "one person": ([(ADA, 1, False), (ADA, 2, False)], [True, True]),
    "another joins": ([(ADA, 1, True), (BO, 2, False), (ADA, 3, False), (BO, 4, False)], [True] * 4),
    "two others in a row": (
        [(ADA, 1, True), (BO, 2, False), (CLEO, 3, False), (ADA, 4, False)],
        [True, True, False, False],
    ),
    "two others, not in a row": ([(ADA, 1, True), (BO, 2, False), (ADA, 3, False), (CLEO, 4, False)], [True] * 4),
    "a mention ends the wait": (
        [(ADA, 1, True), (BO, 2, False), (CLEO, 3, False), (BO, 4, True), (BO, 5, False)],
        [True, True, False, True, True],
    ),
    "a pause parts two rows": ([(ADA, 1, True), (BO, 2, False), (CLEO, 3 + PAUSE, False)], [True] * 3),
    "no pause ends the wait": (
        [(ADA, 1, True), (BO, 2, False), (CLEO, 3, False), (ADA, 4 + PAUSE, False)],
        [True, True, False, False],
    ),
}


@pytest.mark.parametrize("talk", TALKS.values(), ids=TALKS)
def test_talk(talk: tuple[Sequence[tuple[int, float, bool]], Sequence[bool]]) -> None:
    said, expected = talk
    followed, found = Talk(), list[bool]()
    for author, at, mentions in said:
        if mentions:
            followed.addressed(message(author, at))
        found.append(mentions or followed.goes_on(message(author, at)))
    assert found == expected


# Like any other question


async def test_who_may_not_use_it_is_told_nothing(start: Start, discord: DiscordStandin) -> None:
    blocked = AccessSettings(blocked_users=frozenset({discord.cleo.id}))
    async with start(options=replace(READING, access=blocked)) as world:
        await let(world, discord.general, WithoutMention.ALL)
        await let(world, discord.random_channel, WithoutMention.ALL)
        await change(discord, BLOCK, discord.random_channel)
        assert await say(world, discord.cleo, "hello") is None
        assert await say(world, discord.bo, "hello", discord.random_channel) is None
        assert world.model.requests[-1].messages[-1]["content"].endswith("quiet")
        assert world.shown(discord.random_channel) == world.shown() == []


async def test_quotas_order_and_stop_are_those_of_other_questions(start: Start, model: ModelStandin) -> None:
    async with start(options=READING, allowances=replace(ALLOWANCES, hourly_questions_per_user=2)) as world:
        discord = world.discord
        await let(world, discord.general, WithoutMention.ALL)
        model.script += [Reply("one " * 4000, tokens_per_second=50), Reply("two")]
        said = [await discord.say(discord.general, discord.bo, text) for text in ("first", "second", "third")]
        await discord.wait_for(lambda: any(each.buttons for each in discord.bot_messages(discord.general)))
        assert len(model.requests) == 1, "one after the other"
        [running] = [each for each in discord.bot_messages(discord.general) if each.buttons]
        assert running.reply_to is said[0]
        await world.press(running)
        await discord.wait_for(lambda: reply_to(discord, said[1]) == "two")
        await discord.wait_for(lambda: "used your 2 questions" in (reply_to(discord, said[2]) or ""))
        await world.idle()


async def test_edits_and_deletions_reach_what_is_remembered(reading: World) -> None:
    discord, here = reading.discord, reading.discord.general
    await let(reading, here, WithoutMention.ALL)
    said = [await discord.say(here, discord.bo, text) for text in ("one", "two")]
    await reading.until(lambda: reading.turns(here), [(t, f"To {t}.", "complete") for t in ("one", "two")])
    await discord.edit(said[0], "uno")
    await reading.until(lambda: reading.turns(here), [("uno", "To one.", "complete"), ("two", "To two.", "complete")])
    await discord.delete(said[1])
    await reading.until(lambda: reading.turns(here), [("uno", "To one.", "complete")])
    ignored = await discord.say(here, discord.bo, f"{discord.cleo.mention} hm")
    await discord.edit(ignored, "hm")
    await settled(reading)
    assert reply_to(discord, ignored) is None, "an edit makes no question of it"


async def test_edit_before_the_question_is_saved_counts(reading: World, hold: Callable[..., Held]) -> None:
    discord, here = reading.discord, reading.discord.general
    await let(reading, here, WithoutMention.ALL)
    held = hold(type(reading.store.guild_rules), "rules_for")
    said = await discord.say(here, discord.bo, "wrong")
    await held.begun.wait()
    await discord.edit(said, "right")
    await asyncio.sleep(0.1)
    held.go_on.set()
    assert (await reading.reply(here)).content == "To right."
    await reading.idle()
    assert await reading.turns(here) == [("right", "To right.", "complete")]


async def test_flood_of_talk_is_left_alone(reading: World) -> None:
    discord, here = reading.discord, reading.discord.general
    await let(reading, here, WithoutMention.ALL)
    await reading.store.channel_settings.change(discord.guild.id, here.id, by=discord.max.id, recent=25)
    people = [discord.add_user(f"p{number}", f"P{number}") for number in range(20)]
    for number in range(400):
        await discord.say(here, people[number % len(people)], f"word {number}")
    assert (await reading.answered("what do they say?")) is not None
    await discord.wait_for(lambda: reading.shown()[-1] == "To what do they say?.")
    await reading.idle()
    assert len(reading.model.requests) <= 3, "of the first two people and of the mention"
    assert "word 399" in str(reading.model.requests[-1].messages[-1]["content"])


# While the bot is away


async def test_what_came_meanwhile_is_answered_by_the_same_rules(start: Start) -> None:
    # Moderators have decided some time before.
    async with start(options=READING, clock=lambda: time.time() - 5) as world:
        discord, here = world.discord, world.discord.general
        await let(world, here, WithoutMention.ALL)
        await world.answered("hello")
    me = discord.bot.mention
    said = [
        await discord.say(here, author, text)
        for author, text in (
            (discord.bo, f"{me} one"),
            (discord.bo, "two"),
            (discord.cleo, f"{discord.bo.mention} three"),
            (discord.ada, "four"),
            (discord.bo, "five"),
        )
    ]
    async with start(options=READING) as world:
        await discord.wait_for(lambda: reply_to(discord, said[1]))
        await world.caught_up()
        assert [reply_to(discord, each) for each in said] == ["To one.", "To two.", None, None, None]
        assert await say(world, discord.bo, "six") is None, "it still waits for a mention"
        assert [each.reactions for each in said] == [{}] * 5


async def test_restart_changes_no_decision(
    start: Start, discord: DiscordStandin, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, bo = discord.general, discord.bo
    threads = [await discord.open_thread(discord.random_channel, name, bo) for name in ("mentioned", "not mentioned")]

    async def say_everywhere(text: str) -> list[Message]:
        return [await discord.say(place, bo, text) for place in (here, *threads)]

    async with start(options=READING, clock=lambda: time.time() + 5) as world:
        early = await say_everywhere("before")
        await settled(world)
        await let(world, here, WithoutMention.ALL)
        await let(world, discord.random_channel, WithoutMention.THREADS)
        monkeypatch.setattr(discord.world, "wall", lambda: time.time() + 10)
        between = await discord.say(threads[0], discord.cleo, "before it was mentioned there")
        await settled(world)
        await world.answered("hello", threads[0])
    late = await say_everywhere("and after")
    async with start(options=READING) as world:
        await discord.wait_for(lambda: all(reply_to(discord, each) for each in late[:2]))
        await world.caught_up()
        assert [reply_to(discord, each) for each in late] == ["To and after.", "To and after.", None]
        assert [reply_to(discord, each) for each in (*early, between)] == [None] * 4


async def test_mention_that_is_refused_makes_no_thread_its_own(start: Start, discord: DiscordStandin) -> None:
    access = AccessSettings(blocked_users=frozenset({discord.cleo.id}))
    async with start(options=replace(READING, access=access)) as world:
        thread = await discord.open_thread(discord.general, "side", discord.bo)
        await let(world, discord.general, WithoutMention.THREADS)
        assert await say(world, discord.bo, "one", thread) is None
        await say(world, discord.cleo, f"{discord.bot.mention} two", thread)
        assert await say(world, discord.bo, "three", thread) is None
        await world.answered("four", thread)
        assert await say(world, discord.bo, "five", thread) == "To five."


async def test_new_session_changes_no_decision(reading: World, shards: int) -> None:
    discord, here = reading.discord, reading.discord.general
    early = await discord.say(here, discord.bo, "before it was switched on")
    await settled(reading)
    await let(reading, here, WithoutMention.ALL)
    await discord.gateway.invalidate()
    await reading.until(lambda: discord.gateway.identifies == 2 * shards)
    await reading.caught_up()
    assert await say(reading, discord.bo, "and after") == "To and after."
    assert reply_to(discord, early) is None


async def test_kill_while_it_answers_loses_nothing(
    launch: Launch, discord: DiscordStandin, model: ModelStandin, start: Start
) -> None:
    async with start(options=READING) as world:
        await let(world, discord.general, WithoutMention.ALL)
        await world.answered("hello", discord.random_channel)
    model.script += [Reply("It is " + "long " * 400, tokens_per_second=40)]
    async with launch(MESSAGE_CONTENT="true") as process:
        await discord.ready()
        said = await discord.say(discord.general, discord.bo, "how long?")
        await discord.wait_for(lambda: (reply_to(discord, said) or "").startswith("It is"))
        process.kill()
        await process.wait()
    async with start(options=READING) as world:
        await discord.wait_for(lambda: reply_to(discord, said) == "To how long?.")
        await world.idle()
        assert len([each for each in discord.bot_messages(discord.general) if each.reply_to is said]) == 1

"""The summaries in /memory, with the whole bot: made in the background, shown as they are, and made again."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence

import pytest

from bot.core import summarizing
from bot.core.summarizing import ASKED_FOR
from bot.standin.entities import Channel, User
from bot.standin.interactions import Interaction
from bot.standin.script import Message as Sent
from bot.standin.script import Reply
from bot.texts.memory import period
from tests.discord_bot.commands.test_privacy import file
from tests.discord_bot.conftest import Start, World
from tests.discord_bot.test_threads import switch_on, thread_on

pytestmark = pytest.mark.virtual_time

LONG = "The keeper of the lighthouse wrote down every ship that passed. " * 6
CONTEXT = 2000
TURNS = 25


@pytest.fixture(autouse=True)
def at_any_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(summarizing, "PACE", 0.0)
    monkeypatch.setattr(summarizing, "LOOK_EVERY", 0.2)


def said(messages: Sequence[Sent]) -> str:
    """Summaries by the questions with their numbers, and a long answer to everything else."""
    asked = messages[-1].content
    if ASKED_FOR in asked:
        return "\n".join(f"- fact {number}" for number in re.findall(r"fact (\d+)", str(messages)))
    return LONG


async def talk(world: World, place: Channel, person: User, turns: int = TURNS) -> None:
    world.model.default = Reply(said)
    for number in range(turns):
        await world.ask_and_wait(f"fact {number}", place, person)
    await all_are_made(world)


async def all_are_made(world: World) -> None:
    async def all_made() -> bool:
        rows = await world.store.engine.read("SELECT due_at FROM stored_summaries")
        return bool(rows) and not any(row["due_at"] is not None for row in rows)

    await world.until(all_made)


async def shown(world: World, person: User, place: Channel) -> Interaction:
    used = await world.discord.slash(person, place, "memory")
    await world.discord.wait_for(lambda: used.followups and "notes" in used.followups[-1].content)
    return used


async def test_memory_shows_summaries_and_moderators_have_them_made_again(start: Start) -> None:
    async with start(context_tokens=CONTEXT, summaries=True) as world:
        discord = world.discord
        general = discord.general
        await talk(world, general, discord.bo)
        used = await shown(world, discord.bo, general)
        summaries, _ = used.followups
        assert summaries.ephemeral
        assert summaries.content.startswith("**Summaries of older messages here.** A model wrote them, and they may be")
        assert "- fact 0\n- fact 1\n" in summaries.content
        assert not summaries.buttons, "they are for moderators to have made again"
        await world.ask_and_wait("and now?")
        sent = next(each for each in reversed(world.model.requests) if "and now?" in str(each.messages[-1]))
        assert "- fact 0\n- fact 1\n" in sent.messages[1]["content"]

        by_moderator = (await shown(world, discord.max, general)).followups[0]
        assert [each["label"] for each in by_moderator.buttons] == ["Make new summaries"]
        pressed = await discord.press(discord.bo, by_moderator, "summaries:remake")
        assert (await pressed.answered()).content == "Only moderators can have new summaries made."
        before = len(world.model.requests)
        await world.press(by_moderator, discord.max)
        await discord.wait_for(
            lambda: by_moderator.content.startswith("I'm making new summaries, at most one a minute.")
        )
        await world.until(lambda: len(world.model.requests) > before)
        assert ASKED_FOR in str(world.model.requests[before].messages[-1])


async def test_while_all_are_being_made_none_are_begun_again(start: Start) -> None:
    async with start(context_tokens=CONTEXT, summaries=True) as world:
        discord = world.discord
        await talk(world, discord.general, discord.bo)
        first, second = [(await shown(world, discord.max, discord.general)).followups[0] for _ in range(2)]
        go = asyncio.Event()
        world.model.default = Reply(said, held_until=go)
        before = len(world.model.requests)
        await world.press(first, discord.max)
        await discord.wait_for(lambda: not first.buttons)
        await world.until(lambda: len(world.model.requests) > before)
        begun = await world.store.engine.read("SELECT id, begins FROM stored_summaries")

        meanwhile = (await shown(world, discord.max, discord.general)).followups[0]
        being_made = "I'm making summaries of "
        assert meanwhile.content.startswith(being_made)
        assert "older part" in meanwhile.content
        assert not meanwhile.buttons
        await world.press(second, discord.max)
        await discord.wait_for(lambda: second.content == meanwhile.content)
        assert not second.buttons
        assert await world.store.engine.read("SELECT id, begins FROM stored_summaries") == begun

        go.set()
        await all_are_made(world)
        again = (await shown(world, discord.max, discord.general)).followups[0]
        assert [each["label"] for each in again.buttons] == ["Make new summaries"]


@pytest.mark.parametrize(
    ("until", "shown"),
    [
        (1_795_941_045 + 10, "2026-11-29 08:30 UTC"),
        (1_795_941_045 + 180, "2026-11-29 08:30 to 08:33 UTC"),
        (1_795_941_045 + 86_400, "2026-11-29 08:30 to 2026-11-30 08:30 UTC"),
    ],
)
def test_summaries_of_one_day_are_told_apart_by_their_times(until: int, shown: str) -> None:
    assert period(1_795_941_045, until) == shown


async def test_deleted_message_is_in_no_summary_that_is_shown_or_sent(start: Start) -> None:
    async with start(context_tokens=CONTEXT, summaries=True) as world:
        discord = world.discord
        await talk(world, discord.general, discord.bo)
        [question] = [each for each in discord.general.messages.values() if each.content.endswith(" fact 1")]
        await discord.delete(question)

        async def made_again() -> bool:
            rows = await world.store.engine.read("SELECT text FROM summaries ORDER BY begins LIMIT 1")
            return bool(rows) and "- fact 0\n- fact 2\n" in rows[0][0]

        await world.until(made_again)
        summaries = (await shown(world, discord.bo, discord.general)).followups[0]
        assert "- fact 1\n" not in summaries.content
        await world.ask_and_wait("and now?")
        sent = next(each for each in reversed(world.model.requests) if "and now?" in str(each.messages[-1]))
        assert "- fact 0\n- fact 2\n" in sent.messages[1]["content"]


async def test_in_a_direct_message_they_are_the_persons_to_export_and_forget(start: Start) -> None:
    async with start(context_tokens=CONTEXT, summaries=True) as world:
        discord = world.discord
        direct = discord.open_dm(discord.bo)
        await talk(world, direct, discord.bo)
        summaries = (await shown(world, discord.bo, direct)).followups[0]
        assert [each["label"] for each in summaries.buttons] == ["Make new summaries"]
        used = await discord.slash(discord.bo, direct, "export")
        await used.answered()
        assert "- fact 0\n" in file(used)["summaries"][0]["text"]
        [payer] = await world.store.engine.read("SELECT DISTINCT user_id FROM charges WHERE turn_id < 0")
        assert payer[0] == discord.bo.id
        await world.conversations.forgetting.forget_user(discord.bo.id)
        assert not await world.store.engine.read("SELECT 1 FROM summaries")
        await world.store.engine.erase_deleted()
        assert not await world.store.engine.read("SELECT 1 FROM stored_summaries")


async def test_who_may_not_read_the_history_is_shown_none(start: Start) -> None:
    async with start(context_tokens=CONTEXT, summaries=True) as world:
        discord = world.discord
        await talk(world, discord.general, discord.bo)
        discord.general.overwrites = {}
        used = await shown(world, discord.cleo, discord.general)
        assert len(used.followups) == 2


async def test_a_questions_thread_has_summaries_of_its_own(start: Start) -> None:
    async with start(context_tokens=CONTEXT, summaries=True) as world:
        discord = world.discord
        await switch_on(world)
        world.model.default = Reply(said)
        thread = thread_on(await world.ask_and_wait("fact 0"))
        for number in range(1, TURNS):
            await world.ask_and_wait(f"fact {number}", thread)
        await all_are_made(world)
        await world.ask_and_wait("and now?", thread)
        sent = next(each for each in reversed(world.model.requests) if "and now?" in str(each.messages[-1]))
        assert "- fact 0\n- fact 1\n" in sent.messages[1]["content"]
        summaries, _ = (await shown(world, discord.bo, thread)).followups
        assert "- fact 0\n- fact 1\n" in summaries.content
        other = thread_on(await world.ask_and_wait("something else"))
        assert other is not thread
        assert "fact" not in str(
            next(each for each in reversed(world.model.requests) if "else" in str(each.messages)).messages
        )
        in_channel = await discord.slash(discord.bo, discord.general, "memory")
        assert "fact" not in (await in_channel.answered()).content

"""Whose quotas a question and a press use up, as people on Discord see it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bot.core.quotas import Usage
from bot.standin.entities import Message, User
from bot.standin.script import REFUSALS, Reply
from bot.standin.server import DiscordStandin
from bot.store.databases import Database, open_store
from tests.discord_bot.conftest import ALLOWANCES, Start, World
from tests.discord_bot.people import AUTHOR_DENIED
from tests.store.steps import slow_disk

pytestmark = pytest.mark.virtual_time

ONE = replace(ALLOWANCES, hourly_questions_per_user=1)
USED_UP = "You've used your question for this hour."
ANSWER = Reply("The whole answer.", usage=Usage(200, 10))


async def failed(world: World, author: User | None = None, count: int = 1) -> Message:
    """A reply that broke off, with its Retry button."""
    world.model.script.append(Reply("A half", cut_after=2, usage=Usage(50, 2)))
    await world.ask(author=author)
    message = await world.reply(world.discord.general, "The answer broke off.", count=count)
    await world.idle()
    return message


async def used(world: World, *people: User) -> list[tuple[int, bool]]:
    """The questions of each person, and whether they used tokens."""
    usage = [await world.store.quotas.usage_today(person.id) for person in people]
    return [(each.questions, each.user > 0) for each in usage]


async def test_retry_is_charged_to_whoever_presses(start: Start, discord: DiscordStandin) -> None:
    async with start(allowances=ONE) as world:
        message = await failed(world)
        before = (await world.store.quotas.usage_today(discord.bo.id)).user
        other = await failed(world, discord.cleo, count=2)
        world.model.default = ANSWER
        await world.press(message, discord.max)
        await discord.wait_for(lambda: message.content == "The whole answer.")
        await world.idle()
        assert await used(world, discord.max) == [(1, True)]
        usage = await world.store.quotas.usage_today(discord.bo.id)
        assert (usage.questions, usage.user) == (0, before), "only what they saw of the first attempt"
        shown = other.content
        refused = await world.press(other, discord.max)
        assert (await refused.answered()).content.startswith(USED_UP)
        assert refused.ephemeral
        assert (other.content, [each["label"] for each in other.buttons]) == (shown, ["Retry"])
        assert len(world.model.requests) == 3
        await world.ask()
        await world.reply(discord.general, "The whole answer.", count=3)
        await world.idle()
        assert await used(world, discord.bo, discord.cleo) == [(1, True), (0, True)]


async def test_killed_press_is_charged_to_the_same_person(
    start: Start, discord: DiscordStandin, file: Database
) -> None:
    async with start() as world:
        message = await failed(world)
        before = (await world.store.quotas.usage_today(discord.bo.id)).user
        world.model.default = Reply([f"word{n} " for n in range(400)], tokens_per_second=60)
        await world.press(message, discord.max)
        await discord.wait_for(lambda: message.content.startswith("word0"))
    # As a kill leaves it: nothing of its end is on record.
    async with open_store(file, exclusive=True) as store:
        await store.engine.write("UPDATE stored_turns SET state = 'streaming', delivered = 0")
    world.model.default = ANSWER
    async with start() as world:
        await discord.wait_for(lambda: message.content == "The whole answer.")
        await world.idle()
        usage = await world.store.usage.by_day(0, user_id=discord.max.id)
        assert [each.requests for each in usage] == [2], "the press and its recovery"
        assert await used(world, discord.max) == [(1, True)], "and one question"
        usage_of_author = await world.store.quotas.usage_today(discord.bo.id)
        assert (usage_of_author.questions, usage_of_author.user) == (0, before)


async def test_author_blocked_while_a_press_is_handled(start: Start, discord: DiscordStandin) -> None:
    async with start() as world:
        message = await failed(world)
        world.model.default = ANSWER
        async with slow_disk(world.store):
            press = await world.press(message, discord.max)
            await discord.wait_for(lambda: press.callback)
            blocking = await discord.slash(discord.max, discord.general, "block", member=discord.bo)
        await blocking.answered()
        await discord.wait_for(lambda: "Stopped" in message.content or message.content == "The whole answer.")
        await world.idle()
        assert message.content.startswith("A half")


async def test_one_question_left_is_no_two_presses(start: Start, discord: DiscordStandin) -> None:
    async with start(allowances=ONE) as world:
        messages = [await failed(world), await failed(world, discord.cleo, count=2)]
        world.model.default = ANSWER
        # Both have been looked at before either is on record.
        async with slow_disk(world.store):
            presses = [await world.press(message, discord.max) for message in messages]
            await discord.wait_for(lambda: all(press.callback for press in presses))
        await discord.wait_for(lambda: any(press.followups for press in presses))
        [told] = [each for press in presses for each in press.followups]
        assert told.content.startswith(USED_UP)
        await discord.wait_for(lambda: any(each.content == "The whole answer." for each in messages))
        await world.idle()
        [left] = [each for each in messages if each.content != "The whole answer."]
        await discord.wait_for(lambda: [each["label"] for each in left.buttons] == ["Retry"])
        assert len(world.model.requests) == 3


@pytest.mark.parametrize("by", ["moderators", "operator"])
async def test_reply_to_somebody_blocked_is_not_retried_by_others(
    serve: Start, discord: DiscordStandin, by: str
) -> None:
    async with serve() as world:
        message = await failed(world)
        if by == "moderators":
            assert discord.guild.id
            await world.store.guild_rules.block(discord.guild.id, discord.bo.id, discord.max.id)
    blocked = frozenset({discord.bo.id} if by == "operator" else ())
    async with serve(blocked_users=blocked) as world:
        press = await world.press(message, discord.max)
        assert (await press.answered()).content == AUTHOR_DENIED
        assert press.ephemeral
        assert len(message.buttons) == 1
        assert len(world.model.requests) == 1


async def test_failures_of_the_server_use_up_no_questions(start: Start, discord: DiscordStandin) -> None:
    most = 4
    async with start(allowances=replace(ALLOWANCES, hourly_questions_per_user=most)) as world:
        world.model.default = REFUSALS["bad key"]
        for _ in range(2 * most):
            await world.ask_and_wait()
        world.model.default = ANSWER
        await world.answered()
        assert world.shown()[-1] == "The whole answer."
        world.model.default = REFUSALS["content filter"]
        for _ in range(most - 1):
            await world.answered()
        assert "declined" in world.shown()[-1]
        await world.answered()
        assert world.shown()[-1].startswith(f"-# You've used your {most} questions for this hour.")
        assert len(world.model.requests) == 2 * most + most

"""The title that a model writes for a thread, once the question that it was opened on is answered."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import pytest

from bot.core.quotas import Quotas
from bot.core.titles import ASKED_FOR_TITLE
from bot.standin.entities import Attachment, Message, Permission
from bot.standin.faults import RateLimited, Refused, ServerError
from bot.standin.limits import Limit
from bot.standin.model import ModelStandin, Request
from bot.standin.script import Reply
from bot.standin.server import DiscordStandin
from bot.texts.threads import GO_ON
from tests.discord_bot.conftest import Launch, Start, World
from tests.discord_bot.inbound.test_thread_kills import switch_on as switch_on_in
from tests.discord_bot.people import ask, shown
from tests.discord_bot.test_threads import switch_on, thread_on

RENAME = "/channels/{channel_id}"
ANSWER = "Olbers asked that too."


def asks_for_title(messages: Sequence[object]) -> bool:
    return ASKED_FOR_TITLE in str(messages[-1])


@pytest.fixture
def titles(model: ModelStandin) -> list[str]:
    """What the model writes when it is asked for a title; without any, `Dark skies`."""
    written: list[str] = []

    def reply(messages: Sequence[object]) -> str:
        if not asks_for_title(messages):
            return ANSWER
        return written.pop(0) if written else "Dark skies"

    model.default = Reply(reply)
    return written


@pytest.fixture
async def titled(start: Start, titles: list[str]) -> AsyncIterator[World]:
    async with start(summaries=True) as world:
        await switch_on(world)
        yield world


def title_requests(world: World) -> list[Request]:
    return [each for each in world.model.requests if asks_for_title(each.messages)]


async def test_the_model_titles_the_thread_from_the_first_exchange(titled: World, discord: DiscordStandin) -> None:
    question = await titled.ask("Why is the night sky dark?")
    await discord.wait_for(lambda: question.thread and question.thread.name == "Dark skies")
    await titled.taken(question)
    assert shown(discord, thread_on(question))[1:] == [f"{ANSWER}\n{GO_ON}"]
    [request] = title_requests(titled)
    asked, answered, _ = request.messages
    assert ("Why is the night sky dark?" in asked["content"], answered["content"]) == (True, ANSWER)
    # Charged to the server and to nobody, as a summary is.
    [row] = await titled.store.engine.read("SELECT user_id, guild_id, settled FROM charges WHERE turn_id < 0")
    assert tuple(row) == (None, discord.guild.id, 1)
    # Once: not for what is asked there next, nor for a question in a channel.
    await titled.ask_and_wait("and by day?", thread_on(question))
    await titled.ask_and_wait("and here?", discord.random_channel)
    assert not await titled.conversations.summaries.make_next()
    assert len(title_requests(titled)) == 1


@pytest.mark.parametrize(
    ("written", "title"),
    [
        ("**<@{bo}> [Dark](https://example.org) @everyone skies\u200b**\nand more", "Dark everyone skies"),
        ("x" * 300, f"{'x' * 99}…"),
        (" \u200b\n", "why?"),
    ],
)
async def test_a_title_holds_nothing_that_pings_links_or_hides(
    titled: World, discord: DiscordStandin, titles: list[str], written: str, title: str
) -> None:
    titles.append(written.format(bo=discord.bo.id))
    question = await titled.ask_and_wait("why?")
    await titled.until(lambda: len(title_requests(titled)))
    await titled.until(lambda: due(titled), 0 if title != "why?" else 1)
    assert thread_on(question).name == title


async def due(world: World) -> int:
    [row] = await world.store.engine.read(
        "SELECT count(*) AS due FROM stored_summaries WHERE level = 0 AND due_at IS NOT NULL"
    )
    return int(row["due"])


async def test_the_plain_title_stays_where_summaries_are_off(
    start: Start, titles: list[str], discord: DiscordStandin
) -> None:
    async with start() as world:
        await switch_on(world)
        question = await world.ask_and_wait("why?")
        assert thread_on(question).name == "why?"
        assert await due(world) == 0


async def test_the_plain_title_stays_where_nothing_is_left_to_use(
    start: Start, titles: list[str], discord: DiscordStandin
) -> None:
    allowances = Quotas(
        hourly_questions_per_user=None, daily_tokens_per_user=None, daily_tokens_per_server=550, daily_tokens_total=None
    )
    async with start(summaries=True, allowances=allowances, reply_tokens=300) as world:
        await switch_on(world)
        world.model.script.append(Reply("word " * 200))
        question = await world.ask_and_wait("why?")
        await world.until(lambda: due(world), 1)
        assert not await world.conversations.summaries.make_next()
        assert (thread_on(question).name, title_requests(world)) == ("why?", [])


@pytest.mark.parametrize(
    ("fault", "left"),
    [
        (RateLimited(500.0), 1),
        (ServerError(503), 1),
        (Refused(403, 50013, "Missing Permissions"), 0),
        (Refused(400, 50083, "archived"), 0),
        (Refused(400, 200000, "Message was blocked by automatic moderation"), 0),
    ],
    ids=lambda each: type(each).__name__,
)
async def test_a_title_that_discord_does_not_take_is_tried_later_or_never(
    start: Start, titles: list[str], discord: DiscordStandin, fault: RateLimited | ServerError | Refused, left: int
) -> None:
    struck = discord.faults.add(fault, method="PATCH", route=RENAME)
    async with start(summaries=True) as world:
        await switch_on(world)
        question = await world.ask_and_wait("why?")
        await discord.wait_for(lambda: struck.hits)
        await world.until(lambda: failed_or_given_up(world))
        assert (await due(world), thread_on(question).name) == (left, "why?")
        # As after a minute.
        await world.store.engine.write("UPDATE stored_summaries SET due_at = 0 WHERE due_at IS NOT NULL")
    async with start(summaries=True) as world:
        if left:
            await discord.wait_for(lambda: thread_on(question).name == "Dark skies")
        await world.until(lambda: due(world), 0)
        assert len(title_requests(world)) == 1 + left


async def test_the_model_is_not_asked_again_for_a_title_that_discord_may_take_later(
    start: Start, titles: list[str], discord: DiscordStandin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.core.summarizing.PACE", 0.0)
    monkeypatch.setattr("bot.core.summarizing._AT_ONCE", 1)
    # Otherwise it takes ten minutes.
    discord.limits.others["PATCH", RENAME] = Limit(20, 0.05)
    discord.faults.add(ServerError(503), method="PATCH", route=RENAME)
    async with start(summaries=True) as world:
        await switch_on(world)
        question = await world.ask_and_wait("why?")
        await world.until(lambda: failed_or_given_up(world))
        await world.store.engine.write("UPDATE stored_summaries SET due_at = 0 WHERE due_at IS NOT NULL")
        world.conversations.summaries.wake()
        await discord.wait_for(lambda: thread_on(question).name == "Dark skies")
        await world.until(lambda: due(world), 0)
        assert len(title_requests(world)) == 1


@pytest.mark.parametrize("asked", ["why?", "@max why", "a file"])
@pytest.mark.parametrize("renamed", [True, False])
async def test_a_title_that_people_chose_while_it_was_away_stays(
    start: Start, titles: list[str], discord: DiscordStandin, asked: str, renamed: bool
) -> None:
    struck = discord.faults.add(ServerError(503), method="PATCH", route=RENAME)
    text = f"{discord.bot.mention} {asked.replace('@max', discord.max.mention)}"
    files = [Attachment("list.txt", b"one\ntwo", "text/plain")] if asked == "a file" else []
    async with start(summaries=True) as world:
        await switch_on(world)
        question = await discord.say(discord.general, discord.bo, text, attachments=files)
        await world.taken(question)
        await discord.wait_for(lambda: struck.hits)
        await world.until(lambda: failed_or_given_up(world))
        await world.store.engine.write("UPDATE stored_summaries SET due_at = 0 WHERE due_at IS NOT NULL")
    if renamed:
        discord.world.rename(thread_on(question), "Bo's own")
    async with start(summaries=True) as world:
        await world.until(lambda: due(world), 0)
        assert thread_on(question).name == ("Bo's own" if renamed else "Dark skies")


async def failed_or_given_up(world: World) -> bool:
    [row] = await world.store.engine.read("SELECT failures, due_at FROM stored_summaries WHERE level = 0")
    return row["failures"] > 0 or row["due_at"] is None


async def test_a_title_that_people_chose_stays(titled: World, discord: DiscordStandin) -> None:
    titled.model.script += [Reply(ANSWER), Reply("Dark skies", first_token_after=1.0)]
    question = await titled.ask("why?")
    await titled.until(lambda: len(title_requests(titled)))
    discord.world.rename(thread_on(question), "Bo's own")
    await titled.until(lambda: due(titled), 0)
    await title_requests(titled)[0].over()
    await titled.answered("and here?", discord.random_channel)
    assert thread_on(question).name == "Bo's own"


async def test_a_title_that_people_chose_while_the_answer_was_written_stays(
    titled: World, discord: DiscordStandin
) -> None:
    titled.model.script.append(Reply(ANSWER, first_token_after=0.5))
    question = await titled.ask("why?")
    await titled.asked(0)
    discord.world.rename(thread_on(question), "Bo's own")
    await titled.taken(question)
    await titled.answered("and here?", discord.random_channel)
    assert (await due(titled), title_requests(titled)) == (0, [])
    assert thread_on(question).name == "Bo's own"


async def test_the_thread_of_somebody_else_keeps_its_title(titled: World, discord: DiscordStandin) -> None:
    discord.guild.roles[discord.guild.id].permissions |= Permission.MANAGE_THREADS
    said = await discord.say(discord.general, discord.bo, "why?")
    theirs = await discord.open_thread(discord.general, "Cleo's", discord.cleo, message=said)
    await discord.edit(said, f"{discord.bot.mention} why?")
    await titled.taken(said)
    await titled.until(lambda: due(titled), 0)
    await titled.answered("and here?", discord.random_channel)
    assert (shown(discord, theirs), theirs.name) == ([f"{ANSWER}\n{GO_ON}"], "Cleo's")


def _forgets(world: World, question: Message) -> object:
    return world.discord.slash(world.discord.bo, thread_on(question), "reset")


def _deletes_the_question(world: World, question: Message) -> object:
    return world.discord.delete(question)


def _deletes_the_thread(world: World, question: Message) -> object:
    async def delete() -> None:
        world.discord.world.delete_channel(thread_on(question))

    return delete()


@pytest.mark.parametrize("forget", [_forgets, _deletes_the_question, _deletes_the_thread])
async def test_what_is_forgotten_meanwhile_makes_no_title(
    titled: World, discord: DiscordStandin, forget: Callable[[World, Message], asyncio.Future[object]]
) -> None:
    titled.model.script += [Reply(ANSWER), Reply("Dark skies", first_token_after=1.0)]
    question = await titled.ask("why?")
    await titled.until(lambda: len(title_requests(titled)))
    thread = thread_on(question)
    await forget(titled, question)
    await titled.until(lambda: titled.turns(thread), [])
    await title_requests(titled)[0].over()
    await titled.answered("and here?", discord.random_channel)
    assert (thread.name, discord.calls("PATCH", RENAME)) == ("why?", [])


async def test_a_kill_before_the_title_leaves_it_to_the_next_start(
    discord: DiscordStandin, model: ModelStandin, launch: Launch, start: Start, file: Path
) -> None:
    await switch_on_in(file, discord)
    model.script += [Reply(ANSWER), Reply("never", first_token_after=3600)]
    async with launch() as process:
        await discord.ready()
        question = await ask(discord, "why?")
        await model.request(1)
        process.kill()
        await process.wait()
    assert thread_on(question).name == "why?"
    model.default = Reply(lambda messages: "Dark skies" if asks_for_title(messages) else ANSWER)
    async with start(summaries=True) as world:
        await discord.wait_for(lambda: thread_on(question).name == "Dark skies")
        assert len(title_requests(world)) == 2
        assert len(await world.turns(thread_on(question))) == 1

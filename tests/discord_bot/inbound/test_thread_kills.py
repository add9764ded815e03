"""A kill of the process while a question is answered in a thread on it: one thread, and one reply in it."""

from __future__ import annotations

import math
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from bot.core.titles import ASKED_FOR_TITLE
from bot.standin.entities import Channel, Message, MessageType
from bot.standin.faults import Call, ServerError, Slow
from bot.standin.model import ModelStandin, Request
from bot.standin.script import Reply
from bot.standin.server import DiscordStandin
from bot.store.sqlite import open_store
from bot.texts.threads import GO_ON
from tests.discord_bot.conftest import Launch, Start
from tests.discord_bot.inbound.leftovers import POSTS, states
from tests.discord_bot.people import ask, shown
from tests.waiting import until

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="a kill of POSIX")
THREADS = "/channels/{channel_id}/messages/{message_id}/threads"
Phase = Callable[[DiscordStandin, ModelStandin, Path], Awaitable[Message]]
GOES_ON = Reply([f"word{n} " for n in range(400)], tokens_per_second=60)
WHOLE = f"The whole answer.\n{GO_ON}"


async def switch_on(file: Path, discord: DiscordStandin) -> None:
    async with open_store(file, exclusive=True) as store:
        await store.channel_settings.change(discord.guild.id, discord.general.id, by=discord.max.id, threads=True)


def thread_on(question: Message) -> Channel:
    assert question.thread is not None
    return question.thread


def said_in(discord: DiscordStandin, question: Message) -> list[str]:
    """What the bot says in the thread, without the system message at its beginning."""
    messages = [] if question.thread is None else discord.bot_messages(question.thread)
    return [each.content for each in messages if each.type != MessageType.THREAD_STARTER]


def for_replies(model: ModelStandin) -> list[Request]:
    """The requests but those for a title, of which the process may have made one before its end."""
    return [each for each in model.requests if ASKED_FOR_TITLE not in each.body["messages"][-1]["content"]]


def in_a_thread(discord: DiscordStandin) -> Callable[[Call], bool]:
    return lambda call: call.channel_id != discord.general.id


async def the_thread_is_open_and_its_answer_lost(discord: DiscordStandin, model: ModelStandin, file: Path) -> Message:
    discord.faults.add(Slow(3600, applied=True), method="POST", route=THREADS)
    question = await ask(discord, "tell me")
    await discord.wait_for(lambda: question.thread)
    return question


async def before_the_first_message(discord: DiscordStandin, model: ModelStandin, file: Path) -> Message:
    model.script.append(Reply("never", first_token_after=3600))
    question = await ask(discord, "tell me")
    await model.request(0)
    return question


async def the_first_message_failed(discord: DiscordStandin, model: ModelStandin, file: Path) -> Message:
    model.script.append(GOES_ON)
    fault = discord.faults.add(ServerError(503), method="POST", route=POSTS, when=in_a_thread(discord), times=math.inf)
    question = await ask(discord, "tell me")
    await discord.wait_for(lambda: fault.hits)
    return question


async def the_answer_to_the_first_message_was_lost(discord: DiscordStandin, model: ModelStandin, file: Path) -> Message:
    model.script.append(GOES_ON)
    discord.faults.add(Slow(3600, applied=True), method="POST", route=POSTS, when=in_a_thread(discord))
    question = await ask(discord, "tell me")
    await discord.wait_for(lambda: said_in(discord, question))
    return question


async def in_mid_stream(discord: DiscordStandin, model: ModelStandin, file: Path) -> Message:
    model.script.append(GOES_ON)
    question = await ask(discord, "tell me")
    await discord.wait_for(lambda: "word9" in "".join(said_in(discord, question)))
    return question


async def after_the_unseen_end(discord: DiscordStandin, model: ModelStandin, file: Path) -> Message:
    model.script.append(Reply(["The ", "whole ", "answer."], tokens_per_second=10))
    discord.faults.add(ServerError(503), method="PATCH", times=math.inf)
    question = await ask(discord, "tell me")
    await discord.wait_for(lambda: question.thread)
    wanted = [("The whole answer.", "complete")]
    await until(lambda: states(file, thread_on(question)), wanted, discord.patience)
    return question


@pytest.mark.parametrize(
    ("phase", "asked", "nonces"),
    [
        (the_thread_is_open_and_its_answer_lost, 1, "kept"),
        (before_the_first_message, 2, "kept"),
        (the_first_message_failed, 2, "forgotten"),
        (the_answer_to_the_first_message_was_lost, 2, "kept"),
        (the_answer_to_the_first_message_was_lost, 2, "forgotten"),
        (in_mid_stream, 2, "kept"),
        (after_the_unseen_end, 1, "kept"),
    ],
)
async def test_one_thread_and_one_whole_reply_after_a_kill(
    discord: DiscordStandin,
    model: ModelStandin,
    launch: Launch,
    start: Start,
    file: Path,
    monkeypatch: pytest.MonkeyPatch,
    phase: Phase,
    asked: int,
    nonces: str,
) -> None:
    await switch_on(file, discord)
    async with launch() as process:
        await discord.ready()
        question = await phase(discord, model, file)
        process.kill()
        await process.wait()
    discord.faults.clear()
    if nonces == "forgotten":
        monkeypatch.setattr("bot.standin.channel_routes._NONCE_KEPT", 0)
    model.default = Reply("The whole answer.")
    for restart in (1, 2):
        async with start() as world:
            await discord.wait_for(lambda: "The whole answer." in "".join(said_in(discord, question)))
            # What is done again is done by the time that somebody else is answered.
            await world.ask(f"still there? {restart}", discord.random_channel)
            await world.reply(discord.random_channel, "The whole answer.", count=restart)
            await world.idle()
    # An end that an earlier process has saved is shown without the hint.
    assert said_in(discord, question) == [WHOLE if phase is not after_the_unseen_end else "The whole answer."]
    assert shown(discord) == []
    assert len(for_replies(model)) == asked + 2
    assert await states(file, thread_on(question)) == [("The whole answer.", "complete")]
    assert await states(file, discord.general) == []


@pytest.mark.parametrize("gone", ["thread", "question", "channel"])
async def test_what_was_deleted_meanwhile_is_not_answered(
    discord: DiscordStandin, model: ModelStandin, launch: Launch, start: Start, file: Path, gone: str
) -> None:
    await switch_on(file, discord)
    async with launch() as process:
        await discord.ready()
        question = await in_mid_stream(discord, model, file)
        process.kill()
        await process.wait()
    thread = thread_on(question)
    match gone:
        case "thread":
            discord.world.delete_channel(thread)
        case "question":
            discord.world.delete(question)
        case "channel":
            discord.world.delete_channel(discord.general)
    async with start() as world:
        await world.until(lambda: world.turns(thread), [])
        await discord.wait_for(lambda: gone != "question" or not said_in_thread(discord, thread))
        await world.answered("still there?", discord.random_channel)
    assert len(model.requests) == 2
    assert question.thread is None or gone == "question"


def said_in_thread(discord: DiscordStandin, thread: Channel) -> list[Message]:
    return [each for each in discord.bot_messages(thread) if each.type != MessageType.THREAD_STARTER]

"""What a kill of the process costs: nothing. There is one reply to each prompt, whenever it came, however often."""

from __future__ import annotations

import math
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from bot.standin.entities import MessageFlag, Permission
from bot.standin.faults import Call, ServerError, Slow
from bot.standin.model import ModelStandin
from bot.standin.script import Reply
from bot.standin.server import DiscordStandin
from tests.discord_bot.conftest import Launch, Start
from tests.discord_bot.inbound.leftovers import COULD_NOT, POSTS, forgotten, states
from tests.discord_bot.people import ask, shown
from tests.waiting import until

Phase = Callable[[DiscordStandin, ModelStandin, Path], Awaitable[None]]
posix = pytest.mark.skipif(sys.platform == "win32", reason="a kill of POSIX")
GOES_ON = Reply([f"word{n} " for n in range(400)], tokens_per_second=60)
TWO_PARTS = Reply(["long " * 390, "more ", *["and more "] * 400], tokens_per_second=60)


def second_part(call: Call) -> bool:
    return isinstance(call.body, dict) and MessageFlag.SUPPRESS_NOTIFICATIONS in MessageFlag(call.body["flags"])


async def before_the_post(discord: DiscordStandin, model: ModelStandin, file: Path) -> None:
    model.script.append(Reply("never", first_token_after=3600))
    await ask(discord, "tell me")
    await model.request(0)


async def the_post_failed(discord: DiscordStandin, model: ModelStandin, file: Path) -> None:
    model.script.append(GOES_ON)
    fault = discord.faults.add(ServerError(503), method="POST", route=POSTS, times=math.inf)
    await ask(discord, "tell me")
    await discord.wait_for(lambda: fault.hits)


async def the_answer_to_the_post_was_lost(discord: DiscordStandin, model: ModelStandin, file: Path) -> None:
    model.script.append(GOES_ON)
    discord.faults.add(Slow(3600, applied=True), method="POST", route=POSTS)
    await ask(discord, "tell me")
    await discord.wait_for(lambda: shown(discord))


async def the_answer_to_the_second_post_was_lost(discord: DiscordStandin, model: ModelStandin, file: Path) -> None:
    model.script.append(TWO_PARTS)
    discord.faults.add(Slow(3600, applied=True), method="POST", route=POSTS, when=second_part)
    await ask(discord, "tell me")
    await discord.wait_for(lambda: len(shown(discord)) == 2)


async def in_mid_stream(discord: DiscordStandin, model: ModelStandin, file: Path) -> None:
    model.script.append(GOES_ON)
    await ask(discord, "tell me")
    await discord.wait_for(lambda: shown(discord) and "word9" in shown(discord)[0])


async def after_the_unseen_end(discord: DiscordStandin, model: ModelStandin, file: Path) -> None:
    model.script.append(Reply(["The ", "whole ", "answer."], tokens_per_second=10))
    fault = discord.faults.add(ServerError(503), method="PATCH", times=math.inf)
    await ask(discord, "tell me")
    await until(lambda: states(file, discord.general), [("The whole answer.", "complete")], discord.patience)
    await discord.wait_for(lambda: fault.hits)


LOST = [the_answer_to_the_post_was_lost, the_answer_to_the_second_post_was_lost]
PHASES = [
    *((phase, 2, "forgotten") for phase in (before_the_post, the_post_failed, in_mid_stream, *LOST)),
    *((phase, 2, "kept") for phase in LOST),
    (the_answer_to_the_post_was_lost, 2, "kept, but nothing can be looked up"),
    (after_the_unseen_end, 1, "kept"),
]


@posix
@pytest.mark.parametrize(("phase", "asked", "nonces"), PHASES, ids=[f"{p.__name__}, nonces {n}" for p, _, n in PHASES])
async def test_one_whole_reply_after_a_kill(
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
    if "nothing" in nonces:
        discord.deny(discord.general, Permission.READ_MESSAGE_HISTORY)
    async with launch() as process:
        await discord.ready()
        await phase(discord, model, file)
        process.kill()
        await process.wait()
    discord.faults.clear()
    if nonces == "forgotten":
        monkeypatch.setattr("bot.standin.channel_routes._NONCE_KEPT", 0)
    model.default = Reply("The whole answer.")
    for restart in (1, 2):
        async with start() as world:
            await discord.wait_for(lambda: shown(discord) == ["The whole answer."])
            # What is done once more is done by the time that somebody else is answered.
            await world.ask(f"still there? {restart}", discord.random_channel)
            await world.reply(discord.random_channel, "The whole answer.", count=restart)
            await world.idle()
    [reply] = discord.bot_messages(discord.general)
    assert reply.content == "The whole answer."
    assert reply.reply_to is (None if "nothing" in nonces else discord.messages(discord.general)[0])
    assert reply.buttons == []
    assert len(model.requests) == asked + 2
    assert await states(file, discord.general) == [("The whole answer.", "complete")]


@posix
async def test_prompt_that_kills_twice_is_not_retried(
    discord: DiscordStandin, model: ModelStandin, launch: Launch, start: Start
) -> None:
    async def killed(*, asking: bool) -> None:
        asked = len(model.requests)
        async with launch() as process:
            await discord.ready()
            if asking:
                await ask(discord, "tell me")
            await discord.wait_for(lambda: len(model.requests) > asked)
            await discord.wait_for(lambda: shown(discord) and "word9" in shown(discord)[0])
            process.kill()
            await process.wait()

    model.default = GOES_ON
    await killed(asking=True)
    await killed(asking=False)
    [reply] = discord.bot_messages(discord.general)
    model.default = Reply("At last.")
    async with start() as world:
        await discord.wait_for(lambda: reply.content.endswith(COULD_NOT))
        await world.idle()
        assert len(model.requests) == 2
        await world.press(reply)
        await discord.wait_for(lambda: shown(discord) == ["At last."])
        await world.idle()


@posix
async def test_deleted_prompts_reply_goes_after_a_kill(
    discord: DiscordStandin, model: ModelStandin, launch: Launch, start: Start, file: Path
) -> None:
    model.script.append(GOES_ON)
    async with launch() as process:
        await discord.ready()
        said = await ask(discord, "tell me")
        await discord.wait_for(lambda: shown(discord) and "word9" in shown(discord)[0])
        fault = discord.faults.add(ServerError(503), method="DELETE", times=math.inf)
        await discord.delete(said)
        await discord.wait_for(lambda: fault.hits)
        assert await states(file, discord.general) == [], "what it had said is no part of the conversation"
        process.kill()
        await process.wait()
    discord.faults.clear()
    async with start() as world:
        await discord.wait_for(lambda: shown(discord) == [])
        await forgotten(world, said)
    assert len(model.requests) == 1


@posix
async def test_unseen_refusal_is_answered_after_a_kill(
    discord: DiscordStandin, model: ModelStandin, launch: Launch, start: Start
) -> None:
    model.default = Reply("never", first_token_after=3600)
    async with launch(QUEUE_PER_USER="1") as process:
        await discord.ready()
        fault = discord.faults.add(ServerError(503), method="POST", route=POSTS, times=math.inf)
        prompts = [await ask(discord, text) for text in ("one", "two", "one too many")]
        await discord.wait_for(lambda: fault.hits)
        process.kill()
        await process.wait()
    discord.faults.clear()
    model.default = Reply("The whole answer.")
    async with start() as world:
        await world.reply(discord.general, count=3)
        await world.idle()
    assert {message.reply_to for message in discord.bot_messages(discord.general)} == set(prompts)

"""Retry where an answer is there already: after Stop, by the command in its menu, after an edit of its question."""

from __future__ import annotations

import asyncio
import math
import sys
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from bot.core.quotas import Quotas
from bot.core.turns import Turn
from bot.discord_bot.delivery.opener import ReplyOpener
from bot.standin.entities import Message, User
from bot.standin.faults import ServerError
from bot.standin.interactions import Callback, Interaction
from bot.standin.model import ModelStandin
from bot.standin.script import REFUSALS, Reply
from bot.standin.server import DiscordStandin
from tests.discord_bot.conftest import RUN, Launch, Start, World
from tests.discord_bot.people import ask, shown

LONG = Reply([f"word{n} " for n in range(400)], tokens_per_second=60)
MESSAGE = "/channels/{channel_id}/messages/{message_id}"
TRYING = "I'm trying again. My old answer stays until the new one begins."
LATEST = "I can only retry my latest answer to someone. Ask the question again."
UNREACHABLE = "-# My model isn't answering right now. Your question is saved."


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.discord_bot.delivery.reconciler.STOP_AFTER", 0.2)


@pytest.fixture
def offers(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The turns under whose replies a button is offered after an edit."""
    offered, offer = list[int](), ReplyOpener.offer

    def noted(opener: ReplyOpener, turn: Turn, *details: Any) -> None:
        offered.append(turn.id)
        offer(opener, turn, *details)

    monkeypatch.setattr(ReplyOpener, "offer", noted)
    return offered


def labels(message: Message) -> list[str]:
    return [each["label"] for each in message.buttons]


async def retry(discord: DiscordStandin, message: Message, person: User | None = None) -> Interaction:
    return await discord.context_menu(person or discord.bo, "Retry answer", message, message.channel)


async def told(used: Interaction) -> str:
    answer = (await used.answered()).content
    assert used.ephemeral
    return answer


async def edited(world: World, said: Message, text: str) -> None:
    await world.discord.edit(said, f"{world.discord.bot.mention} {text}")


@pytest.mark.parametrize("what", ["Continue", "Retry"])
async def test_a_stopped_answer_goes_on_or_begins_again(start: Start, what: str) -> None:
    async with start() as world:
        discord = world.discord
        world.model.script.append(LONG)
        await world.ask("tell me")
        message = await world.reply(discord.general, "word9 ")
        await (await discord.slash(discord.bo, discord.general, "stop")).answered()
        await discord.wait_for(lambda: labels(message) == ["Continue", "Retry"])
        await world.idle()
    stopped, _, note = message.content.partition("\n")
    assert note == "-# Stopped by Bo."
    async with start() as world:
        world.model.default = Reply(" And on." if what == "Continue" else "All anew.", first_token_after=0.3)
        [custom_id] = [each["custom_id"] for each in message.buttons if each["label"] == what]
        await world.press(message, button=custom_id)
        await discord.wait_for(lambda: labels(message) == [])
        assert message.content.startswith(stopped), "what was there stays until there is more"
        whole = f"{stopped} And on." if what == "Continue" else "All anew."
        await discord.wait_for(lambda: message.content.replace("  ", " ") == whole)
        await world.idle()
        assert labels(message) == []
        [(_, reply, state)] = await world.turns(discord.general)
        assert (" ".join(reply.split()), state) == (whole, "complete")
    assert discord.bot_messages(discord.general) == [message]


async def test_what_was_stopped_before_its_first_word_can_be_retried(world: World) -> None:
    discord = world.discord
    world.model.script.append(Reply("never", first_token_after=3600))
    await world.ask()
    await world.asked(0)
    await (await discord.slash(discord.bo, discord.general, "stop")).answered()
    message = await world.reply(discord.general, "-# Stopped by Bo.")
    await world.idle()
    assert labels(message) == ["Retry"]
    world.model.default = Reply("Here.")
    await world.press(message)
    await discord.wait_for(lambda: message.content == "Here.")
    await world.idle()


async def test_the_asker_and_moderators_retry_a_finished_answer(world: World) -> None:
    discord = world.discord
    world.model.script.append(Reply("The first answer."))
    message = await world.answered("tell me")
    assert labels(message) == [], "no button stands under a finished answer"
    for person in (discord.bo, discord.max):
        refused = await retry(discord, message, discord.cleo)
        assert await told(refused) == "Only Bo and moderators can do that."
        world.model.script.append(Reply(["Another ", "answer."], tokens_per_second=1))
        assert await told(await retry(discord, message, person)) == TRYING
        await discord.wait_for(lambda: message.content == "Another answer.")
        await world.idle()
        assert all(each.content.startswith(("The first answer.", "Another")) for each in message.shown)
    assert discord.bot_messages(discord.general) == [message]
    assert await world.turns(discord.general) == [("tell me", "Another answer.", "complete")]
    assert [part["role"] for part in world.model.requests[-1].messages] == ["system", "user"], "it sees no old answer"


async def test_only_the_latest_answer_to_somebody_is_retried(world: World) -> None:
    discord = world.discord
    first = await world.answered("one")
    second = await world.answered("two")
    await world.answered("three", author=discord.cleo)
    assert await told(await retry(discord, first)) == LATEST
    assert await told(await retry(discord, second)) == TRYING, "what others asked since does not count"
    await discord.wait_for(lambda: len(world.model.requests) == 4)
    await world.idle()


async def test_what_cannot_be_retried_is_told_in_private(world: World) -> None:
    discord = world.discord
    others = await discord.say(discord.general, discord.cleo, "hello")
    assert await told(await retry(discord, others)) == "That isn't one of my answers. Use Retry answer on one that is."
    world.model.script.append(LONG)
    await world.ask("go on")
    message = await world.reply(discord.general, "word")
    assert await told(await retry(discord, message)) == (
        "I'm still writing that answer. Wait for its end, or stop it first."
    )
    await (await discord.slash(discord.bo, discord.general, "stop")).answered()
    await world.idle()
    await (await discord.slash(discord.max, discord.general, "pause")).answered()
    assert await told(await retry(discord, message)) == "The moderators have paused me here. Please ask again later."
    await (await discord.slash(discord.max, discord.general, "reset")).answered()
    assert await told(await retry(discord, message)) == "I don't remember this one any more. Please ask again."


async def test_a_retry_counts_as_a_question(start: Start) -> None:
    async with start(allowances=Quotas(2, 10**9, 10**9, 10**9)) as world:
        message = await world.answered()
        assert await told(await retry(world.discord, message)) == TRYING
        await world.until(lambda: len(world.model.requests), 2)
        await world.idle()
        assert (await told(await retry(world.discord, message))).startswith(
            "You've used your 2 questions for this hour."
        )


@pytest.mark.parametrize("end", ["fails", "is stopped"])
async def test_an_answer_stays_whole_when_another_attempt_brings_none(world: World, end: str) -> None:
    discord = world.discord
    world.model.script.append(Reply("The whole answer."))
    message = await world.answered("tell me")
    world.model.script.append(REFUSALS["server error"] if end == "fails" else Reply("never", first_token_after=3600))
    await retry(discord, message)
    if end == "is stopped":
        await world.asked(1)
        await (await discord.slash(discord.bo, discord.general, "stop")).answered()
    note = UNREACHABLE if end == "fails" else "-# Stopped by Bo."
    await discord.wait_for(lambda: message.content == f"The whole answer.\n{note}")
    await discord.wait_for(lambda: labels(message) == ["Retry"])
    await world.idle()
    assert await world.turns(discord.general) == [("tell me", "The whole answer.", "complete")]
    world.model.script.append(Reply("A new answer."))
    [custom_id] = [each["custom_id"] for each in message.buttons]
    await world.press(message)
    await discord.wait_for(lambda: message.content == "A new answer.")
    await world.idle()
    # It is about that attempt alone, however late a press comes.
    asked = len(world.model.requests)
    row = {"type": 1, "components": [{"type": 2, "style": 2, "label": "Retry", "custom_id": custom_id, "id": 2}]}
    message.components = [row]
    late = await (await world.press(message, button=custom_id)).acknowledged()
    assert late.callback is Callback.DEFERRED_UPDATE
    await world.idle()
    assert len(world.model.requests) == asked


async def test_another_attempt_that_failed_unseen_leaves_a_button_to_the_next_start(
    start: Start, discord: DiscordStandin, model: ModelStandin
) -> None:
    fails = asyncio.Event()
    model.script += [Reply("The whole answer."), Reply("never", cut_after=0, held_until=fails)]
    async with start() as world:
        said = await world.ask("tell me")
        message = await world.reply(discord.general, "The whole answer.")
        await world.idle()
        await edited(world, said, "tell me all")
        await discord.wait_for(lambda: labels(message) == ["Retry"])
        # As after a kill, nobody sees how it ends.
        await world.press(message)
        await world.asked(1)
        discord.faults.add(ServerError(503), method="PATCH", times=math.inf)
        fails.set()
        ended = "SELECT 1 FROM turns WHERE attempt = 2 AND state = 'complete' AND delivered = 0"
        await world.until(lambda: world.store.engine.read(ended))
    discord.faults.clear()
    async with start() as world:
        await discord.wait_for(lambda: labels(message) == ["Retry"])
        assert message.content == "The whole answer.\n-# I was restarted and couldn't finish."
        model.default = Reply("A new answer.")
        await world.press(message)
        await discord.wait_for(lambda: message.content == "A new answer.")
        await world.idle()
        assert labels(message) == []


@pytest.mark.parametrize("half", ["cut", "stopped"])
async def test_half_an_answer_can_still_be_continued_after_an_attempt_that_fails(world: World, half: str) -> None:
    discord = world.discord
    long = Reply(["Half of it", *["."] * 1000], tokens_per_second=5)
    world.model.script += [Reply("Half of it", finish="length") if half == "cut" else long, REFUSALS["server error"]]
    await world.ask("tell me")
    message = await world.reply(discord.general, "Half of it")
    if half == "stopped":
        await (await discord.slash(discord.bo, discord.general, "stop")).answered()
    await discord.wait_for(lambda: "Continue" in labels(message))
    await world.idle()
    text, _, _ = message.content.partition("\n")
    [(_, _, state)] = await world.turns(discord.general)
    await retry(discord, message)
    await discord.wait_for(lambda: message.content == f"{text}\n{UNREACHABLE}")
    await discord.wait_for(lambda: labels(message) == ["Continue", "Retry"])
    await world.idle()
    assert await world.turns(discord.general) == [("tell me", text, state)]
    world.model.script.append(Reply(" and the rest."))
    await world.press(message, button=message.buttons[0]["custom_id"])
    await discord.wait_for(lambda: message.content == f"{text} and the rest.")
    await world.idle()
    assert await world.turns(discord.general) == [("tell me", f"{text} and the rest.", "complete")]


@pytest.mark.parametrize("when", ["after the answer", "during it"])
async def test_an_edited_question_is_answered_anew_by_a_button(world: World, when: str) -> None:
    discord = world.discord
    world.model.script.append(Reply(["Blue, ", "I ", "think."], tokens_per_second=10 if when == "during it" else 1000))
    said = await world.ask("what colour is the sea?")
    message = await world.reply(discord.general, "Blue,")
    if when == "after the answer":
        await discord.wait_for(lambda: message.content == "Blue, I think.")
        await world.idle()
    await edited(world, said, "what colour is grass?")
    await discord.wait_for(lambda: labels(message) == ["Retry"])
    assert message.content == "Blue, I think."
    refused = await world.press(message, discord.cleo)
    assert await told(refused) == "Only Bo and moderators can do that."
    world.model.script.append(Reply("Green.", first_token_after=0.2))
    await world.press(message)
    await discord.wait_for(lambda: message.content == "Green.")
    await world.idle()
    assert labels(message) == []
    assert discord.bot_messages(discord.general) == [message]
    assert await world.turns(discord.general) == [("what colour is grass?", "Green.", "complete")]


async def test_edits_that_change_nothing_for_the_answer_bring_no_button(world: World, offers: list[int]) -> None:
    discord = world.discord
    first = await world.ask_and_wait("one")
    second = await world.ask_and_wait("two")
    await edited(world, first, "one, I mean")
    await edited(world, second, "two")
    await discord.unfurl(second, {"type": "link", "url": "https://example.org"})
    world.model.script.append(Reply("A whole", cut_after=1))
    third = await world.ask_and_wait("three")
    await edited(world, third, "three, I mean")
    last = discord.bot_messages(discord.general)[-1]
    assert [each["custom_id"] for each in last.buttons] == ["reply:retry"], "there is a button already"
    await edited(world, third, "three again")
    await world.answered("four", discord.random_channel)
    assert [labels(each) for each in discord.bot_messages(discord.general)] == [[], [], ["Retry"]]
    assert offers == []


async def test_a_flood_of_edits_costs_one_call(world: World, offers: list[int]) -> None:
    discord = world.discord
    said = await world.ask_and_wait("one")
    [message] = discord.bot_messages(discord.general)
    before = len(discord.calls("PATCH", MESSAGE))
    fault = discord.faults.add(ServerError(503), method="PATCH", route=MESSAGE)
    for number in range(20):
        await edited(world, said, f"number {number}")
    await discord.wait_for(lambda: labels(message) == ["Retry"])
    assert fault.hits
    await world.answered("four", discord.random_channel)
    assert len(offers) == 1
    assert len(discord.calls("PATCH", MESSAGE)) == before + 2, "one that failed, and one that did not"


async def test_an_old_answer_is_written_anew_below(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    discord = world.discord
    message = await world.answered()
    monkeypatch.setattr("bot.discord_bot.delivery.replies.EDITABLE_FOR", timedelta(hours=-1))
    world.model.default = Reply("Anew.", first_token_after=0.3)
    assert await told(await retry(discord, message)) == TRYING
    assert not message.deleted, "the old text is kept until there is new"
    await discord.wait_for(lambda: shown(discord) == ["Anew."])
    await world.idle()
    assert message.deleted


async def by_command(discord: DiscordStandin, said: Message, message: Message) -> None:
    await told(await retry(discord, message))


async def by_button(discord: DiscordStandin, said: Message, message: Message) -> None:
    await discord.edit(said, f"{discord.bot.mention} I mean this")
    await discord.wait_for(lambda: labels(message) == ["Retry"])
    await discord.press(discord.bo, message, message.buttons[0]["custom_id"])


@pytest.mark.skipif(sys.platform == "win32", reason="a kill of POSIX")
@pytest.mark.parametrize("how", [by_command, by_button])
@pytest.mark.parametrize("begun", [False, True])
async def test_a_retry_survives_a_kill(
    discord: DiscordStandin,
    model: ModelStandin,
    launch: Launch,
    start: Start,
    how: Callable[[DiscordStandin, Message, Message], Awaitable[None]],
    begun: bool,
) -> None:
    model.script += [Reply("The old answer."), LONG if begun else Reply("never", first_token_after=3600)]
    async with launch() as process:
        await discord.ready()
        await discord.wait_for(lambda: discord.commands.registered(None))
        said = await ask(discord, "tell me")
        await discord.wait_for(lambda: shown(discord) == ["The old answer."])
        [message] = discord.bot_messages(discord.general)
        await how(discord, said, message)
        await discord.wait_for(lambda: ("word9" if begun else "The old answer.\n-# Trying again…") in message.content)
        process.kill()
        await process.wait()
    model.default = Reply("The new answer.")
    async with start() as world:
        await discord.wait_for(lambda: shown(discord) == ["The new answer."])
        await world.idle()
        asked = "tell me" if how is by_command else "I mean this"
        assert await world.turns(discord.general) == [(asked, "The new answer.", "complete")]
    assert discord.bot_messages(discord.general) == [message]


OLD_AT_ONCE = """
from datetime import timedelta
from bot.discord_bot.delivery import replies
replies.EDITABLE_FOR = timedelta(hours=-1)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="a kill of POSIX")
@pytest.mark.parametrize("parts", [1, 2])
async def test_a_kill_while_an_old_answer_moves_below_leaves_one_answer(
    discord: DiscordStandin, model: ModelStandin, launch: Launch, start: Start, parts: int
) -> None:
    model.script += [Reply("An old answer. " * 100 * parts), LONG]
    async with launch(OLD_AT_ONCE + RUN) as process:
        await discord.ready()
        await discord.wait_for(lambda: discord.commands.registered(None))
        await ask(discord, "tell me")
        await discord.wait_for(lambda: len(discord.bot_messages(discord.general)) > parts - 1)
        await discord.wait_for(lambda: shown(discord)[-1].endswith("answer."))
        old = discord.bot_messages(discord.general)
        deletion = discord.faults.add(ServerError(503), method="DELETE", route=MESSAGE, times=math.inf)
        await told(await retry(discord, old[0]))
        await discord.wait_for(lambda: deletion.hits)
        assert "word0" in shown(discord)[-1]
        process.kill()
        await process.wait()
    discord.faults.clear()
    model.default = Reply("The new answer.")
    async with start() as world:
        await discord.wait_for(lambda: shown(discord) == ["The new answer."])
        await world.idle()
    assert all(each.deleted for each in old)

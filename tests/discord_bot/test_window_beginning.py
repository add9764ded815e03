"""What is sent with each question repeats what was sent with the one before, with the whole bot on the wire."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from bot.standin.entities import Attachment, Channel, Message, User
from bot.standin.model import ModelStandin, Request
from bot.standin.script import Reply
from bot.standin.server import DiscordStandin
from bot.texts.memory import TOLD_TO_MODEL
from tests.discord_bot.conftest import Start, World
from tests.places import on_discord

pytestmark = pytest.mark.virtual_time

BEFORE = Path(__file__).with_name("requests.json")
"""What was sent in `converse` when the oldest turn that did not fit was left out at each question, without the date."""
PARAMETERS = {
    "model": "demo",
    "max_tokens": 4000,
    "reasoning_effort": "none",
    "stream": True,
    "stream_options": {"include_usage": True},
}
"""The rest of these requests."""
HALF_A_TURN = "The keeper of the lighthouse wrote down every ship that passed the harbour. " * 4
"""About a hundredth of the window."""
FILLING = 50
TURNS = 45
"""So many that the window is moved twice."""
DATE = re.compile(r"⟦Today is [^\n⟧]+⟧\n")


def repeated(requests: Sequence[Request]) -> float:
    """The part of the characters sent that repeats the beginning of the request before."""
    sent = [json.dumps(request.messages) for request in requests]
    same = 0
    for before, after in pairwise(sent):
        same += next(
            (n for n, (one, other) in enumerate(zip(before, after, strict=False)) if one != other), len(before)
        )
    return same / sum(map(len, sent[1:]))


@pytest.mark.parametrize(("people", "least"), [(1, 0.9), (4, 0.8)])
async def test_most_of_each_request_repeats_the_one_before(
    world: World, discord: DiscordStandin, model: ModelStandin, people: int, least: float
) -> None:
    discord.limits.messages = type(discord.limits.messages)(5, 0.01)
    model.default = Reply(HALF_A_TURN, tokens_per_second=None if people == 1 else 400, usage=False)
    numbers = iter(range(FILLING + TURNS))

    async def speak(person: User) -> None:
        for number in numbers:
            said = await discord.say(discord.general, person, f"{discord.bot.mention} {number}. {HALF_A_TURN}")
            await discord.wait_for(partial(is_answered, discord, said))

    await asyncio.gather(*map(speak, (discord.bo, discord.cleo, discord.ada, discord.add_user("dee", "Dee"))[:people]))
    await world.idle()
    measured = model.requests[FILLING:]
    assert len(measured) == TURNS
    # A request that was prepared before a move may arrive after the one that moved.
    beginnings = {request.messages[1]["content"] for request in measured}
    assert 3 <= len(beginnings) <= 4
    assert repeated(measured) >= least


def is_answered(discord: DiscordStandin, said: Message) -> bool:
    answers = (each for each in discord.bot_messages(discord.general) if each.reply_to is said)
    return any(each.content.startswith(HALF_A_TURN.strip()) for each in answers)


async def test_requests_are_those_of_before_but_for_what_is_new(start: Start) -> None:
    """In a conversation that fits, with one reply at a time, where nobody uses notes, summaries or the search."""
    async with start(about_memory=TOLD_TO_MODEL, summaries=True) as world:
        await converse(world)
    recorded = json.loads(BEFORE.read_text(encoding="utf-8"))
    for expected, request in zip(recorded, world.model.requests, strict=True):
        assert request.body == {**PARAMETERS, "messages": request.messages}
        assert without_what_is_new(request.messages) == expected


def without_what_is_new(messages: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
    """The messages of a request without the date, which is with the question now, and without how notes are made."""
    dates = [DATE.findall(message["content"]) for message in messages]
    assert sum(map(len, dates)) == 1
    system, *others = ({**message, "content": DATE.sub("", message["content"])} for message in messages)
    before, told, after = system["content"].rpartition(f"\n\n{TOLD_TO_MODEL}")
    assert told
    assert after == ""
    return [{**system, "content": before}, *others]


async def converse(world: World) -> None:
    """A bit of everything that people do, in an order that no timing changes."""
    discord, model, bot = world.discord, world.model, world.discord.bot.mention
    general = discord.general
    discord.member(discord.ada).nick = "Captain"

    async def say(person: User, text: str, *replies: Reply, where: Channel = general, **more: Any) -> Message:
        model.script.extend(replies)
        said = await discord.say(where, person, f"{bot} {text}", **more)
        await world.taken(said)
        return said

    async def press_when(text: str, *replies: Reply) -> None:
        """Press the button of the message that ends so, and wait for the end of the reply."""
        await world.until(lambda: any(text in shown for shown in world.shown()))
        [message] = [each for each in discord.bot_messages(general) if text in each.content]
        model.script.extend(replies)
        requests = len(model.requests)
        await world.press(message)
        await world.asked(requests)
        await world.idle()

    first = await say(discord.bo, "why is the sky dark?", Reply("Space is."))
    quoting = await say(discord.cleo, "and this?", Reply("That too."), reply_to=first)
    await say(discord.ada, f"tell {discord.bo.mention}", Reply("Bo."), attachments=[Attachment("a.bin", b"\0\1")])
    await say(discord.bo, "count", Reply(["One, ", "two, ", "three."], cut_after=2))
    await say(discord.cleo, "and now?", Reply("Now."))
    await press_when("One, two,", Reply("One, two, three."))
    await say(discord.bo, "an essay", Reply(["It begins", " here"], finish="length"))
    await press_when("It begins here", Reply(" and ends."))
    await discord.edit(first, f"{bot} why is the night sky dark?")
    await discord.delete(quoting)
    await world.until(partial(_remembers, world), ["why is the night sky dark?"])

    model.script.append(Reply(["Begun", " and", " so on"], stall_after=2))
    await discord.say(general, discord.bo, f"{bot} beside?")
    await world.until(lambda: any("Begun and" in shown for shown in world.shown()))
    model.script.append(Reply("Beside it."))
    await discord.say(general, discord.ada, f"{bot} what is he told?")
    await world.until(lambda: "Beside it." in world.shown())
    await discord.slash(discord.bo, general, "stop")
    await world.idle()

    [answer] = [each for each in discord.bot_messages(general) if each.content == "Space is."]
    thread = await discord.open_thread(general, "About the sky", discord.bo, message=answer)
    await say(discord.cleo, "where?", Reply("There."), where=thread)
    await say(discord.bo, "who?", Reply("You."), where=thread)
    direct = discord.open_dm(discord.bo)
    for text in ("hi", "and now?"):
        await say(discord.bo, text, Reply("Hello."), where=direct)
    await world.store.personas.set_persona(on_discord(direct.id), None, "You are a pirate.", user_id=discord.bo.id)
    await say(discord.bo, "who are you?", Reply("Arr."), where=direct)


async def _remembers(world: World) -> list[str]:
    """What is remembered of the questions about the sky and this."""
    return [said for said, *_ in await world.turns(world.discord.general) if re.search("why is|and this", said)]

"""Reasoning that is known as such only at its end: the reply takes its place in the channel and in the memory."""

from __future__ import annotations

import asyncio
from itertools import islice

from bot.standin.script import Raw
from tests.discord_bot.conftest import World
from tests.llm.wire import DONE, STOP, data, say
from tests.places import on_discord

LINES = [f"This is thought {number}, and it is as long as thoughts are.\n" for number in range(100)]
ANSWER = [f"This is line {number} of the reply, which is a long one too.\n" for number in range(50)]
END = say("\n</think>\n\n")


async def on_record(world: World) -> str:
    """What a crash would leave of the one reply that is under way."""
    [running] = world.conversations.running
    turn = await world.store.turns.of_attempt(running.attempt)
    assert turn is not None
    return turn.reply


async def test_reply_takes_the_place_of_reasoning(world: World) -> None:
    over, begin, go_on, finish = (asyncio.Event() for _ in range(4))
    answer = ["So: ", *ANSWER]
    world.model.script.append(
        Raw([*map(say, LINES), over, END, begin, say(answer[0]), go_on, *map(say, answer[1:]), finish, STOP + DONE])
    )
    await world.ask()
    await world.until(lambda: len(world.shown()) == 4)
    await world.until(lambda: on_record(world), "".join(LINES))
    first = world.discord.bot_messages(world.discord.general)[0]

    over.set()
    await world.until(lambda: on_record(world), "")
    begin.set()
    await world.until(world.shown, ["So:"])
    go_on.set()
    await world.until(lambda: len(world.shown()) == 2)
    assert "thought" not in "".join(world.shown())
    finish.set()
    await world.idle()

    assert await world.turns(world.discord.general) == [("why?", "".join(answer), "complete")]
    assert "\n".join(world.shown()).split() == "".join(answer).split()
    messages = world.discord.bot_messages(world.discord.general)
    assert messages[0].id == first.id
    [turn] = await world.store.turns.history(on_discord(world.discord.general.id), 1)
    sent = await world.store.deliveries.sent(turn.id)
    assert [each.message_id for each in sent] == [message.id for message in messages]
    assert "".join(answer)[sent[1].start :].split() == messages[1].content.split()

    await world.answered("and now?")
    assert "thought" not in str(world.model.requests[-1].body)


async def test_continued_reply_keeps_what_it_goes_on_from(world: World) -> None:
    over = asyncio.Event()
    world.model.script += [
        Raw([*map(say, ANSWER), data({}, "length"), DONE]),
        Raw([*map(say, LINES), over, END, say("And that is all."), STOP + DONE]),
    ]
    await world.ask_and_wait()
    before = world.discord.bot_messages(world.discord.general)
    shown = world.shown()
    await world.press(before[-1])
    await world.until(lambda: len(world.shown()) > 4)
    over.set()
    await world.until(lambda: "And that is all." in "".join(world.shown()))
    await world.idle()
    after = world.discord.bot_messages(world.discord.general)
    assert [message.id for message in after] == [message.id for message in before]
    assert world.shown()[:-1] == shown[:-1]
    assert "thought" not in "".join(world.shown())
    [(_, reply, state)] = await world.turns(world.discord.general)
    assert (reply, state) == ("".join(ANSWER) + "And that is all.", "complete")


async def test_nothing_behind_reasoning_is_an_empty_reply(world: World) -> None:
    over = asyncio.Event()
    world.model.script.append(Raw([*map(say, LINES), over, END + STOP + DONE]))
    await world.ask()
    await world.until(lambda: len(world.shown()) == 4)
    over.set()
    await world.idle()
    assert world.shown() == ["-# The model had nothing to say. Try rewording."]


async def test_prompt_of_another_sees_no_reasoning(world: World) -> None:
    """A reply under way is in the context of other people's prompts."""
    over, finish = asyncio.Event(), asyncio.Event()
    world.model.script.append(Raw([*map(say, islice(LINES, 3)), over, END, say("Tea."), finish, STOP + DONE]))
    await world.ask()
    await world.until(lambda: len(world.shown()) == 1)
    over.set()
    await world.until(world.shown, ["Tea."])
    await world.ask("and me?", author=world.discord.ada)
    request = await world.asked(1)
    assert "Tea." in str(request.body)
    assert "thought" not in str(request.body)
    finish.set()
    await world.idle()

"""Without MESSAGE_CONTENT the bot asks for the same intents and does the same with each message as before it had that.

The transcript beside this file was recorded with the code before; `RECORD_TRANSCRIPT=1` records it again.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from bot.standin.entities import Attachment, Channel, Message
from bot.standin.limits import Limit
from bot.standin.model import ModelStandin
from bot.standin.server import DiscordStandin
from bot.standin.sessions import Frame
from tests.discord_bot.conftest import Start, World

RECORD = Path(__file__).with_name("without_message_content.json")
DATE = re.compile(r"⟦Today is [^\n⟧]+⟧")
SHOWING = ("GET", "POST", "PATCH")
"""The methods of calls that show something, or change nothing."""
Act = Callable[[], Awaitable[Message | None]]


@pytest.mark.usefixtures("echo")
async def test_intents_and_messages_are_handled_as_before(
    discord: DiscordStandin, model: ModelStandin, start: Start
) -> None:
    identified: list[int] = []

    def listen(frame: Frame) -> None:
        if frame.name == "IDENTIFY":
            identified.append(frame.data["intents"])

    discord.gateway.on_frame.append(listen)
    discord.limits.messages = Limit(50, 0.01)
    async with start() as world:
        done = [{"said": name, **await effects(world, model, act)} for name, act in script(world)]
    # Each shard asks for them.
    happened = {"intents": sorted(set(identified)), "messages": done}
    if os.environ.get("RECORD_TRANSCRIPT"):
        RECORD.write_text(json.dumps(happened, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    assert happened == json.loads(RECORD.read_text(encoding="utf-8"))


def script(world: World) -> list[tuple[str, Act]]:
    """What people do, one after the other, in a server, in a thread and in a DM."""
    discord = world.discord
    bo, cleo, here, me = discord.bo, discord.cleo, discord.general, discord.bot.mention
    said: dict[str, Message] = {}
    places: dict[str, Channel] = {}

    def say(name: str, text: str, author: Any = bo, *, to: str | None = None, **how: Any) -> tuple[str, Act]:
        async def act() -> Message:
            place = places.get(how.pop("place", ""), here)
            said[name] = await discord.say(place, author, text, reply_to=_replied(to), **how)
            return said[name]

        return name, act

    def _replied(to: str | None) -> Message | None:
        if to == "the bot":
            return discord.bot_messages(here)[0]
        return None if to is None else said[to]

    def edit(name: str, text: str) -> tuple[str, Act]:
        async def act() -> Message:
            return await discord.edit(said[name], text)

        return f"edit of {name}", act

    def delete(name: str) -> tuple[str, Act]:
        async def act() -> None:
            await discord.delete(said[name])

        return f"deletion of {name}", act

    async def open_thread() -> None:
        places["thread"] = await discord.open_thread(here, "side", bo)

    async def open_dm() -> None:
        places["dm"] = discord.open_dm(bo)

    photo = Attachment("cat.txt", b"a cat", content_type="text/plain")
    webhook, robot = discord.world.add_user("feed"), discord.add_user("robot", bot=True)
    return [
        say("mention", f"{me} why is the sky dark?"),
        say("nothing but a mention", me),
        say("talk", "is anybody there?"),
        say("talk with a file", "look", attachments=[photo]),
        say("mention of another", f"{cleo.mention} what do you say?"),
        say("reply to another", "I do not know", cleo, to="talk"),
        say("mention of everyone", "@everyone lunch"),
        say("reply that pings", "and why?", to="the bot"),
        say("reply that does not ping", "and then?", cleo, to="the bot", ping=False),
        say("the same again", "hello?", cleo, to="the bot", ping=False),
        say("mention in a reply to another", f"{me} who is at the quay today?", cleo, to="talk"),
        say("role", f"{discord.managed_role.mention} can you read this?"),
        say("webhook", f"{me} news", webhook, webhook=True),
        say("another bot", f"{me} hello", robot),
        edit("talk", "is anybody here?"),
        edit("mention of another", f"{me} what do you say?"),
        edit("mention", f"{me} why is the sky blue?"),
        delete("talk with a file"),
        delete("mention"),
        ("a thread", open_thread),
        say("talk in the thread", "so?", place="thread"),
        say("mention in the thread", f"{me} so?", place="thread"),
        say("talk after an answer", "and so?", place="thread"),
        ("a DM", open_dm),
        say("direct", "hello", place="dm"),
    ]


async def effects(world: World, model: ModelStandin, act: Act) -> dict[str, Any]:
    """What comes of an act: what the bot shows, what it calls Discord for beside that, and what the model is asked."""
    discord = world.discord
    shown, calls, asked = len(_shown_in(discord)), len(discord.requests), len(model.requests)
    await act()
    await settled(world)
    return {
        "shown": _shown_in(discord)[shown:],
        "calls": [
            f"{each.method} {each.route}" for each in list(discord.requests)[calls:] if each.method not in SHOWING
        ],
        "asked": [
            _text(request.messages[-1]["content"])
            for request in model.requests[asked:]
            if "quiet" not in str(request.messages[-1]["content"])
        ],
    }


def _shown_in(discord: DiscordStandin) -> list[str]:
    """What the bot has said in every place, oldest first."""
    said = [message for place in discord.world.channels.values() for message in discord.bot_messages(place)]
    said.sort(key=lambda message: message.id)
    return [f"{each.channel.name}: {_text(each.content)}" for each in said if "quiet" not in each.content]


async def settled(world: World) -> None:
    """Wait until what came before is dealt with: what is asked now comes after it."""
    discord = world.discord
    quiet = discord.open_dm(discord.ada)
    before = len(discord.bot_messages(quiet))
    await discord.say(quiet, discord.ada, "quiet")
    await world.reply(quiet, "quiet", before + 1)
    await world.idle()


def _text(text: str) -> str:
    """A text without what differs from run to run. Notes under answers are tested where they come from."""
    lines = [line for line in DATE.sub("⟦date⟧", text).splitlines() if not line.startswith("-# ") or line == text]
    return "\n".join(lines)

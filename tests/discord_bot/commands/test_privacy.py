"""What people learn of what is kept of them, get of it, and have forgotten."""

from __future__ import annotations

import asyncio
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from bot.core.changes import Change
from bot.standin.entities import Channel, Message, User
from bot.standin.faults import Refused
from bot.standin.interactions import Callback, Interaction
from bot.standin.model import ModelStandin
from bot.standin.script import Reply
from bot.standin.server import DiscordStandin
from bot.store.databases import DatabaseServer
from bot.store.forgotten_use import ForgottenUse
from bot.store.postgresql import Listener
from tests import forkserver
from tests.discord_bot.conftest import Start, World, serving
from tests.places import on_discord
from tests.store.steps import failing
from tests.waiting import PATIENCE, until

pytestmark = [pytest.mark.virtual_time, pytest.mark.both_engines]

FORGOTTEN = (
    "I have forgotten everything about you: {}. The messages on Discord stay.\n"
    "I still count what you used today until the limits reset. That count isn't saved."
)
ORIGINAL = "/webhooks/{webhook_id}/{webhook_token}/messages/@original"


async def chat(world: World, channel: Channel, person: User, text: str, reply: str = "Sure.", **more: Any) -> Message:
    """A question and its whole answer; the question."""
    world.model.script.append(Reply(reply))
    count = len(world.discord.bot_messages(channel)) + 1
    said = await world.discord.say(channel, person, f"{world.discord.bot.mention} {text}", **more)
    await world.reply(channel, count=count)
    await world.idle()
    return said


async def asked_to_forget(world: World, person: User, channel: Channel) -> Interaction:
    """What /forget-me asks of a person."""
    used = await world.discord.slash(person, channel, "forget-me")
    await used.answered()
    assert used.ephemeral
    return used


async def press(world: World, person: User, used: Interaction, answer: str) -> Interaction:
    assert used.response is not None
    return await world.press(used.response, person, f"forget-me:{answer}:{used.user.id}")


def file(used: Interaction) -> Any:
    """What the file of an export says."""
    assert used.response is not None
    [attached] = used.response.attachments
    assert re.fullmatch(r"parley-\d{4}-\d\d-\d\d\.json", attached.filename)
    return json.loads(attached.data)


async def test_confirmed_forgetting_covers_every_conversation(world: World, tmp_path: Path) -> None:
    discord = world.discord
    direct, other = discord.open_dm(discord.bo), discord.add_channel("ideas", discord.add_guild("Library"))
    assert other.guild is not None
    discord.world.add_member(other.guild, discord.bo)
    first = await chat(world, discord.general, discord.bo, "SECRET-QUESTION", "SECRET-ANSWER")
    answer = discord.bot_messages(discord.general)[-1]
    await chat(world, other, discord.bo, "SECRET-QUESTION", "SECRET-ANSWER")
    await chat(world, direct, discord.bo, "SECRET-QUESTION", "SECRET-ANSWER")
    await chat(world, discord.general, discord.cleo, "is that so?", "Yes.", reply_to=first)
    await chat(world, discord.general, discord.cleo, "and that?", "No.", reply_to=answer)

    used = await asked_to_forget(world, discord.bo, discord.general)
    assert used.content == (
        "This makes me forget everything about you: your 3 questions and my replies, in 3 conversations, in all "
        "servers and direct messages. It cannot be undone.\n"
        "The messages on Discord stay, with their images and files. What others wrote to me stays too.\n"
        "Your /settings go back to the defaults. With the second button I remember one thing: that your recent messages"
        " are left out when someone else asks me something."
    )
    assert used.response is not None
    assert [(button["label"], button["style"]) for button in used.response.buttons] == [
        ("Forget everything about me", 4),
        ("Forget it, and leave my messages out", 4),
        ("Keep it", 2),
    ]
    assert len(await world.turns(direct)) == 1, "nothing goes before the answer"
    pressed = await press(world, discord.bo, used, "yes")
    said = await pressed.answered()
    await discord.wait_for(lambda: not said.buttons)
    assert said is used.response
    assert said.content == FORGOTTEN.format("3 questions")

    assert await world.turns(direct) == await world.turns(other) == []
    gone = "⟦They are replying to a message that was forgotten.⟧\n\n"
    assert await world.turns(discord.general) == [
        (f"{gone}is that so?", "Yes.", "complete"),
        (f"{gone}and that?", "No.", "complete"),
    ]
    assert "SECRET-QUESTION" in first.content
    await world.store.engine.erase_deleted()
    wanted = (b"SECRET", str(discord.bo.id).encode(), discord.bo.id.to_bytes(8, "big"))
    for name in ("parley.db", "parley.db-wal"):
        content = (tmp_path / name).read_bytes()
        assert not [each for each in wanted if each in content], name


async def test_forgetting_needs_the_persons_own_confirmation(world: World) -> None:
    discord = world.discord
    await chat(world, discord.general, discord.bo, "hello")
    used = await asked_to_forget(world, discord.bo, discord.general)
    for person in (discord.cleo, discord.max):
        pressed = await press(world, person, used, "yes")
        assert (await pressed.answered()).content == "Only the person who used the command can press this."
        assert pressed.ephemeral
    assert len(await world.turns(discord.general)) == 1
    pressed = await press(world, discord.bo, used, "no")
    said = await pressed.answered()
    assert (said.content, said.buttons) == ("All right, nothing is forgotten.", [])
    assert len(await world.turns(discord.general)) == 1
    stranger = await asked_to_forget(world, discord.cleo, discord.general)
    assert stranger.content == "Nothing is stored about you."
    assert stranger.response is not None
    assert not stranger.response.buttons


@pytest.mark.real_time
async def test_other_processes_hear_of_whoever_asks_though_nothing_is_on_record(
    discord: DiscordStandin,
    model: ModelStandin,
    postgresql_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They may have messages of theirs in memory, which would go along with somebody's question."""
    monkeypatch.setattr("bot.operator.health._FOLDER", tmp_path)
    heard: list[int] = []
    other = Listener(postgresql_url, "another process", ForgottenUse())
    listens = asyncio.Event()
    other.changes.on(Change.FORGOTTEN, heard.append, listens.set)
    async with (
        serving(discord, model, DatabaseServer(postgresql_url), asyncio.Event()) as world,
        other,
    ):
        await until(listens.is_set)
        at_once = await asked_to_forget(world, discord.cleo, discord.general)
        assert at_once.content == "Nothing is stored about you."
        await until(lambda: heard == [discord.cleo.id])
        await chat(world, discord.general, discord.bo, "hello")
        confirmed, late = [await asked_to_forget(world, discord.bo, discord.general) for _ in range(2)]
        for used in (confirmed, late):
            await (await press(world, discord.bo, used, "yes")).acknowledged()
        await discord.wait_for(lambda: late.content == "Nothing is stored about you any more.")
        await until(lambda: heard == [discord.cleo.id, discord.bo.id, discord.bo.id])


async def test_block_survives_forgetting(world: World) -> None:
    discord = world.discord
    await chat(world, discord.general, discord.bo, "hello")
    await world.store.guild_rules.block(discord.guild.id, discord.bo.id, None)
    used = await asked_to_forget(world, discord.bo, discord.general)
    assert (used.content or "").endswith("\nYou stay blocked where moderators blocked you.")
    await press(world, discord.bo, used, "yes")
    await discord.wait_for(lambda: (used.content or "").startswith("I have forgotten"))
    assert (used.content or "").endswith("\nYou stay blocked where moderators blocked you.")
    assert (await world.store.guild_rules.decisions(discord.guild.id, 9)).blocks


async def test_forgetting_stops_running_and_waiting_replies(world: World) -> None:
    discord = world.discord
    world.model.script += [Reply("a reply that goes on and on " * 40, tokens_per_second=100) for _ in range(2)]
    await world.ask("first")
    running = await world.reply(discord.general, "a reply that goes on")
    await world.ask("second")
    await world.ask("mine", discord.random_channel, discord.cleo)
    others = await world.reply(discord.random_channel, "a reply that goes on")
    used = await asked_to_forget(world, discord.bo, discord.random_channel)
    assert "your 2 questions and my replies, in 1 conversation," in (used.content or "")
    await press(world, discord.bo, used, "yes")
    await discord.wait_for(lambda: used.content == FORGOTTEN.format("2 questions"))
    await discord.wait_for(lambda: "-# Stopped by Bo." in running.content)
    await world.reply(discord.general, "-# You asked me to forget you before I could answer.", count=2)
    assert world.model.requests[0].left, "the model's server is told to stop"
    assert not world.model.requests[1].left
    assert "Stopped" not in others.content
    assert await world.store.turns.count(on_discord(discord.general.id)) == 0
    assert (await world.store.people.record_of(discord.bo.id)).is_empty, "nothing is written back"
    await discord.slash(discord.cleo, discord.random_channel, "stop")
    await world.idle()


async def test_forget_button_works_once_and_after_a_restart(start: Start) -> None:
    async with start() as world:
        discord = world.discord
        await chat(world, discord.general, discord.bo, "hello")
        used = await asked_to_forget(world, discord.bo, discord.general)
        late = await asked_to_forget(world, discord.bo, discord.general)
    async with start() as world:
        both = await asyncio.gather(*(press(world, discord.bo, used, "yes") for _ in range(2)))
        for pressed in both:
            await pressed.acknowledged()
        await discord.wait_for(
            lambda: (used.content or "").startswith("I have forgotten everything about you: 1 question.")
        )
        last = await press(world, discord.bo, late, "yes")
        await discord.wait_for(lambda: late.content == "Nothing is stored about you any more.")
        assert (used.content or "").startswith("I have forgotten everything about you: 1 question.")
        answers = sum(each.callback is Callback.UPDATE for each in (*both, last)) + len(
            discord.calls("PATCH", ORIGINAL)
        )
        assert answers == 2, "one answer to the first two, and one to the late one"
        assert await world.turns(discord.general) == []


async def test_failed_forgetting_can_be_retried(world: World) -> None:
    discord = world.discord
    await chat(world, discord.general, discord.bo, "hello")
    used = await asked_to_forget(world, discord.bo, discord.general)
    async with failing(world.store.engine, "BEFORE INSERT ON forgotten_users"):
        pressed = await press(world, discord.bo, used, "yes")
        refused = await pressed.answered()
    sentence = "I can't reach my memory right now, so nothing is forgotten yet. Please press again later."
    assert (refused.content, pressed.ephemeral) == (sentence, True)
    assert used.response is not None
    assert len(used.response.buttons) == 3
    await press(world, discord.bo, used, "yes")
    await discord.wait_for(lambda: (used.content or "").startswith("I have forgotten"))


async def test_export_holds_ones_own_data_of_this_place(world: World) -> None:
    discord = world.discord
    direct, ideas = discord.open_dm(discord.bo), discord.add_channel("ideas", discord.add_guild("Library"))
    assert ideas.guild is not None
    discord.world.add_member(ideas.guild, discord.bo)
    thread = await discord.open_thread(discord.general, "boats", discord.bo)
    await chat(world, discord.general, discord.bo, "one", "1")
    await chat(world, discord.general, discord.cleo, "SECRET", "of Cleo")
    await chat(world, thread, discord.bo, "two", "2")
    await chat(world, ideas, discord.bo, "three", "3")
    await chat(world, direct, discord.bo, "four", "4")

    used = await discord.slash(discord.bo, discord.random_channel, "export")
    said = await used.answered()
    assert used.ephemeral
    assert said.content == (
        "The file has 2 questions of yours in this server with my replies, your notes and settings, what you used "
        "here, and whether its moderators block you. In a direct message to me, /export covers all places."
    )
    told = file(used)
    assert (told["person"], told["scope"], told["complete"]) == (
        str(discord.bo.id),
        f"server {discord.guild.id}",
        True,
    )
    assert [(each["conversation"], each["server"], each["prompt"], each["reply"]) for each in told["exchanges"]] == [
        (f"discord:{thread.id}", str(discord.guild.id), "two", "2"),
        (f"discord:{discord.general.id}", str(discord.guild.id), "one", "1"),
    ]
    assert [day["requests"] for day in told["usage"]] == [2]

    assert "direct_message" not in told

    await world.store.guild_rules.block(discord.guild.id, discord.bo.id, None)
    used = await discord.slash(discord.bo, direct, "export")
    assert (await used.answered()).content == (
        "The file has 4 questions of yours in all servers and direct messages with my replies, your notes and "
        "settings, what you used, what you set in our direct message, the summaries of it, and which servers' "
        "moderators block you."
    )
    told = file(used)
    assert [each["prompt"] for each in told["exchanges"]] == ["four", "three", "two", "one"]
    assert told["blocks"] == [{"server": str(discord.guild.id), "until": None}]

    for place, sentence in (
        (discord.general, "I have no questions or usage of yours in this server, so there is no file."),
        (discord.open_dm(discord.max), "I have no questions, usage or settings of yours, so there is no file."),
    ):
        used = await discord.slash(discord.max, place, "export")
        said = await used.answered()
        assert said.content.startswith(sentence)
        assert not said.attachments


async def test_block_of_a_left_guild_is_listed(world: World) -> None:
    discord = world.discord
    await chat(world, discord.general, discord.bo, "hello")
    await world.store.guild_rules.block(1, discord.bo.id, 2**31)
    told = []
    for place in (discord.open_dm(discord.bo), discord.general):
        used = await discord.slash(discord.bo, place, "export")
        await used.answered()
        told.append(file(used)["blocks"])
    assert told == [[{"server": "1", "until": "2038-01-19T03:14:08Z"}], []], "in a server only what is its own"


async def test_memory_counts_what_reset_would_delete(world: World) -> None:
    discord = world.discord
    await chat(world, discord.general, discord.bo, "one")
    await chat(world, discord.general, discord.bo, "two", "")
    await chat(world, discord.general, discord.bo, "three")
    assert len(await world.turns(discord.general)) == 2, "one was not answered"
    said = (await (await discord.slash(discord.bo, discord.general, "memory")).answered()).content
    assert "I remember 3 questions and my replies" in said
    said = (await (await discord.slash(discord.bo, discord.general, "reset")).answered()).content
    assert said == "Bo cleared my memory here: 3 questions. The messages above stay."


async def test_persona_of_a_direct_message_is_listed(world: World) -> None:
    discord = world.discord
    direct = discord.open_dm(discord.bo)
    await world.store.personas.set_persona(on_discord(direct.id), None, "You are a parrot.", user_id=discord.bo.id)
    used = await discord.slash(discord.bo, direct, "export")
    await used.answered()
    assert file(used)["direct_message"] == {"persona": "You are a parrot.", "model": None}


@pytest.mark.real_time("a process")
async def test_operator_forgets_a_person_while_the_bot_runs(world: World, tmp_path: Path) -> None:
    discord = world.discord
    await chat(world, discord.general, discord.bo, "SECRET-QUESTION", "SECRET-ANSWER")
    await chat(world, discord.general, discord.cleo, "hello")
    world.model.script.append(Reply("SECRET and so on and on and on " * 100, tokens_per_second=10))
    await world.ask("go on", discord.random_channel)
    running = await world.reply(discord.random_channel, "SECRET and so on")
    process = await forkserver.start(
        *("-m", "bot", "forget", str(discord.bo.id), "--yes"),
        env={**os.environ, "PYTHONPATH": str(Path.cwd()), "DATABASE_PATH": str(tmp_path / "parley.db")},
        cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await process.communicate()
    assert process.returncode == 0, out
    assert f"Forgotten: 2 questions of {discord.bo.id}." in out.decode()
    await discord.wait_for(lambda: running.content.endswith("\n-# Stopped."))
    await world.idle()
    assert [prompt for prompt, _, _ in await world.turns(discord.general)] == ["hello"]
    assert (await world.store.people.record_of(discord.bo.id)).is_empty
    await world.store.engine.erase_deleted()  # of what was still being written
    for name in ("parley.db", "parley.db-wal"):
        assert b"SECRET" not in (tmp_path / name).read_bytes(), name
    assert await world.store.usage.by_day(0, user_id=discord.bo.id) == []


async def test_name_in_the_prompts_of_others_goes_with_its_person(world: World, tmp_path: Path) -> None:
    discord = world.discord
    # What the model itself writes of somebody stays.
    world.model.default = Reply("I see.")
    eva = discord.add_user("eva_1", "Eva-SECRET ⟦@1⟧")
    discord.world.add_member(discord.guild, eva)
    said = await discord.say(discord.general, eva, f"{discord.bot.mention} I am {eva.mention}")
    await world.reply(discord.general)
    await world.idle()
    quoting = f"{discord.bot.mention} is {eva.mention} like {discord.ada.mention}, or <@1>? ⟦@{eva.id}⟧"
    question = await discord.say(discord.general, discord.bo, quoting, reply_to=said)
    await world.reply(discord.general, count=2)
    await world.idle()
    name, asked = "Eva-SECRET [[@1]]", "\n\nis @{} like @Ada, or <@1>? [[@" + str(eva.id) + "]]"
    told = (await world.asked(1)).messages[-1]["content"]
    assert told.endswith(f"⟦In reply to Eva-SECRET 1 (@eva_1):⟧\n> I am @{name}{asked.format(name)}")

    used = await discord.slash(eva, discord.random_channel, "forget-me")
    await used.answered()
    await press(world, eva, used, "yes")
    await discord.wait_for(lambda: "I have forgotten" in (used.content or ""))
    await world.ask("and now?", author=discord.bo)
    earlier = [message["content"] for message in (await world.asked(2)).messages if message["role"] == "user"][:-1]
    assert [text.partition("]\n")[2] for text in earlier] == [
        f"⟦They are replying to a message that was forgotten.⟧{asked.format('someone')}"
    ]
    await world.idle()
    await world.store.engine.erase_deleted()
    for each in tmp_path.glob("parley.db*"):
        assert b"Eva-SECRET" not in each.read_bytes(), each
    # An edit brings the name back only if it mentions the person again; then it is the name of today.
    await discord.edit(question, f"{discord.bot.mention} was it {discord.cleo.mention}?")

    async def is_edited() -> bool:
        turns = await world.store.turns.history(on_discord(discord.general.id), 9)
        return any("was it" in turn.prompt for turn in turns)

    await world.until(is_edited)
    await world.ask("and then?", author=discord.bo)
    edited = [message["content"] for message in (await world.asked(3)).messages if message["role"] == "user"]
    assert "was it @Cleo?" in edited[0]


async def test_second_export_does_not_wait_in_front_of_others(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    discord = world.discord
    for someone in (discord.bo, discord.ada, discord.max):
        await chat(world, discord.general, someone, "hello")
    reading, released = world.store.usage.by_day, asyncio.Event()

    async def held(*values: Any, **named: Any) -> Any:
        await released.wait()
        return await reading(*values, **named)

    monkeypatch.setattr(world.store.usage, "by_day", held)
    first = await discord.slash(discord.bo, discord.general, "export")
    again = [await discord.slash(discord.bo, discord.general, "export") for _ in range(3)]
    others = [await discord.slash(someone, discord.general, "export") for someone in (discord.ada, discord.max)]
    for each in again:
        told = (await each.answered()).content
        assert told == "I'm still making your file. It will come in a moment."
    released.set()
    for used in (first, *others):
        assert (await used.answered()).attachments
    assert (await (await discord.slash(discord.bo, discord.general, "export")).answered()).attachments


async def test_refused_export_file_is_reported_at_once(world: World) -> None:
    discord = world.discord
    await chat(world, discord.general, discord.bo, "hello")
    too_large = Refused(413, 40005, "Request entity too large")
    discord.faults.add(too_large, method="PATCH", route=ORIGINAL)
    used = await discord.slash(discord.bo, discord.general, "export")
    assert (await used.answered()).content == "I couldn't send you the file. Please try again later."


async def test_forgotten_reply_cannot_return_by_a_quote(world: World) -> None:
    discord = world.discord
    neutral = "⟦They are replying to a message that was forgotten.⟧"
    await chat(world, discord.general, discord.bo, "my secret?", "SECRET-1.")
    [forgotten] = discord.bot_messages(discord.general)
    reset = await discord.slash(discord.cleo, discord.general, "reset")
    await reset.answered()
    said = await chat(world, discord.general, discord.cleo, "what was that?", "Hm.", reply_to=forgotten)
    assert (await world.turns(discord.general))[0][0] == f"{neutral}\n\nwhat was that?"
    await discord.edit(said, f"{discord.bot.mention} and what was that?")
    async with asyncio.timeout(PATIENCE):
        while (await world.turns(discord.general))[0][0] != f"{neutral}\n\nand what was that?":
            await asyncio.sleep(0.01)
    kept = discord.bot_messages(discord.general)[-1]
    await chat(world, discord.general, discord.bo, "and this?", "So.", reply_to=kept)
    assert (await world.turns(discord.general))[1][0] == "⟦In reply to you:⟧\n> Hm.\n\nand this?"

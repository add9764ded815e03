"""Stop, Continue and Retry, by button and by command, before and after a restart."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from bot.core.errors import StoreBug
from bot.discord_bot.client import ParleyClient
from bot.standin.entities import Message
from bot.standin.faults import Late, Slow
from bot.standin.script import REFUSALS, Reply
from bot.store.turns import TurnStore
from tests.discord_bot.conftest import Start, World
from tests.store.steps import database_of, slow_disk
from tests.waiting import PATIENCE

pytestmark = pytest.mark.virtual_time

TYPING = "/channels/{channel_id}/typing"
CALLBACK = "/interactions/{interaction_id}/{interaction_token}/callback"
LONG = Reply([f"word{n} " for n in range(400)], tokens_per_second=60)
BROKEN = "-# The answer broke off."
UNREACHABLE = "-# My model isn't answering right now. Your question is saved."
WRONG = "-# Something went wrong on my side. Please try again."


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.discord_bot.delivery.reconciler.STOP_AFTER", 0.2)


def button(message: Message) -> list[str]:
    return [each["label"] for each in message.buttons]


async def has_button(world: World, message: Message, label: str) -> None:
    await world.discord.wait_for(lambda: button(message) == [label])


async def over(world: World) -> None:
    """Wait until the model's server has seen the end of its latest request."""
    async with asyncio.timeout(PATIENCE):
        await world.model.requests[-1].over()


async def test_asker_and_moderators_can_stop_a_reply(world: World) -> None:
    discord = world.discord
    for person in (discord.bo, discord.max):
        world.model.script.append(LONG)
        await world.ask()
        count = len(discord.bot_messages(discord.general)) + 1
        message = await world.reply(discord.general, "word", count=count)
        await world.reply(discord.general, "word1", count=count)
        await has_button(world, message, "Stop")
        refused = await world.press(message, discord.cleo)
        await refused.answered()
        assert refused.ephemeral
        assert refused.content == "Only Bo and moderators can do that."
        await world.press(message, person)
        await world.reply(discord.general, f"\n-# Stopped by {person.display_name}.", count=count)
        await world.idle()
        assert message.content.startswith("word0 word1")
        assert button(message) == ["Continue", "Retry"]
        await over(world)
        assert world.model.requests[-1].left, "no more tokens are billed"
        [*_, (_, reply, state)] = await world.turns(discord.general)
        assert state == "stopped"
        assert reply.startswith("word0 word1")


@pytest.mark.standin(rtt=1.0)
@pytest.mark.parametrize("early", [0.0, 1.0, 2.0])
async def test_answer_is_written_anew_once_all_of_it_is_posted(world: World, early: float) -> None:
    """Its end is on record before, and people see a message before the bot knows of it."""
    discord = world.discord
    world.model.script.append(Reply("word " * 1100))
    await world.ask()
    first = await world.reply(discord.general, "word")
    world.model.default = Reply("The whole answer.")
    while not await world.store.engine.read("SELECT 1 FROM turns WHERE state = 'complete'"):
        await asyncio.sleep(0.05)
    await asyncio.sleep(early)
    await discord.context_menu(discord.bo, "Retry answer", first, discord.general)
    await discord.wait_for(lambda: first.content == "The whole answer.")
    await world.idle()
    assert world.shown() == ["The whole answer."]


async def test_stop_command_depends_on_the_role(world: World) -> None:
    discord = world.discord
    world.model.default = LONG
    await world.ask("one")
    await world.ask("two", author=discord.cleo)
    await discord.wait_for(lambda: len(discord.bot_messages(discord.general)) == 2)
    nothing = await discord.slash(discord.ada, discord.random_channel, "stop")
    assert (await nothing.answered()).content == "I'm not writing anything for you here right now."
    own = await discord.slash(discord.cleo, discord.general, "stop")
    assert (await own.answered()).content == "Stopped."
    assert own.ephemeral
    await discord.wait_for(lambda: "-# Stopped by Cleo." in discord.bot_messages(discord.general)[1].content)
    assert "Stopped" not in discord.bot_messages(discord.general)[0].content
    await (await discord.slash(discord.max, discord.general, "stop")).answered()
    await discord.wait_for(lambda: "-# Stopped by Max." in discord.bot_messages(discord.general)[0].content)
    await world.idle()


@pytest.mark.parametrize("restart", [False, True])
async def test_repeated_retry_presses_answer_once(start: Start, restart: bool) -> None:
    async with start() as world:
        discord = world.discord
        world.model.script.append(Reply("A half", cut_after=2))
        await world.ask("tell me")
        message = await world.reply(discord.general, BROKEN)
        assert button(message) == ["Retry"]
        await world.idle()
        if not restart:
            await retried(world, message)
    if restart:
        async with start() as world:
            await retried(world, message)


async def retried(world: World, message: Message) -> None:
    discord = world.discord
    asked = len(world.model.requests)
    world.model.default = Reply("The whole answer.", first_token_after=0.2)
    custom_id = message.buttons[0]["custom_id"]
    # One press comes at the same time, one while it is being written, and one when it is there.
    for late in (0.1, 0.5):
        discord.faults.add(Late(late), event="INTERACTION_CREATE")
        await world.press(message, discord.max, custom_id)
    await world.press(message, button=custom_id)
    await world.press(message, button=custom_id)
    await discord.wait_for(lambda: message.content == "The whole answer.")
    await discord.wait_for(lambda: len(discord.calls("POST", CALLBACK)) == 4)
    await world.idle()
    assert discord.bot_messages(discord.general) == [message]
    assert button(message) == []
    assert len(world.model.requests) == asked + 1
    assert await world.turns(discord.general) == [("tell me", "The whole answer.", "complete")]


async def test_retry_during_shutdown_waits_for_the_start(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.discord_bot.client.END_NOTICE_TIMEOUT", 0.1)
    close, left = ParleyClient.close, asyncio.Event()

    async def closed(client: ParleyClient) -> None:
        await close(client)
        left.set()

    monkeypatch.setattr(ParleyClient, "close", closed)
    async with asyncio.timeout(20) as limit, start() as world:
        discord = world.discord
        world.model.script.append(Reply("A half", cut_after=2))
        await world.ask()
        message = await world.reply(discord.general, BROKEN)
        await world.idle()
        # As on a slow disk: it is taken on before the bot leaves Discord, and begun after that.
        async with slow_disk(world.store) as waits:
            await world.press(message)
            await world.until(lambda: waits("UPDATE stored_turns"))
            world.stop.set()
            await left.wait()
        limit.reschedule(asyncio.get_running_loop().time() + 5)
    world.model.default = Reply("All of it.")
    async with start() as world:
        await discord.wait_for(lambda: message.content == "All of it.")
        await world.idle()
    assert discord.bot_messages(discord.general) == [message]


async def test_press_during_shutdown_is_answered(start: Start) -> None:
    async with start() as world:
        discord = world.discord
        world.model.script.append(Reply("A half", cut_after=2))
        await world.ask()
        message = await world.reply(discord.general, BROKEN)
        await world.idle()
        slow = discord.faults.add(Slow(0.5), method="POST", route=CALLBACK)
        press = await world.press(message)
        await discord.wait_for(lambda: slow.hits)
        world.stop.set()
    assert press.callback is not None, "or Discord says that it failed"


async def test_retry_notice_stays_until_there_is_text(world: World) -> None:
    discord = world.discord
    world.model.script.append(Reply("A half", cut_after=2))
    await world.ask("tell me")
    message = await world.reply(discord.general, BROKEN)
    await world.idle()
    world.model.default = Reply("The whole answer.", first_token_after=1.5)
    before = len(discord.calls("POST", TYPING))
    await world.press(message)
    await discord.wait_for(lambda: message.content == "A half\n-# Trying again…")
    await discord.wait_for(lambda: message.content == "The whole answer.")
    await world.idle()
    assert len(discord.calls("POST", TYPING)) == before, "Discord would show it behind the end"


async def test_empty_retry_keeps_the_reply(world: World) -> None:
    discord = world.discord
    world.model.script.append(Reply("A half of it", error_after=2))
    await world.ask()
    message = await world.reply(discord.general, BROKEN)
    await world.idle()
    world.model.default = REFUSALS["rate limit"]
    await world.press(message)
    await discord.wait_for(lambda: "-# My model is busy." in message.content)
    assert message.content.startswith("A half")
    assert button(message) == ["Retry"]
    await world.idle()


async def test_press_before_the_message_event_counts(world: World) -> None:
    discord = world.discord
    discord.faults.add(Slow(0.4, applied=True), method="POST", route="/channels/{channel_id}/messages")
    world.model.script.append(REFUSALS["rate limit"])
    await world.ask()
    message = await world.reply(discord.general, "My model is busy")
    await world.press(message)
    await discord.wait_for(lambda: "busy" not in message.content)
    await world.idle()
    assert len(world.model.requests) == 2


@pytest.mark.parametrize("restart", [False, True])
async def test_continue_resumes_a_cut_reply(start: Start, restart: bool) -> None:
    async with start() as world:
        discord = world.discord
        world.model.script.append(Reply("One, two,", finish="length"))
        await world.ask("count")
        message = await world.reply(discord.general, "-# Cut at the length limit.")
        assert button(message) == ["Continue"]
        await world.idle()
        if not restart:
            await continued(world, message)
    if restart:
        async with start() as world:
            await continued(world, message)


async def continued(world: World, message: Message) -> None:
    discord = world.discord
    world.model.default = Reply(" three.")
    await world.press(message)
    await discord.wait_for(lambda: message.content == "One, two, three.")
    await world.idle()
    assert discord.bot_messages(discord.general) == [message]
    assert button(message) == []
    roles = [part["role"] for part in world.model.requests[-1].messages]
    assert roles == ["system", "user", "assistant", "user"]
    assert world.model.requests[-1].messages[2]["content"] == "One, two,"
    assert await world.turns(discord.general) == [("count", "One, two, three.", "complete")]


@pytest.mark.parametrize("what", ["Continue", "Retry"])
async def test_reply_over_an_hour_old_is_continued_below(
    world: World, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    discord = world.discord
    # As if everything up to now were old already.
    monkeypatch.setattr("bot.discord_bot.delivery.replies.EDITABLE_FOR", timedelta(hours=-1))
    world.model.script.append(Reply("One, two,", finish="length") if what == "Continue" else Reply("One,", cut_after=1))
    await world.ask("count")
    old = await world.reply(discord.general, "-# ")
    await world.idle()
    world.model.default = Reply(" three, four." if what == "Continue" else "One, two, three, four.")
    await world.press(old)
    new = await world.reply(discord.general, "four.", count=1 if what == "Retry" else 2)
    await world.idle()
    shown = [message.content for message in discord.bot_messages(discord.general)]
    if what == "Continue":
        assert shown == ["One, two,\n-# Cut at the length limit.", "three, four."]
    else:
        assert shown == ["One, two, three, four."]
    assert new is not old
    assert button(old) == button(new) == []
    assert [turn[1] for turn in await world.turns(discord.general)] == ["One, two, three, four."]


async def test_retry_removes_the_failed_replys_other_messages(world: World) -> None:
    discord = world.discord
    long = "".join(f"old{n} " for n in range(1800))
    world.model.script.append(Reply([long, "x"], cut_after=1))
    await world.ask()
    await world.reply(discord.general, BROKEN, count=5)
    await world.idle()
    first, *_, last = discord.bot_messages(discord.general)
    assert [file.filename for file in last.attachments] == ["reply.md"]
    world.model.default = Reply([f"new{n} " for n in range(60)], tokens_per_second=60)
    await world.press(last)
    await discord.wait_for(lambda: first.content.startswith("new0"))
    await discord.wait_for(lambda: len(discord.bot_messages(discord.general)) == 1)
    assert not first.content.endswith("new59"), "while it is being written"
    await world.reply(discord.general, "new59")
    await world.idle()
    assert first.attachments == []


async def test_prompt_deleted_before_its_event_is_not_answered(world: World) -> None:
    discord = world.discord
    world.model.default = LONG
    async with slow_disk(world.store) as waits:
        said = await world.ask("oh, wait")
        await discord.delete(said)
        await world.until(lambda: waits("INSERT INTO stored_turns") and waits("DELETE FROM stored_turns"))
    await world.taken(said)
    assert discord.bot_messages(discord.general) == []
    assert world.model.requests == []


async def test_reply_deleted_before_its_id_is_known_stops(world: World) -> None:
    discord = world.discord
    discord.faults.add(Slow(0.3, applied=True), method="POST", route="/channels/{channel_id}/messages")
    world.model.default = LONG
    await world.ask()
    message = await world.reply(discord.general, "word")
    await discord.delete(message)
    await world.idle()
    await over(world)
    assert world.model.requests[0].left
    assert discord.bot_messages(discord.general) == []
    assert await world.turns(discord.general) == []


async def test_deleted_thread_stops_its_reply(world: World) -> None:
    discord = world.discord
    thread = await discord.open_thread(discord.general, "side", discord.bo)
    world.model.default = LONG
    await world.ask("go on", thread)
    await world.reply(thread, "word")
    discord.world.delete_channel(thread)
    await world.idle()
    await over(world)
    assert world.model.requests[0].left


async def test_deleted_prompt_removes_its_running_reply(world: World) -> None:
    discord = world.discord
    world.model.default = LONG
    said = await world.ask("oh, wait")
    await world.reply(discord.general, "word")
    await discord.delete(said)
    await discord.wait_for(lambda: discord.bot_messages(discord.general) == [])
    await world.idle()
    await over(world)
    assert world.model.requests[0].left
    assert await world.store.turns.undelivered("discord") == [], "and what was asked is forgotten"
    assert await world.turns(discord.general) == []


async def test_deleted_reply_stops_for_good(world: World) -> None:
    discord = world.discord
    world.model.default = LONG
    await world.ask()
    message = await world.reply(discord.general, "word")
    await discord.wait_for(lambda: len(message.shown) > 1)
    await discord.delete(message)
    await world.idle()
    assert discord.bot_messages(discord.general) == []
    await over(world)
    assert world.model.requests[0].left
    assert await world.turns(discord.general) == [], "nor is it part of what is remembered"


async def test_flood_becomes_a_file_except_in_threads(start: Start) -> None:
    text = "".join(f"word{n} " for n in range(1800))
    async with start() as world:
        discord = world.discord
        world.model.default = Reply([text])
        thread = await discord.open_thread(discord.general, "side", discord.bo)
        discord.limits.messages = type(discord.limits.messages)(5, 0.05)
        for place in (discord.general, thread):
            await world.ask("everything", place)
            await discord.wait_for(lambda: world.conversations.running != ())
            await world.idle()
        assert len(discord.bot_messages(discord.general)) == 5
        last = discord.bot_messages(discord.general)[-1]
        assert [(file.filename, file.data.decode()) for file in last.attachments] == [("reply.md", text)]
        assert last.content.endswith("-# The whole reply is in the file.")
        assert len(discord.bot_messages(thread)) > 5
        assert all(message.attachments == [] for message in discord.bot_messages(thread))


async def test_asker_is_pinged_after_a_long_wait(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    discord = world.discord
    monkeypatch.setattr("bot.discord_bot.delivery.messages.PINGS_AFTER", 1.0)
    world.model.script.extend([Reply("At once."), Reply("At last.", first_token_after=1.1)])
    await world.ask()
    assert (await world.reply(discord.general, "At once.")).pinged == set()
    await world.idle()
    await world.ask()
    assert (await world.reply(discord.general, "At last.")).pinged == {discord.bo}
    await world.idle()


async def test_defect_before_a_reply_is_told_and_retryable(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def defect(*_: object, **__: object) -> None:
        raise RuntimeError("a defect")

    discord = world.discord
    world.model.script += [REFUSALS["server error"]]
    world.model.default = Reply("Here.")
    await world.ask()
    message = await world.reply(discord.general, UNREACHABLE)
    await world.idle()
    with monkeypatch.context() as broken:
        broken.setattr("bot.discord_bot.delivery.opener.LiveReply", defect)
        pressed = await world.press(message)
        await discord.wait_for(lambda: pressed.followups)
        assert pressed.followups[-1].content == WRONG
        await world.ask()
        await world.reply(discord.general, WRONG, count=2)
        await world.idle()
    turns = await database_of(world.store).read("SELECT state, failure FROM turns")
    assert [tuple(turn) for turn in turns] == [("failed", "internal")] * 2
    await world.ask()
    await world.reply(discord.general, "Here.", count=3)


async def test_press_after_a_bug_has_kept_an_end_from_being_saved_is_answered(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def failing(*_: object, **__: object) -> bool:
        raise StoreBug("a bug")

    with monkeypatch.context() as patched:
        patched.setattr(TurnStore, "close", failing)
        message = await world.answered()
        assert "I can't save right now" in message.content
    pressed = await world.press(message)
    assert (await pressed.answered()).content == "One moment, then press again."

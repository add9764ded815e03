"""Questions that come with /ask, as the asker, other members and moderators see them answered."""

from __future__ import annotations

import asyncio
import json
import logging
import math
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from discord import utils as discord_utils

from bot.core.queues import QueueLimits
from bot.core.records import Ping
from bot.standin.entities import Attachment, Channel, Message, Permission, User
from bot.standin.faults import DOWNLOAD, ConnectionReset, ServerError
from bot.standin.interactions import Interaction
from bot.standin.limits import Limit
from bot.standin.model import ModelStandin
from bot.standin.script import Reply
from tests import pictures
from tests.discord_bot.conftest import ALLOWANCES, Start, World
from tests.waiting import PATIENCE

POSTS = "/channels/{channel_id}/messages"
MESSAGE = f"{POSTS}/{{message_id}}"
WEBHOOK = "/webhooks/{webhook_id}/{webhook_token}"
ORIGINAL = f"{WEBHOOK}/messages/@original"
FOLLOW_UP = f"{WEBHOOK}/messages/{{message_id}}"
LONG = " ".join(f"word{n}" for n in range(500))
"""A reply of two messages."""


@pytest.fixture(autouse=True)
def no_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine may take longer than Discord allows for the first answer."""
    monkeypatch.setattr("bot.standin.interactions.DEADLINE", PATIENCE)


async def ask(
    world: World, question: str = "why?", person: User | None = None, channel: Channel | None = None, **more: Any
) -> Interaction:
    discord = world.discord
    return await discord.slash(person or discord.bo, channel or discord.general, "ask", question=question, **more)


def text_of(messages: Iterable[Message]) -> str:
    """The text of a reply, without its small print."""
    lines = [line for message in messages for line in message.content.splitlines()]
    return " ".join(line for line in lines if not line.startswith("-# "))


async def answered(world: World, used: Interaction, text: str) -> None:
    """Wait until this is what the answer shows, without the line about the question, and nothing is under way."""
    await world.discord.wait_for(lambda: (used.content or "").splitlines()[:1] == [text])
    await world.idle()


async def test_question_is_answered_for_everybody(world: World) -> None:
    discord = world.discord
    world.model.script.append(Reply("Because of the sun.", tokens_per_second=20))
    used = await ask(world, "why is *that* <@1>?")
    await answered(world, used, "Because of the sun.")
    [said] = discord.messages(discord.general)
    assert said is used.response
    assert said.content == "Because of the sun.\n-# Bo asked: “why is \\*that\\* \\<@1>?”"
    assert said.embeds_suppressed
    assert said.pinged == set()
    assert await world.turns(discord.general) == [("why is *that* <@1>?", "Because of the sun.", "complete")]
    await world.answered("and then?", author=discord.cleo)
    assert "Because of the sun." in str((await world.asked(1)).messages), "it is part of the channel's conversation"
    assert len(discord.calls("POST", POSTS)) == 1
    assert discord.calls("PATCH", ORIGINAL)


async def test_answer_only_for_oneself_is_a_conversation_of_its_own(world: World) -> None:
    discord = world.discord
    world.model.script += [Reply("A secret."), Reply("Still one."), Reply("Hers."), Reply("Nothing.")]
    used = await ask(world, "what is it?", only_for_me=True)
    await answered(world, used, "A secret.")
    assert used.ephemeral
    assert used.content == "A secret.", "its reader knows the question"
    await answered(world, await ask(world, "and now?", only_for_me=True), "Still one.")
    told = [message["content"] for message in (await world.asked(1)).messages]
    assert (told[1].splitlines()[-1], told[2]) == ("what is it?", "A secret.")
    await answered(world, await ask(world, "and I?", discord.cleo, only_for_me=True), "Hers.")
    await world.answered("what did Bo ask?", author=discord.cleo)
    for number in (2, 3):
        assert "secret" not in str((await world.asked(number)).messages)
    assert [message.content for message in discord.bot_messages(discord.general)] == ["Nothing."]
    assert [prompt for prompt, _, _ in await world.turns(discord.general)] == ["what did Bo ask?"]


async def test_what_is_asked_for_oneself_is_read_and_forgotten_as_ones_own(world: World) -> None:
    discord = world.discord
    world.model.default = Reply("A **secret**.")
    used = await ask(world, "what is it?", only_for_me=True)
    await answered(world, used, "A **secret**.")
    await world.answered("something else")

    async def told(command: str, person: User | None = None, **more: Any) -> str:
        used = await discord.slash(person or discord.bo, discord.general, command, **more)
        assert used.ephemeral or await used.answered()
        assert used.ephemeral
        return (await used.answered()).content

    assert (await told("memory", only_for_me=True)).startswith("Here I remember 1 question and my replies")
    assert "It can be read by you, by my model's provider (OpenAI) and by my owner." in await told(
        "memory", only_for_me=True
    )
    found = await told("memory", search="secret", only_for_me=True)
    assert "**You** asked: what is it?" in found
    assert f"/{used.response.id if used.response else 0}" not in found, "no link leads there"
    assert "what is it" not in await told("memory", search="secret")
    assert "what is it" not in await told("memory", discord.cleo, search="secret", only_for_me=True)
    exported = await discord.slash(discord.bo, discord.general, "export")
    [file] = (await exported.answered()).attachments
    assert [each["prompt"] for each in json.loads(file.data)["exchanges"]] == ["something else", "what is it?"]
    assert await told("reset", discord.cleo, only_for_me=True) == "There was nothing to forget."
    assert await told("reset", only_for_me=True) == (
        "I have forgotten what you asked only for yourself here: 1 question. The messages above stay."
    )
    assert await told("memory", only_for_me=True) == "I remember nothing here."
    assert len(await world.turns(discord.general)) == 1
    await answered(world, await ask(world, "again", only_for_me=True), "A **secret**.")
    discord.world.delete_channel(discord.general)
    await world.until(lambda: world.store.people.has_asked(discord.bo.id), False)


@pytest.mark.parametrize("only_for_me", [False, True])
async def test_long_answer_goes_on_in_further_messages(world: World, only_for_me: bool) -> None:
    discord = world.discord
    world.model.script.append(Reply(LONG, tokens_per_second=300))
    used = await ask(world, only_for_me=only_for_me)
    await discord.wait_for(lambda: used.followups and used.followups[-1].content.endswith("word499"))
    await world.idle()
    assert used.response is not None
    shown = [used.response, *used.followups]
    assert [message.ephemeral for message in shown] == [only_for_me] * len(shown)
    assert text_of(shown) == LONG
    assert discord.too_many == 0
    assert discord.messages(discord.general) == ([] if only_for_me else shown)
    assert len(await world.store.deliveries.sent(1)) == len(shown)


@pytest.mark.parametrize("only_for_me", [False, True])
async def test_stop_is_for_the_asker_and_moderators(
    world: World, monkeypatch: pytest.MonkeyPatch, only_for_me: bool
) -> None:
    discord = world.discord
    monkeypatch.setattr("bot.discord_bot.delivery.reconciler.STOP_AFTER", 0.0)
    world.model.default = Reply("on and on " * 2000, tokens_per_second=50)
    used = await ask(world, only_for_me=only_for_me)
    await discord.wait_for(lambda: used.response is not None and used.response.buttons)
    assert used.response is not None
    refused = await world.press(used.response, discord.cleo, "reply:stop")
    await discord.wait_for(lambda: "and moderators can do that." in (refused.content or ""))
    await world.press(used.response, discord.bo if only_for_me else discord.max, "reply:stop")
    await discord.wait_for(lambda: (used.content or "").endswith(f"-# Stopped by {'Bo' if only_for_me else 'Max'}."))
    await world.idle()
    # /stop reaches what is only for oneself, and nobody else's.
    used = await ask(world, only_for_me=only_for_me)
    await discord.wait_for(lambda: "on and on" in (used.content or ""))
    told = await discord.slash(discord.cleo, discord.general, "stop")
    assert (await told.answered()).content == "I'm not writing anything for you here right now."
    told = await discord.slash(discord.bo, discord.general, "stop")
    assert (await told.answered()).content == "Stopped."
    await discord.wait_for(lambda: (used.content or "").endswith("-# Stopped by Bo."))
    await world.idle()


@pytest.mark.parametrize("only_for_me", [False, True])
async def test_refusals_are_for_the_asker_alone(start: Start, model: ModelStandin, only_for_me: bool) -> None:
    limits = QueueLimits(queue_per_user=1)
    async with start(limits=limits, allowances=replace(ALLOWANCES, hourly_questions_per_user=2)) as world:
        discord = world.discord

        async def refused(person: User | None = None, question: str = "why?") -> str:
            used = await ask(world, question, person, only_for_me=only_for_me)

            def told() -> list[str]:
                shown = [*([used.response] if used.response else []), *used.followups]
                return [each.content for each in shown if each.ephemeral and not each.deleted and not each.loading]

            await discord.wait_for(told)
            [sentence] = told()
            return sentence

        assert (await refused(question=" ​ ")).startswith("Put your question into the command")
        await world.store.guild_rules.block(discord.guild.id, discord.cleo.id, None)
        assert (await refused(discord.cleo)).startswith("The moderators here asked me not to answer you.")
        model.script.append(Reply("never", first_token_after=3600))
        running = await ask(world, only_for_me=only_for_me)
        await world.asked(0)
        await ask(world, only_for_me=only_for_me)
        await world.until(lambda: len(world.conversations.running) == 2)
        assert (await refused()).startswith("I'm still busy with your earlier questions here.")
        await discord.slash(discord.bo, discord.general, "stop")
        await world.idle()
        assert (await refused()).startswith("You've used your 2 questions for this hour. More <t:")
        assert running.response is not None
        seen = discord.messages(discord.general)
        assert [each.content for each in seen if "-# Stopped" not in each.content] == []
        assert len(seen) == (0 if only_for_me else 2)


@pytest.mark.parametrize(
    ("ping", "late"), [(Ping.AUTO, False), (Ping.AUTO, True), (Ping.ALWAYS, False), (Ping.NEVER, True)]
)
@pytest.mark.parametrize("only_for_me", [False, True])
async def test_answer_for_everybody_pings_as_chosen(
    world: World, monkeypatch: pytest.MonkeyPatch, ping: Ping, late: bool, only_for_me: bool
) -> None:
    """Only a new message pings: neither an edit nor what replaces the message that says that the bot is thinking."""
    discord = world.discord
    await world.store.person_settings.set_ping(discord.bo.id, ping)
    monkeypatch.setattr("bot.discord_bot.delivery.messages.PINGS_AFTER", 0.0 if late else 3600.0)
    world.model.script.append(Reply(LONG, tokens_per_second=300))
    used = await ask(world, only_for_me=only_for_me)
    await discord.wait_for(lambda: used.followups and used.followups[-1].content.endswith("word499"))
    await world.idle()
    thinking = used.response
    assert thinking is not None
    pings = not only_for_me and (ping is Ping.ALWAYS or (ping is Ping.AUTO and late))
    assert thinking.deleted is pings
    shown = used.followups if pings else [thinking, *used.followups]
    first, *further = shown
    assert first.pinged == ({discord.bo} if pings else set())
    assert not first.silent
    assert all(each.silent and each.pinged == set() for each in further)
    assert text_of(shown) == LONG, "the mention is gone"
    assert discord.messages(discord.general) == ([] if only_for_me else shown)
    assert discord.too_many == 0
    # It is no other reply for that: deleting its first message forgets it.
    if pings:
        await discord.delete(shown[0])
        await world.until(lambda: world.turns(discord.general), [])


async def test_failed_private_answer_is_tried_again_where_it_stands(world: World) -> None:
    discord = world.discord
    world.model.script += [Reply("x", cut_after=0), Reply("Half of ", cut_after=2), Reply("Here it is.")]
    used = await ask(world, only_for_me=True)
    await discord.wait_for(lambda: used.response is not None and used.response.buttons)
    await world.idle()
    assert used.response is not None
    for text in ("Half of\n-# The answer broke off.", "Here it is."):
        await world.press(used.response, discord.bo, "reply:retry")
        await discord.wait_for(lambda text=text: used.content == text)  # type: ignore[misc]
        await world.idle()
    assert used.response.buttons == []
    assert discord.messages(discord.general) == []
    assert not discord.calls("PATCH", MESSAGE)


async def test_long_private_answer_goes_on_below(start: Start, model: ModelStandin) -> None:
    model.script += [Reply(LONG, finish="length"), Reply("and the rest.")]
    async with start() as world:
        discord = world.discord
        used = await ask(world, only_for_me=True)
        await discord.wait_for(lambda: used.followups and used.followups[-1].buttons)
        await world.idle()
        last = used.followups[-1]
        assert last.content.endswith("-# Cut at the length limit.")
        pressed = await world.press(last, discord.bo)
        await discord.wait_for(lambda: pressed.followups)
        await world.idle()
        assert [(each.content, each.ephemeral) for each in pressed.followups] == [("and the rest.", True)]
        assert last.buttons == []
        assert discord.messages(discord.general) == []


async def test_after_fifteen_minutes_a_public_answer_goes_on_as_a_message(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    discord = world.discord
    monkeypatch.setattr("bot.discord_bot.delivery.interaction_messages.LEAVE_AFTER", 1.0)
    world.model.script.append(Reply(LONG, tokens_per_second=150))
    used = await ask(world)
    await discord.wait_for(lambda: "word9" in (used.content or ""))
    await discord.wait_for(lambda: discord.calls("PATCH", MESSAGE))
    used.started -= 15 * 60  # what Discord thinks of the token
    await discord.wait_for(lambda: discord.bot_messages(discord.general)[-1].content.endswith("word499"))
    await world.idle()
    shown = discord.messages(discord.general)
    assert shown[0] is used.response
    assert used.followups == []
    assert text_of(shown) == LONG
    assert all(call.status == 200 for call in discord.requests if "webhooks" in call.route)


@pytest.mark.parametrize("where", ["only for me", "where the bot may not write"])
async def test_after_fifteen_minutes_another_answer_ends_and_can_be_continued(
    world: World, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    discord, only_for_me = world.discord, where == "only for me"
    if not only_for_me:
        discord.deny(discord.general, Permission.SEND_MESSAGES)
    monkeypatch.setattr("bot.discord_bot.delivery.interaction_messages.LEAVE_AFTER", 1.0)
    world.model.script += [Reply(["word "] * 3000, tokens_per_second=50), Reply("the rest.")]
    used = await ask(world, only_for_me=only_for_me)
    await discord.wait_for(lambda: "word" in (used.content or ""))
    ended = "-# Discord gives me 15 minutes for this. Press Continue for the rest."
    await discord.wait_for(lambda: (used.content or "").endswith(ended))
    await world.idle()
    assert (await world.asked(0)).left, "the model's server is told to stop"
    assert used.response is not None
    await world.press(used.response, discord.bo)
    await discord.wait_for(lambda: (used.content or "").endswith("the rest."))
    await world.idle()


async def test_answer_that_begins_after_fifteen_minutes_leaves_nothing_behind(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    discord = world.discord
    monkeypatch.setattr("bot.discord_bot.delivery.interaction_messages.LEAVE_AFTER", 0.5)
    world.model.script.append(Reply("Late.", first_token_after=1.0))
    used = await ask(world)
    shown = "Late.\n-# Bo asked: “why?”"
    await discord.wait_for(lambda: [each.content for each in discord.messages(discord.general)] == [shown])
    await world.idle()
    assert used.response is not None
    assert used.response.deleted
    assert await world.turns(discord.general) == [("why?", "Late.", "complete")]


async def test_wrong_clock_ends_no_answer(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    discord = world.discord
    monkeypatch.setattr(discord_utils, "utcnow", lambda: datetime.now(UTC) + timedelta(minutes=20))
    world.model.script.append(Reply("Whole.", first_token_after=0.3))
    used = await ask(world, only_for_me=True)
    await discord.wait_for(lambda: used.content)
    await world.idle()
    assert used.content == "Whole."


@pytest.mark.parametrize("button", ["retry", "continue"])
async def test_where_the_bot_sees_nothing_a_press_is_answered_too(
    start: Start, model: ModelStandin, button: str
) -> None:
    first = Reply("x", cut_after=0) if button == "retry" else Reply("Half of ", finish="length")
    model.script += [first, Reply("the rest. " * 300)]
    async with start() as world:
        discord = world.discord
        discord.deny(discord.general, Permission.VIEW_CHANNEL)
        used = await ask(world)
        await discord.wait_for(lambda: used.response is not None and used.response.buttons)
        await world.idle()
        assert used.response is not None
        pressed = await world.press(used.response, discord.bo, f"reply:{button}")
        await discord.wait_for(lambda: pressed.followups and pressed.followups[-1].content.endswith("the rest."))
        await world.idle()
        shown = [used.response, *pressed.followups]
        assert text_of(shown).count("the rest.") == 300
        assert not any(each.ephemeral for each in shown)


@pytest.mark.parametrize("only_for_me", [False, True])
async def test_answer_that_only_a_token_can_show_is_retried_below(world: World, only_for_me: bool) -> None:
    discord = world.discord
    discord.deny(discord.general, Permission.VIEW_CHANNEL)
    world.model.script += [Reply("The first."), Reply("Another "), Reply("The third.")]
    used = await ask(world, only_for_me=only_for_me)
    await discord.wait_for(lambda: used.content)
    await world.idle()
    message = used.response
    for text in ("Another", "The third."):
        assert message is not None
        retried = await discord.context_menu(discord.bo, "Retry answer", message, discord.general)
        told = "I'm trying again, in a new message. My old answer stays above."
        assert (await retried.answered()).content == told
        await discord.wait_for(lambda retried=retried: retried.followups)  # type: ignore[misc]
        await world.idle()
        [message] = retried.followups
        assert (text_of([message]), message.ephemeral) == (text, only_for_me)
    assert text_of([used.response] if used.response else []) == "The first."
    kept = await world.store.engine.read("SELECT prompt, reply, state FROM turns")
    assert [(row["prompt"], row["reply"], row["state"]) for row in kept] == [("why?", "The third.", "complete")]


async def test_who_may_not_write_asks_for_themselves_only(world: World) -> None:
    discord = world.discord
    discord.deny(discord.general, Permission.SEND_MESSAGES, discord.bo)
    used = await ask(world)
    refused = await used.answered()
    sentence = "You can't write in this channel. Ask me in another one, or only for you: switch on only_for_me."
    assert (refused.content, refused.ephemeral) == (sentence, True)
    assert world.model.requests == []
    world.model.script.append(Reply("Yours."))
    await answered(world, await ask(world, only_for_me=True), "Yours.")


async def test_first_answer_only_for_oneself_names_no_reset_that_keeps_it(world: World) -> None:
    discord = world.discord
    dm = discord.open_dm(discord.bo)
    world.model.default = Reply("Here.")
    used = await ask(world, channel=dm, only_for_me=True)
    await answered(world, used, "Here.")
    assert used.content == "Here."
    used = await ask(world, channel=dm)
    await answered(world, used, "Here.")
    assert "/reset forgets it." in (used.content or "")


async def test_unseen_end_waits_for_an_answer_that_is_in_time(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    discord = world.discord
    world.model.script.append(Reply("Unseen."))
    first = await ask(world, "first?", only_for_me=True)
    await answered(world, first, "Unseen.")
    await world.idle()
    await world.store.engine.write("UPDATE stored_turns SET delivered = 0")
    with monkeypatch.context() as late:
        late.setattr("bot.discord_bot.delivery.interaction_messages.LEAVE_AFTER", 0.5)
        world.model.script.append(Reply("Too late.", first_token_after=3600))
        left = await ask(world, only_for_me=True)
        await discord.wait_for(lambda: "15 minutes" in (left.content or ""))
        left.started -= 15 * 60  # what Discord thinks of the token
        await world.idle()
    world.model.default = Reply("In time.")
    used, other = [await ask(world, f"{number}?", only_for_me=True) for number in range(2)]
    await answered(world, other, "In time.")
    # Already by the first one, if that was about to look for unseen ends.
    await discord.wait_for(lambda: first.followups or used.followups or other.followups)
    await answered(world, await ask(world, "and?", only_for_me=True), "In time.")
    assert left.followups == []
    shown = [*first.followups, *used.followups, *other.followups]
    assert [each.content for each in shown] == ["Unseen.\n-# You asked earlier: “first?”"], "it is shown once"


async def test_unseen_end_keeps_to_the_limits_with_the_answer(world: World) -> None:
    discord = world.discord
    discord.limits.webhooks = Limit(2, 0.4, "fixed")
    used = []
    for number in range(3):
        world.model.script.append(Reply(f"Unseen {number}."))
        used.append(await ask(world, only_for_me=True))
        await answered(world, used[-1], f"Unseen {number}.")
    await world.idle()
    await world.store.engine.write("UPDATE stored_turns SET delivered = 0")
    world.model.script.append(Reply(["In ", "time."], tokens_per_second=20))
    used.append(await ask(world, only_for_me=True))
    # Some already by an earlier one, if that was about to look for unseen ends.
    await discord.wait_for(lambda: sum(len(each.followups) for each in used) == 3)
    await world.idle()
    assert discord.too_many == 0


async def test_file_is_read_with_the_question(world: World) -> None:
    discord = world.discord
    for number, (file, told) in enumerate(
        (
            (Attachment("notes.txt", b"the harbour opens at nine", "text/plain"), "the harbour opens at nine"),
            (Attachment("boat.png", pictures.png(64, 48), "image/png"), "data:image/"),
        )
    ):
        used = await ask(world, "what does it say?", file=file, only_for_me=number == 1)
        await discord.wait_for(lambda used=used: used.content)  # type: ignore[misc]
        await world.idle()
        sent = str((await world.asked(number)).messages[-1]["content"])
        assert "what does it say?" in sent
        assert told in sent
        shown = (used.content or "").splitlines()
        assert ("-# Bo asked: “what does it say?”" in shown) is not used.ephemeral
        assert "⟦" not in (used.content or "")


async def test_file_that_could_not_be_downloaded_is_read_when_the_answer_is_retried(world: World) -> None:
    discord = world.discord
    discord.faults.add(ServerError(503), route=DOWNLOAD, times=math.inf)
    file = Attachment("notes.txt", b"the harbour opens at nine", "text/plain")
    used = await ask(world, "what does it say?", file=file)
    await discord.wait_for(lambda: "I couldn't download notes.txt." in (used.content or ""))
    await world.idle()
    assert "harbour" not in str((await world.asked(0)).messages)
    discord.faults.clear()
    assert used.response is not None
    await discord.context_menu(discord.bo, "Retry answer", used.response, discord.general)
    assert "the harbour opens at nine" in str((await world.asked(1)).messages[-1]["content"])
    await world.idle()


async def test_token_is_neither_logged_nor_stored(
    world: World, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="bot")
    discord = world.discord
    discord.faults.add(ServerError(502), method="PATCH", route=ORIGINAL, times=1)
    tokens = []
    for only_for_me in (False, True):
        used = await ask(world, only_for_me=only_for_me)
        await discord.wait_for(lambda used=used: used.content)  # type: ignore[misc]
        await world.idle()
        tokens.append(used.token)
    kept = b"".join(file.read_bytes() for file in tmp_path.glob("parley.db*"))
    for token in tokens:
        assert token not in caplog.text
        assert token.encode() not in kept


async def test_no_call_with_a_token_waits_for_the_next_window(world: World) -> None:
    """The call that takes the last token of an hour returns: its answer is there, and the reply has ended."""
    discord = world.discord
    discord.limits.webhooks = Limit(2, 1800.0, "fixed")
    world.model.script.append(Reply(["Because ", "of ", "the ", "sun."], tokens_per_second=10))
    await answered(world, await ask(world), "Because of the sun.")
    assert len(discord.calls("PATCH", ORIGINAL)) == 2
    assert discord.too_many == 0


@pytest.mark.parametrize("only_for_me", [False, True])
@pytest.mark.parametrize("lost", [ServerError(502, applied=True), ConnectionReset(applied=True)])
async def test_message_whose_answer_was_lost_is_shown_once(
    world: World, lost: ServerError | ConnectionReset, only_for_me: bool
) -> None:
    discord = world.discord
    discord.faults.add(lost, method="POST", route=WEBHOOK)
    world.model.script.append(Reply(LONG, tokens_per_second=300))
    used = await ask(world, only_for_me=only_for_me)
    await discord.wait_for(lambda: used.followups and used.followups[-1].content.endswith("word499"))
    await world.idle()
    assert used.response is not None
    assert text_of([used.response, *used.followups]) == LONG


async def test_flood_of_questions_is_answered_within_the_limits(world: World) -> None:
    discord = world.discord
    world.model.default = Reply(" ".join(f"word{n}" for n in range(60)), tokens_per_second=40)
    people = [discord.add_user(f"p{number}") for number in range(20)]
    used = await asyncio.gather(
        *(ask(world, f"{n}?", person, only_for_me=n % 2 == 0) for n, person in enumerate(people))
    )
    await discord.wait_for(lambda: all("word59" in (each.content or "") for each in used))
    await world.idle()
    assert discord.too_many == 0
    assert [each.ephemeral for each in used] == [n % 2 == 0 for n in range(20)]

"""The database is away for a while: what was posted, asked, edited or deleted meanwhile is on record afterwards."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest

from bot.core.channel_settings import WithoutMention
from bot.core.errors import ClaimUnconfirmed, StoreError
from bot.core.gate import Gate
from bot.core.outages import AWAY_FOR
from bot.discord_bot.delivery.records import ReplyRecord
from bot.standin.entities import Intent, Message, MessageType
from bot.standin.faults import ServerError
from bot.standin.model import ModelStandin
from bot.standin.script import Reply
from bot.standin.server import DiscordStandin
from bot.store.conversations import ConversationStore
from bot.store.databases import Database, open_store
from bot.store.part import Part
from bot.store.processed import ProcessedStore
from bot.store.turns import TurnStore
from tests.discord_bot.conftest import OPTIONS, Held, Start, World
from tests.discord_bot.inbound.leftovers import forgotten, leave
from tests.discord_bot.outages import Outage, away
from tests.discord_bot.people import shown
from tests.store.steps import failing
from tests.waiting import until

pytestmark = [pytest.mark.virtual_time, pytest.mark.both_engines]

TRYING = "I'm trying again. My old answer stays until the new one begins."
TWO_PARTS = Reply(["first " * 330, "second ", *["and more "] * 20], tokens_per_second=60)
ENDLESS = Reply(["first " * 330, "second ", *["and more "] * 10_000], tokens_per_second=60)
RECORDS = "BEFORE {} ON messages"


async def posted(world: World) -> list[Message]:
    """The two messages of a reply that is asked for, once both are there."""
    await world.ask("tell me")
    await world.reply(world.discord.general, "second", count=2)
    return world.discord.bot_messages(world.discord.general)


async def on_record(world: World) -> list[int]:
    return [row["message_id"] for row in await world.store.engine.read("SELECT message_id FROM messages ORDER BY part")]


async def works(world: World) -> bool:
    try:
        await world.store.engine.ping()
    except StoreError:
        return False
    return True


async def assert_it_is_retried_in(world: World, message: Message) -> None:
    """Bo has an answer written anew; the old one makes room for it, wherever Bo has pressed."""
    world.model.default = Reply("All anew.")
    first, *_ = world.discord.bot_messages(world.discord.general)
    used = await world.discord.context_menu(world.discord.bo, "Retry answer", message, message.channel)
    assert (await used.answered()).content == TRYING
    await world.discord.wait_for(lambda: world.shown() == ["All anew."])
    assert world.discord.bot_messages(world.discord.general) == [first]
    await world.idle()


@pytest.mark.parametrize("change", ["INSERT", "UPDATE"])
@pytest.mark.parametrize("ends", ["while the reply goes on", "after its end"])
async def test_answer_of_an_outage_can_be_retried_by_each_of_its_messages(world: World, change: str, ends: str) -> None:
    world.model.script.append(TWO_PARTS)
    async with failing(world.store.engine, RECORDS.format(change)):
        messages = await posted(world)
        if ends == "after its end":
            await world.idle()
    await world.idle()
    await assert_it_is_retried_in(world, messages[1])


async def test_message_that_is_deleted_in_an_outage_takes_its_turn_with_it(world: World) -> None:
    discord = world.discord
    world.model.script.append(TWO_PARTS)
    async with failing(world.store.engine, RECORDS.format("INSERT")):
        messages = await posted(world)
        await world.idle()
        await discord.delete(messages[1])
        # Its event has come by the time that somebody else is answered.
        await world.ask_and_wait("and?", discord.random_channel, discord.cleo)
    await world.until(lambda: world.turns(discord.general), [])


@pytest.mark.parametrize("prompt", ["is there", "is deleted"])
async def test_reply_of_an_outage_is_known_to_the_next_start(
    discord: DiscordStandin, model: ModelStandin, start: Start, prompt: str
) -> None:
    async with start() as world:
        model.script.append(ENDLESS)
        said = await world.ask("tell me")
        async with failing(world.store.engine, RECORDS.format("INSERT")):
            await world.reply(discord.general, "second", count=2)
        messages = discord.bot_messages(discord.general)
        await world.until(lambda: on_record(world), [each.id for each in messages])
        # As after a kill, nobody sees that it ends.
        discord.faults.add(ServerError(503), method="PATCH", times=math.inf)
    discord.faults.clear()
    model.default = Reply("All anew.")
    if prompt == "is deleted":
        discord.world.delete(said)
    async with start() as world:
        if prompt == "is deleted":
            await forgotten(world, said)
            assert world.shown() == []
        else:
            await discord.wait_for(lambda: world.shown() == ["All anew."])
            await world.idle()
            assert discord.bot_messages(discord.general) == messages[:1]


@pytest.mark.parametrize("place", ["in the channel", "in a thread on it", "to a command"])
@pytest.mark.parametrize("parts", [1, 3])
async def test_process_that_ends_in_an_outage_leaves_nothing_to_be_posted_twice(
    discord: DiscordStandin, model: ModelStandin, start: Start, file: Database, place: str, parts: int
) -> None:
    """The first message of a reply is found where nothing of it is on record, and further ones make room."""
    model.script.append(Reply(["word " * 390 * (parts - 1), *["word "] * 10_000], tokens_per_second=60))
    where = discord.general

    def answers() -> list[Message]:
        return [each for each in discord.bot_messages(where) if each.type is not MessageType.THREAD_STARTER]

    async with (
        open_store(file, exclusive=False) as store,
        failing(store.engine, RECORDS.format("INSERT")),
        start() as world,
    ):
        if place == "in a thread on it":
            await store.channel_settings.change(discord.guild.id, where.id, by=discord.max.id, threads=True)
        if place == "to a command":
            await discord.slash(discord.bo, where, "ask", question="tell me")
        else:
            said = await world.ask("tell me")
        if place == "in a thread on it":
            await discord.wait_for(lambda: said.thread)
            assert said.thread is not None
            where = said.thread
        await discord.wait_for(lambda: len(answers()) == parts and "word" in answers()[-1].content)
        [message, *_] = answers()
        # As after a kill, nobody sees that it ends.
        discord.faults.add(ServerError(503), method="PATCH", times=math.inf)
    discord.faults.clear()
    model.default = Reply("The whole answer.")
    async with start() as world:
        await discord.wait_for(lambda: ["The whole answer." in each.content for each in answers()] == [True])
        await world.idle()
    assert answers() == [message]


async def test_whole_answer_of_an_outage_is_whole_after_the_next_start(
    discord: DiscordStandin, model: ModelStandin, start: Start, file: Database
) -> None:
    """Its further messages are posted anew, for which Discord is not to take those that are deleted."""
    model.script.append(Reply(["first " * 330, "second " * 280, "third "], tokens_per_second=60))

    def words() -> list[str]:
        """What it says, without the note on who has asked what."""
        lines = [line for each in discord.bot_messages(discord.general) for line in each.content.splitlines()]
        return [word for line in lines if not line.startswith("-#") for word in line.split()]

    async with (
        open_store(file, exclusive=False) as store,
        failing(store.engine, RECORDS.format("INSERT")),
        start() as world,
    ):
        await world.ask("tell me")
        await discord.wait_for(lambda: "third" in words())
        await world.idle()
        whole = words()
        assert (len(whole), whole[-1]) == (330 + 280 + 1, "third")
        assert len(await store.turns.undelivered("discord")) == 1
    async with start() as world:
        await world.until(lambda: world.store.turns.undelivered("discord"), [])
        await world.idle()
        assert words() == whole
        assert await on_record(world) == [each.id for each in discord.bot_messages(discord.general)]


async def test_turn_is_not_delivered_before_its_messages_are_on_record(
    discord: DiscordStandin, model: ModelStandin, start: Start
) -> None:
    async with start() as world:
        model.script.append(TWO_PARTS)
        async with failing(world.store.engine, RECORDS.format("INSERT")):
            messages = await posted(world)
            await world.idle()
            assert len(await world.store.turns.undelivered("discord")) == 1
    shown = [each.content for each in messages]
    async with start() as world:
        await world.until(lambda: world.store.turns.undelivered("discord"), [])
        assert world.shown() == shown
        await assert_it_is_retried_in(world, messages[1])


async def test_process_whose_servers_are_anothers_by_then_writes_nothing_late(
    discord: DiscordStandin, model: ModelStandin, start: Start, file: Database
) -> None:
    gate = Gate(clock=lambda: 0.0)
    gate.confirm(0.0)
    model.script.append(ENDLESS)
    async with start(gate=gate) as world, open_store(file, exclusive=False) as other:
        async with failing(other.engine, RECORDS.format("INSERT")):
            await world.ask("tell me")
            await world.reply(discord.general, "second", count=2)
            gate.shut()
        await asyncio.sleep(30.0)
        assert await on_record(world) == []


@pytest.mark.real_time
async def test_messages_that_are_posted_while_the_database_is_away_are_known_afterwards(
    request: pytest.FixtureRequest,
    discord: DiscordStandin,
    model: ModelStandin,
    start: Start,
    file: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("bot.store.sqlite.connection.BUSY_S", 0.2)
    begin = asyncio.Event()
    async with start() as world:
        model.script.append(Reply(ENDLESS.say, tokens_per_second=60, held_until=begin))
        await world.ask("tell me")
        await world.asked(0)
        async with away(file, request):
            begin.set()
            await world.reply(discord.general, "second", count=2)
        await until(lambda: works(world))
        await (await discord.slash(discord.bo, discord.general, "stop")).answered()
        await world.idle()
        await assert_it_is_retried_in(world, discord.bot_messages(discord.general)[1])


# What came while the bot was away


@pytest.mark.usefixtures("echo")
@pytest.mark.standin(privileged=Intent.MESSAGE_CONTENT)
@pytest.mark.parametrize(
    ("part", "call"),
    [
        (ConversationStore, "used_lately"),
        (ConversationStore, "direct"),
        (ProcessedStore, "among"),
        (ProcessedStore, "mark"),
    ],
)
async def test_search_for_missed_prompts_goes_on_after_an_outage(
    discord: DiscordStandin, start: Start, outage: Outage, part: type[Part], call: str
) -> None:
    places = [discord.add_channel(f"place-{number}") for number in range(4)]
    direct, without_mention = discord.open_dm(discord.cleo), discord.add_channel("talk")
    reading = replace(OPTIONS, message_content=True)
    # Moderators have decided some time before.
    async with start(options=reading, clock=lambda: time.time() - 5) as world:
        await world.store.channel_settings.change(
            discord.guild.id, without_mention.id, by=discord.max.id, without_mention=WithoutMention.ALL
        )
        for place in (*places, without_mention):
            await world.answered("hello", place)
        await world.ask_and_wait("hello", direct, discord.cleo)
    for place in (*places, direct):
        await discord.say(place, discord.cleo, f"{discord.bot.mention} one")
    await discord.say(without_mention, discord.cleo, "one")
    people = [discord.ada, discord.bo, discord.cleo, discord.bo, discord.ada]
    many = [await discord.say(discord.general, each, f"{discord.bot.mention} {at}") for at, each in enumerate(people)]
    outage.begin_at(part, call, 20.0)
    async with start(options=reading) as world:
        for place in (*places, direct, without_mention):
            await world.reply(place, "To one.", count=2)
        await world.reply(discord.general, count=3)
        await discord.wait_for(lambda: [list(each.reactions) for each in many] == [["🕒"], ["🕒"], [], [], []])
        await world.caught_up()
    assert sorted(shown(discord)) == ["To 2.", "To 3.", "To 4."]
    for place in (*places, direct, without_mention):
        assert [text.splitlines()[0] for text in shown(discord, place)] == ["To hello.", "To one."]


@pytest.mark.usefixtures("echo")
async def test_search_that_the_database_failed_for_too_long_is_left_to_the_next_start(
    discord: DiscordStandin, start: Start, outage: Outage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.discord_bot.inbound.missed._TIMEOUT", 5.0)
    await discord.say(discord.general, discord.cleo, f"{discord.bot.mention} one")
    outage.begin_at(ProcessedStore, "among", 15.0)
    async with start() as world:
        await discord.wait_for(lambda: outage.on)
        await world.ask("and me?", discord.random_channel)
        await world.reply(discord.random_channel, "-# I can't save right now, so I'd forget this.")
        await world.until(lambda: not outage.on)
        await world.answered("and now?", discord.random_channel)
        assert shown(discord) == []
    async with start() as world:
        await world.reply(discord.general, "To one.")
        await world.idle()


@pytest.mark.real_time
@pytest.mark.usefixtures("echo")
async def test_missed_prompt_that_is_found_while_the_database_is_away_is_answered_afterwards(
    request: pytest.FixtureRequest,
    discord: DiscordStandin,
    start: Start,
    file: Database,
    hold: Callable[[type[Part], str], Held],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("bot.store.sqlite.connection.BUSY_S", 0.2)
    await discord.say(discord.general, discord.cleo, f"{discord.bot.mention} one")
    held = hold(ProcessedStore, "among")
    async with start() as world:
        await held.begun.wait()
        async with away(file, request):
            held.go_on.set()
            await asyncio.sleep(1.0)
            assert shown(discord) == [], "nobody is told to ask again"
        await world.reply(discord.general, "To one.")
        await world.idle()
    assert shown(discord) == ["To one."]


# What happens beside the replies


async def test_edit_in_an_outage_is_taken_afterwards(world: World, outage: Outage) -> None:
    discord = world.discord
    world.model.script.append(Reply("Blue, I think."))
    said = await world.ask("what colour is the sea?")
    message = await world.reply(discord.general, "Blue")
    await world.idle()
    outage.begin(10.0)
    for text in ("what colour is snow?", "what colour is grass?"):
        await discord.edit(said, f"{discord.bot.mention} {text}")
    await discord.wait_for(lambda: [each["label"] for each in message.buttons] == ["Retry"])
    world.model.script.append(Reply("Green."))
    await world.press(message)
    await discord.wait_for(lambda: message.content == "Green.")
    await world.idle()
    assert await world.turns(discord.general) == [("what colour is grass?", "Green.", "complete")]


@pytest.mark.usefixtures("echo")
@pytest.mark.standin(privileged=Intent.MESSAGE_CONTENT)
async def test_question_without_a_mention_in_an_outage_is_answered_afterwards(
    discord: DiscordStandin, start: Start, outage: Outage
) -> None:
    reading = replace(OPTIONS, message_content=True, catch_up_per_channel=0)
    async with start(options=reading) as world:
        await world.store.channel_settings.change(
            discord.guild.id, discord.general.id, by=discord.max.id, without_mention=WithoutMention.ALL
        )
    async with start(options=reading) as world:
        outage.begin(4.0)
        await discord.say(discord.general, discord.cleo, "one")
        await world.reply(discord.general, "To one.")
        await world.idle()
    assert [text.splitlines()[0] for text in shown(discord)] == ["To one."]


@pytest.mark.usefixtures("echo")
@pytest.mark.standin(privileged=Intent.MESSAGE_CONTENT)
async def test_nothing_is_given_up_while_nobody_could_be_told(
    discord: DiscordStandin, start: Start, outage: Outage
) -> None:
    """As on PostgreSQL, where a process shows nothing until it knows again what it serves."""
    reading = replace(OPTIONS, message_content=True)
    async with start(options=reading) as world:
        await world.store.channel_settings.change(
            discord.guild.id, discord.general.id, by=discord.max.id, without_mention=WithoutMention.ALL
        )
        edited, deleted = [await world.ask(text, discord.random_channel) for text in ("two", "three")]
        await world.reply(discord.random_channel, count=2)
        await world.idle()
        outage.error = ClaimUnconfirmed
        outage.begin(1500.0)
        await discord.say(discord.general, discord.cleo, "one")
        await discord.edit(edited, f"{discord.bot.mention} four")
        await discord.delete(deleted)
        await asyncio.sleep(1500.0)
        await world.reply(discord.general, "To one.")
        await world.until(lambda: world.turns(discord.random_channel), [("four", "To two.", "complete")])
        await world.idle()


async def test_whoever_could_not_be_told_in_an_outage_is_told_at_the_next_message(world: World, outage: Outage) -> None:
    discord = world.discord
    answer = await world.answered()
    outage.begin(4.0)
    await discord.say(discord.general, discord.bo, "and?", reply_to=answer, ping=False)
    await world.until(lambda: not outage.on)
    await discord.say(discord.general, discord.bo, "hello?", reply_to=answer, ping=False)
    await world.reply(discord.general, "I can't read that one", count=2)


async def test_broken_off_turn_is_tried_again_after_an_outage(
    discord: DiscordStandin, model: ModelStandin, start: Start, file: Database, outage: Outage
) -> None:
    left = await leave(discord, file, "Half of it")
    model.default = Reply("The whole answer.")
    outage.begin_at(TurnStore, "reopen", 10.0)
    async with start() as world:
        await discord.wait_for(lambda: shown(discord) == ["The whole answer."])
        await world.idle()
    assert discord.bot_messages(discord.general) == left.messages
    assert not any("save" in each.content for each in left.messages[0].shown)


async def test_broken_off_turn_is_tried_again_where_the_answer_to_that_was_lost(
    discord: DiscordStandin, model: ModelStandin, start: Start, file: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection is lost with all that the database says of it, and the database stays away for a while."""
    left = await leave(discord, file, "Half of it")
    model.default = Reply("The whole answer.")
    reopen, away_until = TurnStore.reopen, math.inf

    async def reopening(*details: Any, **more: Any) -> object:
        nonlocal away_until
        now = asyncio.get_running_loop().time()
        if away_until < math.inf and now >= away_until:
            return await reopen(*details, **more)
        if away_until == math.inf:
            await reopen(*details, **more)
            away_until = now + 1.5 * AWAY_FOR
        raise StoreError("may or may not have been made")

    monkeypatch.setattr(TurnStore, "reopen", reopening)
    async with start() as world:
        await discord.wait_for(lambda: shown(discord) == ["The whole answer."])
        await world.idle()
    assert discord.bot_messages(discord.general) == left.messages
    assert len(model.requests) == 1


async def test_owner_is_told_of_a_shutdown_after_an_outage(
    discord: DiscordStandin, model: ModelStandin, start: Start, outage: Outage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.discord_bot.owner_alerts.DATABASE_RETRY_DELAY", 1.0)
    model.shutdown_dates = {"demo": str(datetime.now(UTC).date() + timedelta(days=5))}
    outage.begin_at(ProcessedStore, "claim_notice", 5.0)
    async with start():
        await discord.wait_for(lambda: "demo" in "".join(shown(discord, discord.open_dm(discord.ada))))


async def test_hourglass_that_would_be_left_after_a_kill_is_not_shown(world: World) -> None:
    discord = world.discord
    world.model.script.append(Reply("slow", first_token_after=10.0))
    async with failing(world.store.engine, "BEFORE INSERT ON pending_reactions"):
        await world.ask("first")
        waiting = await world.ask("second")
        await world.reply(discord.general, count=2)
        assert discord.calls("PUT", "/channels/{channel_id}/messages/{message_id}/reactions/{emoji}/@me") == []
    await world.idle()
    assert waiting.reactions == {}


async def test_database_is_asked_again_whose_a_message_is(
    discord: DiscordStandin, model: ModelStandin, start: Start, file: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Discord names a message for the nonce of a post without an answer. Before it is written over, it is looked up."""
    left = await leave(discord, file, "first " * 300)
    async with open_store(file, exclusive=True) as store:
        await store.deliveries.posting(left.attempt, 1, 1800, "nonce")
    # It is not silent, so that it is not found by what it is.
    async with aiohttp.ClientSession(headers={"Authorization": f"Bot {discord.token}"}) as session:
        body = {"content": "first", "nonce": "nonce", "enforce_nonce": True}
        posted = await session.post(f"{discord.url}/channels/{discord.general.id}/messages", json=body)
        assert posted.status == 200
    is_anothers, asked = ReplyRecord.is_anothers, 0

    async def failing_once(record: ReplyRecord, message_id: int) -> bool:
        nonlocal asked
        asked += 1
        if asked == 1:
            raise StoreError("The database is away.")
        return await is_anothers(record, message_id)

    monkeypatch.setattr(ReplyRecord, "is_anothers", failing_once)
    model.default = TWO_PARTS
    async with start() as world:
        await world.reply(discord.general, "and more", count=2)
        await world.idle()
    assert asked == 2
    assert len(shown(discord)) == 2

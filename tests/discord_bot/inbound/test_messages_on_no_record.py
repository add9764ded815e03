"""Messages of the bot of which nothing is on record at a start: the database was away, or their post had no answer."""

from __future__ import annotations

import asyncio

import pytest

from bot.core.records import SentPart
from bot.core.turns import Attempt, TurnState
from bot.standin.entities import MessageFlag, MessageType
from bot.standin.faults import Call, ServerError, Slow
from bot.standin.mentions import NOBODY
from bot.standin.model import ModelStandin
from bot.standin.script import Reply
from bot.standin.server import DiscordStandin
from bot.store.databases import Database, open_store
from bot.store.deliveries import DeliveryStore
from tests.discord_bot.conftest import Start, one_and_three_shards
from tests.discord_bot.inbound.leftovers import COULD_NOT, POSTS, leave
from tests.discord_bot.people import ask, shown

pytestmark = [pytest.mark.virtual_time, pytest.mark.both_engines, one_and_three_shards]

SILENT = MessageFlag.SUPPRESS_NOTIFICATIONS | MessageFlag.SUPPRESS_EMBEDS
STOP = {"type": 2, "style": 2, "label": "Stop", "custom_id": "reply:stop"}


@pytest.mark.parametrize("known", ["ended", "by its text", "by its button"])
async def test_messages_on_no_record_go_with_the_text_that_they_show(
    discord: DiscordStandin, model: ModelStandin, start: Start, file: Database, known: str
) -> None:
    """The database was away from their posts to the end of the process. A notice behind them stays."""
    parts = [f"{word} " * 330 for word in ("one", "two", "three", "four")]
    left = await leave(discord, file, *parts, end=TurnState.COMPLETE if known == "ended" else None)
    async with open_store(file, exclusive=True) as store:
        for message in left.messages[2:]:
            await store.deliveries.removed(message.id)
        if known == "by its button":
            await store.turns.replace(left.attempt, "one two")
            left.messages[-1].components = [{"type": 1, "components": [STOP]}]
    notice = discord.world.post(discord.general, discord.bot, "Bo gave me another persona.", flags=SILENT)
    model.default = Reply("The whole answer.")
    async with start() as world:
        await world.until(lambda: world.store.turns.undelivered("discord"), [])
        await world.idle()
        on_record = [each.message_id for each in await world.store.deliveries.sent(left.attempt.turn_id)]
    assert not notice.deleted
    kept = [message for message in discord.bot_messages(discord.general) if message is not notice]
    assert [each.id for each in kept] == on_record
    expected = "".join(parts) if known == "ended" else "The whole answer."
    assert " ".join(each.content for each in kept).split() == expected.split()


async def test_message_on_no_record_stays_where_its_text_is_nowhere_else(
    discord: DiscordStandin, start: Start, file: Database
) -> None:
    left = await leave(discord, file, "one " * 400, "two " * 400, "three " * 100)
    async with open_store(file, exclusive=True) as store:
        await store.deliveries.removed(left.messages[-1].id)
        await store.turns.replace(left.attempt, "one " * 400 + "two " * 400)
        await store.guild_rules.pause(discord.guild.id)
    async with start() as world:
        await world.until(lambda: world.store.turns.undelivered("discord"), [])
    assert discord.bot_messages(discord.general) == left.messages
    assert left.messages[1].content.endswith(COULD_NOT)


async def test_notice_in_the_middle_of_a_broken_off_reply_stays(
    discord: DiscordStandin, model: ModelStandin, start: Start, file: Database
) -> None:
    left = await leave(discord, file, "one " * 400)
    notice = discord.world.post(discord.general, discord.bot, "Bo gave me another persona.", flags=SILENT)
    components = [{"type": 1, "components": [STOP]}]
    discord.world.post(discord.general, discord.bot, "two", flags=SILENT, components=components)
    model.default = Reply("The whole answer.")
    async with start() as world:
        await discord.wait_for(lambda: left.messages[0].content == "The whole answer.")
        await world.idle()
    assert not notice.deleted


@pytest.mark.parametrize("late", ["answer", "record"])
async def test_message_of_a_reply_under_way_is_not_taken_for_one_that_was_left(
    discord: DiscordStandin,
    model: ModelStandin,
    start: Start,
    file: Database,
    monkeypatch: pytest.MonkeyPatch,
    late: str,
) -> None:
    """It stands right behind an answer of which nothing is on record, and is not on record yet itself."""
    await leave(discord, file, "Half of it")
    unrecorded = await leave(discord, file, text="and this?")
    discord.world.post(
        discord.general,
        discord.bot,
        "Half of the other",
        mentions=NOBODY,
        type=MessageType.REPLY,
        reply_to=unrecorded.said,
    )
    model.script += [Reply(["first " * 330, "second ", "third"], tokens_per_second=60), Reply("The whole answer.")]
    read, posted = DeliveryStore.sent, DeliveryStore.posted

    async def is_posted() -> None:
        await discord.wait_for(lambda: len(discord.bot_messages(discord.general)) == 3)

    async def read_late(store: DeliveryStore, turn_id: int) -> list[SentPart]:
        if turn_id == unrecorded.attempt.turn_id:
            await is_posted()
        return await read(store, turn_id)

    async def record_late(store: DeliveryStore, attempt: Attempt, part: int, message_id: int) -> None:
        if part == 1 and late == "record":
            await asyncio.sleep(3.0)
        await posted(store, attempt, part, message_id)

    monkeypatch.setattr(DeliveryStore, "sent", read_late)
    monkeypatch.setattr(DeliveryStore, "posted", record_late)
    if late == "answer":
        discord.faults.add(Slow(3.0, applied=True), method="POST", route=POSTS)
    async with start() as world:
        await is_posted()
        messages = discord.bot_messages(discord.general)
        await discord.wait_for(lambda: messages[1].content == "The whole answer.")
        await world.idle()
    assert discord.bot_messages(discord.general) == messages
    assert f"{messages[0].content} {messages[2].content}".split() == ["first"] * 330 + ["second", "third"]


async def test_recovery_takes_no_message_of_another_reply(
    discord: DiscordStandin, model: ModelStandin, start: Start, file: Database
) -> None:
    """A post without an answer is looked for among the bot's messages; those of other turns are none of it."""
    left = await leave(discord, file, "first " * 200, text="one")
    async with open_store(file, exclusive=True) as store:
        await store.deliveries.posting(left.attempt, 1, 1200, "nonce1")
    other = await leave(discord, file, "other " * 200, "rest " * 100, text="two", end=TurnState.COMPLETE)
    model.default = Reply("The whole answer.")
    async with start() as world:
        await discord.wait_for(lambda: left.messages[0].content == "The whole answer.")
        await world.idle()
    assert shown(discord) == ["The whole answer.", ("other " * 200).strip(), ("rest " * 100).strip()]
    assert not other.messages[1].deleted


def is_about_short(call: Call) -> bool:
    return isinstance(call.body, dict) and "Short." in str(call.body.get("content"))


@pytest.mark.parametrize(
    ("late", "method"),
    [(None, ""), (Slow(1.0), "POST"), (Slow(1.0, applied=True), "POST"), (ServerError(), "PATCH")],
    ids=["nothing", "a post", "its answer", "a deletion"],
)
async def test_end_of_one_reply_is_not_deleted_as_a_rest_of_another(
    discord: DiscordStandin,
    model: ModelStandin,
    start: Start,
    file: Database,
    late: Slow | ServerError | None,
    method: str,
) -> None:
    """Nothing is on record of an answer, nor of what stands behind it: the end of a reply whose text is known."""
    text = "first " * 600 + "last " * 600
    long = Reply([text[:3600], text[3600:]], tokens_per_second=0.3, finish="length")
    model.script += [Reply("Short.", first_token_after=1.5), long]
    async with start() as world:
        await ask(discord, "short?")
        await ask(discord, "long?", author=discord.ada)
        await discord.wait_for(lambda: " ".join(shown(discord)).count("last") == 600)
        await world.idle()
    messages = discord.bot_messages(discord.general)
    assert [message.content.startswith("Short.") for message in messages] == [False, False, True, False, False]
    async with open_store(file, exclusive=True) as store:
        for unrecorded in messages[2:]:
            await store.deliveries.removed(unrecorded.id)
        await store.engine.write("UPDATE stored_turns SET delivered = 0")
    if late is not None:
        # Deletions come behind an edit. discord.py tries that five times, and whoever waits then lets others in.
        edits = method == "PATCH"
        discord.faults.add(late, method=method, when=is_about_short if edits else None, times=5 if edits else 1)
    async with start() as world:
        await world.until(lambda: world.store.turns.undelivered("discord"), [])
        await world.idle()
        kept = discord.bot_messages(discord.general)
        on_record = [each.message_id for turn in (1, 2) for each in await world.store.deliveries.sent(turn)]
        assert sorted(each.id for each in kept) == sorted(map(int, filter(None, on_record)))
    assert messages[2] in kept
    said = " ".join(each.content.split("\n-# ")[0] for each in kept if each is not messages[2])
    assert said.split() == text.split()

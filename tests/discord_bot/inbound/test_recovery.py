"""What an earlier process left of its turns, and what becomes of each at the start."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import Any

import pytest

from bot.core.access import AccessSettings, Servers
from bot.core.errors import StoreError
from bot.core.records import Ping, SentPart
from bot.core.turns import Outcome, TurnState
from bot.discord_bot.client import ParleyClient
from bot.standin.entities import Permission
from bot.standin.faults import Slow
from bot.standin.model import ModelStandin
from bot.standin.script import Reply
from bot.standin.server import DiscordStandin
from bot.store.databases import Database, open_store
from bot.store.deliveries import DeliveryStore
from tests.discord_bot.conftest import OPTIONS, Start, identified, one_and_three_shards, serving
from tests.discord_bot.inbound.leftovers import COULD_NOT, POSTS, forgotten, leave, states
from tests.discord_bot.people import shown
from tests.places import on_discord
from tests.waiting import until

pytestmark = [pytest.mark.virtual_time, pytest.mark.both_engines, one_and_three_shards]


async def test_partial_reply_is_retried_in_its_first_message(
    discord: DiscordStandin, model: ModelStandin, start: Start, file: Database
) -> None:
    left = await leave(discord, file, "first " * 200, "second " * 100)
    model.default = Reply("Short this time.", first_token_after=0.3)
    async with start() as world:
        await discord.wait_for(lambda: left.messages[1].content.endswith("second\n-# I was restarted. Trying again…"))
        assert left.messages[0].content == ("first " * 200).strip()
        await discord.wait_for(lambda: shown(discord) == ["Short this time."])
        await world.idle()
    assert discord.bot_messages(discord.general) == left.messages[:1]


@pytest.mark.standin(rtt=1.0)
async def test_message_that_is_posted_as_the_new_text_begins_shows_none_of_it(
    discord: DiscordStandin, model: ModelStandin, start: Start, file: Database
) -> None:
    left = await leave(discord, file, "first " * 290, "second " * 240)
    async with open_store(file, exclusive=True) as store:
        await store.turns.save({left.attempt: "first " * 290 + "second " * 240 + "third " * 200})
    model.default = Reply("new " * 1200, first_token_after=1.6)
    async with start() as world:
        await discord.wait_for(lambda: " ".join(shown(discord)).count("new") == 1200)
        await world.idle()
        ids = [message.id for message in discord.bot_messages(discord.general)]
        assert [each.message_id for each in await world.store.deliveries.sent(left.attempt.turn_id)] == ids
        assert await world.store.deliveries.stale(left.attempt.turn_id) == []
    assert " ".join(shown(discord)).split() == ["new"] * 1200


@pytest.mark.parametrize(
    ("place", "decided"),
    [
        ("general", "pause"),
        ("general", {"blocked_users": frozenset({2})}),
        ("general", {"servers": Servers(ids=frozenset({1}))}),
        ("thread", "block the channel"),
        ("direct", {"direct_messages": "off"}),
    ],
)
async def test_prompt_no_longer_allowed_is_not_retried(
    discord: DiscordStandin, model: ModelStandin, file: Database, place: str, decided: str | dict[str, Any]
) -> None:
    thread = await discord.open_thread(discord.general, "side", discord.bo)
    channel = {"general": discord.general, "thread": thread, "direct": discord.open_dm(discord.bo)}[place]
    await leave(discord, file, "Half of it", channel=channel)
    discord.world.update_thread(thread, archived=True)
    options = decided if isinstance(decided, dict) else {}
    if "blocked_users" in options:
        options = {"blocked_users": frozenset({discord.bo.id})}
    async with open_store(file, exclusive=True) as store:
        if decided == "pause":
            await store.guild_rules.pause(discord.guild.id)
        elif decided == "block the channel":
            await store.guild_rules.set_channel_rule(discord.guild.id, discord.general.id, False)
    access = replace(OPTIONS, access=AccessSettings(**options))
    async with serving(discord, model, file, asyncio.Event(), options=access) as world:
        await discord.wait_for(lambda: shown(discord, channel)[0] == f"Half of it\n{COULD_NOT}")
        await world.until(lambda: world.store.turns.undelivered("discord"), [])
    assert [button["label"] for button in discord.bot_messages(channel)[0].buttons] == ["Retry"]
    assert model.requests == []


@pytest.mark.parametrize("directly", [False, True])
async def test_recovery_waits_until_guilds_are_known(
    discord: DiscordStandin,
    model: ModelStandin,
    start: Start,
    file: Database,
    monkeypatch: pytest.MonkeyPatch,
    directly: bool,
) -> None:
    async def late(*_: object, **__: object) -> None:
        await asyncio.sleep(0.3)

    monkeypatch.setattr(ParleyClient, "before_identify_hook", late)
    channel = discord.open_dm(discord.bo) if directly else discord.general
    await leave(discord, file, "Half of it", channel=channel)
    model.default = Reply("The whole answer.")
    async with start() as world:
        await discord.wait_for(lambda: shown(discord, channel) == ["The whole answer."])
        await world.idle()


async def test_empty_retry_keeps_the_old_text(
    discord: DiscordStandin, model: ModelStandin, start: Start, file: Database
) -> None:
    await leave(discord, file, "Half of it")
    model.default = Reply("x", cut_after=0)
    async with start() as world:
        sentence = "-# The answer broke off."
        await discord.wait_for(lambda: shown(discord) == [f"Half of it\n{sentence}"])
        await world.idle()
    assert [button["label"] for button in discord.bot_messages(discord.general)[0].buttons] == ["Retry"]


@pytest.mark.usefixtures("echo")
async def test_waiting_prompts_are_recovered_in_order(discord: DiscordStandin, start: Start, file: Database) -> None:
    left = [await leave(discord, file, text=text) for text in ("one", "two", "three")]
    async with start() as world:
        await world.reply(discord.general, "To three.", count=3)
        await world.idle()
    replies = discord.bot_messages(discord.general)
    assert [reply.content for reply in replies] == ["To one.", "To two.", "To three."]
    assert [reply.reply_to for reply in replies] == [each.said for each in left]


@pytest.mark.standin(wall=lambda: time.time() - 60)
async def test_long_wait_is_answered_with_a_ping(
    discord: DiscordStandin, model: ModelStandin, start: Start, file: Database
) -> None:
    await leave(discord, file)
    async with start() as world:
        reply = await world.reply(discord.general)
        assert reply.pinged == {discord.bo}
        await world.idle()


@pytest.mark.standin(wall=lambda: time.time() - 1000)
@pytest.mark.parametrize("ping", [Ping.AUTO, Ping.NEVER])
async def test_too_old_prompt_is_reported_as_lost(
    discord: DiscordStandin, model: ModelStandin, start: Start, file: Database, ping: Ping
) -> None:
    left = await leave(discord, file)
    async with open_store(file, exclusive=False) as store:
        await store.person_settings.set_ping(discord.bo.id, ping)
    async with start() as world:
        reply = await world.reply(discord.general, COULD_NOT)
        await world.idle()
    assert reply.reply_to is left.said
    assert reply.pinged == (set() if ping is Ping.NEVER else {discord.bo})
    assert [button["label"] for button in reply.buttons] == ["Retry"]
    assert model.requests == []


@pytest.mark.standin(wall=lambda: time.time() - 3600)
async def test_hardly_editable_message_is_not_retried(
    discord: DiscordStandin, model: ModelStandin, start: Start, file: Database
) -> None:
    await leave(discord, file, "Half of it")
    async with start() as world:
        await discord.wait_for(lambda: shown(discord) == [f"Half of it\n{COULD_NOT}"])
        await world.idle()
    assert model.requests == []


@pytest.mark.parametrize(
    ("parts", "end", "stays"),
    [
        ((), None, []),
        (("Half", " of it"), None, []),
        (("All of it",), TurnState.COMPLETE, ["All of it"]),
        ((), TurnState.COMPLETE, []),
    ],
)
async def test_prompt_deleted_before_the_start_is_forgotten(
    discord: DiscordStandin,
    model: ModelStandin,
    start: Start,
    file: Database,
    parts: tuple[str, ...],
    end: TurnState | None,
    stays: list[str],
) -> None:
    left = await leave(discord, file, *parts, end=end)
    discord.world.delete(left.said)
    async with start() as world:
        await forgotten(world, left.said)
        assert shown(discord) == stays
    assert model.requests == []


@pytest.mark.parametrize("end", [None, TurnState.COMPLETE])
async def test_reply_deleted_before_the_start_stays_away(
    discord: DiscordStandin, model: ModelStandin, start: Start, file: Database, end: TurnState | None
) -> None:
    left = await leave(discord, file, "Half of it", end=end)
    discord.world.delete(*left.messages)
    async with start() as world:
        await forgotten(world, left.said)
        await world.idle()
        assert shown(discord) == []


async def test_bots_own_deletion_is_no_deleted_reply(
    discord: DiscordStandin, model: ModelStandin, start: Start, file: Database
) -> None:
    left = await leave(discord, file, "first " * 200, "second " * 100, end=TurnState.COMPLETE)
    discord.world.delete(left.messages[1])
    async with start() as world:
        await discord.wait_for(lambda: len(shown(discord)) == 2)
        await world.idle()
        # What is gone stays on no record.
        await world.until(lambda: world.store.deliveries.stale(left.attempt.turn_id), [])
    assert shown(discord) == [("first " * 200).strip(), ("second " * 100).strip()]


async def test_channel_deleted_before_the_start_is_forgotten(
    discord: DiscordStandin, model: ModelStandin, start: Start, file: Database
) -> None:
    left = await leave(discord, file, "Half of it")
    discord.world.delete_channel(discord.general)
    async with start() as world:
        await forgotten(world, left.said)
    assert model.requests == []


async def test_archived_thread_gets_one_whole_reply(
    discord: DiscordStandin, model: ModelStandin, start: Start, file: Database
) -> None:
    thread = await discord.open_thread(discord.general, "side", discord.bo)
    await leave(discord, file, "Half of it", channel=thread)
    discord.world.update_thread(thread, archived=True)
    model.default = Reply("The whole answer.")
    async with start() as world:
        await discord.wait_for(lambda: shown(discord, thread) == ["The whole answer."])
        await world.idle()


@pytest.mark.parametrize("how", ["forgotten", "deleted"])
async def test_turn_forgotten_during_recovery_stops(
    discord: DiscordStandin, model: ModelStandin, start: Start, file: Database, how: str
) -> None:
    left = await leave(discord, file, "Half of it")
    slow = discord.faults.add(Slow(1.5, applied=True), method="GET", route=POSTS + "/{message_id}")
    async with start() as world:
        await discord.wait_for(lambda: slow.hits)
        if how == "deleted":
            await discord.delete(left.said)
            await discord.wait_for(lambda: shown(discord) == [])
        else:
            await discord.wait_for(lambda: discord.commands.puts)
            await (await discord.slash(discord.bo, discord.general, "reset")).answered()
            await discord.wait_for(lambda: left.messages[0].content == "Half of it\n-# Stopped.")
        await world.idle()
    assert model.requests == []


@pytest.mark.parametrize("how", ["locked", "hidden"])
async def test_unshowable_recovery_is_recorded_once(
    discord: DiscordStandin, model: ModelStandin, start: Start, file: Database, how: str
) -> None:
    thread = await discord.open_thread(discord.general, "side", discord.bo)
    left = await leave(discord, file, "Half of it", channel=thread)
    if how == "locked":
        discord.world.update_thread(thread, archived=True, locked=True)
    else:
        discord.deny(discord.general, Permission.VIEW_CHANNEL)
    model.default = Reply("The whole answer.")
    async with start() as world:
        await until(lambda: states(file, thread), [("The whole answer.", "complete")])
        await world.idle()
        assert await world.store.turns.undelivered("discord") == []
    assert left.messages[0].content == "Half of it"


async def test_unseen_stop_is_shown_after_a_restart(
    discord: DiscordStandin, model: ModelStandin, start: Start, file: Database
) -> None:
    await leave(discord, file, "Half of it", end=TurnState.STOPPED)
    async with start() as world:
        await discord.wait_for(lambda: shown(discord) == ["Half of it\n-# Stopped."])
        await world.idle()
    assert model.requests == []


async def test_leftover_hourglass_of_a_forgotten_turn_is_removed(discord: DiscordStandin, start: Start) -> None:
    async with start() as world:
        said = await world.ask("hello")
        await discord.wait_for(lambda: len(discord.bot_messages(discord.general)) == 1)
        await world.idle()
        await world.store.retention.forget_conversation(on_discord(discord.general.id))
        # As a kill leaves it between the two.
        await world.store.deliveries.mark_reaction(discord.general.id, said.id)
        discord.world.react(said, discord.bot, "⏳")
    async with start() as world:
        await discord.wait_for(lambda: not said.reactions)
        await world.until(world.store.deliveries.pending_reactions, [])


@pytest.mark.parametrize(
    ("table", "fails_for"),
    [("recent_questions", 25.0), ("pending_reactions", 25.0), ("guilds", 700.0), ("clock", 25.0)],
)
async def test_what_a_start_does_is_done_once_the_database_works(
    discord: DiscordStandin,
    model: ModelStandin,
    start: Start,
    file: Database,
    table: str,
    fails_for: float,
    caplog: pytest.LogCaptureFixture,
) -> None:
    discord.patience = 1000.0
    left = await leave(discord, file, "Half of it")
    model.default = Reply("The whole answer.")
    discord.world.react(left.said, discord.bot, "⏳")
    async with open_store(file, exclusive=False) as operator:
        await operator.deliveries.mark_reaction(discord.general.id, left.said.id)
        await operator.guilds.mark_left(discord.guild.id)
        await operator.engine.write(f"ALTER TABLE {table} RENAME TO elsewhere")

        async def mend() -> float:
            await until(lambda: "trying again" in caplog.text)
            await asyncio.sleep(fails_for)
            await operator.engine.write(f"ALTER TABLE elsewhere RENAME TO {table}")
            return time.monotonic()

        mending, connections = asyncio.create_task(mend()), identified(discord)
        async with start() as world:
            mended_at = await mending
            await discord.wait_for(lambda: connections)
            assert connections[0][0] - mended_at < 2, "it does not wait long for what is back"
            await discord.wait_for(lambda: shown(discord) == ["The whole answer."])
            await discord.wait_for(lambda: not left.said.reactions)
            await asyncio.sleep(600.0)
            read = world.store.engine.read
            await until(lambda: read("SELECT 1 FROM conversations WHERE left_at IS NOT NULL"), [])
            await until(lambda: read("SELECT 1 FROM clock"))


async def test_reply_is_whole_soon_after_the_database_failed_once(
    discord: DiscordStandin, model: ModelStandin, start: Start, file: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await leave(discord, file, "Half of it")
    model.default = Reply("The whole answer.")
    sent = DeliveryStore.sent
    failed_at: list[float] = []

    async def failing(store: DeliveryStore, turn_id: int) -> list[SentPart]:
        if not failed_at:
            failed_at.append(time.monotonic())
            raise StoreError("away for a moment")
        return await sent(store, turn_id)

    monkeypatch.setattr(DeliveryStore, "sent", failing)
    async with start():
        await discord.wait_for(lambda: shown(discord) == ["The whole answer."])
        assert time.monotonic() - failed_at[0] < 10


@pytest.mark.parametrize("end", [None, TurnState.COMPLETE], ids=["broken off", "ended"])
async def test_reply_forgotten_during_recovery_is_not_shown(
    discord: DiscordStandin, start: Start, file: Database, end: TurnState | None
) -> None:
    left = await leave(discord, file)
    async with open_store(file, exclusive=True) as store:
        await store.turns.save({left.attempt: "the secret is 42"})
        if end is not None:
            await store.turns.close(left.attempt, Outcome(end, "the secret is 42"))
    slow = discord.faults.add(Slow(1.5), method="GET", route=POSTS + "/{message_id}")
    async with start() as world:
        await discord.wait_for(lambda: slow.hits)
        await (await discord.slash(discord.bo, discord.general, "reset")).answered()
        await discord.wait_for(lambda: len(shown(discord)) == 2)
        await world.idle()
    assert "42" not in "".join(shown(discord))


async def test_stop_before_recovery_asks_to_press_later(
    discord: DiscordStandin, model: ModelStandin, start: Start, file: Database
) -> None:
    left = await leave(discord, file, "Half of it")
    [message] = left.messages
    stop = {"type": 2, "id": 2, "style": 2, "label": "Stop", "custom_id": "reply:stop"}
    message.components = [{"type": 1, "id": 1, "components": [stop]}]
    slow = discord.faults.add(Slow(1.5), method="GET", route=POSTS + "/{message_id}")
    model.default = Reply("The whole answer.")
    async with start() as world:
        await discord.wait_for(lambda: slow.hits)
        press = await world.press(message, button="reply:stop")
        assert (await press.answered()).content == "One moment, then press again."
        await discord.wait_for(lambda: message.content == "The whole answer.")
        await world.idle()

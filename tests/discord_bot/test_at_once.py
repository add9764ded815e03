"""What happens within the same moment: what was decided holds, and the latest word counts."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from bot.core.access import GuildRules
from bot.core.errors import StoreError
from bot.discord_bot.inbound.edits import MessageLifecycle
from bot.standin.entities import Message
from bot.standin.faults import Slow
from bot.standin.script import REFUSALS
from bot.standin.server import DiscordStandin
from bot.store.deliveries import DeliveryStore
from bot.store.guild_rules import GuildRuleStore
from bot.store.guilds import GuildStore
from bot.store.part import Part
from bot.store.processed import ProcessedStore
from bot.store.turns import TurnStore
from tests.discord_bot.conftest import Held, Start, World
from tests.discord_bot.server_pages import ALLOW, change, done, id_of, page_of
from tests.waiting import PATIENCE

pytestmark = [pytest.mark.virtual_time, pytest.mark.both_engines]

CALLBACK = "/interactions/{interaction_id}/{interaction_token}/callback"


async def failed(world: World) -> Message:
    """A reply that can be tried again."""
    world.model.script.append(REFUSALS["rate limit"])
    await world.ask("hello")
    message = await world.reply(world.discord.general, "My model is busy")
    await world.idle()
    return message


async def decide(world: World, command: str, **options: object) -> str:
    used = await world.discord.slash(world.discord.max, world.discord.general, command, **options)
    return (await used.answered()).content


async def test_later_of_two_edits_wins(world: World, hold: Callable[[type[Part], str], Held]) -> None:
    discord = world.discord
    begin = hold(TurnStore, "begin")
    said = await world.ask("one")
    await begin.begun.wait()
    look = hold(ProcessedStore, "among")
    await discord.edit(said, f"{discord.bot.mention} two")
    await look.begun.wait()
    await discord.edit(said, f"{discord.bot.mention} three")
    begin.go_on.set()
    async with asyncio.timeout(PATIENCE):
        while [turn[0] for turn in await world.turns(discord.general)] != ["three"]:
            await asyncio.sleep(0.01)
    look.go_on.set()
    await asyncio.sleep(0.1)
    assert [turn[0] for turn in await world.turns(discord.general)] == ["three"]


@pytest.mark.parametrize("command", ["pause", "block"])
async def test_decision_before_a_prompt_is_stored_applies(
    world: World, hold: Callable[[type[Part], str], Held], command: str
) -> None:
    begin = hold(TurnStore, "begin")
    await world.ask("hello")
    await begin.begun.wait()
    await decide(world, command, **({"member": world.discord.bo} if command == "block" else {}))
    begin.go_on.set()
    await world.reply(world.discord.general, "Stopped")
    await world.idle()
    assert world.model.requests == []


async def test_decision_during_a_press_applies_to_it(world: World) -> None:
    discord = world.discord
    message = await failed(world)
    slow = discord.faults.add(Slow(1.5), method="POST", route=CALLBACK)
    await world.press(message, button="reply:retry")
    await discord.wait_for(lambda: slow.hits)
    await decide(world, "pause")
    await discord.wait_for(lambda: "Stopped" in message.content)
    await world.idle()
    assert len(world.model.requests) == 1


async def test_press_on_an_unreadable_reply_is_told(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    message = await failed(world)

    async def broken(*_: object) -> Any:
        raise StoreError("The database is damaged.")

    monkeypatch.setattr(DeliveryStore, "sent", broken)
    press = await world.press(message, button="reply:retry")
    await world.discord.wait_for(lambda: press.followups)
    assert "save" in press.followups[0].content


async def test_concurrent_blocks_leave_one_allowed_channel(world: World) -> None:
    discord = world.discord
    both = discord.general, discord.random_channel
    for channel in both:
        await change(discord, ALLOW, channel)
    pages = [await page_of(discord, channel) for channel in both]
    used = await asyncio.gather(*(discord.press(discord.max, page, id_of(page, "block")) for page in pages))
    for page, each in zip(pages, used, strict=True):
        await done(discord, page, each)
    assert True in (await world.store.guild_rules.rules_for(discord.guild.id, 1)).channels.values()


async def test_retried_change_precedes_the_next(world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("bot.discord_bot.inbound.edits._RETRY_DELAYS", (0.1, 0.1))
    await world.ask("hello")
    await world.reply(world.discord.general)
    await world.idle()
    left, failures = GuildStore.mark_left, [StoreError("The disk is full.")]

    async def at_second_try(*details: Any) -> None:
        if failures:
            raise failures.pop()
        await left(*details)

    monkeypatch.setattr(GuildStore, "mark_left", at_second_try)
    unused: Any = None
    changes = MessageLifecycle(unused, world.conversations.forgetting, world.store, unused, unused, unused, unused)
    server = world.discord.guild.id
    await asyncio.gather(changes.left(server), changes.present({server}))
    with closing(sqlite3.connect(tmp_path / "parley.db")) as connection:
        assert connection.execute("SELECT left_at FROM conversations").fetchall() == [(None,)]


async def test_guild_that_reinvites_keeps_its_memory(discord: DiscordStandin, start: Start, tmp_path: Path) -> None:
    async with start() as world:
        await world.ask("hello")
        await world.reply(discord.general)
        await world.idle()
        await world.store.guilds.mark_left(discord.guild.id)
    with closing(sqlite3.connect(tmp_path / "parley.db")) as connection, connection:
        connection.execute("UPDATE conversations SET left_at = left_at - 8 * 86400")
    async with start() as world:
        await world.ask("and now?")
        await world.reply(discord.general, count=2)
        await world.idle()
        assert [turn[0] for turn in await world.turns(discord.general)] == ["hello", "and now?"]


async def test_questions_of_one_person_are_answered_in_their_order(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the database answers first."""
    check, asked = GuildRuleStore.rules_for, 0

    async def first_is_slow(store: GuildRuleStore, guild_id: int, user_id: int) -> GuildRules:
        nonlocal asked
        asked += 1
        if asked == 1:
            await asyncio.sleep(0.2)
        return await check(store, guild_id, user_id)

    monkeypatch.setattr(GuildRuleStore, "rules_for", first_is_slow)
    said = [await world.ask(text) for text in ("one", "two")]
    await world.reply(world.discord.general, count=2)
    await world.idle()
    assert [each.reply_to for each in world.discord.bot_messages(world.discord.general)] == said
    assert asked >= 2

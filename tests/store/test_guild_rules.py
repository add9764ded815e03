"""What moderators decided, on record."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from bot.core.access import Block, Decision, GuildDecisions, GuildRules
from bot.core.turns import Prompt
from bot.store import Store
from bot.store.sqlite import open_store
from tests.places import on_discord
from tests.store.steps import Clock

HARBOUR, LIGHTHOUSE = 11, 12
BO, CLEO = 21, 22
DAY = 24 * 3600


async def blocks(store: Store, most: int) -> list[tuple[int, Block]]:
    return [(user, block) for user, block, _ in (await store.guild_rules.decisions(HARBOUR, most)).blocks]


async def test_decisions_are_kept_with_who_and_when(store: Store, clock: Clock) -> None:
    max_, mia = 41, 42
    started = int(clock())
    await store.guild_rules.pause(HARBOUR, by=max_)
    clock.now += 10
    await store.guild_rules.pause(HARBOUR, by=mia)
    await store.guild_rules.set_channel_rule(HARBOUR, 31, True, by=max_)
    await store.guild_rules.set_channel_rule(HARBOUR, 31, False, by=mia)
    await store.guild_rules.block(HARBOUR, BO, None, by=max_)
    later = started + 10
    assert await store.guild_rules.decisions(HARBOUR, 9) == GuildDecisions(
        Decision(max_, started), [(31, False, Decision(mia, later))], [(BO, Block(None), Decision(max_, later))]
    )
    # A moderator who wants to be forgotten takes no block back.
    assert not (await store.people.record_of(max_)).is_empty
    await store.people.forget(max_)
    assert await store.guild_rules.decisions(HARBOUR, 9) == GuildDecisions(
        Decision(), [(31, False, Decision(mia, later))], [(BO, Block(None), Decision())]
    )
    await store.guild_rules.resume(HARBOUR)
    assert (await store.guild_rules.decisions(HARBOUR, 9)).paused is None


async def test_guild_without_decisions_has_no_rules(store: Store) -> None:
    assert await store.guild_rules.rules_for(HARBOUR, BO) == GuildRules()


async def test_rules_hold_in_their_guild_across_restarts(store: Store, path: Path) -> None:
    assert await store.guild_rules.pause(HARBOUR)
    assert not await store.guild_rules.pause(HARBOUR)
    await store.guild_rules.set_channel_rule(HARBOUR, 31, True)
    await store.guild_rules.set_channel_rule(HARBOUR, 32, True)
    await store.guild_rules.set_channel_rule(HARBOUR, 32, False)
    await store.guild_rules.set_channel_rule(LIGHTHOUSE, 33, False)
    await store.guild_rules.block(HARBOUR, BO, None)
    async with open_store(path, exclusive=False) as again:
        assert await again.guild_rules.rules_for(HARBOUR, BO) == GuildRules(True, Block(None), {31: True, 32: False})
        assert await again.guild_rules.rules_for(HARBOUR, CLEO) == GuildRules(True, None, {31: True, 32: False})
        assert await again.guild_rules.rules_for(LIGHTHOUSE, BO) == GuildRules(channels={33: False})


async def test_withdrawn_rule_is_gone(store: Store) -> None:
    assert not await store.guild_rules.resume(HARBOUR)
    await store.guild_rules.pause(HARBOUR)
    assert await store.guild_rules.resume(HARBOUR)
    assert not await store.guild_rules.resume(HARBOUR)
    await store.guild_rules.set_channel_rule(HARBOUR, 31, False)
    await store.guild_rules.set_channel_rule(HARBOUR, 31, None)
    assert not await store.guild_rules.clear_channel_rules(HARBOUR)
    await store.guild_rules.set_channel_rule(HARBOUR, 32, False)
    await store.guild_rules.set_channel_rule(LIGHTHOUSE, 33, False)
    assert await store.guild_rules.clear_channel_rules(HARBOUR)
    await store.guild_rules.block(HARBOUR, BO, None)
    assert not await store.guild_rules.unblock(LIGHTHOUSE, BO)
    assert await store.guild_rules.unblock(HARBOUR, BO)
    assert not await store.guild_rules.unblock(HARBOUR, BO)
    assert await store.guild_rules.rules_for(HARBOUR, BO) == GuildRules()
    assert (await store.guild_rules.rules_for(LIGHTHOUSE, BO)).channels == {33: False}


async def test_block_expires(store: Store, clock: Clock) -> None:
    await store.guild_rules.block(HARBOUR, BO, 2000)
    await store.guild_rules.block(HARBOUR, CLEO, None)
    assert (await store.guild_rules.rules_for(HARBOUR, BO)).block == Block(2000)
    assert await blocks(store, 9) == [(BO, Block(2000)), (CLEO, Block(None))]
    assert await blocks(store, 1) == [(BO, Block(2000))]
    clock.now = 2000
    assert (await store.guild_rules.rules_for(HARBOUR, BO)).block is None
    assert await blocks(store, 9) == [(CLEO, Block(None))]
    assert not await store.guild_rules.unblock(HARBOUR, BO)


async def test_blocked_person_is_listed_by_guild(store: Store, clock: Clock) -> None:
    await store.guild_rules.block(HARBOUR, BO, 2000)
    await store.guild_rules.block(LIGHTHOUSE, BO, None)
    await store.guild_rules.block(HARBOUR, CLEO, None)
    assert await store.guild_rules.blocks_of(BO) == {HARBOUR: Block(2000), LIGHTHOUSE: Block(None)}
    assert await store.guild_rules.blocks_of(BO, HARBOUR) == {HARBOUR: Block(2000)}
    clock.now = 2000
    await store.guilds.mark_left(LIGHTHOUSE)
    assert await store.guild_rules.blocks_of(BO) == {LIGHTHOUSE: Block(None)}, "as long as it is on record"
    assert await store.guild_rules.blocks_of(BO, HARBOUR) == {}


async def test_deleted_channel_keeps_a_rule_that_closes_others(store: Store) -> None:
    for channel, allowed in {31: True, 32: True, 33: False}.items():
        await store.guild_rules.set_channel_rule(HARBOUR, channel, allowed)
    await store.guild_rules.set_channel_rule(LIGHTHOUSE, 34, True)
    for channel in (33, 31, 32):
        await store.guilds.forget_channel(channel, on_discord(channel))
    assert (await store.guild_rules.rules_for(HARBOUR, BO)).channels == {32: True}


async def test_of_allowed_channels_that_are_deleted_at_once_one_rule_stays(store: Store) -> None:
    for guild in range(1, 21):
        channels = range(10 * guild, 10 * guild + 3)
        for channel in channels:
            await store.guild_rules.set_channel_rule(guild, channel, True)
        await asyncio.gather(*(store.guilds.forget_channel(channel, on_discord(channel)) for channel in channels))
        assert len((await store.guild_rules.rules_for(guild, BO)).channels) == 1


async def test_time_of_a_guilds_refusal(store: Store, clock: Clock) -> None:
    assert await store.guilds.refused_at(HARBOUR) is None
    await store.guilds.record_refusal(HARBOUR)
    assert await store.guilds.refused_at(HARBOUR) == 1000
    await store.guilds.clear_refusal(HARBOUR)
    assert await store.guilds.refused_at(HARBOUR) is None
    await store.guilds.record_refusal(HARBOUR)
    await store.guilds.mark_left(HARBOUR)
    assert await store.guilds.refused_at(HARBOUR) is None, "who invites it again is told again"


@pytest.mark.parametrize("noticed", ["at once", "at the next start"])
async def test_rules_outlive_a_guild_by_a_week(store: Store, clock: Clock, noticed: str) -> None:
    for server in (HARBOUR, LIGHTHOUSE):
        await store.guild_rules.set_channel_rule(server, server + 20, False)
        await store.guild_rules.block(server, BO, None)
    if noticed == "at once":
        await store.guilds.mark_left(HARBOUR)
    else:
        await store.guilds.sync([LIGHTHOUSE])
    wanted = GuildRules(False, Block(None), {HARBOUR + 20: False})
    clock.now += 7 * DAY
    await store.guilds.mark_left(HARBOUR)  # said again, it is as long ago as before
    await store.retention.prune(unused_days=0)
    assert await store.guild_rules.rules_for(HARBOUR, BO) == wanted
    clock.now += 1
    await store.guilds.sync([HARBOUR, LIGHTHOUSE])
    await store.retention.prune(unused_days=0)
    assert await store.guild_rules.rules_for(HARBOUR, BO) == wanted, "it was invited again"
    await store.guilds.mark_left(HARBOUR)
    clock.now += 7 * DAY + 1
    await store.retention.prune(unused_days=0)
    assert await store.guild_rules.rules_for(HARBOUR, BO) == GuildRules()
    assert (await store.guild_rules.rules_for(LIGHTHOUSE, BO)).block is not None


async def test_guilds_a_person_asked_in(store: Store) -> None:
    for position, (place, server, author) in enumerate(
        [("1", HARBOUR, BO), ("2", LIGHTHOUSE, BO), ("3", None, BO), ("1", HARBOUR, CLEO), ("2", LIGHTHOUSE, BO)]
    ):
        await store.turns.begin(Prompt(on_discord(place), position, "hello", user_id=author, guild_id=server))
    assert await store.people.asked_in(BO) == [LIGHTHOUSE, HARBOUR]
    assert await store.people.asked_in(BO, most=2) == [LIGHTHOUSE], "the latest turns alone are looked at"
    assert await store.people.asked_in(CLEO) == [HARBOUR]

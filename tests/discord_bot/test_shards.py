"""The bot on several shards."""

from __future__ import annotations

import asyncio

import pytest

from bot.discord_bot.shards import Connections, Shards
from tests.waiting import until


@pytest.mark.virtual_time
async def test_whoever_waits_for_a_shard_waits_for_the_one_of_the_last_count() -> None:
    connections, guild_id = Connections(), 5 << 22
    direct = asyncio.create_task(connections.wait_for(None))
    guild = asyncio.create_task(connections.wait_for(guild_id))
    everything = asyncio.create_task(connections.wait_for_all())
    connections.begin(Shards.all_of(3))
    connections.connected(0)
    await until(direct.done)
    connections.begin(Shards.all_of(4))
    for shard_id in (2, 3):
        connections.connected(shard_id)
    await asyncio.sleep(1)
    assert not guild.done()
    connections.connected(1)
    connections.lost(1)
    await until(guild.done)
    assert not everything.done()
    connections.connected(0)
    await until(everything.done)
    await asyncio.sleep(7)
    connections.lost(1)
    assert connections.away_for() == {0: None, 1: pytest.approx(7, abs=1), 2: None, 3: None}

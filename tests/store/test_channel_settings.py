"""The settings of channels, on record."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from bot.core.access import Decision
from bot.core.channel_settings import DEFAULTS, ChannelSettings, WithoutMention
from bot.store import Store, channel_settings
from bot.store.engine import Rows, Value
from bot.store.sqlite import open_store
from tests.places import on_discord
from tests.store.steps import Clock

HARBOUR, LIGHTHOUSE = 11, 12
PIER, QUAY, LAMP = 31, 32, 33
MAX, MIA = 41, 42
DAY = 24 * 3600


async def test_each_choice_is_kept_beside_the_others_with_who_and_when(store: Store, path: Path, clock: Clock) -> None:
    settings = store.channel_settings
    assert await settings.change(HARBOUR, PIER, by=MAX, recent=10) == DEFAULTS
    started = int(clock())
    clock.now += 10
    assert await settings.change(HARBOUR, PIER, by=MIA, without_mention=WithoutMention.THREADS) == ChannelSettings(
        recent=10
    )
    assert await settings.change(LIGHTHOUSE, LAMP, by=MAX, threads=True) == DEFAULTS
    pier = ChannelSettings(WithoutMention.THREADS, 10)
    async with open_store(path, exclusive=False) as again:
        assert await again.channel_settings.of(HARBOUR, PIER) == pier
        assert await again.channel_settings.of(HARBOUR, QUAY) == DEFAULTS
        assert await again.channel_settings.of_guild(LIGHTHOUSE) == {LAMP: ChannelSettings(threads=True)}
    assert await settings.decisions(HARBOUR) == [(PIER, pier, Decision(MIA, started + 10))]
    # What somebody decided as a moderator stays in force, in nobody's name.
    assert not (await store.people.record_of(MIA)).is_empty
    await store.people.forget(MIA)
    assert await settings.decisions(HARBOUR) == [(PIER, pier, Decision())]


async def test_channel_with_the_defaults_leaves_nothing_behind(store: Store) -> None:
    settings = store.channel_settings
    await settings.change(HARBOUR, PIER, by=MAX, recent=25, without_mention=WithoutMention.ALL)
    await settings.change(HARBOUR, PIER, by=MAX, without_mention=WithoutMention.NEVER)
    assert await settings.change(HARBOUR, PIER, by=MAX, recent=0) == ChannelSettings(recent=25)
    assert await settings.decisions(HARBOUR) == []


async def test_change_counts_at_once_whatever_is_being_read(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    settings, read, changed = store.channel_settings, store.engine.read, asyncio.Event()

    async def late(sql: str, **values: Value) -> Rows:
        rows = await read(sql, **values)
        await changed.wait()
        return rows

    monkeypatch.setattr(store.engine, "read", late)
    reading = asyncio.create_task(settings.of(HARBOUR, PIER))
    await asyncio.sleep(0)
    await settings.change(HARBOUR, PIER, by=MAX, threads=True)
    changed.set()
    await reading
    assert await settings.of(HARBOUR, PIER) == ChannelSettings(threads=True)
    assert settings.known(HARBOUR) == {PIER: ChannelSettings(threads=True)}
    await settings.change(HARBOUR, PIER, by=MAX, threads=False)
    assert settings.known(HARBOUR) is None


async def test_memory_holds_the_guilds_read_lately_only(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel_settings, "_MOST_KEPT", 8)
    settings = store.channel_settings
    for channel in (PIER, QUAY):
        await settings.change(HARBOUR, channel, by=MAX, threads=True)

    def kept(*guilds: int) -> list[bool]:
        return [settings.known(guild) is not None for guild in guilds]

    for guild in (HARBOUR, 1, 2, 3, 4, 5):
        await settings.of_guild(guild)
    assert kept(HARBOUR, 1, 2, 3, 4, 5) == [True] * 6, "a guild with two channels counts as three"
    await settings.change(HARBOUR, LAMP, by=MAX, threads=True)
    await settings.of_guild(HARBOUR)
    assert kept(1, 2, 3, 4, 5, HARBOUR) == [False] + [True] * 5
    await settings.change(HARBOUR, LAMP, by=MAX, threads=False)
    await settings.of_guild(HARBOUR)
    await settings.of_guild(1)
    assert kept(2, 3, 4, 5, HARBOUR, 1) == [True] * 6


async def test_settings_of_thousands_of_guilds_are_read_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    queries, read = 0, store.channel_settings._engine.read

    async def counted(sql: str, **values: Value) -> Rows:
        nonlocal queries
        queries += 1
        return await read(sql, **values)

    monkeypatch.setattr(store.channel_settings._engine, "read", counted)
    for _ in range(3):
        for guild in range(2500):
            await store.channel_settings.of_guild(guild)
    assert queries == 2500


async def test_guild_has_a_limited_number_of_channels_with_settings(store: Store) -> None:
    settings, most = store.channel_settings, channel_settings.MOST_CHANNELS
    for channel in range(most):
        assert await settings.change(HARBOUR, channel, by=MAX, recent=10) == DEFAULTS
    assert await settings.change(HARBOUR, most, by=MAX, recent=10) is None
    assert await settings.of(HARBOUR, most) == DEFAULTS
    assert await settings.change(HARBOUR, 0, by=MAX, recent=25) == ChannelSettings(recent=10)
    assert await settings.change(LIGHTHOUSE, most, by=MAX, recent=10) == DEFAULTS


async def test_settings_go_with_their_channel_and_with_a_guild_that_was_left(store: Store, clock: Clock) -> None:
    for channel in (PIER, QUAY):
        await store.channel_settings.change(HARBOUR, channel, by=MAX, recent=10)
    await store.channel_settings.change(LIGHTHOUSE, LAMP, by=MAX, recent=10)
    await store.guilds.forget_channel(PIER, on_discord(PIER))
    assert [channel for channel, *_ in await store.channel_settings.decisions(HARBOUR)] == [QUAY]
    await store.guilds.sync([LIGHTHOUSE])
    clock.now += 8 * DAY
    await store.retention.prune(0)
    assert await store.channel_settings.decisions(HARBOUR) == []
    assert await store.channel_settings.of(LIGHTHOUSE, LAMP) == ChannelSettings(recent=10)

"""Personas and models: whose holds where, and when they go."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.core.turns import Behaviour, Conversation, Prompt
from bot.store import Store
from bot.store.sqlite.engine import SQLiteEngine
from tests.places import on_discord
from tests.store.steps import Clock, files, rows

CHANNEL, THREAD, OTHER = on_discord(1), on_discord(2), on_discord(3)
DAY = 24 * 3600


async def test_thread_inherits_its_channels_persona(store: Store) -> None:
    await store.personas.set_persona(CHANNEL, 7, "A pirate.")
    await store.personas.set_model(CHANNEL, 7, "large")
    assert await store.personas.settings_of(THREAD) == Behaviour(), "nothing says yet where it belongs"
    assert await store.personas.settings_of(THREAD, CHANNEL) == Behaviour("A pirate.", "large")
    await store.turns.begin(Prompt(THREAD, 10, "Why?", guild_id=7, parent=CHANNEL))
    assert await store.personas.settings_of(THREAD) == Behaviour("A pirate.", "large")
    await store.personas.set_persona(THREAD, 7, "A nun.")
    assert await store.personas.settings_of(THREAD) == Behaviour("A nun.", "large"), "each side for itself"
    assert await store.personas.settings_of(CHANNEL) == Behaviour("A pirate.", "large")
    assert await store.personas.settings_of(OTHER) == Behaviour()
    await store.personas.set_persona(THREAD, 7, None)
    assert await store.personas.settings_of(THREAD) == Behaviour("A pirate.", "large")


async def test_persona_change_is_reported_and_empty_removes_it(store: Store, path: Path) -> None:
    assert not await store.personas.set_persona(CHANNEL, 7, None)
    assert rows(path, "SELECT * FROM personas") == []
    assert await store.personas.set_persona(CHANNEL, 7, "A pirate.")
    assert not await store.personas.set_persona(CHANNEL, 7, "A pirate.")
    assert await store.personas.set_model(CHANNEL, 7, "large")
    assert rows(path, "SELECT platform, channel, guild_id, user_id, persona, model FROM personas") == [
        ("discord", CHANNEL.channel, 7, None, "A pirate.", "large")
    ]
    assert await store.personas.set_persona(CHANNEL, 7, None)
    assert await store.personas.settings_of(CHANNEL) == Behaviour(None, "large")
    assert await store.personas.set_model(CHANNEL, 7, None)
    assert rows(path, "SELECT * FROM personas") == []


async def test_reset_keeps_the_persona_and_clearing_wipes_it(store: Store, path: Path) -> None:
    await store.personas.set_persona(CHANNEL, 7, "You are Xanthippe.")
    await store.turns.begin(Prompt(CHANNEL, 10, "Why?", guild_id=7))
    await store.retention.forget_conversation(CHANNEL)
    assert (await store.personas.settings_of(CHANNEL)).persona == "You are Xanthippe."
    await store.personas.set_persona(CHANNEL, 7, None)
    await store.engine.erase_deleted()
    assert b"Xanthippe" not in b"".join(files(path).values())


async def test_persona_goes_with_its_channel(store: Store, path: Path) -> None:
    await store.turns.begin(Prompt(THREAD, 10, "Why?", guild_id=7, parent=CHANNEL))
    for key in (CHANNEL, THREAD, OTHER):
        await store.personas.set_persona(key, 7, f"Persona of {key}")
    await store.guilds.forget_channel(1, CHANNEL)
    await store.engine.erase_deleted()
    assert rows(path, "SELECT channel FROM personas") == [(OTHER.channel,)]
    assert b"Persona of discord:1" not in b"".join(files(path).values())


async def test_persona_of_a_chat_is_pruned_with_it(store: Store, path: Path, clock: Clock) -> None:
    old, new, asked_nothing = on_discord(11), on_discord(12), on_discord(13)
    for position, (key, guild) in enumerate([(old, None), (CHANNEL, 7)]):
        await store.turns.begin(Prompt(key, position, "Why?", user_id=1, guild_id=guild))
    clock.now += 100 * DAY
    await store.turns.begin(Prompt(new, 9, "Why?", user_id=1))
    for key, guild in ((old, None), (new, None), (asked_nothing, None), (CHANNEL, 7)):
        await store.personas.set_persona(key, guild, f"Persona of {key}", user_id=None if guild else 1)
    assert await store.retention.prune(unused_days=90) == 2
    kept = {Conversation(*row) for row in rows(path, "SELECT platform, channel FROM personas")}
    assert kept == {new, asked_nothing, CHANNEL}, "a channel's persona stays with its channel"


@pytest.mark.parametrize(("days", "stays"), [(6, True), (8, False)])
async def test_persona_goes_a_week_after_leaving(database: SQLiteEngine, path: Path, days: int, stays: bool) -> None:
    await database.write("INSERT INTO guilds (guild_id, left_at) VALUES (7, :at), (8, NULL)", at=1000 * DAY)
    store = Store(database, clock=lambda: (1000 + days) * DAY)
    await store.personas.set_persona(CHANNEL, 7, "Of the server left.")
    await store.personas.set_persona(OTHER, 8, "Of another.")
    await store.personas.set_persona(on_discord(4), None, "Of a chat.")
    await store.retention.prune(unused_days=0)
    kept = {Conversation(*row) for row in rows(path, "SELECT platform, channel FROM personas")}
    assert kept == {OTHER, on_discord(4)} | ({CHANNEL} if stays else set())

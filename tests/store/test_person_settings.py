"""What people chose about themselves: kept until they are forgotten, and no row for the defaults."""

from __future__ import annotations

from pathlib import Path

from bot.core.records import PersonSettings, Ping
from bot.core.turns import Prompt
from bot.store import Store
from tests.places import on_discord
from tests.store.steps import Clock, rows

BO, CLEO, DEE = 2**60 + 7, 2**60 + 8, 2**60 + 9
DAY = 24 * 3600


async def test_settings_are_each_users_own(store: Store, path: Path) -> None:
    settings = store.person_settings
    assert await settings.of(BO) == PersonSettings(leave_out=False, ping=Ping.AUTO)
    await settings.set_leave_out(BO, True)
    await settings.set_ping(BO, Ping.NEVER)
    await settings.set_ping(CLEO, Ping.ALWAYS)
    assert await settings.of(BO) == PersonSettings(leave_out=True, ping=Ping.NEVER)
    assert await settings.of(CLEO) == PersonSettings(leave_out=False, ping=Ping.ALWAYS)
    assert await settings.left_out([BO, CLEO, DEE]) == {BO}
    await settings.set_leave_out(BO, False)
    assert await settings.left_out([BO, CLEO, DEE]) == set()
    await settings.set_ping(BO, Ping.AUTO)
    assert rows(path, "SELECT user_id FROM person_settings") == [(CLEO,)], "no row for the defaults"


async def test_settings_go_with_forgetting_only(store: Store, clock: Clock) -> None:
    await store.person_settings.set_leave_out(BO, True)
    await store.person_settings.set_leave_out(CLEO, True)
    await store.turns.begin(Prompt(on_discord(1), 1, "Why?", BO))
    await store.retention.forget_conversation(on_discord(1))
    clock.now += 1000 * DAY
    await store.retention.prune(unused_days=90)
    assert await store.person_settings.left_out([BO, CLEO]) == {BO, CLEO}, "who is away long is not read again"
    assert not (await store.people.record_of(BO)).is_empty
    await store.people.forget(BO)
    assert (await store.people.record_of(BO)).is_empty
    assert await store.person_settings.left_out([BO, CLEO]) == {CLEO}

"""What the bot asks Discord behind the answers: it is bounded and paced, and no end of it silences anybody."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from bot.core.access import Servers
from bot.core.errors import DiscordError
from bot.standin.entities import User
from bot.standin.faults import ALWAYS, RateLimited, Slow
from bot.standin.limits import MESSAGES
from bot.standin.model import ModelStandin
from bot.standin.rest import Exchange
from bot.standin.script import Reply
from bot.standin.server import DiscordStandin
from tests.discord_bot.conftest import OPTIONS, Start, World, serving
from tests.discord_bot.people import MEMBERS, STRANGER, UNCLEAR, lookups

pytestmark = pytest.mark.virtual_time

AT_ONCE = 10
SEARCHED_AT_ONCE = 5
PER_SECOND = 50
"""Discord's limit for the whole bot."""


def strangers(discord: DiscordStandin, servers: int, people: int) -> list[User]:
    """People who are in none of the servers; of these there are so many more now."""
    for number in range(servers):
        discord.add_guild(f"Server {number}", discord.ada)
    return [discord.world.add_user(f"stranger{number}", f"Stranger {number}") for number in range(people)]


def asked_of_members(world: World) -> list[Exchange]:
    return world.discord.calls("GET", MEMBERS)


def most_under_way(calls: list[Exchange]) -> int:
    ends = [(call.answered, -1) for call in calls if call.answered is not None]
    under_way = most = 0
    for _, step in sorted([*((call.started, 1) for call in calls), *ends]):
        under_way += step
        most = max(most, under_way)
    return most


@pytest.mark.usefixtures("echo")
@pytest.mark.standin(rtt=0.05)
async def test_rate_limited_lookups_delay_nobody_else(serve: Start, discord: DiscordStandin) -> None:
    people = strangers(discord, 40, 20)
    async with serve() as world:
        limited = discord.faults.add(RateLimited(2.0, "global"), route=MEMBERS, times=3)
        for each in people:
            await world.ask("hello", discord.open_dm(each), each)
        await discord.wait_for(lambda: limited.hits)
        await world.ask("hello")
        await discord.wait_for(lambda: world.shown(discord.general) == ["To hello."], timeout=20)
        await discord.wait_for(lambda: all(world.shown(discord.open_dm(each)) for each in people), timeout=30)
        asked = asked_of_members(world)
        assert most_under_way(asked) <= AT_ONCE
        assert set(Counter(call.path for call in asked if call.fault is None).values()) == {1}, "nothing twice"
        seconds = [int(call.started - asked[0].started) for call in asked]
        # On a busy machine those under way may come in together.
        assert all(seconds.count(second) <= PER_SECOND + AT_ONCE for second in seconds)


@pytest.mark.usefixtures("echo")
async def test_hanging_lookups_are_few_and_count_as_unclear(
    serve: Start, discord: DiscordStandin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.discord_bot.access.members._MAX_PENDING", 30)
    people = strangers(discord, 40, 20)
    async with serve() as world:
        discord.faults.add(Slow(60.0), route=MEMBERS, times=ALWAYS)
        for each in people:
            await world.ask("hello", discord.open_dm(each), each)
        await world.until(lambda: asked_of_members(world))
        await world.ask("hello")
        await discord.wait_for(lambda: world.shown(discord.general) == ["To hello."])
        await discord.wait_for(lambda: all(world.shown(discord.open_dm(each)) for each in people), timeout=30)
        assert {word for each in people for word in world.shown(discord.open_dm(each))} == {UNCLEAR}
        assert len(asked_of_members(world)) <= AT_ONCE


@pytest.mark.usefixtures("echo")
async def test_stranger_is_looked_up_once(
    serve: Start, discord: DiscordStandin, monkeypatch: pytest.MonkeyPatch
) -> None:
    stranger, other = strangers(discord, 40, 2)
    monkeypatch.setattr("bot.discord_bot.access.members._CACHE_SIZE", 60)
    place = discord.open_dm(stranger)
    async with serve() as world:
        await world.ask_and_wait("hello", place, stranger)
        assert world.shown(place) == [STRANGER]
        await world.ask_and_wait("hello", discord.open_dm(other), other)
        assert len(asked_of_members(world)) == 2 * 41
        await world.ask_and_wait("again", place, stranger)
        assert len(asked_of_members(world)) == 2 * 41, "as one, not as somebody in each server"
        discord.world.add_member(discord.guild, stranger)
        await world.ask_and_wait("hello", discord.general, stranger)
        await world.ask_and_wait("and now?", place, stranger)
        assert world.shown(place)[-1].startswith("To and now?.")


@pytest.mark.usefixtures("echo")
@pytest.mark.standin(rtt=0.05)
async def test_member_of_the_smallest_of_many_servers_is_found(
    serve: Start, discord: DiscordStandin, eve: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.discord_bot.access.policy._SEARCH_TIMEOUT", 1.0)
    strangers(discord, 130, 0)
    for guild in list(discord.world.guilds.values()):
        discord.world.add_member(guild, discord.max)
    lonely = discord.add_guild("Lonely", eve)
    place = discord.open_dm(eve)
    async with serve(servers=Servers(any=True)) as world:
        await world.ask_and_wait("hello", place, eve)
        assert world.shown(place) == [UNCLEAR], "nobody waits for so many look-ups"
        await discord.wait_for(lambda: lookups(discord, lonely))
        assert len(asked_of_members(world)) == 132
        await world.ask_and_wait("hello", place, eve)
        assert world.shown(place)[-1].startswith("To hello.")
        await asyncio.sleep(3601)
        await world.ask_and_wait("still here?", place, eve)
        assert world.shown(place)[-1] == "To still here?."
        assert lookups(discord, lonely) == 2, "that is where she was seen"
        assert len(asked_of_members(world)) <= 132 + SEARCHED_AT_ONCE


@pytest.mark.usefixtures("echo")
async def test_stranger_to_many_servers_is_looked_up_the_more_seldom(
    serve: Start, discord: DiscordStandin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.discord_bot.access.shared_guilds._SECONDS_PER_LOOKUP", 100.0)
    [stranger] = strangers(discord, 40, 1)
    place = discord.open_dm(stranger)
    async with serve() as world:
        for seconds, searches in ((4000, 1), (200, 1), (0, 2)):
            await world.ask_and_wait("hello", place, stranger)
            assert len(asked_of_members(world)) == searches * 41
            await asyncio.sleep(seconds)
        assert set(world.shown(place)) == {STRANGER}


@pytest.mark.usefixtures("echo")
async def test_rate_limited_guild_delays_no_other(serve: Start, discord: DiscordStandin) -> None:
    people = strangers(discord, 0, AT_ONCE + 5)
    # The larger server is asked about first.
    stuck = discord.add_guild("Stuck", discord.ada)
    for each in (discord.max, discord.cleo, *people):
        discord.world.add_member(stuck, each)
    discord.faults.add(RateLimited(25.0), route=MEMBERS, when=lambda call: call.guild_id == stuck.id, times=ALWAYS)
    async with serve() as world:
        for each in people:
            await world.ask("hello", discord.open_dm(each), each)
        await world.until(lambda: len(asked_of_members(world)) > len(people))
        await world.ask("hello", discord.open_dm(discord.bo), discord.bo)
        await discord.wait_for(lambda: world.shown(discord.open_dm(discord.bo)), timeout=10)
        assert world.shown(discord.open_dm(discord.bo))[0].startswith("To hello.")


async def test_rate_limited_search_spares_the_last_edit(
    discord: DiscordStandin, model: ModelStandin, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.discord_bot.session_starts.IDENTIFY_EVERY", 0.1)
    async with start(options=replace(OPTIONS, grace=10.0)) as world:
        text = " ".join(f"word{number}" for number in range(40))
        model.script.append(Reply(text, tokens_per_second=20))
        await world.ask()
        message = await world.reply(discord.general, "word0")
        limited = discord.faults.add(RateLimited(1.0, "global"), method="GET", route=MESSAGES)
        await discord.gateway.invalidate()
        await discord.wait_for(lambda: limited.hits)
        assert message.content != text
    assert message.content == text


async def test_start_refused_for_an_hour_ends(discord: DiscordStandin, model: ModelStandin, tmp_path: Path) -> None:
    discord.faults.add(RateLimited(3600.0), route="/users/@me")

    async def served() -> None:
        async with asyncio.timeout(10), serving(discord, model, tmp_path / "parley.db", asyncio.Event()):
            await asyncio.sleep(10)

    with pytest.raises(ExceptionGroup) as failed:
        await served()
    assert failed.group_contains(DiscordError, match="accepts no requests from this bot for 3600 s")

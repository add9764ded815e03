"""What becomes of servers that invited the bot but are not served, as their people see it."""

from __future__ import annotations

import sqlite3
from collections import Counter
from pathlib import Path

import pytest

from bot.core.access import Servers
from bot.discord_bot.access import guilds, members, policy
from bot.discord_bot.access.members import MembershipStatus
from bot.standin.entities import Channel, Guild, Permission, User
from bot.standin.faults import ALWAYS, AUTOMOD, Call, ServerError, Slow
from bot.standin.server import DiscordStandin
from bot.store.guilds import GuildStore
from tests.discord_bot.conftest import Start, World
from tests.discord_bot.people import MEMBERS, NOT_HERE, lookups
from tests.store.steps import read_only
from tests.waiting import PATIENCE

pytestmark = [pytest.mark.usefixtures("echo"), pytest.mark.virtual_time]
DAY = 24 * 3600
POSTS = "/channels/{channel_id}/messages"


def look_back(database: Path, seconds: float) -> None:
    """Make what is on record of servers so much older."""
    with sqlite3.connect(database) as connection:
        connection.execute("UPDATE guilds SET refused_at = refused_at - ?", (seconds,))
    connection.close()


async def test_unserved_guild_is_left_after_a_day(
    serve: Start, discord: DiscordStandin, tmp_path: Path, eve: User
) -> None:
    async with serve() as world:
        elsewhere = discord.add_guild("Elsewhere", eve)
        await discord.wait_for(lambda: discord.bot_messages(discord.open_dm(eve)))
        [word] = world.shown(discord.open_dm(eve))
        assert word.startswith("Hi! I don't answer in this server yet: my owner has to allow it. Ask them to join")
        assert f"to add its id to SERVERS in my settings, as in `SERVERS=owner,{elsewhere.id}`. Otherwise" in word
        lobby = discord.add_channel("lobby", elsewhere)
    look_back(tmp_path / "parley.db", DAY - 60)
    async with serve() as world:
        await discord.wait_for(lambda: lookups(world.discord, elsewhere) == 2)
        await world.ask_and_wait("hello", lobby, eve)
    assert elsewhere.id in discord.world.guilds, "a day has not passed"
    look_back(tmp_path / "parley.db", 60)
    async with serve() as world:
        await discord.wait_for(lambda: elsewhere.id not in discord.world.guilds)
        assert discord.guild.id in discord.world.guilds
        await world.until(lambda: world.store.guilds.refused_at(elsewhere.id), None)
    assert len(world.shown(discord.open_dm(eve))) == 1, "it is said once"


async def test_channel_of_the_leaving_notice(serve: Start, discord: DiscordStandin, eve: User) -> None:
    elsewhere = discord.add_guild("Elsewhere", eve)
    closed, lobby, news = (discord.add_channel(name, elsewhere) for name in ("closed", "lobby", "news"))
    discord.deny(closed, Permission.SEND_MESSAGES)
    third = discord.add_guild("Third", eve)
    discord.add_channel("first", third)
    third.system_channel = discord.add_channel("system", third)
    async with serve(servers=Servers(ids=frozenset({discord.guild.id}))):
        await discord.wait_for(lambda: discord.bot_messages(lobby))
        [word] = [message.content for message in discord.bot_messages(lobby)]
        assert f"Ask them to add its id, `{elsewhere.id}`, to SERVERS" in word
        await discord.wait_for(lambda: third.system_channel and discord.bot_messages(third.system_channel))
    assert discord.bot_messages(news) == []
    assert all(each.status != 403 for each in discord.requests), "it is not tried where it may not be said"
    assert discord.bot_messages(discord.open_dm(eve)) == []


@pytest.mark.parametrize("everywhere", [False, True])
async def test_leaving_notice_avoids_channels_that_refuse_it(
    serve: Start, discord: DiscordStandin, tmp_path: Path, eve: User, everywhere: bool
) -> None:
    elsewhere = discord.add_guild("Elsewhere", eve)
    elsewhere.system_channel = system = discord.add_channel("system", elsewhere)
    lobby, direct = discord.add_channel("lobby", elsewhere), discord.open_dm(eve)

    def refused(call: Call) -> bool:
        return call.channel_id != direct.id if everywhere else call.channel_id == system.id

    discord.faults.add(AUTOMOD, method="POST", route=POSTS, when=refused, times=ALWAYS)
    async with serve() as world:
        await refusal(world, elsewhere)
        assert [len(world.shown(each)) for each in (system, lobby, direct)] == ([0, 0, 1] if everywhere else [0, 1, 0])
    look_back(tmp_path / "parley.db", DAY)
    async with serve():
        await discord.wait_for(lambda: elsewhere.id not in discord.world.guilds)


async def test_guild_that_accepts_no_notice_is_left_too(
    serve: Start, discord: DiscordStandin, elsewhere: Guild, lobby: Channel
) -> None:
    discord.faults.add(AUTOMOD, method="POST", route=POSTS, times=ALWAYS)
    async with serve() as world:
        await refusal(world, elsewhere)
    assert world.shown(lobby) == []


async def test_leaving_notice_is_not_repeated_when_unsaved(
    serve: Start, discord: DiscordStandin, eve: User, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(guilds, "_CHECK_EVERY", 0.02)
    async with serve() as world:
        async with read_only(world.store):
            elsewhere = discord.add_guild("Elsewhere", eve)
            await discord.wait_for(lambda: discord.bot_messages(discord.open_dm(eve)))
            has_to_wait = f"could not check whether server {elsewhere.id} is served, trying again later"
            await world.until(lambda: caplog.text.count(has_to_wait) >= 3)
        await refusal(world, elsewhere)
        assert len(world.shown(discord.open_dm(eve))) == 1


async def test_owners_are_asked_for_at_once_and_once_a_day(
    serve: Start, discord: DiscordStandin, eve: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guilds, "_CHECK_EVERY", 0.02)
    monkeypatch.setitem(members._CACHED_FOR, MembershipStatus.MEMBER, 0.0)
    monkeypatch.setattr(members, "LOOKUP_TIMEOUT", PATIENCE)
    monkeypatch.setattr(policy, "_SERVED_FOR", 0.0)
    friendly = [discord.add_guild(f"Friendly {number}", eve) for number in range(5)]
    for guild in friendly:
        discord.world.add_member(guild, discord.ada)
    checks = 0
    check_all = guilds.GuildWatch.check_all

    async def counted(watch: guilds.GuildWatch) -> None:
        nonlocal checks
        await check_all(watch)
        checks += 1

    def under_way() -> int:
        return len([call for call in discord.calls("GET", MEMBERS) if call.answered is None])

    monkeypatch.setattr(guilds.GuildWatch, "check_all", counted)
    async with serve() as world:
        await world.until(lambda: checks > 3)
        discord.faults.add(Slow(2.0), method="GET", route=MEMBERS, times=ALWAYS)
        await discord.wait_for(lambda: under_way() == len(friendly))
        monkeypatch.setattr(policy, "_SERVED_FOR", DAY)
        await discord.wait_for(lambda: under_way() == 0)
        asked, before = len(discord.calls("GET", MEMBERS)), checks
        await world.until(lambda: checks > before + 3)
        assert len(discord.calls("GET", MEMBERS)) == asked


async def test_many_servers_are_checked_once_and_leave_room_for_people(
    serve: Start, discord: DiscordStandin, eve: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(members, "_MAX_PENDING", 10)
    many = [discord.add_guild(f"Server {number}", eve) for number in range(60)]
    for guild in many[:-1]:
        discord.world.add_member(guild, discord.ada)
    slow = discord.faults.add(Slow(2.0), route=MEMBERS, when=lambda call: call.guild_id != discord.guild.id, times=30)
    queries: list[int] = []
    refused_at = GuildStore.refused_at

    async def counted(store: GuildStore, guild_id: int) -> int | None:
        queries.append(guild_id)
        return await refused_at(store, guild_id)

    def asked() -> Counter[str]:
        """How often each server was asked about the owner."""
        return Counter(call.path for call in discord.calls("GET", MEMBERS) if call.path.endswith(f"/{discord.ada.id}"))

    monkeypatch.setattr(GuildStore, "refused_at", counted)
    async with serve() as world:
        await discord.wait_for(lambda: slow.hits > 10)
        await world.ask_and_wait("hello", discord.open_dm(discord.bo), discord.bo)
        assert world.shown(discord.open_dm(discord.bo))[0].startswith("To hello.")
        await discord.wait_for(lambda: len(asked()) == len(many))
        assert set(asked().values()) == {1}
        await refusal(world, many[-1])
        assert set(queries) == {many[-1].id}


async def refusal(world: World, guild: Guild) -> None:
    """Until it is on record that a server was told that it is not served."""
    await world.until(lambda: world.store.guilds.refused_at(guild.id))


async def test_guild_served_by_then_is_kept(
    serve: Start, discord: DiscordStandin, tmp_path: Path, elsewhere: Guild, lobby: Channel
) -> None:
    async with serve():
        await discord.wait_for(lambda: discord.bot_messages(lobby))
    look_back(tmp_path / "parley.db", 2 * DAY)
    async with serve(servers=Servers(any=True)) as world:
        await world.until(lambda: world.store.guilds.refused_at(elsewhere.id), None)
    look_back(tmp_path / "parley.db", 2 * DAY)
    async with serve() as world:
        await discord.wait_for(lambda: len(discord.bot_messages(lobby)) == 2)
    assert elsewhere.id in discord.world.guilds, "from its next refusal on it is a day again"


async def test_guild_is_checked_again_before_leaving(
    serve: Start, discord: DiscordStandin, tmp_path: Path, elsewhere: Guild, lobby: Channel, eve: User
) -> None:
    async with serve():
        await discord.wait_for(lambda: discord.bot_messages(lobby))
    look_back(tmp_path / "parley.db", DAY)
    asked = [0]

    def second(_: object) -> bool:
        asked[0] += 1
        return asked[0] > 1

    discord.faults.add(ServerError(503), route=MEMBERS, when=second, times=ALWAYS)
    async with serve() as world:
        await discord.wait_for(lambda: lookups(world.discord, elsewhere) == 3)
        await world.ask_and_wait("hello", lobby, eve)
        assert world.shown(lobby)[-1] == NOT_HERE, "of what was said before nothing is taken back"
    assert elsewhere.id in discord.world.guilds

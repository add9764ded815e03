"""Several shards: who gets what, when a session may start, and which ones a fault strikes."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import discord
import pytest

from bot.discord_bot.endpoint import connect_to
from bot.standin.entities import Guild
from bot.standin.gateway import Gateway
from bot.standin.server import DiscordStandin
from bot.standin.sessions import Op
from bot.standin.sharding import SessionStarts, Sharding, shard_of
from tests.standin.conftest import UNPRIVILEGED, Open
from tests.waiting import PATIENCE

AT_ONCE = Sharding(identify_every=0.0)
GUILDS_AND_MESSAGES = 1 << 0 | 1 << 9 | 1 << 12


class Socket:
    """A connection to the gateway, without a client."""

    def __init__(self, standin: DiscordStandin, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._token = standin.token
        self.socket = socket

    async def identify(self, *shard: int) -> Any:
        """The answer to IDENTIFY: READY, another frame, or the code with which the connection was closed."""
        data = {"token": self._token, "intents": GUILDS_AND_MESSAGES, "properties": {}, "shard": shard}
        await self.send(Op.IDENTIFY, data)
        return await self.receive()

    async def resume(self, ready: Any) -> Any:
        data = {"token": self._token, "session_id": ready["d"]["session_id"], "seq": ready["s"]}
        await self.send(Op.RESUME, data)
        return await self.receive()

    async def send(self, op: Op, data: Any) -> None:
        await self.socket.send_json({"op": op, "d": data})

    async def receive(self) -> Any:
        message = await self.socket.receive(PATIENCE)
        return message.json() if message.type is aiohttp.WSMsgType.TEXT else self.socket.close_code

    async def next(self, name: str) -> Any:
        """The data of the next event with this name. The client's own waiting ends the wait for one that is lost."""
        while (frame := await self.receive())["t"] != name:
            pass
        return frame["d"]


Dial = Callable[[DiscordStandin], Awaitable[Socket]]


@pytest.fixture
async def dial(http: aiohttp.ClientSession) -> AsyncIterator[Dial]:
    """Connect to a stand-in's gateway, up to its HELLO."""
    async with AsyncExitStack() as stack:

        async def dial(standin: DiscordStandin) -> Socket:
            socket = Socket(standin, await stack.enter_async_context(http.ws_connect(standin.gateway_url)))
            assert (await socket.receive())["op"] == Op.HELLO
            return socket

        yield dial


async def gateway_bot(standin: DiscordStandin, http: aiohttp.ClientSession) -> Any:
    headers = {"Authorization": f"Bot {standin.token}"}
    async with http.get(f"{standin.url}/gateway/bot", headers=headers) as answer:
        assert answer.status == 200
        return await answer.json()


def add_guilds(standin: DiscordStandin, total: int) -> list[Guild]:
    """Servers with one, two or three channels, so that there are `total`."""
    for number in range(total - len(standin.world.guilds)):
        guild = standin.add_guild(f"Server {number}")
        for channel in range(1 + number % 3):
            standin.add_channel(f"channel-{channel}", guild)
    return list(standin.world.guilds.values())


async def test_guilds_spread_over_any_number_of_shards(standin: DiscordStandin) -> None:
    ids = [guild.id for guild in add_guilds(standin, 60)]
    others = [*standin.world.users, *standin.world.channels]
    assert ids == sorted({*ids} - {*others}), "ids are unique and grow with time"
    assert 2015 < discord.utils.snowflake_time(ids[0]).year < 2025
    for count in (2, 3, 4, 5, 6):
        assert set(Counter(shard_of(id_, count) for id_ in ids).values()) == {60 // count}


class Sharded(discord.AutoShardedClient):
    def __init__(self) -> None:
        super().__init__(intents=UNPRIVILEGED, shard_count=3, guild_ready_timeout=0)
        self.heard: list[discord.Message] = []

    async def before_identify_hook(self, shard_id: int | None, *, initial: bool = False) -> None:
        """Do not wait 5 s."""

    async def on_message(self, message: discord.Message) -> None:
        self.heard.append(message)


async def test_client_with_shards_hears_every_guild_and_dms(open_standin: Open) -> None:
    standin = await open_standin(sharding=Sharding(max_concurrency=3))
    guilds = add_guilds(standin, 7)
    with connect_to(standin.url, standin.gateway_url, standin.cdn_url):
        async with Sharded() as client:
            running = asyncio.create_task(client.start(standin.token))
            await standin.ready()
            await asyncio.wait_for(client.wait_until_ready(), PATIENCE)
            assert standin.gateway.shards == {(0, 3), (1, 3), (2, 3)}
            assert {guild.id: guild.shard_id for guild in client.guilds} == {
                guild.id: shard_of(guild.id, 3) for guild in guilds
            }
            for guild in guilds:
                place = next(each for each in standin.world.channels.values() if each.guild is guild)
                await standin.say(place, standin.ada, f"{standin.bot.mention} {guild.name}")
            await standin.say(standin.open_dm(standin.bo), standin.bo, "privately")
            async with asyncio.timeout(PATIENCE):
                while len(client.heard) < 8:
                    await asyncio.sleep(0.005)
            assert Counter(message.guild.id if message.guild else None for message in client.heard) == Counter(
                [None, *(guild.id for guild in guilds)]
            ), "each once"
            await client.close()
            await running
    assert standin.gateway.starts.too_early == 0


async def test_shard_is_told_of_its_guilds_only(open_standin: Open, dial: Dial) -> None:
    standin = await open_standin(sharding=AT_ONCE)
    guilds = add_guilds(standin, 6)
    for shard in range(3):
        socket = await dial(standin)
        ready = (await socket.identify(shard, 3))["d"]
        assert ready["shard"] == [shard, 3]
        own, other = ([each for each in guilds if (shard_of(each.id, 3) == shard) is yes] for yes in (True, False))
        assert {int(each["id"]) for each in ready["guilds"]} == {each.id for each in own}
        assert {int((await socket.next("GUILD_CREATE"))["id"]) for _ in own} == {each.id for each in own}
        await socket.send(Op.REQUEST_MEMBERS, {"guild_id": str(other[0].id), "query": "", "limit": 0})
        await socket.send(Op.REQUEST_MEMBERS, {"guild_id": str(own[0].id), "query": "", "limit": 0})
        assert (await socket.receive())["d"]["guild_id"] == str(own[0].id), "the other shard's guild is unknown here"


@pytest.mark.parametrize("shard", [(3, 3), (-1, 2), (0, 0)])
async def test_shard_that_cannot_be_is_refused(shard: tuple[int, int], standin: DiscordStandin, dial: Dial) -> None:
    assert await (await dial(standin)).identify(*shard) == 4010


async def test_sessions_of_one_shard_and_of_other_counts_each_get_the_events(open_standin: Open, dial: Dial) -> None:
    standin = await open_standin(sharding=AT_ONCE)
    home = standin.guild.id
    sockets = []
    for count in (1, 1, 2):
        sockets.append(await dial(standin))
        await sockets[-1].identify(shard_of(home, count), count)
    await standin.say(standin.general, standin.bo, "for all")
    assert len({(await socket.next("MESSAGE_CREATE"))["id"] for socket in sockets}) == 1
    assert standin.gateway.connected


# When a session may start


async def test_identify_too_early_in_its_bucket_is_an_invalid_session(open_standin: Open, dial: Dial) -> None:
    standin = await open_standin(sharding=Sharding(max_concurrency=2, identify_every=3600.0))
    answers = [(await (await dial(standin)).identify(shard, 4)) for shard in (0, 1, 2, 3)]
    assert [(each["t"], each["op"], each["d"] is False) for each in answers] == [
        ("READY", Op.DISPATCH, False),
        ("READY", Op.DISPATCH, False),
        (None, Op.INVALID_SESSION, True),
        (None, Op.INVALID_SESSION, True),
    ]
    assert standin.gateway.starts.too_early == 2
    assert not standin.gateway.connected, "two of four are missing"


def test_session_starts_come_back() -> None:
    now = 100.0
    starts = SessionStarts(Sharding(session_starts=3, session_starts_reset=60.0), lambda: now)
    assert (starts.remaining, starts.reset_after) == (3, 0.0)
    assert starts.take(0)
    now += 4.9
    assert not starts.take(0)
    now += 0.1
    assert starts.take(0), "5 s after the one that counted"
    assert (starts.remaining, starts.reset_after, starts.too_early) == (0, 55.0, 1)
    now += 55.0
    assert (starts.remaining, starts.reset_after) == (3, 0.0)
    assert starts.take(0)
    assert (starts.remaining, starts.reset_after) == (2, 60.0)


async def test_too_many_session_starts_reset_the_token(
    open_standin: Open, dial: Dial, http: aiohttp.ClientSession
) -> None:
    standin = await open_standin(
        sharding=Sharding(session_starts=2, session_starts_reset=3600.0, identify_every=0.0, max_concurrency=16)
    )
    limits = [(await gateway_bot(standin, http))["session_start_limit"]]
    sockets = []
    for _ in range(2):
        sockets.append(await dial(standin))
        assert (await sockets[-1].identify(0, 1))["t"] == "READY"
        limits.append((await gateway_bot(standin, http))["session_start_limit"])
    assert [each["remaining"] for each in limits] == [2, 1, 0]
    assert {(each["total"], each["max_concurrency"]) for each in limits} == {(2, 16)}
    assert 0 < limits[-1]["reset_after"] <= 3_600_000

    old = standin.token
    assert await (await dial(standin)).identify(0, 1) == 4004
    for socket in sockets:
        await socket.next("GUILD_CREATE")
        assert await socket.receive() == 4004, "its session has ended too"
    async with http.get(f"{standin.url}/gateway/bot", headers={"Authorization": f"Bot {old}"}) as answer:
        assert answer.status == 401
    assert (await gateway_bot(standin, http))["session_start_limit"]["remaining"] == 0


@pytest.mark.parametrize(
    ("guilds", "per_shard", "shards"), [(1, 2500, 1), (1000, 2500, 1), (1001, 2500, 2), (7, 3, 3), (9, 3, 3)]
)
async def test_recommended_shards_follow_the_guilds(
    guilds: int, per_shard: int, shards: int, open_standin: Open, http: aiohttp.ClientSession
) -> None:
    standin = await open_standin(sharding=Sharding(guilds_per_shard=per_shard))
    for number in range(1, guilds):
        standin.add_guild(f"Server {number}")
    assert (await gateway_bot(standin, http))["shards"] == shards


async def test_shard_with_too_many_guilds_is_refused_and_closed(open_standin: Open, dial: Dial) -> None:
    standin = await open_standin(sharding=Sharding(guilds_per_shard=3, identify_every=0.0))
    add_guilds(standin, 4)
    assert await (await dial(standin)).identify(0, 1) == 4011
    sockets = [await dial(standin), await dial(standin)]
    greetings = [await socket.identify(shard, 2) for shard, socket in enumerate(sockets)]
    assert [each["t"] for each in greetings] == ["READY", "READY"]
    # One server more for each, and then one too many for one of them.
    add_guilds(standin, 7)
    full = shard_of(list(standin.world.guilds)[-1], 2)
    for _ in range(4):
        await sockets[full].next("GUILD_CREATE")
    while isinstance(closed := await sockets[full].receive(), dict):
        pass
    assert closed == 4011
    assert standin.gateway.shards == {(1 - full, 2)}
    assert (await (await dial(standin)).resume(greetings[full]))["op"] == Op.INVALID_SESSION
    assert await (await dial(standin)).identify(full, 2) == 4011
    assert (await (await dial(standin)).identify(full, 3))["t"] == "READY"


# Faults of one shard


@pytest.mark.parametrize(
    ("fault", "seen", "resumable"),
    [
        (lambda gateway: gateway.drop(shard=1), aiohttp.WSCloseCode.ABNORMAL_CLOSURE, True),
        (lambda gateway: gateway.drop(4000, shard=1), 4000, True),
        (lambda gateway: gateway.reconnect(shard=1), Op.RECONNECT, True),
        (lambda gateway: gateway.invalidate(shard=1, resumable=True), Op.INVALID_SESSION, True),
        (lambda gateway: gateway.invalidate(shard=1), Op.INVALID_SESSION, False),
    ],
    ids=["cut", "closed", "reconnect", "resumable", "invalid"],
)
async def test_fault_strikes_one_shard(
    fault: Callable[[Gateway], Coroutine[Any, Any, None]], seen: int, resumable: bool, open_standin: Open, dial: Dial
) -> None:
    standin = await open_standin(sharding=AT_ONCE)
    struck, other = await dial(standin), await dial(standin)
    ready = await struck.identify(1, 2)
    await other.identify(0, 2)
    assert standin.gateway.shards == {(0, 2), (1, 2)}
    striking = asyncio.create_task(fault(standin.gateway))
    while isinstance(frame := await struck.receive(), dict) and frame["op"] == Op.DISPATCH:
        pass
    assert (frame["op"] if isinstance(frame, dict) else frame) == seen
    await struck.socket.close(code=4000)
    await striking
    assert standin.gateway.shards == {(0, 2)}
    again = await (await dial(standin)).resume(ready)
    assert (again["op"] != Op.INVALID_SESSION) is resumable
    await standin.say(standin.open_dm(standin.bo), standin.bo, "still there?")
    assert (await other.next("MESSAGE_CREATE"))["content"] == "still there?"


async def test_outage_of_one_shard(open_standin: Open, dial: Dial) -> None:
    standin = await open_standin(sharding=AT_ONCE)
    home = standin.guild.id
    down, up = shard_of(home, 2), 1 - shard_of(home, 2)
    sockets = {shard: await dial(standin) for shard in (down, up)}
    readies = {shard: await sockets[shard].identify(shard, 2) for shard in sockets}
    await sockets[down].next("GUILD_CREATE")
    ready = readies[down] | {"s": 2}
    async with standin.gateway.outage(shard=down):
        assert standin.gateway.shards == {(up, 2)}
        await standin.say(standin.general, standin.bo, "missed?")
        waiting = asyncio.create_task((await dial(standin)).resume(ready))
        assert (await (await dial(standin)).resume(readies[up]))["t"] == "RESUMED", "the other one is answered"
        assert not waiting.done()
    assert (await waiting)["d"]["content"] == ""
    assert standin.gateway.shards == {(0, 2), (1, 2)}


async def test_forgotten_session_of_one_shard_cannot_be_resumed(open_standin: Open, dial: Dial) -> None:
    standin = await open_standin(sharding=AT_ONCE)
    readies = {shard: await (await dial(standin)).identify(shard, 2) for shard in range(2)}
    standin.gateway.forget_sessions(shard=1)
    answers = {shard: (await (await dial(standin)).resume(readies[shard]))["op"] for shard in readies}
    assert answers == {0: Op.DISPATCH, 1: Op.INVALID_SESSION}

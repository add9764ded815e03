"""The bot on several shards: what is each one's alone, what ends a start or a session, and growing past them."""

from __future__ import annotations

import asyncio
import re
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from bot.core.channel_settings import WithoutMention
from bot.core.errors import DiscordError
from bot.core.shards import Shards
from bot.discord_bot.endpoint import connect_to
from bot.discord_bot.shards import Connections
from bot.operator.health import read_health
from bot.standin.entities import Channel, Intent
from bot.standin.faults import ALWAYS, Answered, Garbled, RestAction
from bot.standin.model import ModelStandin
from bot.standin.script import Reply
from bot.standin.server import DiscordStandin
from bot.standin.sessions import Close, Connection, Frame, Op
from bot.standin.sharding import Sharding, shard_of
from bot.store.sqlite import open_store
from tests.discord_bot.conftest import OPTIONS, Start, World, identified, one_and_three_shards
from tests.discord_bot.inbound.leftovers import leave
from tests.discord_bot.people import shown
from tests.waiting import until

pytestmark = [pytest.mark.usefixtures("echo"), pytest.mark.virtual_time]
on_three = pytest.mark.parametrize("shards", [3], indirect=True)
MESSAGES = "/channels/{channel_id}/messages"
ROOMY = Sharding(identify_every=0.0, max_concurrency=16)
ODD: dict[str, RestAction] = {
    "a page": Answered(200, b"<html>", "text/html"),
    "broken JSON": Answered(200, b"{"),
    "nothing": Garbled(lambda _: {}),
    "a list": Garbled(lambda _: []),
    "no number": Garbled(lambda told: {**told, "shards": None}),
    "no limits": Garbled(lambda told: {**told, "session_start_limit": None}),
}
odd_answers = pytest.mark.parametrize("odd", ODD.values(), ids=ODD)


@pytest.fixture
def places(discord: DiscordStandin) -> list[Channel]:
    """A direct message, #general, and a channel of another server: on the shards 0, 1 and 2 of three."""
    other = discord.add_guild("Other")
    discord.world.add_member(other, discord.bo)
    found = [discord.open_dm(discord.bo), discord.general, discord.add_channel("lobby", other)]
    assert [shard_of(place.guild.id if place.guild else None, 3) for place in found] == [0, 1, 2]
    return found


def read_places(discord: DiscordStandin) -> set[int]:
    """The channels whose messages the bot has read."""
    return {int(call.path.split("/")[4]) for call in discord.calls("GET", MESSAGES)}


async def refusal(start: Start, **how: Any) -> str:
    """What ends a bot that is started."""
    with pytest.raises(ExceptionGroup) as failed:
        async with start(**how):
            await asyncio.sleep(60)
    [error] = failed.value.exceptions
    assert isinstance(error, DiscordError)
    return str(error)


# Each shard for itself


@on_three
async def test_every_shard_answers(discord: DiscordStandin, places: list[Channel], world: World) -> None:
    assert discord.gateway.shards == {(0, 3), (1, 3), (2, 3)}
    for place in places:
        assert (await world.answered("hello", place)).content.startswith("To hello.")


@on_three
@pytest.mark.parametrize("resumable", [True, False])
async def test_shard_that_is_down_is_named_and_catches_up_alone(
    discord: DiscordStandin,
    places: list[Channel],
    world: World,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    resumable: bool,
) -> None:
    monkeypatch.setattr("bot.operator.health.INTERVAL", 0.01)

    async def discord_is(told: str, *, well: bool) -> bool:
        report = await read_health(tmp_path / "parley.db")
        return report.well is well and re.match(f"Discord: {told}\n", report.text) is not None

    for place in places:
        await world.answered("hello", place)
    discord.requests.clear()
    async with discord.gateway.outage(shard=2):
        missed = await world.ask("anybody?", places[2])
        if not resumable:
            discord.gateway.forget_sessions(shard=2)
        for place in places[:2]:
            assert (await world.answered("and now?", place)).content.startswith("To and now?.")
        await world.until(partial(discord_is, r"2 of 3 shards connected; shard 2 away for \d+ s\.", well=False))
        assert len(shown(discord, places[2])) == 1
    answer = await world.reply(places[2], "To anybody?.", count=2)
    assert answer.reply_to is missed
    await world.until(partial(discord_is, r"connected\.", well=True))
    await world.idle()
    assert read_places(discord) == (set() if resumable else {places[2].id})
    assert [len(shown(discord, place)) for place in places] == [2, 2, 2]


@on_three
async def test_recovery_and_direct_messages_wait_for_their_shards(
    discord: DiscordStandin, model: ModelStandin, places: list[Channel], start: Start, file: Path
) -> None:
    for place in places:
        await leave(discord, file, "Half of it", channel=place)
    model.default = Reply("The whole answer.")
    # She is only in the server whose shard is away, and has never asked anything.
    stranger = discord.world.add_user("dora")
    other = places[2].guild
    assert other is not None
    discord.world.add_member(other, stranger)
    over = asyncio.Event()

    async def served() -> None:
        async with start() as world:
            await over.wait()
            await world.idle()

    async with asyncio.TaskGroup() as tasks:
        async with discord.gateway.outage(shard=2):
            tasks.create_task(served())
            await discord.wait_for(lambda: [shown(discord, each) for each in places[:2]] == [["The whole answer."]] * 2)
            await discord.say(discord.open_dm(stranger), stranger, "hello?")
            await asyncio.sleep(8)
            assert shown(discord, places[2]) == ["Half of it"]
            assert shown(discord, discord.open_dm(stranger)) == []
        await discord.wait_for(lambda: shown(discord, places[2]) == ["The whole answer."])
        # Under it may stand that the bot remembers this chat.
        direct = discord.open_dm(stranger)
        await discord.wait_for(
            lambda: [each.split("\n")[0] for each in shown(discord, direct)] == ["The whole answer."]
        )
        over.set()


@on_three
async def test_servers_of_a_shard_that_is_still_to_come_do_not_count_as_left(
    discord: DiscordStandin, places: list[Channel], start: Start, file: Path
) -> None:
    async with start() as world:
        for place in places:
            await world.answered("hello", place)
    over = asyncio.Event()

    async def served() -> None:
        async with start():
            await over.wait()

    async def left() -> list[int]:
        async with open_store(file, exclusive=False) as store:
            rows = await store.engine.read("SELECT guild_id FROM conversations WHERE left_at IS NOT NULL")
            return [row["guild_id"] for row in rows]

    async with asyncio.TaskGroup() as tasks:
        async with discord.gateway.outage(shard=2):
            tasks.create_task(served())
            await discord.wait_for(lambda: {(0, 3), (1, 3)} <= discord.gateway.shards)
            discord.add_guild("Third")
            await asyncio.sleep(5)
            assert await left() == []
        await discord.wait_for(lambda: (2, 3) in discord.gateway.shards)
        over.set()
    assert await left() == []


@on_three
async def test_server_that_was_left_while_its_shard_was_away_is_noticed(
    discord: DiscordStandin, places: list[Channel], world: World
) -> None:
    for place in places:
        await world.answered("hello", place)
    other = places[2].guild
    assert other is not None
    async with discord.gateway.outage(shard=2):
        discord.gateway.forget_sessions(shard=2)
        del discord.world.guilds[other.id]

    async def left() -> list[int]:
        rows = await world.store.engine.read("SELECT guild_id FROM conversations WHERE left_at IS NOT NULL")
        return [row["guild_id"] for row in rows]

    await world.until(left, [other.id])


@pytest.mark.standin(
    privileged=Intent.MESSAGE_CONTENT,
    sharding=Sharding(least_recommended=3, identify_every=0.0, max_concurrency=16),
)
async def test_session_of_one_shard_changes_nothing_in_the_servers_of_others(
    discord: DiscordStandin, places: list[Channel], start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with start(options=replace(OPTIONS, message_content=True)) as world:
        for place in places[1:]:
            assert place.guild is not None
            await world.store.channel_settings.change(
                place.guild.id, place.id, by=discord.ada.id, without_mention=WithoutMention.ALL, recent=10
            )
            await world.store.channel_settings.of(place.guild.id, place.id)
        # What was written within a second of the choice may have been before it.
        monkeypatch.setattr(discord.world, "wall", lambda: time.time() + 5)
        await world.answered("hello", places[1])
        discord.requests.clear()
        async with discord.gateway.outage(shard=2):
            discord.gateway.forget_sessions(shard=2)
            missed = await discord.say(places[2], discord.bo, "anybody?")
            # A newer message on another shard says nothing of what came to this one.
            await discord.say(places[1], discord.bo, f"{discord.cleo.mention} are you there?")
            await asyncio.sleep(1)
        answer = await world.reply(places[2], "To anybody?.")
        assert answer.reply_to is missed
        await world.answered("and here?", places[1])
        assert "are you there?" in str(world.model.requests[-1].messages[-1]["content"])
        assert places[1].id not in read_places(discord), "what is remembered there is still known"


# What ends the start


@one_and_three_shards
@pytest.mark.parametrize(
    ("address", "reason"),
    [("ws://127.0.0.1:9/", "connection refused"), ("{gateway}/nothing", "it refused the connection (404)")],
)
async def test_gateway_that_cannot_be_reached_ends_the_start(
    discord: DiscordStandin, start: Start, address: str, reason: str
) -> None:
    with connect_to(discord.url, address.format(gateway=discord.gateway_url), discord.cdn_url):
        told = await refusal(start)
    assert told.startswith("Discord cannot be reached. ")
    assert told.endswith(f"The reason: {reason}.")
    assert discord.gateway.identifies == 0


@one_and_three_shards
async def test_gateway_that_closes_every_connection_ends_the_start(discord: DiscordStandin, start: Start) -> None:
    closing: list[asyncio.Task[None]] = []

    def close(frame: Frame) -> None:
        if frame.name == "HELLO":
            closing.append(asyncio.create_task(discord.gateway.drop(4000)))

    discord.gateway.on_frame.append(close)
    assert (await refusal(start)).startswith("Discord cannot be reached. ")


@on_three
@pytest.mark.parametrize("shard", [0, 2])
@pytest.mark.parametrize(
    ("close", "told"),
    [
        (Close.AUTHENTICATION_FAILED, "Discord refused DISCORD_TOKEN."),
        (Close.DISALLOWED_INTENTS, "Discord refused the bot's intents"),
    ],
)
async def test_refusal_of_any_shard_ends_the_bot(
    discord: DiscordStandin, start: Start, shard: int, close: Close, told: str
) -> None:
    closing: list[asyncio.Task[None]] = []

    def refuse(frame: Frame) -> None:
        if frame.name == "READY" and frame.data["shard"][0] == shard:
            closing.append(asyncio.create_task(discord.gateway.drop(close, shard=shard)))

    discord.gateway.on_frame.append(refuse)
    assert (await refusal(start)).startswith(told)
    assert discord.gateway.identifies <= 3


@odd_answers
async def test_odd_answer_about_the_gateway_ends_the_start(
    discord: DiscordStandin, start: Start, odd: RestAction
) -> None:
    discord.faults.add(odd, method="GET", route="/gateway/bot", times=ALWAYS)
    assert (await refusal(start)).startswith("Discord cannot be reached. ")


@odd_answers
async def test_odd_answer_about_the_gateway_ends_no_bot_that_serves(
    discord: DiscordStandin, start: Start, monkeypatch: pytest.MonkeyPatch, odd: RestAction
) -> None:
    monkeypatch.setattr("bot.discord_bot.gateway.DAY", 10)
    async with start() as world:
        discord.faults.add(odd, method="GET", route="/gateway/bot", times=ALWAYS)
        await asyncio.sleep(25)
        await world.answered("hello")


# What a shard comes back from


@pytest.mark.standin(sharding=ROOMY)
@pytest.mark.parametrize("code", [1006, 4000, 4003, 4007, 4009])
async def test_session_that_cannot_be_resumed_is_given_up(
    discord: DiscordStandin, start: Start, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """Its gateway is gone (1006), or closes each connection on which it is to be resumed."""
    if code == 1006:
        monkeypatch.setattr(discord.gateway, "_resume_url", lambda: "ws://127.0.0.1:9")
    else:
        monkeypatch.setattr(discord.gateway, "_resume", lambda connection, _: connection.close(code))
    async with start() as world:
        await discord.gateway.drop()
        missed = await world.ask("anybody?")
        await asyncio.sleep(400)
        assert (await world.reply(discord.general, "To anybody?.")).reply_to is missed
        assert discord.gateway.identifies == 2


@pytest.mark.standin(sharding=ROOMY)
@pytest.mark.parametrize("request_", ["identify", "resume"])
async def test_session_of_which_nothing_comes_is_asked_for_again(
    discord: DiscordStandin, start: Start, monkeypatch: pytest.MonkeyPatch, request_: str
) -> None:
    """Heartbeats are still acknowledged."""
    ignored: list[asyncio.Task[None]] = []

    async def beat(connection: Connection) -> None:
        for _ in range(20):
            connection.send(Op.HEARTBEAT_ACK, None)
            await asyncio.sleep(30)

    async with start() as world:
        with monkeypatch.context() as silent:
            silent.setattr(
                discord.gateway,
                f"_{request_}",
                lambda connection, _: ignored.append(asyncio.create_task(beat(connection))),
            )
            await (discord.gateway.invalidate() if request_ == "identify" else discord.gateway.drop())
            await asyncio.sleep(60)
        await asyncio.sleep(300)
        assert len(ignored) == 1
        await world.answered("hello")


@pytest.mark.standin(sharding=Sharding(max_concurrency=16))
async def test_new_sessions_that_are_refused_are_asked_for_more_and_more_seldom(
    discord: DiscordStandin, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = identified(discord)
    async with start() as world:
        with monkeypatch.context() as refusing:
            refusing.setattr(discord.gateway.starts, "take", lambda _: False)
            await discord.gateway.invalidate()
            await asyncio.sleep(1800)
            refused = len(times) - 1
        await asyncio.sleep(120)
        await world.answered("hello")
    assert 10 < refused < 1800 / 10


# Growing


@pytest.mark.standin(sharding=Sharding(guilds_per_shard=2, identify_every=0.0, max_concurrency=16))
@pytest.mark.parametrize("fixed", [None, 1])
async def test_more_shards_are_connected_while_a_reply_is_written(
    discord: DiscordStandin, start: Start, caplog: pytest.LogCaptureFixture, fixed: int | None
) -> None:
    discord.add_guild("Second")
    async with start(options=replace(OPTIONS, shards=fixed)) as world:
        assert discord.gateway.shards == {(0, 1)}
        words = " ".join(f"word{number}" for number in range(200))
        world.model.script.append(Reply(words, tokens_per_second=20))
        await world.ask("tell me")
        message = await world.reply(discord.general, "word0")
        third = discord.add_guild("Third")
        quiet = discord.add_channel("quiet", third)
        missed = await world.ask("anybody?", quiet, discord.ada)
        await discord.wait_for(lambda: discord.gateway.shards == {(0, 2), (1, 2)})
        assert "word199" not in message.content
        assert (await world.reply(quiet, "To anybody?.")).reply_to is missed
        await world.answered("and here?", discord.random_channel)
        await world.idle()
        assert message.content == words
        assert len(world.model.requests) == 3
    assert discord.gateway.starts.too_early == 0
    assert ("more shards than SHARDS=1: set SHARDS=auto, or SHARDS=2" in caplog.text) is (fixed is not None)


@pytest.mark.standin(sharding=Sharding(guilds_per_shard=2, identify_every=0.0, max_concurrency=16))
async def test_number_that_is_too_small_is_raised_at_the_start(
    discord: DiscordStandin, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("Second", "Third"):
        discord.add_guild(name)
    async with start(options=replace(OPTIONS, shards=1)) as world:
        assert discord.gateway.shards == {(0, 2), (1, 2)}
        await world.answered("hello")
    assert "more shards than SHARDS=1: set SHARDS=auto, or SHARDS=2" in caplog.text


@pytest.mark.standin(
    sharding=Sharding(guilds_per_shard=1, session_starts=2, session_starts_reset=3600, max_concurrency=16)
)
async def test_shards_go_on_until_more_of_them_may_be_started(
    discord: DiscordStandin, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    place = discord.add_channel("here", discord.add_guild("Second"))

    async def served() -> None:
        async with start() as world:
            discord.add_guild("Third")
            await world.until(lambda: "only 0 more times, and 3 are needed" in caplog.text)
            assert discord.gateway.shards == {(1, 2)}
            await world.answered("hello", place, discord.ada)
            await discord.gateway.drop(Close.AUTHENTICATION_FAILED, shard=1)
            await asyncio.sleep(60)

    with pytest.raises(ExceptionGroup) as failed:
        await served()
    assert failed.group_contains(DiscordError, match="Discord refused DISCORD_TOKEN")


@pytest.mark.standin(sharding=Sharding(guilds_per_shard=1, identify_every=0.0, max_concurrency=16))
async def test_too_few_shards_of_several_processes_are_a_sentence(discord: DiscordStandin, start: Start) -> None:
    for number in range(2):
        discord.add_guild(f"Server {number}")
    full = next(id_ for id_ in (0, 1) if sum(shard_of(each, 2) == id_ for each in discord.world.guilds) > 1)
    told = await refusal(start, options=replace(OPTIONS, shards=Shards((full,), 2)))
    assert told == (
        "Discord requires more than 2 shards. Stop all processes, and set a larger number of shards in SHARDS of each,"
        " such as 1/4."
    )


@pytest.mark.standin(sharding=Sharding(least_recommended=1, identify_every=0.0, max_concurrency=16))
async def test_shard_that_is_nearly_full_is_relieved_within_a_day(
    discord: DiscordStandin, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.discord_bot.gateway.NEARLY_FULL", 2)
    monkeypatch.setattr("bot.discord_bot.gateway.DAY", 10)
    async with start() as world:
        monkeypatch.setattr(Sharding, "recommended", lambda *_: 2)
        discord.add_guild("Second")
        await asyncio.sleep(25)
        assert discord.gateway.shards == {(0, 1)}
        discord.add_guild("Third")
        await discord.wait_for(lambda: discord.gateway.shards == {(0, 2), (1, 2)})
        await world.answered("hello again")


@pytest.mark.standin(sharding=ROOMY)
async def test_three_shards_serve_5001_servers(discord: DiscordStandin, start: Start) -> None:
    for number in range(5000):
        discord.add_guild(f"Server {number}")
    places = [
        discord.add_channel(f"place {number}", guild)
        for number, guild in enumerate(list(discord.world.guilds.values())[-3:])
    ]
    async with start(options=replace(OPTIONS, shards=3)) as world:
        for place in places:
            await world.answered("hello", place, discord.ada)
    assert discord.gateway.starts.too_early == 0


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

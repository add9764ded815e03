"""Sessions: logging in, losing the connection, and which messages' content comes through."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import aiohttp
import discord
import pytest

from bot.discord_bot.endpoint import connect_to
from bot.standin.entities import Intent, Permission
from bot.standin.server import DiscordStandin
from bot.standin.sharding import Sharding
from tests.standin.conftest import UNPRIVILEGED, Client, Connect, Open
from tests.waiting import PATIENCE

WITH_CONTENT = discord.Intents(guilds=True, guild_messages=True, dm_messages=True, message_content=True)


async def test_client_finds_its_guild(standin: DiscordStandin, client: Client) -> None:
    assert client.user is not None
    assert client.user.id == standin.bot.id
    guild = client.get_guild(standin.guild.id)
    assert guild is not None
    assert [channel.name for channel in guild.text_channels] == ["general", "random"]
    assert guild.self_role is not None
    assert guild.self_role.id == standin.managed_role.id
    assert (await client.application_info()).owner.id == standin.ada.id


async def test_content_is_withheld_without_the_intent(standin: DiscordStandin, client: Client) -> None:
    said = await standin.say(standin.general, standin.bo, "a secret")
    await standin.say(standin.general, standin.cleo, f"{standin.bot.mention} look", reply_to=said)
    await standin.say(standin.general, standin.bo, f"{standin.managed_role.mention} you there?")
    own = standin.world.post(standin.general, standin.bot, "mine")
    await standin.say(standin.general, standin.bo, "with ping", reply_to=own)
    await standin.say(standin.general, standin.bo, "without ping", reply_to=own, ping=False)
    await standin.say(standin.open_dm(standin.bo), standin.bo, "privately")
    await client.until(lambda: len(client.heard()) == 6)

    heard = [message.content for message in client.heard()]
    assert heard == ["", f"{standin.bot.mention} look", "", "with ping", "", "privately"]
    quoted = client.heard()[1].reference
    assert quoted is not None
    assert isinstance(quoted.resolved, discord.Message)
    assert quoted.resolved.content == ""
    channel = client.get_channel(standin.general.id)
    assert isinstance(channel, discord.TextChannel)
    history = [message.content async for message in channel.history(oldest_first=True)]
    assert history == ["", f"{standin.bot.mention} look", "", "mine", "with ping", ""]


async def test_content_is_given_with_the_intent(open_standin: Open, connect: Connect) -> None:
    standin = await open_standin(privileged=Intent.MESSAGE_CONTENT)
    client = await connect(standin, WITH_CONTENT)
    await standin.say(standin.general, standin.bo, "no secret")
    await client.until(client.heard)
    assert client.heard()[0].content == "no secret"
    channel = client.get_channel(standin.general.id)
    assert isinstance(channel, discord.TextChannel)
    assert [message.content async for message in channel.history()] == ["no secret"]


async def test_wrong_token_is_refused(standin: DiscordStandin) -> None:
    with connect_to(standin.url, standin.gateway_url, standin.cdn_url):
        async with discord.Client(intents=UNPRIVILEGED) as client:
            with pytest.raises(discord.LoginFailure):
                await client.login("wrong")
        async with discord.Client(intents=UNPRIVILEGED) as client:
            await client.login(standin.token)
            client.http.token = "wrong"
            with pytest.raises(discord.ConnectionClosed) as closed:
                await asyncio.wait_for(client.connect(), PATIENCE)
            assert closed.value.code == 4004


async def test_disabled_privileged_intent_is_refused(standin: DiscordStandin) -> None:
    with connect_to(standin.url, standin.gateway_url, standin.cdn_url):
        async with discord.Client(intents=WITH_CONTENT) as client:
            await client.login(standin.token)
            with pytest.raises(discord.PrivilegedIntentsRequired):
                await asyncio.wait_for(client.connect(), PATIENCE)


@pytest.mark.parametrize("how", ["cut", "closed", "reconnect", "resumable"])
async def test_lost_connection_is_resumed(how: str, standin: DiscordStandin, client: Client) -> None:
    gateway = standin.gateway
    disturbances: dict[str, Callable[[], Awaitable[None]]] = {
        "cut": gateway.drop,
        "closed": lambda: gateway.drop(4000),
        "reconnect": gateway.reconnect,
        "resumable": lambda: gateway.invalidate(resumable=True),
    }
    await disturbances[how]()
    await standin.say(standin.general, standin.bo, f"{standin.bot.mention} missed?")
    await standin.wait_for(lambda: gateway.resumes == 1)
    await client.until(lambda: client.count("resumed"))
    assert [message.content for message in client.heard()] == [f"{standin.bot.mention} missed?"]
    assert gateway.identifies == 1


async def test_outage_is_replayed_in_order(standin: DiscordStandin, client: Client) -> None:
    async with standin.gateway.outage():
        for number in range(3):
            await standin.say(standin.general, standin.bo, f"{standin.bot.mention} {number}")
        assert client.heard() == []
    await client.until(lambda: client.count("resumed"))
    assert [message.content[-1] for message in client.heard()] == ["0", "1", "2"]


async def test_invalid_session_identifies_again(
    open_standin: Open, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    standin = await open_standin(sharding=Sharding(identify_every=0.0))
    client = await connect(standin)

    async def at_once(shard_id: int | None, *, initial: bool = False) -> None:
        pass

    # The client sleeps 5 s in this hook.
    monkeypatch.setattr(client, "before_identify_hook", at_once)
    await standin.gateway.invalidate()
    await standin.wait_for(lambda: standin.gateway.identifies == 2)
    await standin.say(standin.general, standin.bo, f"{standin.bot.mention} back?")
    await client.until(client.heard)
    assert standin.gateway.resumes == 0


@pytest.mark.parametrize(("code", "answer"), [(1000, 9), (4000, 0)])
async def test_only_a_goodbye_ends_a_session(code: int, answer: int, standin: DiscordStandin) -> None:
    async with aiohttp.ClientSession() as http:
        async with http.ws_connect(standin.gateway_url) as socket:
            assert (await socket.receive_json())["op"] == 10
            await socket.send_json({"op": 2, "d": {"token": standin.token, "intents": 0, "properties": {}}})
            ready = await socket.receive_json()
            await socket.close(code=code)
        async with http.ws_connect(ready["d"]["resume_gateway_url"]) as socket:
            await socket.receive_json()
            resume = {"token": standin.token, "session_id": ready["d"]["session_id"], "seq": ready["s"]}
            await socket.send_json({"op": 6, "d": resume})
            assert (await socket.receive_json())["op"] == answer


async def test_heartbeats_are_acknowledged_and_timed(open_standin: Open, connect: Connect) -> None:
    standin = await open_standin(heartbeat_interval=0.05)
    client = await connect(standin)
    await standin.wait_for(lambda: len(standin.gateway.heartbeats_late) == 2)
    # Not on time on a busy machine, but neither uncounted nor unanswered, which is a latency without an end.
    assert all(-0.06 < late < PATIENCE for late in standin.gateway.heartbeats_late)
    assert client.latency < PATIENCE


async def test_gateway_compresses_on_request(open_standin: Open, connect: Connect) -> None:
    standin = await open_standin(compress=True)
    client = await connect(standin)
    await standin.say(standin.general, standin.bo, f"{standin.bot.mention} ünder zlib")
    await client.until(client.heard)
    assert client.heard()[0].content.endswith("ünder zlib")


async def test_events_of_channels_and_guilds(standin: DiscordStandin, client: Client) -> None:
    private = standin.add_channel("private")
    standin.deny(private, Permission.VIEW_CHANNEL)
    await standin.say(private, standin.bo, f"{standin.bot.mention} hidden")
    thread = await standin.open_thread(standin.general, "side talk", standin.bo)
    await standin.say(thread, standin.bo, f"{standin.bot.mention} in the thread")
    other = standin.add_guild("Elsewhere")
    lobby = standin.add_channel("lobby", other)
    standin.world.delete_channel(lobby)
    standin.world.remove_guild(other)
    await client.until(lambda: client.count("guild_remove"))
    talk = [message for message in client.heard() if message.type is discord.MessageType.default]
    assert [message.content for message in talk] == [f"{standin.bot.mention} in the thread"]
    assert isinstance(talk[0].channel, discord.Thread)
    assert talk[0].channel.parent_id == standin.general.id
    for event in ("thread_create", "guild_join", "guild_channel_create", "guild_channel_delete"):
        assert client.count(event) >= 1, event


async def test_stopping_with_clients_is_quick(open_standin: Open, connect: Connect) -> None:
    standin = await open_standin()
    await connect(standin)
    async with asyncio.timeout(PATIENCE):
        await standin.__aexit__(None, None, None)

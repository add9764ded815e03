"""Each fault once: what the client makes of it, and what the channel shows afterwards."""

from __future__ import annotations

import aiohttp
import discord
import pytest

from bot.standin.faults import (
    ALWAYS,
    AUTOMOD,
    FORBIDDEN,
    ConnectionReset,
    Late,
    Lost,
    RateLimited,
    ServerError,
    Slow,
    Twice,
    Vanished,
)
from bot.standin.server import DiscordStandin
from tests.standin.conftest import MESSAGES, Client, text_channel

pytestmark = pytest.mark.virtual_time


@pytest.mark.parametrize(
    "fault",
    [
        RateLimited(0.01),
        RateLimited(0.01, "global"),
        RateLimited(0.01, "shared"),
        ServerError(500),
        ServerError(502, applied=True),
        Slow(0.02),
        Slow(0.02, applied=True),
    ],
)
async def test_faults_the_client_survives(
    fault: RateLimited | ServerError | Slow, standin: DiscordStandin, client: Client
) -> None:
    standin.faults.add(fault, method="POST", route=MESSAGES)
    await text_channel(client, standin.general).send("once")
    assert [message.content for message in standin.bot_messages(standin.general)] == ["once"]
    assert standin.requests[2].fault == fault


async def test_faults_the_client_raises(standin: DiscordStandin, client: Client) -> None:
    channel = text_channel(client, standin.general)
    expected: list[tuple[RateLimited | ServerError, int]] = [(RateLimited(5, via=False), 429), (ServerError(503), 503)]
    for fault, status in expected:
        standin.faults.add(fault, method="POST")
        with pytest.raises(discord.HTTPException) as refused:
            await channel.send("x")
        assert refused.value.status == status
    assert standin.messages(standin.general) == []


async def test_refusals_are_as_on_discord(standin: DiscordStandin, client: Client) -> None:
    channel = text_channel(client, standin.general)
    standin.faults.add(FORBIDDEN, method="POST")
    with pytest.raises(discord.Forbidden):
        await channel.send("x")
    standin.faults.add(AUTOMOD, when=lambda call: isinstance(call.body, dict) and "rude" in call.body["content"])
    await channel.send("polite")
    with pytest.raises(discord.HTTPException) as refused:
        await channel.send("rude")
    assert refused.value.code == 200000
    assert [message.content for message in standin.messages(standin.general)] == ["polite"]


@pytest.mark.parametrize("applied", [False, True])
async def test_reset_before_or_after_taking_effect(applied: bool, standin: DiscordStandin, client: Client) -> None:
    standin.faults.add(ConnectionReset(applied), method="POST")
    channel = text_channel(client, standin.general)
    with pytest.raises(aiohttp.ClientConnectionError):
        await channel.send("x", nonce="same")
    assert len(standin.bot_messages(standin.general)) == applied
    await channel.send("x", nonce="same")
    assert len(standin.bot_messages(standin.general)) == 1


async def test_message_and_channel_vanish(standin: DiscordStandin, client: Client) -> None:
    channel = text_channel(client, standin.general)
    sent = await channel.send("x")
    standin.faults.add(Vanished("message"), method="PATCH")
    with pytest.raises(discord.NotFound) as refused:
        await sent.edit(content="y")
    assert refused.value.code == 10008
    await client.until(lambda: client.count("raw_message_delete"))
    standin.faults.add(Vanished("channel"), method="POST", channel_id=standin.general.id)
    with pytest.raises(discord.NotFound) as refused:
        await channel.send("z")
    assert refused.value.code == 10003
    await client.until(lambda: client.count("guild_channel_delete"))


async def test_events_come_twice_late_or_never(standin: DiscordStandin, client: Client) -> None:
    standin.faults.add(Twice(), event="MESSAGE_CREATE")
    standin.faults.add(Late(0.03), event="MESSAGE_CREATE")
    standin.faults.add(Lost(), event="MESSAGE_CREATE")
    for word in ("twice", "late", "lost", "prompt"):
        await standin.say(standin.general, standin.bo, f"{standin.bot.mention} {word}")
    await client.until(lambda: len(client.heard()) == 4)
    assert [message.content.split()[-1] for message in client.heard()] == ["twice", "twice", "prompt", "late"]


async def test_fault_lasts_until_cleared(standin: DiscordStandin, client: Client) -> None:
    fault = standin.faults.add(FORBIDDEN, method="POST", times=ALWAYS)
    channel = text_channel(client, standin.general)
    for _ in range(3):
        with pytest.raises(discord.Forbidden):
            await channel.send("x")
    assert fault.hits == 3
    standin.faults.clear()
    await channel.send("x")


async def test_unknown_route_is_noticed(standin: DiscordStandin, client: Client) -> None:
    with pytest.raises(discord.NotFound):
        await client.fetch_invite("abc")
    assert standin.unknown_routes == ["GET /api/v10/invites/abc"]
    standin.unknown_routes.clear()


async def test_timed_out_wait_shows_the_channel(standin: DiscordStandin, client: Client) -> None:
    await standin.say(standin.general, standin.bo, "anybody?")
    with pytest.raises(AssertionError, match="bo: 'anybody\\?'"):
        await standin.wait_for(lambda: standin.bot_messages(standin.general), timeout=0.01)

"""Rate limits: what the headers promise holds, and who comes too early is told how long to wait."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.standin.entities import Message
from bot.standin.limits import Limit, bucket
from bot.standin.server import DiscordStandin
from tests.standin.conftest import Client, Connect, Open, text_channel

pytestmark = pytest.mark.virtual_time


@dataclass
class Raw:
    """Requests without discord.py's own waiting."""

    standin: DiscordStandin
    http: aiohttp.ClientSession

    async def __call__(self, method: str, path: str, body: Any = None) -> tuple[int, Mapping[str, str], Any]:
        headers = {"Authorization": f"Bot {self.standin.token}"}
        async with self.http.request(method, self.standin.url + path, json=body, headers=headers) as answer:
            return answer.status, answer.headers, await answer.json()

    async def send(self, content: str = "x") -> tuple[int, Mapping[str, str], Any]:
        return await self("POST", f"/channels/{self.standin.general.id}/messages", {"content": content})

    async def edit(self, message: Message, content: str) -> tuple[int, Mapping[str, str], Any]:
        path = f"/channels/{message.channel.id}/messages/{message.id}"
        return await self("PATCH", path, {"content": content})


async def test_leaky_bucket_returns_one_token_at_a_time(open_standin: Open, http: aiohttp.ClientSession) -> None:
    standin = await open_standin(limit=3, period=1.0)
    raw = Raw(standin, http)
    remaining = [(await raw.send())[1]["X-RateLimit-Remaining"] for _ in range(3)]
    assert remaining == ["2", "1", "0"]
    status, headers, body = await raw.send()
    assert (status, headers["X-RateLimit-Scope"], body["global"]) == (429, "user", False)
    assert headers["X-RateLimit-Limit"] == "3"
    assert "Via" in headers
    assert 0 < body["retry_after"] <= 1.0 < float(headers["X-RateLimit-Reset-After"]) <= 3.0
    await asyncio.sleep(body["retry_after"])
    status, headers, _ = await raw.send()
    assert (status, headers["X-RateLimit-Remaining"]) == (200, "0")
    assert standin.too_many == 1
    assert len(standin.bot_messages(standin.general)) == 4


async def test_fixed_window_ends_at_one_moment(open_standin: Open, http: aiohttp.ClientSession) -> None:
    standin = await open_standin(bucket="fixed", limit=3, period=0.05)
    raw = Raw(standin, http)
    answers = [await raw.send() for _ in range(4)]
    assert [status for status, _, _ in answers] == [200, 200, 200, 429]
    resets = [float(headers["X-RateLimit-Reset"]) for _, headers, _ in answers]
    assert max(resets) - min(resets) < 0.0021
    await asyncio.sleep(answers[-1][2]["retry_after"])
    assert (await raw.send())[1]["X-RateLimit-Remaining"] == "2"


async def test_sending_and_editing_count_separately(standin: DiscordStandin, http: aiohttp.ClientSession) -> None:
    standin.limits.messages = Limit(5, 10.0)
    raw = Raw(standin, http)
    _, sent, _ = await raw.send()
    _, edited, _ = await raw.edit(standin.bot_messages(standin.general)[0], "y")
    assert sent["X-RateLimit-Bucket"] == edited["X-RateLimit-Bucket"]
    assert (sent["X-RateLimit-Remaining"], edited["X-RateLimit-Remaining"]) == ("4", "4")


async def test_global_limit_excludes_interactions(standin: DiscordStandin, http: aiohttp.ClientSession) -> None:
    standin.limits.everything = Limit(2, 10.0, "fixed")
    raw = Raw(standin, http)
    assert [(await raw("GET", "/users/@me"))[0] for _ in range(2)] == [200, 200]
    status, headers, body = await raw("GET", "/users/@me")
    assert (status, headers["X-RateLimit-Scope"], body["global"]) == (429, "global", True)
    status, _, body = await raw("PATCH", "/webhooks/1/2/messages/@original", {"content": "x"})
    assert (status, body["code"]) == (404, 10015)


async def test_calls_with_one_token_count_together(standin: DiscordStandin, http: aiohttp.ClientSession) -> None:
    raw = Raw(standin, http)
    left = []
    for method, route in (
        ("PATCH", "/webhooks/1/2/messages/@original"),
        ("POST", "/webhooks/1/2"),
        ("DELETE", "/webhooks/1/2/messages/3"),
        ("POST", "/webhooks/1/4"),
    ):
        _, headers, _ = await raw(method, route, {"content": "x"})
        left.append((headers["X-RateLimit-Limit"], headers["X-RateLimit-Remaining"]))
    assert left == [("5", "4"), ("5", "3"), ("5", "2"), ("5", "4")]


async def test_old_messages_take_few_edits(standin: DiscordStandin, http: aiohttp.ClientSession) -> None:
    raw = Raw(standin, http)
    await raw.send()
    (message,) = standin.bot_messages(standin.general)
    assert [(await raw.edit(message, str(n)))[0] for n in range(5)] == [200] * 5
    message.created_at -= 3601
    standin.limits.messages = Limit(50, 1.0)
    answers = [await raw.edit(message, str(n)) for n in range(4)]
    assert [status for status, _, _ in answers] == [200, 200, 200, 429]
    assert answers[-1][2]["code"] == 30046


async def test_client_obeys_the_headers_and_loses_nothing(open_standin: Open, connect: Connect) -> None:
    standin = await open_standin(limit=3, period=0.02, rtt=(0.001, 0.003), seed=7)
    client: Client = await connect(standin)
    channel = text_channel(client, standin.general)
    await asyncio.gather(*(channel.send(str(number)) for number in range(8)))
    sent = sorted(message.content for message in standin.bot_messages(standin.general))
    assert sent == [str(number) for number in range(8)]


async def test_round_trips_are_drawn_from_the_seed(open_standin: Open, connect: Connect) -> None:
    standin = await open_standin(rtt=(0.01, 0.02))
    client = await connect(standin)
    await text_channel(client, standin.general).send("x")
    (call,) = standin.calls("POST", "/channels/{channel_id}/messages")
    assert call.applied is not None
    assert call.answered is not None
    assert 0.004 < call.applied - call.started < call.answered - call.started
    assert call.answered - call.started >= 0.01


_limits = st.builds(Limit, st.integers(1, 10), st.floats(0.05, 5.0), st.sampled_from(["leaky", "fixed"]))


@given(_limits, st.lists(st.floats(0.0, 3.0), max_size=60))
def test_waiting_as_told_is_enough(limit: Limit, pauses: list[float]) -> None:
    it, now, allowed = bucket(limit), 0.0, 0
    for pause in pauses:
        now += pause
        verdict = it.take(now)
        if not verdict.allowed:
            now += verdict.retry_after
            verdict = it.take(now)
        assert verdict.allowed
        assert 0 <= verdict.remaining < limit.tokens
        assert verdict.reset_after > 0
        allowed += 1
    assert allowed <= 2 * limit.tokens + now / limit.period + 1


async def test_discord_py_reads_the_same_limit(standin: DiscordStandin, client: Client) -> None:
    standin.limits.messages = Limit(4, 10.0)
    channel = text_channel(client, standin.general)
    sending = asyncio.gather(*(channel.send(str(number)) for number in range(5)))
    await standin.wait_for(lambda: len(standin.bot_messages(standin.general)) == 4)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(sending, 0.1)
    assert len(standin.bot_messages(standin.general)) == 4
    assert standin.too_many == 0

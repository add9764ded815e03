"""Retries, leaving, connections, and what is sent."""

from __future__ import annotations

import asyncio
import gc
import gzip
import tracemalloc
from datetime import date

import pytest

from bot.core.errors import ModelError
from bot.core.model_events import End, Text
from bot.core.turns import FailureReason
from bot.llm.client import OpenAIModel
from bot.llm.timeouts import Timeouts
from bot.network.connections import Network
from bot.standin.model import ModelStandin
from bot.standin.script import REFUSALS, Drop, Raw, Refusal, Reply, Step
from tests.llm.conftest import HELLO, ask, client, failure, text
from tests.llm.wire import STOP, say

pytestmark = pytest.mark.virtual_time


async def test_request_is_repeated_until_text_came(server: ModelStandin) -> None:
    soon = Refusal(429, REFUSALS["rate limit"].body, {"Retry-After": "0.1"})
    server.script += [soon, Refusal(503, "", {"retry-after-ms": "50"})]
    clock = asyncio.get_running_loop().time
    async with client(server.base_url, retry_within=2.0) as model:
        begun = clock()
        assert text(await ask(model)) == "Hi there."
        assert clock() - begun == pytest.approx(0.15)
        server.script += [Reply("Hi", error_after=0)]
        assert text(await ask(model)) == "Hi there."
        server.script += [Reply("One two", cut_after=1)]
        assert await ask(model) == [Text("One"), FailureReason.UNREACHABLE]
    assert len(server.requests) == 6


async def test_loading_server_is_waited_for(server: ModelStandin) -> None:
    server.script += [REFUSALS["overloaded"]] * 6
    async with client(server.base_url, retry_within=0.0) as model:
        assert text(await ask(model)) == "Hi there."
        assert len(server.requests) == 7
        # Another failure behind it is retried as usual.
        server.script += [REFUSALS["overloaded"], REFUSALS["server error"]]
        assert await ask(model) == [FailureReason.UNREACHABLE]
        server.default = REFUSALS["overloaded"]
    async with client(server.base_url, first_delta_timeout=20.0) as model:
        for first in await asyncio.gather(ask(model), ask(model)):
            assert first == [FailureReason.UNREACHABLE]
        asked = len(server.requests)
        assert await ask(model) == [FailureReason.UNREACHABLE]
        assert len(server.requests) - asked < asked / 2, "others have waited for the same"
    async with client(server.base_url) as model:
        asked = len(server.requests)
        reading = asyncio.create_task(ask(model))
        await server.request(asked + 3)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading


async def test_hopeless_refusals_are_not_repeated(server: ModelStandin) -> None:
    later = Refusal(429, REFUSALS["rate limit"].body, {"Retry-After": "30"})
    server.script += [REFUSALS["quota"], later]
    async with client(server.base_url, retry_within=2.0) as model:
        assert (await failure(model)).failure is FailureReason.CONFIGURATION
        error = await failure(model)
        assert (error.failure, error.retry_after) == (FailureReason.BUSY, 30.0)
    assert len(server.requests) == 2


@pytest.mark.parametrize("stream_cut", [True, False])
async def test_connection_cut_after_the_end_is_ignored(server: ModelStandin, stream_cut: bool) -> None:
    server.script.append(Raw([say("Hi") + STOP], cut=stream_cut))
    async with client(server.base_url) as model:
        assert await ask(model) == [Text("Hi"), End()]


@pytest.mark.parametrize(
    ("steps", "accepted"),
    [
        ([REFUSALS["bad key"]], False),
        ([REFUSALS["server error"]], False),
        ([REFUSALS["rate limit"]], False),
        ([Reply("Hi", error_after=0)], False),
        ([Reply("Hi", stall_after=0)], True),
        ([Reply("Hi", cut_after=0)], True),
        ([Drop()], True),
        ([Drop(), REFUSALS["bad key"]], True),
    ],
)
async def test_error_says_whether_the_server_may_have_worked(
    server: ModelStandin, steps: list[Step], accepted: bool
) -> None:
    server.script += steps
    async with client(server.base_url, retry_within=len(steps) - 1.0, first_delta_timeout=2) as model:
        assert (await failure(model)).accepted is accepted


async def test_unreachable_server_has_not_worked(server: ModelStandin) -> None:
    await server.stop_listening()
    async with client(server.base_url) as model:
        assert not (await failure(model)).accepted


async def test_each_model_gets_its_own_length_parameter(server: ModelStandin) -> None:
    async with client(server.base_url) as model:
        for name, most in (("small", 7), ("large", 70)):
            async with model.stream(HELLO, model=name, reply_tokens=most) as events:
                assert [event async for event in events][-1] == End()
    assert [(request.body["model"], request.max_tokens) for request in server.requests] == [("small", 7), ("large", 70)]


async def test_leaving_early_cancels_the_reply_on_the_server() -> None:
    talking = Reply("word " * 1000, tokens_per_second=100)
    async with (
        ModelStandin([talking, talking, Reply("word", first_token_after=60)]) as server,
        client(server.base_url) as model,
    ):
        async with model.stream(HELLO, model="gpt-x", reply_tokens=100) as events:
            await anext(events)
        await server.requests[0].over()

        begun = asyncio.Event()

        async def read() -> None:
            async with model.stream(HELLO, model="gpt-x", reply_tokens=100) as events:
                async for _ in events:
                    begun.set()

        for number in (1, 2):
            reading = asyncio.create_task(read())
            request = await server.request(number)
            await begun.wait()  # The third reply never begins: it is left while nothing has come.
            reading.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reading
            await request.over()
        assert [request.left for request in server.requests] == [True, True, True]
    gc.collect()
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_environment_configures_nothing(server: ModelStandin, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_ADMIN_KEY", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "OPENAI_WEBHOOK_SECRET"):
        monkeypatch.setenv(name, "from-the-environment")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Own: from-the-environment\nAuthorization: from-the-environment")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/from-the-environment")
    async with client(server.base_url, api_key=None) as model:
        assert text(await ask(model)) == "Hi there."
    assert "from-the-environment" not in str(server.requests[0].headers)
    assert "Authorization" not in server.requests[0].headers

    # A proxy is the settings' to name.
    monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
    async with OpenAIModel(
        timeouts=Timeouts(retry_within=0), network=Network(https_proxy="http://127.0.0.1:9")
    ) as model:
        assert "https://api.openai.com/v1 cannot be reached through the proxy" in (await failure(model)).detail
    assert len(server.requests) == 1


async def test_connection_is_reused(server: ModelStandin) -> None:
    async with client(server.base_url) as model:
        for _ in range(3):
            await ask(model)
    assert len({request.peer for request in server.requests}) == 1


async def test_model_list_and_probe(server: ModelStandin) -> None:
    server.models = ("small", "large")
    async with client(server.base_url) as model:
        assert await model.models() == {"small": None, "large": None}
        server.models = None
        assert await model.models() == {}
        await model.probe("gpt-x", 100)
        server.script.append(REFUSALS["unknown model"])
        with pytest.raises(ModelError, match="OPENAI_MODEL"):
            await model.probe("gpt-x", 100)
        await server.stop_listening()
    async with client(server.base_url) as model:
        with pytest.raises(ModelError, match="OPENAI_BASE_URL"):
            await model.models()


async def test_plausible_shutdown_dates_are_believed(server: ModelStandin) -> None:
    values = ["2027-01-14", None, "", "20270114", "2027-02-30", "2027-01-14T00:00", "1970-01-01", 1, ["2027-01-14"]]
    server.models = [f"m{number}" for number in range(len(values))]
    server.shutdown_dates = dict(zip(server.models, values, strict=True))
    async with client(server.base_url) as model:
        listed = await model.models()
    assert list(listed) == server.models
    assert {name: day for name, day in listed.items() if day} == {"m0": date(2027, 1, 14)}


@pytest.mark.parametrize("packed", [False, True])
async def test_too_long_model_list_is_not_read(server: ModelStandin, packed: bool) -> None:
    entries = b'{"id":"m","object":"model"},' * 40_000
    listing = [b'{"data":[', *[entries] * 60, b"{}]}"]
    if packed:
        server.models = Raw(
            [gzip.compress(b"".join(listing))], "application/json", headers={"Content-Encoding": "gzip"}
        )
    else:
        server.models = Raw(listing, "application/json")
    async with client(server.base_url) as model:
        tracemalloc.start()
        try:
            assert await model.models() == {}
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak < 40 * 2**20, "of 67 MB"


@pytest.mark.parametrize(
    "body",
    [
        "[" * 10_000,
        '{"data": [' + '{"id": "m"},' * 20_000 + "{}]}",
        "{",
        '{"data": 1}',
        '{"data": [1, {"id": 2}, null]}',
        "<html></html>",
    ],
)
async def test_invalid_model_list_is_empty(server: ModelStandin, body: str) -> None:
    server.models = Raw([body.encode()], "application/json")
    async with client(server.base_url) as model:
        assert await model.models() == {}

"""A server that tells how many requests it works on at once is asked for it once, and again when it may be another."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from aiohttp import web

from bot.standin.model import ModelStandin
from bot.standin.profiles import PROFILES
from bot.standin.script import REFUSALS
from tests.llm.conftest import ask, client
from tests.places import on_discord

pytestmark = pytest.mark.virtual_time

PLACE = on_discord(1)


async def test_slots_are_asked_for_again_after_a_failure(server: ModelStandin) -> None:
    told: list[int] = []

    def tell(slots: int) -> None:
        def props(_window: int) -> dict[str, object]:
            told.append(slots)
            return {"total_slots": slots}

        server.profile = replace(PROFILES["llama_cpp"], props=props)

    tell(2)
    async with client(server.base_url) as model:
        queue, again = await asyncio.gather(model.slots("m"), model.slots("other"))
        assert queue is not None
        assert again is queue
        with queue.place(PLACE, 1) as first, queue.place(PLACE, 2) as second, queue.place(PLACE, 3) as third:
            assert [event.is_set() for event in (first, second, third)] == [True, True, False]
        await ask(model)
        assert await model.slots("m") is queue
        tell(1)
        server.script.append(REFUSALS["server error"])
        await ask(model)
        other = await model.slots("m")
        assert other is not None
        with other.place(PLACE, 1) as first, other.place(PLACE, 2) as second:
            assert [first.is_set(), second.is_set()] == [True, False]
        await model.slots("m")
    assert told == [2, 1]


@pytest.mark.parametrize(
    ("answer", "asked"),
    [
        (web.Response(status=404), 1),
        (web.Response(status=401), 1),
        (web.Response(status=503), 2),
        (web.Response(text="<html>"), 1),
        (web.json_response({"total_slots": "4"}), 1),
        (web.json_response({"total_slots": 0}), 1),
        (web.json_response({"total_slots": 10**9}), 1),
        (web.json_response([]), 1),
        (web.Response(text="[" * 100_000), 1),
        (web.Response(body=b'{"total_slots": 4, "x": "' + b"x" * 10_000_000 + b'"}'), 1),
        (None, 1),
    ],
)
async def test_server_that_does_not_tell_is_asked_without_limit(answer: web.Response | None, asked: int) -> None:
    requests = []

    async def props(request: web.Request) -> web.Response:
        requests.append(request.path)
        if answer is None:
            await asyncio.sleep(60)
            raise web.HTTPServiceUnavailable
        return web.Response(status=answer.status, body=answer.body, content_type=answer.content_type)

    app = web.Application()
    app.router.add_get("/props", props)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.01)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        async with client(f"http://127.0.0.1:{runner.addresses[0][1]}/v1") as model:
            assert [await model.slots("m") for _ in range(2)] == [None, None]
    finally:
        await runner.cleanup()
    assert len(requests) == asked


async def test_openai_is_not_asked(server: ModelStandin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.llm.client._OPENAI_HOST", "127.0.0.1")
    server.profile = replace(PROFILES["llama_cpp"], props=lambda _window: {"total_slots": 1})
    async with client(server.base_url) as model:
        assert await model.slots("m") is None

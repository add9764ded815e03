"""A server that takes fewer parameters is sent fewer."""

from __future__ import annotations

import pytest

from bot.standin.model import ModelStandin
from bot.standin.script import Refusal
from tests.llm.conftest import ask, client, text


@pytest.mark.parametrize(
    ("refused", "left"),
    [
        ({"stream_options"}, {"max_tokens"}),
        ({"max_tokens"}, {"stream_options", "max_completion_tokens"}),
        ({"stream_options", "max_tokens", "max_completion_tokens"}, set()),
    ],
)
async def test_what_a_server_refused_is_not_sent_again(server: ModelStandin, refused: set[str], left: set[str]) -> None:
    server.refused_parameters = refused
    async with client(server.base_url) as model:
        for _ in range(3):
            assert text(await ask(model)) == "Hi there."
    assert len(server.requests) == 3 + len(refused)
    for request in server.requests[-3:]:
        assert request.body.keys() - {"model", "messages", "stream"} == left


@pytest.mark.parametrize(
    "body",
    [
        {"detail": [{"type": "extra_forbidden", "loc": ["body", "x"], "msg": "Extra inputs are not permitted"}]},
        {"error": {"message": "Unrecognized request argument supplied"}},
    ],
)
async def test_a_refused_parameter_without_a_name(server: ModelStandin, body: object) -> None:
    server.script.append(Refusal(422, body))
    async with client(server.base_url) as model:
        assert text(await ask(model)) == "Hi there."
    assert "stream_options" not in server.requests[-1].body


async def test_what_one_model_does_not_take_another_may(server: ModelStandin) -> None:
    async with client(server.base_url) as model:
        server.refused_parameters = {"max_tokens"}
        await ask(model, "new")
        server.refused_parameters = set()
        await ask(model, "old")
        await ask(model, "new")
    limits = [request.body.keys() & {"max_tokens", "max_completion_tokens"} for request in server.requests]
    assert limits == [{"max_tokens"}, {"max_completion_tokens"}, {"max_tokens"}, {"max_completion_tokens"}]

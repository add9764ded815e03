"""What an operator has sent with every request, and how a server's refusal of it is told."""

from __future__ import annotations

import pytest

from bot.core.turns import FailureReason
from bot.standin.model import ModelStandin
from bot.standin.script import Refusal, openai_error
from tests.llm.conftest import ask, client, failure, text

EXTRA = {"thinking": {"type": "disabled"}, "reasoning": {"exclude": True}}


async def test_extra_body_is_sent_beside_what_the_bot_learns(server: ModelStandin) -> None:
    server.refused_parameters = {"stream_options", "max_tokens", "reasoning_effort"}
    async with client(server.base_url, extra_body=EXTRA) as model:
        for _ in range(2):
            assert text(await ask(model)) == "Hi there."
    assert len(server.requests) == 5, "what it learned is not asked again"
    body = dict(server.requests[-1].body)
    assert (body.pop("model"), body.pop("stream"), body.pop("max_completion_tokens")) == ("gpt-x", True, 100)
    assert [message["role"] for message in body.pop("messages")] == ["user"]
    assert body == EXTRA


@pytest.mark.parametrize(
    "refusal",
    [
        openai_error(400, "Unrecognized request argument supplied: thinking", "invalid_request_error", None),
        openai_error(
            400, "Unsupported parameter: 'thinking' …", "invalid_request_error", "unsupported_parameter", "thinking"
        ),
        Refusal(
            422,
            {
                "detail": [
                    {"loc": ["body", "thinking"], "msg": "Extra inputs are not permitted", "type": "extra_forbidden"}
                ]
            },
        ),
    ],
    ids=["argument", "parameter", "FastAPI"],
)
async def test_refused_key_of_the_operator_is_told_and_not_dropped(server: ModelStandin, refusal: Refusal) -> None:
    server.default = refusal
    async with client(server.base_url, extra_body=EXTRA) as model:
        error = await failure(model)
    assert (error.failure, error.advice) == (
        FailureReason.CONFIGURATION,
        "The model server refused thinking of EXTRA_BODY for gpt-x. Correct it in .env and restart.",
    )
    assert len(server.requests) == 1, "the bot's own parameters are not to blame"

"""A server that takes fewer parameters is sent fewer."""

from __future__ import annotations

import pytest

from bot.core.turns import FailureReason
from bot.standin.model import ModelStandin
from bot.standin.script import Refusal, openai_error
from tests.llm.conftest import ask, client, failure, text

ALL = {"max_tokens", "stream_options", "reasoning_effort"}


def efforts(server: ModelStandin) -> list[object]:
    return [request.body.get("reasoning_effort") for request in server.requests]


def said(message: str) -> Refusal:
    return openai_error(400, message, "invalid_request_error", None)


@pytest.mark.parametrize(
    ("refused", "left"),
    [
        ({"stream_options"}, {"max_tokens", "reasoning_effort"}),
        ({"max_tokens"}, {"stream_options", "max_completion_tokens", "reasoning_effort"}),
        ({"reasoning_effort"}, {"stream_options", "max_tokens"}),
        ({"stream_options", "max_tokens", "max_completion_tokens", "reasoning_effort"}, set()),
    ],
)
async def test_refused_parameter_is_not_sent_again(server: ModelStandin, refused: set[str], left: set[str]) -> None:
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
async def test_refusal_that_names_nothing_is_followed_by_a_bare_request(server: ModelStandin, body: object) -> None:
    server.script.append(Refusal(422, body))
    async with client(server.base_url) as model:
        for _ in range(2):
            assert text(await ask(model)) == "Hi there."
    assert [request.body.keys() - {"model", "messages", "stream"} for request in server.requests] == [ALL, set(), set()]


async def test_refused_parameters_are_remembered_per_model(server: ModelStandin) -> None:
    async with client(server.base_url) as model:
        server.refused_parameters = {"max_tokens"}
        await ask(model, "new")
        server.refused_parameters = set()
        await ask(model, "old")
        await ask(model, "new")
    limits = [request.body.keys() & {"max_tokens", "max_completion_tokens"} for request in server.requests]
    assert limits == [{"max_tokens"}, {"max_completion_tokens"}, {"max_tokens"}, {"max_completion_tokens"}]


@pytest.mark.parametrize(
    ("effort", "taken", "sent"),
    [
        ("none", ["none", "low"], ["none", "none"]),
        ("none", ["minimal", "low", "medium", "high"], ["none", "minimal", "minimal"]),
        ("xhigh", ["max", "high", "medium"], ["xhigh", "medium", "medium"]),
        ("none", ["high"], ["none", "high", "high"]),
        ("low", ["default", "none"], ["low", "none", "none"]),
        ("low", ["default", "thorough"], ["low", "default", "default"]),
        ("Lite", None, ["Lite", "Lite"]),
    ],
)
async def test_refused_effort_becomes_the_lowest_named(
    server: ModelStandin, effort: str, taken: list[str] | None, sent: list[str]
) -> None:
    server.efforts = taken
    async with client(server.base_url, reasoning_effort=effort) as model:
        for _ in range(2):
            assert text(await ask(model)) == "Hi there."
    assert efforts(server) == sent
    assert {"stream_options", "max_tokens"} <= server.requests[-1].body.keys()


@pytest.mark.parametrize(
    ("refusal", "then"),
    [
        pytest.param(said("reasoning_effort must be one of low or medium"), "low", id="Groq"),
        pytest.param(
            said('reasoning.effort: Invalid option: expected one of "xhigh"|"high"|"minimal"'),
            "minimal",
            id="OpenRouter",
        ),
        pytest.param(
            Refusal(422, "reasoning_effort: unknown variant `none`, expected one of `low`, `high` at line 1 column 50"),
            "low",
            id="serde",
        ),
        pytest.param(said('invalid reasoning value: \'none\' (must be "high" or "medium")'), "medium", id="Ollama"),
        pytest.param(
            Refusal(
                400,
                {
                    "object": "error",
                    "message": "[{'type': 'literal_error', 'loc': ('body', 'reasoning_effort'), 'msg': \"Input should"
                    " be 'low', 'medium' or 'high'\", 'input': 'none', 'ctx': {'expected': \"'low', 'medium' or"
                    " 'high'\"}}]",
                    "type": "Bad Request",
                    "code": 400,
                },
            ),
            "low",
            id="vLLM",
        ),
        pytest.param(
            Refusal(
                422,
                {
                    "detail": [
                        {
                            "type": "literal_error",
                            "loc": ["body", "reasoning_effort"],
                            "msg": "Input should be 'medium' or 'high'",
                            "input": "none",
                        }
                    ]
                },
            ),
            "medium",
            id="FastAPI",
        ),
        pytest.param(said("Unrecognized request argument supplied: reasoning_effort"), None, id="unknown"),
        pytest.param(said("Model grok-4 does not support parameter reasoningEffort."), None, id="xAI"),
        pytest.param(said('"tiny" does not support thinking'), None, id="Ollama, a model that does not think"),
        pytest.param(said("tiny is not a reasoning model"), None, id="no reasoning model"),
        pytest.param(
            Refusal(
                422,
                {
                    "detail": [
                        {
                            "type": "extra_forbidden",
                            "loc": ["body", "reasoning_effort"],
                            "msg": "Extra inputs are not permitted",
                            "input": "none",
                        }
                    ]
                },
            ),
            None,
            id="FastAPI, forbidden",
        ),
        pytest.param(
            said("UnsupportedParamsError: together_ai does not support parameters: ['reasoning_effort'], for model=x."),
            None,
            id="LiteLLM",
        ),
    ],
)
async def test_refusals_of_efforts_are_recognized(server: ModelStandin, refusal: Refusal, then: str | None) -> None:
    server.script.append(refusal)
    async with client(server.base_url) as model:
        assert text(await ask(model)) == "Hi there."
    assert efforts(server) == ["none", then]
    assert {"stream_options", "max_tokens"} <= server.requests[-1].body.keys()


async def test_efforts_named_by_errors_are_tried_in_turn(server: ModelStandin) -> None:
    server.efforts = ["ultra", "low", "high"]
    server.script.append(said("reasoning_effort: expected one of 'none', 'low', 'high'"))
    async with client(server.base_url, reasoning_effort="ultra") as model:
        assert text(await ask(model)) == "Hi there."
    assert efforts(server) == ["ultra", "none", "low"]


async def test_effort_negotiation_ends(server: ModelStandin) -> None:
    server.script += [said(f"reasoning_effort must be one of 'a{number}', 'b{number}'") for number in range(3)]
    async with client(server.base_url) as model:
        error = await failure(model)
    assert (error.failure, error.advice) == (
        FailureReason.CONFIGURATION,
        "The model server refused REASONING_EFFORT for gpt-x. Correct it in .env and restart.",
    )
    assert efforts(server) == ["none", "a0", "a1"]

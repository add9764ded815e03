"""What a server takes is learned from its refusals, in many wordings, and remembered for a week."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from bot.core.model_events import End, Message, Origin, Text
from bot.core.turns import FailureReason
from bot.llm.client import OpenAIModel
from bot.standin.model import ModelStandin
from bot.standin.script import Refusal, Reply, openai_error
from bot.store import Store
from bot.store.sqlite import open_store
from tests.llm.conftest import ask, client, failure, text
from tests.places import TERMINAL, on_discord

DAY = 24 * 3600
ALL = {"max_tokens", "stream_options", "reasoning_effort"}
TALK = [Message("system", "Be brief."), Message("user", "Hello!"), Message("assistant", "Hi."), Message("user", "Why?")]


class Clock:
    now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def store(tmp_path: Path, clock: Clock) -> AsyncIterator[Store]:
    async with open_store(tmp_path / "parley.db", exclusive=False, clock=clock) as opened:
        yield opened


def pydantic(*loc: str | int, msg: str = "Extra inputs are not permitted", given: object = "x") -> Refusal:
    return Refusal(422, {"detail": [{"type": "invalid", "loc": ["body", *loc], "msg": msg, "input": given}]})


def bad(message: str, param: str | None = None, status: int = 400) -> Refusal:
    return openai_error(status, message, "invalid_request_error", None, param)


async def reply(model: OpenAIModel, origin: Origin | None = None) -> str:
    async with model.stream(TALK, model="m", reply_tokens=4000, origin=origin) as events:
        return text([event async for event in events])


def sent(server: ModelStandin, *without: str) -> list[dict[str, Any]]:
    """The bodies of the requests, without what is in every one."""
    return [
        {name: value for name, value in request.body.items() if name not in ("model", *without)}
        for request in server.requests
    ]


IN_FIRST: Instead = {
    "messages": [
        {"role": "user", "content": "Be brief.\n\nHello!"},
        {"role": "assistant", "content": "Hi."},
        {"role": "user", "content": "Why?"},
    ]
}
Instead: TypeAlias = dict[str, object]
UNSTREAMED: Instead = {"stream": False, "stream_options": None}
UP_TO_2048: Instead = {"max_tokens": 2048}
BARE: Instead = dict.fromkeys(ALL)
TAUGHT: list[tuple[Refusal, Instead]] = [
    (Refusal(400, [{"error": {"message": "Developer instruction is not enabled for models/gemma"}}]), IN_FIRST),
    (bad("System role not supported"), IN_FIRST),
    (Refusal(422, {"error": "Template error: invalid operation: System role not supported (in <string>)"}), IN_FIRST),
    (Refusal(500, {"error": {"code": 500, "message": "System role not supported", "type": "server_error"}}), IN_FIRST),
    (bad("Conversation roles must alternate user/assistant/user/assistant/..."), IN_FIRST),
    (bad("Unsupported value: 'messages[0].role' does not support 'system' with this model."), IN_FIRST),
    (bad('messages: Unexpected role "system".'), IN_FIRST),
    (bad("invalid role: system"), IN_FIRST),
    (bad("This model does not support system messages."), IN_FIRST),
    (pydantic("messages", 0, "role", msg="Input should be 'user' or 'assistant'", given="system"), IN_FIRST),
    (bad("Your organization must be verified to stream this model. Please go to: …", "stream"), UNSTREAMED),
    (bad("Unsupported value: 'stream' does not support true with this model.", "stream"), UNSTREAMED),
    (bad("streaming is not supported"), UNSTREAMED),
    (bad("This model does not support streaming.", status=404), UNSTREAMED),
    (Refusal(501, {"detail": "Streaming not supported for this backend."}), UNSTREAMED),
    (Refusal(422, {"detail": "stream must be false"}), UNSTREAMED),
    (bad("max_tokens is too large: 4000. This model supports at most 2048 completion tokens, whereas …"), UP_TO_2048),
    (bad("Invalid max_tokens value, the valid range of max_tokens is [1, 2048]"), UP_TO_2048),
    (bad("<400> InternalError.Algo.InvalidParameter: Range of max_tokens should be [1, 2048]"), UP_TO_2048),
    (
        bad("`max_tokens` must be less than or equal to `2048`, which is less than the `context_window`"),
        UP_TO_2048,
    ),
    (bad("max_tokens: 4000 > 2,048, which is the maximum allowed number of output tokens for it"), UP_TO_2048),
    (bad("a maxOutputTokens value of 4000 but the range is from 1 (inclusive) to 2049 (exclusive)."), UP_TO_2048),
    (bad("The maximum tokens you requested exceeds the model limit of 2048."), UP_TO_2048),
    (pydantic("max_tokens", msg="Input should be less than or equal to 2048", given=4000), UP_TO_2048),
    (pydantic("stream_options"), {"stream_options": None}),
    (bad('Invalid JSON payload received. Unknown name "stream_options": Cannot find field.'), {"stream_options": None}),
    (bad("Unknown parameter: 'stream_options'.", "stream_options"), {"stream_options": None}),
    (bad("[{'type': 'extra_forbidden', 'loc': ('body', 'reasoning_effort')}]"), {"reasoning_effort": None}),
    (bad("Unsupported parameter", "max_tokens"), {"max_tokens": None, "max_completion_tokens": 4000}),
    (bad("The request is not valid."), BARE),
    (Refusal(400, "no"), BARE),
]


@pytest.mark.parametrize(("refusal", "instead"), TAUGHT)
async def test_refusal_teaches_the_shape_of_requests(
    server: ModelStandin, store: Store, clock: Clock, refusal: Refusal, instead: Instead
) -> None:
    server.script.append(refusal)
    for _ in range(2):
        async with client(server.base_url, facts=store.server_facts, clock=clock) as model:
            assert await reply(model) == "Hi there."
    first, *later = sent(server)
    assert len(later) == 2, "one more, and after a restart one at once"
    expected = {name: value for name, value in {**first, **instead}.items() if value is not None}
    assert later == [expected] * 2

    # A week later the server is asked as at first.
    clock.now += 7 * DAY
    async with client(server.base_url, facts=store.server_facts, clock=clock) as model:
        assert await reply(model) == "Hi there."
    assert sent(server)[3:] == [first]


@pytest.mark.parametrize(
    "refusal",
    [
        bad(
            "'max_tokens' or 'max_completion_tokens' is too large: 4000. This model's maximum context length is 4096"
            " tokens and your request has 500 input tokens (4000 > 4096 - 500)."
        ),
        bad("input length and `max_tokens` exceed context limit: 97 + 4000 > 4096, the size of its context window"),
        Refusal(422, {"error": "`inputs` tokens + `max_new_tokens` must be <= 4096. Given: 500 `inputs` tokens"}),
    ],
)
async def test_maximum_that_depends_on_the_context_is_not_learned(server: ModelStandin, refusal: Refusal) -> None:
    server.script.append(refusal)
    async with client(server.base_url) as model:
        await failure(model)
        assert await reply(model) == "Hi there."
    assert [request.max_tokens for request in server.requests] == [100, 4000]


@pytest.mark.parametrize(
    "failure",
    [bad("An unexpected error occurred in our system.", status=500), bad("Stream not available.", status=503)],
)
@pytest.mark.virtual_time
async def test_passing_failure_teaches_nothing(server: ModelStandin, failure: Refusal) -> None:
    server.script.append(failure)
    async with client(server.base_url, retry_within=1.0) as model:
        assert await reply(model) == "Hi there."
    first, second = sent(server)
    assert first == second


async def test_refusal_of_a_learned_shape_clears_it(server: ModelStandin, store: Store, clock: Clock) -> None:
    server.refused_parameters = {"max_tokens"}
    async with client(server.base_url, facts=store.server_facts, clock=clock) as model:
        await reply(model)
        server.refused_parameters = {"max_completion_tokens"}
        await reply(model)
        await reply(model)
    limits = [[*(body.keys() & {"max_tokens", "max_completion_tokens"})] for body in sent(server)]
    assert limits == [
        ["max_tokens"],
        ["max_completion_tokens"],
        ["max_completion_tokens"],
        ["max_tokens"],
        ["max_tokens"],
    ]
    assert await store.server_facts.load(server.base_url, "m") is None, "nothing is left to remember"


async def test_parameters_come_back_one_a_day(server: ModelStandin, store: Store, clock: Clock) -> None:
    def refuse(body: Any) -> Refusal | None:
        return Refusal(400, {"detail": "Bad request"}) if "stream_options" in body else None

    server.objects = refuse
    used, requests = [], 0
    for _ in range(9):
        for _ in range(2):  # Each time in another process.
            async with client(server.base_url, facts=store.server_facts, clock=clock) as model:
                assert await reply(model) == "Hi there."
        used.append((set(server.requests[-1].body) & ALL, len(server.requests) - requests))
        requests = len(server.requests)
        clock.now += DAY
    assert used == [
        (set(), 3),
        ({"max_tokens"}, 2),
        ({"max_tokens"}, 3),  # stream_options, for which it was
        ({"max_tokens", "reasoning_effort"}, 2),
        *[({"max_tokens", "reasoning_effort"}, 2)] * 3,
        (set(), 3),  # A week later all is tried again.
        ({"max_tokens"}, 2),
    ]


async def test_hopeless_request_is_not_repeated_for_ever(server: ModelStandin, store: Store) -> None:
    server.default = bad("No.")
    async with client(server.base_url, facts=store.server_facts) as model:
        assert (await failure(model)).failure is FailureReason.CONFIGURATION
    assert [request.body.keys() & ALL for request in server.requests] == [ALL, set()]
    assert await store.server_facts.load(server.base_url, "gpt-x") is None


@pytest.mark.virtual_time
async def test_unstreamed_reply_has_the_time_to_its_first_delta(server: ModelStandin) -> None:
    server.objects = lambda body: bad("streaming is not supported") if body["stream"] else None
    async with client(server.base_url, first_delta_timeout=0.5) as model:
        said, *_, end = await ask(model)
        assert (said, end) == (Text("Hi there."), End())
        server.default = Reply("Too late.", first_token_after=60)
        assert await ask(model) == [FailureReason.UNREACHABLE]
        await server.requests[-1].over()
    assert [request.left for request in server.requests] == [False, False, True]


async def test_openai_alone_is_told_of_conversations_and_people(
    server: ModelStandin, store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    origins = [
        Origin(on_discord(11), 7),
        Origin(on_discord(11), 8),
        Origin(on_discord(12), 7),
        Origin(TERMINAL, None),
        Origin(on_discord(11), 7),
    ]
    for host in ("127.0.0.1", "0.0.1", "api.openai.com"):
        # The server is at 127.0.0.1, which is OpenAI's host, one of its regions, or another's.
        monkeypatch.setattr("bot.llm.client._OPENAI_HOST", host)
        for origin in origins:
            async with client(server.base_url, facts=store.server_facts, clock=clock) as model:
                assert await reply(model, origin) == "Hi there."
    bodies = sent(server)
    names = {"max_completion_tokens", "stream_options", "reasoning_effort", "prompt_cache_key", "safety_identifier"}
    assert bodies[0].keys() - {"messages", "stream"} == names
    caches, people = ([body.get(name) for body in bodies[:5]] for name in ("prompt_cache_key", "safety_identifier"))
    assert caches[0] == caches[1] == caches[4], "one a conversation, in every process"
    assert len({*caches}) == 3
    assert people[0] == people[2] == people[4], "one a person, everywhere"
    assert people[3] is None
    assert len({*people}) == 3
    for told in filter(None, [*caches, *people]):
        assert len(told) <= 64
        assert {"7", "11"}.isdisjoint(told.split(":"))
    assert [body.keys() & names for body in bodies[10:]] == [{"stream_options", "reasoning_effort"}] * 5
    keys = [await store.server_facts.hash_key(name) for name in ("prompt_cache_key", "safety_identifier")]
    assert len({*keys}) == 2, "from one hash nobody can tell another"


async def test_password_in_an_address_is_not_kept(store: Store, server: ModelStandin) -> None:
    server.refused_parameters = {"max_tokens"}
    host = server.base_url.removeprefix("http://")
    async with client(f"http://user:secret@{host}", api_key=None, facts=store.server_facts) as model:
        await reply(model)
    assert await store.server_facts.load(f"http://{host}", "m")

"""A profile's server speaks as that server does."""

from __future__ import annotations

import json
from pathlib import Path

import aiohttp
import openai
import pytest

from bot.standin.model import ModelStandin
from bot.standin.profile import Profile, Sizes, UsagePlace
from bot.standin.profiles import PROFILES
from bot.standin.script import Raw, Refusal, Reply

DOCUMENTATION = (Path(__file__).parents[2] / "docs/model-servers.md").read_text(encoding="utf-8")
COUNTED = {
    UsagePlace.LAST: "the last event",
    UsagePlace.FINISH: "the event with the finish reason",
    UsagePlace.CHOICE: "`choices[0].usage`",
    UsagePlace.X_GROQ: "`x_groq.usage`",
    UsagePlace.NOWHERE: "–",
}


@pytest.mark.parametrize("name", PROFILES)
async def test_official_client_reads_the_stream(name: str) -> None:
    shape = PROFILES[name].stream
    reply = Reply("Light is scattered.", reasoning="Let me think.")
    async with (
        ModelStandin([reply], profile=PROFILES[name]) as server,
        openai.AsyncOpenAI(base_url=server.base_url, api_key="k", max_retries=0) as client,
        await client.chat.completions.create(
            model="m", messages=[{"role": "user", "content": "why?"}], stream=True
        ) as stream,
    ):
        choices = [choice async for chunk in stream for choice in chunk.choices]
    said = "".join(choice.delta.content for choice in choices if isinstance(choice.delta.content, str))
    in_the_text = shape.thought("Let") == {"content": "Let"}
    assert said == (f"{shape.opens}Let me think.{shape.closes}" if in_the_text else "") + "Light is scattered."
    assert choices[-1].finish_reason == shape.finishes.get("stop", "stop")


@pytest.mark.parametrize("name", PROFILES)
async def test_full_window_is_answered_in_the_servers_way(name: str) -> None:
    profile = PROFILES[name]
    messages = [{"role": "user", "content": ("word " * 40).strip()} for _ in range(3)]
    async with (
        ModelStandin(profile=profile, context_tokens=100) as server,
        aiohttp.ClientSession(server.base_url + "/") as http,
        http.post("chat/completions", json={"model": "m", "messages": messages, "stream": True}) as response,
    ):
        said = await response.text()
        async with http.get("models") as listed:
            [entry] = (await listed.json())["data"]
        async with http.get(server.base_url.removesuffix("/v1") + "/props") as found:
            props = await found.json() if found.status == 200 else None
    answer = profile.too_long and profile.too_long(Sizes(prompt=132, reply=0, window=100))
    if answer is None:
        assert server.requests[0].read == messages[1:]
    elif isinstance(answer, Raw):
        assert (response.status, said.encode()) == (
            200,
            b"".join(piece for piece in answer.pieces if isinstance(piece, bytes)),
        )
    else:
        body = json.loads(json.dumps(answer.body).replace("{model}", "m"))
        assert (response.status, json.loads(said)) == (answer.status, body)
    assert entry == {"id": "demo", "object": "model", **profile.entry(100)}
    assert props == (profile.props(100) if profile.props else None)


@pytest.mark.parametrize("name", PROFILES)
def test_documentation_has_the_server(name: str) -> None:
    profile = PROFILES[name]
    row = (
        profile.title,
        ", ".join(f"`{parameter}`" for parameter in profile.refuses) or "–",
        reasoning(profile),
        COUNTED[profile.stream.usage],
        too_long(profile),
        *(str(refusal.status) if refusal else "–" for refusal in (profile.bad_key, profile.no_credit, profile.busy)),
    )
    assert f"| {' | '.join(row)} |" in DOCUMENTATION.splitlines()
    assert f"### {profile.title}" in DOCUMENTATION.splitlines()


def test_documentation_has_no_other_server() -> None:
    titles = {profile.title for profile in PROFILES.values()}
    sections = {line.removeprefix("### ") for line in DOCUMENTATION.splitlines() if line.startswith("### ")}
    assert sections == titles


def reasoning(profile: Profile) -> str:
    shape = profile.stream
    thought = shape.thought("…")
    if thought is None:
        return "nothing"
    named = [name for name in ("reasoning", "reasoning_content") if name in thought]
    if named:
        return f"`{named[0]}`"
    if isinstance(thought["content"], str):
        return f"the text, as `{shape.opens.strip()}…{shape.closes.strip()}`"
    return "a list in `content`"


def too_long(profile: Profile) -> str:
    answer = profile.too_long and profile.too_long(Sizes(prompt=2, reply=1, window=1))
    match answer:
        case None:
            return "cut silently"
        case Refusal(status=status):
            return str(status)
        case Raw(pieces=[]):
            return "an empty reply"
    return "an error in the reply"

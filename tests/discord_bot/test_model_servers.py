"""Several model servers: which one is asked with what, and what people and the owner are told of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from bot.core.model_servers import ModelServer
from bot.core.quotas import Quotas
from bot.standin.entities import Channel
from bot.standin.model import ModelStandin
from bot.standin.script import REFUSALS, Drop, Reply, Step
from bot.standin.server import DiscordStandin
from tests.discord_bot.conftest import Launch, Start, World, commands_are_settled
from tests.places import on_discord
from tests.waiting import PATIENCE

pytestmark = pytest.mark.virtual_time


@pytest.fixture
async def cloud() -> AsyncIterator[ModelStandin]:
    async with ModelStandin(default=Reply("From the cloud.")) as standin:
        yield standin


def shows(discord: DiscordStandin, channel: Channel, text: str) -> bool:
    return any(message.content == text for message in discord.bot_messages(channel))


@pytest.mark.real_time("a process")
async def test_each_server_is_sent_its_own_key_model_and_body(
    discord: DiscordStandin, model: ModelStandin, cloud: ModelStandin, launch: Launch
) -> None:
    model.default = Reply("From the default one.")
    settings = {
        "OPENAI_API_KEY": "sk-of-the-default-one",
        "OPENAI_MODEL": "llama3:8b",
        "MODELS": "cloud:gpt-6-luna",
        "MODEL_SERVERS": f"cloud={cloud.base_url}",
        "CLOUD_API_KEY": "sk-of-the-cloud",
        "EXTRA_BODY": '{"temperature": 0.7}',
        "CLOUD_EXTRA_BODY": '{"thinking": {"type": "disabled"}}',
        "LOG_LEVEL": "DEBUG",
    }
    async with launch(**settings) as process:
        await discord.ready()
        await discord.wait_for(lambda: commands_are_settled(discord))
        chosen = await discord.slash(discord.max, discord.random_channel, "model", name="cloud:gpt-6-luna")
        assert "chose `gpt-6-luna (cloud)`" in (await chosen.answered()).content
        for channel, answer in (
            (discord.general, "From the default one."),
            (discord.random_channel, "From the cloud."),
        ):
            await discord.say(channel, discord.bo, f"{discord.bot.mention} hello")
            await discord.wait_for(partial(shows, discord, channel, answer))
        process.terminate()
        _, log = await process.communicate()
    [plain], [named] = model.requests, cloud.requests
    assert (plain.body["model"], plain.headers["Authorization"]) == ("llama3:8b", "Bearer sk-of-the-default-one")
    assert (named.body["model"], named.headers["Authorization"]) == ("gpt-6-luna", "Bearer sk-of-the-cloud")
    assert (plain.body["temperature"], plain.body.get("thinking")) == (0.7, None)
    assert (named.body.get("temperature"), named.body["thinking"]) == (None, {"type": "disabled"})
    assert b"turn 2 in discord:" in log
    assert b"sk-of" not in log


async def test_people_see_which_server_a_model_is_on(
    discord: DiscordStandin, cloud: ModelStandin, start: Start
) -> None:
    models = ("demo", "cloud:demo", "cloud:large")
    async with start(models=models, further={"cloud": cloud}, provider="localhost") as world:
        shown = await discord.slash(discord.max, discord.general, "model")
        assert (await shown.answered()).content == (
            "`demo (localhost)` answers in this channel.\n"
            "You can choose from `demo (localhost)`, `demo (cloud)`, `large (cloud)`, or `default`."
        )
        asked = await discord.complete(discord.max, discord.general, "model", focused="name", name="cloud")
        await asked.acknowledged()
        assert asked.choices == [
            {"name": "demo (cloud)", "value": "cloud:demo"},
            {"name": "large (cloud)", "value": "cloud:large"},
        ]
        chosen = await discord.slash(discord.max, discord.general, "model", name="Large (cloud)")
        assert (await chosen.answered()).content == "Max chose `large (cloud)` to answer here from now on."
        helped = await (await discord.slash(discord.bo, discord.general, "help")).answered()
        assert "to the model `large` (cloud.example), with what" in helped.content
        assert (await world.answered()).content == "From the cloud."
        memory = await (await discord.slash(discord.bo, discord.general, "memory")).answered()
        assert "my model's provider (cloud.example), by" in memory.content
        [usage] = await world.store.usage.by_day(0)
        assert usage.model == "cloud:large"
        assert (await world.store.personas.settings_of(on_discord(discord.general.id))).model == "cloud:large"
        learned = ModelServer("", cloud.base_url)
        assert (await world.store.token_statistics.of(f"{learned.base_url} large")).bytes_per_token is not None


async def test_owner_is_told_of_a_shutdown_on_every_server(
    discord: DiscordStandin, model: ModelStandin, cloud: ModelStandin, start: Start
) -> None:
    soon = datetime.now(UTC).date() + timedelta(days=5)
    model.models, cloud.models = ("demo",), ("demo", "other")
    model.shutdown_dates = {"demo": None}
    cloud.shutdown_dates = {"demo": str(soon), "other": str(soon)}
    async with start(models=("demo", "cloud:demo"), fallback_model="cloud:other", further={"cloud": cloud}):
        direct = discord.open_dm(discord.ada)
        await discord.wait_for(lambda: len(discord.bot_messages(direct)) == 2)
        sentences = sorted(message.content for message in discord.bot_messages(direct))
    choose = "Choose another model: change {} in .env and restart."
    assert sentences == [
        f"My provider shuts down cloud:demo on {soon}, in 5 days. {choose.format('MODELS')}",
        f"My provider shuts down cloud:other on {soon}, in 5 days. {choose.format('FALLBACK_MODEL')}",
    ]


BY_THE_CLOUD = "-# Answered by big (cloud.example)."
FALLBACK = "cloud:big"


def rests_for(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """How long a model that failed is not asked."""
    monkeypatch.setattr("bot.core.fallback.REST", seconds)


def alerts(discord: DiscordStandin) -> list[str]:
    """What the owner was told."""
    return [message.content for message in discord.bot_messages(discord.open_dm(discord.ada))]


async def charges(world: World) -> list[tuple[str, bool]]:
    """The models that were charged, and whether for any tokens, by name."""
    return sorted((row.model, row.tokens > 0) for row in await world.store.usage.by_day(0))


REPLACED = {
    "bad key": (REFUSALS["bad key"], False),
    "no credit": (REFUSALS["quota"], False),
    "rate limit": (replace(REFUSALS["rate limit"], headers={"Retry-After": "600"}), False),
    "server error": (REFUSALS["server error"], False),
    "unknown model": (REFUSALS["unknown model"], False),
    "dropped": (Drop(), True),
    "stalled before the first word": (Reply("one two", stall_after=0), True),
}
"""What a first server may do, and whether the request counts as one that it worked on."""


@pytest.mark.parametrize(("step", "accepted"), REPLACED.values(), ids=REPLACED)
async def test_fallback_answers_where_the_first_model_fails_before_its_first_word(
    discord: DiscordStandin, model: ModelStandin, cloud: ModelStandin, start: Start, step: Step, *, accepted: bool
) -> None:
    model.default = step
    async with start(further={"cloud": cloud}, fallback_model=FALLBACK, patience=0.5) as world:
        reply = await world.answered()
        assert (reply.content, reply.buttons) == (f"From the cloud.\n{BY_THE_CLOUD}", [])
        assert await charges(world) == [("cloud:big", True), ("demo", accepted)]
        assert [turn[1:] for turn in await world.turns(discord.general)] == [("From the cloud.", "complete")]


NOT_REPLACED = {
    "content filter": (REFUSALS["content filter"], "-# The model's provider declined this one. Rewording may help."),
    "broken off": (Reply("one two three", cut_after=2), "one two\n-# The answer broke off."),
    "empty": (Reply(""), "-# The model had nothing to say. Try rewording."),
}


@pytest.mark.parametrize(("step", "shown"), NOT_REPLACED.values(), ids=NOT_REPLACED)
async def test_fallback_is_not_asked_for_anything_else(
    discord: DiscordStandin, model: ModelStandin, cloud: ModelStandin, start: Start, step: Step, shown: str
) -> None:
    model.default = step
    async with start(further={"cloud": cloud}, fallback_model=FALLBACK, patience=0.5) as world:
        assert (await world.answered()).content.startswith(shown)
    assert cloud.requests == []


async def test_no_server_takes_anothers_place_unless_told_to(
    discord: DiscordStandin, model: ModelStandin, cloud: ModelStandin, start: Start
) -> None:
    model.default = REFUSALS["server error"]
    async with start(models=("demo", "cloud:big"), further={"cloud": cloud}, patience=0.5) as world:
        assert (await world.answered()).content.startswith("-# My model isn't answering")
    assert cloud.requests == []


async def test_failing_model_rests_and_a_retry_begins_with_it(
    discord: DiscordStandin, model: ModelStandin, cloud: ModelStandin, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    rests_for(monkeypatch, 3600)
    model.default = REFUSALS["bad key"]
    async with start(further={"cloud": cloud}, fallback_model=FALLBACK) as world:
        for _ in range(3):
            await world.answered()
        assert len(model.requests) == 1, "it is not waited for again and again"
        assert await charges(world) == [("cloud:big", True), ("demo", False)]
        assert len(alerts(discord)) == 1
        assert alerts(discord)[0].startswith(
            "A model failed, so I asked FALLBACK_MODEL instead. The model server wants a key (401). Set OPENAI_API_KEY"
        )
        cloud.default = REFUSALS["bad key"]
        broken = await world.answered()
        assert BY_THE_CLOUD not in broken.content
        model.default, cloud.default = Reply("Here again."), Reply("From the cloud.")
        cloud.default = Reply(["one ", "two"], cut_after=1)
        broken = await world.answered()
        assert broken.content == f"one\n{BY_THE_CLOUD}\n-# The answer broke off."
        await world.press(broken)
        await discord.wait_for(lambda: broken.content == "Here again.")
        await world.idle()
        assert (await world.answered()).content == "Here again.", "and from then on it is asked first"


async def test_one_question_tries_a_rested_model_again(
    discord: DiscordStandin, model: ModelStandin, cloud: ModelStandin, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    model.default = REFUSALS["server error"]
    async with start(further={"cloud": cloud}, fallback_model=FALLBACK) as world:
        rests_for(monkeypatch, 0.0)
        await world.answered()
        before = len(model.requests)
        held = asyncio.Event()
        model.default = Reply("Here again.", held_until=held)
        rests_for(monkeypatch, 3600)
        await world.ask("first?")
        await world.asked(before)
        channel = discord.random_channel
        await world.ask("second?", channel, discord.cleo)
        await world.reply(channel, BY_THE_CLOUD)
        held.set()
        await world.reply(discord.general, "Here again.", count=2)
        await world.idle()
        assert (await world.answered("third?", channel)).content == "Here again."


async def test_note_on_the_fallback_survives_a_restart(
    discord: DiscordStandin, model: ModelStandin, cloud: ModelStandin, start: Start
) -> None:
    model.default = REFUSALS["bad key"]
    several = {"further": {"cloud": cloud}, "fallback_model": FALLBACK}
    async with start(**several) as world:
        reply = await world.answered()
        turn = await world.store.turns.of_message(reply.id)
        assert turn is not None
        assert turn.answered_by == "big (cloud.example)"
        # As if the process had ended between the reply's end and the word that it was seen.
        await world.store.engine.write("UPDATE stored_turns SET delivered = 0")
    reply.content = "From the"
    async with start(**several):
        await discord.wait_for(lambda: reply.content == f"From the cloud.\n{BY_THE_CLOUD}")


async def test_help_and_memory_name_both_providers(discord: DiscordStandin, cloud: ModelStandin, start: Start) -> None:
    async with start(further={"cloud": cloud}, fallback_model=FALLBACK, provider="localhost") as world:
        await world.answered()
        helped = await (await discord.slash(discord.bo, discord.general, "help")).answered()
        assert "to the model `demo` (localhost), or to `big` (cloud.example) if that one fails, with" in helped.content
        memory = await (await discord.slash(discord.bo, discord.general, "memory")).answered()
        assert "by my models' providers (localhost and cloud.example), by my owner" in memory.content


async def test_continued_reply_still_says_who_began_it(
    discord: DiscordStandin, model: ModelStandin, cloud: ModelStandin, start: Start
) -> None:
    model.default = REFUSALS["bad key"]
    held = asyncio.Event()
    cloud.default = Reply("From the cloud, ", finish="length", held_until=held)
    async with start(further={"cloud": cloud}, fallback_model=FALLBACK) as world:
        await world.ask()
        async with asyncio.timeout(PATIENCE):
            await cloud.request(0)
        [row] = await world.store.engine.read("SELECT answered_by FROM turns")
        assert row["answered_by"] == "big (cloud.example)", "a kill in the middle does not hide it"
        held.set()
        cut = await world.reply(discord.general, "Cut at the length limit.")
        await world.idle()
        assert cut.content == f"From the cloud,\n{BY_THE_CLOUD}\n-# Cut at the length limit."
        model.default = Reply("and from here.")
        await world.press(cut)
        await discord.wait_for(lambda: cut.content == f"From the cloud, and from here.\n{BY_THE_CLOUD}")
        await world.idle()


async def test_retry_without_a_word_keeps_the_earlier_answer_with_its_note(
    discord: DiscordStandin, model: ModelStandin, cloud: ModelStandin, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    model.default = cloud.default = REFUSALS["bad key"]
    cloud.script.append(Reply(["one ", "two"], cut_after=1))
    async with start(further={"cloud": cloud}, fallback_model=FALLBACK) as world:
        broken = await world.answered()
        await world.press(broken)
        kept = f"one\n{BY_THE_CLOUD}\n-# I can't reach my AI provider."
        await discord.wait_for(lambda: broken.content.startswith(kept))
        await world.idle()
        turn = await world.store.turns.of_message(broken.id)
        assert turn is not None
        assert turn.answered_by == "big (cloud.example)"
        await world.answered()
    causes = [
        record for record in caplog.records if record.levelname == "WARNING" and record.name == "bot.core.log_entries"
    ]
    assert len(causes) == 3, "one for each model, and the reply that broke off"


async def test_owner_is_told_once_of_a_server_of_both_models(
    discord: DiscordStandin, model: ModelStandin, start: Start
) -> None:
    model.default = REFUSALS["server error"]
    async with start(fallback_model="spare", patience=0.5) as world:
        broken = await world.answered()
        assert {request.body["model"] for request in model.requests} == {"demo", "spare"}
        await discord.wait_for(lambda: len(alerts(discord)) == 1)
        assert alerts(discord)[0].startswith("My model isn't answering.")
        model.default = Reply("Here again.")
        await world.press(broken)
        await discord.wait_for(lambda: alerts(discord)[1:] == ["demo is answering again."])
        await world.idle()


async def test_quota_of_ours_asks_no_fallback(
    discord: DiscordStandin, model: ModelStandin, cloud: ModelStandin, start: Start
) -> None:
    async with start(further={"cloud": cloud}, fallback_model=FALLBACK, allowances=Quotas(20, 50, 50, 50)) as world:
        await world.ask_and_wait()
        assert "today" in world.shown()[-1]
    assert model.requests == cloud.requests == []

"""Several model servers: which one is asked with what, and what people and the owner are told of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from bot.core.model_servers import ModelServer
from bot.standin.entities import Channel
from bot.standin.model import ModelStandin
from bot.standin.script import Reply
from bot.standin.server import DiscordStandin
from tests.discord_bot.conftest import Launch, Start, commands_are_settled
from tests.places import on_discord


@pytest.fixture
async def cloud() -> AsyncIterator[ModelStandin]:
    async with ModelStandin(default=Reply("From the cloud.")) as standin:
        yield standin


def shows(discord: DiscordStandin, channel: Channel, text: str) -> bool:
    return any(message.content == text for message in discord.bot_messages(channel))


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
        [usage] = await world.store.quotas.usage(0)
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

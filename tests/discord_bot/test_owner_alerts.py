"""What the application's owner is told in direct messages, and how often."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from bot.core.quotas import Quotas, Usage
from bot.core.usage import MICRO, Price, Prices
from bot.standin.entities import Channel, User
from bot.standin.faults import ServerError, Slow
from bot.standin.model import ModelStandin
from bot.standin.profiles import PROFILES
from bot.standin.script import REFUSALS, Drop, Refusal, Reply, openai_error
from bot.standin.server import DiscordStandin
from tests.discord_bot.conftest import OPTIONS, Start, World, serving
from tests.places import on_discord

pytestmark = [pytest.mark.standin(period=0.05), pytest.mark.virtual_time]

SETUP = "-# I can't reach my AI provider. My owner has been told."
PRIVATE = "my diary"
DAY = 24 * 3600
Limited = Callable[[Quotas], AbstractAsyncContextManager[World]]


async def ask(world: World, channel: Channel, count: int = 1) -> None:
    """Bo asks, and sees the end."""
    asked = len(world.discord.bot_messages(channel))
    for _ in range(count):
        await world.ask(PRIVATE, channel)
    await world.reply(channel, count=asked + count)
    await world.idle()


PRICED = replace(OPTIONS, prices=Prices({"demo": Price(100 * MICRO, 100 * MICRO, 100 * MICRO)}))
"""A token costs a ten-thousandth."""


def told(discord: DiscordStandin, whom: User | None = None) -> list[str]:
    """What somebody was told in direct messages; Ada, who owns the application, unless another is named."""
    return [message.content for message in discord.bot_messages(discord.open_dm(whom or discord.ada))]


def said(discord: DiscordStandin, what: str) -> bool:
    return any(what in sentence for sentence in told(discord))


@pytest.fixture
def limited(discord: DiscordStandin, model: ModelStandin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Limited:
    """Start the bot with these allowances, on a day that does not end."""
    clock = time.time
    since_noon = clock() % DAY - DAY / 2
    monkeypatch.setattr("time.time", lambda: clock() - since_noon)

    @asynccontextmanager
    async def start(allowances: Quotas) -> AsyncIterator[World]:
        async with serving(
            discord,
            model,
            tmp_path / "parley.db",
            asyncio.Event(),
            options=PRICED,
            allowances=allowances,
            clock=lambda: time.time(),
        ) as world:
            yield world

    return start


async def test_owner_is_warned_of_the_daily_quota(
    discord: DiscordStandin, model: ModelStandin, limited: Limited
) -> None:
    allowances = Quotas(daily_tokens_per_server=20_000, daily_tokens_total=10_000)
    async with limited(allowances) as world:
        for tokens in (7_900, 200, 200):
            model.script.append(Reply("Here.", usage=Usage(100, tokens - 100)))
            await ask(world, discord.general)
        await discord.wait_for(lambda: told(discord))
        [mostly] = told(discord)
        assert mostly.startswith(
            "81 % of my tokens for today are used: 8,100 of 10,000. If the rest goes too, I won't answer"
        )
        assert mostly.endswith("For more, raise DAILY_TOKENS_TOTAL in .env and restart.")
    async with limited(allowances) as world:
        model.script.append(Reply("Here.", usage=Usage(100, 1_590)))
        await ask(world, discord.general)
        await discord.wait_for(lambda: len(told(discord)) == 2)
        await ask(world, discord.general)
        marked = await world.ask(PRIVATE)
        await discord.wait_for(lambda: marked.reactions.get("🕒"))
        assert len(told(discord)) == 2
        assert told(discord)[1].startswith(
            "My tokens for today are used up, all 10,000. I won't answer anyone until <t:"
        )


async def test_owner_is_warned_of_the_daily_budget(
    discord: DiscordStandin, model: ModelStandin, limited: Limited
) -> None:
    async with limited(Quotas(daily_tokens_total=None, daily_budget=MICRO)) as world:
        for tokens in (7_900, 200, 200):
            model.script.append(Reply("Here.", usage=Usage(100, tokens - 100)))
            await ask(world, discord.general)
        await discord.wait_for(lambda: told(discord))
        [mostly] = told(discord)
    assert mostly.startswith(
        "81 % of my budget for today is spent: 0.81 of 1.00. If the rest goes too, I won't answer anyone"
    )
    assert mostly.endswith("For more, raise DAILY_BUDGET in .env and restart.")


async def test_reserved_tokens_cause_no_warning(discord: DiscordStandin, model: ModelStandin, limited: Limited) -> None:
    model.script += [Reply("Late.", first_token_after=0.5), Reply("Soon.", usage=Usage(180, 4000))]
    async with limited(Quotas(daily_tokens_total=9_000)) as world:
        for place in (discord.general, discord.random_channel):
            await world.ask(PRIVATE, place)
        await world.reply(discord.random_channel, "Soon.")
        await world.reply(discord.general, "Late.")
        await world.idle()
    assert told(discord) == []


async def test_warning_names_the_guild_whose_tokens_run_out(
    discord: DiscordStandin, model: ModelStandin, limited: Limited
) -> None:
    model.script.append(Reply("Here.", usage=Usage(2_000, 8_000)))
    async with limited(Quotas(daily_tokens_per_server=10_000)) as world:
        await ask(world, discord.open_dm(discord.bo))
        model.script.append(Reply("Here.", usage=Usage(2_000, 8_000)))
        await ask(world, discord.general)
        await discord.wait_for(lambda: told(discord))
        await ask(world, discord.general)
    [sentence] = told(discord)
    assert sentence.startswith(f"The tokens of Harbour ({discord.guild.id}) for today are used up, all 10,000.")
    assert "I won't answer anyone there until" in sentence
    assert sentence.endswith("For more, raise DAILY_TOKENS_PER_SERVER in .env and restart.")


async def test_refused_key_is_reported_once_across_restarts(
    discord: DiscordStandin, model: ModelStandin, start: Start
) -> None:
    model.default = REFUSALS["bad key"]
    for _ in range(2):
        async with start() as world:
            await ask(world, discord.general, 4)
            assert {message.content for message in discord.bot_messages(discord.general)} == {SETUP}
    [sentence] = told(discord)
    assert sentence.startswith(
        "I couldn't answer a question because of a set-up problem. The model server wants a key (401)."
    )
    assert PRIVATE not in sentence
    model.default = REFUSALS["unknown model"]
    async with start() as world:
        await ask(world, discord.general)
        await discord.wait_for(lambda: len(told(discord)) == 2)
    assert len(told(discord)) == 2
    assert "The model server refused the model demo (404)." in told(discord)[1]


@pytest.mark.parametrize(
    ("refusals", "end"),
    [
        (
            [
                openai_error(status, "No.", "invalid_request_error", "bad_value", f"messages[{status}].content")
                for status in (418, 410, 405)
            ],
            "Its error: invalid_request_error, bad_value, messages[418].content.",
        ),
        (
            [Refusal(307, "", {"Location": f"https://a{number}.example.com/?request={number}"}) for number in range(3)],
            (
                "redirects to https://a0.example.com. Correct OPENAI_BASE_URL in .env and restart. Most end in /v1, as"
                " http://localhost:11434/v1 does."
            ),
        ),
    ],
)
async def test_varying_server_errors_are_reported_once(world: World, refusals: list[Refusal], end: str) -> None:
    world.model.script += refusals
    await ask(world, world.discord.general, 3)
    await world.discord.wait_for(lambda: told(world.discord))
    [sentence] = told(world.discord)
    assert sentence.endswith(end)


async def test_model_that_works_again_is_reported_once(
    discord: DiscordStandin,
    model: ModelStandin,
    start: Start,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    elsewhere = on_discord(discord.random_channel.id)
    failure = "My model isn't answering. The model server"
    # The other model fails all the time, and what is true of it says nothing of this one.
    model.objects = lambda body: REFUSALS["server error"] if body["model"] == "other" or broken else None
    monkeypatch.setattr("bot.llm.client._PAUSES", ())
    broken = True
    for _ in range(2):
        async with start(models=("demo", "other")) as world:
            await world.store.personas.set_model(elsewhere, discord.guild.id, "other")
            await ask(world, discord.general, 3)
            await ask(world, discord.random_channel, 2)
            await discord.wait_for(lambda: len(told(discord)) == 2)
    warnings = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert len([line for line in warnings if "failed (500)" in line]) == 4, "of each model and process"
    broken = False
    async with start(models=("demo", "other")) as world:
        await ask(world, discord.general, 2)
        await ask(world, discord.random_channel, 2)
        await discord.wait_for(lambda: len(told(discord)) == 3)
        broken = True
        await ask(world, discord.general, 2)
        broken = False
        await ask(world, discord.general)
        assert len(told(discord)) == 3, "now and then a failure is reported, and not all the time"
        monkeypatch.setattr("bot.discord_bot.owner_alerts.REPEATED_AFTER", 0)
        await world.store.processed.withdraw_notices("warning: demo ")
        broken = True
        await ask(world, discord.general, 2)
        await discord.wait_for(lambda: len(told(discord)) == 4)
        broken = False
        failed = discord.faults.add(ServerError(503), channel_id=discord.open_dm(discord.ada).id)
        await ask(world, discord.general)
        await discord.wait_for(lambda: failed.hits)
        await ask(world, discord.general)
        await discord.wait_for(lambda: len(told(discord)) == 5)
    first, second, third, fourth, fifth = told(discord)
    assert all(sentence.startswith(failure) for sentence in (first, second, fourth))
    assert third == fifth == "demo is answering again."


async def test_team_owner_is_told_of_a_failing_model(
    discord: DiscordStandin, model: ModelStandin, start: Start
) -> None:
    discord.found_team("Crew", discord.max, discord.ada)
    model.default = Drop()
    async with start() as world:
        await ask(world, discord.general, 2)
        await discord.wait_for(lambda: told(discord, discord.max))
    [sentence] = told(discord, discord.max)
    assert sentence.startswith("My model isn't answering. The model server")
    assert told(discord) == []


async def test_undeliverable_warning_is_logged(world: World, caplog: pytest.LogCaptureFixture) -> None:
    discord = world.discord
    discord.ada.closed_dms = True
    world.model.default = REFUSALS["bad key"]

    def logged() -> list[str]:
        return [record.getMessage() for record in caplog.records if record.name == "bot.discord_bot.owner_alerts"]

    await ask(world, discord.general, 2)
    await discord.wait_for(logged)
    discord.ada.closed_dms = False
    await ask(world, discord.general, 2)
    [line] = logged()
    assert line.startswith("the owner accepts no direct message from the bot (403")
    assert {message.content for message in discord.bot_messages(discord.general)} == {SETUP}
    assert told(discord) == []


async def test_unsent_warning_is_sent_later(world: World) -> None:
    discord = world.discord
    failed = discord.faults.add(ServerError(503), channel_id=discord.open_dm(discord.ada).id)
    world.model.default = REFUSALS["bad key"]
    await ask(world, discord.general)
    await discord.wait_for(lambda: failed.hits)
    assert told(discord) == []
    await ask(world, discord.general)
    await discord.wait_for(lambda: told(discord))
    await ask(world, discord.general)
    assert len(told(discord)) == 1


async def test_model_shutdown_is_announced_in_time(
    discord: DiscordStandin, model: ModelStandin, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    model.models = ("demo", "other")
    days = ("11-14", "11-15", "11-15", "11-30", "12-31", "12-31", "01-12", "01-13", "01-14", "01-15", "01-16")
    for number, month_and_day in enumerate(days):
        today = date.fromisoformat(f"{2027 if month_and_day < '02' else 2026}-{month_and_day}")
        monkeypatch.setattr("bot.discord_bot.owner_alerts._today", partial(date.fromordinal, today.toordinal()))
        # Of the other one there is news at every start, and it comes behind what there is to say of this one.
        news = f"other on {today + timedelta(days=30 + number)}"
        model.shutdown_dates = {"demo": "2027-01-14", "other": news.removeprefix("other on ")}
        async with start(models=("demo", "other")):
            await discord.wait_for(partial(said, discord, news))
    choose = "Choose another model: change OPENAI_MODEL in .env and restart."
    assert [sentence for sentence in told(discord) if "demo" in sentence] == [
        f"My provider shuts down demo on 2027-01-14, in 60 days. {choose}",
        f"My provider shuts down demo on 2027-01-14, in 14 days. {choose}",
        f"My provider shuts down demo on 2027-01-14, tomorrow. {choose}",
        f"My provider shut down demo on 2027-01-14. {choose}",
    ]
    assert told(discord)[0].endswith("Choose another model: change MODELS in .env and restart.")


async def test_running_bot_checks_model_shutdowns_again(
    discord: DiscordStandin, model: ModelStandin, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("CHECK_EVERY", "RETRY_DELAY"):
        monkeypatch.setattr(f"bot.discord_bot.owner_alerts.{name}", 0.05)
    await model.stop_listening()
    async with start():
        await model.listen()
        model.models = None
        await asyncio.sleep(0.2)
        model.models = ("demo",)
        await asyncio.sleep(0.2)
        assert told(discord) == []
        soon = datetime.now(UTC).date() + timedelta(days=5)
        model.shutdown_dates = {"demo": str(soon)}
        await discord.wait_for(lambda: told(discord))
        await asyncio.sleep(0.2)
    [sentence] = told(discord)
    assert f"demo on {soon}, in " in sentence


async def test_pending_warning_is_sent_before_the_end(
    discord: DiscordStandin, model: ModelStandin, start: Start
) -> None:
    model.shutdown_dates = {"demo": str(datetime.now(UTC).date() + timedelta(days=5))}
    slow = discord.faults.add(Slow(0.3), method="POST", route="/users/@me/channels")
    async with start() as world:
        await world.until(lambda: slow.hits)
    assert len(told(discord)) == 1


async def test_owner_is_told_once_of_a_server_that_cuts(
    discord: DiscordStandin, model: ModelStandin, start: Start
) -> None:
    model.profile, model.context_tokens = PROFILES["ollama"], 2000
    line = "The quick brown fox jumps over the lazy dog. "
    for _ in range(2):
        async with start() as world:
            for n in range(8):
                await world.ask(f"{n} {line * 40}", discord.general)
                await world.idle()
            await discord.wait_for(lambda: told(discord))
    [sentence] = told(discord)
    assert sentence == (
        "My model doesn't read the beginning of longer conversations. The server of demo reads less than it is sent and"
        " ignores the rest. Give it a context of 12000 tokens (for Ollama: OLLAMA_CONTEXT_LENGTH), or lower"
        " CONTEXT_TOKENS and REPLY_TOKENS in .env and restart. Until then I send it less."
    )

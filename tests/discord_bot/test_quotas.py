"""What a bot may cost, as people on Discord see it and as the ledger in the database says afterwards."""

from __future__ import annotations

import asyncio
import math
import re
import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Any, TypeAlias

import pytest

from bot.core.queues import QueueLimits
from bot.core.quotas import Quotas, Usage
from bot.core.usage import MICRO, Price, Prices
from bot.standin.limits import Limit
from bot.standin.model import ModelStandin
from bot.standin.script import REFUSALS, Raw, Reply
from bot.standin.server import DiscordStandin
from bot.store.databases import Database
from tests.discord_bot.conftest import ALLOWANCES, OPTIONS, Launch, World, serving
from tests.llm.wire import DONE, STOP, data, say
from tests.places import on_discord
from tests.store.steps import assert_it_adds_up, failing, rows

pytestmark = [pytest.mark.virtual_time, pytest.mark.both_engines]

REPLY_TOKENS = 4000
CROWD = QueueLimits(
    max_concurrent_replies=100, max_replies_per_conversation=100, queue_per_user=100, queue_per_conversation=100
)
TENFOLD = Price(10 * MICRO, 10 * MICRO, MICRO)
"""A token costs ten millionths, and one that was cached one."""
PRICED = replace(OPTIONS, prices=Prices({"demo": TENFOLD, "large": TENFOLD}))
Serve: TypeAlias = Callable[[Quotas], AbstractAsyncContextManager[World]]


@pytest.fixture
def serve(discord: DiscordStandin, model: ModelStandin, file: Database) -> Serve:
    """The bot with these allowances, room for a crowd, and a Discord that is quicker than itself."""
    discord.limits.messages = Limit(5, 0.05)

    def start(allowances: Quotas) -> AbstractAsyncContextManager[World]:
        return serving(
            discord,
            model,
            file,
            asyncio.Event(),
            models=("demo", "large"),
            options=PRICED,
            limits=CROWD,
            allowances=allowances,
        )

    return start


def ledger(file: Database) -> list[tuple[int, int, int, int]]:
    """Attempt, tokens of the prompt, tokens of the reply and whether that is final, of all that was asked."""
    return rows(file, "SELECT attempt, prompt_tokens, reply_tokens, settled FROM charges ORDER BY id")


def assert_all_is_settled(file: Database) -> None:
    assert_it_adds_up(file)
    assert rows(file, "SELECT count(*) FROM charges WHERE settled = 0") == [(0,)]


@pytest.mark.parametrize("all_of_it", [True, False])
@pytest.mark.parametrize(
    ("whose", "sentence"),
    [
        ("user", "You've reached your limit for today."),
        ("guild", "This server has reached its limit for today."),
        ("total", "I've reached my limit for today."),
        ("budget", "I've reached my limit for today."),
    ],
)
async def test_fifty_prompts_share_tokens_for_ten(
    serve: Serve,
    discord: DiscordStandin,
    model: ModelStandin,
    file: Database,
    whose: str,
    sentence: str,
    all_of_it: bool,
) -> None:
    # Ten whole replies to these prompts, for which 172 to 183 tokens are reserved, and too little for an eleventh.
    budget = 10 * REPLY_TOKENS + 1850
    limited = {
        "user": replace(ALLOWANCES, daily_tokens_per_user=budget),
        "guild": replace(ALLOWANCES, daily_tokens_per_server=budget),
        "total": replace(ALLOWANCES, daily_tokens_total=budget),
        "budget": Quotas(10**6, None, None, None, daily_budget=10 * budget),
    }[whose]
    overspent = f"'{whose}' AND NEW.tokens > {budget}" if whose != "budget" else f"'total' AND NEW.cost > {10 * budget}"
    if whose == "user":
        places = [discord.add_channel(f"channel{n}") for n in range(50)]
        people = [discord.bo] * 50
    else:
        places = [discord.general, discord.random_channel] * 25
        people = [discord.add_user(f"person{n}") for n in range(50)]
    if all_of_it:
        # They hold what they reserved until all have asked.
        model.default = Reply("Because of the light.", first_token_after=1.0, usage=Usage(172, REPLY_TOKENS))
    else:
        model.default = Reply("Because of the light.", first_token_after=0.1)
    async with (
        serve(limited) as world,
        failing(world.store.engine, "AFTER UPDATE ON daily_usage", f"NEW.scope = {overspent}"),
    ):
        for channel, person in zip(places, people, strict=True):
            await world.ask(channel=channel, author=person)
        channels = set(places)

        def told() -> list[str]:
            return [message.content for channel in channels for message in discord.bot_messages(channel)]

        await discord.wait_for(lambda: len(told()) == 50, timeout=15)
        await world.idle()
        refused = [text for text in told() if re.fullmatch(rf"-# {sentence} More <t:\d+:R>\.", text)]
        answered = 10 if all_of_it else 50
        assert len(refused) == 50 - answered
        assert told().count("Because of the light.") == answered
        assert len(model.requests) == answered
        assert len(ledger(file)) == answered
        if not all_of_it:
            assert discord.bot_messages(discord.open_dm(discord.ada)) == [], "the owner is not told that it was close"
    assert_all_is_settled(file)


async def test_spent_budget_is_told_without_amounts(
    serve: Serve, discord: DiscordStandin, model: ModelStandin, file: Database
) -> None:
    # Dearer than its tokens would be uncached: 10 * (1,000 + 50) and 900 cached ones at a tenth.
    usage = {"prompt_tokens": 1900, "completion_tokens": 50, "prompt_tokens_details": {"cached_tokens": 900}}
    model.script += [
        Raw([say("Because.") + STOP + data({}, usage=usage) + DONE]),
        Reply("word " * 4000, tokens_per_second=2000),
    ]
    async with serve(replace(ALLOWANCES, daily_budget=30_000)) as world:
        await world.ask_and_wait()
        assert rows(file, "SELECT cost FROM charges") == [(11_400,)]
        # About 1,700 tokens are left for the reply.
        await world.ask_and_wait()
        cut = await world.reply(discord.general, "I have to stop here. I've reached my limit for today.", count=2)
        assert cut.content.startswith("word word")
        for person in (discord.cleo, discord.bo):
            await world.ask_and_wait(channel=discord.random_channel, author=person)
        for message in discord.bot_messages(discord.random_channel):
            assert re.fullmatch(r"-# I've reached my limit for today\. More <t:\d+:R>\.", message.content)
        await discord.wait_for(lambda: discord.bot_messages(discord.open_dm(discord.ada)))
        [alert] = [message.content for message in discord.bot_messages(discord.open_dm(discord.ada))]
        assert re.fullmatch(
            r"My budget for today is spent, all 0\.03\. I won't answer anyone until <t:\d+:t>, <t:\d+:R>\. For more,"
            r" raise DAILY_BUDGET in \.env and restart\.",
            alert,
        )
    assert len(model.requests) == 2
    [(spent,)] = rows(file, "SELECT cost FROM daily_usage WHERE scope = 'total'")
    assert 28_000 < spent <= 30_000
    assert_all_is_settled(file)


CACHED = {"prompt_tokens_details": {"cached_tokens": 1024}, "completion_tokens_details": {"reasoning_tokens": 64}}


@pytest.mark.parametrize(
    ("wrap", "more"),
    [
        pytest.param(lambda usage: {"choices": [], "usage": usage}, CACHED, id="OpenAI"),
        pytest.param(
            lambda usage: {"usage": usage},
            {"prompt_cache_hit_tokens": 1024, "completion_tokens_details": {"reasoning_tokens": 64}},
            id="DeepSeek",
        ),
        pytest.param(lambda usage: {"x_groq": {"id": "req_1", "usage": usage}}, CACHED, id="Groq"),
        pytest.param(
            lambda usage: {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop", "usage": usage}]},
            {"cached_tokens": 1024, "completion_tokens_details": {"reasoning_tokens": 64}},
            id="Moonshot",
        ),
    ],
)
async def test_cached_tokens_are_charged_at_their_price(
    serve: Serve,
    discord: DiscordStandin,
    model: ModelStandin,
    file: Database,
    wrap: Callable[[object], dict[str, Any]],
    more: dict[str, object],
) -> None:
    usage = {"prompt_tokens": 1336, "completion_tokens": 90, "total_tokens": 1426, **more}
    model.script.append(Raw([say("Because.") + STOP + data({}, **wrap(usage)) + DONE]))
    async with serve(ALLOWANCES) as world:
        await world.answered()
        assert rows(
            file,
            "SELECT prompt_tokens, cached_tokens, reply_tokens, reasoning_tokens, quota_tokens, cost FROM charges",
        ) == [(1336, 1024, 90, 64, 312 + 103 + 90, 10 * 312 + 1024 + 10 * 90)]
    assert_all_is_settled(file)


async def test_exhausted_quota_is_told_once(
    serve: Serve, discord: DiscordStandin, model: ModelStandin, file: Database
) -> None:
    model.script += [Reply("Because.", usage=Usage(80, 850)), Reply("Because.", usage=False)]
    async with serve(replace(ALLOWANCES, daily_tokens_per_user=1000)) as world:
        await world.ask()
        await world.reply(discord.general, "Because.")
        await world.idle()
        await world.ask()
        told = await world.reply(discord.general, count=2)
        assert re.fullmatch(r"-# You've reached your limit for today\. More <t:\d+:R>\.", told.content)
        marked = [await world.ask(channel=place) for place in (discord.general, discord.random_channel)]
        await discord.wait_for(lambda: all(message.reactions.get("🕒") for message in marked))
        await world.ask(channel=discord.random_channel, author=discord.cleo)
        await world.reply(discord.random_channel, "Because.")
        await world.idle()
    assert len(discord.bot_messages(discord.general)) == 2
    assert len(ledger(file)) == 2


async def test_hourly_limit_of_one_person(serve: Serve, discord: DiscordStandin, model: ModelStandin) -> None:
    model.default = Reply("Because.")
    back = re.compile(r"-# You've used your 3 questions for this hour\. More <t:\d+:R>\.")
    allowances = replace(ALLOWANCES, hourly_questions_per_user=3)
    async with serve(allowances) as world:
        for channel, count in ((discord.general, 1), (discord.general, 2), (discord.random_channel, 1)):
            await world.ask(channel=channel)
            await world.reply(channel, "Because.", count=count)
        fourth = await world.ask()
        assert back.fullmatch((await world.reply(discord.general, "-# ", count=3)).content)
        fifth = await world.ask()
        await discord.wait_for(lambda: fifth.reactions.get("🕒"))
        await discord.slash(discord.bo, discord.general, "reset")
        await world.reply(discord.general, "cleared my memory here", count=4)
        sixth = await world.ask()
        await discord.wait_for(lambda: sixth.reactions.get("🕒"))
        await world.ask(channel=discord.general, author=discord.cleo)
        await world.reply(discord.general, "Because.", count=5)
        await world.idle()
    async with serve(allowances) as world:
        seventh = await world.ask(channel=discord.random_channel)
        await discord.wait_for(lambda: seventh.reactions.get("🕒"))
    assert fourth.reactions == {}, "who is told needs no mark"
    assert len(model.requests) == 4


async def test_reply_ends_at_the_daily_quota(
    serve: Serve, discord: DiscordStandin, model: ModelStandin, file: Database
) -> None:
    model.default = Reply("word " * 9000, tokens_per_second=2000, ignores_max_tokens=True)
    async with serve(replace(ALLOWANCES, daily_tokens_per_user=620)) as world:
        await world.ask()
        message = await world.reply(discord.general, "-# ")
        await world.idle()
        text, note = message.content.rsplit("\n", 1)
        assert re.fullmatch(r"-# I have to stop here\. You've reached your limit for today\. More <t:\d+:R>\.", note), (
            "and when it goes on"
        )
        [(_, prompt, reply, settled)] = ledger(file)
        assert 500 < prompt + reply <= 620
        assert settled
        assert reply == model.requests[0].max_tokens
        await model.requests[0].over()
        assert model.requests[0].left, "the server is not left talking"
        assert 3 * reply < len(text) < 4 * reply
        await world.press(message)
        await discord.wait_for(lambda: "I have to stop here" in message.content and message.components)
        await world.idle()
        assert message.content.startswith(text), "what there was stays"
    assert len(model.requests) == 1
    assert_all_is_settled(file)


async def test_uncounted_replies_are_estimated_and_refusals_free(
    serve: Serve, discord: DiscordStandin, model: ModelStandin, file: Database
) -> None:
    model.script += [Reply("x" * 350, usage=False), REFUSALS["bad key"], Reply("Yes.", usage=Usage(2000, 5000))]
    async with serve(ALLOWANCES) as world:
        for count in (1, 2, 3):
            await world.ask()
            await world.reply(discord.general, count=count)
            await world.idle()
        (_, prompt, reply, _), free, counted = ledger(file)
        assert (30 < prompt < 200, reply) == (True, 100)
        assert free == (1, 0, 0, 1)
        assert counted == (1, 2000, 5000, 1), "more than was reserved, and true"
    assert_all_is_settled(file)


@pytest.mark.parametrize("count", [0, -500_000, 10**20, 10**30, True, "12", 1e300, math.nan, math.inf, None, [7]])
async def test_implausible_count_is_ignored(
    serve: Serve, discord: DiscordStandin, model: ModelStandin, file: Database, count: object
) -> None:
    usage = {"prompt_tokens": count, "completion_tokens": count}
    model.default = Raw([say("x" * 350) + STOP + data({}, usage=usage) + DONE])
    async with serve(ALLOWANCES) as world:
        for number in (1, 2):
            await world.ask()
            message = await world.reply(discord.general, "x" * 350, count=number)
            await world.idle()
            assert message.content == "x" * 350
        for _, prompt, reply, settled in ledger(file):
            assert (50 < prompt < 300, reply, settled) == (True, 100, 1)
        assert len(ledger(file)) == 2
        assert [state for *_, state in await world.turns(discord.general)] == ["complete"] * 2
    assert_all_is_settled(file)


async def test_retry_is_charged_only_for_itself(
    serve: Serve, discord: DiscordStandin, model: ModelStandin, file: Database
) -> None:
    model.script += [Reply("Half of it", cut_after=1, usage=False), Reply("Whole.", usage=Usage(100, 10))]
    async with serve(ALLOWANCES) as world:
        await world.ask()
        message = await world.reply(discord.general, "The answer broke off.")
        await world.idle()
        [first] = ledger(file)
        for _ in range(2):
            if message.components:
                await world.press(message)
        await discord.wait_for(lambda: message.content == "Whole.")
        await world.idle()
        assert ledger(file) == [first, (2, 100, 10, 1)]
    assert_all_is_settled(file)


async def test_channels_model_and_persona_are_sent(
    serve: Serve, discord: DiscordStandin, model: ModelStandin, file: Database
) -> None:
    model.default = Reply("Arr.")
    async with serve(ALLOWANCES) as world:
        await world.store.personas.set_model(on_discord(discord.general.id), discord.guild.id, "large")
        await world.store.personas.set_persona(on_discord(discord.general.id), discord.guild.id, "You are a pirate.")
        for channel in (discord.general, discord.random_channel):
            await world.ask(channel=channel)
            await world.reply(channel, "Arr.")
        await world.idle()
    asked = [(request.body["model"], request.max_tokens, request.messages[0]["content"]) for request in model.requests]
    assert [(name, most) for name, most, _ in asked] == [("large", REPLY_TOKENS), ("demo", REPLY_TOKENS)]
    assert asked[0][2].startswith("You are a pirate.")
    assert asked[1][2].startswith("Be brief.")
    assert rows(file, "SELECT model FROM charges ORDER BY id") == [("large",), ("demo",)]


@pytest.mark.real_time("a process")
@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
async def test_killed_attempt_is_charged_once(
    discord: DiscordStandin, model: ModelStandin, launch: Launch, file: Database
) -> None:
    model.script += [Reply("word " * 2000, tokens_per_second=100), Reply("All of it.", usage=Usage(80, 6))]
    money = {"PRICES": "gpt-6-luna=10/20/1", "DAILY_BUDGET": "5.00"}
    async with launch(**money) as process:
        await discord.ready()
        await discord.say(discord.general, discord.bo, f"<@{discord.bot.id}> write a lot")
        await discord.wait_for(lambda: discord.bot_messages(discord.general))
        broken = discord.bot_messages(discord.general)[-1]
        await discord.wait_for(lambda: broken.content.count("word") > 150)
        process.kill()
        await process.wait()
    [(_, prompt, reserved, settled)] = ledger(file)
    assert (reserved, settled) == (REPLY_TOKENS, 0)
    spent = "SELECT cost FROM daily_usage WHERE scope = 'total'"
    assert rows(file, spent) == [(10 * prompt + 20 * REPLY_TOKENS,)]
    for _ in range(2):
        async with launch(**money) as process:
            await discord.wait_for(lambda: broken.content == "All of it.")
            process.terminate()
            await process.wait()
        killed, recovered = ledger(file)
        assert killed[:2] == (1, prompt)
        assert 50 < killed[2] < 400, "as much as had come by the last time it was saved"
        assert recovered == (2, 80, 6, 1)
        assert rows(file, spent) == [(10 * (prompt + 80) + 20 * (killed[2] + 6),)]
    assert_all_is_settled(file)

"""The bot as a process of its own: its start, its end, and what a kill leaves behind."""

from __future__ import annotations

import asyncio
import math
import signal
import sys
from pathlib import Path

import pytest

from bot.discord_bot.client import END_NOTICE_TIMEOUT
from bot.discord_bot.delivery.scheduler import DRAIN_TIMEOUT
from bot.standin.faults import RateLimited
from bot.standin.model import ModelStandin
from bot.standin.script import Reply
from bot.standin.server import DiscordStandin
from bot.store.sqlite import open_store
from tests.discord_bot.conftest import Launch
from tests.places import on_discord
from tests.waiting import FOR_A_PROCESS

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")


async def test_kill_loses_at_most_a_second_of_text(
    discord: DiscordStandin, model: ModelStandin, launch: Launch, tmp_path: Path
) -> None:
    bot = f"<@{discord.bot.id}>"
    model.script.extend([Reply("Kept."), Reply("word " * 2000, tokens_per_second=100)])
    async with launch() as process:
        await discord.ready()
        await discord.say(discord.general, discord.bo, f"{bot} remember this")
        await discord.wait_for(lambda: len(discord.bot_messages(discord.general)) == 1)
        await discord.say(discord.general, discord.bo, f"{bot} write a lot")
        await discord.say(discord.general, discord.bo, f"{bot} and this waits")
        async with asyncio.timeout(FOR_A_PROCESS):
            await model.request(1)
        waits = discord.messages(discord.general)[-1]
        await discord.wait_for(lambda: "⏳" in waits.reactions)
        await discord.wait_for(lambda: discord.bot_messages(discord.general)[-1].content.count("word") > 120)
        process.kill()
        await process.wait()
    broken = discord.bot_messages(discord.general)[-1]
    seen = broken.content.count("word")

    model.script.extend([Reply("All of it.", first_token_after=0.3), Reply("Not forgotten.")])
    async with launch() as process:
        await discord.wait_for(lambda: "-# I was restarted" in broken.content)
        assert broken.content.endswith("\n-# I was restarted. Trying again…")
        assert broken.content.count("word") > seen - 110, "at most a second of it is lost"
        await discord.wait_for(lambda: broken.content == "All of it.")
        await discord.wait_for(lambda: discord.bot_messages(discord.general)[-1].content == "Not forgotten.")
        assert discord.bot_messages(discord.general)[-1].reply_to is waits
        assert len(discord.bot_messages(discord.general)) == 3
        await discord.wait_for(lambda: not waits.reactions.get("⏳"))
        process.terminate()
        await process.wait()
    async with open_store(tmp_path / "parley.db", exclusive=True) as store:
        turns = [
            (turn.reply, turn.state.value) for turn in await store.turns.history(on_discord(discord.general.id), 10)
        ]
    assert turns == [("Not forgotten.", "complete"), ("All of it.", "complete"), ("Kept.", "complete")]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_signal_ends_the_bot_within_its_grace(
    discord: DiscordStandin, model: ModelStandin, launch: Launch, number: signal.Signals
) -> None:
    model.script.append(Reply("word " * 2000, tokens_per_second=100))
    async with launch(alone=True) as process:
        await discord.ready()
        await discord.say(discord.general, discord.bo, f"<@{discord.bot.id}> write a lot")
        await discord.wait_for(lambda: len(discord.bot_messages(discord.general)) == 1)
        process.send_signal(number)
        async with asyncio.timeout(FOR_A_PROCESS):
            assert await process.wait() == 0
    message = discord.bot_messages(discord.general)[-1]
    assert message.content.startswith("word word")
    assert message.content.endswith("\n-# I was restarted and couldn't finish.")


async def test_rate_limited_call_does_not_delay_the_end(
    discord: DiscordStandin, model: ModelStandin, launch: Launch
) -> None:
    model.script.append(Reply("word " * 2000, tokens_per_second=100))
    async with launch() as process:
        await discord.ready()
        await discord.say(discord.general, discord.bo, f"<@{discord.bot.id}> write a lot")
        limited = discord.faults.add(RateLimited(2 * FOR_A_PROCESS), method="PATCH", times=math.inf)
        await discord.wait_for(lambda: limited.hits)
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(FOR_A_PROCESS):
            assert await process.wait() == 0
    assert END_NOTICE_TIMEOUT + DRAIN_TIMEOUT <= 1.5, "of the two seconds behind the grace"


@pytest.mark.parametrize(
    ("settings", "code", "sentence"),
    [
        ({"DISCORD_TOKEN": "wrong.wrong.wrong"}, 1, "Discord refused DISCORD_TOKEN."),
        ({"DISCORD_TOKEN": "", "LOG_LEVEL": "loud"}, 2, "DISCORD_TOKEN: not set"),
        ({"DATABASE_PATH": "/dev/null/parley.db"}, 1, "such as ~/parley.db. Choose the file with DATABASE_PATH in the"),
        (
            {"DATABASE_PATH": "/dev"},
            2,
            'DATABASE_PATH in the environment: "/dev" is a directory; name a file in it such',
        ),
    ],
)
async def test_unusable_setup_is_one_sentence(
    launch: Launch, settings: dict[str, str], code: int, sentence: str
) -> None:
    async with launch(**settings) as process:
        assert process.stderr is not None
        said = (await process.stderr.read()).decode()
        assert await process.wait() == code
    assert sentence in said
    assert "Traceback" not in said
    assert "wrong.wrong" not in said


async def test_second_bot_on_the_database_is_refused(discord: DiscordStandin, launch: Launch) -> None:
    async with launch():
        await discord.ready()
        async with launch() as second:
            assert second.stderr is not None
            said = (await second.stderr.read()).decode()
            assert await second.wait() == 1
    assert "already in use by process" in said
    assert "parley-2.db. Choose the file with DATABASE_PATH in the environment." in said


async def test_secrets_stay_out_of_the_log(discord: DiscordStandin, model: ModelStandin, launch: Launch) -> None:
    async with launch(LOG_LEVEL="DEBUG", OPENAI_API_KEY="sk-very-secret") as process:
        await discord.ready()
        await discord.say(discord.general, discord.bo, f"<@{discord.bot.id}> hello")
        await discord.wait_for(lambda: len(discord.bot_messages(discord.general)) == 1)
        process.terminate()
        assert process.stderr is not None
        said = (await process.stderr.read()).decode()
    assert "turn 1 in discord:" in said
    assert "very-secret" not in said
    assert discord.token not in said
    assert "hello" not in said, "nor is what people say"

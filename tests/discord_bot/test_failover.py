"""A PostgreSQL server is lost, and its standby takes over: nothing that was said or asked is."""

from __future__ import annotations

import asyncio
import signal
import sys

import pytest

from bot.standin.model import ModelStandin
from bot.standin.script import Reply
from bot.standin.server import DiscordStandin
from bot.store.databases import Database, DatabaseServer
from tests.discord_bot.conftest import Launch
from tests.discord_bot.people import ask, shown
from tests.postgresql import Server

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")


@pytest.fixture
def file(postgresql_url: str) -> Database:
    return DatabaseServer(postgresql_url)


async def test_failover_loses_nothing(
    discord: DiscordStandin,
    model: ModelStandin,
    launch: Launch,
    postgresql_server: Server,
    postgresql_url: str,
) -> None:
    with postgresql_server.standby() as standby:
        both = postgresql_url.replace(f"{postgresql_server.folder}", f"{postgresql_server.folder},{standby.folder}")
        async with launch(SHARDS="auto", SHUTDOWN_GRACE="20", DATABASE_URL=both) as process:
            await discord.ready()
            model.script.append(Reply("word " * 120, tokens_per_second=40))
            await ask(discord, "write")
            await discord.wait_for(lambda: any("word word" in text for text in shown(discord)))
            await asyncio.to_thread(postgresql_server.stop, signal.SIGQUIT)
            model.default = Reply("Meanwhile.")
            await ask(discord, "and while it is away?", discord.random_channel)
            await asyncio.sleep(1)
            await asyncio.to_thread(standby.promote)
            await discord.wait_for(lambda: shown(discord, discord.random_channel) == ["Meanwhile."])
            await discord.wait_for(lambda: " ".join(shown(discord)).count("word") == 120)
            await ask(discord, "and now?")
            await discord.wait_for(lambda: shown(discord)[-1] == "Meanwhile.")
            process.terminate()
            assert await process.wait() == 0
        said = [each["content"].split() for each in model.requests[-1].messages if each["role"] == "assistant"]
        assert said == [["word"] * 120], "the process remembers it"
        assert not any("-#" in text for text in shown(discord)), "nothing was cut off"

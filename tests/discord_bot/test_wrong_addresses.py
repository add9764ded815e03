"""A model server at a wrong address: the check, the terminal and the bot name the setting and an address that works."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bot.operator.check import check
from bot.standin.model import ModelStandin
from bot.standin.server import DiscordStandin
from tests.discord_bot.conftest import Launch
from tests.network.certificates import certificate
from tests.terminal.processes import pipe


@asynccontextmanager
async def tls_server(folder: Path) -> AsyncIterator[str]:
    """The address of a server that only speaks TLS."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    _, context = certificate(folder)
    async with await asyncio.start_server(talk, "127.0.0.1", 0, ssl=context) as server:
        yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"


@pytest.fixture
async def addresses(mistake: str, model: ModelStandin, tmp_path: Path) -> AsyncIterator[tuple[str, str]]:
    """The address that is set, and the one that works."""
    if mistake == "http for https":
        async with tls_server(tmp_path) as works:
            yield works.replace("https:", "http:"), works
    else:
        right = model.base_url
        yield (right.replace("http:", "https:") if mistake == "https for http" else right.removesuffix("/v1")), right


@pytest.mark.parametrize("place", [".env", "the environment"])
@pytest.mark.parametrize("mistake", ["https for http", "http for https", "no /v1"])
async def test_wrong_address_names_one_that_works(
    mistake: str, place: str, addresses: tuple[str, str], discord: DiscordStandin, launch: Launch, tmp_path: Path
) -> None:
    wrong, works = addresses
    attempt = "or try" if mistake == "http for https" else "Set"
    advice = f"{attempt} OPENAI_BASE_URL={works} in {place} and restart."
    (tmp_path / ".env").write_text(f"OPENAI_BASE_URL={wrong}\n" if place == ".env" else "")
    environ = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(Path.cwd()),
        "OPENAI_BASE_URL": "" if place == ".env" else wrong,
        "DATABASE_PATH": str(tmp_path / "parley.db"),
        "DISCORD_TOKEN": discord.token,
    }

    lines: list[str] = []
    assert not await check(environ, lines.append, env_file=tmp_path / ".env")
    # On a busy machine the check may say first that it still waits.
    [told] = [line for line in lines if line.startswith("Model: ") and not line.endswith("waiting for an answer.")]
    assert advice in told

    _, told, _ = await pipe(environ, b"Are you there?")
    assert advice in told

    async with launch(OPENAI_BASE_URL=environ["OPENAI_BASE_URL"]) as process:
        await discord.ready()
        await discord.say(discord.general, discord.bo, f"<@{discord.bot.id}> are you there?")
        await discord.wait_for(lambda: any("-# " in each.content for each in discord.bot_messages(discord.general)))
        [answer] = discord.bot_messages(discord.general)
        assert answer.content.startswith(
            "-# My model isn't answering right now."
            if mistake == "http for https"
            else "-# I can't reach my AI provider."
        )
        process.terminate()
        assert process.stderr is not None
        assert advice in (await process.stderr.read()).decode()

"""The health of a bot that runs: asked from outside, as the image asks."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from bot.core.errors import BotError
from bot.operator.health import HealthReport, read_health
from bot.standin.faults import ALWAYS, ConnectionReset, RateLimited, RestAction, Slow
from bot.standin.server import DiscordStandin
from tests import waiting
from tests.discord_bot.conftest import Launch, World
from tests.waiting import FOR_A_PROCESS

pytestmark = pytest.mark.virtual_time

ROOT = Path(__file__).parents[2]
HEALTHY = "Discord: connected.\nDatabase: answers.\nModel: no reply since the start.\n"


async def image_check(database: Path) -> tuple[int, str, str]:
    """Exit code, output and error output of the command in the image's HEALTHCHECK."""
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    [command] = re.findall(r"^HEALTHCHECK .*CMD (\[.*\])$", dockerfile, re.MULTILINE)
    python, *arguments = json.loads(command)
    assert python == "python"
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *arguments,
        env={**os.environ, "PYTHONPATH": str(ROOT), "DATABASE_PATH": str(database)},
        cwd=database.parent,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


@pytest.fixture(autouse=True)
def reports_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bot in this process reports its health often; one of its own keeps its interval."""
    monkeypatch.setattr("bot.operator.health.INTERVAL", 0.01)


async def says(database: Path, max_age: float = 15.0) -> str:
    """`well` or `unwell`, or why that is not known."""
    try:
        return "well" if (await read_health(database, max_age)).well else "unwell"
    except BotError as error:
        return str(error)


async def until(well: bool, database: Path) -> str:
    reports: list[HealthReport] = []

    async def found() -> bool:
        with suppress(BotError):
            reports.append(await read_health(database))
        return bool(reports) and reports[-1].well is well

    await waiting.until(found, within=FOR_A_PROCESS)
    return reports[-1].text


async def test_health_follows_the_gateway(
    discord: DiscordStandin, world: World, shards: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.discord_bot.session_starts.IDENTIFY_EVERY", 0.3)
    database = tmp_path / "parley.db"
    await until(True, database)
    async with discord.gateway.outage():
        one, some = "no connection to the gateway for 0 s", rf"\d of {shards} shards connected; shard .* away for 0 s"
        told = await until(False, database)
        assert re.match(rf"Discord: {one if shards == 1 else some}\.\nDatabase: answers\.", told)
    await until(True, database)
    assert discord.gateway.resumes == shards

    await discord.gateway.invalidate()
    await until(False, database)
    await until(True, database)


@pytest.mark.parametrize("trouble", [Slow(1.5), RateLimited(1.5, "global"), ConnectionReset()], ids=str)
async def test_health_follows_the_requests(
    discord: DiscordStandin, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trouble: RestAction
) -> None:
    monkeypatch.setattr("bot.operator.health.UNANSWERED_LIMIT", 0.5)
    database = tmp_path / "parley.db"
    await world.ask("hello")
    await world.reply(discord.general)
    await world.idle()
    await until(True, database)
    discord.faults.add(trouble, times=ALWAYS)
    await world.ask("hello?")
    assert "Discord: connected, but no request has been answered for" in await until(False, database)
    discord.faults.clear()
    await world.reply(discord.general, count=2)
    await world.idle()
    await until(True, database)


async def test_health_reports_the_last_reply(discord: DiscordStandin, world: World, tmp_path: Path) -> None:
    await world.ask("hello")
    await world.reply(discord.general)
    await world.idle()

    async def told() -> bool:
        report = await until(True, tmp_path / "parley.db")
        return re.search(r"\nModel: the last reply ended \d+ s ago\.$", report) is not None

    # The file is written a moment later.
    await world.until(told)


@pytest.mark.real_time("a process")
@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
async def test_image_healthcheck_sees_run_hang_and_end(discord: DiscordStandin, launch: Launch, tmp_path: Path) -> None:
    database = tmp_path / "parley.db"
    async with launch() as process:
        await discord.ready()
        await until(True, database)
        assert await image_check(database) == (0, HEALTHY, "")

        process.send_signal(signal.SIGSTOP)

        async def blocked() -> bool:
            return "is blocked" in await says(database, max_age=4)

        await waiting.until(blocked, within=FOR_A_PROCESS)
        process.send_signal(signal.SIGCONT)
        await waiting.until(lambda: says(database, max_age=4), "well", within=FOR_A_PROCESS)

        process.kill()
        await process.wait()
    code, out, error = await image_check(database)
    assert (code, out) == (1, "")
    assert error == f"No bot runs on the database {database}: start it with `python -m bot`.\n"

    async with launch() as process:
        await discord.ready()
        await until(True, database)
        process.terminate()
        await process.wait()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["parley.db", "parley.db.lock"]

"""Asking a bot for its health: what it says of itself, who may ask, and what is left behind."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from bot.core.errors import BotError
from bot.discord_bot.health import HealthChecks
from bot.operator import health
from bot.operator.health import HealthReport, publish_health, read_health, status_file
from bot.store.databases import DatabaseServer
from bot.store.sqlite import open_store
from tests.waiting import FOR_A_PROCESS, PATIENCE, until


@pytest.fixture(autouse=True)
def reports_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "INTERVAL", 0.01)


@asynccontextmanager
async def bot(
    database: Path,
    *,
    away: Sequence[float | None] = (None,),
    unanswered: float = 0.0,
    model: float | None = None,
) -> AsyncIterator[None]:
    """What reports the health of a bot, on a database of its own, once there is a report.

    In every report, `away` are the seconds without a session of each shard, and `model` those since the last reply.
    """

    def last_reply() -> float | None:
        return None if model is None else time.monotonic() - model

    async with (
        open_store(database, exclusive=True) as store,
        publish_health(
            database, HealthChecks(lambda: dict(enumerate(away)), lambda: unanswered, store.engine.ping, last_reply)
        ),
    ):
        await until(status_file(database).exists)
        yield


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "parley.db"


def left_behind(database: Path) -> list[str]:
    return sorted(path.name for path in database.parent.iterdir() if ".health" in path.name)


async def report_with(line: str, database: Path) -> HealthReport:
    """The first report from now on that has this line."""
    reports: list[HealthReport] = []

    async def found() -> bool:
        reports.append(await read_health(database))
        return line in reports[-1].text.splitlines()

    await until(found)
    return reports[-1]


def leave_behind(database: Path, pid: int) -> None:
    """The file of a bot that was killed just now."""
    status = {"time": time.time(), "pid": pid, "well": True, "text": "Discord: connected."}
    status_file(database).write_text(json.dumps(status), encoding="utf-8")


def ended_process() -> int:
    """The id of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


async def test_healthy_bot_is_reported_well(database: Path) -> None:
    async with bot(database, model=42):
        answer = await read_health(database)
    assert answer.text == "Discord: connected.\nDatabase: answers.\nModel: the last reply ended 42 s ago."
    assert answer.well


async def test_missing_gateway_is_not_well(database: Path) -> None:
    async with bot(database, away=[7]):
        answer = await read_health(database)
    assert answer.text.splitlines() == [
        "Discord: no connection to the gateway for 7 s.",
        "Database: answers.",
        "Model: no reply since the start.",
    ]
    assert not answer.well


@pytest.mark.parametrize(
    ("away", "told"),
    [
        ([None, None, None], "connected."),
        ([None, 40, None], "2 of 3 shards connected; shard 1 away for 40 s."),
        ([7, 40, None], "1 of 3 shards connected; shard 1 away for 40 s, shard 0 away for 7 s."),
        (
            [None, *range(12, 0, -1)],
            "1 of 13 shards connected; "
            + "".join(f"shard {number} away for {13 - number} s, " for number in range(1, 11))
            + "2 more.",
        ),
    ],
)
async def test_shards_without_a_connection_are_named(database: Path, away: Sequence[float | None], told: str) -> None:
    async with bot(database, away=away):
        answer = await read_health(database)
    assert answer.text.splitlines()[0] == f"Discord: {told}"
    assert answer.well == (told == "connected.")


@pytest.mark.parametrize(("unanswered", "well"), [(119.0, True), (120.0, False)])
async def test_unanswered_requests_are_not_well_after_two_minutes(
    database: Path, unanswered: float, well: bool
) -> None:
    async with bot(database, unanswered=unanswered):
        answer = await read_health(database)
    assert answer.well is well
    assert ("no request has been answered for 120 s. If this lasts, restart the bot." in answer.text) is not well


async def test_locked_database_is_not_well(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "DATABASE_TIMEOUT", 0.2)
    async with bot(database):
        with closing(sqlite3.connect(database, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            answer = await report_with("Database: no answer within 0.2 s.", database)
            assert not answer.well
        assert (await report_with("Database: answers.", database)).well


async def test_a_blocked_event_loop_is_not_well(database: Path) -> None:
    async with bot(database):
        with ThreadPoolExecutor() as pool:
            # Waiting for the answer here is what blocks the bot's loop.
            error = pool.submit(asyncio.run, until_blocked(database)).result()
        assert (await report_with("Database: answers.", database)).well
    assert "is blocked: it has not reported its health for" in str(error)


async def until_blocked(database: Path) -> BotError:
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                await read_health(database, max_age=0.5)
            except BotError as error:
                return error
            await asyncio.sleep(0.01)


async def test_a_report_of_the_future_is_not_fresh(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leave_behind(database, os.getpid())
    assert (await read_health(database)).well
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now - 3600)
    with pytest.raises(BotError, match="is blocked"):
        await read_health(database)


async def test_missing_bot_is_not_well(database: Path) -> None:
    with pytest.raises(BotError, match=r"No bot runs on the database .*parley\.db: start it"):
        await read_health(database)


async def test_a_killed_bots_file_is_not_believed_and_replaced(database: Path) -> None:
    leave_behind(database, ended_process())
    with pytest.raises(BotError, match="No bot runs"):
        await read_health(database)
    async with bot(database, away=[1]):
        assert not (await read_health(database)).well
        assert left_behind(database) == ["parley.db.health"]
    assert left_behind(database) == []


@pytest.mark.parametrize("content", ["", "{", "[]", '{"time": 1.5, "pid": -1, "well": true, "text": ""}'])
async def test_a_file_of_something_else_is_no_bot(database: Path, content: str) -> None:
    status_file(database).write_text(content, encoding="utf-8")
    with pytest.raises(BotError, match="No bot runs"):
        await read_health(database)


@pytest.mark.skipif(sys.platform == "win32", reason="modes of POSIX")
async def test_only_the_bots_user_may_read_it(database: Path) -> None:
    before = os.umask(0)
    try:
        async with bot(database):
            assert stat.S_IMODE(status_file(database).stat().st_mode) == 0o600
    finally:
        os.umask(before)


async def test_bots_on_different_databases_answer_separately(database: Path) -> None:
    other = database.with_name("other.db")
    async with bot(database), bot(other, away=[1]):
        assert (await read_health(database)).well
        assert not (await read_health(other)).well


@pytest.mark.skipif(sys.platform == "win32", reason="links need a right there")
async def test_linked_database_leads_to_its_bot(database: Path, tmp_path: Path) -> None:
    async with bot(database):
        os.symlink(database, tmp_path / "link.db")
        assert (await read_health(tmp_path / "link.db")).well


async def test_a_full_disk_is_not_well(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    async with bot(database):
        with monkeypatch.context() as disk:
            disk.setattr(os, "replace", full)
            answer = await report_with(f"Disk: {os.strerror(errno.ENOSPC)}.", database)
            assert not answer.well
            assert "Database: answers." in answer.text
        await until(lambda: "Disk" not in status_file(database).read_text())
        assert (await read_health(database)).well


async def test_a_file_that_cannot_be_written_does_not_keep_the_bot_from_serving(
    database: Path, caplog: pytest.LogCaptureFixture
) -> None:
    status_file(database).mkdir()
    async with bot(database):
        await until(lambda: caplog.text)
    assert caplog.text.count("`python -m bot health` cannot work") == 1


REPORTING = """
import asyncio, sys
from pathlib import Path
from bot.discord_bot.health import HealthChecks
from bot.operator import health
from bot.store.databases import DatabaseServer

async def report():
    async def works(): pass
    health._FOLDER, health.INTERVAL = Path(sys.argv[1]), 0.01
    checks = HealthChecks(lambda: {0: 7.0 if sys.argv[3] == "away" else None}, lambda: 0.0, works, lambda: None)
    async with health.publish_health(DatabaseServer(sys.argv[2]), checks):
        await asyncio.to_thread(sys.stdin.read)

asyncio.run(report())
"""


async def test_processes_that_share_a_folder_are_reported_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "_FOLDER", tmp_path)
    url = "postgresql://bot@db/parley"

    def start(how: str) -> subprocess.Popen[bytes]:
        arguments = (REPORTING, str(tmp_path), url, how)
        return subprocess.Popen([sys.executable, "-c", *arguments], stdin=subprocess.PIPE)  # noqa: S603 -- itself

    async def says(*lines: str, well: bool) -> None:
        async def said() -> bool:
            try:
                report = await read_health(DatabaseServer(url))
            except BotError:
                return False
            told = [line for line in report.text.splitlines() if line.startswith(("Process", "Discord"))]
            return (told, report.well) == ([*lines], well)

        await until(said, within=FOR_A_PROCESS)

    with start("connected") as one, start("away") as other:
        connected, away = "Discord: connected.", "Discord: no connection to the gateway for 7 s."
        blocks = sorted([(one.pid, connected), (other.pid, away)], key=lambda block: str(block[0]))
        await says(*(line for pid, told in blocks for line in (f"Process {pid}:", told)), well=False)
        other.kill()
        await asyncio.to_thread(other.wait)
        await says(connected, well=True)
        with start("away") as third:
            third.communicate()
        await says(connected, well=True)
        one.communicate()
    with pytest.raises(BotError, match="No bot runs"):
        await read_health(DatabaseServer(url))
    assert left_behind(tmp_path / "any") == []


async def test_standby_is_well_while_the_database_answers(database: Path) -> None:
    async with open_store(database, exclusive=True) as store:
        report = await health.run_checks(HealthChecks.of_standby(store.engine.ping))
    assert report.well
    assert report.text.startswith(
        "Discord: standing by: other processes serve what this one could.\nDatabase: answers."
    )

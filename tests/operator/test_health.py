"""Asking a bot for its health: what it says of itself, who may ask, and what is left behind."""

from __future__ import annotations

import asyncio
import os
import socket
import sqlite3
import stat
import sys
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from bot.core.errors import BotError
from bot.operator import health
from bot.operator.health import HealthChecks, query_health, serve_health
from bot.store.sqlite import open_store


@asynccontextmanager
async def bot(
    database: Path, *, away: float | None = None, unanswered: float = 0.0, model: float | None = None
) -> AsyncIterator[None]:
    """What answers in a bot, on a database of its own."""
    async with (
        open_store(database, exclusive=True) as store,
        serve_health(database, HealthChecks(lambda: away, lambda: unanswered, store.engine.ping, lambda: model)),
    ):
        yield


@pytest.fixture(params=["parley.db", "a path too long for a socket/" * 5 + "parley.db"], ids=["socket", "port"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return tmp_path / str(request.param)


def left_behind(database: Path) -> list[Path]:
    return sorted(path for path in database.parent.iterdir() if path.suffix in (".sock", ".port"))


async def test_all_is_well(database: Path) -> None:
    async with bot(database, model=time.monotonic() - 42):
        answer = await query_health(database)
    assert answer.report == "Discord: connected.\nDatabase: answers.\nModel: the last reply ended 42 s ago."
    assert answer.well


async def test_a_bot_without_the_gateway_is_not_well_and_the_model_is_not_judged(database: Path) -> None:
    async with bot(database, away=7):
        answer = await query_health(database)
    assert answer.report.splitlines() == [
        "Discord: no connection to the gateway for 7 s.",
        "Database: answers.",
        "Model: no reply since the start.",
    ]
    assert not answer.well


@pytest.mark.parametrize(("unanswered", "well"), [(119.0, True), (120.0, False)])
async def test_a_bot_whose_requests_are_not_answered_is_not_well_after_two_minutes(
    database: Path, unanswered: float, well: bool
) -> None:
    async with bot(database, unanswered=unanswered):
        answer = await query_health(database)
    assert answer.well is well
    assert ("no request has been answered for 120 s. If this lasts, restart the bot." in answer.report) is not well


async def test_a_database_that_another_program_holds_is_not_well(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "_DATABASE_PATIENCE", 0.2)
    async with bot(database):
        with closing(sqlite3.connect(database, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            answer = await query_health(database)
        assert "Database: no answer within 0.2 s." in answer.report.splitlines()
        assert not answer.well
        async with asyncio.timeout(5):
            while not (await query_health(database)).well:
                pass


async def test_a_loop_that_does_not_turn_is_not_well(database: Path) -> None:
    async with bot(database):
        with ThreadPoolExecutor() as pool:
            # Waiting for the answer here is what blocks the bot's loop.
            error = pool.submit(asyncio.run, query_health(database, patience=0.2)).exception()
    assert isinstance(error, BotError)
    assert "its event loop does not turn: no answer within 0.2 s" in str(error)


async def test_no_bot_is_not_well(database: Path) -> None:
    with pytest.raises(BotError, match=r"No bot answers on the database .*parley\.db: start it"):
        await query_health(database)


async def test_nothing_is_left_behind_and_what_a_killed_bot_left_does_not_hinder(database: Path) -> None:
    database.parent.mkdir(parents=True, exist_ok=True)
    dead = database.with_name("parley.db.sock")
    if sys.platform != "win32" and len(str(dead)) < 100:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(dead))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        database.with_name("parley.db.port").write_text(f"{free.getsockname()[1]} password\n")
    with pytest.raises(BotError, match="No bot answers"):
        await query_health(database)
    async with bot(database):
        assert (await query_health(database)).well
        assert len(left_behind(database)) == 1
    assert left_behind(database) == []


@pytest.mark.skipif(sys.platform == "win32", reason="modes of POSIX")
async def test_only_the_bots_user_may_ask(database: Path) -> None:
    async with bot(database):
        [place] = left_behind(database)
        assert stat.S_IMODE(place.stat().st_mode) == 0o600
        if place.suffix == ".port":
            number, _ = place.read_text().split()
            place.write_text(f"{number} {'0' * 64}\n")
            with pytest.raises(BotError, match="No bot answers"):
                await query_health(database)


async def test_bots_on_different_databases_answer_for_themselves(database: Path) -> None:
    other = database.with_name("other.db")
    async with bot(database), bot(other, away=1):
        assert (await query_health(database)).well
        assert not (await query_health(other)).well


@pytest.mark.skipif(sys.platform == "win32", reason="links need a right there")
async def test_a_link_to_the_database_leads_to_its_bot(database: Path, tmp_path: Path) -> None:
    async with bot(database):
        os.symlink(database, tmp_path / "link.db")
        assert (await query_health(tmp_path / "link.db")).well


async def test_a_place_where_nobody_can_ask_does_not_keep_the_bot_from_serving(
    database: Path, caplog: pytest.LogCaptureFixture
) -> None:
    database.parent.mkdir(parents=True, exist_ok=True)
    database.with_name("parley.db.port").mkdir()
    async with bot(database):
        pass
    assert "`python -m bot health` will not work" in caplog.text

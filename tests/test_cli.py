"""The commands as whoever types them sees them: what they say, and how they end."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from bot.cli import main
from bot.store import SQLiteStore
from bot.turns import Outcome, Prompt, State


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The database that the settings name, in an otherwise empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_PATH", "parley.db")
    return tmp_path / "parley.db"


async def remember(database: Path) -> None:
    async with SQLiteStore.open(database, exclusive=False) as store:
        attempt = await store.begin(Prompt("discord:1", 1, "my name is Bo"))
        assert attempt is not None
        await store.start(attempt)
        await store.close(attempt, Outcome(State.COMPLETE, "Hello Bo."))


async def recall(database: Path) -> list[tuple[str, str]]:
    async with SQLiteStore.open(database, exclusive=True) as store:
        return [(turn.prompt, turn.reply) for turn in await store.history("discord:1", 10)]


def test_a_backup_is_a_database_that_a_bot_goes_on_with(database: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asyncio.run(remember(database))
    assert main(["backup", "copy.db"]) == 0
    assert capsys.readouterr() == ("The conversations are copied to copy.db.\n", "")
    assert asyncio.run(recall(database.with_name("copy.db"))) == [("my name is Bo", "Hello Bo.")]

    assert main(["backup", "copy.db"]) == 1
    out, error = capsys.readouterr()
    assert (out, error.count("\n")) == ("", 1)
    assert "copy.db is there already" in error


def test_without_a_bot_health_says_so(database: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asyncio.run(remember(database))
    assert main(["health"]) == 1
    assert capsys.readouterr() == (
        "",
        f"No bot answers on the database {database}: start it with `python -m bot`.\n",
    )


def test_a_mistake_in_the_settings_is_told_apart(
    database: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LOG_FORMAT", "xml")
    for command in (["health"], ["backup", "copy.db"]):
        assert main(command) == 2
        assert "LOG_FORMAT" in capsys.readouterr().err

"""A store in a new database, on either engine."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.store import Store
from bot.store.engine import Engine
from bot.store.postgresql import PostgreSQLEngine
from bot.store.sqlite.engine import SQLiteEngine
from tests.store.steps import Clock


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test of the store on both engines, unless it looks into SQLite's file or is marked `sqlite`."""
    if "engine" in metafunc.fixturenames:
        looks_into_it = {"path", "database"} & inspect.signature(metafunc.function).parameters.keys()
        on_one = looks_into_it or metafunc.definition.get_closest_marker("sqlite")
        metafunc.parametrize("engine", ["sqlite"] if on_one else ["sqlite", "postgresql"], indirect=True)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "chat.db"


@pytest.fixture
async def engine(request: pytest.FixtureRequest, path: Path) -> AsyncIterator[Engine]:
    if request.param == "sqlite":
        async with SQLiteEngine.open(path, exclusive=True) as file:
            yield file
    else:
        async with PostgreSQLEngine.open(request.getfixturevalue("postgresql_url"), serving=True) as server:
            yield server


@pytest.fixture
def name(postgresql_url: str) -> str:
    """The name of the test's database."""
    return postgresql_url.removeprefix("postgresql:///").partition("?")[0]


@pytest.fixture
def database(engine: Engine) -> SQLiteEngine:
    assert isinstance(engine, SQLiteEngine)
    return engine


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(engine: Engine, clock: Clock) -> Store:
    return Store(engine, clock)

"""New SQLite files of the tests' own process are copies of one whose schema is up to date.

Databases on PostgreSQL are copies too. Another process makes its file as it does for an operator.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.store.sqlite import connection
from bot.store.sqlite.engine import SQLiteEngine


@pytest.fixture(scope="session", autouse=True)
def copied_schema(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """To make the schema takes ten times as long as to copy it, and most tests begin with a new file."""
    template = tmp_path_factory.mktemp("template") / "parley.db"
    asyncio.run(_make(template))
    content, create = template.read_bytes(), connection._create

    def copy(file: Path) -> None:
        is_new = not file.exists()
        create(file)
        if is_new:
            file.write_bytes(content)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(connection, "_create", copy)
        yield


async def _make(file: Path) -> None:
    async with SQLiteEngine.open(file, exclusive=True):
        pass

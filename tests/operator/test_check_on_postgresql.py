"""What `python -m bot check` tells a person about a database on a server."""

from __future__ import annotations

import re
import time
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from bot.core.shards import Shards
from bot.store.databases import DatabaseServer, processes_on
from bot.store.postgresql import CONNECTIONS
from tests.operator.conftest import Look
from tests.postgresql import Server


async def test_check_opens_a_database_on_a_server(look: Look, postgresql_url: str) -> None:
    well, lines = await look(DATABASE_PATH="", DATABASE_URL=postgresql_url)
    assert well
    kept = f"Database: ok. Conversations are kept in {DatabaseServer(postgresql_url)}."
    assert re.fullmatch(re.escape(kept) + r" It has connections for \d+ processes of the bot; running: 0\.", lines[1])
    nowhere = "postgresql://bot:hunter2@127.0.0.1:1/parley"
    well, lines = await look(DATABASE_PATH="", DATABASE_URL=nowhere)
    assert not well
    assert lines[1] == (
        "Database: The database parley on 127.0.0.1:1 does not accept connections: start the server, or correct the"
        " port in DATABASE_URL."
    )


def _database(url: str) -> str:
    return urlsplit(url).path.removeprefix("/")


async def test_check_counts_the_connections_that_are_left(
    look: Look, postgresql_url: str, postgresql_server: Server
) -> None:
    """The limit of a database counts those of other programs too."""
    assert f"needs up to {CONNECTIONS} connections" in Path("docs/deploy.md").read_text(encoding="utf-8")
    async with (
        processes_on(DatabaseServer(postgresql_url)) as processes,
        await psycopg.AsyncConnection.connect(postgresql_url),
    ):
        await processes.report("one", "web-1", 11, Shards((0,), 2), True, "Discord: connected.")
        for limit, enough in ((1 + 2 * CONNECTIONS, "2 processes"), (1 + CONNECTIONS, "1 process")):
            postgresql_server.execute(f"ALTER DATABASE {_database(postgresql_url)} CONNECTION LIMIT {limit}")
            well, lines = await look(DATABASE_PATH="", DATABASE_URL=postgresql_url)
            assert well
            assert lines[1].endswith(f" It has connections for {enough} of the bot; running: 1.")
        await processes.report("two", "web-2", 12, Shards((1,), 2), True, "Discord: connected.")
        well, lines = await look(DATABASE_PATH="", DATABASE_URL=postgresql_url)
        assert not well
        assert lines[1] == (
            f"Database: {DatabaseServer(postgresql_url)} has {CONNECTIONS} connections for the bot, and the bot's 2"
            f" processes need up to {2 * CONNECTIONS}: raise max_connections, or the limit of this user or database."
        )


@pytest.mark.parametrize(("ahead", "said"), [(-40.0, "40 s ahead of"), (40.0, "40 s behind"), (0.5, None)])
async def test_check_compares_the_clocks(
    look: Look, postgresql_url: str, monkeypatch: pytest.MonkeyPatch, ahead: float, said: str | None
) -> None:
    class Clock:
        @staticmethod
        def time() -> float:
            return time.time() + ahead

    monkeypatch.setattr("bot.store.postgresql.processes.time", Clock)
    well, lines = await look(DATABASE_PATH="", DATABASE_URL=postgresql_url)
    assert well
    assert ("clock" in lines[1]) is (said is not None)
    assert said is None or f" Its clock is {said} this computer's: " in lines[1]


async def test_check_tries_the_rights(look: Look, postgresql_url: str, postgresql_server: Server) -> None:
    """A user who may neither make tables nor write to those that are there."""
    name = _database(postgresql_url)
    postgresql_server.execute(f"CREATE ROLE reader_of_{name} LOGIN")
    url = postgresql_url.replace(f"user={postgresql_server.user}", f"user=reader_of_{name}")
    said = f"Database: The database {name} on {postgresql_server.folder} does not let this user make or change tables"
    try:
        for grants in ((), ("schema_version",), ("ALL TABLES IN SCHEMA public",)):
            for what in grants:
                postgresql_server.execute(f"GRANT SELECT ON {what} TO reader_of_{name}", name)
            well, lines = await look(DATABASE_PATH="", DATABASE_URL=url)
            assert not well
            assert lines[1].startswith(said)
    finally:
        postgresql_server.execute(f"DROP OWNED BY reader_of_{name}", name)
        postgresql_server.execute(f"DROP ROLE reader_of_{name}")

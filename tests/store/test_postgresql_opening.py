"""What is wrong with a PostgreSQL server or its address as it is opened: each is one sentence, without the password."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from urllib.parse import quote

import pytest

from bot.core.errors import StoreError, StoreUnusable
from bot.store.postgresql import PostgreSQLEngine, open_store
from tests.postgresql import Server
from tests.store.steps import told

NOBODY_MAKES_TABLES = "REVOKE CREATE ON SCHEMA public FROM PUBLIC"
"""As it is by itself since PostgreSQL 15."""


@pytest.fixture
def roles(postgresql_server: Server, name: str) -> Iterator[None]:
    """A user with a password, and one without rights."""
    hba = postgresql_server.folder / "data" / "pg_hba.conf"
    before = hba.read_text()
    hba.write_text(f"local all locked scram-sha-256\n{before}")
    postgresql_server.execute("SELECT pg_reload_conf()")
    postgresql_server.execute("CREATE ROLE locked LOGIN PASSWORD 'right'")
    postgresql_server.execute("CREATE ROLE plain LOGIN")
    yield
    hba.write_text(before)
    postgresql_server.execute("SELECT pg_reload_conf()")
    postgresql_server.execute("DROP ROLE locked")
    postgresql_server.execute("DROP ROLE plain")


@pytest.mark.parametrize(
    ("user", "database", "before", "sentence"),
    [
        ("locked:hunter2", "{name}", "", "refuses the password or the user: correct them in DATABASE_URL."),
        ("locked", "{name}", "", "asks for a password: put it into DATABASE_URL."),
        ("nobody:hunter2", "{name}", "", "does not know the user: correct it in DATABASE_URL, or use createuser."),
        ("plain:hunter2", "none", "", "does not exist: create it with createdb, or correct its name in DATABASE_URL."),
        ("plain:hunter2", "postgres", NOBODY_MAKES_TABLES, "does not let this user make or change tables"),
        ("plain:hunter2", "{name}", "ALTER DATABASE {name} CONNECTION LIMIT 0", "has no connection left for the bot"),
    ],
)
@pytest.mark.usefixtures("roles")
async def test_connection_that_is_refused_is_a_sentence(
    postgresql_server: Server,
    name: str,
    user: str,
    database: str,
    before: str,
    sentence: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    if before:
        postgresql_server.execute(before.format(name=name))
    url = f"postgresql://{user}@/{database.format(name=name)}?host={quote(str(postgresql_server.folder))}"
    said = await told(PostgreSQLEngine.open(url, serving=True).__aenter__())
    assert said.startswith(f"The database {database.format(name=name)} on ")
    assert sentence in said
    assert "hunter2" not in said + caplog.text


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("postgresql://bot:hunter2@127.0.0.1:1/parley", "127.0.0.1:1 does not accept connections: start the server"),
        ("postgresql://bot:hunter2@127.0.0.1:1,localhost:2/parley", "on 127.0.0.1:1 or localhost:2 does not accept"),
        ("postgresql://bot:hunter2@127.0.0.1,localhost/parley?port=1", "on 127.0.0.1:1 or localhost:1 does not accept"),
        ("postgresql:///parley?host=/nowhere&password=hunter2", "correct the socket's folder in DATABASE_URL"),
        ("postgresql://bot:hunter2@db.invalid/parley", "has a host that is not known: correct it in DATABASE_URL"),
        ("postgresql://bot:hunter2@localhost:x/parley", "has a port that is no number: correct it in DATABASE_URL"),
        ("postgresql://bot:hunter2@db/parley?no=1", "cannot be read: use postgresql://USER:PASSWORD@HOST/DATABASE."),
    ],
)
async def test_server_that_is_not_there_is_a_sentence(url: str, sentence: str) -> None:
    said = await told(PostgreSQLEngine.open(url, serving=True).__aenter__())
    assert sentence in said
    assert "hunter2" not in said


WRONG_SETTINGS = [
    "postgresql://bot:hunter2@localhost:x/parley",
    "postgresql://bot:hunter2@localhost:99999/parley",
    "postgresql://bot:hunter2@localhost:1/parley?sslmode=on",
    "postgresql://bot:hunter2@localhost:1/parley?keepalives_idle=long",
    "postgresql:///parley?service=nowhere",
    "postgresql:///parley?sslrootcert=/nowhere&sslmode=verify-full&host=localhost&port={port}",
]
PASSING = ["the database system is starting up", "sorry, too many clients already", "terminating connection due to", ""]
LASTING = [
    'password authentication failed for user "bot"',
    'Peer authentication failed for user "bot"',
    'database "parley" does not exist',
    "Passwort-Authentifizierung für Benutzer »bot« fehlgeschlagen",
]
THIS_SERVER = "postgresql://bot:hunter2@localhost:{port}/parley"


@pytest.mark.parametrize(
    ("url", "words", "is_waited_for"),
    [
        *((url, "", False) for url in WRONG_SETTINGS),
        *((THIS_SERVER, words, True) for words in PASSING),
        *((THIS_SERVER, words, False) for words in LASTING),
        ("postgresql://bot@localhost:1/parley", "", True),
        ("postgresql:///parley?host=/nowhere", "", True),
        ("postgresql://bot@db.invalid/parley", "", True),
    ],
)
async def test_what_only_a_person_can_mend_is_not_waited_for(url: str, words: str, is_waited_for: bool) -> None:
    async def refuse(client: asyncio.StreamReader, answers: asyncio.StreamWriter) -> None:
        """A server that says why it takes no connection, or nothing."""
        while await client.read(8) == b"\0\0\0\x08\x04\xd2\x16\x2f":
            answers.write(b"N")  # no encryption
        if words:
            body = f"SFATAL\0M{words}\0\0".encode()
            answers.write(b"E" + (len(body) + 4).to_bytes(4) + body)
        answers.close()

    async with await asyncio.start_server(refuse, "localhost", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(StoreError) as caught:
            await PostgreSQLEngine.open(url.format(port=port), serving=True).__aenter__()
    assert isinstance(caught.value, StoreUnusable) is not is_waited_for, caught.value
    assert "\n" not in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("UPDATE schema_version SET version = 9999", "was written by a newer version of this bot"),
        ("DROP TABLE schema_version", "has tables of another program: make a database for this bot alone"),
    ],
)
async def test_database_that_is_not_ours_is_left_alone(
    postgresql_server: Server, postgresql_url: str, name: str, change: str, sentence: str
) -> None:
    postgresql_server.execute(change, name)
    tables = "SELECT count(*) FROM pg_tables"
    before = postgresql_server.execute(tables, name)
    with pytest.raises(StoreUnusable, match=sentence):
        async with open_store(postgresql_url, serving=True):
            pass
    assert postgresql_server.execute(tables, name) == before


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
async def test_database_that_cannot_hold_every_text_is_a_sentence(postgresql_server: Server, encoding: str) -> None:
    name = f"in_{encoding.lower()}"
    postgresql_server.execute(f"CREATE DATABASE {name} ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0")
    said = await told(PostgreSQLEngine.open(postgresql_server.url(name), serving=True).__aenter__())
    assert f"keeps texts in the encoding {encoding}: make one with `createdb" in said


async def test_older_server_is_a_sentence(postgresql_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.store.postgresql.connection.OLDEST", 99)
    with pytest.raises(StoreUnusable, match="and 99 is needed: use a newer server"):
        async with open_store(postgresql_url, serving=True):
            pass

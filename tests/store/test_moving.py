"""Moving a file into a database on a server: all of it, once, and as it was."""

from __future__ import annotations

import asyncio
import re
import signal
import sqlite3
import sys
from asyncio.subprocess import PIPE
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from bot.core.errors import StoreUnusable
from bot.core.quotas import Quotas, Usage
from bot.core.turns import Attempt, Outcome, Prompt, TurnState, UserName
from bot.operator.maintenance import move_database
from bot.store.databases import DatabaseServer, open_store
from bot.store.moving import Progress, move
from tests.places import on_discord
from tests.postgresql import Server
from tests.waiting import FOR_A_PROCESS

BO, ADA = 198622483471925248, 198622483471925249
CHANNELS = 7
TURNS = 2_600


@pytest.fixture
async def file(tmp_path: Path) -> Path:
    """A database with some conversations, a person who was forgotten, and a conversation that was reset."""
    path = tmp_path / "parley.db"
    async with open_store(path, exclusive=True) as store:
        for number in range(1, 40):
            channel = on_discord(number % CHANNELS + 11)
            author, name = (ADA, UserName("Ada", "ada")) if number % 5 == 0 else (BO, UserName("Bo\0", "bo"))
            prompt = Prompt(channel, number, f"question {number} 🦜\0", author, name, 9, message_id=number)
            attempt = await store.turns.begin(prompt)
            assert isinstance(attempt, Attempt)
            await store.quotas.reserve(attempt, "gpt-6-luna", 500, 500, 1, Quotas())
            await store.turns.close(attempt, Outcome(TurnState.COMPLETE, f"Answer {number}.", usage=Usage(60, 40)))
        await store.notes.add(BO, 9, "likes tea", 9)
        await store.people.forget(ADA)
        await store.retention.forget_conversation(on_discord(12))
    with closing(sqlite3.connect(path)) as database, database:
        # Enough for several transactions.
        database.executemany(
            "INSERT INTO processed_messages (message_id, at) VALUES (?, 1)", [(n,) for n in range(1000, 1000 + TURNS)]
        )
    return path


def said(_: Progress) -> None:
    pass


async def contents(database: Path | DatabaseServer) -> object:
    async with open_store(database, exclusive=False) as store:
        overview = [each async for page in store.conversations.overview() for each in page]
        exported = [each async for page in store.people.exchanges_of(BO) for each in page]
        return (
            # A NUL, which only the file can hold, is a shorter character.
            [replace(each, size=0) for each in sorted(overview, key=lambda each: each.conversation.channel)],
            [(each.asked_at, each.prompt.replace("\0", "\ufffd"), each.reply, each.state) for each in exported],
            await store.quotas.usage_today(BO, 9),
        )


async def test_everything_is_there_and_goes_on(file: Path, postgresql_url: str) -> None:
    steps: list[Progress] = []
    before = await contents(file)
    with psycopg.connect(postgresql_url, autocommit=True) as connection:
        # As some set it for a server; parts of a large move take longer.
        connection.execute(f"ALTER DATABASE {connection.info.dbname} SET idle_session_timeout = '1ms'")
    moved = await move(file, postgresql_url, steps.append)
    with psycopg.connect(postgresql_url, options="-c idle_session_timeout=0", autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {connection.info.dbname} RESET idle_session_timeout")
    server = DatabaseServer(postgresql_url)
    assert await contents(server) == before
    assert moved.conversations == CHANNELS
    assert {each.step for each in steps} == {"Moved", "Compared"}
    assert steps[-1].done == steps[-1].of == moved.rows
    with closing(sqlite3.connect(file)) as database:
        [[last]] = database.execute("SELECT seq FROM sqlite_sequence WHERE name = 'stored_turns'")
    async with open_store(server, exclusive=False) as store:
        prompt = Prompt(on_discord(11), 99_999, "and now?", BO, UserName("Bo", "bo"), 9, message_id=99_999)
        attempt = await store.turns.begin(prompt)
        assert isinstance(attempt, Attempt)
        assert attempt.turn_id > last, "no id is given out again"
        assert await store.processed.among([99_999]) == {99_999}, "triggers are at work again"


async def test_what_is_forgotten_stays_in_the_file(file: Path, postgresql_server: Server, postgresql_url: str) -> None:
    await move(file, postgresql_url, said)
    with psycopg.connect(postgresql_url) as connection:
        assert connection.execute("SELECT count(*) FROM stored_turns WHERE user_id = %s", [ADA]).fetchone() == (0,)


async def test_killed_move_goes_on_where_it_was(file: Path, postgresql_url: str) -> None:
    program = (
        "import asyncio, sys\nfrom pathlib import Path\nfrom bot.store.moving import move\n"
        "def tell(at):\n    print(at.step, at.done, flush=True)\n    at.done > 1500 and sys.stdin.readline()\n"
        "asyncio.run(move(Path(sys.argv[1]), sys.argv[2], tell))\n"
    )
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", program, str(file), postgresql_url), stdin=PIPE, stdout=PIPE
    )
    assert process.stdout is not None
    async with asyncio.timeout(FOR_A_PROCESS):
        while int((await process.stdout.readline()).split()[1]) <= 1500:
            pass
    process.send_signal(signal.SIGKILL)
    await process.wait()
    with pytest.raises(StoreUnusable, match="holds a part of a move"):
        async with open_store(DatabaseServer(postgresql_url), exclusive=True):
            pass
    steps: list[Progress] = []
    await move(file, postgresql_url, steps.append)
    assert steps[0].done > 1500
    assert await contents(DatabaseServer(postgresql_url)) == await contents(file)


async def test_keys_with_what_the_server_cannot_hold_are_moved_and_gone_on_after(
    file: Path, postgresql_url: str
) -> None:
    """A NUL and a lone surrogate in a text become another character, which is sorted elsewhere."""
    with closing(sqlite3.connect(file)) as database, database:
        database.executemany(
            "INSERT INTO notices (key, user_id, until) VALUES (?, 0, 1)",
            [("0",), *((f"{n:04}{middle}key",) for n in range(800) for middle in ("\0", "!"))],
        )
        [[before]] = database.execute("SELECT count(*) FROM notices")

    def interrupt(_: Progress) -> None:
        # After the first thousand of them, of which the last one has a NUL.
        with psycopg.connect(postgresql_url) as target:
            if target.execute("SELECT 1 FROM notices LIMIT 1").fetchone():
                raise InterruptedError

    with pytest.raises(InterruptedError):
        await move(file, postgresql_url, interrupt)
    with psycopg.connect(postgresql_url) as target:
        [noted] = target.execute("SELECT through FROM moves WHERE name = 'notices'").fetchone() or [""]
    assert "\\u0000" in noted
    await move(file, postgresql_url, said)
    with psycopg.connect(postgresql_url) as target:
        assert target.execute("SELECT count(*) FROM notices").fetchone() == (before,)


async def test_move_is_complete_though_the_server_cannot_prepare_for_it(
    file: Path, postgresql_url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.store.postgresql.connection.LOCK_S", 1)
    async with open_store(DatabaseServer(postgresql_url), exclusive=False):
        pass
    with psycopg.connect(postgresql_url) as other:
        # A table that is not moved, and that ANALYZE waits for.
        other.execute("LOCK TABLE processes IN SHARE UPDATE EXCLUSIVE MODE")
        assert await move_database(file, DatabaseServer(postgresql_url)) == 0
    told = capsys.readouterr().out
    assert "All of it was compared with the file.\nThe move is complete, but the server could not prepare" in told
    assert re.search(r"lock timeout.*Run `psql -c ANALYZE 'postgresql:///test_\d+\?host=", told)
    assert await contents(DatabaseServer(postgresql_url)) == await contents(file)


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ("DELETE FROM stored_turns WHERE position = 21", "The table stored_turns"),
        ("UPDATE stored_turns SET reply = 'other' WHERE position = 21", "The conversation 11"),
        ("UPDATE notes SET text = 'likes coffee'", "The table notes"),
    ],
)
async def test_change_meanwhile_is_found(file: Path, postgresql_url: str, change: str, where: str) -> None:
    def interrupt(at: Progress) -> None:
        if at.done > 1500:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        await move(file, postgresql_url, interrupt)
    with closing(sqlite3.connect(file)) as database, database:
        database.execute(change)
    with pytest.raises(StoreUnusable, match=rf"{where} is not .* as it is in .*: the bot may have run"):
        await move(file, postgresql_url, said)


async def test_nothing_is_moved_over_something_else(file: Path, postgresql_url: str, tmp_path: Path) -> None:
    async with open_store(DatabaseServer(postgresql_url), exclusive=False) as store:
        await store.notes.add(BO, 9, "likes tea", 9)
    with pytest.raises(StoreUnusable, match="has things in it already"):
        await move(file, postgresql_url, said)
    with pytest.raises(StoreUnusable, match="does not exist"):
        await move(tmp_path / "none.db", postgresql_url, said)

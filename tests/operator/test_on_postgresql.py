"""The operator's commands on a database that is on a PostgreSQL server: they work there, or say what to do."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest

from bot.cli import main
from bot.core.errors import BotError, StoreError, StoreUnusable
from bot.core.quotas import Quotas, Usage
from bot.core.shards import Shards
from bot.core.turns import Attempt, Outcome, Prompt, TurnState, UserName
from bot.discord_bot.health import HealthChecks
from bot.operator.health import HealthReport, publish_health, read_health, status_file
from bot.operator.processes import reported
from bot.store.databases import DatabaseServer, open_store, processes_on
from bot.store.postgresql import Processes
from tests.places import on_discord
from tests.postgresql import Server
from tests.waiting import until

BO = 198622483471925248


@pytest.fixture
def server(postgresql_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DatabaseServer:
    """The database that the settings name, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DATABASE_PATH", raising=False)
    monkeypatch.setenv("DATABASE_URL", postgresql_url)
    return DatabaseServer(postgresql_url)


async def _fill(server: DatabaseServer) -> None:
    async with open_store(server, exclusive=True) as store:
        prompt = Prompt(on_discord(11), 1, "my name is Bo", BO, UserName("Bo", "bo"), 9, message_id=1)
        attempt = await store.turns.begin(prompt)
        assert isinstance(attempt, Attempt)
        await store.quotas.reserve(attempt, "gpt-6-luna", 500, 500, 1, Quotas())
        await store.turns.close(attempt, Outcome(TurnState.COMPLETE, "Hello Bo.", usage=Usage(60_000, 40_000)))


def test_commands_work_there(server: DatabaseServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asyncio.run(_fill(server))
    assert main(["conversations"]) == 0
    assert "\n11  " in capsys.readouterr().out
    assert main(["usage"]) == 0
    assert "60,000" in capsys.readouterr().out
    assert main(["export", "discord:11"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert [each["content"] for each in said if each["role"] != "system"] == ["my name is Bo", "Hello Bo."]

    messages = [{"role": "user", "content": "a\0b"}, {"role": "assistant", "content": "Größe 🦜"}] * 60
    (tmp_path / "past.json").write_text(json.dumps(messages))
    assert main(["import", "past.json", "terminal:past"]) == 0
    capsys.readouterr()
    assert main(["export", "terminal:past"]) == 0
    exported = [(each["role"], each["content"]) for each in json.loads(capsys.readouterr().out)]
    assert exported == [("user", "a\ufffdb"), ("assistant", "Größe 🦜")] * 60
    assert main(["import", "past.json", "terminal:past"]) == 1, "it has questions now"

    assert main(["forget", str(BO), "--yes"]) == 0
    capsys.readouterr()
    assert main(["forget", str(BO), "--yes"]) == 0
    assert "Nothing" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == [tmp_path / "past.json"], "nothing is kept beside it"


def test_rows_of_a_forgotten_person_are_gone(server: DatabaseServer) -> None:
    asyncio.run(_fill(server))
    assert main(["forget", str(BO), "--yes"]) == 0

    async def rows() -> list[list[object]]:
        async with open_store(server, exclusive=False) as store:
            tables = await store.engine.read("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
            return [list(row) for [table] in tables for row in await store.engine.read(f"SELECT * FROM {table}")]  # noqa: S608

    assert not any(BO in row or "my name is Bo" in row for row in asyncio.run(rows()))


def test_backup_names_the_program_that_copies(server: DatabaseServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["backup", "copy of it"]) == 1
    out, error = capsys.readouterr()
    assert out == ""
    assert "copy it with `pg_dump --format=custom '--file=copy of it' 'postgresql:///test_" in error
    assert main(["compact"]) == 0
    assert capsys.readouterr().out.endswith("gives space back by itself: you need do nothing.\n")


def test_health_without_a_bot_says_so(
    server: DatabaseServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://bot:hunter2@db.example.com/parley")
    assert main(["health"]) == 1
    assert capsys.readouterr().err == (
        "No bot runs on the database postgresql://bot@db.example.com/parley: start it with `python -m bot`.\n"
    )


async def test_health_is_reported_in_the_usual_folder(server: DatabaseServer, tmp_path: Path) -> None:
    async with (
        open_store(server, exclusive=True) as store,
        publish_health(server, HealthChecks(lambda: {0: None}, lambda: 0.0, store.engine.ping, lambda: None)),
    ):
        await until(status_file(server).exists)
        assert status_file(server).parent == tmp_path / "data"
        report = await read_health(server)
        assert report.well
        assert "Database: answers." in report.text
    with pytest.raises(BotError, match="No bot runs"):
        await read_health(server)


WELL = "Discord: connected.\nDatabase: answers.\nModel: no reply since the start."
AWAY = WELL.replace("connected", "no connection to the gateway for 33 s")
HEADS = "computer                          pid       serves               health"
PROCESSES = {
    "all": ([("a", 0, (0, 1), WELL), ("b", 0, (2, 3), WELL), ("c", 0, (), WELL)], 0, """
a                                 11        0-1 of 4             well
b                                 11        2-3 of 4             well
c                                 11        stands by            well

All servers are served. 1 process stands by.
"""),
    "a standby less": ([("a", 0, (0, 1, 2, 3), WELL), ("b", 300, (), WELL)], 0, """
a                                 11        0-3 of 4             well
b                                 11        stands by            blocked or gone
  No report for 5 minutes: look at its log, then restart it.

All servers are served. No process stands by.
"""),
    "one that is not well": ([("a", 0, (0, 1), WELL), ("b", 0, (2, 3), AWAY), ("c", 0, (), WELL)], 1, """
a                                 11        0-1 of 4             well
b                                 11        2-3 of 4             not well
  Discord: no connection to the gateway for 33 s.
  Database: answers.
  Model: no reply since the start.
c                                 11        stands by            well

No process serves shards 2-3 of 4 well. 1 process stands by.
"""),
    "one that is gone": ([("a" * 40, 7200, (0, 2), WELL), ("b", 0, (1, 3), WELL)], 1, f"""
{"a" * 31}…  11        0,2 of 4             blocked or gone
  No report for 2 hours: look at its log, then restart it.
b                                 11        1,3 of 4             well

No process serves shards 0,2 of 4 well. No process stands by.
"""),
}  # fmt: skip


@pytest.mark.parametrize(("reports", "code", "table"), PROCESSES.values(), ids=PROCESSES)
def test_health_of_all_processes(
    server: DatabaseServer,
    postgresql_server: Server,
    capsys: pytest.CaptureFixture[str],
    reports: Sequence[tuple[str, int, tuple[int, ...], str]],
    code: int,
    table: str,
) -> None:
    async def report() -> None:
        async with processes_on(server) as processes:
            for host, _, shards, said in reports:
                await processes.report(host, host, 11, Shards(shards, 4), said == WELL, said)

    assert main(["health", "--all"]) == 1
    assert capsys.readouterr().err == f"No bot runs on the database {server}: start it with `python -m bot`.\n"
    asyncio.run(report())
    for host, age, _, _ in reports:
        at = f"UPDATE processes SET reported_at = reported_at - interval '{age} s' WHERE host = '{host}'"  # noqa: S608
        postgresql_server.execute(at, server.url.partition("?")[0].rpartition("/")[2])
    assert main(["health", "--all"]) == code
    assert capsys.readouterr().out == HEADS + table
    assert all(len(line) <= 80 for line in table.splitlines())


async def test_row_of_a_process_follows_its_health_and_goes_with_it(server: DatabaseServer) -> None:
    here = socket.gethostname()

    async def rows(processes: Processes) -> list[tuple[str, Sequence[int], bool]]:
        return [(each.host, each.shards.ids, each.well) for each in await processes.all()]

    async with processes_on(server) as processes:
        await processes.report("killed here", here, 1, Shards(), True, WELL)
        await processes.report("elsewhere", "there", 2, Shards((), 1), True, WELL)
        # An hour ago, by the database's clock.
        await processes._engine.write("UPDATE processes SET reported_at = reported_at - interval '1 hour'")
        gone = ("there", (), True)
        async with reported(processes) as note:
            note(Shards((), 1), HealthReport(True, WELL))
            await until(partial(rows, processes), [gone, (here, (), True)])
            for well in (True, False):
                note(Shards(), HealthReport(well, WELL))
                await until(partial(rows, processes), [(here, (0,), well), gone])
        assert await rows(processes) == [gone]


async def test_row_is_written_again_after_the_database_was_away_and_its_absence_delays_no_end(
    server: DatabaseServer, postgresql_server: Server
) -> None:
    try:
        async with processes_on(server) as processes:
            async with reported(processes) as note:
                note(Shards(), HealthReport(True, WELL))
                await until(processes.all)
                await asyncio.to_thread(postgresql_server.stop)
                note(Shards(), HealthReport(False, WELL))
                await asyncio.to_thread(postgresql_server.start)
                await until(partial(_wellness, processes), [False])
                await asyncio.to_thread(postgresql_server.stop)
            assert await _wellness(processes) == []
    finally:
        await asyncio.to_thread(postgresql_server.stop)
        await asyncio.to_thread(postgresql_server.start)


async def _wellness(processes: Processes) -> list[bool]:
    try:
        return [each.well for each in await processes.all()]
    except StoreError:
        return []


async def test_missing_package_is_a_sentence(server: DatabaseServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bot.store.postgresql", None)
    monkeypatch.delattr("bot.store.postgresql", raising=False)
    with pytest.raises(StoreUnusable, match=r"install 'psycopg\[binary\]'`\.$"):
        async with open_store(server, exclusive=True):
            pass


def test_file_is_moved_there(
    postgresql_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DATABASE_URL", raising=False)
    messages = [{"role": "user", "content": "Who are you?"}, {"role": "assistant", "content": "Parley."}]
    (tmp_path / "past.json").write_text(json.dumps(messages))
    monkeypatch.setenv("DATABASE_PATH", "here.db")
    assert main(["import", "past.json", "terminal:past"]) == 0
    capsys.readouterr()
    assert main(["move", "--to", postgresql_url]) == 0
    said = capsys.readouterr().out
    assert "Moved 1 questions in 1 conversations" in said
    assert "set DATABASE_URL in place of DATABASE_PATH" in said
    monkeypatch.delenv("DATABASE_PATH")
    monkeypatch.setenv("DATABASE_URL", postgresql_url)
    assert main(["export", "terminal:past"]) == 0
    assert json.loads(capsys.readouterr().out)[-1]["content"] == "Parley."
    assert main(["move", "--to", postgresql_url]) == 1
    assert "DATABASE_URL is set" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["move", "--to", "mysql://here"])

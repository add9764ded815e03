"""The commands as whoever types them sees them: what they say, and how they end."""

from __future__ import annotations

import asyncio
import io
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
import tomllib
from collections.abc import Mapping
from contextlib import closing, suppress
from importlib import metadata
from pathlib import Path

import pytest

from bot import cli
from bot.cli import main
from bot.config import groups
from bot.core.quotas import Quotas, Usage
from bot.core.turns import Attempt, Outcome, Prompt, TurnState, UserName
from bot.store.sqlite import open_store
from bot.store.sqlite.engine import SQLiteEngine
from tests.places import on_discord
from tests.terminal.processes import needs_pty
from tests.waiting import FOR_A_PROCESS

BO, CLEO, GUILD = 777_000_111_222_333_444, 888_000_111_222_333_444, 555_000_111_222_333_444


def test_python_without_the_packages_is_told_where_they_are() -> None:
    without_site_packages = (sys.executable, "-S", "-m", "bot", "check")
    root = Path(__file__).parents[1]
    told = subprocess.run(without_site_packages, cwd=root, capture_output=True, text=True, check=False)  # noqa: S603
    assert told.returncode == 1
    python = Path(".venv", *(("Scripts",) if os.name == "nt" else ("bin",)), "python")
    assert re.fullmatch(
        rf"This Python does not have the package \w+\. Run {re.escape(str(python))} -m bot instead\. .+\n", told.stderr
    )


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The database that the settings name, in an otherwise empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_PATH", "parley.db")
    return tmp_path / "parley.db"


async def remember(database: Path) -> None:
    async with open_store(database, exclusive=False) as store:
        attempt = await store.turns.begin(Prompt(on_discord(1), 1, "my name is Bo"))
        assert isinstance(attempt, Attempt)
        await store.turns.close(attempt, Outcome(TurnState.COMPLETE, "Hello Bo."))


async def recall(database: Path) -> list[tuple[str, str]]:
    async with open_store(database, exclusive=True) as store:
        return [(turn.prompt, turn.reply) for turn in await store.turns.history(on_discord(1), 10)]


def test_backup_is_a_usable_database(database: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asyncio.run(remember(database))
    assert main(["backup", "copy.db"]) == 0
    assert capsys.readouterr() == ("Copied the conversations to copy.db.\n", "")
    assert asyncio.run(recall(database.with_name("copy.db"))) == [("my name is Bo", "Hello Bo.")]

    assert main(["backup", "copy.db"]) == 1
    out, error = capsys.readouterr()
    assert (out, error.count("\n")) == ("", 1)
    assert "copy.db already exists" in error


@pytest.mark.parametrize("all_of_them", [[], ["--all"]])
def test_health_without_a_bot_says_so(
    database: Path, capsys: pytest.CaptureFixture[str], all_of_them: list[str]
) -> None:
    """With a file there is one process, which is all of them."""
    asyncio.run(remember(database))
    assert main(["health", *all_of_them]) == 1
    assert capsys.readouterr() == (
        "",
        f"No bot runs on the database {database}: start it with `python -m bot`.\n",
    )


def test_mistaken_settings_have_their_own_exit_code(
    database: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LOG_FORMAT", "xml")
    for command in (["health"], ["backup", "copy.db"]):
        assert main(command) == 2
        assert "LOG_FORMAT" in capsys.readouterr().err


async def fill(database: Path) -> None:
    """What Bo and Cleo asked in a channel, and Bo in a DM."""
    async with open_store(database, exclusive=False) as store:
        for position, person, conversation, guild in ((1, BO, 11, GUILD), (2, CLEO, 11, GUILD), (3, BO, 12, None)):
            prompt = Prompt(on_discord(conversation), position, "Why?" * 5, person, UserName("P", "p"), guild)
            attempt = await store.turns.begin(prompt)
            assert isinstance(attempt, Attempt)
            await store.quotas.reserve(attempt, "gpt-6-luna", 500, 500, 1, Quotas())
            await store.turns.close(attempt, Outcome(TurnState.COMPLETE, "Because. " * 25, usage=Usage(60_000, 40_000)))


async def people(database: Path) -> list[int | None]:
    """Who asked what is on record."""
    async with SQLiteEngine.open(database, exclusive=False) as opened:
        rows = await opened.read("SELECT user_id FROM turns ORDER BY position")
        return [row["user_id"] for row in rows]


def started(
    *command: str,
    stdin: int | None = None,
    stderr: int = subprocess.PIPE,
    environ: Mapping[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """`python -m bot` with this command, in this folder."""
    return subprocess.Popen(  # noqa: S603 -- the command is ours
        [sys.executable, "-m", "bot", *command],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), **(environ or {})},
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=stderr,
    )


@pytest.mark.parametrize("command", [["conversations"], ["usage"], ["forget", str(BO), "--yes"]])
def test_missing_database_is_reported_and_not_made(
    database: Path, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    assert main(command) == 1
    assert capsys.readouterr() == (
        "",
        (
            "The database parley.db does not exist: start the bot first, or choose another file. Choose the file"
            " with DATABASE_PATH in the environment.\n"
        ),
    )
    assert list(database.parent.iterdir()) == []


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        (["forget", "Bo"], "'Bo' is not an id; write 17 to 19 digits. To get them, turn on Developer Mode"),
        (["forget", "<@777000111222333444>"], "is not an id"),
        (["forget", "9999999999999999999"], "is not an id"),
        (["forget", "-777000111222333444"], ""),
        (["forget"], "USER_ID"),
        (["usage", "--days", "0"], "'0' is not valid; write a number of days from 1 to 90"),
        (["usage", "--days", "91"], "'91' is not valid"),
        (["usage", "--days", "²"], "'²' is not valid"),
        (["usage", "--dais", "7"], "bot usage: '--dais 7' means nothing here"),
        (["useage"], "there is no command 'useage'; did you mean usage?"),
        (["--days", "7"], "there is no option --days here; the options of a command come after it"),
        (["playground", "--port", "65536"], "--port: '65536' is not valid; write a number up to 65535, or 0"),
    ],
)
def test_invalid_arguments_are_refused(
    database: Path, capsys: pytest.CaptureFixture[str], command: list[str], sentence: str
) -> None:
    asyncio.run(fill(database))
    with pytest.raises(SystemExit) as ended:
        main(command)
    assert ended.value.code == 2
    told = capsys.readouterr().err
    assert sentence in told
    assert re.search(r"\nSee `python -m bot[a-z ]* --help`\.\n$", told)
    assert asyncio.run(people(database)) == [BO, CLEO, BO]


def test_operator_forgets_a_person(
    database: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asyncio.run(fill(database))
    asked = f"Stored about {BO}: 2 questions in 2 conversations, quotes by others, and their usage.\n"
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    assert main(["forget", str(BO)]) == 2
    assert capsys.readouterr() == (asked, "To delete it without being asked, add --yes.\n")
    assert asyncio.run(people(database)) == [BO, CLEO, BO]

    assert main(["forget", str(BO), "--yes"]) == 0
    assert capsys.readouterr() == (
        asked + f"Forgotten: 2 questions of {BO}.\n" + "The messages on Discord stay, and so do backups and logs.\n",
        "",
    )
    assert asyncio.run(people(database)) == [CLEO]
    assert main(["forget", str(BO), "--yes"]) == 0
    assert capsys.readouterr() == (f"Nothing is stored about {BO}.\n", "")
    with closing(sqlite3.connect(database)) as connection:
        notes = connection.execute("SELECT * FROM forgotten_by_commands").fetchall()
        assert not notes, "no bot runs that would hear of it"


def test_compacting_reports_the_size(database: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asyncio.run(fill(database))
    assert main(["compact"]) == 0
    out, _ = capsys.readouterr()
    assert re.fullmatch(r"The database .*\.db now has 0\.\d MB, before 0\.\d MB\.\n", out)


def test_slow_forgetting_is_announced(
    database: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asyncio.run(fill(database))
    monkeypatch.setattr("bot.operator.maintenance._NOTICE_DELAY", 0)
    assert main(["forget", str(BO), "--yes"]) == 0
    assert "\nErasing it from the database." in capsys.readouterr().out


def test_unfinished_wipe_is_reported_and_done_later(database: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asyncio.run(fill(database))

    def kept() -> bool:
        return any(b"Because." * 2 in file.read_bytes().replace(b" ", b"") for file in database.parent.iterdir())

    with closing(sqlite3.connect(database)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM turns").fetchall()
        assert main(["forget", str(CLEO), "--yes"]) == 1
        assert "Forgotten: 1 question" in (said := capsys.readouterr()).out
        assert said.err.startswith("It is deleted, but not erased from the file yet: another program reads the file")
        assert main(["forget", str(BO), "--yes"]) == 1
        assert main(["forget", str(BO), "--yes"]) == 1, "nothing is on record, but in the bytes"
        assert kept()
    assert main(["forget", str(BO), "--yes"]) == 0
    assert not kept()


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc, and Windows has no pseudo-terminals")
@pytest.mark.parametrize(
    ("typed", "code", "said", "left"),
    [
        ("n\n", 1, "Nothing is deleted.\n", [BO, CLEO, BO]),
        ("\n", 1, "Nothing is deleted.\n", [BO, CLEO, BO]),
        ("\x04", 1, "Nothing is deleted.\n", [BO, CLEO, BO]),
        (None, 130, "", [BO, CLEO, BO]),
        ("y\n", 0, f"Forgotten: 2 questions of {BO}.\n", [CLEO]),
    ],
)
def test_person_at_a_terminal_is_asked_first(
    database: Path, typed: str | None, code: int, said: str, left: list[int]
) -> None:
    import pty

    asyncio.run(fill(database))
    master, slave = pty.openpty()
    with started("forget", str(BO), stdin=slave) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        os.close(slave)
        shown = b""
        while b"[y/N] " not in shown:
            more = os.read(process.stdout.fileno(), 1000)
            assert more, process.stderr.read()
            shown += more
        if typed is None:
            # Python overlooks a signal between showing the question and waiting for the answer.
            while ") S " not in Path(f"/proc/{process.pid}/stat").read_text():
                time.sleep(0.001)
            process.send_signal(signal.SIGINT)
        else:
            os.write(master, typed.encode())
        rest = process.stdout.read().decode()
        assert process.stderr.read() == b""
        assert process.wait(FOR_A_PROCESS) == code
    os.close(master)
    assert said in rest
    assert asyncio.run(people(database)) == left


def test_conversations_are_listed_with_their_sums(database: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asyncio.run(fill(database))
    assert main(["conversations"]) == 0
    out, error = capsys.readouterr()
    heads, *lines, total = out.splitlines()
    assert heads.split()[:3] == ["conversation", "server", "questions"]
    day = time.strftime("%Y-%m-%d", time.gmtime())
    assert [line.split()[:6] for line in lines] == [
        ["12", "-", "1", "1", "70", day],
        ["11", str(GUILD), "2", "2", "140", day],
    ]
    assert total == "2 conversations, 3 questions, about 210 tokens"
    assert error == ""


def shown(option: str) -> str:
    """What `python -m bot` prints for an option in a terminal of 80 columns."""
    with started(option, environ={"COLUMNS": "80"}) as process:
        out, error = process.communicate(timeout=FOR_A_PROCESS)
    assert (error, process.returncode) == (b"", 0)
    return out.decode()


def test_help_fits_on_a_screen(database: Path) -> None:
    lines = shown("--help").splitlines()
    assert len(lines) < 24, "and the prompt below it"
    assert max(map(len, lines)) <= 80
    commands = lines[lines.index("commands:") + 1 :]
    assert [line for line in commands if not re.match(r"    \w+ +\w", line)] == [], "one line for each"
    assert {"run", "conversations", "forget"} <= {line.split()[0] for line in commands}


@needs_pty
def test_errors_are_broken_between_words_in_a_terminal(database: Path) -> None:
    import pty

    leader, follower = pty.openpty()
    with started("forget", "12", stderr=follower) as process:
        os.close(follower)
        said = b""
        with suppress(OSError):  # what Linux reports at the end
            while read := os.read(leader, 4096):
                said += read
    os.close(leader)
    lines = said.decode().splitlines()
    assert max(map(len, lines)) <= 80
    assert process.returncode == 2
    assert "write 17 to 19 digits. To get them, turn on Developer Mode in Discord" in " ".join(lines)


def test_settings_are_listed_in_groups(database: Path) -> None:
    assert re.findall(r"^(\S.*):$", shown("--help-settings"), re.MULTILINE) == [*groups()]


def test_version_is_that_of_the_project(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert shown("--version") == f"Parley {project['version']}\n"


@pytest.mark.parametrize("left_there", [None, '[project]\nname = "other"\nversion = "7"\n', "no table"])
def test_version_of_an_installed_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], left_there: str | None
) -> None:
    monkeypatch.setattr(cli, "__file__", str(tmp_path / "bot" / "cli.py"))
    if left_there is not None:
        (tmp_path / "pyproject.toml").write_text(left_there, encoding="utf-8")
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out == f"Parley {metadata.version('parley-bot')}\n"


async def fill_many(database: Path) -> None:
    async with SQLiteEngine.open(database, exclusive=False) as opened:
        await opened.write(
            """
            WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 10000)
            INSERT INTO conversations (platform, channel, guild_id, used_at)
            SELECT 'discord', CAST(n AS TEXT), 5, 1000 + n FROM numbers
            """
        )


def test_many_conversations_are_listed_until_the_reader_stops(database: Path) -> None:
    asyncio.run(fill_many(database))
    with started("conversations") as process:
        out, error = process.communicate(timeout=FOR_A_PROCESS)
        assert (out.count(b"\n"), error) == (10_002, b"")
    with started("conversations") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith(b"conversation ")
        assert process.stdout.readline().startswith(b"10000 ")
        process.stdout.close()
        assert process.stderr.read() == b"", "`| head` is no error"


def test_usage_is_reported_with_prices(
    database: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asyncio.run(fill(database))
    monkeypatch.setenv("PRICES", "gpt-6-luna=1.00/10.00")
    assert main(["usage"]) == 0
    out, error = capsys.readouterr()
    assert error == ""
    assert str(GUILD) in out
    assert "300,000" in out
    assert "1.38" in out, "0.18 million tokens at 1.00, 0.12 million at 10.00"
    assert main(["usage", "--days", "1"]) == 0
    assert capsys.readouterr().out == out

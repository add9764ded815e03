"""`export` and `import` as whoever types them sees them."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bot.cli import main
from bot.core.errors import StoreUnusable
from bot.core.records import Exchange, Transcript
from bot.core.turns import Conversation
from bot.operator import transcripts
from bot.store.sqlite import open_store
from bot.transcripts import transfer

MESSAGES = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Why ß?"},
    {"role": "assistant", "content": "Because 😀."},
]
CHANNEL = "111222333444555666"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An otherwise empty folder with a tutorial's file, and the settings of a bot."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_PATH", "parley.db")
    Path("messages.json").write_text(json.dumps(MESSAGES), encoding="utf-8")
    return tmp_path


def run(capsys: pytest.CaptureFixture[str], *command: str) -> tuple[int, str, str]:
    """The exit code, and what is said on standard output and standard error."""
    code = main(command)
    return (code, *capsys.readouterr())


async def known_on_discord() -> None:
    async with open_store("parley.db", exclusive=False) as store:
        await store.engine.write(
            "INSERT INTO conversations (platform, channel, guild_id, used_at) VALUES ('discord', :channel, 5, 1)",
            channel=CHANNEL,
        )


def test_a_file_goes_in_and_comes_out(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    said = "Imported 1 question and its answer. To go on: python -m bot chat --conversation 'my talk'\n"
    assert run(capsys, "import", "messages.json", "my talk") == (0, said, "")
    code, out, error = run(capsys, "export", "terminal:my talk")
    assert (code, json.loads(out), error) == (0, MESSAGES, "")
    wrote = "Wrote 1 question and its answer to {}.\n"
    assert run(capsys, "export", "my talk", "out.json") == (0, wrote.format("out.json"), "")
    assert (folder / "out.json").read_text(encoding="utf-8") == out
    assert run(capsys, "export", "my talk", "out.md") == (0, wrote.format("out.md"), "")
    assert run(capsys, "export", "my talk", "out.txt", "--format", "markdown")[0] == 0
    assert (folder / "out.md").read_text(encoding="utf-8").startswith("# terminal:my talk\n\n**Persona**")
    assert (folder / "out.txt").read_bytes() == (folder / "out.md").read_bytes()
    assert run(capsys, "export", "my talk", "--format", "markdown") == (0, (folder / "out.md").read_text("utf-8"), "")
    code, out, error = run(capsys, "export", "my talk", "out.md", "--format", "json")
    assert (code, out, error) == (1, "", "out.md exists already. Choose another name, or move it away.\n")


def test_channels_have_their_id(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "import", "messages.json", CHANNEL) == (
        1,
        "",
        (
            "The database parley.db does not exist: start the bot first, or choose another file. Choose the file"
            " with DATABASE_PATH in the environment.\n"
        ),
    )
    run(capsys, "import", "messages.json", "terminal:" + CHANNEL)
    code, out, error = run(capsys, "import", "messages.json", CHANNEL)
    assert (code, out) == (1, "")
    assert error.startswith(f"Nothing is stored for discord:{CHANNEL} yet. Ask the bot a question there")
    asyncio.run(known_on_discord())
    said = "Imported 1 question and its answer. The bot knows them from the next question on.\n"
    assert run(capsys, "import", "messages.json", CHANNEL) == (0, said, "")
    assert run(capsys, "export", "discord:" + CHANNEL)[1] == run(capsys, "export", CHANNEL)[1]
    listed = run(capsys, "conversations")[1]
    assert f"\n{CHANNEL}" in listed, "as it is listed, it is named"
    assert listed.splitlines()[-1].startswith("2 conversations, 2 questions,")


def test_missing_conversation_is_told_with_those_that_exist(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "export", "talk")[2].startswith("The database parley.db does not exist")
    run(capsys, "import", "messages.json", "other")
    assert run(capsys, "export", "talk") == (
        1,
        "",
        (
            "There is no conversation terminal:talk. The ones used last are:\n  terminal:other (1 question)\n"
            "`python -m bot conversations` lists all.\n"
        ),
    )


def test_mistake_in_a_file_is_one_sentence_and_makes_no_database(
    capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    (folder / "messages.json").write_text(json.dumps([*MESSAGES, MESSAGES[-1]]), encoding="utf-8")
    said = "Messages 3 and 4 in messages.json are both answers. Questions and answers must alternate.\n"
    assert run(capsys, "import", "messages.json", "talk") == (1, "", said)
    assert [each.name for each in folder.iterdir()] == ["messages.json"]


async def fill(exchanges: list[Exchange]) -> None:
    async with open_store("parley.db", exclusive=False) as store:
        await store.conversations.fill(Conversation("terminal", "talk"), Transcript(None, exchanges))


def test_long_work_says_how_far_it_is(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "SAY_EVERY", 0)
    asyncio.run(fill([Exchange("a", "A")] * 120))
    code, out, error = run(capsys, "export", "talk", "out.json")
    assert (code, error) == (0, "50 of 120 questions…\n100 of 120 questions…\n120 of 120 questions…\n")
    assert out == "Wrote 120 questions and their answers to out.json.\n"
    code, _, error = run(capsys, "import", "out.json", "copy")
    assert (code, error) == (0, "Importing 120 questions. This can take a minute.\n")


def test_many_questions_are_imported_only_while_the_bot_is_stopped(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transcripts, "MANY", 1)
    asyncio.run(fill([Exchange("a", "A")] * 2))
    run(capsys, "export", "talk", "two.json")

    async def beside_a_bot(file: str) -> int:
        async with open_store("parley.db", exclusive=True):
            return await transcripts.import_conversation(Path("parley.db"), Path(file), Conversation("terminal", file))

    assert asyncio.run(beside_a_bot("messages.json")) == 0
    with pytest.raises(StoreUnusable, match="already in use"):
        asyncio.run(beside_a_bot("two.json"))
    stopped = "The file has 2 questions. So many can only be imported while the bot is stopped.\n"
    assert capsys.readouterr().err == stopped
    assert run(capsys, "import", "two.json", "copy")[::2] == (0, "")
    assert transfer.MANY > 1000


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has a device that is always full")
def test_full_disk_at_standard_output_is_one_sentence(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    run(capsys, "import", "messages.json", "talk")
    with Path("/dev/full").open("wb") as full:
        command = [sys.executable, "-m", "bot", "export", "talk"]
        environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
        left = subprocess.run(command, env=environ, stdout=full, stderr=subprocess.PIPE, check=False)  # noqa: S603
    said = "Standard output cannot be written (No space left on device). Choose another place.\n"
    assert (left.returncode, left.stderr.decode()) == (1, said)


def test_names_that_the_terminal_cannot_show_are_escaped() -> None:
    """Also where a file's name is no text at all."""
    name = os.fsdecode(b"\xff\xc3\x9f.json") if sys.platform == "linux" else "ß.json"
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "PYTHONIOENCODING": "ascii:strict"}
    for command in (["import", "messages.json", "größe"], ["export", "größe", name], ["conversations"]):
        started = [sys.executable, "-m", "bot", *command]
        left = subprocess.run(started, env=environ, capture_output=True, check=False)  # noqa: S603
        assert (left.returncode, left.stderr) == (0, b""), command
        assert b"\\x" in left.stdout
    assert Path(name).exists()

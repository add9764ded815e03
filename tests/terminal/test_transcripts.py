"""Conversations that come from a file and go to one: between a tutorial's script, the commands and the chat."""

from __future__ import annotations

import asyncio
import json
import re
from asyncio.subprocess import PIPE
from pathlib import Path

from bot.standin.model import ModelStandin
from bot.standin.script import Reply
from tests import forkserver
from tests.talking import question_of
from tests.terminal.conftest import ROOT
from tests.terminal.processes import Terminal, needs_pty, pipe, stored
from tests.waiting import FOR_A_PROCESS

PAGE = (ROOT / "docs/from-a-tutorial.md").read_text(encoding="utf-8")
SYSTEM, WHY, BECAUSE = ("system", "Be brief."), ("user", "Why?"), ("assistant", "Because.")


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


async def run(environ: dict[str, str], folder: Path, *arguments: str, stdin: str = "") -> str:
    """What a Python process prints. It has to succeed."""
    process = await forkserver.start(*arguments, cwd=folder, env=environ, stdin=PIPE, stdout=PIPE, stderr=PIPE)
    out, error = await asyncio.wait_for(process.communicate(stdin.encode()), FOR_A_PROCESS)
    assert process.returncode == 0, error.decode()
    return out.decode()


def write(file: Path, *said: tuple[str, str]) -> None:
    messages = [{"role": role, "content": text} for role, text in said]
    file.write_text(json.dumps(messages), encoding="utf-8")


def read(file: Path) -> list[tuple[str, str]]:
    return [(each["role"], each["content"]) for each in json.loads(file.read_text(encoding="utf-8"))]


@needs_pty
async def test_a_tutorials_conversation_goes_on(environ: dict[str, str], model: ModelStandin, tmp_path: Path) -> None:
    """The page's script talks first; then its commands are followed as they stand there; then the script goes on."""
    [script] = blocks("python")
    imports, chats, exports = (line.split()[1:] for line in blocks("sh")[0].splitlines())
    environ["OPENAI_API_KEY"] = "sk-tutorial"
    model.script += [Reply("Größe is *size* 😀.\n\n```py\nx = 1\n```"), Reply("Two.")]
    await run(environ, tmp_path, "-c", script, stdin='What is "Größe"?\nAnd 1 + 1?\nquit\n')
    told = read(tmp_path / "messages.json")
    assert [role for role, _ in told] == ["system", "user", "assistant", "user", "assistant"]

    said = await run(environ, tmp_path, *imports)
    assert said == ("Imported 2 questions and their answers. To go on: python -m bot chat --conversation tutorial\n")
    model.script.append(Reply("Three."))
    async with Terminal.open(environ, *chats[3:]) as terminal:
        opening = await terminal.until("\n\n> And 1 + 1?\nTwo.\n\n> ")
        assert "2 questions remembered" in opening
        assert "Three." in await terminal.ask("And one more?")
        terminal.type("/quit\n")
        await terminal.left()
    sent = [(each["role"], each["content"]) for each in model.requests[-1].messages]
    assert sent[:-1] == told
    assert question_of(model.requests[-1]) == "And one more?"

    await run(environ, tmp_path, *exports)
    continued = read(tmp_path / "continued.json")
    assert continued == [*told, ("user", "And one more?"), ("assistant", "Three.")]

    (tmp_path / "continued.json").replace(tmp_path / "messages.json")
    await run(environ, tmp_path, "-c", script, stdin="Bye.\nquit\n")
    assert read(tmp_path / "messages.json")[:-1] == [*continued, ("user", "Bye.")], "the script reads it too"


async def test_save_and_load(environ: dict[str, str], model: ModelStandin, tmp_path: Path) -> None:
    environ["HOME"] = str(tmp_path / "home")
    (tmp_path / "home").mkdir()
    write(tmp_path / "My file.json", SYSTEM, WHY, BECAUSE)
    model.script.append(Reply("Nothing."))
    lines = [
        "/save",
        "/load My file.json",
        "And then?",
        "/SAVE",
        "/save ~/Here.JSON",
        "/save page.md",
        "/load messages.json",
        "/reset",
        "/load ~/Here.JSON",
        "/load",
        "/load none.json",
        "/saved",
    ]
    out, error, code = await pipe(environ, "\n".join(lines).encode())
    assert (out, code) == ("Nothing.\n", 1)
    there = tmp_path / "home/Here.JSON"
    assert error.splitlines() == [
        "The conversation terminal:default is empty. There is nothing to export.",
        "I've read 1 question and its answer from My file.json and remember them now.",
        "Wrote 2 questions and their answers to messages.json.",
        f"Wrote 2 questions and their answers to {there}.",
        "Wrote 2 questions and their answers to page.md.",
        "The conversation terminal:default has 2 questions already. Use /reset first, or choose another name.",
        "I've forgotten this conversation: 2 questions.",
        f"I've read 2 questions and their answers from {there} and remember them now.",
        "/load needs the name of a file, as in: /load messages.json",
        "none.json does not exist. Check the name and the folder.",
        "There is no command /saved. /help shows all. To send text that starts with a slash, type //.",
    ]
    assert read(there) == [SYSTEM, WHY, BECAUSE, ("user", "And then?"), ("assistant", "Nothing.")]
    assert read(tmp_path / "messages.json") == read(there)
    assert (tmp_path / "page.md").read_text(encoding="utf-8").startswith("# terminal:default\n")
    assert stored(environ) == [("Why?", "Because.", "complete"), ("And then?", "Nothing.", "complete")]


async def test_temporary_conversation_can_be_saved(
    environ: dict[str, str], model: ModelStandin, tmp_path: Path
) -> None:
    model.script.append(Reply("Because."))
    await pipe(environ, b"Why?\n/save\n", "--temporary")
    assert read(tmp_path / "messages.json") == [WHY, BECAUSE]
    assert not Path(environ["DATABASE_PATH"]).exists()


async def test_too_many_questions_are_left_to_the_command(
    environ: dict[str, str], model: ModelStandin, tmp_path: Path
) -> None:
    write(tmp_path / "large.json", *[WHY, BECAUSE] * 10_001)
    _, error, code = await pipe(environ, b"/load large.json\n")
    assert (code, error) == (
        1,
        (
            "large.json has 10,001 questions, too many for /load. Leave with /quit and use:"
            " python -m bot import large.json terminal:default\n"
        ),
    )
    assert stored(environ) == []
    await run(environ, tmp_path, "-m", "bot", "import", "large.json", "terminal:default")

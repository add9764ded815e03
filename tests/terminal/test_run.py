"""Which stream a chat takes prompts from, and which ones it writes to."""

from __future__ import annotations

import os
from asyncio.subprocess import PIPE
from pathlib import Path

from bot.core.quotas import Usage
from bot.standin.model import ModelStandin
from bot.standin.script import REFUSALS, Reply
from tests import forkserver
from tests.talking import question_of
from tests.terminal.processes import Terminal, needs_pty, pipe, stored


@needs_pty
async def test_redirected_chat_prompts_on_standard_error(
    environ: dict[str, str], model: ModelStandin, tmp_path: Path
) -> None:
    model.script.append(Reply("Into the file. " * 9))
    file = os.open(tmp_path / "answers", os.O_CREAT | os.O_WRONLY)
    async with Terminal.open(environ, stdout=file) as terminal:
        os.close(file)
        await terminal.until("\n> ")
        assert await terminal.ask("Where?") == "Where?\n\n> "
        terminal.type("\x04")
        await terminal.left()
    assert (tmp_path / "answers").read_text() == "Into the file. " * 9 + "\n"


async def test_piped_lines_are_prompts(environ: dict[str, str], model: ModelStandin) -> None:
    model.script += [Reply("First.\nSecond line.\n"), Reply("Red \x1b[31malert\x07\x9b2J"), Reply("After.")]
    out, err, code = await pipe(environ, b"one\n\n  \n//two \xff\\\n/reset\nthree")
    assert out == "First.\nSecond line.\nRed [31malert2J\nAfter.\n"
    assert err == "I've forgotten this conversation: 2 questions.\n"
    assert code == 0
    assert [question_of(request) for request in model.requests] == ["one", "/two \ufffd\\", "three"]
    assert stored(environ) == [("three", "After.", "complete")]


async def test_next_chat_remembers_what_the_server_takes(environ: dict[str, str], model: ModelStandin) -> None:
    model.refused_parameters = {"max_tokens", "stream_options"}
    for requests in (3, 4):
        assert (await pipe(environ, b"one"))[0].startswith("Hello")
        assert len(model.requests) == requests


async def test_use_of_the_terminal_is_counted_and_never_refused(
    environ: dict[str, str], model: ModelStandin, tmp_path: Path
) -> None:
    environ |= {"OPENAI_MODEL": "m", "PRICES": "m=1000/2000", "DAILY_BUDGET": "0.000001", "DAILY_TOKENS_TOTAL": "1000"}
    model.default = Reply("Yes.", usage=Usage(1000, 500))
    out, _, code = await pipe(environ, b"one\ntwo\n")
    assert (out, code) == ("Yes.\nYes.\n", 0)
    await pipe(environ, b"three\n", "--temporary")
    del environ["OPENAI_BASE_URL"]
    await pipe(environ, b"four\n", "--conversation", "demo")
    report = await forkserver.start("-m", "bot", "usage", env=environ, cwd=tmp_path, stdout=PIPE)
    out = (await report.communicate())[0].decode()
    assert [line.split() for line in out.splitlines() if line.startswith(("total", "none", "failed"))] == [
        ["total", "2", "2,000", "1,000", "3,000", "4.00"],
        ["none", "(direct", "messages,", "terminal)", "2", "2,000", "1,000", "3,000", "4.00"],
        ["failed,", "forgotten", "or", "unknown", "2", "2,000", "1,000", "3,000", "4.00"],
    ]


async def test_answer_of_the_fallback_says_so(environ: dict[str, str], model: ModelStandin) -> None:
    model.default = REFUSALS["bad key"]
    async with ModelStandin(default=Reply("From the cloud.")) as cloud:
        environ |= {"MODEL_SERVERS": f"cloud={cloud.base_url}", "FALLBACK_MODEL": "cloud:big"}
        out, err, code = await pipe(environ, b"one\ntwo\n")
    assert (out, code) == ("From the cloud.\nFrom the cloud.\n", 0)
    why, *others = [line for line in err.splitlines() if line != "Answered by big (127.0.0.1)."]
    assert (err.count("Answered by"), others) == (2, [])
    assert why.startswith("The model server wants a key (401). Set OPENAI_API_KEY in .env and restart.")
    assert len(model.requests) == 1, "it rests"

"""Prompts of several lines."""

from __future__ import annotations

from bot.standin.model import ModelStandin
from bot.standin.script import REFUSALS, Reply
from tests.talking import question_of
from tests.terminal.processes import Terminal, needs_pty


@needs_pty
async def test_several_lines_are_one_prompt(environ: dict[str, str], model: ModelStandin) -> None:
    model.default = Reply("Yes.")
    model.script.append(REFUSALS["overloaded"])
    async with Terminal.open(environ) as terminal:
        await terminal.until("\n> ")
        await terminal.ask("one\\", "\n… ")
        await terminal.ask("two")
        terminal.type("a\nb\nc\n")  # what a paste is where a terminal does not mark it
        await terminal.until("Yes.\n\n> ")
        await terminal.ask("//slash")
    environ["TERM"] = "xterm"
    async with Terminal.open(environ) as terminal:
        await terminal.until("\x1b[?2004h\x1b[1;32m> ")  # the terminal is asked to mark what is pasted
        terminal.type("\x1b[200~x\ry\rz\x1b[201~")
        await terminal.until("z")
        terminal.type("\r")
        await terminal.until("Yes.\n\n")
    asked = [question_of(request) for request in model.requests]
    assert list(dict.fromkeys(asked)) == ["one\ntwo", "a\nb\nc", "/slash", "x\ny\nz"]

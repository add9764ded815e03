"""A conversation over several chats, and what is told when it fails."""

from __future__ import annotations

import os
import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from bot.core.protocols import ReplySink
from bot.core.turns import Conversation
from bot.llm.demo import NOTE
from bot.standin.model import ModelStandin
from bot.standin.script import REFUSALS, Reply
from bot.store.sqlite import open_store
from bot.terminal.interrupts import Interrupts
from bot.terminal.output import Output, Problems
from bot.terminal.session import Session
from tests.talking import Model, conversations
from tests.terminal.processes import Terminal, needs_pty, pipe, stored

KEY = "sk-abcdefghijklmnop"
OFFLINE = """\
 with the built-in offline demo{}. /help shows what you can do.
For a real model, set OPENAI_API_KEY or OPENAI_BASE_URL in .env.
"""


@needs_pty
async def test_conversation_continues_until_it_is_reset(environ: dict[str, str]) -> None:
    async with Terminal.open(environ, columns=100) as terminal:
        assert await terminal.until("\n> ") == f"Conversation “default”{OFFLINE.format('')}\n> "
        assert await terminal.ask("hi") == f"hi\nHello! Say “help” to see what I can do.\n\n{NOTE}\n\n> "
        assert await terminal.ask("") == "\n> "
        terminal.type("/quit\n")
        assert await terminal.left() == ("/quit\n", 0)

    async with Terminal.open(environ) as terminal:
        assert await terminal.until("…\n\n> ") == (
            "Conversation “default” with the built-in offline demo, 1 question remembered.\n"
            "/help shows what you can do.\n"
            "For a real model, set OPENAI_API_KEY or OPENAI_BASE_URL in .env.\n"
            "\n"
            "> hi\n"
            "Hello! Say “help” to see what I can do. (I'm the offline demo. For a real model…\n"
            "\n> "
        )
        terminal.type("\x1b[A")  # the arrow up
        assert await terminal.until("hi") == "hi"
        terminal.type("\x15")  # Ctrl-U
        await terminal.until("\b\b  \b\b")
        assert await terminal.ask("what did I say first?") == (
            "what did I say first?\nThe first thing you said: “hi”\n\n> "
        )
        assert await terminal.ask("/help") == (
            "/help\n"
            "/reset   forget this conversation\n"
            "/attach  send a file with your next question, as in: /attach cat.png\n"
            "/save    write this conversation to messages.json, or to a file you name\n"
            "/load    read a conversation from a file, as in: /load messages.json\n"
            "/help    show this\n"
            "/quit    leave, as Ctrl-D does\n"
            '//text   say "/text"\n'
            "\\        at the end of a line: more follows\n"
            "Ctrl-C   stop an answer; twice, leave\n"
            "\n> "
        )
        assert await terminal.ask("/rest now") == (
            "/rest now\nThere is no command /rest. /help shows all. To send text that starts with a\n"
            "slash, type //.\n\n> "
        )
        assert await terminal.ask("/reset") == "/reset\nI've forgotten this conversation: 2 questions.\n\n> "
        assert await terminal.ask("/reset") == "/reset\nThere was nothing to forget.\n\n> "
        assert stored(environ) == []
        terminal.type("\x04")
        assert await terminal.left() == ("\n", 0)


@needs_pty
async def test_killed_chat_is_mentioned_at_the_next_start(environ: dict[str, str]) -> None:
    async with Terminal.open(environ) as terminal:
        await terminal.until("\n> ")
        terminal.type("long\n")
        await terminal.until("conversations")
        terminal.process.kill()
    async with Terminal.open(environ) as terminal:
        opening = await terminal.until("it.\n\n> ")
        assert re.search(r"\n> long\n(.+\n)?I was interrupted there\. Ask again if you still need it\.\n\n> $", opening)
        assert [state for *_, state in stored(environ)] == ["interrupted"]


async def test_temporary_conversation_leaves_nothing(environ: dict[str, str], tmp_path: Path) -> None:
    out, err, code = await pipe(environ, b"hi\n/foo\n", "--temporary")
    assert out == f"Hello! Say “help” to see what I can do.\n\n{NOTE}\n"
    assert err.startswith("There is no command /foo. ")
    assert code == 1
    assert os.listdir(tmp_path) == []


async def test_endless_retry_after_is_told_in_hours(environ: dict[str, str], model: ModelStandin) -> None:
    busy = replace(REFUSALS["rate limit"], headers={"Retry-After": "inf"})
    environ["OPENAI_MODEL"] = "busy"
    model.script += [busy, Reply("Here.")]
    out, err, code = await pipe(environ, b"one\ntwo\n")
    assert (out, code) == ("Here.\n", 1)
    assert err.splitlines()[0] == "My model is busy. Try again in 24 hours."
    assert "Traceback" not in err


async def test_defect_ends_a_question_but_not_the_chat(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def broken(_: object) -> ReplySink:
        raise RuntimeError("a defect")

    async with open_store(tmp_path / "chat.db", exclusive=True) as store:
        model = Model()
        async with conversations(store, model) as core:
            errors = Output(sys.stderr, {})
            with Problems(errors) as problems, Interrupts() as interrupts:
                session = Session(
                    store, core, Conversation("terminal", "x"), Output(sys.stdout, {}), errors, problems, interrupts
                )
                with pytest.MonkeyPatch.context() as patch:
                    patch.setattr("bot.terminal.session.TerminalReply", lambda *_: broken(_))
                    await session.take("one")
                assert session.failed
                await session.take("two")
    out, err = capsys.readouterr()
    assert out == "Yes.\n"
    assert err.startswith("Something went wrong on my side. Please try again.\n")
    assert "Traceback" not in err


async def test_refused_key_is_explained_and_never_shown(environ: dict[str, str], model: ModelStandin) -> None:
    environ["OPENAI_API_KEY"] = KEY
    model.script += [REFUSALS["bad key"], Reply("Half of", cut_after=2), Reply("Here.")]
    out, err, code = await pipe(environ, b"one\ntwo\nthree\n")
    refused, advice, cut, reason = err.splitlines()
    assert out == "Half of\nHere.\n"
    assert refused == "I can't reach my AI provider."
    assert advice.startswith("The model server refused OPENAI_API_KEY (401). Replace it in the environment")
    assert cut == "The answer broke off."
    assert reason.startswith("The model server stopped in the middle of a reply.")
    assert KEY not in err
    assert code == 1

"""The chat in a terminal, in a pipe, and the wrapping of what streams in, as a person sees them."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sqlite3
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wcwidth import wcswidth
from wcwidth import width as width_with_tabs

from bot.demo import NOTE
from bot.standin.model import REFUSALS, ModelStandin, Reply
from bot.terminal import Wrapper, plain

ROOT = Path(__file__).parents[1]
KEY = "sk-abcdefghijklmnop"
CHAT = (sys.executable, "-m", "bot", "chat")

needs_pty = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals that Python can open")


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """What a chat is started with: nothing of the one who runs the tests."""
    return {
        "PATH": os.environ["PATH"],
        "SYSTEMROOT": os.environ.get("SYSTEMROOT", ""),
        "PYTHONPATH": str(ROOT),
        "PYTHONIOENCODING": "utf-8",  # and strict, unlike what the C locale gives
        "INPUTRC": os.devnull,
        "TERM": "dumb",
        "DATABASE_PATH": str(tmp_path / "chat.db"),
    }


@pytest.fixture
async def model(environ: dict[str, str]) -> AsyncIterator[ModelStandin]:
    async with ModelStandin() as server:
        environ["OPENAI_BASE_URL"] = server.base_url
        yield server


def stored(environ: Mapping[str, str]) -> list[tuple[str, str, str]]:
    with closing(sqlite3.connect(environ["DATABASE_PATH"])) as database:
        return database.execute("SELECT prompt, reply, state FROM turns ORDER BY position").fetchall()


class Terminal:
    """A chat in a pseudo-terminal."""

    def __init__(self, process: Process, master: int) -> None:
        self.process = process
        self._master = master
        self._readable = asyncio.Event()
        self.screen = ""
        asyncio.get_running_loop().add_reader(master, self._read)

    @classmethod
    @asynccontextmanager
    async def open(
        cls, environ: Mapping[str, str], *options: str, columns: int = 80, stdout: int | None = None
    ) -> AsyncIterator[Terminal]:
        import fcntl
        import pty
        import struct
        import termios

        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        process = await asyncio.create_subprocess_exec(
            *CHAT,
            *options,
            cwd=Path(environ["DATABASE_PATH"]).parent,
            env=environ,
            stdin=slave,
            stdout=slave if stdout is None else stdout,
            stderr=slave,
            start_new_session=True,
            # Only the session's own terminal sends a signal for Ctrl-C.
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(slave)
        terminal = cls(process, master)
        try:
            yield terminal
        finally:
            asyncio.get_running_loop().remove_reader(master)
            if process.returncode is None:
                process.kill()
                await process.wait()
            os.close(master)

    def _read(self) -> None:
        try:
            data = os.read(self._master, 65536)
        except OSError:  # how Linux tells that the other side is closed
            data = b""
        if not data:
            asyncio.get_running_loop().remove_reader(self._master)
        # Without carets, the terminal shows Ctrl-C as the character itself, which no terminal draws.
        self.screen += data.decode().replace("\r\n", "\n").replace("\x03", "")
        self._readable.set()

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    async def interrupt(self) -> None:
        """Press Ctrl-C at the prompt.

        Only once it sleeps: Python's readline overlooks a signal between showing the prompt and waiting for a key.
        """
        if sys.platform == "linux":
            while " S " not in Path(f"/proc/{self.process.pid}/stat").read_text():
                await asyncio.sleep(0)
        else:
            await asyncio.sleep(0.1)
        self.type("\x03")

    async def until(self, text: str) -> str:
        """What has come since the last call, up to and with this text; what came later is left for the next."""
        try:
            async with asyncio.timeout(10):
                while text not in self.screen:
                    self._readable.clear()
                    await self._readable.wait()
        except TimeoutError:
            pytest.fail(f"{text!r} never came in {self.screen!r}")
        before, found, self.screen = self.screen.partition(text)
        return before + found

    async def ask(self, text: str, prompt: str = "\n> ") -> str:
        """Type a line; what is shown for it, up to the next prompt."""
        self.type(text + "\n")
        return await self.until(prompt)

    async def left(self) -> tuple[str, int]:
        """What was shown last, and the exit code."""
        code = await asyncio.wait_for(self.process.wait(), 10)
        return self.screen, code


async def pipe(environ: Mapping[str, str], stdin: bytes, *options: str) -> tuple[str, str, int | None]:
    """Standard output, standard error and exit code."""
    cwd = Path(environ["DATABASE_PATH"]).parent
    process = await asyncio.create_subprocess_exec(
        *CHAT, *options, cwd=cwd, env=environ, stdin=PIPE, stdout=PIPE, stderr=PIPE
    )
    out, err = await asyncio.wait_for(process.communicate(stdin), 10)
    return out.decode(), err.decode(), process.returncode


OFFLINE = """\
 with the built-in offline demo{}. /help shows what you can do.
For a real model, set OPENAI_API_KEY or OPENAI_BASE_URL in .env.
"""
WRAPPED_NOTE = NOTE.replace("OPENAI_BASE_URL in", "OPENAI_BASE_URL\nin")


@needs_pty
async def test_a_conversation_is_gone_on_with_after_a_restart_until_it_is_reset(environ: dict[str, str]) -> None:
    async with Terminal.open(environ, columns=100) as terminal:
        assert await terminal.until("\n> ") == f"Conversation “default”{OFFLINE.format('')}\n> "
        assert await terminal.ask("hi") == f"hi\nHello! Say “help” to see what I can do.\n\n{NOTE}\n\n> "
        assert await terminal.ask("") == "\n> "
        terminal.type("/quit\n")
        assert await terminal.left() == ("/quit\n", 0)

    async with Terminal.open(environ) as terminal:
        assert await terminal.until("…\n\n> ") == (
            "Conversation “default” with the built-in offline demo, 1 exchange remembered.\n"
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
            f"what did I say first?\nThe first thing you said: “hi”\n\n{WRAPPED_NOTE}\n\n> "
        )
        assert await terminal.ask("/help") == (
            "/help\n"
            "/reset   forget this conversation\n"
            "/help    show this\n"
            "/quit    leave, as Ctrl-D does\n"
            '//text   say "/text"\n'
            "\\        at a line's end goes on below\n"
            "Ctrl-C   stop an answer; twice, leave\n"
            "\n> "
        )
        assert await terminal.ask("/rest now") == (
            "/rest now\nI don't know /rest. /help shows what I do; //… sends a text that begins with a\nslash.\n\n> "
        )
        assert await terminal.ask("/reset") == "/reset\nI've forgotten this conversation: 2 exchanges.\n\n> "
        assert await terminal.ask("/reset") == "/reset\nThere was nothing to forget.\n\n> "
        assert stored(environ) == []
        terminal.type("\x04")
        assert await terminal.left() == ("\n", 0)


@needs_pty
async def test_ctrl_c_stops_the_answer_keeps_what_came_and_a_second_one_leaves(environ: dict[str, str]) -> None:
    async with Terminal.open(environ) as terminal:
        await terminal.until("\n> ")
        terminal.type("long\n")
        shown = await terminal.until("A reply")  # it streams: the whole of it would take half a minute
        terminal.type("\x03")
        shown += await terminal.until("\nStopped.\n\n> ")
        [(_, reply, state)] = stored(environ)
        assert state == "stopped"
        assert shown.split() == ["long", *reply.split(), "Stopped.", ">"]
        terminal.type("not sent")
        await terminal.until("not sent")
        await terminal.interrupt()
        assert await terminal.until("> ") == "\n> "
        assert await terminal.ask("say what now", "now\n\n") == "say what now\nwhat now\n\n"
        await terminal.until("\n> ")
        await terminal.interrupt()
        assert await terminal.until("\n> ") == "\nCtrl-C once more leaves.\n> "
        await terminal.interrupt()
        assert await terminal.left() == ("\n", 0)


@needs_pty
async def test_a_model_that_lets_one_wait_can_be_stopped_before_its_first_word(
    environ: dict[str, str], model: ModelStandin
) -> None:
    environ["OPENAI_MODEL"] = "slow"
    model.script += [Reply("Never.", first_token_after=60), Reply("At once.")]
    async with Terminal.open(environ, "--conversation", "tea") as terminal:
        assert await terminal.until("\n> ") == "Conversation “tea” with slow. /help shows what you can do.\n\n> "
        terminal.type("Well?\n")
        await terminal.until("\nWaiting for the model. Ctrl-C stops it.")
        terminal.type("\x03")
        assert await terminal.until("\n> ") == f"\r{' ' * 39}\rStopped.\n\n> "
        await (await model.request(0)).over()
        assert await terminal.ask("And now?") == "And now?\nAt once.\n\n> "


@needs_pty
async def test_a_killed_chat_is_told_of_at_the_next_start(environ: dict[str, str]) -> None:
    async with Terminal.open(environ) as terminal:
        await terminal.until("\n> ")
        terminal.type("long\n")
        await terminal.until("conversations")
        terminal.process.kill()
    async with Terminal.open(environ) as terminal:
        opening = await terminal.until("it.\n\n> ")
        assert re.search(r"\n> long\n(.+\n)?I was interrupted there\. Ask again if you still need it\.\n\n> $", opening)
        assert [state for *_, state in stored(environ)] == ["interrupted"]


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
        await terminal.until("\x1b[?2004h> ")  # the terminal is asked to mark what is pasted
        terminal.type("\x1b[200~x\ry\rz\x1b[201~")
        await terminal.until("z")
        terminal.type("\r")
        await terminal.until("Yes.\n\n")
    asked = [request.messages[-1]["content"] for request in model.requests]
    assert list(dict.fromkeys(asked)) == ["one\ntwo", "a\nb\nc", "/slash", "x\ny\nz"]


@needs_pty
@pytest.mark.parametrize("no_color", ["", "1"])
async def test_notes_are_dim_unless_colours_are_unwanted(environ: dict[str, str], no_color: str) -> None:
    environ |= {"TERM": "xterm", "NO_COLOR": no_color}
    async with Terminal.open(environ) as terminal:
        await terminal.until("> ")
        note = "There was nothing to forget."
        assert (f"{note}\n" if no_color else f"\x1b[2m{note}\x1b[0m\n") in await terminal.ask("/reset", "> ")


@needs_pty
async def test_a_person_whose_answers_go_to_a_file_is_asked_on_standard_error(
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


async def test_in_a_pipe_every_line_is_a_prompt_and_only_answers_go_to_standard_output(
    environ: dict[str, str], model: ModelStandin
) -> None:
    model.script += [Reply("First.\nSecond line.\n"), Reply("Red \x1b[31malert\x07\x9b2J"), Reply("After.")]
    out, err, code = await pipe(environ, b"one\n\n  \n//two \xff\\\n/reset\nthree")
    assert out == "First.\nSecond line.\nRed [31malert2J\nAfter.\n"
    assert err == "I've forgotten this conversation: 2 exchanges.\n"
    assert code == 0
    assert [request.messages[-1]["content"] for request in model.requests] == ["one", "/two \ufffd\\", "three"]
    assert stored(environ) == [("three", "After.", "complete")]


async def test_a_temporary_conversation_leaves_nothing_behind(environ: dict[str, str], tmp_path: Path) -> None:
    out, err, code = await pipe(environ, b"hi\n/foo\n", "--temporary")
    assert out == f"Hello! Say “help” to see what I can do.\n\n{NOTE}\n"
    assert err.startswith("I don't know /foo. ")
    assert code == 1
    assert os.listdir(tmp_path) == []


async def test_a_refused_key_is_told_with_what_to_do_and_never_shown(
    environ: dict[str, str], model: ModelStandin
) -> None:
    environ["OPENAI_API_KEY"] = KEY
    model.script += [REFUSALS["bad key"], Reply("Half of", cut_after=2), Reply("Here.")]
    out, err, code = await pipe(environ, b"one\ntwo\nthree\n")
    refused, advice, cut, reason = err.splitlines()
    assert out == "Half of\nHere.\n"
    assert refused == "I have a set-up problem; it's nothing you did."
    assert advice.startswith("The model server refused OPENAI_API_KEY (401). Replace it in .env and restart.")
    assert cut == "My model isn't answering right now. Your question is saved."
    assert reason.startswith("The model server cut its reply off.")
    assert KEY not in err
    assert code == 1


@pytest.mark.skipif(sys.platform == "win32", reason="a reader's end is another error there")
async def test_a_reader_that_has_had_enough_ends_it_without_a_word(environ: dict[str, str]) -> None:
    reading, writing = os.pipe()
    process = await asyncio.create_subprocess_exec(
        *CHAT, cwd=Path(environ["DATABASE_PATH"]).parent, env=environ, stdin=PIPE, stdout=writing, stderr=PIPE
    )
    os.close(writing)
    assert process.stdin is not None
    process.stdin.write(b"long\n" * 3)
    loop = asyncio.get_running_loop()
    await loop.run_in_executor(None, os.read, reading, 1)
    os.close(reading)
    _, err = await asyncio.wait_for(process.communicate(), 10)
    assert (err, process.returncode) == (b"", 0)
    assert [(prompt, state) for prompt, _, state in stored(environ)] == [("long", "stopped")]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a device that is always full is Linux's")
async def test_a_full_disk_is_told(environ: dict[str, str]) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    process = await asyncio.create_subprocess_exec(
        *CHAT, "--temporary", env=environ, cwd="/", stdin=PIPE, stdout=full, stderr=PIPE
    )
    os.close(full)
    _, err = await asyncio.wait_for(process.communicate(b"hi\nhi\n"), 10)
    assert err.decode().splitlines() == ["I can't write my answers.", "[Errno 28] No space left on device"]
    assert process.returncode == 1


@needs_pty
async def test_ctrl_c_in_a_pipe_ends_it(environ: dict[str, str], tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *CHAT, cwd=tmp_path, env=environ, stdin=PIPE, stdout=PIPE, stderr=PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(b"long\nlong\n")
    await asyncio.wait_for(process.stdout.readuntil(b"conversations\n"), 10)
    process.send_signal(signal.SIGINT)
    _, err = await asyncio.wait_for(process.communicate(), 10)
    assert (err, process.returncode) == (b"Stopped.\n", 130)


def wrapped(width: int, *deltas: str) -> str:
    wrapper = Wrapper(width)
    return "".join(map(wrapper.feed, deltas)) + wrapper.finish()


def test_words_lists_and_wide_characters_are_wrapped_and_code_is_not() -> None:
    text = """

The quick brown fox jumps.
- A list item that goes on
  1. and one inside of it
> A quote that goes on

```python
the_quick_brown(fox, jumps)   # over

    the_lazy(dog)
```
吾輩は猫である。まだ「無い」。
https://example.com/a/very/long/path is long
e\u0301e\u0301e\u0301e\u0301e\u0301e\u0301 e\u0301e\u0301e\u0301e\u0301e\u0301e\u0301

"""
    assert wrapped(16, *text) == (
        "The quick brown\nfox jumps.\n"
        "- A list item\n  that goes on\n"
        "  1. and one\n     inside of\n     it\n"
        "> A quote that\n  goes on\n"
        "\n"
        "```python\nthe_quick_brown(fox, jumps)   # over\n\n    the_lazy(dog)\n```\n"
        "吾輩は猫である。\nまだ「無い」。\n"
        "https://example.com/a/very/long/path\nis long\n"
        "e\u0301e\u0301e\u0301e\u0301e\u0301e\u0301 e\u0301e\u0301e\u0301e\u0301e\u0301e\u0301"
    )


def test_what_is_shown_is_at_most_a_word_behind() -> None:
    wrapper = Wrapper(20)
    assert [wrapper.feed(delta) for delta in ["An", "swers", " come", " as", " they\nare"]] == [
        "",
        "",
        "Answers",
        " come",
        " as they",
    ]
    assert wrapper.feed("x" * 30).startswith("\narex")


TEXTS = st.lists(
    st.sampled_from(
        [
            *"ab-*>.`~ \n\t",
            "1. ",
            "```",
            "word ",
            "https://long.example/",
            "世",
            "「",
            "。",
            "👨‍👩‍👧",
            "🇳🇴",
            "❤",
            "\ufe0f",
            "é",
        ]
    )
)


@given(TEXTS, st.integers(10, 40))
def test_wrapping_changes_white_space_only_whatever_the_pieces(pieces: list[str], width: int) -> None:
    text = "".join(pieces)
    whole = wrapped(width, text)
    assert wrapped(width, *pieces) == wrapped(width, *text) == whole
    assert "".join(whole.split()) == "".join(text.split())


@given(
    st.lists(st.sampled_from([*"ab-*>. \n\t", "1. ", "word ", "https://long.example/", "世", "「", "。", "🇳🇴"])),
    st.integers(10, 40),
)
def test_no_line_is_wider_than_the_terminal_unless_a_word_is(pieces: list[str], width: int) -> None:
    for line in wrapped(width, *pieces).split("\n"):
        columns = width_with_tabs(line)
        *_, word = re.split(r"[ \t]", line)
        assert columns <= width or wcswidth(word) >= width - width // 2, line


@given(st.text())
def test_nothing_that_a_terminal_obeys_is_left(text: str) -> None:
    kept = plain(text)
    assert all(character.isprintable() or character in "\n\t" or ord(character) > 0x9F for character in kept)
    assert kept == "".join(c for c in text if ord(c) > 0x9F or 0x20 <= ord(c) < 0x7F or c in "\n\t")

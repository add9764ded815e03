"""A conversation over standard input and output: at a terminal a chat, in a pipe one turn for each line."""

from __future__ import annotations

import asyncio
import errno
import io
import logging
import os
import re
import select
import shutil
import signal
import sys
import time
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import pairwise
from types import FrameType, ModuleType
from typing import Self, TextIO

from wcwidth import clip, iter_graphemes, wcswidth

from bot import phrases
from bot.conversation import Conversations, Running
from bot.errors import StoreError
from bot.store import SQLiteStore
from bot.turns import Attempt, Cause, Outcome, Prompt, ReplySink, State, Turn

WIDEST = 100
"""Columns after which lines of prose become hard to read, however wide the terminal is."""
PATIENCE = 2.0
"""Seconds without a word of the reply after which the terminal says that it is waiting."""
_PASTED = 0.02
"""Seconds within which the next line of something pasted is there, and no typed one."""
_RECALLED = 200
"""Earlier prompts that the arrow keys bring back."""

_HELP = """\
/reset   forget this conversation
/help    show this
/quit    leave, as Ctrl-D does
//text   say "/text"
\\        at a line's end goes on below
Ctrl-C   stop an answer; twice, leave"""
_REAL_MODEL = "For a real model, set OPENAI_API_KEY or OPENAI_BASE_URL in .env."
_WAITING = "Waiting for the model. Ctrl-C stops it."
_ONCE_MORE = "Ctrl-C once more leaves."
_CUT_OFF = "I was interrupted there. Ask again if you still need it."

_SMALL = "-# "
"""Discord's mark for small text, which a note begins with."""

_log = logging.getLogger(__name__)

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_MARKER = re.compile(r"[-*+•>]|\d{1,3}[.)]")
_FENCE = re.compile(r"(`{3,})[^`]*|(~{3,}).*")


async def chat(
    store: SQLiteStore,
    conversations: Conversations,
    name: str,
    model: str | None,
    *,
    temporary: bool,
    environ: Mapping[str, str],
) -> int:
    """Hold the conversation of this name over the standard streams until it is left; the answer is the exit code.

    `model` is None for the demo. `environ` is asked for TERM and NO_COLOR.
    """
    # Each of them is None where the process was started without it.
    stdin, stdout, stderr = (stream or io.StringIO() for stream in (sys.stdin, sys.stdout, sys.stderr))
    for stream in (stdin, stdout, stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    answers, errors = _Output(stdout, environ), _Output(stderr, environ)
    at_keyboard = stdin.isatty()
    talk = answers if at_keyboard and answers.terminal else errors
    with _Problems(errors) as problems, _Interrupts() as interrupts:
        session = _Session(store, conversations, f"terminal:{name}", answers, talk, problems, interrupts)
        if not at_keyboard:
            return await _take_lines(stdin, session, interrupts)
        keyboard = _Keyboard(talk, interrupts, edits=answers.terminal, escapes=answers.escapes)
        title = "A temporary conversation" if temporary else f"Conversation “{plain(name)}”"
        with _without_carets():
            await _converse(
                session, keyboard, talk, f"{title} with {model or 'the built-in offline demo'}", demo=model is None
            )
        return 0


async def _take_lines(stdin: TextIO, session: _Session, interrupts: _Interrupts) -> int:
    """Answer line by line; the answer is the exit code."""
    await session.resume()
    while not session.over:
        with interrupts.reading():
            line = stdin.readline()
        if not line:
            break
        await session.take(line.strip())
        if interrupts.count:
            raise KeyboardInterrupt
    return int(session.failed)


async def _converse(session: _Session, keyboard: _Keyboard, talk: _Output, title: str, *, demo: bool) -> None:
    """Talk with a person, beginning with where they were."""
    exchanges, last = await session.resume()
    remembered = f", {_count(exchanges)} remembered" if exchanges else ""
    talk.say(f"{title}{remembered}. /help shows what you can do.")
    if demo:
        talk.say(_REAL_MODEL)
    if last is not None:
        talk.write("\n")
        shown = [f"> {last.prompt}", last.reply] if last.reply else [f"> {last.prompt}"]
        talk.say("\n".join(_shortened(line, talk.columns) for line in shown))
        if last.state is State.INTERRUPTED:
            talk.say(_CUT_OFF)
    talk.write("\n")
    for prompt in await session.prompts(_RECALLED):
        keyboard.remember(prompt)
    while not session.over and (text := keyboard.ask()) is not None:
        if not text.strip():
            continue
        await session.take(text.strip())
        if session.over:
            break
        talk.write("\n")
        if session.empty:
            keyboard.forget()


def plain(text: str) -> str:
    """The text without the characters that a terminal obeys instead of showing, but for newline and tab."""
    return _CONTROL.sub("", text)


class Wrapper:
    """Breaks text that comes in pieces at word borders, into lines of at most `width` columns.

    Lines of a list or a quote go on under their own text. Fenced code is left as it is. A word that is wider than a
    line stays whole. A word is held back until its end is known; empty lines before and behind the text are dropped.
    """

    def __init__(self, width: int) -> None:
        self._width = width
        self._word = ""
        self._gap = ""
        self._newlines = 0
        self._column = 0
        self._begun = False
        self._glued = False
        """Whether the next piece continues a word that was too wide to wait for its end."""
        self._indent = 0
        self._leading = True
        """Whether the line has shown nothing yet but white space and the markers of a list or a quote."""
        self._fence = ""
        """The marks that opened the code block we are in."""
        self._verbatim = False

    def feed(self, delta: str) -> str:
        """What can be shown once this piece has come."""
        *tokens, self._word = re.findall(r"\n|[ \t]+|[^ \t\n]+", self._word + delta) or [""]
        out = "".join(map(self._take, tokens))
        if self._word[:1] in ("", " ", "\t", "\n"):
            # A gap may still grow, but holds nothing back by itself.
            return out
        # What is last may still grow into another grapheme, on whose either side a line may then end or not.
        *complete, last = iter_graphemes(self._word)
        *pieces, held = _pieces(complete)
        out += "".join(map(self._put, pieces))
        if wcswidth(held) > self._width and len(graphemes := list(iter_graphemes(held))) > 1:
            out += self._put("".join(graphemes[:-1]))
            held = graphemes[-1]
            self._glued = True
        self._word = held + last
        return out

    def finish(self) -> str:
        """What was held back."""
        word, self._word = self._word, ""
        return self._take(word)

    def _take(self, piece: str) -> str:
        if piece == "\n":
            self._newlines += 1
            self._gap, self._glued, self._leading, self._indent = "", False, True, 0
            self._verbatim = bool(self._fence)
            return ""
        if piece[:1] in ("", " ", "\t"):
            self._gap, self._glued = piece, False
            return ""
        return "".join(map(self._put, _pieces(list(iter_graphemes(piece)))))

    def _put(self, piece: str) -> str:
        out = "\n" * self._newlines if self._begun else ""
        self._begun, self._newlines = True, 0
        if out:
            self._column = 0
        gap, self._gap = self._gap, ""
        if self._leading and not self._glued:
            self._lead(gap, piece)
        columns, wide = self._across(gap), wcswidth(piece)
        if not (self._glued or self._verbatim) and self._column + columns + wide > self._width:
            if self._column > self._indent:
                out += "\n" + " " * self._indent
                self._column, gap = self._indent, ""
            else:
                gap = gap[:1] if self._column else ""
            columns = len(gap)
        self._glued = False
        self._column += columns + wide
        return out + gap + piece

    def _lead(self, gap: str, piece: str) -> None:
        """Learn from a line's beginning how the rest of it is to be wrapped."""
        if _MARKER.fullmatch(piece):
            return
        self._leading = False
        indent = self._column + self._across(gap)
        self._indent = indent if indent <= self._width // 2 else 0
        if not (marks := _FENCE.fullmatch(piece)):
            return
        if not self._fence:
            self._fence, self._verbatim = marks[1] or marks[2], True
        elif piece.startswith(self._fence) and not piece.strip(self._fence[0]):
            self._fence = ""

    def _across(self, gap: str) -> int:
        """The columns that white space takes up here."""
        column = self._column
        for character in gap:
            column += 8 - column % 8 if character == "\t" else 1
        return column - self._column


def _pieces(graphemes: list[str]) -> list[str]:
    """A word in the pieces between which a line may end: on either side of a wide character, but for punctuation."""
    pieces = graphemes[:1] or [""]
    for before, after in pairwise(graphemes):
        wide = max(wcswidth(before), wcswidth(after)) > 1
        clings = unicodedata.category(before[-1]) in ("Ps", "Pi") or unicodedata.category(after[0]) in (
            "Pe",
            "Pf",
            "Po",
            "Lm",
        )
        if wide and not clings:
            pieces.append(after)
        else:
            pieces[-1] += after
    return pieces


class _Output:
    """A standard stream, whose reader may go away at any time."""

    def __init__(self, stream: TextIO, environ: Mapping[str, str]) -> None:
        self._stream = stream
        self.terminal = stream.isatty()
        self.escapes = self.terminal and environ.get("TERM") != "dumb"
        # Windows shows escape sequences as they are, except in its new terminal.
        modern = sys.platform != "win32" or "WT_SESSION" in environ
        self._dims = self.escapes and modern and not environ.get("NO_COLOR")
        self.error: OSError | None = None

    @property
    def columns(self) -> int:
        """The width of its lines now, as the person may change it."""
        return min(shutil.get_terminal_size().columns, WIDEST)

    def write(self, text: str) -> None:
        """Show it at once. An error silences the stream and is kept."""
        if self.error is not None or not text:
            return
        try:
            self._stream.write(text)
            self._stream.flush()
        except OSError as error:
            self.error = error
            # The interpreter would try to write what is left in the buffer when it ends, and complain.
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)

    def say(self, text: str) -> None:
        """Write lines of ours: wrapped and dim, to tell them from the conversation."""
        text = self._wrapped(text)
        self.write(f"\x1b[2m{text}\x1b[0m\n" if self._dims else f"{text}\n")

    def report(self, problem: str) -> None:
        """Write what the operator should know: in one line, as in a log, unless it is a terminal that breaks it."""
        self.write(self._wrapped(" ".join(plain(problem).split())) + "\n")

    def _wrapped(self, text: str) -> str:
        if not self.terminal:
            return text
        wrapper = Wrapper(self.columns)
        return wrapper.feed(text) + wrapper.finish()

    @property
    def reader_left(self) -> bool:
        """Whether its error means only that nobody reads it any more. Windows calls that an invalid argument."""
        return self.error is not None and self.error.errno in (errno.EPIPE, errno.EINVAL)


class _Problems(logging.Handler):
    """Keeps what the log has for the operator, so that it comes under the reply it is about and not into it."""

    def __init__(self, errors: _Output) -> None:
        super().__init__(logging.WARNING)
        self._errors = errors
        self._kept: list[str] = []

    def __enter__(self) -> Self:
        logging.getLogger().addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        logging.getLogger().removeHandler(self)
        self.tell()

    def emit(self, record: logging.LogRecord) -> None:
        # There is only one turn here that it could be about. No trace: it is a log's, not a conversation's.
        self._kept.append(re.sub(r"^turn \d+: ", "", record.getMessage()))

    def tell(self) -> None:
        """Show what was kept."""
        kept, self._kept = self._kept, []
        for problem in kept:
            self._errors.report(problem)


class _Interrupts:
    """Ctrl-C: an exception while a line is read; at any other time it stops the reply under way, and is counted.

    Not through asyncio's own handling, which would cancel the whole chat, nor `add_signal_handler`, which Windows does
    not have.
    """

    def __init__(self) -> None:
        self.count = 0
        self._loop = asyncio.get_running_loop()
        self._running: Running | None = None
        self._reading = False

    def __enter__(self) -> Self:
        self._before = signal.signal(signal.SIGINT, self._signalled)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGINT, self._before)

    @contextmanager
    def reading(self) -> Iterator[None]:
        """A line is read here."""
        self._reading = True
        try:
            yield
        finally:
            self._reading = False

    def stopping(self, running: Running) -> None:
        """Let it stop this reply, at once if it has come already."""
        self._running = running
        if self.count:
            running.stop(Cause.PERSON)

    def _signalled(self, _: int, __: FrameType | None) -> None:
        if self._reading:
            self._reading = False
            raise KeyboardInterrupt
        self._loop.call_soon_threadsafe(self._stop)

    def _stop(self) -> None:
        self.count += 1
        if self._running is not None:
            self._running.stop(Cause.PERSON)


class _Reply:
    """Shows a reply as it comes, and under it how it ended. Implements `bot.turns.ReplySink`."""

    def __init__(self, running: Running, answers: _Output, say: Callable[[str], None]) -> None:
        self._running = running
        self._answers = answers
        self._say = say
        self._wrapper = Wrapper(answers.columns) if answers.terminal else None
        self._taken = 0
        self._last = ""
        self._hint = ""
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        if self._answers.terminal:
            self._timer = asyncio.get_running_loop().call_later(PATIENCE, self._wait)

    def update(self, text: str) -> None:
        delta, self._taken = plain(text[self._taken :]), len(text)
        self._show(self._wrapper.feed(delta) if self._wrapper else delta)

    async def finish(self, outcome: Outcome) -> bool:
        self.update(outcome.text)
        self._show(self._wrapper.finish() if self._wrapper else "")
        self._stop_waiting()
        if self._last and self._last != "\n":
            self._answers.write("\n")
        note = phrases.note(outcome)
        if note and self._answers.error is None:
            self._say(note.removeprefix(_SMALL))
        return True

    def _show(self, text: str) -> None:
        if not text:
            return
        self._stop_waiting()
        self._last = text[-1]
        self._answers.write(text)
        if self._answers.error is not None:
            self._running.stop(Cause.PERSON)

    def _wait(self) -> None:
        self._hint = _WAITING[: self._answers.columns - 1]
        self._answers.write(self._hint)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._hint:
            self._answers.write("\r" + " " * len(self._hint) + "\r")
            self._hint = ""


class _Keyboard:
    """Reads prompts from a person at a terminal, with line editing where Python has readline.

    It reads in the main thread, though that holds up the event loop: between turns nothing needs the loop, and only
    there do `input`, readline and Ctrl-C work together; a thread that reads could not be ended either.
    """

    def __init__(self, talk: _Output, interrupts: _Interrupts, *, edits: bool, escapes: bool) -> None:
        self._talk = talk
        self._interrupts = interrupts
        self._edits = edits
        self._left = False
        self._readline = _readline() if edits else None
        # GNU readline, which Python keeps from it, takes a paste of several lines as one, to be edited and sent.
        self._takes_pastes = self._readline is not None and escapes and "GNU" in (self._readline.__doc__ or "")
        if self._readline and self._takes_pastes:
            self._readline.parse_and_bind("set enable-bracketed-paste on")

    def remember(self, prompt: str) -> None:
        """Let the arrow keys bring it back."""
        if self._readline:
            self._readline.add_history(plain(prompt))

    def forget(self) -> None:
        """Let the arrow keys bring nothing back."""
        if self._readline:
            self._readline.clear_history()

    def ask(self) -> str | None:
        """What the person says next, maybe in several lines. None: they leave."""
        lines: list[str] = []
        while not self._left:
            try:
                lines.append(self._line("… " if lines else "> "))
            except EOFError:
                self._talk.write("\n")
                self._left = True
                break
            except KeyboardInterrupt:
                self._talk.write("\n")
                if not lines and not (self._readline and self._readline.get_line_buffer()):
                    if self._interrupts.count:
                        return None
                    self._talk.say(_ONCE_MORE)
                self._interrupts.count += 1
                lines.clear()
                continue
            if lines[-1].endswith("\\"):
                lines[-1] = lines[-1][:-1]
            elif self._takes_pastes or not _more_waits():
                break
        self._interrupts.count = 0
        return "\n".join(lines) if lines else None

    def _line(self, prompt: str) -> str:
        if not self._edits:
            self._talk.write(prompt)
            prompt = ""
        with self._interrupts.reading():
            return input(prompt)


class _Session:
    """One conversation: takes what is typed, and tells what becomes of it."""

    def __init__(
        self,
        store: SQLiteStore,
        conversations: Conversations,
        key: str,
        answers: _Output,
        talk: _Output,
        problems: _Problems,
        interrupts: _Interrupts,
    ) -> None:
        self._store = store
        self._conversations = conversations
        self._key = key
        self._answers = answers
        self._talk = talk
        self._problems = problems
        self._interrupts = interrupts
        self._position = 0
        self.over = False
        self.failed = False
        """Whether something that was asked was not done."""
        self.empty = False
        """Whether the last thing done was to forget everything."""

    async def resume(self) -> tuple[int, Turn | None]:
        """How many exchanges are remembered, and the last turn, which an earlier process may have left unfinished."""
        unfinished = await self._store.untold(self._key)
        for turn in unfinished:
            await self._store.told(Attempt(turn.id, turn.attempt))
        turns = unfinished + await self._store.history(self._key, 1)
        last = max(turns, key=lambda turn: turn.position, default=None)
        self._position = last.position if last else 0
        return await self._store.count(self._key), last

    async def prompts(self, limit: int) -> list[str]:
        """The prompts that were answered, oldest first."""
        return [turn.prompt for turn in reversed(await self._store.history(self._key, limit))]

    async def take(self, text: str) -> None:
        """Do what a line asks for."""
        self.empty = False
        match text.lower():
            case "":
                pass
            case "/reset":
                await self._reset()
            case "/help":
                self._talk.say(_HELP)
            case "/quit" | "/exit":
                self.over = True
            case command if command.startswith("//"):
                await self._answer(text[1:])
            case command if command.startswith("/"):
                self.failed = True
                word = plain(text.split()[0])
                self._talk.say(
                    f"I don't know {word}. /help shows what I do; //… sends a text that begins with a slash."
                )
            case _:
                await self._answer(text)
        self._problems.tell()

    async def _reset(self) -> None:
        try:
            forgotten = await self._conversations.forget(self._key)
        except StoreError as error:
            self._fail(phrases.NOT_RESET, error)
            return
        self.empty = True
        self._talk.say(
            f"I've forgotten this conversation: {_count(forgotten.exchanges)}."
            if forgotten.exchanges
            else "There was nothing to forget."
        )

    async def _answer(self, text: str) -> None:
        def show(running: Running) -> ReplySink:
            self._interrupts.stopping(running)
            return _Reply(running, self._answers, self._talk.say)

        outcome: Outcome | None = None
        try:
            while outcome is None:
                # A clock may be coarse or set back, and another process talk here too: a turn comes after all others.
                self._position = max(time.time_ns(), self._position + 1)
                outcome = await self._conversations.answer(Prompt(self._key, self._position, text), show)
        except StoreError as error:
            self._fail(phrases.CANNOT_SAVE, error)
            return
        if outcome.state is State.FAILED:
            self.failed = True
        unwritable = self._answers.error
        if unwritable is not None and not self._answers.reader_left:
            self._fail("I can't write my answers.", unwritable)
        self.over = unwritable is not None or self._interrupts.count > 1

    def _fail(self, note: str, error: Exception) -> None:
        self.failed = True
        self._talk.say(note.removeprefix(_SMALL))
        _log.warning("%s", error)


def _count(exchanges: int) -> str:
    return "1 exchange" if exchanges == 1 else f"{exchanges} exchanges"


def _shortened(text: str, columns: int) -> str:
    """The text in one line."""
    line = " ".join(plain(text).split())
    return line if wcswidth(line) <= columns else clip(line, 0, columns - 1).rstrip() + "…"


def _more_waits() -> bool:
    """Whether the next line is there already, as when several are pasted."""
    if sys.platform == "win32":
        import msvcrt

        time.sleep(_PASTED)
        return msvcrt.kbhit()
    return bool(select.select([sys.stdin], [], [], _PASTED)[0])


def _readline() -> ModuleType | None:
    # Not at the top: merely importing it writes an escape sequence to some terminals.
    try:
        import readline
    except ImportError:  # on Windows, where the console edits lines
        return None
    return readline


@contextmanager
def _without_carets() -> Iterator[None]:
    """Keep the terminal from writing ^C into the reply that it stops."""
    if sys.platform == "win32":
        yield  # it writes none
        return
    import termios

    before = termios.tcgetattr(sys.stdin)
    without = termios.tcgetattr(sys.stdin)
    without[3] &= ~termios.ECHOCTL
    termios.tcsetattr(sys.stdin, termios.TCSANOW, without)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSANOW, before)

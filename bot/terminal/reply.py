"""A reply on an output stream."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from bot.core.attempt import ActiveAttempt
from bot.core.turns import Outcome, StopReason
from bot.markdown import Piece, Stream
from bot.terminal.output import Output
from bot.terminal.styling import SPEAKER, Painter, styled
from bot.terminal.text import plain
from bot.terminal.wrapping import Wrapper
from bot.texts import terminal as words

PATIENCE = 2.0
"""Seconds without text of the reply after which the terminal shows that it is waiting."""


class _Plain:
    """Text as it comes, for a pipe or a file."""

    def feed(self, delta: str) -> str:
        return delta

    def finish(self) -> str:
        return ""


class _Rendered:
    """Text whose Markdown is shown as what it means, as soon as it is certain, under the name of who says it."""

    def __init__(self, columns: int) -> None:
        self._stream = Stream(columns)
        self._wrapper = Wrapper(columns, styled=True)
        self._painter = Painter()
        self._head = f"{SPEAKER}{words.SPEAKER}{SPEAKER}\n"

    def feed(self, delta: str) -> str:
        return self._shown(self._stream.feed(delta))

    def finish(self) -> str:
        return self._shown(self._stream.finish())

    def _shown(self, pieces: Sequence[Piece]) -> str:
        if not pieces:
            return ""
        text = self._head + "".join(piece.before + styled(piece.content) for piece in pieces)
        self._head = ""
        # No word goes on behind a piece.
        return self._painter.paint(self._wrapper.feed(text) + self._wrapper.finish())


class TerminalReply:
    """Shows a reply as it streams, and how it ended below it. Implements `bot.core.protocols.ReplySink`."""

    def __init__(self, running: ActiveAttempt, answers: Output, say: Callable[[str], None]) -> None:
        self._running = running
        self._answers = answers
        self._say = say
        self._text = self._new_text()
        self._taken = 0
        self._last = ""
        self._hint = ""
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        if self._answers.terminal:
            self._timer = asyncio.get_running_loop().call_later(PATIENCE, self._wait)

    def update(self, text: str) -> None:
        delta, self._taken = plain(text[self._taken :]), len(text)
        self._show(self._text.feed(delta))

    def replace(self, text: str) -> None:
        # What was written cannot be taken back.
        self._end_text()
        self._say(words.WAS_REASONING)
        self._text, self._taken = self._new_text(), len(text)

    async def finish(self, outcome: Outcome) -> bool:
        self.update(outcome.text)
        self._end_text()
        note = words.note(outcome)
        if note and self._answers.error is None:
            self._say(note)
        return True

    @property
    def messages(self) -> int:
        return 1

    @property
    def delivery_error(self) -> None:
        return None

    def _new_text(self) -> _Plain | Wrapper | _Rendered:
        if self._answers.styles:
            return _Rendered(self._answers.columns)
        return Wrapper(self._answers.columns) if self._answers.terminal else _Plain()

    def _end_text(self) -> None:
        self._show(self._text.finish())
        self._stop_waiting()
        if self._last and self._last != "\n":
            self._answers.write("\n")
        self._last = ""

    def _show(self, text: str) -> None:
        if not text:
            return
        self._stop_waiting()
        self._last = text[-1]
        self._answers.write(text)
        if self._answers.error is not None:
            self._running.stop(StopReason.USER)

    def _wait(self) -> None:
        self._hint = words.WAITING[: self._answers.columns - 1]
        self._answers.write(self._hint)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._hint:
            self._answers.write("\r" + " " * len(self._hint) + "\r")
            self._hint = ""

"""A reply on an output stream."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from bot import texts
from bot.core.attempt import ActiveAttempt
from bot.core.turns import Outcome, StopReason
from bot.terminal.output import Output
from bot.terminal.text import plain
from bot.terminal.wrapping import Wrapper
from bot.texts import terminal as words

PATIENCE = 2.0
"""Seconds without text of the reply after which the terminal shows that it is waiting."""


class TerminalReply:
    """Shows a reply as it streams, and how it ended below it. Implements `bot.core.protocols.ReplySink`."""

    def __init__(self, running: ActiveAttempt, answers: Output, say: Callable[[str], None]) -> None:
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
        note = texts.note(outcome)
        if note and self._answers.error is None:
            self._say(texts.full_size(note))
        return True

    @property
    def messages(self) -> int:
        return 1

    @property
    def delivery_error(self) -> None:
        return None

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

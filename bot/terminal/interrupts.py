"""The handling of Ctrl-C."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Self

from bot.core.attempt import ActiveAttempt
from bot.core.turns import StopReason


class Interrupts:
    """Handles Ctrl-C. While a line is read it raises KeyboardInterrupt; otherwise it stops the running reply.

    It does not use asyncio's own handling, which would cancel the whole chat, nor `add_signal_handler`, which Windows
    does not have. `count` is how often Ctrl-C was pressed outside of reading.
    """

    def __init__(self) -> None:
        self.count = 0
        self._loop = asyncio.get_running_loop()
        self._running: ActiveAttempt | None = None
        self._reading = False

    def __enter__(self) -> Self:
        self._before = signal.signal(signal.SIGINT, self._signalled)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGINT, self._before)

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Mark the block as reading a line."""
        self._reading = True
        try:
            yield
        finally:
            self._reading = False

    def stopping(self, running: ActiveAttempt) -> None:
        """Let Ctrl-C stop this reply. If it was pressed before, the reply stops at once."""
        self._running = running
        if self.count:
            running.stop(StopReason.USER)

    def _signalled(self, _: int, __: FrameType | None) -> None:
        if self._reading:
            self._reading = False
            raise KeyboardInterrupt
        self._loop.call_soon_threadsafe(self._stop)

    def _stop(self) -> None:
        self.count += 1
        if self._running is not None:
            self._running.stop(StopReason.USER)


@contextmanager
def without_carets() -> Iterator[None]:
    """Keep the terminal from writing ^C into the reply that it stops."""
    if sys.platform == "win32":
        yield  # Windows writes none
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

"""The standard streams to write to, and what the log has for the operator, kept until a reply has ended."""

from __future__ import annotations

import errno
import logging
import os
import re
import shutil
import sys
from collections.abc import Mapping
from typing import Self, TextIO

from bot.terminal.text import one_line
from bot.terminal.wrapping import Wrapper

WIDEST = 100
"""Columns after which lines of prose become hard to read, however wide the terminal is."""


class Output:
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
        self.write(self._wrapped(one_line(problem)) + "\n")

    def _wrapped(self, text: str) -> str:
        if not self.terminal:
            return text
        wrapper = Wrapper(self.columns)
        return wrapper.feed(text) + wrapper.finish()

    @property
    def reader_left(self) -> bool:
        """Whether its error means only that nobody reads it any more. Windows calls that an invalid argument."""
        return self.error is not None and self.error.errno in (errno.EPIPE, errno.EINVAL)


class Problems(logging.Handler):
    """Keeps what the log has for the operator, so that it comes under the reply it is about and not into it."""

    def __init__(self, errors: Output) -> None:
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

"""Writing to the standard streams, and log lines that are held back until a reply has ended."""

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
"""The most columns of a line: longer lines of prose are hard to read, however wide the terminal is."""


class Output:
    """A standard stream. Its reader may go away at any time."""

    def __init__(self, stream: TextIO, environ: Mapping[str, str]) -> None:
        self._stream = stream
        self.terminal = stream.isatty()
        self.escapes = self.terminal and environ.get("TERM") != "dumb"
        # Windows shows escape sequences as they are, except in its new terminal.
        modern = sys.platform != "win32" or "WT_SESSION" in environ
        self.styles = self.escapes and modern and not environ.get("NO_COLOR")
        """Whether it may be shown in bold, dim and coloured letters."""
        self.error: OSError | None = None

    @property
    def columns(self) -> int:
        """The present width of lines. The person may change the terminal's size."""
        return min(shutil.get_terminal_size().columns, WIDEST)

    def write(self, text: str) -> None:
        """Write text at once. After an error, which is kept in `error`, nothing more is written."""
        if self.error is not None or not text:
            return
        try:
            self._stream.write(text)
            self._stream.flush()
        except OSError as error:
            self.error = error
            # At its end the interpreter would flush the buffer, fail, and print an error.
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)

    def say(self, text: str) -> None:
        """Write lines of the program's own, wrapped, and dim to set them apart from the conversation."""
        text = self._wrapped(text)
        self.write(f"\x1b[2m{text}\x1b[0m\n" if self.styles else f"{text}\n")

    def report(self, problem: str) -> None:
        """Write a log message in one line. At a terminal the line is wrapped."""
        self.write(self._wrapped(one_line(problem)) + "\n")

    def _wrapped(self, text: str) -> str:
        if not self.terminal:
            return text
        wrapper = Wrapper(self.columns)
        return wrapper.feed(text) + wrapper.finish()

    @property
    def reader_left(self) -> bool:
        """Whether the error means only that the reader is gone. Windows reports that as an invalid argument."""
        return self.error is not None and self.error.errno in (errno.EPIPE, errno.EINVAL)


class Problems(logging.Handler):
    """Holds log messages back, so that they come below the reply they are about and not into it."""

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
        # The turn's number is dropped, since a chat has only one turn at a time; so is the traceback.
        self._kept.append(re.sub(r"^turn \d+: ", "", record.getMessage()))

    def tell(self) -> None:
        """Write the messages that were held back."""
        kept, self._kept = self._kept, []
        for problem in kept:
            self._errors.report(problem)

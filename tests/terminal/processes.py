"""Chats as processes: in a pseudo-terminal, and in a pipe."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from tests import forkserver
from tests.waiting import FOR_A_PROCESS

CHAT = ("-m", "bot", "chat")

needs_pty = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals that Python can open")


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
        process = await forkserver.start(
            *CHAT,
            *options,
            cwd=Path(environ["DATABASE_PATH"]).parent,
            env=environ,
            stdin=slave,
            stdout=slave if stdout is None else stdout,
            stderr=slave,
            is_terminal=True,
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
            async with asyncio.timeout(FOR_A_PROCESS):
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
        code = await asyncio.wait_for(self.process.wait(), FOR_A_PROCESS)
        return self.screen, code


async def pipe(environ: Mapping[str, str], stdin: bytes, *options: str) -> tuple[str, str, int | None]:
    """Standard output, standard error and exit code."""
    cwd = Path(environ["DATABASE_PATH"]).parent
    process = await forkserver.start(*CHAT, *options, cwd=cwd, env=environ, stdin=PIPE, stdout=PIPE, stderr=PIPE)
    out, err = await asyncio.wait_for(process.communicate(stdin), FOR_A_PROCESS)
    return out.decode(), err.decode(), process.returncode

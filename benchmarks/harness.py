"""The bot as a process of its own between the two stand-ins, and what it uses of the machine."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from bot.standin.model import ModelStandin
from bot.standin.server import DiscordStandin
from tests.waiting import FOR_A_PROCESS

RUN = """
import sys
from bot.cli import main
from bot.discord_bot.endpoint import connect_to
with connect_to(*sys.argv[1:]):
    sys.exit(main([]))
"""


_TELL_EVERY = 10.0
"""Seconds from one line that says how far a benchmark is to the next, where they are kept."""
_told_at = 0.0
NO_LIMITS = {
    "HOURLY_QUESTIONS_PER_USER": "100000",
    **dict.fromkeys(("DAILY_TOKENS_PER_USER", "DAILY_TOKENS_PER_SERVER", "DAILY_TOKENS_TOTAL"), "999999999999"),
}
"""Few people ask much more here than anybody would."""


@dataclass(frozen=True)
class Usage:
    """A process's CPU in seconds, and its memory now and at its peak in MB; zeros where the system does not tell."""

    cpu: float = 0.0
    memory: float = 0.0
    peak: float = 0.0

    @classmethod
    def of(cls, pid: int) -> Usage:
        proc = Path(f"/proc/{pid}")
        if not proc.exists():
            return cls()
        fields = (proc / "stat").read_text().rsplit(")", 1)[1].split()
        status = dict(line.split(":", 1) for line in (proc / "status").read_text().splitlines() if ":" in line)
        ticks = int(fields[11]) + int(fields[12])
        memory, peak = (int(status[name].split()[0]) / 1024 for name in ("VmRSS", "VmHWM"))
        return cls(ticks / os.sysconf("SC_CLK_TCK"), memory, peak)


@asynccontextmanager
async def bot(
    discord: DiscordStandin,
    model: ModelStandin,
    log: IO[bytes] | None = None,
    checkout: Path | None = None,
    /,
    **settings: str,
) -> AsyncIterator[asyncio.subprocess.Process]:
    """The bot, in its own process, between the two stand-ins; settings may be given by name.

    `checkout` is the folder of another version of it.
    """
    discord.patience = FOR_A_PROCESS
    with tempfile.TemporaryDirectory() as folder:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", RUN, discord.url, discord.gateway_url, discord.cdn_url),
            cwd=checkout,
            env={
                "PATH": os.environ["PATH"],
                "PYTHONPATH": str(checkout or Path.cwd()),
                "DISCORD_TOKEN": discord.token,
                "OPENAI_BASE_URL": model.base_url,
                "DATABASE_PATH": str(Path(folder) / "parley.db"),
                "LOG_LEVEL": "ERROR",
                "SHUTDOWN_GRACE": "1",
                **NO_LIMITS,
                **settings,
            },
            stderr=log,
        )
        try:
            yield process
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()


def progress(what: str) -> None:
    """Show how far it is: in a terminal in the place of what was shown before, else every few seconds."""
    global _told_at
    if sys.stderr.isatty():
        print(f"\r\x1b[K{what}", end="", file=sys.stderr, flush=True)
    elif what and time.monotonic() - _told_at >= _TELL_EVERY:
        _told_at = time.monotonic()
        print(what, file=sys.stderr, flush=True)

"""The streams: what is dim, and what happens when they close or are full."""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest

from tests import forkserver
from tests.terminal.processes import CHAT, Terminal, needs_pty, stored
from tests.waiting import FOR_A_PROCESS


@needs_pty
@pytest.mark.parametrize("no_color", ["", "1"])
async def test_notes_are_dim_unless_colours_are_off(environ: dict[str, str], no_color: str) -> None:
    environ |= {"TERM": "xterm", "NO_COLOR": no_color}
    async with Terminal.open(environ) as terminal:
        await terminal.until("> ")
        note = "There was nothing to forget."
        assert (f"{note}\n" if no_color else f"\x1b[2m{note}\x1b[0m\n") in await terminal.ask("/reset", "> ")


@pytest.mark.skipif(sys.platform == "win32", reason="a reader's end is another error there")
async def test_closed_output_ends_the_chat_silently(environ: dict[str, str]) -> None:
    reading, writing = os.pipe()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *CHAT),
        cwd=Path(environ["DATABASE_PATH"]).parent,
        env=environ,
        stdin=PIPE,
        stdout=writing,
        stderr=PIPE,
    )
    os.close(writing)
    assert process.stdin is not None
    process.stdin.write(b"long\n" * 3)
    loop = asyncio.get_running_loop()
    await loop.run_in_executor(None, os.read, reading, 1)
    os.close(reading)
    _, err = await asyncio.wait_for(process.communicate(), FOR_A_PROCESS)
    assert (err, process.returncode) == (b"", 0)
    assert [(prompt, state) for prompt, _, state in stored(environ)] == [("long", "stopped")]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a device that is always full is Linux's")
async def test_full_disk_is_reported(environ: dict[str, str]) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    process = await forkserver.start(
        *CHAT, "--temporary", env=environ, cwd=Path("/"), stdin=PIPE, stdout=full, stderr=PIPE
    )
    os.close(full)
    _, err = await asyncio.wait_for(process.communicate(b"hi\nhi\n"), FOR_A_PROCESS)
    assert err.decode().splitlines() == ["I can't write my answers.", "[Errno 28] No space left on device"]
    assert process.returncode == 1

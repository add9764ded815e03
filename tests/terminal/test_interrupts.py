"""Ctrl-C, as it stops a reply or leaves."""

from __future__ import annotations

import asyncio
import signal
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

from tests.terminal.processes import CHAT, Terminal, needs_pty, stored
from tests.waiting import FOR_A_PROCESS


@needs_pty
async def test_first_ctrl_c_stops_and_second_leaves(environ: dict[str, str]) -> None:
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
        await terminal.until("> ")
        await terminal.interrupt()
        assert await terminal.until("\n> ") == "\nPress Ctrl-C again to leave.\n> "
        await terminal.interrupt()
        assert await terminal.left() == ("\n", 0)


@needs_pty
async def test_ctrl_c_in_a_pipe_ends_the_chat(environ: dict[str, str], tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *CHAT), cwd=tmp_path, env=environ, stdin=PIPE, stdout=PIPE, stderr=PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(b"long\nlong\n")
    await asyncio.wait_for(process.stdout.readuntil(b"conversations\n"), FOR_A_PROCESS)
    process.send_signal(signal.SIGINT)
    _, err = await asyncio.wait_for(process.communicate(), FOR_A_PROCESS)
    assert (err, process.returncode) == (b"Stopped.\n", 130)

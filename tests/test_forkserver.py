"""A process that is forked is as one for which an interpreter starts."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE
from functools import partial
from pathlib import Path

import pytest

from tests import forkserver
from tests.waiting import FOR_A_PROCESS

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere an interpreter starts for each")

TELL = """
import json, os, signal, sys, threading
streams = (sys.stdin, sys.stdout, sys.stderr)
print(json.dumps({
    "name": __name__, "argv": sys.argv, "folder": os.getcwd(), "environment": dict(os.environ), "path": sys.path,
    "streams": [(each.name, each.mode, each.encoding, each.errors, each.line_buffering) for each in streams],
    "same": [a is b for a, b in zip(streams, (sys.__stdin__, sys.__stdout__, sys.__stderr__))],
    "signals": [str(signal.getsignal(each)) for each in sorted(signal.valid_signals())],
    "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
    "files": sorted(map(int, os.listdir("/proc/self/fd"))), "threads": threading.active_count(),
    "read": sys.stdin.read(),
}))
sys.exit(7)
"""


@pytest.mark.parametrize("encoding", ["", "ascii:replace", "utf-8"])
async def test_a_program_finds_what_an_interpreter_gives_it(tmp_path: Path, encoding: str) -> None:
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(Path.cwd()), "MORE": "größer\udcff"}
    if encoding:
        environment["PYTHONIOENCODING"] = encoding
    told = []
    for start in (forkserver.start, partial(asyncio.create_subprocess_exec, sys.executable)):
        process = await start(
            "-c", TELL, "one", "two words", cwd=tmp_path, env=environment, stdin=PIPE, stdout=PIPE, stderr=PIPE
        )
        async with asyncio.timeout(FOR_A_PROCESS):
            out, error = await process.communicate(b"said")
        assert (process.returncode, error) == (7, b"")
        told.append(json.loads(out))
    forked, started = told
    assert {**forked, "environment": None} == {**started, "environment": None}
    # An interpreter that finds the C locale sets LC_CTYPE for programs that it starts.
    assert forked["environment"] == {each: text for each, text in started["environment"].items() if each != "LC_CTYPE"}


@pytest.mark.parametrize(("program", "code"), [("import os; os.kill(os.getpid(), 9)", -9), ("1 / 0", 1), ("", 0)])
async def test_its_end_is_known(tmp_path: Path, program: str, code: int) -> None:
    process = await forkserver.start("-c", program, cwd=tmp_path, env={}, stderr=PIPE)
    async with asyncio.timeout(FOR_A_PROCESS):
        _, error = await process.communicate()
    assert process.returncode == code
    assert (b"ZeroDivisionError" in error) == (code == 1)

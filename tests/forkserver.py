"""Processes of the bot, forked from one that has imported it: nearly all that a start costs is its imports.

For the rest they are as if an interpreter were started for each, which is done where there is no Linux, and for those
that are told what to load.
"""

from __future__ import annotations

import asyncio
import atexit
import gc
import importlib
import json
import os
import pkgutil
import runpy
import signal
import socket
import struct
import subprocess
import sys
from asyncio.base_subprocess import BaseSubprocessTransport
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process, SubprocessStreamProtocol
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import IO, Any, Final

_ROOT: Final = Path(__file__).parents[1]
_NUMBER: Final = struct.Struct("i")
_LARGEST: Final = 2**17
_OF_A_STREAM: Final = 2**16


async def start(
    *arguments: str,
    env: Mapping[str, str],
    cwd: Path,
    stdin: int | None = None,
    stdout: int | None = None,
    stderr: int | None = None,
    is_terminal: bool = False,
) -> Process:
    """Start `python -m` or `python -c` with what follows; standard input may be the terminal of its session."""
    # The loader reads its variables when a program starts.
    if sys.platform != "linux" or any(name.startswith("LD_") for name in env):
        return await asyncio.create_subprocess_exec(
            sys.executable,
            *arguments,
            env=env,
            cwd=cwd,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            start_new_session=is_terminal,
            preexec_fn=_take_terminal if is_terminal else None,
        )
    await asyncio.to_thread(_server)
    request = {"arguments": arguments, "env": dict(env), "cwd": str(cwd), "is_terminal": is_terminal}
    loop = asyncio.get_running_loop()
    protocol, waiter = SubprocessStreamProtocol(_OF_A_STREAM, loop), loop.create_future()
    transport = _Transport(loop, protocol, "", False, stdin, stdout, stderr, 0, waiter=waiter, request=request)
    await waiter
    return Process(transport, protocol, loop)


class _Transport(BaseSubprocessTransport):
    def _start(self, args: Any, shell: bool, stdin: Any, stdout: Any, stderr: Any, bufsize: int, **more: Any) -> None:
        child = _Child(more["request"], stdin, stdout, stderr)
        self._proc = child  # type: ignore[assignment]
        loop = asyncio.get_running_loop()

        def ended() -> None:
            loop.remove_reader(child.news)
            self._process_exited(child.reap())

        loop.add_reader(child.news, ended)


class _Child:
    """What asyncio needs of `subprocess.Popen`."""

    def __init__(self, request: dict[str, Any], *streams: int | None) -> None:
        self.news, news = socket.socketpair()
        self.returncode: int | None = None
        passed: list[int] = []
        mine = [news.fileno()]
        self.stdin: IO[bytes] | None = None
        self.stdout: IO[bytes] | None = None
        self.stderr: IO[bytes] | None = None
        for number, stream in enumerate(streams):
            if stream == PIPE:
                reading, writing = os.pipe()
                ours, its = (writing, reading) if number == 0 else (reading, writing)
                end = os.fdopen(ours, "wb" if number == 0 else "rb", 0)
                setattr(self, ("stdin", "stdout", "stderr")[number], end)
                mine.append(its)
                passed.append(its)
            elif stream == DEVNULL:
                mine.append(its := os.open(os.devnull, os.O_RDWR))
                passed.append(its)
            elif stream == STDOUT:
                passed.append(passed[1])
            else:
                passed.append(number if stream is None else stream)
        try:
            socket.send_fds(_server(), [json.dumps(request).encode()], [*passed, news.fileno()])
        finally:
            news.detach()
            for descriptor in mine:
                os.close(descriptor)
        [self.pid] = _NUMBER.unpack(self.news.recv(_NUMBER.size))

    def reap(self) -> int:
        """How it has ended. Like asyncio, 255 where nobody can tell any more."""
        told = self.news.recv(_NUMBER.size)
        self.news.close()
        return int(_NUMBER.unpack(told)[0]) if told else 255

    def poll(self) -> int | None:
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.returncode is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)


@cache
def _server() -> socket.socket:
    """Where one asks for processes, once the bot is imported there."""
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    program = "from tests.forkserver import serve\nserve()()"
    # Nothing of the tests' environment is to be seen there, nor do they start it with an environment of their own.
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(_ROOT)}
    process = subprocess.Popen(  # noqa: S603 -- itself
        [sys.executable, "-c", program], stdin=its.fileno(), env=environment, cwd=_ROOT, start_new_session=True
    )
    its.close()
    assert ours.recv(1), "the server did not start"

    def end() -> None:
        ours.close()
        process.wait()

    atexit.register(end)
    return ours


def serve() -> Callable[[], object]:
    """Fork a process for each request on standard input. Such a process returns its program, which is to be called."""
    import bot

    for module in pkgutil.walk_packages(bot.__path__, "bot."):
        if module.name != "bot.__main__":
            importlib.import_module(module.name)
    gc.collect()
    gc.freeze()
    # What waits for the processes is not waited for.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    requests = socket.socket(fileno=os.dup(0))
    requests.send(b"!")
    while True:
        request, descriptors, _, _ = socket.recv_fds(requests, _LARGEST, 4)
        if not request:
            return sys.exit
        if os.fork() == 0:
            requests.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            return _forked(json.loads(request), descriptors)
        for descriptor in descriptors:
            os.close(descriptor)


def _forked(request: Mapping[str, Any], descriptors: list[int]) -> Callable[[], object]:
    *streams, news = descriptors
    if process := os.fork():
        # Whoever reads its pipes is to see their end when it ends.
        for descriptor in (0, 1, 2, *streams):
            os.close(descriptor)
        os.write(news, _NUMBER.pack(process))
        _, status = os.waitpid(process, 0)
        with suppress(OSError):
            os.write(news, _NUMBER.pack(os.waitstatus_to_exitcode(status)))
        os._exit(0)
    os.close(news)
    for number, descriptor in enumerate(streams):
        os.dup2(descriptor, number)
        os.close(descriptor)
    if request["is_terminal"]:
        os.setsid()
        _take_terminal()
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    _open_streams()
    how, program, *arguments = request["arguments"]
    sys.argv[1:] = arguments
    if how == "-m":
        return lambda: runpy.run_module(program, run_name="__main__", alter_sys=True)
    return lambda: exec(compile(program, "<string>", "exec", dont_inherit=True), {"__name__": "__main__"})  # noqa: S102


def _take_terminal() -> None:
    """Only the session's own terminal sends a signal for Ctrl-C."""
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def _open_streams() -> None:
    """Open the standard streams as the interpreter does at its start."""
    encoding, _, errors = os.environ.get("PYTHONIOENCODING", "").partition(":")
    of_text = errors or ("strict" if encoding else "surrogateescape")
    for number, (name, mode, on_error) in enumerate(
        (("stdin", "r", of_text), ("stdout", "w", of_text), ("stderr", "w", "backslashreplace"))
    ):
        buffering = 1 if name == "stderr" else -1
        stream: Any = os.fdopen(number, mode, buffering, encoding or "utf-8", on_error, closefd=False)
        stream.buffer.raw.name = f"<{name}>"
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)

"""Reads files in a worker process, which is started with the first file and again when it has ended."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from dataclasses import dataclass

from bot.files.messages import ANSWER, REQUEST, unpacked
from bot.files.results import FileProblem, ReadFile, Unreadable

log = logging.getLogger(__name__)

TIME_LIMIT = 15.0
"""Seconds that reading one file may take."""
_CHUNK = 256 * 1024
"""Bytes that are given to the worker at a time."""
_LARGEST_ANSWER = 32 * 1024 * 1024
_ENDS_WITHIN = 2.0
"""Seconds in which an idle worker ends by itself."""
_LIMITS = [-getattr(signal, name, 0) for name in ("SIGKILL", "SIGXCPU")]
"""The return codes of a process that was ended because it needs too much memory or time."""
_ENVIRONMENT = ("SYSTEMROOT",)
"""What Python needs of the environment: on Windows, and nowhere else."""


@dataclass(frozen=True, slots=True)
class _Worker:
    process: Process
    requests: asyncio.StreamWriter
    answers: asyncio.StreamReader

    async def ended(self) -> int:
        """How the process ends that has no more to do: its return code. One that goes on is killed."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_ENDS_WITHIN):
                return await self.process.wait()
        return await self.killed()

    async def killed(self) -> int:
        # asyncio loses the code of a process that has ended before.
        if self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self.process.kill()
        return await self.process.wait()


class FileReader:
    """Reads files, one after the other, in a process that ends with this one. `close` ends it before."""

    def __init__(self, *, time_limit: float = TIME_LIMIT) -> None:
        self._time_limit = time_limit
        self._worker: _Worker | None = None
        self._turn = asyncio.Lock()
        self._closed = False

    async def read(self, data: bytes | bytearray, limit: int) -> ReadFile:
        """Read a file. Of a text at most `limit` bytes of UTF-8 are kept; what is too long is cut in the middle."""
        async with self._turn:
            if self._closed:
                return Unreadable(FileProblem.READER_FAILED)
            try:
                worker = await self._started()
            except OSError as error:
                log.error("the process that reads files cannot be started: %s", error)
                return Unreadable(FileProblem.READER_FAILED)
            answered = False
            try:
                async with asyncio.timeout(self._time_limit):
                    result = await _ask(worker, data, limit)
                answered = True
                return result
            except TimeoutError:
                return Unreadable(FileProblem.TOO_DEMANDING)
            except (asyncio.IncompleteReadError, ConnectionError):
                return await _died(worker)
            except (ValueError, RecursionError) as error:
                log.warning("the process that reads files gave an answer that is none: %s", error)
                return Unreadable(FileProblem.BROKEN)
            finally:
                if not answered:
                    # What it says next would be taken for the answer about the next file.
                    self._worker = None
                    await worker.killed()

    async def close(self) -> None:
        """End the worker, also while it reads a file, and read no more."""
        self._closed = True
        worker = self._worker
        if worker is not None and self._turn.locked():
            await worker.killed()
        async with self._turn:
            worker, self._worker = self._worker, None
            if worker is not None:
                worker.requests.close()
                await worker.ended()

    async def _started(self) -> _Worker:
        if self._worker is None or self._worker.process.returncode is not None:
            # The settings of the bot, its secrets among them, are not for a process that opens people's files.
            environment = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
            environment |= {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",
                "-m",
                "bot.files.worker",
                str(math.ceil(self._time_limit)),
                stdin=PIPE,
                stdout=PIPE,
                stderr=DEVNULL,
                env=environment,
                start_new_session=True,
            )
            if process.stdin is None or process.stdout is None:
                raise OSError("there is no way to talk to it")
            self._worker = _Worker(process, process.stdin, process.stdout)
        return self._worker


async def _ask(worker: _Worker, data: bytes | bytearray, limit: int) -> ReadFile:
    worker.requests.write(REQUEST.pack(len(data), limit))
    for start in range(0, len(data), _CHUNK):
        worker.requests.write(data[start : start + _CHUNK])
        await worker.requests.drain()
    sizes = ANSWER.unpack(await worker.answers.readexactly(ANSWER.size))
    if sum(sizes) > _LARGEST_ANSWER:
        raise asyncio.IncompleteReadError(b"", None)
    head, payload = [await worker.answers.readexactly(size) for size in sizes]
    return unpacked(head, payload)


async def _died(worker: _Worker) -> Unreadable:
    """Why the worker ended while it read a file."""
    code = await worker.ended()
    log.warning("the process that reads files ended at a file, with code %d", code)
    return Unreadable(FileProblem.TOO_DEMANDING if code in _LIMITS else FileProblem.BROKEN)

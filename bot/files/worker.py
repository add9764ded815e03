"""The process that reads files: one after the other from standard input, each within limits of memory and CPU time.

It ends with its standard input. What it reads and writes has the form that `messages` describes.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from typing import Final

from bot.files.kinds import is_pdf, is_picture
from bot.files.messages import ANSWER, REQUEST, packed
from bot.files.results import FileProblem, ReadFile, Unreadable

MEMORY: Final = 400 * 1024 * 1024
"""Bytes of addresses that the process may use where the system limits them; its libraries are about a sixth."""


def main(seconds: int) -> None:
    """Answer requests until standard input ends. `seconds` of CPU time are for each of them."""
    # Ctrl-C is for the bot, which reads on until it ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    # Whatever a library prints is no answer.
    os.dup2(2, 1)
    _limit_memory()
    while header := requests.read(REQUEST.size):
        size, limit = REQUEST.unpack(header)
        data = requests.read(size)
        _limit_time(seconds)
        head, payload = packed(_read(data, limit))
        answers.write(ANSWER.pack(len(head), len(payload)) + head + payload)
        answers.flush()
        # Before the next request is waited for: a file of a person's is kept no longer than it is needed.
        del data, head, payload


def _read(data: bytes, limit: int) -> ReadFile:
    try:
        from bot.files import documents, pictures

        if not data:
            return Unreadable(FileProblem.EMPTY)
        if is_picture(data):
            return pictures.read(data)
        return documents.read_pdf(data, limit) if is_pdf(data) else documents.read_text(data, limit)
    except MemoryError:
        return Unreadable(FileProblem.TOO_DEMANDING)
    except Exception:  # noqa: BLE001 - a broken file brings about errors of every kind, and there is nobody to tell
        return Unreadable(FileProblem.BROKEN)


def _limit_memory() -> None:
    if sys.platform != "win32":
        import resource

        # Not every system has the limit, and a container may have a lower one.
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    # Where memory runs out all the same, this process is the one to end.
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w", encoding="ascii") as score:
        score.write("1000")


def _limit_time(seconds: int) -> None:
    """Limit the CPU time from now on. It ends a process whose parent was killed, too."""
    if sys.platform != "win32":
        import resource

        used = resource.getrusage(resource.RUSAGE_SELF)
        _, most = resource.getrlimit(resource.RLIMIT_CPU)
        resource.setrlimit(resource.RLIMIT_CPU, (int(used.ru_utime + used.ru_stime) + seconds + 1, most))


if __name__ == "__main__":
    main(int(sys.argv[1]))

"""Sentences about files, which stand small under an answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from bot.files import FileProblem
from bot.markdown.escaping import escape

NO_PDF_READER = "PDFs cannot be read. Run: python -m pip install 'pypdf>=7.1,<8'. Then restart."

_PROBLEMS = {
    FileProblem.EMPTY: "{} is empty. Check that you sent the right file.",
    FileProblem.TOO_LARGE: "{} is larger than 20 MB. Send a smaller part of it.",
    FileProblem.TOO_MANY_PIXELS: "{} has too many pixels for me. Send a smaller picture.",
    FileProblem.TOO_DEMANDING: "{} takes too long to open. Send a smaller part of it.",
    FileProblem.BROKEN: "{} seems to be broken. Try saving and sending it again.",
    FileProblem.NOT_READABLE: "I can't read {}, only pictures, PDFs and text files.",
    FileProblem.ENCRYPTED: "{} needs a password. Send it without one.",
    FileProblem.TOO_MANY_PAGES: "{} has more than 1,000 pages. Send a part of it.",
    FileProblem.ONLY_SCANS: "{} has no text, only scans. Send its pages as pictures.",
    FileProblem.NO_PDF_READER: "I can't read {}. My owner has to install pypdf.",
    FileProblem.NOT_FETCHED: "I couldn't download {}. Try sending it again.",
    FileProblem.GONE: "{} is no longer there. Try sending it again.",
    FileProblem.READER_FAILED: "I can't open files right now, so I didn't read {}.",
}
_LONGEST_NAME = 40
_KEPT_OF_END = 12


@dataclass(frozen=True, slots=True)
class FileNotes:
    """What there is to say to a person of a question's files: the names of those with each problem, and those cut.

    `heard` are the words of voice messages.
    """

    problems: dict[FileProblem, list[str]] = field(default_factory=dict)
    cut: list[str] = field(default_factory=list)
    heard: list[str] = field(default_factory=list)

    def lines(self, room: int) -> list[str]:
        """The lines that fit in so many characters."""
        # Both shortened rather than one left out.
        for_cut = len(_cut_forms(self.cut)[-1]) + len("\n-# ") if self.cut else 0
        unread = _unread(self, room - for_cut) or _unread(self, room)
        cut = _fitting(_cut_forms(self.cut), room - len(unread or "") - 1) if self.cut else None
        return [line for line in (unread, cut) if line]


def _unread(notes: FileNotes, room: int) -> str | None:
    problems = notes.problems
    names = [name for group in problems.values() for name in group]
    if not names:
        return None
    if len(names) == 1:
        [problem] = problems
        lines = [unread(problem, _short(names[0])), f"I couldn't read {_short(names[0])}."]
    else:
        more = len(names) - 2
        others = f", {_short(names[1])} and {more} more" if more else f" and {_short(names[1])}"
        lines = [f"I couldn't read {_short(names[0])}{others}."]
    return _fitting([*lines, f"I couldn't read {_files(len(names))}."], room)


def unread(problem: FileProblem, name: str) -> str:
    """Why a file is not read, and what to do."""
    return _PROBLEMS[problem].format(name)


def _cut_forms(names: Sequence[str]) -> Sequence[str]:
    """What is said of files that were cut, the longest form first."""
    parts = "I only read the beginning and end of"
    return (*([f"{parts} {_short(names[0])}."] if len(names) == 1 else []), f"{parts} {_files(len(names))}.")


def _fitting(lines: Sequence[str], room: int) -> str | None:
    return next((f"-# {line}" for line in lines if len(line) + 3 <= room), None)


def _files(number: int) -> str:
    return "1 file" if number == 1 else f"{number} files"


def _short(name: str) -> str:
    short = name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - _KEPT_OF_END]}…{name[-_KEPT_OF_END:]}"
    return escape(short)

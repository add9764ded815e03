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
    FileProblem.TOO_MANY_PIXELS: "{} has too many pixels for me. Send a smaller one.",
    FileProblem.TOO_DEMANDING: "{} takes too long to open. Send a smaller part of it.",
    FileProblem.BROKEN: "{} seems to be broken. Try saving and sending it again.",
    FileProblem.NOT_READABLE: "I can't read {}, only images, PDFs and text files.",
    FileProblem.ENCRYPTED: "{} needs a password. Send it without one.",
    FileProblem.TOO_MANY_PAGES: "{} has more than 1,000 pages. Send a part of it.",
    FileProblem.ONLY_SCANS: "{} has no text, only scans. Send its pages as images.",
    FileProblem.NO_PDF_READER: "I can't read {}. My owner has to install pypdf.",
    FileProblem.NOT_FETCHED: "I couldn't download {}. Try sending it again.",
    FileProblem.GONE: "{} is no longer there. Try sending it again.",
    FileProblem.READER_FAILED: "I can't open files right now, so I didn't read {}.",
}
_REASONS = {
    FileProblem.EMPTY: "empty",
    FileProblem.TOO_LARGE: "over 20 MB",
    FileProblem.TOO_MANY_PIXELS: "too many pixels",
    FileProblem.TOO_DEMANDING: "too slow to open",
    FileProblem.BROKEN: "broken",
    FileProblem.NOT_READABLE: "not an image, PDF or text",
    FileProblem.ENCRYPTED: "locked with a password",
    FileProblem.TOO_MANY_PAGES: "over 1,000 pages",
    FileProblem.ONLY_SCANS: "only scans, no text",
    FileProblem.NO_PDF_READER: "my owner has to install pypdf",
    FileProblem.NOT_FETCHED: "not downloaded, try again",
    FileProblem.GONE: "no longer there",
    FileProblem.READER_FAILED: "can't open files right now",
}
"""The problems in few words, where several files share a line."""
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
        return [line for lines in (unread, cut) if lines for line in lines.split("\n")]


def _unread(notes: FileNotes, room: int) -> str | None:
    """Why files were not read, in the form that says most of those that fit."""
    problems = notes.problems
    number = sum(map(len, problems.values()))
    if not number:
        return None
    forms = []
    if len(problems) == number:
        # What to do about it, too.
        forms.append("\n-# ".join(unread(problem, _short(name)) for problem, [name] in problems.items()))
    if number == 1:
        [[name]] = problems.values()
        forms.append(f"I couldn't read {_short(name)}.")
    else:
        for most in (number, 2, 1):
            groups = (f"{_named(names, most)} ({_REASONS[problem]})" for problem, names in problems.items())
            forms.append(f"I couldn't read {'; '.join(groups)}.")
        counts = (f"{len(names)} {_REASONS[problem]}" for problem, names in problems.items())
        forms.append(f"I couldn't read {_files(number)}: {'; '.join(counts)}.")
    return _fitting([*forms, f"I couldn't read {_files(number)}."], room)


def _named(names: Sequence[str], most: int) -> str:
    """Some names in a row: at most so many, and how many more there are."""
    *first, last = [*map(_short, names[:most]), *([f"{len(names) - most} more"] if len(names) > most else [])]
    return f"{', '.join(first)} and {last}" if first else last


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

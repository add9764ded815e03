"""What reading a file results in."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class FileProblem(StrEnum):
    """Why a file cannot be shown to a model."""

    EMPTY = "empty"
    TOO_LARGE = "too large"
    """It has more bytes than a file may have."""
    TOO_MANY_PIXELS = "too many pixels"
    TOO_DEMANDING = "too demanding"
    """Reading it takes more time or memory than a file may take."""
    BROKEN = "broken"
    """It begins like a kind that can be read, but does not go on like it."""
    NOT_READABLE = "not readable"
    """It is neither a picture nor a text."""
    ENCRYPTED = "encrypted"
    TOO_MANY_PAGES = "too many pages"
    ONLY_SCANS = "only scans"
    """A PDF without any text."""
    NO_PDF_READER = "no PDF reader"
    """The package that reads PDFs is not installed."""
    NOT_FETCHED = "not fetched"
    """It could not be downloaded."""
    GONE = "gone"
    """It is no longer where it was."""
    READER_FAILED = "reader failed"
    """The process that reads files could not be started."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture as a model is sent it: small enough, upright, without metadata."""

    data: bytes = field(repr=False)
    media_type: str
    """`image/png` or `image/jpeg`: what `data` is, whatever the file was."""
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Text:
    """The text of a file."""

    text: str = field(repr=False)
    """The text, or its beginning if it is too long."""
    end: str | None = field(default=None, repr=False)
    """The end of a text whose middle is left out; None if the text is whole."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A file that cannot be shown to a model."""

    problem: FileProblem


ReadFile = Picture | Text | Unreadable

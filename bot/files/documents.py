"""The text of text files, whatever their encoding, and of PDFs."""

from __future__ import annotations

import codecs
from collections.abc import Iterable
from io import BytesIO
from typing import TYPE_CHECKING

import charset_normalizer

from bot.files.kinds import BOMS
from bot.files.results import FileProblem, ReadFile, Text, Unreadable

if TYPE_CHECKING:
    import pypdf

MOST_PAGES = 1000
"""Pages of the longest PDF that is read."""
_SAMPLE = 256 * 1024
"""Bytes from which an encoding is guessed."""
_MOST_CONTROLS = 0.05
"""The part of a text that control characters may be: a terminal's log has many, a program's file more."""


def read_text(data: bytes, limit: int) -> ReadFile:
    """The text of a text file, cut in the middle to at most `limit` bytes of UTF-8."""
    text = _decoded(data)
    if text is None:
        return Unreadable(FileProblem.NOT_READABLE)
    cleaned = _clean(text)
    return _cut(cleaned, limit) if cleaned.strip() else Unreadable(FileProblem.EMPTY)


def read_pdf(data: bytes, limit: int) -> ReadFile:
    """The text of a PDF with a line before each page, cut in the middle to at most `limit` bytes of UTF-8."""
    try:
        import pypdf
        from pypdf.errors import DependencyError, FileNotDecryptedError
    except ImportError:
        return Unreadable(FileProblem.NO_PDF_READER)
    try:
        reader = pypdf.PdfReader(BytesIO(data))
        if len(reader.pages) > MOST_PAGES:
            return Unreadable(FileProblem.TOO_MANY_PAGES)
        return _pages(reader, limit)
    except (FileNotDecryptedError, DependencyError):
        return Unreadable(FileProblem.ENCRYPTED)


def _decoded(data: bytes) -> str | None:
    """The text of a file, or None if it has none."""
    for mark, encoding in BOMS:
        if data.startswith(mark):
            return data.decode(encoding, errors="replace")
    if b"\0" in data:
        return None
    try:
        # A file that was cut may end within a character.
        text = codecs.getincrementaldecoder("utf-8")().decode(data)
    except UnicodeDecodeError:
        sample = data[:_SAMPLE]
        # A line's end is no part of a longer character.
        guess = charset_normalizer.from_bytes(sample[: sample.rfind(b"\n") + 1] or sample).best()
        if guess is None:
            return None
        text = data.decode(guess.encoding, errors="replace")
    controls = sum(map(text[:_SAMPLE].count, map(chr, (*range(9), *range(14, 27), *range(28, 32), 127))))
    return None if controls > _MOST_CONTROLS * len(text[:_SAMPLE]) else text


def _pages(reader: pypdf.PdfReader, limit: int) -> ReadFile:
    """Pages from the beginning and from the end, as many as fit: of a long document, most are never looked at."""

    def page(index: int) -> str:
        return f"[page {index + 1}]\n{_clean(reader.pages[index].extract_text())}".rstrip()

    count = len(reader.pages)
    beginning = _filled(map(page, range(count)), limit // 2)
    end = _filled(map(page, reversed(range(len(beginning), count))), limit // 2)[::-1]
    if not any("\n" in each for each in (*beginning, *end)):
        return Unreadable(FileProblem.ONLY_SCANS)
    if len(beginning) + len(end) == count:
        return _cut("\n\n".join(beginning + end), limit)
    return Text(_first("\n\n".join(beginning), limit // 2), _last("\n\n".join(end), limit // 2))


def _filled(pages: Iterable[str], limit: int) -> list[str]:
    """The first of these texts, up to the one that goes beyond `limit` bytes."""
    taken: list[str] = []
    size = 0
    for page in pages:
        taken.append(page)
        size += len(_encoded(page))
        if size > limit:
            break
    return taken


def _cut(text: str, limit: int) -> Text:
    if len(_encoded(text)) <= limit:
        return Text(text)
    return Text(_first(text, limit // 2), _last(text, limit // 2))


def _first(text: str, limit: int) -> str:
    """The beginning of a text, up to the end of a line where lines are short enough."""
    kept = _encoded(text)[:limit].decode(errors="ignore")
    return kept[: kept.rfind("\n", len(kept) // 2)] if "\n" in kept[len(kept) // 2 :] else kept


def _last(text: str, limit: int) -> str:
    """The end of a text, from the beginning of a line where lines are short enough."""
    kept = _encoded(text)[max(0, len(_encoded(text)) - limit) :].decode(errors="ignore")
    return kept[kept.find("\n") + 1 :] if "\n" in kept[: len(kept) // 2] else kept


def _clean(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "").strip("\n")


def _encoded(text: str) -> bytes:
    return text.encode(errors="replace")

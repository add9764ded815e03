"""What kind of file some bytes are, by how they begin. Pure."""

from __future__ import annotations

import codecs

BEGINNING = 1024
"""Bytes that tell the kind of a file."""
BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    # Before UTF-16, whose mark is the beginning of this one.
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
"""The marks with which a text may begin, and the encoding that each stands for."""


def is_picture(data: bytes | bytearray) -> bool:
    """Whether a file begins like a picture that can be read."""
    return data.startswith((b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF87a", b"GIF89a")) or (
        data.startswith(b"RIFF") and data[8:12] == b"WEBP"
    )


def is_pdf(data: bytes | bytearray) -> bool:
    """Whether a file begins like a PDF."""
    return data[:BEGINNING].lstrip().startswith(b"%PDF-")


def may_be_readable(beginning: bytes | bytearray) -> bool:
    """Whether a file may be a picture, a PDF or a text: by its first `BEGINNING` bytes, or by all of a shorter one."""
    is_text = b"\0" not in beginning or beginning.startswith(tuple(mark for mark, _ in BOMS))
    return is_text or is_picture(beginning) or is_pdf(beginning)

"""Writes a voice message, which is an OGG file of Opus packets. Pure."""

from __future__ import annotations

import struct
from collections.abc import Sequence

RATE = 48_000
"""Samples in a second, at whatever rate something was recorded."""
_SERIAL = 1
_PAGE = 50
"""Packets on a page: a page has room for 255 pieces, and most packets are one or two of them."""
_SILENCE = b"\xf8\xff\xfe"
"""A packet of 20 ms in which nothing is heard."""


def _checksums() -> list[int]:
    table = []
    for byte in range(256):
        value = byte << 24
        for _ in range(8):
            value = value << 1 ^ (0x104C11DB7 if value & 0x80000000 else 0)
        table.append(value)
    return table


_TABLE = _checksums()


def silence(seconds: float) -> bytes:
    """A voice message in which nothing is heard."""
    packets = [_SILENCE] * round(seconds * 50)
    head = b"OpusHead" + struct.pack("<BBHIhB", 1, 1, 0, RATE, 0, 0)
    tags = b"OpusTags" + struct.pack("<II", 0, 0)
    pages = [_page([head], 0, 0, 2), _page([tags], 1, 0, 0)]
    for at in range(0, len(packets), _PAGE):
        some = packets[at : at + _PAGE]
        is_last = at + _PAGE >= len(packets)
        pages.append(_page(some, len(pages), (at + len(some)) * (RATE // 50), 4 if is_last else 0))
    return b"".join(pages)


def _page(packets: Sequence[bytes], number: int, position: int, flags: int) -> bytes:
    table = b"".join(b"\xff" * (len(packet) // 255) + bytes([len(packet) % 255]) for packet in packets)
    head = struct.pack("<4sBBqII", b"OggS", 0, flags, position, _SERIAL, number)
    body = bytes([len(table)]) + table + b"".join(packets)
    checksum = 0
    for byte in head + bytes(4) + body:
        checksum = checksum << 8 & 0xFFFFFFFF ^ _TABLE[checksum >> 24 ^ byte]
    return head + struct.pack("<I", checksum) + body

"""How long a voice message is: by what is in it, since what is said of it may be anything. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from bot.files.ogg import RATE

_CAPTURE = b"OggS"
_HEADER = 27
"""Bytes of a page before the table of its segments."""
_SERIAL = slice(14, 18)
_BEGINS = 2
"""The flag of the first page of a stream."""
_SILK, _HYBRID, _CELT = (480, 960, 1920, 2880), (480, 960), (120, 240, 480, 960)
"""Samples of a frame by the lowest bits of its configuration, in each of Opus's modes."""
_LONGEST_PACKET = 5760
_SHORTEST_FRAME = 120


def seconds(data: bytes, most: float) -> float | None:
    """The length of an OGG file with one stream of Opus, by the packets in it. None: it is no such file.

    What is longer than `most` is not read to its end. A voice message of ten minutes takes tens of milliseconds.
    """
    samples = 0
    packets = _packets(data)
    try:
        if not next(packets, b"").startswith(b"OpusHead") or not next(packets, b"").startswith(b"OpusTags"):
            return None
        for number, packet in enumerate(packets, 1):
            samples += _samples(packet)
            # Packets without any sound would be counted for seconds.
            if max(samples, number * _SHORTEST_FRAME) > most * RATE:
                return max(samples, number * _SHORTEST_FRAME) / RATE
    except ValueError:
        return None
    return samples / RATE if samples else None


def _packets(data: bytes) -> Iterator[bytes]:
    """The first bytes of each packet, at most as many as tell what it is. Raises ValueError for what is no OGG."""
    at, begun, serial = 0, b"", data[_SERIAL]
    while at < len(data):
        header = data[at : at + _HEADER]
        if len(header) < _HEADER or not header.startswith(_CAPTURE) or header[_SERIAL] != serial:
            raise ValueError("no page of the stream")
        if (at > 0) == bool(header[5] & _BEGINS):
            raise ValueError("another stream")
        table = data[at + _HEADER : at + _HEADER + header[26]]
        at += _HEADER + header[26]
        for size in table:
            begun = (begun + data[at : at + size])[:8]
            at += size
            if at > len(data):
                raise ValueError("cut")
            if size < 255:
                yield begun
                begun = b""


def _samples(packet: bytes) -> int:
    """The samples that a packet of Opus is decoded to."""
    if not packet:
        return 0
    configuration = packet[0] >> 3
    if configuration < 12:
        frame = _SILK[configuration % 4]
    elif configuration < 16:
        frame = _HYBRID[configuration % 2]
    else:
        frame = _CELT[configuration % 4]
    match packet[0] & 3:
        case 0:
            frames = 1
        case 3:
            frames = packet[1] & 63 if len(packet) > 1 else 0
        case _:
            frames = 2
    if frame * frames > _LONGEST_PACKET:
        raise ValueError("no packet of Opus")
    return frame * frames

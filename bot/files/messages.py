"""What the bot and the process that reads files say to each other.

A request is `REQUEST` (how many bytes the file has, and its text may have), then the file. An answer is `ANSWER` (how
many bytes its two pieces have), then what was found as JSON, then the picture or the text.
"""

from __future__ import annotations

import json
import struct
from typing import Final

from bot.files.results import FileProblem, Picture, ReadFile, Text, Unreadable

REQUEST: Final = struct.Struct("!QQ")
ANSWER: Final = struct.Struct("!QQ")


def packed(result: ReadFile) -> tuple[bytes, bytes]:
    """A result as the two pieces of an answer."""
    match result:
        case Picture(data, media_type, width, height):
            return _json(picture=[media_type, width, height]), data
        case Text(text, end):
            beginning = text.encode(errors="replace")
            return _json(text=None if end is None else len(beginning)), beginning + (end or "").encode(errors="replace")
        case Unreadable(problem):
            return _json(problem=problem), b""


def unpacked(head: bytes, payload: bytes) -> ReadFile:
    """The result of the two pieces of an answer. Raises ValueError or RecursionError for what is none."""
    match json.loads(head):
        case {"picture": [str(media_type), int(width), int(height)]}:
            return Picture(payload, media_type, width, height)
        case {"text": None}:
            return Text(payload.decode())
        case {"text": int(beginning)}:
            return Text(payload[:beginning].decode(), payload[beginning:].decode())
        case {"problem": problem}:
            return Unreadable(FileProblem(problem))
    raise ValueError("an answer that cannot be read")


def _json(**head: object) -> bytes:
    return json.dumps(head).encode()

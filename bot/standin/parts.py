"""The parts of a message in a request to the model: its text, and the pictures in it."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_PIXELS_PER_TOKEN = 32 * 32
"""The pixels that a model looks at as one."""

_FRAMES = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
"""The markers of a JPEG behind which its size stands."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture that the model is shown, with its size in pixels."""

    media_type: str
    width: int
    height: int

    @property
    def tokens(self) -> int:
        return math.ceil(self.width * self.height / _PIXELS_PER_TOKEN)


def text_of(content: object) -> str:
    """The text of a message's content, which is a text or a list of parts."""
    match content:
        case str():
            return content
        case [*parts]:
            return "\n".join(part["text"] for part in parts if isinstance(part, dict) and part["type"] == "text")
    return ""


def pictures_of(content: object) -> Sequence[Picture]:
    """The pictures in a message's content. Raises ValueError for one that no model could read."""
    parts = content if isinstance(content, list) else ()
    return [_picture(part["image_url"]) for part in parts if part["type"] == "image_url"]


def _picture(image_url: Mapping[str, str]) -> Picture:
    head, _, data = image_url["url"].partition(";base64,")
    size = picture_size(base64.b64decode(data, validate=True))
    if size is None:
        raise ValueError("neither a PNG nor a JPEG")
    return Picture(head.removeprefix("data:"), *size)


def picture_size(data: bytes) -> tuple[int, int] | None:
    """The width and the height in the head of a PNG or JPEG. None: it is neither, or broken."""
    if data.startswith(b"\x89PNG\r\n\x1a\n") and len(data) >= 24:
        return int.from_bytes(data[16:20]), int.from_bytes(data[20:24])
    at = 2
    while data.startswith(b"\xff\xd8") and at + 9 < len(data):
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4])
        if marker in _FRAMES:
            return int.from_bytes(data[at + 7 : at + 9]), int.from_bytes(data[at + 5 : at + 7])
        at += 2 + length
    return None

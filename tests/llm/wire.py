"""Pieces of answers as they pass over the wire."""

from __future__ import annotations

import json
from typing import Any


def data(delta: object, finish: str | None = None, **more: object) -> bytes:
    chunk = {"id": "1", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **more}
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


def say(content: object, finish: str | None = None, **more: object) -> bytes:
    return data({"content": content}, finish, **more)


DONE = b"data: [DONE]\n\n"
STOP = data({}, "stop")
USAGE: dict[str, Any] = {"usage": {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}}
NO_CHOICES = b"data: " + json.dumps({"choices": [], **USAGE}).encode() + b"\n\n"

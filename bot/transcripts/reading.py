"""A transcript from a file with the `messages` of a chat completion: `[{"role": …, "content": …}, …]`."""

from __future__ import annotations

import json
import re
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bot.core.errors import TranscriptError
from bot.core.records import Exchange, Transcript
from bot.texts import transcripts as words

MOST_BYTES = 16 * 1024 * 1024
"""The largest file that is read."""

_ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}
_TEXT_PARTS = {"text", "input_text", "output_text"}
_SURROGATE = re.compile("[\ud800-\udfff]")


def read_transcript(file: Path) -> Transcript:
    """The transcript in a file. Raises TranscriptError for a file that has none."""
    return transcript_of(_content(file), str(file))


def transcript_of(content: bytes, name: str) -> Transcript:
    """The transcript in a file's content, in UTF-8, UTF-16 or UTF-32. TranscriptError names the file by `name`."""
    try:
        # With a BOM or without: Windows PowerShell writes UTF-16.
        data = json.loads(content.decode(json.detect_encoding(content)))
    except UnicodeDecodeError:
        raise TranscriptError(words.not_text(name)) from None
    except json.JSONDecodeError as error:
        raise TranscriptError(words.not_json(name, error.lineno, error.colno)) from None
    except (ValueError, RecursionError):  # a number of thousands of digits, or lists in lists
        raise TranscriptError(words.no_messages(name)) from None
    if not isinstance(data, list):
        raise TranscriptError(words.no_messages(name))
    if not data:
        raise TranscriptError(words.empty(name))
    messages = [_message(message, number, name) for number, message in enumerate(data, 1)]
    persona = messages[0][1] if messages[0][0] == "system" else None
    begin = 0 if persona is None else 1
    return Transcript(persona, _exchanges(messages[begin:], begin + 1, name))


def _exchanges(messages: Sequence[tuple[str, str]], first: int, name: str) -> list[Exchange]:
    """The messages in pairs. `first` is the number of the first one in the file."""
    for index, (role, _) in enumerate(messages):
        number, expected = first + index, ("user", "assistant")[index % 2]
        if role == "system":
            raise TranscriptError(words.late_system_message(name, number))
        if role != expected:
            raise TranscriptError(words.twice(name, number, role) if index else words.no_question(name, number))
    texts = [text for _, text in messages]
    return [Exchange(texts[at], "".join(texts[at + 1 : at + 2])) for at in range(0, len(texts), 2)]


def _message(message: Any, number: int, name: str) -> tuple[str, str]:
    """The role and the text of a message."""
    if not isinstance(message, dict):
        raise TranscriptError(words.no_messages(name))
    role = message.get("role")
    if not isinstance(role, str) or role not in _ROLES:
        raise TranscriptError(words.unknown_role(name, number, role if isinstance(role, str) else None))
    text = _text(message.get("content"))
    if text is None:
        raise TranscriptError(words.not_only_text(name, number))
    if not text:
        raise TranscriptError(words.no_text(name, number))
    if _SURROGATE.search(text):
        raise TranscriptError(words.half_character(name, number))
    return _ROLES[role], text


def _text(content: Any) -> str | None:
    """A message's text, of several parts one below the other. None: it is something else, or has parts that are."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return None
    texts = [
        text
        for part in content
        if isinstance(part, dict) and part.get("type") in _TEXT_PARTS and isinstance(text := part.get("text"), str)
    ]
    return "\n".join(texts) if len(texts) == len(content) else None


def _content(file: Path) -> bytes:
    try:
        if stat.S_ISDIR(mode := file.stat().st_mode):
            raise TranscriptError(words.is_folder(str(file)))
        if not stat.S_ISREG(mode):
            # A pipe that nobody writes to would keep us waiting.
            raise TranscriptError(words.no_file(str(file)))
        with file.open("rb") as opened:
            content = opened.read(MOST_BYTES + 1)
    except FileNotFoundError:
        raise TranscriptError(words.missing(str(file))) from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise TranscriptError(words.unreadable(str(file), _reason(error))) from None
    if len(content) > MOST_BYTES:
        raise TranscriptError(words.too_large(str(file), MOST_BYTES))
    return content


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)

"""Uploaded files, kept until the message that they belong to is sent."""

from __future__ import annotations

import asyncio
import re
import secrets
from dataclasses import dataclass

from bot.standin.entities import Attachment, voice_message

MAX_BYTES = 20 * 2**20
"""Largest size of one uploaded file in bytes."""
_KEPT_FOR = 600.0
"""Seconds that an uploaded file is kept."""
_KEPT_BYTES = 128 * 2**20
_KEPT_FILES = 100

_UNSAFE = re.compile(r'[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff/\\:*?"<>|]')
_LONGEST_VOICE = 86_400.0
_WAVEFORM = re.compile(r"[A-Za-z0-9+/]{1,342}={0,2}")
"""Up to 256 bytes in base64, as Discord takes them."""
_TYPE = re.compile(r"[\w.+-]{1,60}/[\w.+-]{1,60}")


@dataclass(frozen=True, slots=True)
class _Upload:
    attachment: Attachment
    at: float


class Uploads:
    """A store of uploads, limited in number, bytes and time. The oldest files are dropped first."""

    def __init__(self) -> None:
        self._files: dict[str, _Upload] = {}

    def add(self, name: str, content_type: str, data: bytes) -> str:
        """Keep a file and return its id."""
        kind = content_type if _TYPE.fullmatch(content_type) else None
        return self._keep(Attachment(safe_name(name), data, kind))

    def add_voice(self, seconds: str, waveform: str, data: bytes) -> str:
        """Keep a voice message and return its id. ValueError: its length or its waveform is none."""
        length = float(seconds)
        if not 0 < length < _LONGEST_VOICE or not _WAVEFORM.fullmatch(waveform):
            raise ValueError("no voice message")
        return self._keep(voice_message(data, length, waveform))

    def _keep(self, attachment: Attachment) -> str:
        file_id = secrets.token_urlsafe(12)
        now = asyncio.get_running_loop().time()
        self._files[file_id] = _Upload(attachment, now)
        self._let_old_ones_go(now)
        return file_id

    def take(self, file_ids: list[str]) -> list[Attachment]:
        """Return the files and drop them from the store. If one is missing, KeyError is raised and all others stay."""
        found = [self._files[file_id].attachment for file_id in file_ids]
        for file_id in file_ids:
            self._files.pop(file_id, None)
        return found

    def _let_old_ones_go(self, now: float) -> None:
        held = sum(len(each.attachment.data) for each in self._files.values())
        while self._files:
            oldest = next(iter(self._files))
            upload = self._files[oldest]
            if held <= _KEPT_BYTES and len(self._files) <= _KEPT_FILES and now - upload.at <= _KEPT_FOR:
                break
            held -= len(upload.attachment.data)
            del self._files[oldest]


def safe_name(name: str) -> str:
    """Return a file name without directories, control characters or marks that change the direction of text."""
    name = _UNSAFE.sub("_", re.split(r"[/\\]", name)[-1]).strip(" .")
    return name[-100:] or "file"

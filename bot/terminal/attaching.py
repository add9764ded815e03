"""The files that go with the next question: read once for it, and their pictures again for later questions."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote_from_bytes, unquote_to_bytes

from bot.core.attached import text_entry
from bot.core.pictures import Picture, PictureProblem, PictureReference
from bot.core.prompt_text import picture_note
from bot.core.service import ConversationService
from bot.core.turns import Conversation
from bot.files import FileProblem, FileReader, Text, Unreadable
from bot.files import Picture as FilePicture
from bot.terminal.text import one_line
from bot.texts import terminal as words
from bot.texts import transcripts as files

_MOST_BYTES = 20 * 1024 * 1024
"""The largest file that is read, as on Discord."""
_ENTRIES = re.compile("\n⟦(?:file|picture): ")


class AttachmentError(Exception):
    """A file cannot go with a question. The message is for the person."""


class Attachments:
    """The files of the next question of a conversation. A `PictureSource`; `close` ends the process that reads them.

    The source of a picture is its hash and its path: it is gone if its file is, or has changed.
    """

    def __init__(self, conversations: ConversationService, conversation: Conversation) -> None:
        self._conversations = conversations
        self._conversation = conversation
        self._reader = FileReader()
        self._entries: list[str] = []
        self._pictures: list[PictureReference] = []
        self._bytes = 0
        """Those of the text of all these files."""
        conversations.pictures.source = self

    async def add(self, file: Path) -> str:
        """Read a file for the next question. Returns what the person is told. Raises AttachmentError and StoreError."""
        name = one_line(file.name).encode(errors="replace").decode()
        data, source = await asyncio.to_thread(_read, file)
        room = await self._conversations.room_for_files(self._conversation) - self._bytes
        match await self._reader.read(data, max(0, room)):
            case Text(text, end):
                if end is not None and self._bytes:
                    raise AttachmentError(words.no_room(name))
                self._entries.append(text_entry(len(self._entries) + 1, name, text, end))
                self._bytes += len(text.encode()) + len((end or "").encode())
                return words.attached(name, whole=end is None)
            case FilePicture(data, media_type, width, height):
                self._conversations.pictures.add(source, Picture(data, media_type, width, height))
                self._entries.append(picture_note(name))
                self._pictures.append(PictureReference(source, name, width, height))
                return words.attached(name, whole=True)
            case Unreadable(problem):
                raise AttachmentError(words.not_attached(problem, name))

    def question(self, text: str) -> tuple[str, Sequence[PictureReference]]:
        """A question with the files that go with it: its whole text, and its pictures."""
        return "\n".join([text, *self._entries]), tuple(self._pictures)

    def clear(self) -> None:
        """Forget the files, because their question is on record."""
        self._entries.clear()
        self._pictures.clear()
        self._bytes = 0

    async def fetch(self, reference: PictureReference) -> Picture | PictureProblem:
        path = reference.source.partition("/")[2]
        try:
            data, source = await asyncio.to_thread(_read, Path(os.fsdecode(unquote_to_bytes(path))))
        except AttachmentError:
            return PictureProblem.GONE
        if source != reference.source:
            return PictureProblem.GONE
        match await self._reader.read(data, 0):
            case FilePicture(data, media_type, width, height):
                return Picture(data, media_type, width, height)
            case Unreadable(FileProblem.READER_FAILED):
                return PictureProblem.UNAVAILABLE
        return PictureProblem.UNREADABLE

    async def close(self) -> None:
        await self._reader.close()


def typed(prompt: str) -> str:
    """What was typed of a prompt, without the files that went with it."""
    return _ENTRIES.split(prompt, maxsplit=1)[0]


def _read(file: Path) -> tuple[bytes, str]:
    """The bytes of a file, and the source of a picture in it. Raises AttachmentError."""
    try:
        if file.is_dir():
            raise AttachmentError(files.is_folder(str(file)))
        if file.exists() and not file.is_file():
            # A pipe that nobody writes to would keep us waiting.
            raise AttachmentError(words.no_regular_file(str(file)))
        with file.open("rb") as opened:
            data = opened.read(_MOST_BYTES + 1)
    except FileNotFoundError:
        raise AttachmentError(files.missing(str(file))) from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise AttachmentError(files.unreadable(str(file), reason)) from None
    if len(data) > _MOST_BYTES:
        raise AttachmentError(words.not_attached(FileProblem.TOO_LARGE, file.name))
    return data, f"{hashlib.sha256(data).hexdigest()}/{quote_from_bytes(os.fsencode(file.absolute()))}"

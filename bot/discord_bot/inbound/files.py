"""Reads the files of prompts that are on record already, and adds what they say.

A prompt is committed with the names of its files. Whatever ends the process until they are read, the next attempt reads
them: it downloads them again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import discord

from bot.core.attached import VOICE, text_entry, unreadable_note, voice_entry
from bot.core.attempt import ActiveAttempt
from bot.core.hearing import LONGEST, Recording
from bot.core.service import ConversationService
from bot.core.turns import FailureReason, Outcome, TurnState
from bot.discord_bot.channels import channel_of, message_of
from bot.discord_bot.delivery.view import Unavailable
from bot.discord_bot.inbound import content, reader
from bot.discord_bot.inbound.downloads import Downloads, RemoteFile, Renew
from bot.discord_bot.inbound.history import History
from bot.files import FileProblem, ReadFile, Text, Unreadable, voice
from bot.store import Store
from bot.texts.files import NO_PDF_READER, FileNotes

log = logging.getLogger(__name__)

_FOR_NOW = (FileProblem.NOT_FETCHED, FileProblem.READER_FAILED, FileProblem.NO_PDF_READER)
"""The problems that another attempt may not have."""
_NEVER_TEXT = ("audio", "video")


class PromptFiles:
    """The files of one client's prompts."""

    def __init__(
        self,
        client: discord.Client,
        store: Store,
        conversations: ConversationService,
        history: History,
        downloads: Downloads,
    ) -> None:
        self._client = client
        self._store = store
        self._conversations = conversations
        self._history = history
        self._downloads = downloads
        self._at_hand: dict[int, discord.Message] = {}

    @contextmanager
    def at_hand(self, message: discord.Message) -> Iterator[None]:
        """Within the block, the message of a prompt need not be fetched."""
        self._at_hand[message.id] = message
        try:
            yield
        finally:
            del self._at_hand[message.id]

    async def read(self, running: ActiveAttempt, *, files: FileNotes) -> Outcome | None:
        """Put on record what the files say that are not read yet, one after the other. Raises StoreError.

        `files` takes what the person is told of them. The result is how the attempt ends if a voice message cannot be
        heard that is the whole question: whatever a model said of it would be invented.
        """
        unread = await self._store.files.unread(running.attempt)
        if not unread:
            return None
        room = await self._conversations.room_for_files(running.prompt.conversation)
        channel_id, message_id = channel_of(running.prompt.conversation), message_of(running.prompt)
        message = self._at_hand.get(message_id) or await self._fetched(channel_id, message_id)
        shown = self._attachments(message)
        typed = message is not None and bool(self._typed(message))
        entries: dict[int, str] = {}
        for left, (file_id, name) in zip(range(len(unread), 0, -1), unread.items(), strict=True):
            attachment = shown.get(file_id)
            if name == VOICE and (attachment is None or attachment.is_voice_message()):
                words = await self._heard(running, attachment, channel_id, message_id)
                if isinstance(words, Outcome):
                    if not typed or running.stop_reason is not None:
                        return words
                    # What was typed can be answered without it: it is a quoted one, or a forwarded one.
                    files.problems.setdefault(FileProblem.NOT_READABLE, []).append(f"the {VOICE}")
                    continue
                words = words.encode()[: max(0, room)].decode(errors="ignore")
                # At once: it is paid for, whatever becomes of the other files.
                await self._store.files.add(running.attempt, {file_id: voice_entry(file_id, words)})
                room -= len(words.encode())
                files.heard.append(words)
                continue
            if attachment is None:
                result: ReadFile = Unreadable(FileProblem.GONE if message else FileProblem.NOT_FETCHED)
            else:
                result = await self._result(attachment, room // left, channel_id, message_id)
            told = name if attachment is None else content.file_name(attachment)
            match result:
                case Text(text, end):
                    entries[file_id] = text_entry(file_id, name, text, end)
                    room -= len(text.encode()) + len((end or "").encode())
                    if end is not None:
                        files.cut.append(told)
                case Unreadable(problem):
                    files.problems.setdefault(problem, []).append(told)
                    if problem is FileProblem.NO_PDF_READER:
                        log.warning(NO_PDF_READER)
                    if problem not in _FOR_NOW:
                        kind = "" if attachment is None else content.kind(attachment)
                        entries[file_id] = unreadable_note(file_id, name, kind)
                case _:
                    # Discord tells by its name what a file is, and shows only what is named as a picture.
                    files.problems.setdefault(FileProblem.MISNAMED, []).append(told)
                    entries[file_id] = unreadable_note(file_id, name)
        await self._store.files.add(running.attempt, entries)
        return None

    async def _heard(
        self, running: ActiveAttempt, attachment: discord.Attachment | None, channel_id: int, message_id: int
    ) -> str | Outcome:
        if not self._conversations.hears:
            return Outcome(TurnState.FAILED, failure=FailureReason.NO_TRANSCRIPTION)
        if attachment is None:
            return Outcome(TurnState.FAILED, failure=FailureReason.VOICE_UNREADABLE)
        if (attachment.duration or 0.0) > LONGEST:
            return Outcome(TurnState.FAILED, failure=FailureReason.VOICE_TOO_LONG)

        async def hear(data: bytes) -> str | Outcome | Unreadable:
            # Whoever sends it says how long it is.
            length = await asyncio.to_thread(voice.seconds, data, LONGEST)
            if length is None:
                return Unreadable(FileProblem.BROKEN)
            return await self._conversations.hear(running, Recording(data, length))

        file, renew = RemoteFile(attachment.url, attachment.size), self._renewing(attachment, channel_id, message_id)
        found = await self._downloads.hear(file, renew, hear)
        if not isinstance(found, Unreadable):
            return found
        too_large = found.problem is FileProblem.TOO_LARGE
        failure = FailureReason.VOICE_TOO_LONG if too_large else FailureReason.VOICE_UNREADABLE
        return Outcome(TurnState.FAILED, failure=failure)

    def _renewing(self, attachment: discord.Attachment, channel_id: int, message_id: int) -> Renew:
        async def renew() -> str | None:
            now = self._attachments(await self._fetched(channel_id, message_id)).get(attachment.id)
            return None if now is None else now.url

        return renew

    async def _result(self, attachment: discord.Attachment, limit: int, channel_id: int, message_id: int) -> ReadFile:
        if content.media_type(attachment).partition("/")[0] in _NEVER_TEXT:
            return Unreadable(FileProblem.NOT_READABLE)
        renew = self._renewing(attachment, channel_id, message_id)
        return await self._downloads.read(RemoteFile(attachment.url, attachment.size), limit, renew)

    def _attachments(self, message: discord.Message | None) -> Mapping[int, discord.Attachment]:
        me = self._client.user
        return {} if message is None or me is None else reader.attachments(message, me)

    def _typed(self, message: discord.Message) -> str:
        me = self._client.user
        return "" if me is None else content.text(message, me)

    async def _fetched(self, channel_id: int, message_id: int) -> discord.Message | None:
        try:
            return await self._history.message(channel_id, message_id)
        except Unavailable as error:
            log.warning("the files of message %d cannot be fetched right now: %s", message_id, error)
            return None

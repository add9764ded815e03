"""Reads the files of prompts that are on record already, and adds what they say.

A prompt is committed with the names of its files. Whatever ends the process until they are read, the next attempt reads
them: it downloads them again.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import discord

from bot.core.attached import VOICE, picture_entry, text_entry, unread_note, unreadable_note, voice_entry
from bot.core.attempt import ActiveAttempt
from bot.core.generation import PICTURES_WITHIN
from bot.core.hearing import LONGEST, Recording
from bot.core.pictures import Picture, PictureProblem, PictureReference
from bot.core.prompt_text import asked
from bot.core.service import ConversationService
from bot.core.turns import FailureReason, Outcome, Prompt, TurnState
from bot.discord_bot.channels import anchor_of, asked_by_command, asked_in, message_of
from bot.discord_bot.delivery.view import Unavailable
from bot.discord_bot.inbound import content, pictures, reader
from bot.discord_bot.inbound.downloads import Downloads, RemoteFile, Renew
from bot.discord_bot.inbound.history import History
from bot.files import FileProblem, ReadFile, Text, Unreadable, voice
from bot.files import Picture as FilePicture
from bot.store import Store
from bot.texts.files import NO_PDF_READER, FileNotes

log = logging.getLogger(__name__)

_OF_COMMANDS = 100
"""How many questions that came with files in commands are remembered."""
_FOR_NOW = (FileProblem.NOT_FETCHED, FileProblem.READER_FAILED, FileProblem.NO_PDF_READER)
"""The problems that another attempt may not have."""


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
        """The messages of prompts that are being answered, by the prompts' ids."""
        self._of_commands: OrderedDict[int, discord.Message] = OrderedDict()
        """What came last with files in commands, for another attempt: Discord does not give these files again."""

    @contextmanager
    def at_hand(self, prompt: Prompt, message: discord.Message) -> Iterator[None]:
        """Within the block, the message that a prompt is in or about need not be fetched."""
        self._at_hand[message_of(prompt)] = message
        try:
            yield
        finally:
            del self._at_hand[message_of(prompt)]
            if asked_by_command(prompt) and message.attachments:
                self._of_commands[message_of(prompt)] = message
                while len(self._of_commands) > _OF_COMMANDS:
                    self._of_commands.popitem(last=False)

    async def read(self, running: ActiveAttempt, *, files: FileNotes) -> Outcome | None:
        """Put on record what the files say that are not read yet, one after the other. Raises StoreError.

        `files` takes what the person is told of them. The result is how the attempt ends if a voice message cannot be
        heard that is the whole question: whatever a model said of it would be invented.
        """
        once_there = partial(self._conversations.outages.during, running)
        prompt = running.prompt
        no_pictures = await self._no_pictures(running)
        unread = {**await once_there(partial(self._store.files.unread, running.attempt)), **no_pictures}
        if not unread:
            return None
        room = await once_there(partial(self._conversations.room_for_files, prompt.conversation))
        channel_id, message_id = asked_in(prompt), anchor_of(prompt)
        at_hand = self._at_hand.get(message_of(prompt)) or self._of_commands.get(message_of(prompt))
        message = at_hand or await self._fetched(channel_id, message_id)
        shown = self._attachments(message)
        own = prompt.target_id is None or asked_by_command(prompt)
        typed = message is not None and bool(self._typed(message)) if own else bool(asked(prompt.text))
        entries: dict[int, str] = {}
        found: list[PictureReference] = []
        for left, (file_id, name) in zip(range(len(unread), 0, -1), unread.items(), strict=True):
            attachment = shown.get(file_id)
            if name == VOICE and (attachment is None or attachment.is_voice_message()):
                # It may take half a minute.
                running.show_work()
                words = await self._heard(running, attachment, channel_id, message_id)
                if isinstance(words, Outcome):
                    if not typed or running.stop_reason is not None:
                        return words
                    # What was typed can be answered without it: it is a quoted one, or a forwarded one.
                    files.problems.setdefault(FileProblem.NOT_READABLE, []).append(f"the {VOICE}")
                    continue
                words = words.encode()[: max(0, room)].decode(errors="ignore")
                # At once: it is paid for, whatever becomes of the other files.
                said = {file_id: voice_entry(file_id, words)}
                await once_there(partial(self._store.files.add, running.attempt, said))
                room -= len(words.encode())
                files.heard.append(words)
                continue
            if attachment is None:
                result: ReadFile = Unreadable(FileProblem.GONE if message else FileProblem.NOT_FETCHED)
            else:
                result = await self._result(attachment, room // left, channel_id, message_id)
            told = name
            if attachment is not None:
                told, name = content.file_name(attachment), content.described(attachment)
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
                    elif file_id in no_pictures:
                        entries[file_id] = unread_note(file_id, name)
                case FilePicture(data, media_type, width, height):
                    reference = self._references(message)[file_id]._replace(width=width, height=height)
                    if not own:
                        reference = reference._replace(quoted=True)
                    self._conversations.pictures.add(reference.source, Picture(data, media_type, width, height))
                    described = "" if attachment is None else content.description(attachment)
                    entries[file_id] = picture_entry(file_id, reference.name, described)
                    found.append(reference)
        shown_before = running.prompt.pictures
        shows = [*(each for each in shown_before if pictures.file_of(each) not in entries), *found]
        running.prompt = replace(running.prompt, pictures=shows)
        changed = None if shows == [*shown_before] else shows
        await once_there(partial(self._store.files.add, running.attempt, entries, changed))
        return None

    async def _no_pictures(self, running: ActiveAttempt) -> dict[int, str]:
        """The files that Discord takes for pictures, by their names, and that are others: the id of each, its name."""
        own = [each._replace(turn_id=running.attempt.turn_id) for each in running.prompt.pictures]
        await self._conversations.pictures.load(own, PICTURES_WITHIN)
        found = self._conversations.pictures.found(own)
        ids = {file_id: each for each in own if (file_id := pictures.file_of(each)) is not None}
        return {file_id: each.name for file_id, each in ids.items() if found.get(each) is PictureProblem.NO_PICTURE}

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
        renew = self._renewing(attachment, channel_id, message_id)
        return await self._downloads.read(RemoteFile(attachment.url, attachment.size), limit, renew)

    def _attachments(self, message: discord.Message | None) -> Mapping[int, discord.Attachment]:
        me = self._client.user
        return {} if message is None or me is None else reader.attachments(message, me)

    def _references(self, message: discord.Message | None) -> Mapping[int, PictureReference]:
        me = self._client.user
        return {} if message is None or me is None else pictures.of_files(message, me)

    def _typed(self, message: discord.Message) -> str:
        me = self._client.user
        return "" if me is None else content.text(message, me)

    async def _fetched(self, channel_id: int, message_id: int) -> discord.Message | None:
        try:
            found = await self._history.message(channel_id, message_id)
        except Unavailable as error:
            log.warning("the files of message %d cannot be fetched right now: %s", message_id, error)
            return None
        # Discord withholds what is in a message that only a command has shown.
        return None if found is None or content.is_withheld(found) else found

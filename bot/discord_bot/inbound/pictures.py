"""The pictures that messages show: their references, and the pictures themselves, fetched as often as they are needed.

Only Discord's own addresses are fetched, from a message that is read again where the address is not known: it expires.
"""

from __future__ import annotations

import logging
import re
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import discord

from bot.core.attached import without_ids
from bot.core.pictures import Picture, PictureProblem, PictureReference
from bot.core.prompt_text import picture_place
from bot.discord_bot.delivery.view import Unavailable
from bot.discord_bot.inbound import content
from bot.discord_bot.inbound.downloads import Downloads, RemoteFile
from bot.discord_bot.inbound.history import History
from bot.files import FileProblem, Text, Unreadable
from bot.files import Picture as FilePicture

log = logging.getLogger(__name__)

_KNOWN = 1000
"""Addresses that are remembered. They are good for a day, and other ones are found by their messages."""
_STICKER_SIDE = 320
"""Pixels of a sticker."""
_FOR_NOW = (FileProblem.NOT_FETCHED, FileProblem.READER_FAILED)
"""The problems that a picture may not have a minute later."""

_OF_DOCUMENTS = (
    FileProblem.ENCRYPTED,
    FileProblem.TOO_MANY_PAGES,
    FileProblem.ONLY_SCANS,
    FileProblem.NO_PDF_READER,
)
"""The problems of a file that is no picture, whatever it is named."""
_FILE = re.compile(r"a([0-9]+)$")
"""The end of the source of a picture that is a file of a message."""


class _Shown(NamedTuple):
    reference: PictureReference
    file: RemoteFile | None
    """Where it can be downloaded. None: nowhere, as Discord gives no address, or as it is a Lottie sticker."""


def references(
    message: discord.Message, quoted: discord.Message | None, me: discord.ClientUser, text: str
) -> Sequence[PictureReference]:
    """The pictures that a prompt with this text shows: those of the message that it quotes, then its own."""
    return _named(_shown(message, quoted, me), text)


def of_files(message: discord.Message, me: discord.ClientUser) -> dict[int, PictureReference]:
    """The references that the files of a prompt have if they turn out to be pictures, by the ids of the files."""
    shown = (each.reference for each in _shown(message, content.quoted(message), me))
    return {file_id: each for each in shown if (file_id := file_of(each)) is not None}


def file_of(reference: PictureReference) -> int | None:
    """The id of the file that a picture of a prompt is; None if it is a sticker or on a card."""
    found = _FILE.search(reference.source)
    return None if found is None else int(found[1])


def references_in_target(target: discord.Message, me: discord.ClientUser, text: str) -> Sequence[PictureReference]:
    """The pictures of the message that a prompt with this text is about."""
    shown = [] if target.author.id == me.id else _of_message(target, f"{target.channel.id}/{target.id}/", quoted=True)
    return _named(shown, text)


def _named(shown: Iterable[_Shown], text: str) -> Sequence[PictureReference]:
    named = without_ids(text)
    return [each.reference for each in shown if picture_place(named, each.reference.name) >= 0]


def _shown(message: discord.Message, quoted: discord.Message | None, me: discord.ClientUser) -> Iterator[_Shown]:
    """The pictures of a prompt. Its message holds the quoted one too, so that all are found again by the one."""
    place = f"{message.channel.id}/{message.id}"
    if quoted is not None and quoted.author.id != me.id:
        yield from _of_message(quoted, f"{place}/q", quoted=True)
    yield from _of_message(message, f"{place}/", quoted=False)


def _of_message(message: discord.Message, place: str, *, quoted: bool) -> Iterator[_Shown]:
    yield from _of_one(message, place, quoted=quoted, previews_only=content.by_person(message))
    for number, snapshot in enumerate(message.message_snapshots):
        yield from _of_one(snapshot, f"{place}f{number}", quoted=quoted, previews_only=False)


def _of_one(
    message: discord.Message | discord.MessageSnapshot, place: str, *, quoted: bool, previews_only: bool
) -> Iterator[_Shown]:
    # Whatever they are named: what is in a file tells whether it is a picture.
    for attachment in message.attachments:
        name, size = content.file_name(attachment), (attachment.width, attachment.height)
        reference = PictureReference(f"{place}a{attachment.id}", name, *size, quoted)
        yield _Shown(reference, RemoteFile(attachment.url, attachment.size))
    for sticker in message.stickers:
        name = content.sticker_name(sticker)
        reference = PictureReference(f"{place}s{sticker.id}", name, _STICKER_SIDE, _STICKER_SIDE, quoted)
        is_lottie = sticker.format is discord.StickerFormatType.lottie
        yield _Shown(reference, None if is_lottie else RemoteFile(sticker.url, None))
    for number, (name, media) in enumerate(content.media(message, previews_only=previews_only)):
        reference = PictureReference(f"{place}c{number}", name, media.width, media.height, quoted)
        yield _Shown(reference, RemoteFile(media.proxy_url, None) if media.proxy_url else None)


class DiscordPictures:
    """A `PictureSource` over one client."""

    def __init__(self, client: discord.Client, history: History, downloads: Downloads) -> None:
        self._client = client
        self._history = history
        self._downloads = downloads
        self._files: OrderedDict[str, RemoteFile | None] = OrderedDict()
        """Where the pictures of messages are that were read lately, by their source."""

    def remember(self, message: discord.Message, quoted: discord.Message | None, me: discord.ClientUser) -> None:
        """Note the addresses of a message's pictures, so that it need not be read again for them."""
        for reference, file in _shown(message, quoted, me):
            self._files[reference.source] = file
            self._files.move_to_end(reference.source)
        while len(self._files) > _KNOWN:
            self._files.popitem(last=False)

    async def fetch(self, reference: PictureReference) -> Picture | PictureProblem:
        source = reference.source
        try:
            if source not in self._files and (why := await self._find(source)) is not None:
                return why
            file = self._files[source]
            if file is None:
                return PictureProblem.UNREADABLE
            read = await self._downloads.read(file, 0, lambda: self._renewed(source))
        except Unavailable as error:
            log.warning("an image could not be fetched from Discord: %s", error)
            return PictureProblem.UNAVAILABLE
        match read:
            case FilePicture(data, media_type, width, height):
                return Picture(data, media_type, width, height)
            case Text():
                return PictureProblem.NO_PICTURE
            case Unreadable(problem) if problem in _OF_DOCUMENTS:
                return PictureProblem.NO_PICTURE
            case Unreadable(FileProblem.GONE):
                return PictureProblem.GONE
            case Unreadable(problem) if problem in _FOR_NOW:
                return PictureProblem.UNAVAILABLE
        return PictureProblem.UNREADABLE

    async def _renewed(self, source: str) -> str | None:
        """The address that a picture has now, or None if it is gone."""
        file = self._files[source] if await self._find(source) is None else None
        return None if file is None else file.url

    async def _find(self, source: str) -> PictureProblem | None:
        """Read the message of a picture again. Returns why it is not there, if it is not. Raises Unavailable."""
        self._files.pop(source, None)
        channel_id, message_id, _ = source.split("/")
        message = await self._history.message(int(channel_id), int(message_id))
        if message is not None and self._client.user is not None:
            self.remember(message, content.quoted(message), self._client.user)
        if source in self._files:
            return None
        return PictureProblem.GONE if message is None or not content.is_withheld(message) else PictureProblem.WITHHELD

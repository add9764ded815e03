"""What a Discord message shows, as text: names instead of ids, and what came with it as notes of the platform."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

import discord

from bot.core.attached import VOICE, picture_entry, unread_note
from bot.core.prompt_text import as_typed, mention, picture_note, platform_note

_TOKEN = re.compile(
    r"<(?:@!?(?P<user>\d+)|@&(?P<role>\d+)|#(?P<channel>\d+)|a?:(?P<emoji>\w+):\d+"
    r"|/(?P<command>[^:>]+):\d+|t:(?P<time>-?\d+)(?::[a-zA-Z])?)>"
)
_LONGEST_CARDS = 4000
"""Characters kept of all embeds and text components of one message, as many as its own text may have."""
_LONGEST_DESCRIPTION = 300
"""Characters kept of the alternative text of an attachment."""
_LONGEST_FILE_NAME = 100
_PICTURES = ("image/png", "image/jpeg", "image/webp", "image/gif")
_LINKED = ("image", "gifv")
"""Discord's types of the previews of addresses that lead to a picture."""
_CARD = platform_note("card:")
_KINDS = {"image": "picture", "video": "video", "audio": "recording"}


@dataclass(frozen=True, slots=True)
class _Names:
    """The names that are known where a text was written."""

    users: Mapping[int, str]
    guild: discord.Guild | None
    me: discord.ClientUser


def text(message: discord.Message, me: discord.ClientUser) -> str:
    """The text of a message without the mention of the bot that addresses it."""
    own_role = message.guild.self_role if message.guild is not None else None
    mine = [rf"<@!?{me.id}>"] + ([rf"<@&{own_role.id}>"] if own_role is not None else [])
    spoken = re.sub(rf"[ \t]*(?:{'|'.join(mine)})(?P<after>[ \t]*)", lambda m: m["after"] and " ", message.content)
    return _written_out(spoken, _names(message, me)).strip()


def users(message: discord.Message) -> dict[int, str]:
    """The names of those whom the text of a message may mention, and of its author. The text holds their ids."""
    return {user.id: as_typed(user.display_name) for user in (message.author, *message.mentions)}


def extras(message: discord.Message, me: discord.ClientUser) -> list[str]:
    """What a message shows beside its text, one entry each: files, stickers, embeds, a poll, forwarded messages.

    What cannot be read here is named: the model should know that it was there.
    """
    names = _names(message, me)
    # What the bot has sent as a file is part of the conversation already.
    reads_files = message.author.id != me.id
    entries = _shown(message, names, previews_only=by_person(message), reads_files=reads_files)
    if message.poll is not None:
        entries.append(_poll(message.poll, names))
    reference = message.reference
    origin = discord.utils.get(me.mutual_guilds, id=reference.guild_id) if reference and reference.guild_id else None
    for snapshot in message.message_snapshots:
        # discord.py drops the users that Discord sends with a snapshot; roles and channels are those of its server.
        elsewhere = _Names(names.users, origin, me)
        said = _written_out(snapshot.content, elsewhere).strip()
        lines = [line for line in (said, *_shown(snapshot, elsewhere, previews_only=False)) if line]
        if lines:
            entries.append("\n".join([platform_note("forwarded:"), *lines]))
    return entries


def quoted(message: discord.Message) -> discord.Message | None:
    """The message that a message replies to, if Discord gives it."""
    if message.type is not discord.MessageType.reply or message.reference is None:
        return None
    resolved = message.reference.resolved
    return resolved if isinstance(resolved, discord.Message) else None


def is_withheld(message: discord.Message) -> bool:
    """Whether Discord gives nothing of what a message shows."""
    shown = (message.content, message.attachments, message.embeds, message.components, message.poll, message.stickers)
    return not any(shown) and not any(
        snapshot.content or snapshot.attachments or snapshot.embeds for snapshot in message.message_snapshots
    )


def by_person(message: discord.Message) -> bool:
    """Whether a person wrote a message, whose embeds are only previews of addresses in it."""
    return not message.author.bot and message.webhook_id is None


def _names(message: discord.Message, me: discord.ClientUser) -> _Names:
    return _Names(users(message), message.guild, me)


def _written_out(text: str, names: _Names) -> str:
    def name(token: re.Match[str]) -> str:
        kind, value = next((key, value) for key, value in token.groupdict().items() if value is not None)
        if kind == "emoji":
            return f":{value}:"
        if kind == "command":
            return f"/{value}"
        if kind == "time":
            return _date(int(value), token[0])
        found: object
        if kind == "user" and int(value) == names.me.id:
            found = names.me.display_name
        elif kind == "user":
            return mention(int(value)) if int(value) in names.users else token[0]
        elif names.guild is None:
            return token[0]
        elif kind == "role":
            found = names.guild.get_role(int(value))
        else:
            found = names.guild.get_channel_or_thread(int(value))
        return token[0] if found is None else as_typed(f"{'#' if kind == 'channel' else '@'}{found}")

    return _TOKEN.sub(name, as_typed(text))


def _date(seconds: int, otherwise: str) -> str:
    try:
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M} UTC"
    except (ValueError, OverflowError, OSError):
        return otherwise


def _shown(
    message: discord.Message | discord.MessageSnapshot,
    names: _Names,
    *,
    previews_only: bool,
    reads_files: bool = True,
) -> list[str]:
    """The files, stickers and cards of a message or of a forwarded one; people's embeds are `previews_only`."""
    embeds = () if previews_only else message.embeds
    cards = [_embed(embed, names) for embed in embeds if not _is_preview(embed, message)]
    cards += _displays(message.components, names)
    linked = [picture_note(_media_name(embed.thumbnail)) for embed in message.embeds if _is_linked_picture(embed)]
    written = bounded("\n".join(f"{_CARD}\n{card}" for card in cards if card), _LONGEST_CARDS)
    return [
        *(_file(attachment, reads_files=reads_files) for attachment in message.attachments),
        *(picture_note(sticker_name(sticker)) for sticker in message.stickers),
        *([written] if written else []),
        *linked,
    ]


def _file(attachment: discord.Attachment, *, reads_files: bool) -> str:
    if reads_files and attachment.is_voice_message():
        return unread_note(attachment.id, VOICE)
    if reads_files and is_picture(attachment):
        return picture_entry(attachment.id, file_name(attachment), description(attachment))
    if reads_files:
        return unread_note(attachment.id, described(attachment))
    return platform_note(f"{kind(attachment)}attached, but not readable for you: {as_typed(described(attachment))}")


def media_type(attachment: discord.Attachment) -> str:
    """What Discord takes a file for: `text/plain`."""
    return (attachment.content_type or "").partition(";")[0].strip().lower()


def kind(attachment: discord.Attachment) -> str:
    """What a file is, with a space behind it; empty if that says nothing to a model."""
    known = _KINDS.get(media_type(attachment).partition("/")[0])
    return f"{known} " if known else ""


def described(attachment: discord.Attachment) -> str:
    """The name of a file, and how its sender describes it."""
    said = description(attachment)
    return file_name(attachment) + (f", described as “{said}”" if said else "")


def description(attachment: discord.Attachment) -> str:
    """How the sender of a file describes it, in one line; empty if not at all."""
    return _description(attachment.description)


def _description(text: str | None) -> str:
    return bounded(" ".join((text or "").split()), _LONGEST_DESCRIPTION)


def is_picture(attachment: discord.Attachment) -> bool:
    """Whether Discord takes a file for a picture of a kind that can be read."""
    return media_type(attachment) in _PICTURES


def sticker_name(sticker: discord.StickerItem) -> str:
    return f"the sticker {_one_line(sticker.name)}"


def file_name(attachment: discord.Attachment) -> str:
    """The name of a file in one line, without folders and without what changes how other text looks."""
    return _one_line(re.split(r"[/\\]", attachment.filename)[-1])


def _one_line(name: str) -> str:
    shown = "".join(" " if unicodedata.category(character)[0] in "CZ" else character for character in name)
    return " ".join(shown.split())[-_LONGEST_FILE_NAME:] or "file"


def _is_preview(embed: discord.Embed, message: discord.Message | discord.MessageSnapshot) -> bool:
    """Whether Discord made an embed from an address in the text, which says what it leads to already.

    Some sites get previews of the type that bots send; those are told by the address.
    """
    return embed.type != "rich" or bool(embed.url and embed.url in message.content)


def _embed(embed: discord.Embed, names: _Names) -> str:
    fields = [f"{field.name}: {field.value}" for field in embed.fields]
    body = "\n".join(filter(None, (embed.author.name, embed.title, embed.description, *fields)))
    shown = picture_note(_media_name(embed.image)) if embed.image.url else ""
    return "\n".join(filter(None, (_written_out(body, names), shown, as_typed(embed.footer.text or ""))))


def _is_linked_picture(embed: discord.Embed) -> bool:
    return embed.type in _LINKED and bool(embed.thumbnail.proxy_url)


class Media(Protocol):
    """A picture of a card: Discord's own address of it, and its size in pixels."""

    @property
    def url(self) -> str | None: ...

    @property
    def proxy_url(self) -> str | None: ...

    @property
    def width(self) -> int | None: ...

    @property
    def height(self) -> int | None: ...


def _media_name(media: Media) -> str:
    path = (media.url or "").partition("?")[0].rstrip("/")
    return _one_line(path.rpartition("/")[2])


def media(message: discord.Message | discord.MessageSnapshot, *, previews_only: bool) -> Iterator[tuple[str, Media]]:
    """The names and the pictures of the cards of a message and of its links, in the order in which it names them."""
    embeds = () if previews_only else message.embeds
    shown: list[Media] = [each.image for each in embeds if not _is_preview(each, message) and each.image.url]
    shown += _gallery(message.components)
    shown += [each.thumbnail for each in message.embeds if _is_linked_picture(each)]
    return ((_media_name(each), each) for each in shown)


def _gallery(components: Iterable[discord.Component]) -> Iterator[Media]:
    for component in components:
        if isinstance(component, discord.Container | discord.SectionComponent):
            yield from _gallery(component.children)
        elif isinstance(component, discord.MediaGalleryComponent):
            yield from (item.media for item in component.items)


def _displays(components: Iterable[discord.Component], names: _Names) -> Iterator[str]:
    """The text of a message that consists of components."""
    for component in components:
        if isinstance(component, discord.TextDisplay):
            yield _written_out(component.content, names)
        elif isinstance(component, discord.Container | discord.SectionComponent):
            yield "\n".join(_displays(component.children, names))
        elif isinstance(component, discord.MediaGalleryComponent):
            for item in component.items:
                yield picture_note(_media_name(item.media), _description(item.description))


def _poll(poll: discord.Poll, names: _Names) -> str:
    several = ", several answers possible" if poll.multiple else ""
    answers = (f"- {f'{answer.emoji} ' if answer.emoji else ''}{answer.text or ''}".rstrip() for answer in poll.answers)
    return "\n".join([platform_note(f"poll{several}:"), _written_out("\n".join([poll.question, *answers]), names)])


def bounded(text: str, limit: int) -> str:
    """The beginning of a text, which ends in no half platform note."""
    return text if len(text) <= limit else f"{re.sub('⟦[^⟧]*$', '', text[:limit]).rstrip()}…"

"""The calls to Discord that post, edit and delete one reply's messages, each recorded in the store.

What a message should show, and when it is changed, is not decided here; see `view` and `reconciler`.
"""

from __future__ import annotations

import io
import logging
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import discord

from bot.core.errors import StoreError
from bot.core.records import Ping
from bot.discord_bot.delivery import buttons
from bot.discord_bot.delivery.beginning import PartialDelivery
from bot.discord_bot.delivery.deletions import DeletionLog
from bot.discord_bot.delivery.records import ReplyRecord
from bot.discord_bot.delivery.view import (
    MESSAGE_LIMIT,
    ContentRejected,
    NotEditable,
    TargetGone,
    Unavailable,
    WantedMessage,
)
from bot.network.failures import failure
from bot.texts import threads

log = logging.getLogger(__name__)

PINGS_AFTER = 15.0
"""Seconds after which an answer pings an asker who has chosen nothing else: they have turned to something else."""
_NONCE_LENGTH = 25
"""Characters of a nonce at most; see https://discord.com/developers/docs/resources/message#create-message."""
UNKNOWN_CHANNEL = 10003
"""Discord's error code for a channel that was deleted.

All codes are listed at https://discord.com/developers/docs/topics/opcodes-and-status-codes#json.
"""
UNKNOWN_MESSAGE = 10008
"""Discord's error code for a message that was deleted."""
_ARCHIVED = 50083
"""Discord's error code for an edit in an archived thread. A new message opens the thread again."""
_MAY_NOT_WRITE = frozenset({UNKNOWN_CHANNEL, 50001, 50007, 50013, 160005})
"""Discord's error codes for a place in which the bot may post nothing: gone, hidden, closed, forbidden or locked."""

REQUEST_ERRORS = (discord.HTTPException, discord.RateLimited, aiohttp.ClientError, OSError, TimeoutError)
"""The exceptions that a request to Discord can raise. `platform_errors` tells them apart."""


@dataclass(frozen=True, slots=True)
class ReplyTarget:
    """The prompt that a reply answers.

    `prompt_id` is the id of its message, or of what else asked. `about` is the message that such a prompt is about: the
    reply is posted as one to that message, whose author is not pinged.
    """

    channel: discord.PartialMessageable
    prompt_id: int
    can_quote: bool = True
    """Whether the bot may post its message as a reply to the prompt, as far as that is known."""
    waited: float = 0.0
    """Seconds since the prompt was written."""
    ping: Ping = Ping.AUTO
    """When the asker wants to be pinged."""
    about: int | None = None
    mention: int | None = None
    """The asker, if only a mention pings them: no message in the channel is theirs and has the prompt."""
    elsewhere: int | None = None
    """The channel in which the reply is shown if the bot may not write in its own any more."""


class ReplyMessages:
    """The messages of one attempt at a reply; a `bot.discord_bot.delivery.view.MessageGateway`.

    The first message replies to the prompt where that is possible, and pings the asker when they want that. Further
    messages are silent. Each message is on record before it is posted, with the nonce by which Discord recognizes a
    second copy; without a `record` none is. `first_part` is the number of the reply's parts that other
    messages show. `partial` is what an earlier process has posted of the reply; with `same_nonces` this attempt is that
    process's own, so that Discord may give back one of its messages for a post.
    """

    def __init__(
        self,
        target: ReplyTarget,
        record: ReplyRecord | None,
        deletions: DeletionLog,
        *,
        first_part: int = 0,
        partial: PartialDelivery | None = None,
        same_nonces: bool = False,
    ) -> None:
        partial = partial or PartialDelivery()
        self._target = target
        self._channel = target.channel
        self._record = record
        self._deletions = deletions
        self._first_part = first_part
        self._unconfirmed = dict(partial.unconfirmed)
        self._can_quote = target.can_quote
        self._asked_at = time.monotonic() - target.waited
        self._posts = Counter(range(len(partial.sent)))
        """How often each part was posted."""
        self._orphaned = len(partial.orphaned)
        """How many messages are deleted that may each show any of the parts."""
        self._unrecorded = partial.unrecorded
        self._same_nonces = same_nonces

    async def post(self, part: int, wanted: WantedMessage) -> tuple[int, bool]:
        """Post a part; see `MessageGateway.post`."""
        number = self._first_part + part
        message = await self._post(part, number, wanted)
        while (self._same_nonces or number in self._unconfirmed) and await self._is_given_away(message.id):
            self._mark_posted(number)
            message = await self._post(part, number, wanted)
        self._mark_posted(number)
        if self._record is not None:
            await self._record.posted(number, message.id)
        if message.id in self._deletions:
            raise TargetGone("deleted before Discord had answered", deleted=True)
        # Discord trims the content. For a known nonce it returns the message that was posted with it.
        return message.id, message.content == wanted.content.strip()

    async def _post(self, part: int, number: int, wanted: WantedMessage) -> discord.Message:
        attempt = self._attempt_number
        # All calls for one post share a nonce. A part that is posted a second time gets a new one.
        posts = self._posts[number] + self._orphaned
        new = f"{self._target.prompt_id:x}.{attempt:x}.{number:x}.{posts:x}"[-_NONCE_LENGTH:]
        nonce = self._unconfirmed.get(number, new)
        if self._record is not None:
            await self._record.posting(number, wanted.start, nonce)
        try:
            with platform_errors():
                message = await self._send(part, wanted, nonce)
        except (ContentRejected, NotEditable, TargetGone) as error:
            if self._record is not None:
                self._record.refused(number)
            if not isinstance(error, TargetGone):
                raise
            if isinstance(error.__cause__, discord.HTTPException) and error.__cause__.code not in _MAY_NOT_WRITE:
                # It is this message that Discord refuses; it may take another one.
                raise ContentRejected(str(error)) from error
            if self._target.elsewhere is not None:
                error.sentence = threads.answered_in(self._target.elsewhere)
            raise
        return message

    def _mark_posted(self, number: int) -> None:
        """Have another post of a part get a nonce of its own."""
        self._posts[number] += 1
        self._unconfirmed.pop(number, None)

    async def _is_given_away(self, message_id: int) -> bool:
        """Whether a message of an earlier process shows another reply since, or is deleted as a rest of one."""
        # In this order: whoever deletes it says so, and then looks whether it is another's.
        return await self._is_anothers(message_id) or self._deletions.is_own(message_id)

    async def _is_anothers(self, message_id: int) -> bool:
        try:
            return self._record is not None and await self._record.is_anothers(message_id)
        except StoreError as error:
            # Until it is known, nothing may be written over it.
            raise Unavailable(str(error)) from error

    async def edit(self, part: int, message_id: int, wanted: WantedMessage) -> None:
        """Edit a message by its id."""
        view = buttons.under_reply(wanted.buttons, self._attempt_number)
        with platform_errors():
            # Without a file the list is empty, so that the file of an earlier attempt is removed.
            files = [] if wanted.file is None else [reply_file(wanted.file)]
            await self._edit(message_id, content=wanted.content, view=view, attachments=files)

    async def delete(self, message_id: int) -> None:
        """Delete a message, unless it is gone already or shows another reply by now."""
        self._deletions.add_own(message_id)
        if message_id in self._unrecorded and await self._is_kept(message_id):
            return
        with platform_errors():
            try:
                await self._delete(message_id)
            except discord.NotFound:
                log.debug("message %d was already deleted", message_id)
        if self._record is not None:
            await self._record.removed(message_id)

    async def _is_kept(self, message_id: int) -> bool:
        """Whether a message that was on no record has become one of another reply, so that it stays.

        Whoever takes it for theirs from now on finds that the bot is about to delete it.
        """
        kept = True
        try:
            kept = await self._is_anothers(message_id)
        finally:
            if kept:
                self._deletions.withdraw_own(message_id)
        return kept

    async def _edit(self, message_id: int, **content: Any) -> None:
        """Change a message.

        With a `discord.Message` every edit would bring the link previews back, because `suppress` is False by default:
        https://discordpy.readthedocs.io/en/stable/api.html#discord.Message.edit.
        """
        await self._channel.get_partial_message(message_id).edit(**content)

    async def _delete(self, message_id: int) -> None:
        await self._channel.get_partial_message(message_id).delete()

    async def _send(self, part: int, wanted: WantedMessage, nonce: str) -> discord.Message:
        if part > 0:
            return await self._channel.send(wanted.content, silent=True, **self._options(wanted, nonce))
        about = self._target.about
        if self._can_quote:
            try:
                return await self._channel.send(
                    mention_author=about is None and self._pings,
                    reference=discord.MessageReference(
                        message_id=about or self._target.prompt_id,
                        channel_id=self._channel.id,
                        fail_if_not_exists=False,
                    ),
                    **self._pinging(wanted),
                    **self._options(wanted, nonce),
                )
            except discord.HTTPException as error:
                # Whatever the reason is called, it may be the reference: prompts are deleted, and history is hidden.
                if not 400 <= error.status < 500 or error.status == 429:
                    raise
                log.info("channel %d: Discord refused a reply that points to its question: %s", self._channel.id, error)
        message = await self._channel.send(**self._pinging(wanted), **self._options(wanted, nonce))
        self._can_quote = False
        return message

    def _pinging(self, wanted: WantedMessage) -> dict[str, Any]:
        """The content of a first message. A mention that pings is there until the next edit."""
        asker = self._target.mention
        if asker is None or not self._pings:
            return {"content": wanted.content}
        mentioning = f"<@{asker}> {wanted.content}"[:MESSAGE_LIMIT]
        return {"content": mentioning, "allowed_mentions": discord.AllowedMentions(users=[discord.Object(asker)])}

    @property
    def _attempt_number(self) -> int:
        return 0 if self._record is None else self._record.attempt.number

    def _options(self, wanted: WantedMessage, nonce: str) -> dict[str, Any]:
        """What a post says beside its text. discord.py takes None for a value, and a file only once."""
        options: dict[str, Any] = {"nonce": nonce, "suppress_embeds": True}
        if (view := buttons.under_reply(wanted.buttons, self._attempt_number)) is not None:
            options["view"] = view
        if wanted.file is not None:
            options["file"] = reply_file(wanted.file)
        return options

    @property
    def _pings(self) -> bool:
        if self._target.ping is Ping.AUTO:
            return time.monotonic() - self._asked_at > PINGS_AFTER
        return self._target.ping is Ping.ALWAYS


@contextmanager
def platform_errors() -> Iterator[None]:
    """Raise the exceptions of a request to Discord as `PlatformError`s, which say what can be done about them."""
    try:
        yield
    except (discord.DiscordServerError, discord.RateLimited) as error:
        raise Unavailable(str(error)) from error
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        # The text of the error itself may hold the password of a proxy.
        raise Unavailable(failure(error).reason) from error
    except discord.HTTPException as error:
        if error.status == 429:
            raise Unavailable(str(error)) from error
        if error.code == _ARCHIVED:
            raise NotEditable(str(error)) from error
        if error.status == 400:
            raise ContentRejected(str(error)) from error
        raise TargetGone(str(error), deleted=error.code in (UNKNOWN_CHANNEL, UNKNOWN_MESSAGE)) from error
    except RuntimeError as error:
        # aiohttp raises it for a session that was closed: the bot is ending.
        raise Unavailable(str(error)) from error


def age(message_id: int) -> float:
    """Seconds since a message was written, by the time in its id and this machine's clock.

    See https://discord.com/developers/docs/reference#snowflakes.
    """
    return max(0.0, (discord.utils.utcnow() - discord.utils.snowflake_time(message_id)).total_seconds())


def reads_history(channel: object) -> bool:
    """Whether the bot may reply to messages in a channel. Where discord.py does not know, the answer is yes."""
    if not isinstance(channel, discord.abc.GuildChannel | discord.Thread):
        return True
    me: discord.Member | None = channel.guild.me
    if me is None or (isinstance(channel, discord.Thread) and channel.parent is None):
        return True
    return channel.permissions_for(me).read_message_history


def reply_file(text: str) -> discord.File:
    """The file with a whole reply."""
    return discord.File(io.BytesIO(text.encode(errors="replace")), filename="reply.md")

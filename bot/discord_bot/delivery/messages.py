"""One reply's messages on Discord: posted, edited and deleted, and kept on record in the store."""

from __future__ import annotations

import io
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import aiohttp
import discord

from bot.core.errors import StoreError
from bot.core.turns import Attempt
from bot.discord_bot.delivery import buttons
from bot.discord_bot.delivery.deletions import Deletions
from bot.discord_bot.delivery.view import ContentRejected, NotEditable, TargetGone, Unavailable, WantedMessage
from bot.store import Store

log = logging.getLogger(__name__)

PINGS_AFTER = 15.0
"""Seconds after which a person has turned to something else and wants to be told of the answer."""
_NONCE_LENGTH = 25
"""What Discord takes."""
UNKNOWN_CHANNEL, UNKNOWN_MESSAGE = 10003, 10008
"""Discord's codes for what was deleted."""
_ARCHIVED = 50083
"""Discord's code for an edit in an archived thread; a new message opens it again."""
_NO_HISTORY = 160002
"""Discord's code for a reply without the right to read the channel's history."""

REQUEST_ERRORS = (discord.HTTPException, discord.RateLimited, aiohttp.ClientError, OSError, TimeoutError)
"""All that a request to Discord can raise. Where it matters what becomes of it, see `platform_errors`."""


class ReplyMessages:
    """The messages of one attempt; a `bot.discord_bot.delivery.reconciler.Messages`.

    The first one replies to the prompt where that is possible, and pings the asker only after a long wait; further ones
    are silent. Each is on record before it is posted, with the nonce by which Discord drops a second copy. `first_part`
    is how many parts of the reply other messages show already, `posted` how many of its own an earlier process has
    posted, `lost` the nonces of the parts of which that is not known. Without an attempt nothing is kept on record.
    `quotes`: whether it may reply, as far as that is known; `waited`: the seconds since the prompt was written.
    """

    def __init__(
        self,
        channel: discord.PartialMessageable,
        prompt_id: int,
        attempt: Attempt | None,
        store: Store,
        *,
        first_part: int = 0,
        posted: int = 0,
        unconfirmed: Mapping[int, str] | None = None,
        quotes: bool = True,
        waited: float = 0.0,
        deletions: Deletions | None = None,
    ) -> None:
        self._channel = channel
        self._prompt_id = prompt_id
        self._attempt = attempt
        self._store = store
        self._first_part = first_part
        self._deletions = deletions or Deletions()
        self._lost = dict(unconfirmed or {})
        self._quotes = quotes
        self._asked_at = time.monotonic() - waited
        self._posts = Counter(range(posted))

    async def post(self, part: int, wanted: WantedMessage) -> tuple[int, bool]:
        """Post a part; see `bot.discord_bot.delivery.reconciler.Messages`."""
        number = self._first_part + part
        attempt = 0 if self._attempt is None else self._attempt.number
        # The same for every try at a post, and different for all else, also where a part has to be posted anew.
        new = f"{self._prompt_id:x}.{attempt:x}.{number:x}.{self._posts[number]:x}"[-_NONCE_LENGTH:]
        nonce = self._lost.get(number, new)
        if self._attempt is not None:
            await self._record(self._store.deliveries.posting(self._attempt, number, wanted.start, nonce))
        with platform_errors():
            message = await self._send(part, wanted, nonce)
        self._posts[number] += 1
        self._lost.pop(number, None)
        if self._attempt is not None:
            await self._record(self._store.deliveries.posted(self._attempt, number, message.id))
        if message.id in self._deletions:
            raise TargetGone("deleted before Discord had answered", deleted=True)
        # Discord trims, and gives the message of an earlier try where that had got through.
        return message.id, message.content == wanted.content.strip()

    async def edit(self, part: int, message_id: int, wanted: WantedMessage) -> None:
        """Edit by id: editing a message object of discord.py 2.7 would bring link previews back."""
        message = self._channel.get_partial_message(message_id)
        view = buttons.under_reply(wanted.button)
        with platform_errors():
            # Also where there is none: an earlier attempt may have left one.
            files = [] if wanted.file is None else [_file(wanted.file)]
            await message.edit(content=wanted.content, view=view, attachments=files)

    async def delete(self, message_id: int) -> None:
        """Delete a message; that it is gone already is as good."""
        self._deletions.by_the_bot(message_id)
        with platform_errors():
            try:
                await self._channel.get_partial_message(message_id).delete()
            except discord.NotFound:
                log.debug("message %d was gone already", message_id)
        await self._record(self._store.deliveries.removed(message_id))

    async def _send(self, part: int, wanted: WantedMessage, nonce: str) -> discord.Message:
        # discord.py tells an option that is left out from one that is None.
        options: dict[str, Any] = {"nonce": nonce, "suppress_embeds": True}
        if (view := buttons.under_reply(wanted.button)) is not None:
            options["view"] = view
        if wanted.file is not None:
            options["file"] = _file(wanted.file)
        if part > 0:
            return await self._channel.send(wanted.content, silent=True, **options)
        if not self._quotes:
            return await self._channel.send(wanted.content, **options)
        try:
            return await self._channel.send(
                wanted.content,
                mention_author=time.monotonic() - self._asked_at > PINGS_AFTER,
                reference=discord.MessageReference(
                    message_id=self._prompt_id, channel_id=self._channel.id, fail_if_not_exists=False
                ),
                **options,
            )
        except discord.HTTPException as error:
            if error.code != _NO_HISTORY:
                raise
            self._quotes = False
            return await self._channel.send(wanted.content, **options)

    async def _record(self, writing: Awaitable[object]) -> None:
        """People come first: a reply is shown even when the database cannot take note of its message."""
        try:
            await writing
        except StoreError as error:
            log.warning("a message in channel %d is not on record: %s", self._channel.id, error)


@contextmanager
def platform_errors() -> Iterator[None]:
    """Tell what is over from what may work later, and from what works otherwise."""
    try:
        yield
    except (discord.DiscordServerError, discord.RateLimited, aiohttp.ClientError, OSError, TimeoutError) as error:
        raise Unavailable(str(error) or type(error).__name__) from error
    except discord.HTTPException as error:
        if error.status == 429:
            raise Unavailable(str(error)) from error
        if error.code == _ARCHIVED:
            raise NotEditable(str(error)) from error
        if error.status == 400:
            raise ContentRejected(str(error)) from error
        raise TargetGone(str(error), deleted=error.code in (UNKNOWN_CHANNEL, UNKNOWN_MESSAGE)) from error
    except RuntimeError as error:
        # aiohttp's word for a session that was closed: the bot is ending.
        raise Unavailable(str(error)) from error


def age(message_id: int) -> float:
    """Seconds since a message was written, as far as Discord's clock and this machine's agree."""
    return max(0.0, (discord.utils.utcnow() - discord.utils.snowflake_time(message_id)).total_seconds())


def reads_history(place: object) -> bool:
    """Whether the bot may reply to messages there; where discord.py does not know, it is worth a try."""
    if not isinstance(place, discord.abc.GuildChannel | discord.Thread):
        return True
    me: discord.Member | None = place.guild.me
    if me is None or (isinstance(place, discord.Thread) and place.parent is None):
        return True
    return place.permissions_for(me).read_message_history


def _file(text: str) -> discord.File:
    return discord.File(io.BytesIO(text.encode(errors="replace")), filename="reply.md")

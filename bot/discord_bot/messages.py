"""One reply's messages on Discord: posted, edited and deleted, and kept on record in the store."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager

import aiohttp
import discord

from bot.errors import StoreError
from bot.live_reply import Gone, Unavailable
from bot.store import SQLiteStore
from bot.turns import Attempt

log = logging.getLogger(__name__)

_NO_HISTORY = 160002
"""Discord's code for a reply without the right to read the channel's history."""


class ReplyMessages:
    """The messages of one attempt; a `bot.live_reply.Messages`.

    The first one replies to the prompt where that is possible; further ones are silent. Each is on record before it is
    posted, with the nonce by which Discord drops a second copy.
    """

    def __init__(
        self, channel: discord.PartialMessageable, prompt_id: int, attempt: Attempt, store: SQLiteStore
    ) -> None:
        self._channel = channel
        self._prompt_id = prompt_id
        self._attempt = attempt
        self._store = store

    async def post(self, part: int, start: int, content: str) -> int:
        """Post a part; see `bot.live_reply.Messages`."""
        nonce = _nonce(self._prompt_id, self._attempt.number, part)
        await self._record(self._store.posting(self._attempt, part, start, nonce))
        with platform_errors():
            message = await self._send(part, content, nonce)
        await self._record(self._store.posted(self._attempt, part, message.id))
        return message.id

    async def edit(self, message_id: int, content: str) -> None:
        """Edit by id: editing a message object of discord.py 2.7 would bring link previews back."""
        with platform_errors():
            await self._channel.get_partial_message(message_id).edit(content=content)

    async def delete(self, message_id: int) -> None:
        """Delete a message; that it is gone already is as good."""
        with platform_errors():
            try:
                await self._channel.get_partial_message(message_id).delete()
            except discord.NotFound:
                log.debug("message %d was gone already", message_id)

    async def _send(self, part: int, content: str, nonce: str) -> discord.Message:
        if part > 0:
            return await self._channel.send(content, nonce=nonce, silent=True, suppress_embeds=True)
        try:
            return await self._channel.send(
                content,
                nonce=nonce,
                suppress_embeds=True,
                mention_author=False,
                reference=discord.MessageReference(
                    message_id=self._prompt_id, channel_id=self._channel.id, fail_if_not_exists=False
                ),
            )
        except discord.HTTPException as error:
            if error.code != _NO_HISTORY:
                raise
            return await self._channel.send(content, nonce=nonce, suppress_embeds=True)

    async def _record(self, writing: Awaitable[object]) -> None:
        """People come first: a reply is shown even when the database cannot take note of its message."""
        try:
            await writing
        except StoreError as error:
            log.warning("turn %d: a message of its reply is not on record: %s", self._attempt.turn_id, error)


@contextmanager
def platform_errors() -> Iterator[None]:
    """Tell what is over from what may work later."""
    try:
        yield
    except (discord.DiscordServerError, discord.RateLimited, aiohttp.ClientError, OSError, TimeoutError) as error:
        raise Unavailable(str(error) or type(error).__name__) from error
    except discord.HTTPException as error:
        if error.status == 429:
            raise Unavailable(str(error)) from error
        raise Gone(str(error)) from error


def _nonce(prompt_id: int, attempt: int, part: int) -> str:
    """The same for every try at posting one part, and different for all else; at most 25 characters."""
    return f"{prompt_id:x}.{attempt:x}.{part:x}"[-25:]

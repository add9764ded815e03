"""The calls to Discord that show a reply through the token of an interaction, as answers to a command or a press.

Discord takes a token for 15 minutes, and anybody who has it can write as the bot. So it is nowhere but in the memory of
the interaction, which goes when the reply has ended.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import discord
from discord.utils import MISSING

from bot.core.retrying import poll_until
from bot.discord_bot.channels import may_write
from bot.discord_bot.delivery import buttons
from bot.discord_bot.delivery.deletions import DeletionLog
from bot.discord_bot.delivery.messages import ReplyMessages, ReplyTarget, platform_errors, reply_file
from bot.discord_bot.delivery.records import ReplyRecord
from bot.discord_bot.delivery.token_calls import made_once
from bot.discord_bot.delivery.view import PlatformError, TargetGone, WantedMessage

log = logging.getLogger(__name__)

LEAVE_AFTER = 14 * 60.0
"""Seconds of the 15 minutes of a token for which it is used. The end of a reply has the rest of the time."""
_LOOKED_THROUGH = 20
"""Messages of a channel among which one is looked for whose post may have failed."""
_REMEMBERED = 1000
"""How many private messages are remembered."""
_EVENT_TIMEOUT = 1.0
"""Seconds for which the event about a message is waited for whose post seemed to fail."""


class PrivatePosts:
    """The latest messages of the bot that only one user sees, by Discord's events about them.

    No channel lists them. Discord tells of them as of direct messages:
    https://docs.discord.com/developers/events/gateway-events#message-create.
    """

    def __init__(self) -> None:
        self._latest: deque[tuple[int, int]] = deque(maxlen=_REMEMBERED)

    def received(self, message: discord.Message) -> None:
        """Remember a new message, if it is one of these."""
        if message.flags.ephemeral and message.interaction_metadata is not None:
            self._latest.append((message.interaction_metadata.id, message.id))

    async def of(self, interaction_id: int, known: Collection[int | None]) -> int | None:
        """The newest message of an interaction that is not known there, whose event may be on its way yet."""

        async def newest() -> int | None:
            return next((id_ for of, id_ in reversed(self._latest) if of == interaction_id and id_ not in known), None)

        return await poll_until(newest, every=0.05, timeout=_EVENT_TIMEOUT)


@dataclass(frozen=True, slots=True)
class Through:
    """The interaction through which a reply is shown.

    `original_id` is the message that the interaction is answered with, in which the reply begins. None: the reply is in
    further messages only. `private`: only the user of the interaction sees the messages. `came_at` is a time of
    the event loop.
    """

    interaction: discord.Interaction
    original_id: int | None
    private: bool
    came_at: float = field(default_factory=lambda: asyncio.get_running_loop().time())

    @property
    def seconds_left(self) -> float:
        """Seconds for which the token is still used."""
        # By no clock that may be wrong. An interaction is answered within seconds, or not at all.
        return LEAVE_AFTER - (asyncio.get_running_loop().time() - self.came_at)

    @property
    def goes_on(self) -> bool:
        """Whether the reply can go on in the channel when the token is no longer used."""
        return not self.private and may_write(self.interaction, self.interaction.app_permissions)


class InteractionMessages(ReplyMessages):
    """The messages of a reply that is shown through an interaction; a `bot.discord_bot.delivery.view.MessageGateway`.

    After `leave` it goes on in the same messages and in new ones, as any other reply.
    """

    def __init__(
        self,
        through: Through,
        target: ReplyTarget,
        record: ReplyRecord,
        deletions: DeletionLog,
        private_posts: PrivatePosts,
        *,
        first_part: int = 0,
    ) -> None:
        super().__init__(target, record, deletions, first_part=first_part)
        self._through: Through | None = through
        self._private_posts = private_posts
        self._original = through.original_id
        """The message in which the reply begins, unless it was deleted."""
        self._posted: list[int] = []
        """The messages that were posted through the token, oldest first."""
        self._placeholder: int | None = None
        self._unsure = False
        """Whether the last post failed in a way that leaves open whether Discord took it."""

    def leave(self, *, begun: bool) -> None:
        """Use the token no longer. If the reply has not `begun`, the message that was kept for it goes once it does."""
        self._through = None
        self._placeholder = None if begun else self._original

    async def post(self, part: int, wanted: WantedMessage) -> tuple[int, bool]:
        """Post a part; see `MessageGateway.post`."""
        with made_once():
            return await super().post(part, wanted)

    async def delete(self, message_id: int) -> None:
        """Delete a message, unless it is gone already."""
        with made_once():
            await super().delete(message_id)

    async def edit(self, part: int, message_id: int, wanted: WantedMessage) -> None:
        """Edit a message by its id."""
        through = self._through
        try:
            with made_once():
                await super().edit(part, message_id, wanted)
        except TargetGone as error:
            if through is None or not through.private:
                raise
            # Whoever no longer wants to see a private message has not asked to have it forgotten.
            raise TargetGone(str(error)) from error

    async def _send(self, part: int, wanted: WantedMessage, nonce: str) -> discord.Message:
        through = self._through
        if through is None:
            message = await super()._send(part, wanted, nonce)
            await self._remove_placeholder()
            return message
        files = [] if wanted.file is None else [reply_file(wanted.file)]
        view = buttons.under_reply(wanted.buttons, self._attempt_number)
        first = self._pinging(wanted) if part == 0 else {"content": wanted.content}
        pings = "allowed_mentions" in first
        if part == 0 and self._original is not None:
            if not pings:
                edit = through.interaction.edit_original_response
                return await edit(content=wanted.content, view=view, attachments=files)
            # No edit pings, nor does the first message after the one that says that the bot is thinking.
            self._deletions.add_own(self._original)
            with suppress(discord.NotFound):  # An earlier try has deleted it.
                await through.interaction.delete_original_response()
            self._original = None
        found = await self._found() if self._unsure else None
        if found is None:
            # The messages of an interaction have no nonce by which Discord would recognize a second copy.
            self._unsure = True
            found = await through.interaction.followup.send(
                **first,
                ephemeral=through.private,
                silent=not pings,
                suppress_embeds=True,
                wait=True,
                view=view or MISSING,
                files=files or MISSING,
            )
        self._unsure = False
        self._posted.append(found.id)
        return found

    async def _remove_placeholder(self) -> None:
        """Take away the message that says that the bot is thinking: soon it would say that there was no answer."""
        placeholder, self._placeholder = self._placeholder, None
        if placeholder is not None:
            self._deletions.add_own(placeholder)
            try:
                with platform_errors():
                    await super()._delete(placeholder)
            except PlatformError as error:
                log.info("channel %d: a message without an answer stays: %s", self._channel.id, error)

    async def _found(self) -> discord.Message | None:
        """The message of a post that seemed to fail, if Discord has it."""
        through = self._through
        if through is None:
            return None
        if through.private:
            known = {*self._posted, through.original_id}
            message_id = await self._private_posts.of(through.interaction.id, known)
            return None if message_id is None else await through.interaction.followup.fetch_message(message_id)
        newest = self._posted[-1] if self._posted else through.original_id or through.interaction.id
        async for message in self._channel.history(after=discord.Object(newest), limit=_LOOKED_THROUGH):
            made_by = message.interaction_metadata
            if made_by is not None and made_by.id == through.interaction.id:
                return message
        return None

    async def _edit(self, message_id: int, **content: Any) -> None:
        through = self._through
        if through is None:
            await super()._edit(message_id, **content)
        elif message_id == through.original_id:
            await through.interaction.edit_original_response(**content)
        else:
            await through.interaction.followup.edit_message(message_id, **content)

    async def _delete(self, message_id: int) -> None:
        through = self._through
        if through is None:
            await super()._delete(message_id)
        elif message_id == through.original_id:
            await through.interaction.delete_original_response()
        else:
            await through.interaction.followup.delete_message(message_id)

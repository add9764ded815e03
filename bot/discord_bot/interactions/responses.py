"""Answers to interactions: in time, and in the form that is left after what was answered before."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any, TypeVar

import discord
from discord.utils import MISSING

from bot.core.errors import StoreError
from bot.discord_bot.delivery.messages import REQUEST_ERRORS, platform_errors
from bot.discord_bot.delivery.view import PlatformError

log = logging.getLogger(__name__)

T = TypeVar("T")

DEFER_AFTER = 1.5
"""Seconds until an answer is put off; Discord allows 3, the way there and back included."""


async def defer_if_slow(interaction: discord.Interaction, work: Coroutine[Any, Any, T]) -> T:
    """The work's result. Where it takes long, Discord shows meanwhile, in private, that an answer will come.

    For what a message's button or form asks, it shows that message as it is.
    """
    working = asyncio.create_task(work)
    await asyncio.wait([working], timeout=DEFER_AFTER)
    if not working.done() and not interaction.response.is_done():
        with suppress(*REQUEST_ERRORS):
            await interaction.response.defer(thinking=interaction.message is None, ephemeral=True)
    return await working


async def run_or_report(
    interaction: discord.Interaction, work: Coroutine[Any, Any, T], *, failed: str, doing: str
) -> T | None:
    """The work's result, in time. None: the store failed at it (`doing`, for the log), and `failed` has been said."""
    try:
        return await defer_if_slow(interaction, work)
    except StoreError as error:
        log.error("%s in channel %s failed: %s", doing, interaction.channel_id, error)
        await respond_ephemeral(interaction, failed)
        return None


async def respond_ephemeral(
    interaction: discord.Interaction, sentence: str, *, view: discord.ui.View = MISSING, file: discord.File = MISSING
) -> bool:
    """Answer in private, whether or not that was put off. False: Discord did not take it."""
    response = interaction.response
    if not response.is_done():
        sending: Awaitable[object] = response.send_message(
            sentence, view=view, file=file, ephemeral=True, suppress_embeds=True
        )
    elif response.type is discord.InteractionResponseType.deferred_channel_message:
        files: Sequence[discord.File] = [file] if isinstance(file, discord.File) else MISSING
        sending = interaction.edit_original_response(content=sentence, view=view, attachments=files)
    else:
        sending = interaction.followup.send(sentence, view=view, file=file, ephemeral=True, suppress_embeds=True)
    return await _taken(interaction, sending)


async def acknowledge(interaction: discord.Interaction) -> None:
    """Answer a press by which nothing is to be said."""
    if not interaction.response.is_done():
        await _taken(interaction, interaction.response.defer())


async def update(interaction: discord.Interaction, sentence: str = MISSING) -> None:
    """Take away what can be pressed in the message whose button or form this is; `sentence` stands in its place."""
    done = interaction.response.is_done()
    edit = interaction.edit_original_response if done else interaction.response.edit_message
    await _taken(interaction, edit(content=sentence, view=None))


async def respond_public(interaction: discord.Interaction, sentence: str) -> None:
    """Answer for everybody to see: as an answer or, where that was put off, which is private, in the channel."""
    put_off = interaction.response.is_done()
    if not put_off and await _taken(
        interaction, interaction.response.send_message(sentence, silent=True, suppress_embeds=True)
    ):
        return
    if not await send(interaction, sentence):
        await respond_ephemeral(interaction, sentence)
    elif put_off:
        with suppress(*REQUEST_ERRORS):
            await interaction.delete_original_response()


async def send(interaction: discord.Interaction, sentence: str) -> bool:
    """Say something in the channel. False: Discord did not take it."""
    channel = interaction.client.get_partial_messageable(interaction.channel_id or 0)
    return await _taken(interaction, channel.send(sentence, silent=True, suppress_embeds=True))


async def _taken(interaction: discord.Interaction, call: Awaitable[object]) -> bool:
    """Whether Discord takes a call. What was asked for is done either way."""
    try:
        with platform_errors():
            await call
    except PlatformError as error:
        name = interaction.command.qualified_name if interaction.command else "a press"
        log.warning("%s in channel %s could not be answered: %s", name, interaction.channel_id, error)
        return False
    return True


def moderates(interaction: discord.Interaction) -> bool:
    """Whether somebody may decide over the replies to others."""
    return interaction.guild_id is not None and interaction.permissions.manage_messages


Submitted = Callable[[discord.Interaction, str], Awaitable[None]]
"""Takes a form of one text field that was sent, and its text."""


class Forms:
    """The forms of one client. discord.py matches them with objects that it loses at a restart, so each is known by its
    id alone, where all interactions pass.
    """

    def __init__(self) -> None:
        self._submitted: dict[str, Submitted] = {}

    def register(self, custom_id: str, submitted: Submitted) -> None:
        """Have a form of that id told to `submitted`."""
        self._submitted[custom_id] = submitted

    async def dispatch(self, interaction: discord.Interaction) -> None:
        """Take an interaction of any kind."""
        data: Any = interaction.data
        if interaction.type is discord.InteractionType.modal_submit and data["custom_id"] in self._submitted:
            [text] = [label["component"]["value"] for label in data["components"]]
            await self._submitted[data["custom_id"]](interaction, text)

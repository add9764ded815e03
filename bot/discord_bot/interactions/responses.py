"""Answers to interactions, in time and in the form that Discord takes after an earlier answer to the same interaction.

See https://discord.com/developers/docs/interactions/receiving-and-responding.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, TypeVar

import discord
from discord.utils import MISSING

from bot.core.errors import StoreError
from bot.discord_bot.delivery.messages import platform_errors
from bot.discord_bot.delivery.view import PlatformError

log = logging.getLogger(__name__)

T = TypeVar("T")

DEFER_AFTER = 1.5
"""Seconds until an answer is deferred; Discord allows 3, the way there and back included."""


async def defer_if_slow(interaction: discord.Interaction, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`. If it takes long, Discord shows the user in the meantime that the bot is thinking.

    For a button or a form of a message, Discord shows nothing new in the meantime.
    """
    working = asyncio.create_task(work)
    await asyncio.wait([working], timeout=DEFER_AFTER)
    if not working.done() and not interaction.response.is_done():
        await _taken(interaction, interaction.response.defer(thinking=interaction.message is None, ephemeral=True))
    return await working


async def run_or_report(
    interaction: discord.Interaction, work: Coroutine[Any, Any, T], *, failed: str, doing: str
) -> T | None:
    """The result of `work`, or None if the store failed: then the user is told `failed`, and `doing` is logged."""
    try:
        return await defer_if_slow(interaction, work)
    except StoreError as error:
        log.error("%s in channel %s failed: %s", doing, interaction.channel_id, error)
        await respond_ephemeral(interaction, failed)
        return None


async def respond_ephemeral(
    interaction: discord.Interaction,
    sentence: str,
    *,
    view: discord.ui.View = MISSING,
    file: discord.File = MISSING,
    embed: discord.Embed = MISSING,
) -> bool:
    """Answer in private, deferred or not. Returns False if Discord did not take the answer.

    Without an `embed` of the answer's own, links in it have no previews.
    """
    response, suppress = interaction.response, embed is MISSING
    if not response.is_done():
        sending: Awaitable[object] = response.send_message(
            sentence, view=view, file=file, embed=embed, ephemeral=True, suppress_embeds=suppress
        )
    elif response.type is discord.InteractionResponseType.deferred_channel_message:
        files: Sequence[discord.File] = [file] if isinstance(file, discord.File) else MISSING
        sending = interaction.edit_original_response(content=sentence, view=view, embed=embed, attachments=files)
    else:
        sending = interaction.followup.send(
            sentence, view=view, file=file, embed=embed, ephemeral=True, suppress_embeds=suppress
        )
    return await _taken(interaction, sending)


async def acknowledge(interaction: discord.Interaction) -> None:
    """Answer a press without saying anything."""
    if not interaction.response.is_done():
        await _taken(interaction, interaction.response.defer())


async def update(
    interaction: discord.Interaction, sentence: str = MISSING, *, view: discord.ui.View | None = None
) -> None:
    """Set the buttons of the message that an interaction came from, or remove them, and its text if it is given."""
    done = interaction.response.is_done()
    edit = interaction.edit_original_response if done else interaction.response.edit_message
    await _taken(interaction, edit(content=sentence, view=view))


async def respond_public(interaction: discord.Interaction, sentence: str) -> None:
    """Answer for everybody to see.

    A deferred answer is private, so after that the sentence goes to the channel as a message of its own.
    """
    deferred = interaction.response.is_done()
    if not deferred and await _taken(
        interaction, interaction.response.send_message(sentence, silent=True, suppress_embeds=True)
    ):
        return
    if not await send(interaction, sentence):
        await respond_ephemeral(interaction, sentence)
    elif deferred:
        await _taken(interaction, interaction.delete_original_response())


async def send(interaction: discord.Interaction, sentence: str) -> bool:
    """Send a message to the channel of an interaction. Returns False if Discord did not take it."""
    channel = interaction.client.get_partial_messageable(interaction.channel_id or 0)
    return await _taken(interaction, channel.send(sentence, silent=True, suppress_embeds=True))


async def _taken(interaction: discord.Interaction, call: Awaitable[object]) -> bool:
    """Make a call and return whether Discord took it. An error is only logged: what the user asked for is done."""
    name = interaction.command.qualified_name if interaction.command else "a press"
    try:
        with platform_errors():
            await call
    except PlatformError as error:
        log.warning("%s in channel %s could not be answered: %s", name, interaction.channel_id, error)
        return False
    except Exception:
        # discord.py also raises errors of its own, for example for an answer of Discord's that it cannot read.
        log.exception("%s in channel %s could not be answered", name, interaction.channel_id)
        return False
    return True


Submitted = Callable[[discord.Interaction, str], Awaitable[None]]
"""Handles a submitted form of one text field and gets its text."""


class Forms:
    """Routes submitted forms by the beginning of their custom id, up to a colon.

    discord.py itself routes a form only to the `Modal` object that opened it, which is lost at a restart.
    """

    def __init__(self) -> None:
        self._submitted: dict[str, Submitted] = {}

    def register(self, name: str, submitted: Submitted) -> None:
        """Route forms whose custom id begins with a name to `submitted`."""
        self._submitted[name] = submitted

    async def dispatch(self, interaction: discord.Interaction) -> None:
        """Route an interaction if it is a registered form."""
        data: Any = interaction.data
        if interaction.type is discord.InteractionType.modal_submit:
            submitted = self._submitted.get(data["custom_id"].partition(":")[0])
            if submitted is not None:
                [text] = [label["component"]["value"] for label in data["components"]]
                await submitted(interaction, text)

"""What anybody may do with a conversation: /reset and /stop."""

from __future__ import annotations

import logging
from contextlib import suppress

import discord

from bot import phrases
from bot.discord_bot.commands.tools import FAILED, Tools, Tree, answer, in_time
from bot.discord_bot.prompts import conversation_key
from bot.discord_bot.replies import shown_name
from bot.errors import StoreError
from bot.phrases import access as words

log = logging.getLogger(__name__)


def add(tree: Tree, tools: Tools) -> None:
    """Add the commands of this module."""

    @tree.command(description="Forget this conversation: everything said with me in this channel, thread or DM.")
    async def reset(interaction: discord.Interaction) -> None:
        if await _denied(interaction, tools):
            return
        name = shown_name(interaction.user)
        key = conversation_key(interaction.channel_id or 0)
        try:
            # Wiping a large database takes its time.
            forgotten = await in_time(interaction, tools.conversations.forget(key, name), ephemeral=False)
            sentence = phrases.was_reset(name, forgotten.exchanges)
        except StoreError as error:
            log.error("channel %s could not be forgotten: %s", interaction.channel_id, error)
            sentence = phrases.NOT_RESET
        if not await answer(interaction, sentence, ephemeral=False):
            channel = tools.client.get_partial_messageable(interaction.channel_id or 0)
            with suppress(*FAILED):
                await channel.send(sentence, silent=True, suppress_embeds=True)

    @tree.command(description="Stop my replies to you here; moderators stop all of them.")
    async def stop(interaction: discord.Interaction) -> None:
        if await _denied(interaction, tools):
            return
        count = tools.replies.stop(interaction)
        await answer(interaction, phrases.stopped(count) if count else phrases.NOTHING_TO_STOP)


async def _denied(interaction: discord.Interaction, tools: Tools) -> bool:
    """Whether somebody may not touch a server's conversations; then they have been told."""
    try:
        denied = await tools.gate.denied_to_person(interaction)
    except StoreError as error:
        log.error("whether %d is blocked is not known: %s", interaction.user.id, error)
        return False
    if denied is None:
        return False
    await answer(interaction, words.denied(denied))
    return True

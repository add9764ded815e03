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

log = logging.getLogger(__name__)


def add(tree: Tree, tools: Tools) -> None:
    """Add the commands of this module."""

    @tree.command(description="Forget this conversation: everything said with me in this channel, thread or DM.")
    async def reset(interaction: discord.Interaction) -> None:
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
        count = tools.replies.stop(interaction)
        await answer(interaction, phrases.stopped(count) if count else phrases.NOTHING_TO_STOP)

"""What everybody may do with a conversation: /reset and /stop."""

from __future__ import annotations

import logging

import discord
from discord import app_commands
from discord.ext.commands import Cog

from bot import texts
from bot.core.errors import StoreError
from bot.discord_bot.channels import moderates
from bot.discord_bot.commands.context import BotContext, place
from bot.discord_bot.interactions.responses import defer_if_slow, respond_ephemeral, respond_public, run_or_report
from bot.discord_bot.names import shown_name
from bot.texts import access as words

log = logging.getLogger(__name__)


class ConversationCommands(Cog):
    """/reset and /stop."""

    def __init__(self, bot: BotContext) -> None:
        self._bot = bot

    @app_commands.command(
        description="Forget this conversation: everything said with me in this channel, thread or DM."
    )
    async def reset(self, interaction: discord.Interaction) -> None:
        done = await run_or_report(interaction, self._reset(interaction), failed=texts.NOT_RESET, doing="a reset")
        if done is not None:
            sentence, public = done
            await (respond_public if public else respond_ephemeral)(interaction, sentence)

    async def _reset(self, interaction: discord.Interaction) -> tuple[str, bool]:
        """Forget the conversation. Returns the answer, and whether everybody is to see it."""
        if denied := await self._denied(interaction):
            return denied, False
        name = shown_name(interaction.user)
        forgotten = await self._bot.conversations.forget(place(interaction).conversation, name)
        return (texts.was_reset(name, len(forgotten)), True) if forgotten else (texts.NOTHING_TO_FORGET, False)

    @app_commands.command(description="Stop my replies to you here; moderators stop all of them.")
    async def stop(self, interaction: discord.Interaction) -> None:
        await respond_ephemeral(interaction, await defer_if_slow(interaction, self._stop(interaction)))

    async def _stop(self, interaction: discord.Interaction) -> str:
        if denied := await self._denied(interaction):
            return denied
        count = self._bot.replies.stopping.stop(
            interaction.channel_id or 0,
            None if moderates(interaction) else interaction.user.id,
            shown_name(interaction.user),
        )
        return texts.stopped(count) if count else texts.NOTHING_TO_STOP

    async def _denied(self, interaction: discord.Interaction) -> str | None:
        """Why the user may not use the command, or None if they may or the store cannot tell."""
        try:
            denied = await self._bot.policy.check_user(interaction)
        except StoreError as error:
            log.error("whether %d is blocked is not known: %s", interaction.user.id, error)
            return None
        return None if denied is None else words.denied(denied)

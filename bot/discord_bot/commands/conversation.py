"""What anybody may do with a conversation: /reset and /stop."""

from __future__ import annotations

import logging

import discord

from bot import texts
from bot.core.errors import StoreError
from bot.discord_bot.commands.context import BotContext, Tree, place
from bot.discord_bot.interactions.responses import (
    defer_if_slow,
    moderates,
    respond_ephemeral,
    respond_public,
    run_or_report,
)
from bot.discord_bot.names import shown_name
from bot.texts import access as words

log = logging.getLogger(__name__)


def add(tree: Tree, tools: BotContext) -> None:
    """Add the commands of this module."""

    @tree.command(description="Forget this conversation: everything said with me in this channel, thread or DM.")
    async def reset(interaction: discord.Interaction) -> None:
        name = shown_name(interaction.user)

        async def work() -> tuple[str, bool]:
            """What to say, and whether to everybody."""
            if denied := await _denied(interaction, tools):
                return denied, False
            forgotten = await tools.conversations.forget(place(interaction).conversation, name)
            return (texts.was_reset(name, len(forgotten)), True) if forgotten else (texts.NOTHING_TO_FORGET, False)

        done = await run_or_report(interaction, work(), failed=texts.NOT_RESET, doing="a reset")
        if done is not None:
            sentence, aloud = done
            await (respond_public if aloud else respond_ephemeral)(interaction, sentence)

    @tree.command(description="Stop my replies to you here; moderators stop all of them.")
    async def stop(interaction: discord.Interaction) -> None:
        async def work() -> str:
            if denied := await _denied(interaction, tools):
                return denied
            count = tools.replies.stopping.stop(
                interaction.channel_id or 0,
                None if moderates(interaction) else interaction.user.id,
                shown_name(interaction.user),
            )
            return texts.stopped(count) if count else texts.NOTHING_TO_STOP

        await respond_ephemeral(interaction, await defer_if_slow(interaction, work()))


async def _denied(interaction: discord.Interaction, tools: BotContext) -> str | None:
    """Why somebody may not touch a server's conversations. None: they may, as far as that is known."""
    try:
        denied = await tools.gate.check_user(interaction)
    except StoreError as error:
        log.error("whether %d is blocked is not known: %s", interaction.user.id, error)
        return None
    return None if denied is None else words.denied(denied)

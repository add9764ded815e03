"""What anybody may do with a conversation: /reset and /stop."""

from __future__ import annotations

import logging

import discord

from bot import phrases
from bot.discord_bot.commands.tools import Tools, Tree, place
from bot.discord_bot.interactions import announce, answer, attempt, in_time
from bot.discord_bot.names import shown_name
from bot.errors import StoreError
from bot.phrases import access as words

log = logging.getLogger(__name__)


def add(tree: Tree, tools: Tools) -> None:
    """Add the commands of this module."""

    @tree.command(description="Forget this conversation: everything said with me in this channel, thread or DM.")
    async def reset(interaction: discord.Interaction) -> None:
        name = shown_name(interaction.user)

        async def work() -> tuple[str, bool]:
            """What to say, and whether to everybody."""
            if denied := await _denied(interaction, tools):
                return denied, False
            forgotten = await tools.conversations.forget(place(interaction).conversation, name)
            return (phrases.was_reset(name, len(forgotten)), True) if forgotten else (phrases.NOTHING_TO_FORGET, False)

        done = await attempt(interaction, work(), failed=phrases.NOT_RESET, doing="a reset")
        if done is not None:
            sentence, aloud = done
            await (announce if aloud else answer)(interaction, sentence)

    @tree.command(description="Stop my replies to you here; moderators stop all of them.")
    async def stop(interaction: discord.Interaction) -> None:
        async def work() -> str:
            if denied := await _denied(interaction, tools):
                return denied
            count = tools.replies.stop(interaction)
            return phrases.stopped(count) if count else phrases.NOTHING_TO_STOP

        await answer(interaction, await in_time(interaction, work()))


async def _denied(interaction: discord.Interaction, tools: Tools) -> str | None:
    """Why somebody may not touch a server's conversations. None: they may, as far as that is known."""
    try:
        denied = await tools.gate.denied_to_person(interaction)
    except StoreError as error:
        log.error("whether %d is blocked is not known: %s", interaction.user.id, error)
        return None
    return None if denied is None else words.denied(denied)

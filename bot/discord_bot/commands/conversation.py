"""What everybody may do with a conversation: /reset and /stop."""

from __future__ import annotations

import logging
import re

import discord
from discord import app_commands
from discord.ext.commands import Cog
from discord.utils import MISSING

from bot import texts
from bot.core.errors import StoreError
from bot.discord_bot.channels import moderates
from bot.discord_bot.commands.context import BotContext, place, where_served
from bot.discord_bot.delivery import buttons
from bot.discord_bot.interactions.responses import (
    defer_if_slow,
    respond_ephemeral,
    respond_public,
    run_or_report,
    send,
    update,
)
from bot.discord_bot.names import shown_name
from bot.texts import access as words

log = logging.getLogger(__name__)

_CHOICE = re.compile(r"reset:(?P<whose>mine|all)")
_OTHERS_QUESTIONS = 20
"""Questions of others that anybody in a server may have forgotten without being asked first."""


class ConversationCommands(Cog):
    """/reset and /stop."""

    def __init__(self, bot: BotContext) -> None:
        self._bot = bot
        buttons.listen(bot.client, _CHOICE, where_served(bot.policy, self._chosen))

    @app_commands.command(
        description="Forget this conversation: everything said with me in this channel, thread or DM."
    )
    @app_commands.describe(only_for_me="Only what you asked with /ask here for nobody else to see.")
    async def reset(self, interaction: discord.Interaction, only_for_me: bool = False) -> None:
        work = self._reset_own(interaction) if only_for_me else self._reset(interaction)
        done = await run_or_report(interaction, work, failed=texts.NOT_RESET, doing="a reset")
        if done is not None:
            sentence, view = done
            if view is None:
                await respond_public(interaction, sentence)
            else:
                await respond_ephemeral(interaction, sentence, view=view)

    async def _reset(self, interaction: discord.Interaction) -> tuple[str, discord.ui.View | None]:
        """Forget the conversation, or ask first. Returns the answer, and for a private one its buttons."""
        if denied := await self._denied(interaction):
            return denied, MISSING
        user, here = interaction.user, place(interaction).conversation
        if interaction.guild_id is not None and not _opened_by(interaction.channel, user.id):
            shares = await self._bot.store.conversations.shares(here, user.id)
            if shares.questions - shares.own > _OTHERS_QUESTIONS:
                all_too = moderates(interaction)
                sentence = texts.confirm_reset(shares.questions, shares.people, own=shares.own, may_forget_all=all_too)
                return sentence, _choices(own=shares.own > 0, everything=all_too)
        name = shown_name(user)
        forgotten = await self._bot.conversations.forgetting.forget(here, name)
        return (texts.was_reset(name, len(forgotten)), None) if forgotten else (texts.NOTHING_TO_FORGET, MISSING)

    async def _reset_own(self, interaction: discord.Interaction) -> tuple[str, discord.ui.View]:
        """Forget what a user asked for nobody else to see. It is theirs, so nothing forbids that."""
        here = place(interaction, only_for_me=True).conversation
        forgotten = await self._bot.conversations.forgetting.forget(here, shown_name(interaction.user))
        return texts.forgotten_private(len(forgotten)) if forgotten else texts.NOTHING_TO_FORGET, MISSING

    async def _chosen(self, interaction: discord.Interaction, id_: re.Match[str]) -> None:
        everything = id_["whose"] == "all"
        if denied := await self._denied(interaction):
            await respond_ephemeral(interaction, denied)
            return
        if everything and not moderates(interaction):
            await respond_ephemeral(interaction, texts.NOT_YOURS_TO_RESET)
            return
        user, name, here = interaction.user, shown_name(interaction.user), place(interaction).conversation
        forgetting = self._bot.conversations.forgetting
        work = forgetting.forget(here, name) if everything else forgetting.forget_own(here, user.id, name)
        forgotten = await run_or_report(interaction, work, failed=texts.NOT_RESET, doing="a reset")
        if forgotten is None:
            return
        if not forgotten:
            await update(interaction, texts.NOTHING_TO_FORGET)
        elif everything:
            await update(interaction, texts.FORGOTTEN_ALL)
            await send(interaction, texts.was_reset(name, len(forgotten)))
        else:
            await update(interaction, texts.forgotten_own(len(forgotten)))

    @app_commands.command(description="Stop my replies to you here; moderators stop all of them.")
    async def stop(self, interaction: discord.Interaction) -> None:
        await respond_ephemeral(interaction, await defer_if_slow(interaction, self._stop(interaction)))

    async def _stop(self, interaction: discord.Interaction) -> str:
        if denied := await self._denied(interaction):
            return denied
        stopping, name = self._bot.replies.stopping, shown_name(interaction.user)
        here, own = place(interaction), place(interaction, only_for_me=True)
        count = stopping.stop(here.conversation, None if moderates(interaction) else interaction.user.id, name)
        count += stopping.stop(own.conversation, None, name)
        return texts.stopped(count) if count else texts.NOTHING_TO_STOP

    async def _denied(self, interaction: discord.Interaction) -> str | None:
        """Why the user may not use the command, or None if they may or the store cannot tell."""
        try:
            denied = await self._bot.policy.check_user(interaction)
        except StoreError as error:
            log.error("could not check whether %d is blocked: %s", interaction.user.id, error)
            return None
        return None if denied is None else words.denied(denied)


def _opened_by(channel: object, user_id: int) -> bool:
    return isinstance(channel, discord.Thread) and channel.owner_id == user_id


def _choices(*, own: bool, everything: bool) -> discord.ui.View:
    mine = discord.ui.Button[discord.ui.View](label=texts.FORGET_MINE, custom_id="reset:mine")
    all_ = discord.ui.Button[discord.ui.View](
        label=texts.FORGET_ALL, style=discord.ButtonStyle.danger, custom_id="reset:all"
    )
    offered = [*([mine] if own else []), *([all_] if everything else [])]
    return buttons.row(*offered) if offered else MISSING

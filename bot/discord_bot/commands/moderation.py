"""What the moderators of a guild decide beside /server: /block, /unblock, /pause and /resume.

The permissions of these commands are not checked here. Discord shows the commands only to members who may manage the
guild, or whom the guild's own settings allow them.
"""

from __future__ import annotations

import re
import time
from collections.abc import Coroutine

import discord
from discord import app_commands
from discord.ext.commands import Cog

from bot.core.access import GuildRules
from bot.discord_bot.commands.context import BotContext, for_moderators, where_served
from bot.discord_bot.delivery import buttons
from bot.discord_bot.interactions.responses import respond_ephemeral, run_or_report, update
from bot.discord_bot.names import shown_name
from bot.texts import access as words

_CONFIRMATION = re.compile(r"block:(?P<user_id>[0-9]{1,19}):(?P<until>[0-9]{1,12})")
_HOUR = 3600
_YEAR_IN_HOURS = 8760


class ModerationCommands(Cog):
    """/block, /unblock, /pause and /resume."""

    def __init__(self, bot: BotContext) -> None:
        self._bot = bot
        buttons.listen(bot.client, _CONFIRMATION, where_served(bot.policy, self._confirmed))

    @app_commands.command(description="Stop answering in this server until /resume.")
    @for_moderators
    async def pause(self, interaction: discord.Interaction) -> None:
        await _answer(interaction, self._pause(interaction))

    async def _pause(self, interaction: discord.Interaction) -> str:
        paused = await self._bot.store.guild_rules.pause(_guild_id(interaction), by=interaction.user.id)
        self._bot.replies.stopping.stop_waiting(_guild_id(interaction), shown_name(interaction.user))
        return words.PAUSED if paused else words.PAUSED_ALREADY

    @app_commands.command(description="Answer again after /pause.")
    @for_moderators
    async def resume(self, interaction: discord.Interaction) -> None:
        await _answer(interaction, self._resume(interaction))

    async def _resume(self, interaction: discord.Interaction) -> str:
        rules = await self._rules(interaction)
        resumed = await self._bot.store.guild_rules.resume(_guild_id(interaction))
        return words.resumed(rules.channels) if resumed else words.NOT_PAUSED

    @app_commands.command(description="Stop answering someone in this server.")
    @app_commands.describe(
        member="Who to block. If they have left, paste their id.",
        hours="For how many hours; without it, until /unblock.",
    )
    @for_moderators
    async def block(
        self,
        interaction: discord.Interaction,
        member: discord.User,
        hours: app_commands.Range[int, 1, _YEAR_IN_HOURS] | None = None,
    ) -> None:
        until = None if hours is None else int(time.time()) + hours * _HOUR
        if member.id == interaction.application_id:
            await respond_ephemeral(interaction, words.THATS_ME)
        elif member.bot:
            await respond_ephemeral(interaction, words.A_BOT)
        elif member.id == interaction.user.id or _is_as_high(member, interaction.user):
            sure = words.confirm_block(member.id, oneself=member.id == interaction.user.id)
            await respond_ephemeral(interaction, sure, view=_confirmation(member.id, until))
        else:
            await _answer(interaction, self._block(interaction, member.id, until))

    async def _confirmed(self, interaction: discord.Interaction, id_: re.Match[str]) -> None:
        """Block whom the button names; who presses may have lost the right to since they were asked."""
        if not interaction.permissions.manage_guild:
            await respond_ephemeral(interaction, words.NOT_A_MODERATOR)
            return
        until = int(id_["until"]) or None
        blocking = self._block(interaction, int(id_["user_id"]), until)
        sentence = await run_or_report(interaction, blocking, failed=words.NOT_SAVED, doing="a moderators' command")
        if sentence is not None:
            await update(interaction, sentence)

    async def _block(self, interaction: discord.Interaction, user_id: int, until: int | None) -> str:
        await self._bot.store.guild_rules.block(_guild_id(interaction), user_id, until, by=interaction.user.id)
        self._bot.replies.stopping.stop_user(user_id, _guild_id(interaction), shown_name(interaction.user))
        return words.blocked(user_id, until)

    @app_commands.command(description="Answer someone again after /block.")
    @app_commands.describe(member="Who to unblock. If they have left, paste their id.")
    @for_moderators
    async def unblock(self, interaction: discord.Interaction, member: discord.User) -> None:
        await _answer(interaction, self._unblock(interaction, member))

    async def _unblock(self, interaction: discord.Interaction, member: discord.User) -> str:
        unblocked = await self._bot.store.guild_rules.unblock(_guild_id(interaction), member.id)
        return words.unblocked(member.id) if unblocked else words.not_blocked(member.id)

    async def _rules(self, interaction: discord.Interaction) -> GuildRules:
        return await self._bot.store.guild_rules.rules_for(_guild_id(interaction), interaction.user.id)


async def _answer(
    interaction: discord.Interaction, work: Coroutine[object, object, str], failed: str = words.NOT_SAVED
) -> None:
    """Answer in private with the result of `work`, or with `failed` if the store fails."""
    sentence = await run_or_report(interaction, work, failed=failed, doing="a moderators' command")
    if sentence is not None:
        await respond_ephemeral(interaction, sentence)


def _is_as_high(member: discord.User | discord.Member, moderator: discord.User | discord.Member) -> bool:
    """Whether a member's highest role is not below a moderator's. Nobody is as high as the owner of the guild."""
    if not isinstance(member, discord.Member) or not isinstance(moderator, discord.Member):
        return False
    if moderator.id == member.guild.owner_id:
        return False
    return member.id == member.guild.owner_id or member.top_role >= moderator.top_role


def _confirmation(user_id: int, until: int | None) -> discord.ui.View:
    id_ = f"block:{user_id}:{until or 0}"
    return buttons.row(discord.ui.Button(label=words.BLOCK, style=discord.ButtonStyle.danger, custom_id=id_))


def _guild_id(interaction: discord.Interaction) -> int:
    """The guild of a command that Discord offers only in guilds."""
    return interaction.guild_id or 0

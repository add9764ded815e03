"""What a user or a guild has used of the bot: /usage."""

from __future__ import annotations

import time

import discord
from discord import app_commands
from discord.ext.commands import Cog

from bot.core.quotas import Quotas
from bot.core.usage import DAY, grouped
from bot.discord_bot.commands.context import BotContext
from bot.discord_bot.interactions.responses import respond_ephemeral, run_or_report
from bot.texts import usage as words
from bot.texts.privacy import UNREACHABLE

_DAYS = 30
"""Days that the totals cover, today included."""


class UsageCommand(Cog):
    """/usage."""

    def __init__(self, bot: BotContext) -> None:
        self._bot = bot

    @app_commands.command(description="See how much you've used: questions, tokens, and what is left.")
    @app_commands.describe(whose="mine, or server for all of this server (for moderators). Left out: mine.")
    async def usage(self, interaction: discord.Interaction, whose: str = words.MINE) -> None:
        quotas = self._bot.conversations.settings.quotas
        chosen = whose.strip().casefold()
        if quotas is None:
            await respond_ephemeral(interaction, words.NOT_COUNTED)
        elif chosen not in (words.MINE, words.SERVER):
            await respond_ephemeral(interaction, words.WHOSE)
        elif chosen == words.SERVER and interaction.guild_id is None:
            await respond_ephemeral(interaction, words.NO_SERVER_HERE)
        elif chosen == words.SERVER and not interaction.permissions.manage_guild:
            await respond_ephemeral(interaction, words.NOT_FOR_YOU)
        else:
            read = self._of_user if chosen == words.MINE else self._of_guild
            work = read(interaction, quotas)
            sentences = await run_or_report(interaction, work, failed=UNREACHABLE, doing="reading the usage")
            if sentences is not None:
                await respond_ephemeral(interaction, sentences)

    @usage.autocomplete("whose")
    async def _offer(self, interaction: discord.Interaction, typed: str) -> list[app_commands.Choice[str]]:
        moderator = interaction.guild_id is not None and interaction.permissions.manage_guild
        offered = [words.MINE, words.SERVER] if moderator else [words.MINE]
        return [
            app_commands.Choice(name=words.whose(each), value=each)
            for each in offered
            if typed.casefold().strip() in words.whose(each)
        ]

    async def _of_user(self, interaction: discord.Interaction, quotas: Quotas) -> str:
        today = int(time.time()) // DAY
        store, prices = self._bot.store, self._bot.options.prices
        return words.own_usage(
            await store.quotas.usage_today(interaction.user.id, interaction.guild_id),
            quotas,
            prices.total(await store.usage.by_day(today - _DAYS + 1, user_id=interaction.user.id)),
            resets_at=(today + 1) * DAY,
            in_guild=interaction.guild_id is not None,
        )

    async def _of_guild(self, interaction: discord.Interaction, quotas: Quotas) -> str:
        today = int(time.time()) // DAY
        store, prices = self._bot.store, self._bot.options.prices
        rows = await store.usage.by_day(today - _DAYS + 1, guild_id=interaction.guild_id)
        users = grouped((row for row in rows if row.user_id is not None), lambda row: row.user_id or 0)
        return words.guild_usage(
            await store.quotas.usage_today(guild_id=interaction.guild_id),
            quotas,
            prices.total(rows),
            {model: sum(row.tokens for row in each) for model, each in grouped(rows, lambda row: row.model).items()},
            {user_id: sum(row.tokens for row in each) for user_id, each in users.items()},
            resets_at=(today + 1) * DAY,
        )

"""What people choose about themselves: /settings, a private message with buttons."""

from __future__ import annotations

import re

import discord
from discord import app_commands
from discord.ext.commands import Cog

from bot.core.records import PersonSettings, Ping
from bot.discord_bot.commands.context import BotContext
from bot.discord_bot.delivery import buttons
from bot.discord_bot.interactions.responses import respond_ephemeral, run_or_report, update
from bot.texts import person_settings as words
from bot.texts.channel_settings import NOT_CHANGED
from bot.texts.privacy import UNREACHABLE

_LEAVE_OUT = re.compile(r"settings:leave-out:(?P<choice>0|1)")
_PING = re.compile(rf"settings:ping:(?P<choice>{'|'.join(Ping)})")


class SettingsCommand(Cog):
    """/settings. A press sets what its button says, for whoever presses it: only they see the message."""

    def __init__(self, bot: BotContext) -> None:
        self._settings = bot.store.person_settings
        buttons.listen(bot.client, _LEAVE_OUT, self._leave_out_pressed)
        buttons.listen(bot.client, _PING, self._ping_pressed)

    @app_commands.command(description="Choose what I do with your recent messages, and when my answers ping you.")
    async def settings(self, interaction: discord.Interaction) -> None:
        work = self._settings.of(interaction.user.id)
        chosen = await run_or_report(interaction, work, failed=UNREACHABLE, doing="reading a person's settings")
        if chosen is not None:
            await respond_ephemeral(interaction, words.shown(chosen), view=_buttons(chosen))

    async def _leave_out_pressed(self, interaction: discord.Interaction, id_: re.Match[str]) -> None:
        await self._choose(interaction, leave_out=id_["choice"] == "1")

    async def _ping_pressed(self, interaction: discord.Interaction, id_: re.Match[str]) -> None:
        await self._choose(interaction, ping=Ping(id_["choice"]))

    async def _choose(
        self, interaction: discord.Interaction, *, leave_out: bool | None = None, ping: Ping | None = None
    ) -> None:
        work = self._saved(interaction.user.id, leave_out, ping)
        chosen = await run_or_report(interaction, work, failed=NOT_CHANGED, doing="saving a person's settings")
        if chosen is not None:
            await update(interaction, words.shown(chosen), view=_buttons(chosen))

    async def _saved(self, user_id: int, leave_out: bool | None, ping: Ping | None) -> PersonSettings:
        if leave_out is not None:
            await self._settings.set_leave_out(user_id, leave_out)
        if ping is not None:
            await self._settings.set_ping(user_id, ping)
        return await self._settings.of(user_id)


def _buttons(chosen: PersonSettings) -> discord.ui.View:
    """One row for each choice. What is chosen stands out, and cannot be pressed."""
    leave_out = [
        _choice(words.LEAVE_OUT[choice], f"settings:leave-out:{choice:d}", 0, chosen=chosen.leave_out is choice)
        for choice in (False, True)
    ]
    ping = [
        _choice(words.PING[choice], f"settings:ping:{choice.value}", 1, chosen=chosen.ping is choice) for choice in Ping
    ]
    return buttons.row(*leave_out, *ping)


def _choice(label: str, custom_id: str, row: int, *, chosen: bool) -> discord.ui.Button[discord.ui.View]:
    style = discord.ButtonStyle.primary if chosen else discord.ButtonStyle.secondary
    return discord.ui.Button(label=label, custom_id=custom_id, style=style, disabled=chosen, row=row)

"""How the bot behaves in a channel, a thread or a DM: /persona, with its buttons and its form."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Sequence

import discord
from discord import app_commands
from discord.ext.commands import Cog
from discord.utils import MISSING

from bot.core.errors import StoreError
from bot.core.records import EffectiveBehaviour
from bot.core.turns import PERSONA_LENGTH, is_blank
from bot.discord_bot.channels import channel_of
from bot.discord_bot.commands.context import BotContext, Place, place, where_served
from bot.discord_bot.commands.verbatim import verbatim
from bot.discord_bot.delivery import buttons
from bot.discord_bot.delivery.messages import REQUEST_ERRORS
from bot.discord_bot.interactions.responses import respond_ephemeral, run_or_report, send, update
from bot.discord_bot.names import shown_name
from bot.texts import persona as words
from bot.texts.channel_settings import AS_BEFORE, NOT_CHANGED
from bot.texts.privacy import UNREACHABLE

log = logging.getLogger(__name__)

READ_WITHIN = 1.5
"""Seconds until the form is given up: Discord takes a form only as the first answer, so it cannot be deferred."""

_BUTTONS = re.compile(r"persona:(?P<action>change|clear)")
_FORM = "persona"
_READING = "reading the behaviour"
_SAVING = "saving the behaviour"


class PersonaCommand(Cog):
    """/persona."""

    def __init__(self, bot: BotContext) -> None:
        self._bot = bot
        buttons.listen(bot.client, _BUTTONS, where_served(bot.policy, self._pressed))
        bot.forms.register(_FORM, where_served(bot.policy, self._submitted))

    @app_commands.command(description="See how I'm told to behave here. Moderators can change it; in a DM, you can.")
    async def persona(self, interaction: discord.Interaction) -> None:
        here = place(interaction)
        reading = self._bot.store.personas.effective_settings(here.conversation, here.parent)
        layers = await run_or_report(interaction, reading, failed=UNREACHABLE, doing=_READING)
        if layers is None:
            return
        text, own = layers.in_force.persona, layers.own.persona is not None
        if text is None:
            shown = [words.no_persona(here.label)]
        else:
            shown = verbatim(text, words.persona(here.label, inherited=not own))
        await _show(interaction, shown, _buttons(clear=own) if _may_change(interaction) else MISSING)

    async def _pressed(self, interaction: discord.Interaction, id_: re.Match[str]) -> None:
        if id_["action"] == "change":
            await self._open_form(interaction)
        else:
            await self._change(interaction, None)

    async def _open_form(self, interaction: discord.Interaction) -> None:
        if not _may_change(interaction):
            await respond_ephemeral(interaction, words.NOT_ALLOWED)
            return
        here = place(interaction)
        try:
            async with asyncio.timeout(READ_WITHIN):
                behaviour = await self._bot.store.personas.settings_of(here.conversation, here.parent)
        except (StoreError, TimeoutError) as error:
            log.error("%s in channel %s failed: %r", _READING, interaction.channel_id, error)
            await respond_ephemeral(interaction, UNREACHABLE)
            return
        try:
            await interaction.response.send_modal(_form(behaviour.persona))
        except REQUEST_ERRORS as error:
            log.warning("the form for a persona could not be shown: %s", error)

    async def _submitted(self, interaction: discord.Interaction, text: str) -> None:
        await self._change(interaction, None if is_blank(text) else text.strip())

    async def _change(self, interaction: discord.Interaction, text: str | None) -> None:
        """Set the persona of a place, or clear it (None), and say so."""
        if not _may_change(interaction):
            await respond_ephemeral(interaction, words.NOT_ALLOWED)
            return
        if text is not None and len(text) > PERSONA_LENGTH:
            await respond_ephemeral(interaction, words.persona_too_long(len(text), PERSONA_LENGTH))
            return
        here = place(interaction)
        saved = await run_or_report(interaction, self._save(here, text), failed=NOT_CHANGED, doing=_SAVING)
        if saved is None:
            return
        layers, changed = saved
        inherits = layers.inherited.persona is not None
        if not changed and text is None and here.parent is not None and inherits:
            await respond_ephemeral(interaction, words.persona_inherited(channel_of(here.parent)))
        elif not changed:
            await respond_ephemeral(interaction, AS_BEFORE)
        else:
            cleared = words.persona_cleared(here.label, inherits=inherits)
            await update(interaction, cleared if text is None else words.persona_set(here.label))
            if here.guild_id is not None:
                # A follow-up would look to others like an answer to a message that they cannot see.
                await send(interaction, words.persona_changed(shown_name(interaction.user)))

    async def _save(self, here: Place, text: str | None) -> tuple[EffectiveBehaviour, bool]:
        """Save a persona. Returns what was in force before, and whether that has changed."""
        store = self._bot.store
        layers = await store.personas.effective_settings(here.conversation, here.parent)
        if text == layers.in_force.persona:
            return layers, False
        return layers, await store.personas.set_persona(here.conversation, here.guild_id, text, user_id=here.user_id)


def _may_change(interaction: discord.Interaction) -> bool:
    return interaction.guild_id is None or interaction.permissions.manage_guild


def _buttons(*, clear: bool) -> discord.ui.View:
    change = discord.ui.Button[discord.ui.View](label=words.CHANGE, custom_id="persona:change")
    clear_ = discord.ui.Button[discord.ui.View](label=words.CLEAR, custom_id="persona:clear")
    return buttons.row(change, clear_) if clear else buttons.row(change)


def _form(text: str | None) -> discord.ui.Modal:
    form = discord.ui.Modal(title=words.FORM, custom_id=_FORM)
    form.add_item(
        discord.ui.Label(
            text=words.FIELD,
            description=words.FIELD_HELP,
            component=discord.ui.TextInput(
                style=discord.TextStyle.paragraph,
                custom_id="text",
                placeholder=words.FIELD_EXAMPLE,
                default=text,
                required=False,
                max_length=PERSONA_LENGTH,
            ),
        )
    )
    # A form that is not finished would stay in discord.py's memory; `Forms` routes what is submitted.
    form.stop()
    return form


async def _show(interaction: discord.Interaction, messages: Sequence[str], view: discord.ui.View) -> None:
    """Show messages in private, with a view (or MISSING) under the last one."""
    *before, last = messages
    for each in before:
        if not await respond_ephemeral(interaction, each):
            return
    await respond_ephemeral(interaction, last, view=view)

"""How the bot behaves in a channel, a thread or a DM: /persona and /model."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Sequence

import discord
from discord import app_commands
from discord.utils import MISSING

from bot.core.errors import StoreError
from bot.core.records import EffectiveBehaviour
from bot.core.turns import is_blank
from bot.discord_bot.commands.context import BotContext, Place, Tree, place
from bot.discord_bot.commands.verbatim import verbatim
from bot.discord_bot.delivery import buttons
from bot.discord_bot.delivery.messages import REQUEST_ERRORS
from bot.discord_bot.ids import channel_of
from bot.discord_bot.interactions.responses import respond_ephemeral, respond_public, run_or_report, send, update
from bot.discord_bot.names import shown_name
from bot.texts import persona as words
from bot.texts.privacy import UNREACHABLE

log = logging.getLogger(__name__)

PERSONA_LENGTH = 4000
"""Characters; as many as Discord lets a text input have."""

READ_WITHIN = 1.5
"""Seconds until the form is given up: it has to be the first answer, so it cannot be put off."""

_BUTTONS = re.compile(r"persona:(?P<act>change|clear)")
_FORM = "persona"
_DEFAULT = "default"
_READING = "reading the behaviour"
_SAVING = "saving the behaviour"
_MOST_CHOICES = 25
_LONGEST_CHOICE = 100
"""Discord's limits on what an option offers."""


def add(tree: Tree, tools: BotContext) -> None:
    """Add the commands of this module, and have the persona's buttons and form told to it."""
    _add_persona(tree, tools)
    _add_model(tree, tools)


def _add_persona(tree: Tree, tools: BotContext) -> None:
    @tree.command(description="See how I'm told to behave here. Moderators can change it; in a DM, you can.")
    async def persona(interaction: discord.Interaction) -> None:
        here = place(interaction)
        reading = tools.store.personas.effective_settings(here.conversation, here.parent)
        layers = await run_or_report(interaction, reading, failed=UNREACHABLE, doing=_READING)
        if layers is None:
            return
        text, own = layers.in_force.persona, layers.own.persona is not None
        if text is None:
            shown = [words.no_persona(here.label)]
        else:
            shown = verbatim(text, words.persona(here.label, inherited=not own))
        await _show(interaction, shown, _buttons(clear=own) if _may_change(interaction) else MISSING)

    async def open_form(interaction: discord.Interaction) -> None:
        if not _may_change(interaction):
            await respond_ephemeral(interaction, words.NOT_ALLOWED)
            return
        here = place(interaction)
        try:
            async with asyncio.timeout(READ_WITHIN):
                behaviour = await tools.store.personas.settings_of(here.conversation, here.parent)
        except (StoreError, TimeoutError) as error:
            log.error("%s in channel %s failed: %r", _READING, interaction.channel_id, error)
            await respond_ephemeral(interaction, UNREACHABLE)
            return
        try:
            await interaction.response.send_modal(_form(behaviour.persona))
        except REQUEST_ERRORS as error:
            log.warning("the form for a persona could not be shown: %s", error)

    async def change_to(interaction: discord.Interaction, text: str | None) -> None:
        if not _may_change(interaction):
            await respond_ephemeral(interaction, words.NOT_ALLOWED)
            return
        if text is not None and len(text) > PERSONA_LENGTH:
            await respond_ephemeral(interaction, words.persona_too_long(len(text), PERSONA_LENGTH))
            return
        here = place(interaction)
        saving = _store_persona(tools, here, text)
        saved = await run_or_report(interaction, saving, failed=words.NOT_CHANGED, doing=_SAVING)
        if saved is None:
            return
        layers, changed = saved
        inherits = layers.inherited.persona is not None
        if not changed and text is None and here.parent is not None and inherits:
            await respond_ephemeral(interaction, words.persona_inherited(channel_of(here.parent)))
        elif not changed:
            await respond_ephemeral(interaction, words.AS_BEFORE)
        else:
            cleared = words.persona_cleared(here.label, inherits=inherits)
            await update(interaction, cleared if text is None else words.persona_set(here.label))
            if here.guild_id is not None:
                # Not as a follow-up, which others would see as an answer to a message that they cannot see.
                await send(interaction, words.persona_changed(shown_name(interaction.user)))

    async def pressed(interaction: discord.Interaction, id_: re.Match[str]) -> None:
        if id_["act"] == "change":
            await open_form(interaction)
        else:
            await change_to(interaction, None)

    async def submitted(interaction: discord.Interaction, text: str) -> None:
        await change_to(interaction, None if is_blank(text) else text.strip())

    buttons.listen(tools.client, _BUTTONS, pressed)
    tools.forms.register(_FORM, submitted)


def _add_model(tree: Tree, tools: BotContext) -> None:
    terms = tools.conversations.settings
    offered = terms.models

    @tree.command(description="See which model answers here, or choose another one.")
    @app_commands.describe(name="One of the models I have, or default. Leave it out to see which one answers here.")
    @app_commands.default_permissions(manage_guild=True)
    async def model(interaction: discord.Interaction, name: str | None = None) -> None:
        here = place(interaction)
        wanted = None if name is None else _known(name, offered)
        if name is not None and wanted is None:
            typed = discord.utils.escape_markdown(" ".join(name.split())[:_LONGEST_CHOICE])
            await respond_ephemeral(interaction, words.unknown_model(typed, offered))
        elif wanted is None or (len(offered) == 1 and wanted != _DEFAULT):
            await show_model(interaction, here)
        else:
            await choose_model(interaction, here, None if wanted == _DEFAULT else wanted)

    async def show_model(interaction: discord.Interaction, here: Place) -> None:
        reading = tools.store.personas.effective_settings(here.conversation, here.parent)
        layers = await run_or_report(interaction, reading, failed=UNREACHABLE, doing=_READING)
        if layers is None:
            return
        chosen = layers.in_force.model
        sentences = words.model(
            here.label,
            terms.chosen_model(chosen),
            offered,
            inherited=chosen in offered and layers.own.model is None,
            gone=None if chosen in offered else chosen,
        )
        await respond_ephemeral(interaction, sentences)

    async def choose_model(interaction: discord.Interaction, here: Place, chosen: str | None) -> None:
        saving = _store_model(tools, here, chosen)
        saved = await run_or_report(interaction, saving, failed=words.NOT_CHANGED, doing=_SAVING)
        if saved is None:
            return
        layers, changed = saved
        if changed:
            now = terms.chosen_model(layers.inherited.model if chosen is None else chosen)
            await respond_public(interaction, words.model_changed(shown_name(interaction.user), now))
        else:
            await respond_ephemeral(interaction, words.AS_BEFORE)

    @model.autocomplete("name")
    async def offer(interaction: discord.Interaction, typed: str) -> list[app_commands.Choice[str]]:
        here = place(interaction)
        try:
            inherited = (await tools.store.personas.effective_settings(here.conversation, here.parent)).inherited.model
        except StoreError:
            inherited = None
        otherwise = terms.chosen_model(inherited)
        names = {words.default_model(otherwise, inherits=here.parent is not None): _DEFAULT}
        names.update({each: each for each in offered})
        return [
            app_commands.Choice(name=name[:_LONGEST_CHOICE], value=value)
            for name, value in names.items()
            if typed.casefold().strip() in name.casefold() and len(value) <= _LONGEST_CHOICE
        ][:_MOST_CHOICES]


def _may_change(interaction: discord.Interaction) -> bool:
    return interaction.guild_id is None or interaction.permissions.manage_guild


def _known(typed: str, offered: Sequence[str]) -> str | None:
    """The model that a person means, or the word for none in particular."""
    typed = typed.strip()
    alike = [each for each in (*offered, _DEFAULT) if each.casefold() == typed.casefold()]
    return typed if typed in alike else next(iter(alike), None)


async def _store_persona(tools: BotContext, here: Place, text: str | None) -> tuple[EffectiveBehaviour, bool]:
    """What was decided before, and whether this has changed anything."""
    layers = await tools.store.personas.effective_settings(here.conversation, here.parent)
    if text == layers.in_force.persona:
        return layers, False
    return layers, await tools.store.personas.set_persona(
        here.conversation, here.guild_id, text, user_id=here.person_id
    )


async def _store_model(tools: BotContext, here: Place, chosen: str | None) -> tuple[EffectiveBehaviour, bool]:
    """The same for the model."""
    layers = await tools.store.personas.effective_settings(here.conversation, here.parent)
    return layers, await tools.store.personas.set_model(
        here.conversation, here.guild_id, chosen, user_id=here.person_id
    )


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
    form.stop()
    return form


async def _show(interaction: discord.Interaction, messages: Sequence[str], row: discord.ui.View) -> None:
    """Show them privately, with the buttons (or MISSING) under the last one."""
    *before, last = messages
    for each in before:
        if not await respond_ephemeral(interaction, each):
            return
    await respond_ephemeral(interaction, last, view=row)

"""Which model answers in a channel, a thread or a DM: /model."""

from __future__ import annotations

from collections.abc import Sequence

import discord
from discord import app_commands
from discord.ext.commands import Cog

from bot.core.errors import StoreError
from bot.core.records import EffectiveBehaviour
from bot.discord_bot.commands.context import BotContext, Place, place
from bot.discord_bot.interactions.responses import respond_ephemeral, respond_public, run_or_report
from bot.discord_bot.names import shown_name
from bot.texts import model as words
from bot.texts.channel_settings import AS_BEFORE, NOT_CHANGED
from bot.texts.privacy import UNREACHABLE

_DEFAULT = "default"
"""What users type to take a choice back."""
_READING = "reading the behaviour"
_SAVING = "saving the behaviour"
_MAX_CHOICES = 25
"""Choices that Discord shows of an option at most."""
_MAX_CHOICE_LENGTH = 100
"""Characters that Discord lets a choice have."""


class ModelCommand(Cog):
    """/model."""

    def __init__(self, bot: BotContext) -> None:
        self._bot = bot
        self._settings = bot.conversations.settings

    @app_commands.command(description="See which model answers here, or choose another one.")
    @app_commands.describe(name="One of the models I have, or default. Leave it out to see which one answers here.")
    @app_commands.default_permissions(manage_guild=True)
    async def model(self, interaction: discord.Interaction, name: str | None = None) -> None:
        here, offered = place(interaction), self._settings.models
        wanted = None if name is None else self._known(name)
        if name is not None and wanted is None:
            typed = discord.utils.escape_markdown(" ".join(name.split())[:_MAX_CHOICE_LENGTH])
            await respond_ephemeral(interaction, words.unknown_model(typed, self._labels))
        elif wanted is None or (len(offered) == 1 and wanted != _DEFAULT):
            await self._show(interaction, here)
        else:
            await self._choose(interaction, here, None if wanted == _DEFAULT else wanted)

    @model.autocomplete("name")
    async def _offer(self, interaction: discord.Interaction, typed: str) -> list[app_commands.Choice[str]]:
        here = place(interaction)
        try:
            inherited = (
                await self._bot.store.personas.effective_settings(here.conversation, here.parent)
            ).inherited.model
        except StoreError:
            inherited = None
        default = self._settings.chosen_model(inherited)
        names = {words.default_model(self._label(default), inherits=here.parent is not None): _DEFAULT}
        names.update(zip(self._labels, self._settings.models, strict=True))
        return [
            app_commands.Choice(name=name[:_MAX_CHOICE_LENGTH], value=value)
            for name, value in names.items()
            if typed.casefold().strip() in name.casefold() and len(value) <= _MAX_CHOICE_LENGTH
        ][:_MAX_CHOICES]

    async def _show(self, interaction: discord.Interaction, here: Place) -> None:
        reading = self._bot.store.personas.effective_settings(here.conversation, here.parent)
        layers = await run_or_report(interaction, reading, failed=UNREACHABLE, doing=_READING)
        if layers is None:
            return
        chosen, offered = layers.in_force.model, self._settings.models
        sentences = words.model(
            here.label,
            self._label(self._settings.chosen_model(chosen)),
            self._labels,
            inherited=chosen in offered and layers.own.model is None,
            gone=None if chosen is None or chosen in offered else self._label(chosen),
        )
        await respond_ephemeral(interaction, sentences)

    async def _choose(self, interaction: discord.Interaction, here: Place, chosen: str | None) -> None:
        """Choose the model of a place, or take a choice back (None), and say so."""
        saved = await run_or_report(interaction, self._save(here, chosen), failed=NOT_CHANGED, doing=_SAVING)
        if saved is None:
            return
        layers, changed = saved
        if changed:
            now = self._settings.chosen_model(layers.inherited.model if chosen is None else chosen)
            await respond_public(interaction, words.model_changed(shown_name(interaction.user), self._label(now)))
        else:
            await respond_ephemeral(interaction, AS_BEFORE)

    async def _save(self, here: Place, chosen: str | None) -> tuple[EffectiveBehaviour, bool]:
        """Save a choice. Returns what was in force before, and whether that has changed."""
        store = self._bot.store
        layers = await store.personas.effective_settings(here.conversation, here.parent)
        return layers, await store.personas.set_model(here.conversation, here.guild_id, chosen, user_id=here.user_id)

    def _known(self, typed: str) -> str | None:
        """The full name of the model that a user means, or the word `default`; None if there is no such model."""
        typed = typed.strip()
        offered = self._settings.models
        names = {each: each for each in (*offered, _DEFAULT)}
        names = {**dict(zip(self._labels, offered, strict=True)), **names}
        alike = [name for name in names if name.casefold() == typed.casefold()]
        return names[typed] if typed in alike else next((names[name] for name in alike), None)

    def _label(self, model: str) -> str:
        return self._settings.servers.label(model)

    @property
    def _labels(self) -> Sequence[str]:
        """The names that people are shown, in the order of the offered models."""
        return [self._label(each) for each in self._settings.models]

"""What the bot keeps of people: /forget-me deletes a user's own, /export hands it over as a file."""

from __future__ import annotations

import asyncio
import io
import logging
import re
import time

import discord
from discord import app_commands
from discord.ext.commands import Cog

from bot.core.records import UserRecord
from bot.discord_bot.commands.context import BotContext, place
from bot.discord_bot.delivery import buttons
from bot.discord_bot.delivery.messages import REQUEST_ERRORS
from bot.discord_bot.interactions.responses import acknowledge, respond_ephemeral, run_or_report, update
from bot.discord_bot.names import shown_name
from bot.store.export import Export, export_of
from bot.texts import privacy as words

log = logging.getLogger(__name__)

_CONFIRMATION = re.compile(r"forget-me:(?P<answer>yes|out|no):(?P<user_id>[0-9]{1,19})")
_MAX_FILE_SIZE = 20 * 1024 * 1024
"""Bytes of an export: as many as Discord takes in every channel. A larger file would cost too much memory."""
_MAX_CONCURRENT_EXPORTS = 2
"""Exports that may be in memory at the same time."""


class PrivacyCommands(Cog):
    """/forget-me and /export."""

    def __init__(self, bot: BotContext) -> None:
        self._bot = bot
        self._forgetting: set[int] = set()
        """The users who are being forgotten."""
        self._exporting: set[int] = set()
        """The users whose export is under way: one each, so that those who wait for a slot are different users."""
        self._export_slots = asyncio.Semaphore(_MAX_CONCURRENT_EXPORTS)
        buttons.listen(bot.client, _CONFIRMATION, self._pressed)

    @app_commands.command(
        name="forget-me", description="Forget everything about you, in all servers and DMs. I ask you first."
    )
    async def forget_me(self, interaction: discord.Interaction) -> None:
        user_id = interaction.user.id
        reading = self._record_of(user_id, shown_name(interaction.user))
        extent = await run_or_report(interaction, reading, failed=words.UNREACHABLE, doing="reading the stored data")
        if extent is None:
            return
        if extent.is_empty:
            await respond_ephemeral(interaction, words.NOTHING_OF_YOU)
        else:
            sentence = words.confirm_forgetting(extent.turns, extent.conversations, blocked=extent.blocked)
            await respond_ephemeral(interaction, sentence, view=_confirmation(user_id))

    @app_commands.command(
        description="Get a file of your questions, my replies, your usage and settings. In a server, only those there."
    )
    async def export(self, interaction: discord.Interaction) -> None:
        try:
            # Deferred at once: reading, zipping and sending a large file takes longer than an answer may.
            await interaction.response.defer(thinking=True, ephemeral=True)
        except REQUEST_ERRORS as error:
            log.warning("could not start an export: %s", error)
            return
        user_id = interaction.user.id
        if user_id in self._exporting:
            await respond_ephemeral(interaction, words.EXPORTING_ALREADY)
            return
        self._exporting.add(user_id)
        try:
            # The file is in memory until it is sent.
            async with self._export_slots:
                work = self._export(interaction)
                file = await run_or_report(interaction, work, failed=words.UNREACHABLE, doing="reading an export")
                if file is not None:
                    await _send_export(interaction, file)
        finally:
            self._exporting.discard(user_id)

    async def _export(self, interaction: discord.Interaction) -> Export:
        store, user_id, here = self._bot.store, interaction.user.id, place(interaction)
        # Those of a server's channels are of what several people said.
        own = [
            *([here.conversation] if here.private else ()),
            *await store.conversations.for_one(user_id, here.guild_id),
        ]
        summaries = [each for one in own for each in (await store.summaries.remembered(one)).summaries]
        return await export_of(
            store.people.exchanges_of(user_id, here.guild_id),
            await store.usage.by_day(0, user_id=user_id, guild_id=here.guild_id),
            user_id=user_id,
            guild_id=here.guild_id,
            behaviour=await store.personas.settings_of(here.conversation) if here.guild_id is None else None,
            blocks=await store.guild_rules.blocks_of(user_id, here.guild_id),
            notes=await (
                store.notes.everywhere(user_id) if here.guild_id is None else store.notes.of(user_id, here.guild_id)
            ),
            settings=await store.person_settings.of(user_id),
            summaries=summaries,
            now=time.time(),
            limit=min(interaction.filesize_limit, _MAX_FILE_SIZE),
        )

    async def _pressed(self, interaction: discord.Interaction, id_: re.Match[str]) -> None:
        user_id = int(id_["user_id"])
        if interaction.user.id != user_id:
            await respond_ephemeral(interaction, words.NOT_YOURS)
        elif id_["answer"] != "no":
            await self._forget(interaction, user_id, leave_out=id_["answer"] == "out")
        else:
            await update(interaction, words.KEPT)

    async def _forget(self, interaction: discord.Interaction, user_id: int, *, leave_out: bool) -> None:
        """Forget a user who has confirmed it, once however often they press."""
        if user_id in self._forgetting:
            await acknowledge(interaction)
            return
        self._forgetting.add(user_id)
        try:
            # The buttons stay until it is done, so that they can be pressed again after a kill.
            sentence = await run_or_report(
                interaction,
                self._forget_all(user_id, shown_name(interaction.user), leave_out=leave_out),
                failed=words.NOT_FORGOTTEN,
                doing="forgetting a person",
            )
            if sentence is not None:
                await update(interaction, sentence)
        finally:
            self._forgetting.discard(user_id)

    async def _record_of(self, user_id: int, name: str) -> UserRecord:
        """What is on record of a user. If it is nothing, they are forgotten right here, with no question."""
        extent = await self._bot.store.people.record_of(user_id)
        if extent.is_empty:
            # What they wrote lately may be in the memory of this process and of others.
            await self._forget_all(user_id, name)
        return extent

    async def _forget_all(self, user_id: int, name: str, *, leave_out: bool = False) -> str:
        """Forget a user, on record and in the memory of all processes. Returns what to tell them."""
        self._bot.recent.forget(user_id)
        extent = await self._bot.store.people.record_of(user_id)
        forgotten = await self._bot.conversations.forgetting.forget_user(user_id, name, leave_out=leave_out)
        if extent.is_empty and not leave_out:
            return words.NOTHING_OF_YOU_ANY_MORE
        return words.forgotten(len(forgotten), blocked=extent.blocked, left_out=leave_out)


def _confirmation(user_id: int) -> discord.ui.View:
    yes, out, no = (f"forget-me:{answer}:{user_id}" for answer in ("yes", "out", "no"))
    return buttons.row(
        discord.ui.Button(label=words.FORGET, style=discord.ButtonStyle.danger, custom_id=yes),
        discord.ui.Button(label=words.FORGET_AND_LEAVE_OUT, style=discord.ButtonStyle.danger, custom_id=out),
        discord.ui.Button(label=words.KEEP, custom_id=no),
    )


async def _send_export(interaction: discord.Interaction, file: Export) -> None:
    here = interaction.guild_id is not None
    if file.empty:
        await respond_ephemeral(interaction, words.NOTHING_TO_EXPORT_HERE if here else words.NOTHING_TO_EXPORT)
        return
    sentence = words.exported(file.exchanges, here=here, complete=file.complete)
    attachment = discord.File(io.BytesIO(file.content), file.name)
    if not await respond_ephemeral(interaction, sentence, file=attachment):
        await respond_ephemeral(interaction, words.NOT_EXPORTED)

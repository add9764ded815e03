"""What the bot keeps: /memory says it, /forget-me deletes what is somebody's own, /export hands it over."""

from __future__ import annotations

import asyncio
import io
import logging
import re
import time

import discord

from bot.core.context import BYTES_PER_TOKEN
from bot.core.errors import StoreError
from bot.core.records import ConversationSummary
from bot.discord_bot.commands.context import BotContext, Tree, place
from bot.discord_bot.delivery import buttons
from bot.discord_bot.delivery.messages import REQUEST_ERRORS
from bot.discord_bot.interactions.responses import acknowledge, respond_ephemeral, run_or_report, update
from bot.discord_bot.names import shown_name, stored_name
from bot.store.export import Export, export_of
from bot.texts import privacy as words

log = logging.getLogger(__name__)

_CONFIRMATION = re.compile(r"forget-me:(?P<answer>yes|no):(?P<person>[0-9]{1,19})")
_LARGEST_FILE = 10 * 1024 * 1024
"""Bytes; what Discord takes everywhere. Where it would take more, this machine's memory need not."""
_EXPORTS_AT_ONCE = 2


def add(tree: Tree, tools: BotContext) -> None:
    """Add the commands of this module."""
    forgetting: set[int] = set()
    exporting = asyncio.Semaphore(_EXPORTS_AT_ONCE)

    @tree.command(description="See what I remember here, from whom, and who can read it.")
    async def memory(interaction: discord.Interaction) -> None:
        async def work() -> str:
            found = await tools.store.conversations.summary(place(interaction).conversation)
            return words.NOTHING_HERE if found is None else _described(found, interaction, tools)

        sentence = await run_or_report(
            interaction, work(), failed=words.UNREACHABLE, doing="reading what is remembered"
        )
        if sentence is not None:
            await respond_ephemeral(interaction, sentence)

    @tree.command(name="forget-me", description="Forget everything about you, in all servers and DMs. I ask once more.")
    async def forget_me(interaction: discord.Interaction) -> None:
        person = interaction.user.id
        reading = tools.store.people.record_of(person)
        extent = await run_or_report(interaction, reading, failed=words.UNREACHABLE, doing="reading what is on record")
        if extent is None:
            return
        if extent.is_empty:
            await respond_ephemeral(interaction, words.NOTHING_OF_YOU)
        else:
            sentence = words.confirm_forgetting(extent.turns, extent.conversations, blocked=extent.blocked)
            await respond_ephemeral(interaction, sentence, view=_confirmation(person))

    @tree.command(
        description="Get your questions, my replies, what you used and set as a file; in a server, only its own."
    )
    async def export(interaction: discord.Interaction) -> None:
        try:
            # At once: reading, zipping and sending a large file takes longer than an answer may.
            await interaction.response.defer(thinking=True, ephemeral=True)
        except REQUEST_ERRORS as error:
            log.warning("an export could not be begun: %s", error)
            return
        # Sending included: until then the file is in memory.
        async with exporting:
            work = _exported(interaction, tools)
            file = await run_or_report(interaction, work, failed=words.UNREACHABLE, doing="reading an export")
            if file is None:
                return
            here = interaction.guild_id is not None
            if file.empty:
                await respond_ephemeral(interaction, words.NOTHING_TO_EXPORT_HERE if here else words.NOTHING_TO_EXPORT)
                return
            sentence = words.exported(file.exchanges, here=here, complete=file.complete)
            if not await respond_ephemeral(
                interaction, sentence, file=discord.File(io.BytesIO(file.content), file.name)
            ):
                await respond_ephemeral(interaction, words.NOT_EXPORTED)

    async def confirmed(interaction: discord.Interaction, person: int) -> None:
        # The buttons stay until it is done: after a kill they can be pressed again.
        await acknowledge(interaction)
        if person in forgetting:
            return
        forgetting.add(person)
        try:
            extent = await tools.store.people.record_of(person)
            if extent.is_empty:
                sentence = words.NOTHING_OF_YOU_ANY_MORE
            else:
                forgotten = await tools.conversations.forget_person(person, shown_name(interaction.user))
                sentence = words.forgotten(len(forgotten), blocked=extent.blocked)
        except StoreError as error:
            log.error("a person could not be forgotten: %s", error)
            await respond_ephemeral(interaction, words.NOT_FORGOTTEN)
        else:
            await update(interaction, sentence)
        finally:
            forgetting.discard(person)

    async def pressed(interaction: discord.Interaction, id_: re.Match[str]) -> None:
        if interaction.user.id != int(id_["person"]):
            await respond_ephemeral(interaction, words.NOT_YOURS)
        elif id_["answer"] == "yes":
            await confirmed(interaction, int(id_["person"]))
        else:
            await update(interaction, words.KEPT)

    buttons.listen(tools.client, _CONFIRMATION, pressed)


def _confirmation(person: int) -> discord.ui.View:
    yes, no = f"forget-me:yes:{person}", f"forget-me:no:{person}"
    return buttons.row(
        discord.ui.Button(label=words.FORGET, style=discord.ButtonStyle.danger, custom_id=yes),
        discord.ui.Button(label=words.KEEP, custom_id=no),
    )


def _described(found: ConversationSummary, interaction: discord.Interaction, tools: BotContext) -> str:
    private = interaction.guild_id is None
    return words.memory(
        questions=found.turns,
        since=found.since,
        people=[(stored_name(name), questions) for name, questions in found.people],
        more_people=found.people_in_all - len(found.people),
        tokens=round(found.size / BYTES_PER_TOKEN),
        reminded=tools.options.context_tokens,
        readers=words.readers(tools.options.provider, private=private),
        retention_days=tools.options.retention_days,
        private=private,
    )


async def _exported(interaction: discord.Interaction, tools: BotContext) -> Export:
    person, here = interaction.user.id, place(interaction)
    return await export_of(
        tools.store.people.exchanges_of(person, here.guild_id),
        await tools.store.quotas.usage(0, user_id=person, guild_id=here.guild_id),
        user_id=person,
        guild_id=here.guild_id,
        behaviour=await tools.store.personas.settings_of(here.conversation) if here.guild_id is None else None,
        blocks=await tools.store.guild_rules.blocks_of(person, here.guild_id),
        now=time.time(),
        limit=min(interaction.filesize_limit, _LARGEST_FILE),
    )

"""What the bot says of itself and of what was used: /help and /usage."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

import discord
from discord import app_commands

from bot.core.quotas import Quotas
from bot.core.usage import DAY, grouped
from bot.discord_bot.commands.context import BotContext, Tree, place
from bot.discord_bot.delivery.messages import REQUEST_ERRORS
from bot.discord_bot.interactions.responses import respond_ephemeral, run_or_report
from bot.discord_bot.names import own_name
from bot.texts import about as words
from bot.texts.access import denied
from bot.texts.privacy import UNREACHABLE

_DAYS = 30
IDS_WITHIN = 1.0
"""Seconds that Discord gets to tell the commands' ids in."""

_IN_SERVERS, _IN_DMS = 0, 1
"""Discord's numbers of the contexts of commands."""

Command = app_commands.Command[Any, ..., Any] | app_commands.Group


def add(tree: Tree, tools: BotContext) -> None:
    """Add the commands of this module."""
    _add_usage(tree, tools)
    _add_help(tree, tools)


def _add_usage(tree: Tree, tools: BotContext) -> None:
    allowances = tools.conversations.settings.quotas

    @tree.command(description="See how much you've used: questions, tokens, and what is left.")
    @app_commands.describe(whose="mine, or server for all of this server (for moderators). Left out: mine.")
    async def usage(interaction: discord.Interaction, whose: str = words.MINE) -> None:
        chosen = whose.strip().casefold()
        if allowances is None:
            await respond_ephemeral(interaction, words.NOT_COUNTED)
        elif chosen not in (words.MINE, words.SERVER):
            await respond_ephemeral(interaction, words.WHOSE)
        elif chosen == words.SERVER and interaction.guild_id is None:
            await respond_ephemeral(interaction, words.NO_SERVER_HERE)
        elif chosen == words.SERVER and not interaction.permissions.manage_guild:
            await respond_ephemeral(interaction, words.NOT_FOR_YOU)
        else:
            read = of_person if chosen == words.MINE else of_server
            work = read(interaction, allowances)
            sentences = await run_or_report(interaction, work, failed=UNREACHABLE, doing="reading what was used")
            if sentences is not None:
                await respond_ephemeral(interaction, sentences)

    @usage.autocomplete("whose")
    async def offer(interaction: discord.Interaction, typed: str) -> list[app_commands.Choice[str]]:
        manages = interaction.guild_id is not None and interaction.permissions.manage_guild
        offered = [words.MINE, words.SERVER] if manages else [words.MINE]
        return [
            app_commands.Choice(name=words.whose(each), value=each)
            for each in offered
            if typed.casefold().strip() in words.whose(each)
        ]

    async def of_person(interaction: discord.Interaction, allowances: Quotas) -> str:
        today = int(time.time()) // DAY
        return words.own_usage(
            await tools.store.quotas.usage_today(interaction.user.id, interaction.guild_id),
            allowances,
            tools.options.prices.total(await tools.store.quotas.usage(today - _DAYS + 1, user_id=interaction.user.id)),
            resets_at=(today + 1) * DAY,
            in_server=interaction.guild_id is not None,
        )

    async def of_server(interaction: discord.Interaction, allowances: Quotas) -> str:
        today = int(time.time()) // DAY
        rows = await tools.store.quotas.usage(today - _DAYS + 1, guild_id=interaction.guild_id)
        people = grouped((row for row in rows if row.person_id is not None), lambda row: row.person_id or 0)
        return words.server_usage(
            await tools.store.quotas.usage_today(guild_id=interaction.guild_id),
            allowances,
            tools.options.prices.total(rows),
            {model: sum(row.tokens for row in each) for model, each in grouped(rows, lambda row: row.model).items()},
            {person: sum(row.tokens for row in each) for person, each in people.items()},
            resets_at=(today + 1) * DAY,
        )


def _add_help(tree: Tree, tools: BotContext) -> None:
    ids: dict[str, int] = {}
    reading: set[asyncio.Task[None]] = set()

    # `help` is Python's too.
    @tree.command(name="help", description="What I answer to, what I remember, where your messages go, my commands.")
    async def show_help(interaction: discord.Interaction) -> None:
        sentences = await run_or_report(
            interaction, text(interaction), failed=UNREACHABLE, doing="reading what help says"
        )
        if sentences is not None:
            await respond_ephemeral(interaction, sentences)

    async def text(interaction: discord.Interaction) -> str:
        here = place(interaction)
        reason, behaviour, _ = await asyncio.gather(
            tools.gate.check_interaction(interaction),
            tools.store.personas.settings_of(here.conversation, here.parent),
            look_up_ids(),
        )
        allowances = tools.conversations.settings.quotas
        return words.help_text(
            None if interaction.guild_id is None else own_name(tools.client, interaction.guild),
            None if reason is None else denied(reason),
            tools.conversations.settings.chosen_model(behaviour.model),
            tools.options.provider,
            direct_messages=tools.options.access.direct_messages != "off",
            retention_days=tools.options.retention_days,
            hourly_questions_per_user=None if allowances is None else allowances.hourly_questions_per_user,
            persona=behaviour.persona is not None,
            commands=list(_usable(tree, interaction, ids)),
        )

    async def look_up_ids() -> None:
        """Have Discord's ids of the commands, by which their names can be pressed; they stay the same.

        What comes too late for this answer is there for the next one.
        """
        if all(command.name in ids for command in _commands(tree)):
            return
        if not reading:
            task = asyncio.create_task(read_ids())
            reading.add(task)
            task.add_done_callback(reading.discard)
        await asyncio.wait(reading, timeout=IDS_WITHIN)

    async def read_ids() -> None:
        with suppress(*REQUEST_ERRORS):
            ids.update({command.name: command.id for command in await tree.fetch_commands()})


def _commands(tree: Tree) -> Sequence[Command]:
    return tree.get_commands(type=discord.AppCommandType.chat_input)


def _usable(tree: Tree, interaction: discord.Interaction, ids: Mapping[str, int]) -> Iterator[tuple[str, str]]:
    """The commands that a person finds where they are, each with what it does."""
    for command in _commands(tree):
        contexts, needed = command.to_dict(tree)["contexts"], command.default_permissions
        if interaction.guild_id is None:
            usable = _IN_DMS in contexts
        else:
            usable = _IN_SERVERS in contexts and (needed is None or interaction.permissions >= needed)
        if usable:
            each = command.commands if isinstance(command, app_commands.Group) else [command]
            names = (f"/{one.qualified_name}" for one in each)
            id_ = ids.get(command.name)
            yield (
                " ".join(name if id_ is None else f"<{name}:{id_}>" for name in names),
                _use(command.description),
            )


def _use(description: str) -> str:
    """What a command does, without details; the full stop stays only behind more than one sentence."""
    use = description.partition(":")[0]
    return use if ". " in use else use.rstrip(".")

"""How the bot is used and where messages go: /help."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

import discord
from discord import app_commands
from discord.ext.commands import Cog

from bot.discord_bot.commands.context import BotContext, Tree, place
from bot.discord_bot.delivery.messages import REQUEST_ERRORS
from bot.discord_bot.interactions.responses import respond_ephemeral, run_or_report
from bot.discord_bot.names import own_name
from bot.texts import help as words
from bot.texts.access import denied
from bot.texts.privacy import UNREACHABLE

IDS_WITHIN = 1.0
"""Seconds that an answer waits for the ids of the commands."""

_GUILD_CONTEXT = 0
"""Discord's number of the context of commands in guilds.

See https://discord.com/developers/docs/interactions/receiving-and-responding#interaction-object-interaction-context-types.
"""
_DM_CONTEXT = 1
"""Discord's number of the context of commands in DMs with the bot."""

Command = app_commands.Command[Any, ..., Any] | app_commands.Group


class HelpCommand(Cog):
    """/help."""

    def __init__(self, bot: BotContext, tree: Tree) -> None:
        self._bot = bot
        self._tree = tree
        self._ids: dict[str, int] = {}
        """Discord's ids of the commands by name, with which a mention of a command can be pressed."""
        self._reading_ids: asyncio.Task[None] | None = None

    @app_commands.command(
        name="help", description="What I answer to, what I remember, where your messages go, my commands."
    )
    async def show_help(self, interaction: discord.Interaction) -> None:
        work = self._text(interaction)
        sentences = await run_or_report(interaction, work, failed=UNREACHABLE, doing="reading the help")
        if sentences is not None:
            # In one message with the text, and with room of its own for a line each.
            commands = discord.Embed(title=words.COMMANDS, description=words.listed([*self._usable(interaction)]))
            await respond_ephemeral(interaction, sentences, embed=commands)

    async def _text(self, interaction: discord.Interaction) -> str:
        bot, here = self._bot, place(interaction)
        reason, behaviour, _ = await asyncio.gather(
            bot.policy.check_interaction(interaction),
            bot.store.personas.settings_of(here.conversation, here.parent),
            self._look_up_ids(),
        )
        settings, servers = bot.conversations.settings, bot.conversations.settings.servers
        quotas = settings.quotas

        def named(model: str) -> tuple[str, str]:
            return servers.split(model)[1], servers.provider(model)

        return words.help_text(
            None if interaction.guild_id is None else own_name(bot.client, interaction.guild),
            None if reason is None else denied(reason),
            named(settings.chosen_model(behaviour.model)),
            {job: named(each) for job, each in settings.helpers(behaviour.model).items()},
            direct_messages=bot.options.access.direct_messages != "off",
            hears=bot.conversations.hears,
            retention_days=bot.options.retention_days,
            hourly_questions_per_user=None if quotas is None else quotas.hourly_questions_per_user,
            persona=behaviour.persona is not None,
            policies=_policies(bot.client.application),
        )

    async def _look_up_ids(self) -> None:
        """Read the ids of the commands, which never change. If that takes too long, the next answer has them."""
        if all(command.name in self._ids for command in self._commands()):
            return
        if self._reading_ids is None or self._reading_ids.done():
            self._reading_ids = asyncio.create_task(self._read_ids())
        await asyncio.wait([self._reading_ids], timeout=IDS_WITHIN)

    async def _read_ids(self) -> None:
        with suppress(*REQUEST_ERRORS):
            self._ids.update({command.name: command.id for command in await self._tree.fetch_commands()})

    def _commands(self) -> Sequence[Command]:
        return self._tree.get_commands(type=discord.AppCommandType.chat_input)

    def _usable(self, interaction: discord.Interaction) -> Iterator[tuple[str, str]]:
        """The commands that Discord shows a user in a place, each with what it does."""
        for command in self._commands():
            contexts, needed = command.to_dict(self._tree)["contexts"], command.default_permissions
            if interaction.guild_id is None:
                usable = _DM_CONTEXT in contexts
            else:
                usable = _GUILD_CONTEXT in contexts and (needed is None or interaction.permissions >= needed)
            if usable:
                each = command.commands if isinstance(command, app_commands.Group) else [command]
                names = (f"/{one.qualified_name}" for one in each)
                id_ = self._ids.get(command.name)
                yield (
                    " ".join(name if id_ is None else f"<{name}:{id_}>" for name in names),
                    _summary(command.description),
                )


def _policies(application: discord.AppInfo | None) -> list[tuple[str, str]]:
    """What an application's owner publishes about it, each with its address, as read at the login."""
    if application is None:
        return []
    urls = (words.PRIVACY_POLICY, application.privacy_policy_url), (words.TERMS, application.terms_of_service_url)
    return [(name, url) for name, url in urls if url]


def _summary(description: str) -> str:
    """What a command does, without details. The full stop stays only after more than one sentence."""
    summary = description.partition(":")[0]
    return summary if ". " in summary else summary.rstrip(".")

"""The slash commands."""

from __future__ import annotations

from discord import app_commands

from bot.discord_bot.commands import about, conversation, moderation, persona, privacy
from bot.discord_bot.commands.context import BotContext, Tree


def tree(tools: BotContext) -> Tree:
    """All commands of the bot."""
    commands: Tree = app_commands.CommandTree(
        tools.client,
        allowed_contexts=app_commands.AppCommandContext(guild=True, dm_channel=True, private_channel=False),
        allowed_installs=app_commands.AppInstallationType(guild=True, user=False),
    )
    for each in (conversation, persona, moderation, privacy, about):
        each.add(commands, tools)
    return commands

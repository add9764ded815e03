"""The slash commands."""

from __future__ import annotations

from discord import app_commands

from bot.discord_bot.commands import about, behaviour, conversation, keeping, moderation
from bot.discord_bot.commands.tools import Tools, Tree


def tree(tools: Tools) -> Tree:
    """All commands of the bot."""
    commands: Tree = app_commands.CommandTree(
        tools.client,
        allowed_contexts=app_commands.AppCommandContext(guild=True, dm_channel=True, private_channel=False),
        allowed_installs=app_commands.AppInstallationType(guild=True, user=False),
    )
    for each in (conversation, behaviour, moderation, keeping, about):
        each.add(commands, tools)
    return commands

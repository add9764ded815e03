"""The commands: one module with one class for each subject.

Not its job: answering in time (interactions/) and the sentences of the answers (bot/texts). Imports interactions,
inbound, access and delivery.
"""

from __future__ import annotations

from discord import app_commands

from bot.discord_bot.commands.about import AskAbout
from bot.discord_bot.commands.ask import AskCommand
from bot.discord_bot.commands.context import BotContext, Tree
from bot.discord_bot.commands.conversation import ConversationCommands
from bot.discord_bot.commands.help import HelpCommand
from bot.discord_bot.commands.memory import MemoryCommand
from bot.discord_bot.commands.model import ModelCommand
from bot.discord_bot.commands.moderation import ModerationCommands
from bot.discord_bot.commands.persona import PersonaCommand
from bot.discord_bot.commands.privacy import PrivacyCommands
from bot.discord_bot.commands.server import ServerCommand
from bot.discord_bot.commands.settings import SettingsCommand
from bot.discord_bot.commands.usage import UsageCommand
from bot.texts import RETRY_ANSWER


def command_tree(bot: BotContext) -> Tree:
    """The tree with all commands of a bot, usable in guilds and in DMs with the bot unless a command says otherwise."""
    tree = Tree(bot.client, bot.policy)
    for cog in (
        AskCommand(bot),
        ConversationCommands(bot),
        PersonaCommand(bot),
        ModelCommand(bot),
        ServerCommand(bot),
        ModerationCommands(bot),
        MemoryCommand(bot),
        PrivacyCommands(bot),
        UsageCommand(bot),
        SettingsCommand(bot),
        HelpCommand(bot, tree),
    ):
        for command in cog.get_app_commands():
            tree.add_command(command)
    tree.add_command(AskAbout(bot).command)
    tree.add_command(app_commands.ContextMenu(name=RETRY_ANSWER, callback=bot.button_handler.retry_answer))
    return tree

"""A question without a message: /ask, with a file, and for nobody else to see."""

from __future__ import annotations

import discord
from discord import app_commands
from discord.ext.commands import Cog

from bot.discord_bot.commands.context import BotContext

LONGEST_QUESTION = 4000
"""Characters of a question, as many as a message of Discord's may have."""


class AskCommand(Cog):
    """/ask."""

    def __init__(self, bot: BotContext) -> None:
        self._bot = bot

    @app_commands.command(description="Ask me something, with a file or just for yourself.")
    @app_commands.describe(
        question="What you want to know.",
        file="An image, a text file or a PDF to look at.",
        only_for_me="Only you see the answer. I remember it apart from this channel.",
    )
    async def ask(
        self,
        interaction: discord.Interaction,
        question: app_commands.Range[str, 1, LONGEST_QUESTION],
        file: discord.Attachment | None = None,
        only_for_me: bool = False,
    ) -> None:
        self._bot.tasks.spawn(self._bot.asking.answer(interaction, question, file, private=only_for_me))

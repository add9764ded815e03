"""A question about any message: "Ask about this" in its menu, with a form for the question.

Discord gives the bot the content of such a message without a privileged intent. The answer is a reply to it, and a turn
like any other.
"""

from __future__ import annotations

import asyncio
import logging
import re
from functools import partial
from typing import Any

import discord
from discord import app_commands

from bot import texts
from bot.core.access import Denial
from bot.core.errors import Overloaded, OverQuota, StoreError
from bot.core.turns import Prompt
from bot.discord_bot.channels import manages_guild, may_write
from bot.discord_bot.commands.context import BotContext
from bot.discord_bot.delivery.messages import REQUEST_ERRORS
from bot.discord_bot.inbound import reader
from bot.discord_bot.interactions.responses import defer_if_slow, respond_ephemeral
from bot.texts import about as words
from bot.texts import access as access_words

log = logging.getLogger(__name__)

_FORM = "about"
_FORM_ID = re.compile(rf"{_FORM}:(?P<opened_by>[0-9]{{1,19}}):(?P<target>[0-9]{{1,19}})")
_LONGEST_QUESTION = 2000
_CHECKED_WITHIN = 1.0
"""Seconds for the checks before the form. It has to be the first answer, and Discord allows 3 for that in all."""


class AskAbout:
    """The command "Ask about this"."""

    def __init__(self, bot: BotContext) -> None:
        self._bot = bot
        self.command = app_commands.ContextMenu(name=words.NAME, callback=self._open)
        bot.forms.register(_FORM, self._submitted)
        self._being_asked: dict[int, int] = {}
        """The interactions by which forms were submitted that are not answered yet, by those that opened the forms."""

    async def _open(self, interaction: discord.Interaction, target: discord.Message) -> None:
        try:
            async with asyncio.timeout(_CHECKED_WITHIN):
                refusal = await self._refusal(interaction, target)
        except TimeoutError:
            refusal = access_words.denied(Denial.UNKNOWN)
        except StoreError as error:
            log.error("could not check a question about a message in channel %s: %s", interaction.channel_id, error)
            refusal = access_words.NOT_READ
        if refusal is not None:
            await respond_ephemeral(interaction, refusal)
            return
        self._bot.targets.keep(interaction.id, interaction.user.id, target)
        try:
            await interaction.response.send_modal(_form(interaction, target))
        except REQUEST_ERRORS as error:
            log.warning("the form for a question about a message could not be shown: %s", error)

    async def _submitted(self, interaction: discord.Interaction, question: str) -> None:
        data: Any = interaction.data
        form = _FORM_ID.fullmatch(data["custom_id"])
        if form is None:
            return
        opened_by = int(form["opened_by"])
        if (before := self._being_asked.get(opened_by)) is not None:
            # An event may come twice, which is no second try.
            if before != interaction.id:
                await respond_ephemeral(interaction, words.ALREADY_ASKED)
            return
        target = self._bot.targets.of(opened_by, interaction.user.id)
        answer: str | None = words.OPEN_AGAIN
        if target is not None:
            self._being_asked[opened_by] = interaction.id
            try:
                answer = await defer_if_slow(interaction, self._ask(interaction, opened_by, target, question))
            finally:
                del self._being_asked[opened_by]
        elif self._is_deleted(int(form["target"])):
            answer = words.MESSAGE_GONE
        if answer is not None:
            await respond_ephemeral(interaction, answer)

    async def _refusal(self, interaction: discord.Interaction, target: discord.Message) -> str | None:
        """Why a question about a message is not answered, or None if it is. Raises StoreError."""
        me = self._bot.client.user
        if denied := await self._bot.policy.check_interaction(interaction):
            return access_words.denied(denied)
        if not may_write(interaction, interaction.app_permissions):
            return words.MAY_NOT_WRITE
        if not may_write(interaction, interaction.permissions):
            # Discord shows the command to whoever may read a message. The answer shows everybody what was asked.
            return words.YOU_MAY_NOT_WRITE
        if target.flags.ephemeral:
            return words.ONLY_YOURS
        readable = me is not None and reader.read_about(interaction, target, "", me) is not None
        return None if readable else words.NOTHING_TO_READ

    async def _ask(
        self, interaction: discord.Interaction, opened_by: int, target: discord.Message, question: str
    ) -> str | None:
        """Begin to answer a question. Returns what to tell the asker; None: the event came twice."""
        me = self._bot.client.user
        try:
            refuse = partial(self._refusal, interaction, target)
            if refusal := await self._bot.conversations.outages.wait_out(refuse):
                return refusal
        except StoreError as error:
            log.error("could not check a question about a message in channel %s: %s", interaction.channel_id, error)
            return access_words.NOT_READ
        if self._is_deleted(target.id):
            return words.MESSAGE_GONE
        prompt = None if me is None else reader.read_about(interaction, target, question, me)
        if me is None or prompt is None:
            return words.NOTHING_TO_READ
        self._bot.pictures.remember(target, None, me)
        taken: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        self._bot.tasks.spawn(self._answer(interaction, target, prompt, taken))
        answer = await taken
        if answer == words.ACCEPTED:
            self._bot.targets.drop(opened_by)
        return answer

    def _is_deleted(self, message_id: int) -> bool:
        return self._bot.replies.deletions.was_deleted(message_id)

    async def _answer(
        self,
        interaction: discord.Interaction,
        target: discord.Message,
        prompt: Prompt,
        taken: asyncio.Future[str | None],
    ) -> None:
        """Answer a prompt until its end can be seen. `taken` gets what to tell the asker once that is known."""
        refusal = None
        try:
            with self._bot.files.at_hand(prompt, target):
                await self._bot.replies.answer(
                    interaction.channel,
                    prompt,
                    (),
                    to_moderator=manages_guild(interaction.user),
                    accepted=lambda: taken.set_result(words.ACCEPTED),
                )
        except Overloaded:
            refusal = texts.TOO_BUSY
        except OverQuota as error:
            refusal = texts.full_size(texts.used_up(error.quota_exceeded))
        except StoreError as error:
            log.error("a question about a message in channel %s could not be saved: %s", interaction.channel_id, error)
            refusal = texts.full_size(texts.CANNOT_SAVE)
        except Exception:
            log.exception("a question about message %d could not be answered, because of a bug", target.id)
            refusal = texts.full_size(texts.WENT_WRONG)
        if not taken.done():
            taken.set_result(refusal)


def _form(interaction: discord.Interaction, target: discord.Message) -> discord.ui.Modal:
    form = discord.ui.Modal(title=words.FORM, custom_id=f"{_FORM}:{interaction.id}:{target.id}")
    form.add_item(
        discord.ui.Label(
            text=words.FIELD,
            description=words.FIELD_HELP_DIRECT if interaction.guild_id is None else words.FIELD_HELP,
            component=discord.ui.TextInput(
                style=discord.TextStyle.paragraph,
                custom_id="text",
                placeholder=words.FIELD_EXAMPLE,
                required=False,
                max_length=_LONGEST_QUESTION,
            ),
        )
    )
    # A form that is not finished would stay in discord.py's memory; `Forms` routes what is submitted.
    form.stop()
    return form

"""Answers /ask: with a reply through the interaction's token, or with a private sentence on why there is none."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from functools import partial

import discord

from bot import texts
from bot.core.errors import Overloaded, OverQuota, StoreError
from bot.core.outages import Outages
from bot.core.turns import Behaviour, Prompt, is_blank
from bot.discord_bot.access.policy import Policy
from bot.discord_bot.channels import channel_of, may_write, private_conversation, reads_history
from bot.discord_bot.delivery.interaction_messages import Through
from bot.discord_bot.delivery.messages import platform_errors
from bot.discord_bot.delivery.replies import Replies
from bot.discord_bot.delivery.view import PlatformError
from bot.discord_bot.inbound import reader
from bot.discord_bot.inbound.files import PromptFiles
from bot.discord_bot.inbound.pictures import DiscordPictures
from bot.store.personas import PersonaStore
from bot.texts import access as access_words
from bot.texts import asking as words

log = logging.getLogger(__name__)

DEFER_AFTER = 1.5
"""Seconds until an answer is deferred; Discord allows 3, the way there and back included."""


class AskHandler:
    """Handles the questions that come with /ask of one client."""

    def __init__(
        self,
        client: discord.Client,
        replies: Replies,
        policy: Policy,
        personas: PersonaStore,
        files: PromptFiles,
        pictures: DiscordPictures,
        outages: Outages,
    ) -> None:
        self._client = client
        self._replies = replies
        self._policy = policy
        self._personas = personas
        self._files = files
        self._pictures = pictures
        self._outages = outages
        self._accepting = True

    def stop_accepting(self) -> None:
        """Answer every further question with the notice that the bot restarts."""
        self._accepting = False

    async def answer(
        self, interaction: discord.Interaction, question: str, file: discord.Attachment | None, *, private: bool
    ) -> None:
        """Answer a question. `private`: only its asker sees the answer, and it is a conversation of its own."""
        answering = _Answering(interaction, private=private)
        try:
            if not self._accepting:
                await answering.refuse(texts.RESTARTING)
            elif is_blank(question):
                await answering.refuse(words.BLANK)
            else:
                await self._answer(answering, question, file)
        except PlatformError as error:
            log.warning("a question in channel %s could not be answered: %s", interaction.channel_id, error)
        except Overloaded as refusal:
            await answering.refuse(texts.full(refusal.limit))
        except OverQuota as refusal:
            await answering.refuse(texts.used_up(refusal.quota_exceeded))
        except StoreError as error:
            log.error("a question in channel %s could not be saved: %s", interaction.channel_id, error)
            await answering.refuse(texts.CANNOT_SAVE)
        except Exception:
            log.exception("a question in channel %s could not be answered, because of a bug", interaction.channel_id)
            await answering.refuse(texts.WENT_WRONG)

    async def _answer(self, answering: _Answering, question: str, file: discord.Attachment | None) -> None:
        interaction, me = answering.interaction, self._client.user
        check = partial(self._policy.check_interaction, interaction)
        checking = asyncio.create_task(self._outages.wait_out(check))
        await asyncio.wait([checking], timeout=DEFER_AFTER)
        if not checking.done():
            await answering.defer()
        if denied := await checking:
            await answering.refuse(access_words.denied(denied))
            return
        if not answering.private and not may_write(interaction, interaction.permissions):
            # The answer shows everybody what was asked.
            await answering.refuse(words.YOU_MAY_NOT_WRITE)
            return
        if me is None:
            return
        message_id = await answering.defer()
        message = _message(interaction, message_id, question, file)
        prompt = reader.read(message, me).prompt
        if prompt is None:
            await answering.refuse(words.BLANK)
            return
        prompt = replace(prompt, reads_history=reads_history(interaction))
        if answering.private:
            prompt = await self._for_one(prompt, interaction)
        else:
            # The answer is the message that the reply hangs on.
            prompt = replace(prompt, target_id=message_id)
        through = Through(interaction, message_id, answering.private)
        self._pictures.remember(message, None, me)
        with self._files.at_hand(prompt, message):
            await self._replies.answer(
                interaction.channel,
                prompt,
                [],
                to_moderator=interaction.guild_id is not None and interaction.permissions.manage_guild,
                through=through,
            )
        if answering.private:
            await self._replies.show_unseen(prompt.conversation, replace(through, original_id=None))

    async def _for_one(self, prompt: Prompt, interaction: discord.Interaction) -> Prompt:
        """The prompt in a conversation that only its asker sees, with the persona and the model of the place."""
        here, parent = prompt.conversation, prompt.parent
        read = partial(self._personas.effective_settings, here, parent)
        chosen = await self._outages.wait_out(read)
        # A thread's own choices hold in place of its channel's.
        parent = here if parent is None or chosen.own != Behaviour() else parent
        conversation = private_conversation(channel_of(here), interaction.user.id)
        return replace(prompt, conversation=conversation, parent=parent, author_name=None, origin_message_id=None)


class _Answering:
    """The first answer to one /ask: that the bot is thinking, or a refusal that only the asker sees."""

    def __init__(self, interaction: discord.Interaction, *, private: bool) -> None:
        self.interaction = interaction
        self.private = private
        self._message_id: int | None = None

    async def defer(self) -> int:
        """Have Discord show that the bot is thinking, once. Returns the id of that message. Raises PlatformError."""
        if self._message_id is None:
            with platform_errors():
                taken = await self.interaction.response.defer(thinking=True, ephemeral=self.private)
            if taken is None or taken.message_id is None:
                raise PlatformError("Discord did not name the message of a deferred answer")
            self._message_id = taken.message_id
        return self._message_id

    async def refuse(self, sentence: str) -> None:
        """Tell the asker why there is no answer, and nobody else."""
        interaction, sentence = self.interaction, texts.full_size(sentence)
        try:
            with platform_errors():
                if not interaction.response.is_done():
                    await interaction.response.send_message(sentence, ephemeral=True, suppress_embeds=True)
                elif self.private:
                    await interaction.edit_original_response(content=sentence, view=None, attachments=[])
                else:
                    # Whether a deferred answer is public is settled, so it makes room for a private one.
                    await interaction.delete_original_response()
                    await interaction.followup.send(sentence, ephemeral=True, suppress_embeds=True)
        except PlatformError as error:
            log.warning("a question in channel %s could not be refused: %s", interaction.channel_id, error)


def _message(
    interaction: discord.Interaction, message_id: int, question: str, file: discord.Attachment | None
) -> discord.Message:
    """The message that somebody would have written who asks this in the channel of the command."""
    user = interaction.user
    data = {
        "id": message_id,
        "type": discord.MessageType.default.value,
        "content": question,
        "author": {"id": user.id, "username": user.name, "discriminator": user.discriminator, "avatar": None},
        "mentions": [],
        "mention_roles": [],
        "embeds": [],
        "components": [],
        "attachments": [] if file is None else [file.to_dict()],
    }
    channel = interaction.channel or interaction.client.get_partial_messageable(interaction.channel_id or 0)
    message = discord.Message(state=interaction._state, channel=channel, data=data)  # type: ignore[arg-type]
    message.author = user
    return message

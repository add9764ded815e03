"""Answers messages that are meant for the bot: with a reply, or with a notice that says why there is none."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Collection
from dataclasses import replace
from functools import partial

import discord

from bot import texts
from bot.core.errors import Overloaded, OverQuota, StoreError
from bot.core.outages import Outages
from bot.core.turns import Prompt
from bot.discord_bot.access.policy import Policy
from bot.discord_bot.channels import conversation_in, manages_guild
from bot.discord_bot.delivery.notices import Notices
from bot.discord_bot.delivery.replies import Replies
from bot.discord_bot.delivery.threads import may_write_in
from bot.discord_bot.inbound import content, reader
from bot.discord_bot.inbound.files import PromptFiles
from bot.discord_bot.inbound.order import Place
from bot.discord_bot.inbound.pictures import DiscordPictures
from bot.discord_bot.inbound.reader import Addressing
from bot.discord_bot.names import own_name
from bot.discord_bot.tasks import TaskSupervisor

log = logging.getLogger(__name__)

_HINTED = 1000
"""Messages without a question that are remembered to have got a hint: Discord may send an event twice."""


class MessageHandler:
    """Handles the messages of one client, each once however many events there are of it."""

    def __init__(
        self,
        client: discord.Client,
        replies: Replies,
        notices: Notices,
        policy: Policy,
        tasks: TaskSupervisor,
        files: PromptFiles,
        pictures: DiscordPictures,
        outages: Outages,
    ) -> None:
        self._client = client
        self._replies = replies
        self._notices = notices
        self._policy = policy
        self._tasks = tasks
        self._files = files
        self._pictures = pictures
        self._outages = outages
        self._accepting = True
        self._left_to_others = False
        self._in_progress: dict[int, discord.Message] = {}
        """The newest version of each message that is being answered."""
        self._hinted: deque[int] = deque(maxlen=_HINTED)

    def stop_accepting(self, *, left_to_others: bool) -> None:
        """Answer every further prompt with the notice that the bot restarts, or leave it to the process that follows.

        That one finds it as a prompt that came while the bot was away.
        """
        self._accepting = False
        self._left_to_others = left_to_others

    def are_being_answered(self, message_ids: Collection[int]) -> bool:
        """Whether any of these messages is a prompt that is being answered, so that it may not be on record yet."""
        return not self._in_progress.keys().isdisjoint(message_ids)

    async def answer_missed(self, message: discord.Message, me: discord.ClientUser, place: Place) -> None:
        """Answer a prompt that came while the bot was away; during a shutdown it is left to the next start."""
        if self._accepting:
            await self.answer(message, me, place)

    async def answer(self, message: discord.Message, me: discord.ClientUser, place: Place | None = None) -> bool:
        """Answer a message that is meant for the bot. Returns False if it was or is being answered already.

        One that does not mention the bot gets an answer or nothing: its author may not have expected either. It leaves
        its place once it is in the queue of prompts, or known not to be.
        """
        if (known := self._in_progress.get(message.id)) is not None:
            # An edit may come before the prompt was read, or the message itself after its edit.
            self._in_progress[message.id] = max(known, message, key=lambda each: each.edited_at or each.created_at)
            return False
        self._in_progress[message.id] = message
        place = place or Place(None)
        try:
            try:
                await place.first()
                return await self._answer(message, me, place)
            finally:
                place.leave()
        except Overloaded as refusal:
            await self._notices.overloaded(message, refusal)
        except OverQuota as refusal:
            await self._notices.quota(message, refusal.quota_exceeded)
        except StoreError as error:
            log.error("a prompt in channel %d could not be saved: %s", message.channel.id, error)
            await self._notices.send(message, texts.CANNOT_SAVE)
        except Exception:
            log.exception("message %d could not be answered, because of a bug", message.id)
            await self._notices.send(message, texts.WENT_WRONG)
        finally:
            del self._in_progress[message.id]
        return True

    async def _answer(self, message: discord.Message, me: discord.ClientUser, place: Place) -> bool:
        mentioned = reader.address(message, me) is Addressing.YES
        if not self._accepting:
            if mentioned and not self._left_to_others:
                await self._notices.answer(message, texts.RESTARTING)
            return True
        # At once: each waits for a database server.
        denied, ping = await asyncio.gather(
            self._outages.wait_out(partial(self._policy.check_message, message)),
            self._replies.ping_of(message.author.id),
        )
        if denied is not None:
            if mentioned:
                await self._notices.denied(message, denied)
            return True
        if isinstance(message.channel, discord.Thread) and not may_write_in(message.channel):
            if mentioned:
                await self._notices.locked_out(message, message.channel)
            return True
        reads_history = await self._outages.wait_out(partial(self._policy.reads_history, message))
        read = None
        while read is not (latest := self._in_progress[message.id]):
            read, reading = latest, reader.read(latest, me)
            notices = [texts.QUOTE_WITHHELD] if reading.quote_withheld else []
            if reading.prompt is not None:
                prompt = replace(reading.prompt, reads_history=reads_history)
                self._pictures.remember(latest, content.quoted(latest), me)
                open_thread = None
                if await self._outages.wait_out(partial(self._replies.threads.wants, latest)):
                    prompt = _in_thread_on(latest, prompt)
                    open_thread = partial(self._replies.threads.open, latest)
                with self._files.at_hand(prompt, latest):
                    return await self._replies.answer(
                        message.channel,
                        prompt,
                        notices,
                        to_moderator=manages_guild(message.author),
                        placed=place.leave,
                        open_thread=open_thread,
                        ping=ping,
                    )
            if not mentioned:
                return True
            # Not marked as processed: an edit, also one that comes meanwhile, may make a question of the message.
            hint = notices[0] if notices else texts.hint(own_name(self._client, message.guild))
            await self._send_hint(message, hint)
        return True

    async def _send_hint(self, message: discord.Message, sentence: str) -> None:
        if message.id not in self._hinted:
            self._hinted.append(message.id)
            await self._notices.send(message, sentence)


def _in_thread_on(message: discord.Message, prompt: Prompt) -> Prompt:
    """A prompt as one of the conversation in the thread on its message, which has the message's id."""
    return replace(
        prompt,
        conversation=conversation_in(message.id),
        origin_message_id=message.id,
        parent=prompt.conversation,
        asked_in=prompt.conversation,
    )

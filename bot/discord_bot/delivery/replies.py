"""The replies of the bot on Discord: begun for prompts, begun anew, ended by people and by deletions."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from weakref import WeakKeyDictionary

import discord

from bot import texts
from bot.core.attempt import ActiveAttempt
from bot.core.errors import OverQuota, StoreError
from bot.core.records import SentPart
from bot.core.service import ConversationService
from bot.core.turns import Attempt, FailureReason, Outcome, Prompt, StopReason, Turn, TurnState
from bot.discord_bot.delivery.activity import ReplyActivity
from bot.discord_bot.delivery.deletions import Deletions
from bot.discord_bot.delivery.messages import ReplyMessages, age, reads_history
from bot.discord_bot.delivery.reactions import Reactions
from bot.discord_bot.delivery.reconciler import LiveReply
from bot.discord_bot.delivery.scheduler import Scheduler
from bot.discord_bot.delivery.view import ShownMessage
from bot.discord_bot.ids import channel_of, conversation_in, message_of
from bot.discord_bot.interactions.responses import moderates, respond_ephemeral
from bot.discord_bot.names import shown_name
from bot.discord_bot.owner_alerts import OwnerAlerts
from bot.store import Store

log = logging.getLogger(__name__)

EDITABLE_FOR = timedelta(minutes=55)
"""Messages over an hour old may be edited but three times in six seconds: too slow for a reply that grows."""

_DECIDED_LATELY = 60.0
"""Seconds; far more than from the look at a server's rules to the commit of a prompt."""

Spawn = Callable[[Coroutine[Any, Any, None]], object]


@dataclass(frozen=True, slots=True)
class PartialDelivery:
    """What an earlier process left of a reply on Discord."""

    sent: Sequence[tuple[int, int]] = ()
    """Id and start of each message, in the order of their parts."""
    unconfirmed: Mapping[int, str] = field(default_factory=dict)
    """The nonces of parts that it may have posted without living to see the answer, but that are not to be found."""
    orphaned: Sequence[int] = ()
    """Messages behind such a part, which have to go."""

    @property
    def begun_at(self) -> datetime | None:
        """When there was something to see first."""
        return discord.utils.snowflake_time(self.sent[0][0]) if self.sent else None


class Replies:
    """All replies of one client. In a server's channels one over `most` messages comes as a file."""

    def __init__(
        self,
        client: discord.Client,
        conversations: ConversationService,
        store: Store,
        scheduler: Scheduler,
        *,
        marks: Reactions,
        warnings: OwnerAlerts,
        spawn: Spawn,
        most: int | None,
    ) -> None:
        self._client = client
        self._conversations = conversations
        self._store = store
        self._scheduler = scheduler
        self._marks = marks
        self._warnings = warnings
        self._spawn = spawn
        self._most = most
        self._live: WeakKeyDictionary[ActiveAttempt, LiveReply] = WeakKeyDictionary()
        self._deletions = Deletions()
        self._decided_at = float("-inf")
        """When moderators last decided against somebody."""

    async def answer(self, place: object, prompt: Prompt, notices: Sequence[str]) -> bool:
        """Answer a prompt from a channel (`place`), with these notices under the answer. False: it was taken before.

        Raises StoreError, with nothing accepted, when it cannot be saved, Overloaded and OverAllowance.
        """
        notices = list(notices)
        if isinstance(place, discord.DMChannel) and not await self._store.turns.history(prompt.conversation, 1):
            notices.append(texts.FIRST_IN_DM)

        def open_sink(running: ActiveAttempt) -> ReplyActivity:
            self._look_again_at(running, prompt.author_id or 0)
            return self._open(running, place, notices=notices, waited=age(message_of(prompt)))

        try:
            return self._ended(prompt.guild_id, await self._conversations.answer(prompt, open_sink))
        except OverQuota as refusal:
            self._ended(
                prompt.guild_id,
                Outcome(TurnState.FAILED, failure=FailureReason.QUOTA, quota_exceeded=refusal.quota_exceeded),
            )
            raise

    async def retry(self, interaction: discord.Interaction, turn: Turn, *, resume: bool) -> None:
        """Another attempt at a reply, in its own messages, or below them where Discord is slow to edit these."""
        try:
            sent = await self._sent(turn)
            before = discord.utils.time_snowflake(discord.utils.utcnow() - EDITABLE_FOR)
            old = any(message_id < before for message_id, _ in sent)
            ids = [message_id for message_id, _ in sent]
            cuts = [start for _, start in sent[1:]]

            def open_sink(running: ActiveAttempt) -> ReplyActivity:
                self._look_again_at(running, interaction.user.id)
                where, shown = interaction.channel, list(map(ShownMessage, ids))
                if resume and not old:
                    return self._open(running, where, shown=shown, cuts=cuts)
                if resume:
                    return self._open(running, where, first_part=len(sent), source_offset=len(turn.reply))
                if old:
                    return self._open(running, where, stale_message_ids=ids)
                word = texts.RETRYING
                return self._open(
                    running,
                    where,
                    shown=shown,
                    cuts=cuts,
                    replace_previous=True,
                    previous_text=turn.reply,
                    status_line=word,
                )

            self._ended(turn.guild_id, await self._conversations.retry(turn, open_sink, resume=resume))
        except StoreError as error:
            log.error("turn %d could not be tried again: %s", turn.id, error)
            await respond_ephemeral(interaction, texts.CANNOT_SAVE)
        except Exception:
            log.exception("turn %d could not be tried again for a defect", turn.id)
            await respond_ephemeral(interaction, texts.WENT_WRONG)

    async def recover(self, turn: Turn, left: PartialDelivery) -> bool:
        """Another attempt at what an earlier process broke off, in its messages, which say so. False: it is gone.

        Raises StoreError, with nothing changed.
        """

        def open_sink(running: ActiveAttempt) -> ReplyActivity:
            return self._open(
                running,
                self._client.get_channel(channel_of(turn.conversation)),
                waited=age(message_of(turn)),
                lost=left.unconfirmed,
                shown=[ShownMessage(message_id) for message_id, _ in left.sent],
                cuts=[start for _, start in left.sent[1:]],
                stale_message_ids=left.orphaned,
                replace_previous=True,
                previous_text=turn.reply,
                # A word that is no answer is no reason for a new message.
                status_line=texts.TRYING_AGAIN if left.sent else None,
            )

        return self._ended(turn.guild_id, await self._conversations.retry(turn, open_sink, recovery=True))

    async def show_end(self, turn: Turn, left: PartialDelivery, outcome: Outcome) -> bool:
        """Show the end of a turn that an earlier process left before anybody could see it.

        False: it cannot be shown now, but another process may still do it.
        """
        channel = self._client.get_partial_messageable(channel_of(turn.conversation))
        live = LiveReply(
            channel.id,
            ReplyMessages(
                channel,
                message_of(turn),
                Attempt(turn.id, turn.attempt),
                self._store,
                posted=len(left.sent),
                unconfirmed=left.unconfirmed,
                waited=age(message_of(turn)),
                deletions=self._deletions,
            ),
            self._scheduler,
            note=texts.note,
            shown=[ShownMessage(message_id) for message_id, _ in left.sent],
            cuts=[start for _, start in left.sent[1:]],
            stale_message_ids=left.orphaned,
            max_messages=self._most_in(None, len(left.sent)),
        )
        seen = await live.finish(outcome)
        if live.deleted:
            await self._forget(turn.id)
        return seen

    def stop(self, interaction: discord.Interaction) -> int:
        """Stop the person's own replies in the channel, or for moderators all. Returns how many."""
        running = [
            each
            for each in self._conversations.running
            if each.prompt.conversation == conversation_in(interaction.channel_id or 0)
            and (each.prompt.author_id == interaction.user.id or moderates(interaction))
        ]
        for each in running:
            each.stop(StopReason.USER, shown_name(interaction.user))
        return len(running)

    def stop_person(self, person_id: int, guild_id: int, by: str) -> None:
        """Stop all replies to a person in a server, those that wait included."""
        self._decided_at = time.monotonic()
        for each in self._conversations.running:
            if each.prompt.guild_id == guild_id and each.prompt.author_id == person_id:
                each.stop(StopReason.USER, by)

    def stop_waiting(self, guild_id: int, by: str) -> None:
        """Stop all replies in a server for which the model has not been asked yet."""
        self._decided_at = time.monotonic()
        for each in self._conversations.running:
            if each.prompt.guild_id == guild_id and each.estimated_usage() is None:
                each.stop(StopReason.USER, by)

    def deleted(self, in_channel: int, message_ids: Collection[int]) -> set[int]:
        """End the replies whose prompt or message somebody has deleted. Returns those that the bot did not delete."""
        theirs = self._deletions.by_people(message_ids)
        for running in self._conversations.running:
            if running.prompt.conversation != conversation_in(in_channel):
                continue
            live = self._live.get(running)
            if running.prompt.message_id in theirs:
                running.stop(StopReason.PROMPT_DELETED)
            elif live is not None and any(map(live.shows, theirs)):
                live.on_messages_deleted(theirs)
                running.stop(StopReason.REPLY_DELETED)
        return theirs

    async def wait_until_removed(self, prompt_ids: Collection[int]) -> None:
        """Wait until nothing is shown any more of the replies under way to these prompts, or nothing more can go."""
        for live in [live for running, live in self._live.items() if running.prompt.message_id in prompt_ids]:
            await live.done.wait()

    def was_deleted(self, message_id: int) -> bool:
        """Whether somebody deleted the message lately."""
        return message_id in self._deletions

    def _open(
        self,
        running: ActiveAttempt,
        place: object,
        *,
        notices: Sequence[str] = (),
        first_part: int = 0,
        waited: float = 0.0,
        lost: Mapping[int, str] | None = None,
        shown: Sequence[ShownMessage] = (),
        **options: Any,
    ) -> ReplyActivity:
        prompt = running.prompt
        channel = self._client.get_partial_messageable(channel_of(prompt.conversation))

        def note(outcome: Outcome) -> str | None:
            lines = [*(notices if outcome.text else ()), texts.note(outcome)]
            return "\n".join(filter(None, lines)) or None

        live = LiveReply(
            channel.id,
            ReplyMessages(
                channel,
                message_of(prompt),
                running.attempt,
                self._store,
                first_part=first_part,
                quotes=reads_history(place),
                unconfirmed=lost,
                waited=waited,
                deletions=self._deletions,
            ),
            self._scheduler,
            note=note,
            shown=shown,
            max_messages=self._most_in(place, len(shown)),
            **options,
        )
        self._live[running] = live
        self._spawn(self._forget_when_deleted(running, live))
        if message_of(prompt) in self._deletions:
            running.stop(StopReason.PROMPT_DELETED)
        return ReplyActivity(
            live, channel.get_partial_message(message_of(prompt)), self._marks, self._scheduler, self._spawn
        )

    def _ended(self, guild_id: int | None, outcome: Outcome | None) -> bool:
        """Warn the owner where this end gives a reason to. False: there was nothing to answer."""
        if outcome is not None:
            self._spawn(self._warnings.check(outcome, guild_id))
        return outcome is not None

    def _most_in(self, place: object, shown: int) -> int | None:
        """How many messages a reply may have: long ones flood a channel; a thread or a DM is the place for them.

        What Discord has not told about yet (None) counts as a channel, but for what is shown there already.
        """
        if self._most is None or not (place is None or isinstance(place, discord.abc.GuildChannel)):
            return None
        return max(self._most, shown) if place is None else self._most

    async def _forget_when_deleted(self, running: ActiveAttempt, live: LiveReply) -> None:
        """What nobody will see need not be written, as its tokens would be billed, and is not remembered."""
        await live.done.wait()
        if live.deleted:
            running.stop(StopReason.REPLY_DELETED)
            await self._forget(running.attempt.turn_id)

    def _look_again_at(self, running: ActiveAttempt, person_id: int) -> None:
        """Stop what moderators have decided against between the gate's look and its being on record."""
        guild_id = running.prompt.guild_id
        if guild_id is not None and time.monotonic() - self._decided_at < _DECIDED_LATELY:
            self._spawn(self._stop_if_denied(running, guild_id, person_id))

    async def _stop_if_denied(self, running: ActiveAttempt, guild_id: int, person_id: int) -> None:
        try:
            rules = await self._store.guild_rules.rules_for(guild_id, person_id)
        except StoreError as error:
            log.warning("what a server's moderators decided is not known: %s", error)
            return
        if rules.paused or rules.block is not None:
            running.stop(StopReason.USER)

    async def _forget(self, turn_id: int) -> None:
        """A reply that somebody has taken away is no part of what is remembered."""
        try:
            await self._store.retention.forget_turn(turn_id)
        except StoreError as error:
            log.error("turn %d could not be forgotten: %s", turn_id, error)

    async def _sent(self, turn: Turn) -> list[tuple[int, int]]:
        """Id and start of each message of a reply that is known to be there."""
        sent: list[SentPart] = await self._store.deliveries.sent(turn.id)
        return [(each.message_id, each.start) for each in sent if each.message_id is not None]

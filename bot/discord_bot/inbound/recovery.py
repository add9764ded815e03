"""Brings to an end what an earlier process left unfinished, or ended without anybody seeing it.

A turn that was broken off is tried again once by itself, in the messages that it has. What of a reply stands on
Discord is looked up where the store does not know: a process may be killed between a post and its answer.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import discord

from bot.core.errors import StoreError
from bot.core.records import SentPart
from bot.core.service import ConversationService
from bot.core.turns import Attempt, Conversation, FailureReason, Outcome, StopReason, Turn, TurnState
from bot.discord_bot.access.policy import Policy
from bot.discord_bot.delivery.beginning import PartialDelivery
from bot.discord_bot.delivery.messages import age
from bot.discord_bot.delivery.opener import Spawn
from bot.discord_bot.delivery.replies import EDITABLE_FOR, Replies
from bot.discord_bot.delivery.view import TargetGone, Unavailable
from bot.discord_bot.ids import channel_of, message_of
from bot.discord_bot.inbound.history import History, MessageStatus
from bot.store import Store

log = logging.getLogger(__name__)

_LATER = 60.0
"""Seconds until a turn is looked up again after Discord or the database failed."""
_TRIES = 2
"""Attempts until a person is asked: what ended the process may have been the turn."""


class Recovery:
    """Over one client's replies. A prompt older than `within` seconds that nothing was said to is not answered any
    more. `spawn` keeps tasks that must come to their end alive.
    """

    def __init__(
        self,
        client: discord.Client,
        conversations: ConversationService,
        store: Store,
        replies: Replies,
        gate: Policy,
        history: History,
        spawn: Spawn,
        *,
        within: float,
    ) -> None:
        self._client = client
        self._conversations = conversations
        self._store = store
        self._replies = replies
        self._gate = gate
        self._history = history
        self._spawn = spawn
        self._within = within

    def recover(self, turns: Sequence[Turn], spawn: Spawn) -> None:
        """Take on the turns whose end nobody has seen. `spawn` runs what may be cancelled: the next start finds it."""
        conversations: defaultdict[Conversation, list[Turn]] = defaultdict(list)
        for turn in turns:
            conversations[turn.conversation].append(turn)
        for of_one in conversations.values():
            spawn(self._one_after_the_other(of_one))

    async def _one_after_the_other(self, turns: Sequence[Turn]) -> None:
        """Look each one up, in order; people's places in line are taken in it."""
        for turn in turns:
            while True:
                try:
                    await self._recover(turn)
                    break
                except (Unavailable, StoreError) as error:
                    log.warning("turn %d has to wait for its recovery: %s", turn.id, error)
                    await asyncio.sleep(_LATER)

    async def _recover(self, turn: Turn) -> None:
        # Before anything takes time: when the turn is forgotten meanwhile, it is known which messages showed it.
        sent = await self._store.deliveries.sent(turn.id)
        prompt = await self._history.status_of(channel_of(turn.conversation), message_of(turn))
        if prompt is MessageStatus.CHANNEL_DELETED:
            await self._conversations.forget(turn.conversation)
            return
        left = await self._left(turn, sent)
        outcome = Outcome(turn.state, turn.reply, turn.failure)
        if prompt is MessageStatus.DELETED:
            # A reply that is whole stays where it can be seen.
            if turn.state is TurnState.INTERRUPTED or not turn.reply or not left.sent:
                outcome = replace(outcome, stop_reason=StopReason.PROMPT_DELETED)
            self._spawn(self._end(turn, left, outcome, forget=True))
        elif self._is_worth_a_try(turn, left) and not await self._is_denied(turn):
            self._spawn(self._try_again(turn, left))
        else:
            self._spawn(self._end(turn, left, outcome))

    def _is_worth_a_try(self, turn: Turn, left: PartialDelivery) -> bool:
        if turn.state is not TurnState.INTERRUPTED or turn.tries >= _TRIES:
            return False
        if left.begun_at is not None:
            return discord.utils.utcnow() - left.begun_at < EDITABLE_FOR
        return age(message_of(turn)) < self._within

    async def _is_denied(self, turn: Turn) -> bool:
        """Whether it may not be answered any more. Its button is asked about when somebody presses it."""
        denied = await self._gate.check_retry(turn)
        if denied is not None:
            log.info("turn %d was broken off and is not tried again: %s", turn.id, denied.value)
        return denied is not None

    async def _try_again(self, turn: Turn, left: PartialDelivery) -> None:
        log.info("turn %d was broken off and is tried again", turn.id)
        try:
            if not await self._replies.recover(turn, left) and not await self._store.deliveries.sent(turn.id):
                # Forgotten since: nobody else tells of it, and what can be seen must not look as if it went on.
                deleted = self._replies.deletions.was_deleted(message_of(turn))
                cause = StopReason.PROMPT_DELETED if deleted else StopReason.FORGOTTEN
                await self._replies.show_end(turn, left, replace(_forgotten(turn, left), stop_reason=cause))
        except StoreError as error:
            log.error("turn %d could not be tried again: %s", turn.id, error)
            await self._replies.show_end(turn, left, Outcome(TurnState.FAILED, turn.reply, FailureReason.STORAGE))

    async def _end(self, turn: Turn, left: PartialDelivery, outcome: Outcome, *, forget: bool = False) -> None:
        try:
            if not forget and not await self._store.turns.exists(turn.id):
                outcome = _forgotten(turn, left)
        except StoreError as error:
            log.warning("whether turn %d was forgotten is not known: %s", turn.id, error)
        if not await self._replies.show_end(turn, left, outcome):
            return
        try:
            if forget:
                await self._store.retention.forget_turn(turn.id)
            else:
                await self._store.turns.mark_delivered(Attempt(turn.id, turn.attempt))
        except StoreError as error:
            log.warning("turn %d: the next start will show its end once more: %s", turn.id, error)

    async def _left(self, turn: Turn, on_record: Sequence[SentPart]) -> PartialDelivery:
        """What there is of a reply, on record or to be found."""
        shown: list[tuple[int, int]] = []
        lost: dict[int, str] = {}
        surplus: list[int] = []
        for sent in on_record:
            message_id = sent.message_id
            if message_id is None:
                message_id = await self._find(turn, sent, behind=shown[-1][0] if shown else message_of(turn))
            if message_id is None:
                lost[sent.part] = sent.nonce
            elif lost:
                surplus.append(message_id)
            else:
                shown.append((message_id, sent.start))
        return PartialDelivery(shown, lost, surplus)

    async def _find(self, turn: Turn, sent: SentPart, *, behind: int) -> int | None:
        """The message of a post that no answer came to, and put it on record."""
        try:
            messages = await self._history.after_message(channel_of(turn.conversation), behind)
        except TargetGone:
            return None
        for message in messages:
            if self._may_show(message, turn, sent.part) and await self._store.turns.of_message(message.id) is None:
                await self._store.deliveries.posted(Attempt(turn.id, turn.attempt), sent.part, message.id)
                return message.id
        return None

    def _may_show(self, message: discord.Message, turn: Turn, part: int) -> bool:
        """Whether the bot may have posted it as this part of the reply: the first one replies to the prompt."""
        if self._client.user is None or message.author.id != self._client.user.id:
            return False
        replies_to = None if message.reference is None else message.reference.message_id
        if part > 0 and replies_to is None:
            return message.type is discord.MessageType.default and message.flags.silent
        return replies_to == turn.message_id


def _forgotten(turn: Turn, left: PartialDelivery) -> Outcome:
    """How a turn ends that is gone: nothing of it is shown that was not there before."""
    return Outcome(TurnState.STOPPED, turn.reply if left.sent else "", stop_reason=StopReason.FORGOTTEN)

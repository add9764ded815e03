"""Recovers turns that an earlier process left unfinished, or whose end nobody has seen.

An interrupted turn is tried again once, in the messages that its reply has already. The messages of a reply are looked
up on Discord where the store does not know them: a process may be killed between a post and Discord's answer.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain, repeat

import discord

from bot.core.errors import StoreBug, StoreError
from bot.core.prompt_text import asked
from bot.core.records import SentPart
from bot.core.retrying import retrying
from bot.core.service import ConversationService
from bot.core.turns import Attempt, Conversation, Ending, FailureReason, Outcome, StopReason, Turn, TurnState
from bot.discord_bot.access.policy import Policy
from bot.discord_bot.channels import anchor_of, asked_by_command, asked_in, channel_of, is_for_one, message_of
from bot.discord_bot.delivery import buttons
from bot.discord_bot.delivery.beginning import PartialDelivery
from bot.discord_bot.delivery.messages import age
from bot.discord_bot.delivery.replies import EDITABLE_FOR, Replies
from bot.discord_bot.delivery.view import TargetGone, Unavailable
from bot.discord_bot.inbound.history import History, MessageStatus
from bot.discord_bot.names import stored_name
from bot.discord_bot.tasks import TaskSupervisor
from bot.store import Store
from bot.texts import small_print

log = logging.getLogger(__name__)

_SHORT_DELAYS = (1.0, 5.0, 20.0)
"""Seconds between the first tries to recover a turn while Discord or the database fails.

Where it is another attempt that the database does not take, people are told after these.
"""
_RETRY_DELAY = 60.0
"""Seconds between the tries after those."""
_LONG = 450
"""Characters of a message that only replies have: a quarter of what one holds, which all but their last ones fill."""
_WORDS = 5
"""Words at the beginning of a message by which its text is known."""
_MAX_TRIES = 2
"""Attempts at a turn until a user has to press Retry: the turn itself may have ended the process."""


class Recovery:
    """Recovers the turns of one client. A prompt without a reply is answered until it is `max_age` seconds old."""

    def __init__(
        self,
        conversations: ConversationService,
        store: Store,
        replies: Replies,
        policy: Policy,
        history: History,
        tasks: TaskSupervisor,
        *,
        max_age: float,
    ) -> None:
        self._conversations = conversations
        self._store = store
        self._replies = replies
        self._policy = policy
        self._history = history
        self._tasks = tasks
        self._max_age = max_age

    def recover(self, turns: Sequence[Turn]) -> None:
        """Start to recover turns. A shutdown leaves those that were not looked up yet to the next start."""
        conversations: defaultdict[Conversation, list[Turn]] = defaultdict(list)
        for turn in turns:
            # What only one user may see is shown when that user asks there again, since only then there is a token.
            if not is_for_one(turn.conversation):
                conversations[turn.conversation].append(turn)
        for of_one in conversations.values():
            self._tasks.spawn(self._recover_in_order(of_one), on_shutdown="cancel")

    async def _recover_in_order(self, turns: Sequence[Turn]) -> None:
        """Recover the turns of one conversation in their order, in which they also enter the queue."""
        for turn in turns:
            try:
                await retrying(
                    partial(self._recover, turn),
                    chain(_SHORT_DELAYS, repeat(_RETRY_DELAY)),
                    on=(Unavailable, StoreError),
                    log_retry=partial(_log_retry, turn),
                )
            except StoreBug:
                log.error("turn %d cannot be recovered, and is left to the next start", turn.id)

    async def _recover(self, turn: Turn) -> None:
        # What an earlier try has found of it, but could not write yet.
        await self._replies.records.complete(turn.id)
        # Read first: if the turn is forgotten during the requests below, its messages are known all the same.
        sent = await self._store.deliveries.sent(turn.id)
        prompt = await self._history.status_of(asked_in(turn), anchor_of(turn))
        if turn.asked_in is not None and not await self._history.is_there(channel_of(turn.conversation)):
            prompt = MessageStatus.CHANNEL_DELETED
        if prompt is MessageStatus.CHANNEL_DELETED:
            for each in (turn.conversation, *await self._store.conversations.for_one_in(turn.conversation)):
                await self._conversations.forgetting.forget(each)
            return
        orphaned: Sequence[int] = ()
        if asked_by_command(turn):
            sent, prompt, orphaned = await self._of_command(turn, sent, prompt)
        left = await self._left(turn, sent)
        left = replace(left, orphaned=[*left.orphaned, *orphaned])
        outcome = Outcome(turn.state, turn.reply, turn.failure, answered_by=turn.answered_by)
        if prompt is MessageStatus.DELETED:
            # A complete reply that can be seen stays as it is.
            if turn.state is TurnState.INTERRUPTED or not turn.reply or not left.sent:
                outcome = replace(outcome, stop_reason=StopReason.PROMPT_DELETED)
            self._tasks.spawn(self._end(turn, left, outcome, forget=True))
        elif self._may_be_retried(turn, left) and not await self._is_denied(turn):
            self._tasks.spawn(self._try_again(turn, left))
        else:
            if await self._store.turns.was_retried_in_vain(turn):
                # What failed is on no record. Its message has no button any more.
                outcome = replace(outcome, state=TurnState.INTERRUPTED, kept=Ending(turn.state, turn.failure))
            if turn.state is TurnState.INTERRUPTED:
                # Messages on no record may show more of the text than is on record.
                left = replace(left, orphaned=[each for each in left.orphaned if each not in left.unrecorded])
            self._tasks.spawn(self._end(turn, left, outcome))

    def _may_be_retried(self, turn: Turn, left: PartialDelivery) -> bool:
        if turn.state is not TurnState.INTERRUPTED or turn.tries >= _MAX_TRIES:
            return False
        if left.begun_at is not None:
            return discord.utils.utcnow() - left.begun_at < EDITABLE_FOR
        return age(message_of(turn)) < self._max_age

    async def _is_denied(self, turn: Turn) -> bool:
        """Whether the policy forbids to answer a turn now. Its Retry button is checked when somebody presses it."""
        denied = await self._policy.check_retry(turn)
        if denied is not None:
            log.info("turn %d was interrupted and is not tried again: %s", turn.id, denied.value)
        return denied is not None

    async def _try_again(self, turn: Turn, left: PartialDelivery) -> None:
        log.info("turn %d was interrupted and is tried again", turn.id)
        try:
            is_answered = await retrying(
                partial(self._is_answered_again, turn, left),
                _SHORT_DELAYS,
                on=(StoreError,),
                log_retry=partial(_log_retry, turn),
            )
        except StoreError as error:
            log.error("turn %d could not be tried again: %s", turn.id, error)
            await self._replies.show_end(turn, left, Outcome(TurnState.FAILED, turn.reply, FailureReason.STORAGE))
            return
        if not is_answered:
            # The turn was forgotten. Its messages still say that it goes on, and nothing else corrects them.
            deleted = self._replies.deletions.was_deleted(anchor_of(turn))
            cause = StopReason.PROMPT_DELETED if deleted else StopReason.FORGOTTEN
            await self._replies.show_end(turn, left, replace(_forgotten(turn, left), stop_reason=cause))

    async def _is_answered_again(self, turn: Turn, left: PartialDelivery) -> bool:
        """Make another attempt at a turn until its end is shown. False: the turn was forgotten. Raises StoreError."""
        return await self._replies.recover(turn, left) or bool(await self._store.deliveries.sent(turn.id))

    async def _end(self, turn: Turn, left: PartialDelivery, outcome: Outcome, *, forget: bool = False) -> None:
        try:
            if not forget and not await self._store.turns.exists(turn.id):
                outcome = _forgotten(turn, left)
        except StoreError as error:
            log.warning("could not check whether turn %d was forgotten: %s", turn.id, error)
        if not await self._replies.show_end(turn, left, outcome):
            return
        if forget:
            await self._conversations.saver.forget_turn(turn.id)
        else:
            await self._replies.mark_delivered(turn)

    async def _of_command(
        self, turn: Turn, on_record: list[SentPart], answer: MessageStatus
    ) -> tuple[list[SentPart], MessageStatus, Sequence[int]]:
        """What is left of a reply to a command: its messages, what became of the prompt, and messages to delete.

        The answer to the command stands for the prompt, and shows the first part. While it shows nothing, it cannot be
        relied on to take an edit without the token. If it is gone but not on record, the bot has deleted it itself.
        """
        answer_id = message_of(turn)
        first = next((each for each in on_record if each.part == 0), None)
        if answer is MessageStatus.LOADING:
            moved = first is not None and first.message_id not in (None, answer_id)
            return on_record if moved else on_record[1:], MessageStatus.PRESENT, [answer_id]
        if answer is MessageStatus.DELETED and (first is None or first.message_id != answer_id):
            return on_record, MessageStatus.PRESENT, ()
        if answer is MessageStatus.PRESENT and first is None:
            return await self._adopted(turn, answer_id), answer, ()
        if answer is MessageStatus.PRESENT and first is not None and first.message_id is None:
            await self._store.deliveries.posted(Attempt(turn.id, turn.attempt), 0, answer_id)
            return [replace(first, message_id=answer_id), *on_record[1:]], answer, ()
        return on_record, answer, ()

    async def _left(self, turn: Turn, on_record: Sequence[SentPart]) -> PartialDelivery:
        """The messages of a reply: those on record, and those found on Discord."""
        shown: list[tuple[int, int]] = []
        lost: dict[int, str] = {}
        stale = await self._store.deliveries.stale(turn.id)
        surplus = [*stale]
        if not on_record and not stale and not asked_by_command(turn):
            on_record = await self._unrecorded(turn)
        for sent in on_record:
            message_id = sent.message_id
            if message_id is None:
                behind = shown[-1][0] if shown else message_of(turn)
                message_id = await self._find(turn, sent.part, stale, behind=behind)
                if message_id is not None:
                    # Nobody may take it for a rest of theirs from now on.
                    await self._replies.records.of(Attempt(turn.id, turn.attempt)).posted(sent.part, message_id)
                    await self._replies.records.complete(turn.id)
            if message_id is None:
                lost[sent.part] = sent.nonce
            elif lost:
                surplus.append(message_id)
            else:
                shown.append((message_id, sent.start))
        further = await self._further(turn, stale, behind=shown[-1][0]) if shown and not lost else []
        return PartialDelivery(shown, lost, [*surplus, *further], further)

    async def _unrecorded(self, turn: Turn) -> Sequence[SentPart]:
        """The first message of a reply of which nothing is on record, if it is there after all.

        The database may have been away from the post to the end of the process.
        """
        for message in await self._own_messages(turn, behind=message_of(turn)):
            if await self._is_unrecorded(message, turn, 0):
                return await self._adopted(turn, message.id)
        return ()

    async def _adopted(self, turn: Turn, first: int) -> list[SentPart]:
        """The first message of a reply, put on record. Of which text those behind it are, nobody knows any more."""
        attempt, part = Attempt(turn.id, turn.attempt), SentPart(0, 0, "", first)
        await self._store.deliveries.posting(attempt, part.part, part.start, part.nonce)
        await self._store.deliveries.posted(attempt, part.part, first)
        return [part]

    async def _further(self, turn: Turn, stale: Collection[int], *, behind: int) -> list[int]:
        """The messages right behind the last one on record that are further ones of the reply, and are to be deleted.

        The database may have been away from their posts to the end of the process.
        """
        further: list[int] = []
        for message in await self._own_messages(turn, behind=behind):
            if message.id in stale:
                continue
            # What everybody sees of a command stands in the channel too, and is on no record.
            if not _shows_reply(message, turn) or not await self._is_unrecorded(message, turn, 1):
                break
            further.append(message.id)
        return further

    async def _find(self, turn: Turn, part: int, stale: Collection[int], *, behind: int) -> int | None:
        """The message of a part that the earlier process does not know to have posted."""
        for message in await self._own_messages(turn, behind=behind):
            if message.id not in stale and await self._is_unrecorded(message, turn, part):
                return message.id
        return None

    async def _is_unrecorded(self, message: discord.Message, turn: Turn, part: int) -> bool:
        """Whether a message of the bot may be this part of a turn's reply, and is of no other reply."""
        if not self._may_show(message, turn, part) or await self._is_on_record(message):
            return False
        if await self._replies.records.is_missing(message.id) or await self._is_on_record(message):
            return False
        # As the rest of another reply.
        return not self._replies.deletions.is_own(message.id)

    async def _is_on_record(self, message: discord.Message) -> bool:
        return await self._store.turns.of_message(message.id) is not None

    async def _own_messages(self, turn: Turn, *, behind: int) -> Sequence[discord.Message]:
        """The bot's messages in the place of a turn after another message there, as far as it may read them."""
        try:
            return await self._history.own_messages_after(channel_of(turn.conversation), behind)
        except TargetGone:
            return ()

    def _may_show(self, message: discord.Message, turn: Turn, part: int) -> bool:
        """Whether a message of the bot may be this part of a turn's reply.

        The first part is a reply, unless the prompt is in another channel; further ones are silent. To
        a command, all are answers: the first one is not silent only where it pings.
        """
        made_by = message.interaction_metadata
        if asked_by_command(turn) and made_by is not None:
            by_asker = made_by.user.id == turn.user_id and made_by.id < message_of(turn)
            return by_asker and message.flags.silent == (part > 0)
        replies_to = None if message.reference is None else message.reference.message_id
        if turn.asked_in is not None or part > 0:
            return message.type is discord.MessageType.default and message.flags.silent == (part > 0)
        if replies_to != anchor_of(turn):
            return False
        # One message may have several questions about it, and be one itself.
        question = asked(turn.prompt) if turn.target_id is not None else None
        return small_print.may_answer(message.content, stored_name(turn.author_name), question)


def _shows_reply(message: discord.Message, turn: Turn) -> bool:
    """Whether a message is certain to show a reply: by its length, by the buttons of one, or by this turn's text.

    Nothing else that the bot says has any of these.
    """
    if len(message.content) >= _LONG or buttons.are_under(message):
        return True
    beginning = " ".join(message.content.split()[:_WORDS])
    return beginning != "" and f" {beginning} " in f" {' '.join(turn.reply.split())} "


def _log_retry(turn: Turn, error: Exception, _delay: float) -> None:
    log.warning("turn %d cannot be recovered yet: %s", turn.id, error)


def _forgotten(turn: Turn, left: PartialDelivery) -> Outcome:
    """The outcome of a turn that was forgotten: it shows no text that was not shown before."""
    return Outcome(TurnState.STOPPED, turn.reply if left.sent else "", stop_reason=StopReason.FORGOTTEN)

"""The replies of the bot on Discord: to prompts, to presses on Retry and Continue, and after a restart.

How a reply is opened in a channel is the job of `opener`, how it is shown that of `reconciler`.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any, Protocol

import discord

from bot import texts
from bot.core.answering import CompletePrompt
from bot.core.attached import may_be_unread
from bot.core.attempt import ActiveAttempt
from bot.core.errors import OverQuota, StoreError
from bot.core.records import Ping
from bot.core.retrying import poll_until
from bot.core.service import ConversationService
from bot.core.turns import Attempt, Conversation, FailureReason, Outcome, Prompt, Turn, TurnState
from bot.discord_bot.channels import is_for_one, message_of
from bot.discord_bot.delivery.activity import ReplyActivity
from bot.discord_bot.delivery.beginning import (
    Beginning,
    ContinuedBelow,
    ContinuedInPlace,
    MovedBelow,
    PartialDelivery,
    Restarted,
    SentMessage,
)
from bot.discord_bot.delivery.deletions import ReplyDeletions
from bot.discord_bot.delivery.interaction_messages import Through
from bot.discord_bot.delivery.messages import age
from bot.discord_bot.delivery.opener import ReplyOpener, Spawn
from bot.discord_bot.delivery.stopping import ReplyStopping
from bot.discord_bot.delivery.threads import QuestionThreads
from bot.discord_bot.delivery.view import Button, buttons_after
from bot.store import Store
from bot.texts.files import FileNotes

log = logging.getLogger(__name__)

EDITABLE_FOR = timedelta(minutes=55)
"""The age up to which a message is edited for a growing reply.

Discord accepts about three edits in six seconds of messages that are older than an hour. It refuses further ones with
error 30046: https://github.com/discord/discord-api-docs/pull/4381.
"""

_OFFERED = 1000
"""Attempts that are remembered to have a button since their question was edited."""
_SHOWN_WITHIN = 10.0
"""Seconds for which another attempt waits until the end of the one before is shown."""
_CHECK_EVERY = 0.05
_MOST_UNSEEN = 3
"""Earlier replies that are shown with one answer."""

Restore = Callable[[], Awaitable[object]]
"""Shows the button again that was pressed."""

OpenThread = Callable[[Prompt], Awaitable[discord.Thread | str]]
"""Opens a thread for a prompt. The result is a sentence if there is none."""

Report = Callable[[str], Awaitable[object]]
"""Shows a sentence to the user who pressed a button, and to no other."""


class ReadFiles(Protocol):
    """A `bot.core.answering.CompletePrompt`: puts on record what the files of a prompt say that are not read yet.

    `files` takes what people are told of them.
    """

    def __call__(self, running: ActiveAttempt, *, files: FileNotes) -> Coroutine[Any, Any, Outcome | None]: ...


class Replies:
    """The replies of one client. `threads` are those that it opens. `on_end` takes each outcome and its guild."""

    def __init__(
        self,
        opener: ReplyOpener,
        conversations: ConversationService,
        store: Store,
        spawn: Spawn,
        read_files: ReadFiles,
        threads: QuestionThreads,
        on_end: Callable[[Outcome, int | None], Coroutine[Any, Any, None]],
    ) -> None:
        self._opener = opener
        self._conversations = conversations
        self._store = store
        self._spawn = spawn
        self._read_files = read_files
        self._on_end = on_end
        self.threads = threads
        self.records = opener.records
        self.live = opener.live
        self._showing_again: set[int] = set()
        """The turns whose unseen end is being shown."""
        self.stopping = ReplyStopping(conversations, store, spawn)
        self.deletions = ReplyDeletions(conversations, opener.deletions, opener.live)
        self._offered: deque[Attempt] = deque(maxlen=_OFFERED)

    async def answer(
        self,
        channel: object,
        prompt: Prompt,
        notices: Sequence[str],
        *,
        to_moderator: bool = False,
        placed: Callable[[], None] = lambda: None,
        accepted: Callable[[], None] = lambda: None,
        open_thread: OpenThread | None = None,
        through: Through | None = None,
        ping: Ping | None = None,
    ) -> bool:
        """Answer a prompt from a channel, with these notices under the answer. False: it was answered before.

        `open_thread` opens the thread in which the prompt is to be answered; without one it is answered in the channel
        that it was asked in, and with `through` by the answer to an interaction. The first answer `to_moderator` in a
        guild tells about channel rules. `placed` is called when what is asked from then on comes after the prompt,
        and `accepted` once it is saved. `ping` is what its author has chosen, if that is known. Raises StoreError when
        the prompt cannot be saved, Overloaded and OverQuota. Nothing is accepted then.
        """
        notices, files = list(notices), FileNotes()
        ping = ping or await self.ping_of(prompt.user_id)
        in_chat = isinstance(channel, discord.DMChannel) and not is_for_one(prompt.conversation)
        if in_chat and not await self._conversations.outages.wait_out(
            partial(self._store.turns.history, prompt.conversation, 1)
        ):
            notices.append(texts.FIRST_IN_DM)

        async def tell_moderator(outcome: Outcome) -> None:
            # Only now, and under a whole answer: it is given once, and beside a note on what is missing is no room.
            whole = outcome.state is TurnState.COMPLETE and outcome.failure is None and not outcome.unseen
            if whole and await self._claim_moderators_note(prompt.guild_id):
                notices.append(texts.MODERATORS)

        def open_sink(running: ActiveAttempt) -> ReplyActivity:
            self.stopping.recheck(running, prompt.user_id or 0)
            activity = self._opener.open(
                running,
                channel,
                notices=notices,
                files=files,
                waited=age(message_of(prompt)),
                ping=ping,
                through=through,
                before_end=tell_moderator if to_moderator else None,
            )
            accepted()
            return activity

        async def settle(open_: OpenThread, asked: Prompt) -> Prompt:
            nonlocal channel
            if await self._store.processed.among([message_of(asked)]):
                return asked
            opened = await open_(asked)
            if isinstance(opened, str):
                notices.append(opened)
                return replace(asked, conversation=asked.asked_in or asked.conversation, parent=None, asked_in=None)
            channel = opened
            notices.extend(await self.threads.hints(asked))
            return asked

        try:
            completing = self._completing(prompt.text, files)
            settled = None if open_thread is None else partial(settle, open_thread)
            placed()
            # It has its place before this waits for anything.
            outcome = await self._conversations.answer(prompt, open_sink, completing, settle=settled)
        except OverQuota as refusal:
            refused = Outcome(TurnState.FAILED, failure=FailureReason.QUOTA, quota_exceeded=refusal.quota_exceeded)
            self._report_end(prompt.guild_id, refused)
            raise
        return self._report_end(prompt.guild_id, outcome)

    async def retry(
        self,
        turn: Turn,
        channel: object,
        user_id: int,
        *,
        reads_history: bool,
        resume: bool,
        report: Report,
        restore: Restore,
        through: Through | None = None,
    ) -> None:
        """Make another attempt at a turn because a user pressed a button. `resume`: it goes on from the text.

        A reply that only one user sees can only be shown `through` that user's press. `restore` puts the button back if
        the user's questions have been used up by another press meanwhile, or the database fails.
        """
        files, ping, notices = FileNotes(), await self.ping_of(turn.user_id), await self.threads.hints(turn)
        if not await self._is_shown(Attempt(turn.id, turn.attempt)):
            await restore()
            await report(texts.ONE_MOMENT)
            return
        try:
            beginning = _beginning_of_retry(turn, await self._sent(turn), resume=resume, through=through)
            if through is not None and isinstance(beginning, ContinuedBelow | MovedBelow):
                through = replace(through, original_id=None)

            def open_sink(running: ActiveAttempt) -> ReplyActivity:
                for either in {user_id, turn.user_id or user_id}:
                    self.stopping.recheck(running, either)
                return self._opener.open(
                    running, channel, beginning, notices=notices, files=files, ping=ping, through=through
                )

            outcome = await self._conversations.retry(
                turn,
                open_sink,
                self._completing(turn.prompt, files),
                user_id=user_id,
                reads_history=reads_history,
                resume=resume,
            )
            self._report_end(turn.guild_id, outcome)
        except OverQuota as refusal:
            await restore()
            await report(texts.full_size(texts.used_up(refusal.quota_exceeded)))
        except StoreError as error:
            log.error("turn %d could not be tried again: %s", turn.id, error)
            await restore()
            await report(texts.CANNOT_SAVE)
        except Exception:
            log.exception("turn %d could not be tried again, because of a bug", turn.id)
            await report(texts.WENT_WRONG)

    async def recover(self, turn: Turn, partial: PartialDelivery) -> bool:
        """Make another attempt at a turn that an earlier process broke off. False: the turn was forgotten.

        Raises StoreError, with nothing changed.
        """
        # A status line is no reason for a new message, so without one of the old there is none.
        beginning: Beginning = MovedBelow(partial.orphaned)
        files = FileNotes()
        if partial.sent:
            beginning = Restarted(partial.sent, turn.reply, texts.TRYING_AGAIN, partial.orphaned)
        ping, notices = await self.ping_of(turn.user_id), await self.threads.hints(turn)

        def open_sink(running: ActiveAttempt) -> ReplyActivity:
            channel = self._opener.known_channel(turn)
            waited = age(message_of(turn))
            return self._opener.open(
                running, channel, beginning, notices=notices, files=files, partial=partial, waited=waited, ping=ping
            )

        completing = self._completing(turn.prompt, files)
        outcome = await self._conversations.retry(turn, open_sink, completing, recovery=True)
        return self._report_end(turn.guild_id, outcome)

    async def offer_again(self, before: Turn) -> None:
        """Offer to answer anew a question that was edited, once a reply to what it was is there. Raises StoreError.

        `before` is the turn as it was. It is offered under the latest reply to its author only, and nothing is offered
        where the reply has a button for that already.
        """
        answered: str | None = before.prompt
        for running in [each for each in self._conversations.running if each.attempt.turn_id == before.id]:
            live = self._opener.live.get(running)
            if live is not None:
                await live.lifecycle.done.wait()
            answered = running.asked
        turn = None if before.message_id is None else await self._store.turns.of_prompt(before.message_id)
        if turn is None or turn.state in (TurnState.PENDING, TurnState.STREAMING) or answered in (None, turn.prompt):
            return
        shown, attempt = buttons_after(Outcome(turn.state, turn.reply, turn.failure)), Attempt(turn.id, turn.attempt)
        if Button.RETRY in shown or not await self._store.turns.is_latest(turn):
            return
        sent = await self._sent(turn)
        # Last: several edits may have come this far at the same time.
        if sent and attempt not in self._offered:
            self._offered.append(attempt)
            self._opener.offer(turn, sent[-1][0], (*shown, Button.AGAIN))

    async def show_unseen(self, conversation: Conversation, through: Through) -> None:
        """Show the user of an interaction the ends of their replies in a conversation for one that they have not seen.

        Nothing else shows them: they may not be posted in the channel, and an earlier token is gone.
        """
        try:
            unseen = await self._store.turns.unseen_ends(conversation, _MOST_UNSEEN)
            being_shown = {running.attempt.turn_id for running in self._conversations.running} | self._showing_again
            # Of what is written late, the end has been seen, or is about to be.
            is_late = self._conversations.saver.is_late
            mine = [turn for turn in unseen if turn.id not in being_shown and not is_late(turn.id)]
            self._showing_again.update(turn.id for turn in mine)
            try:
                for turn in mine:
                    outcome = Outcome(turn.state, turn.reply, turn.failure, answered_by=turn.answered_by)
                    if await self._opener.show_again(turn, outcome, through):
                        await self.mark_delivered(turn)
            finally:
                self._showing_again.difference_update(turn.id for turn in mine)
        except StoreError as error:
            log.warning("could not show an end that was not seen yet: %s", error)

    async def show_end(self, turn: Turn, partial: PartialDelivery, outcome: Outcome) -> bool:
        """Show the end of a turn that an earlier process ended unseen. False: another process may still show it."""
        return await self._opener.show_end(turn, partial, outcome, await self.ping_of(turn.user_id))

    async def mark_delivered(self, turn: Turn) -> None:
        """Save that a person has seen how a turn ended, as `ReplySaver` does."""
        await self._conversations.saver.mark_delivered(Attempt(turn.id, turn.attempt))

    async def ping_of(self, user_id: int | None) -> Ping:
        """When a user wants to be pinged. If that cannot be read in time, as those who have chosen nothing."""
        if user_id is None:
            return Ping.AUTO
        try:
            read = partial(self._store.person_settings.of, user_id)
            return (await self._conversations.outages.wait_out(read, "an answer")).ping
        except StoreError as error:
            log.warning("could not read when to ping a person: %s", error)
            return Ping.AUTO

    def _completing(self, prompt: str, files: FileNotes) -> CompletePrompt | None:
        return partial(self._read_files, files=files) if may_be_unread(prompt) else None

    async def _claim_moderators_note(self, guild_id: int | None) -> bool:
        """Whether the moderators of a guild are to be told about channel rules now, which happens once."""
        try:
            return guild_id is not None and await self._store.guild_rules.claim_moderators_note(guild_id)
        except StoreError as error:
            log.warning("could not tell the moderators of server %d about /server yet: %s", guild_id, error)
            return False

    def _report_end(self, guild_id: int | None, outcome: Outcome | None) -> bool:
        """Tell `on_end` of an outcome. False: there was nothing to answer."""
        if outcome is not None:
            self._spawn(self._on_end(outcome, guild_id))
        return outcome is not None

    async def _is_shown(self, attempt: Attempt) -> bool:
        """Whether the end of an attempt is shown, or soon is.

        It is on record before that, and a message that is still posted by then would be left beside another attempt.
        """

        async def is_over() -> bool:
            return not self._conversations.is_under_way(attempt)

        return await poll_until(is_over, every=_CHECK_EVERY, timeout=_SHOWN_WITHIN)

    async def _sent(self, turn: Turn) -> list[SentMessage]:
        await self.records.complete(turn.id)
        sent = await self._store.deliveries.sent(turn.id)
        return [(each.message_id, each.start) for each in sent if each.message_id is not None]


def _beginning_of_retry(turn: Turn, sent: Sequence[SentMessage], *, resume: bool, through: Through | None) -> Beginning:
    """How another attempt begins: in the turn's messages, or below them if these are too old to be edited often.

    Through a press, only the message with the button can be edited, and none can be deleted.
    """
    oldest = discord.utils.time_snowflake(discord.utils.utcnow() - EDITABLE_FOR)
    ids = [message_id for message_id, _ in sent]
    editable = all(message_id >= oldest for message_id in ids) and (through is None or ids == [through.original_id])
    if resume:
        return ContinuedInPlace(sent) if editable else ContinuedBelow(len(sent), len(turn.reply))
    if editable:
        return Restarted(sent, turn.reply, texts.RETRYING)
    return MovedBelow(ids if through is None else ())

"""Handles presses on the buttons under replies, and the command that has an answer written anew."""

from __future__ import annotations

import logging
import re
from functools import partial

import discord

from bot import texts
from bot.core.attempt import ActiveAttempt
from bot.core.errors import StoreError
from bot.core.retrying import poll_until
from bot.core.service import ConversationService
from bot.core.turns import Outcome, Prompt, StopReason, Turn, TurnState
from bot.discord_bot.access.policy import Policy
from bot.discord_bot.channels import asked_by_command, is_for_one, may_write, moderates, reads_history
from bot.discord_bot.delivery.buttons import under_reply
from bot.discord_bot.delivery.interaction_messages import Through
from bot.discord_bot.delivery.messages import age
from bot.discord_bot.delivery.replies import Replies, Restore
from bot.discord_bot.delivery.view import Button, Buttons, buttons_after
from bot.discord_bot.interactions.responses import acknowledge, defer_if_slow, respond_ephemeral, update
from bot.discord_bot.names import shown_name, stored_name
from bot.discord_bot.tasks import TaskSupervisor
from bot.store import Store
from bot.texts import access as words
from bot.texts import asking

log = logging.getLogger(__name__)

_RUNNING = (TurnState.PENDING, TurnState.STREAMING)
_NEW = 10.0
"""Seconds after its post for which a message may not be on record yet."""
_RECORD_TIMEOUT = 1.5
"""Seconds that a press waits for the record of its message; Discord allows 3 for the answer to a press."""
_RECORD_CHECK_EVERY = 0.05
"""Seconds between two checks for that record."""


class ButtonHandler:
    """Handles the presses on the reply buttons of one client."""

    def __init__(
        self,
        conversations: ConversationService,
        store: Store,
        policy: Policy,
        replies: Replies,
        tasks: TaskSupervisor,
    ) -> None:
        self._conversations = conversations
        self._store = store
        self._policy = policy
        self._replies = replies
        self._tasks = tasks

    async def pressed(self, interaction: discord.Interaction, id_: re.Match[str]) -> None:
        """Handle a press; `id_` is the match of the button's id."""
        # A shutdown waits for this: what is done must not look to the user as if it had failed.
        button, attempt = Button(id_["button"]), int(id_["attempt"] or 0)
        self._tasks.spawn(self._handle(interaction, button, attempt), on_shutdown="drain")

    async def retry_answer(self, interaction: discord.Interaction, message: discord.Message) -> None:
        """Handle the command that has an answer written anew, of which a message shows a part."""
        self._tasks.spawn(self._retry_answer(interaction, message), on_shutdown="drain")

    async def _handle(self, interaction: discord.Interaction, button: Button, attempt: int) -> None:
        """Do what a button says, for the author of the prompt and for moderators, once."""
        if button is Button.STOP and (running := self._running_in(interaction.message)) is not None:
            # All that is needed is known, so that a stop does not wait for a database that is away.
            if (not_theirs := _not_theirs(interaction, running.prompt)) is not None:
                await respond_ephemeral(interaction, not_theirs)
            else:
                running.stop(StopReason.USER, shown_name(interaction.user))
                await acknowledge(interaction)
            return
        try:
            turn, refusal = await self._look_up_in_time(interaction, interaction.message, button)
        except StoreError as error:
            log.error("could not look up a press on %s: %s", button.value, error)
            await respond_ephemeral(interaction, texts.CANNOT_SAVE)
            return
        if turn is None:
            await respond_ephemeral(interaction, _not_on_record(interaction))
        elif (not_theirs := _not_theirs(interaction, turn)) is not None:
            await respond_ephemeral(interaction, not_theirs)
        elif button is Button.STOP:
            await self._stop(interaction, turn)
        elif turn.state in _RUNNING and not self._is_running(turn):
            # Its end was shown, but is not on record.
            await respond_ephemeral(interaction, texts.ONE_MOMENT)
        elif not _is_offered(button, turn, attempt):
            # Somebody else pressed it first.
            await acknowledge(interaction)
        elif refusal is not None:
            await respond_ephemeral(interaction, refusal)
        elif self._conversations.queue_limit(turn) is not None:
            await respond_ephemeral(interaction, texts.PRESS_LATER)
        else:
            # This takes the buttons away at once; the call counts towards no rate limit.
            await update(interaction)
            offered = _buttons_of(turn)
            if button is Button.AGAIN:
                offered = (*offered, button)
            restore = partial(update, interaction, view=under_reply(offered, turn.attempt))
            through = None
            if self._needs_token(interaction, turn) and interaction.message is not None:
                through = Through(interaction, interaction.message.id, is_for_one(turn.conversation))
            self._begin(interaction, turn, restore, resume=button is Button.CONTINUE, through=through)

    async def _retry_answer(self, interaction: discord.Interaction, message: discord.Message) -> None:
        try:
            turn, refusal = await self._look_up_in_time(interaction, message, Button.AGAIN)
        except StoreError as error:
            log.error("could not look up an answer to retry: %s", error)
            await respond_ephemeral(interaction, texts.full_size(texts.CANNOT_SAVE))
            return
        me = interaction.client.user
        if turn is None:
            is_mine = me is not None and message.author.id == me.id
            answer = texts.NOT_REMEMBERED if is_mine else texts.NOT_AN_ANSWER
        elif (not_theirs := _not_theirs(interaction, turn)) is not None:
            answer = not_theirs
        elif turn.state in _RUNNING:
            answer = texts.STILL_WRITING
        elif refusal is not None:
            answer = refusal
        elif self._conversations.queue_limit(turn) is not None:
            answer = texts.TOO_BUSY
        elif self._needs_token(interaction, turn):
            # Discord takes further messages once the command has its answer.
            await respond_ephemeral(interaction, asking.TRYING_BELOW)
            self._begin(interaction, turn, _nothing, through=Through(interaction, None, is_for_one(turn.conversation)))
            return
        else:
            answer = texts.TRYING
            self._begin(interaction, turn, _nothing)
        await respond_ephemeral(interaction, answer)

    @staticmethod
    def _needs_token(interaction: discord.Interaction, turn: Turn) -> bool:
        """Whether only the interaction can show the reply: to one user, or where the bot may not write."""
        shut_out = asked_by_command(turn) and not may_write(interaction, interaction.app_permissions)
        return shut_out or is_for_one(turn.conversation)

    def _begin(
        self,
        interaction: discord.Interaction,
        turn: Turn,
        restore: Restore,
        *,
        resume: bool = False,
        through: Through | None = None,
    ) -> None:
        """Begin another attempt; `restore` shows the buttons again if it cannot be made."""
        retrying = self._replies.retry(
            turn,
            interaction.channel,
            interaction.user.id,
            reads_history=reads_history(interaction),
            resume=resume,
            report=partial(respond_ephemeral, interaction),
            restore=restore,
            through=through,
        )
        self._tasks.spawn(retrying)

    async def _stop(self, interaction: discord.Interaction, turn: Turn) -> None:
        running = [each for each in self._conversations.running if each.attempt.turn_id == turn.id]
        for each in running:
            each.stop(StopReason.USER, shown_name(interaction.user))
        if not running and turn.state is TurnState.INTERRUPTED:
            # The recovery after a restart is about to try the turn again.
            await respond_ephemeral(interaction, texts.ONE_MOMENT)
        else:
            await acknowledge(interaction)

    def _is_running(self, turn: Turn) -> bool:
        is_late = self._conversations.saver.is_late(turn.id)
        return not is_late and any(each.attempt.turn_id == turn.id for each in self._conversations.running)

    def _running_in(self, message: discord.Message | None) -> ActiveAttempt | None:
        """The attempt under way whose reply a message shows."""
        live = self._replies.live
        if message is None:
            return None
        here = (each for each in self._conversations.running if each in live and message.id in live[each].shown)
        return next(here, None)

    async def _look_up_in_time(
        self, interaction: discord.Interaction, message: discord.Message | None, button: Button
    ) -> tuple[Turn | None, str | None]:
        """`_look_up`, once the database takes it. Raises StoreError."""
        look_up = partial(self._look_up, interaction, message, button)
        waiting = self._conversations.outages.wait_out(look_up, f"a press on {button.value}")
        return await defer_if_slow(interaction, waiting)

    async def _look_up(
        self, interaction: discord.Interaction, message: discord.Message | None, button: Button
    ) -> tuple[Turn | None, str | None]:
        """The turn behind a press, and what refuses the press. Stop is refused to nobody, as it costs nothing."""
        turn = await self._turn_behind(message)
        if turn is None or button is Button.STOP:
            return turn, None
        if button is Button.AGAIN and not await self._store.turns.is_latest(turn):
            return turn, texts.NOT_THE_LATEST
        return turn, await self._refused(interaction, turn)

    async def _refused(self, interaction: discord.Interaction, turn: Turn) -> str | None:
        """Why a press may not be answered, or None if it may: for the user who pressed, and for the author."""
        if denied := await self._policy.check_interaction(interaction):
            return words.denied(denied)
        if turn.user_id != interaction.user.id and (denied := await self._policy.check_author(turn)):
            return words.author_denied(denied)
        used_up = await self._conversations.retry_exceeds(turn, interaction.user.id)
        return None if used_up is None else texts.full_size(texts.used_up(used_up))

    async def _turn_behind(self, message: discord.Message | None) -> Turn | None:
        """The turn whose reply a message shows.

        Users see a new message before Discord's answer tells the bot its id, so a press may come before the record.
        """
        if message is None:
            return None
        message_id = message.id
        await self._replies.records.complete_with([message_id])
        return await poll_until(
            lambda: self._store.turns.of_message(message_id),
            every=_RECORD_CHECK_EVERY,
            timeout=min(_RECORD_TIMEOUT, _NEW - age(message_id)),
        )


def _not_theirs(interaction: discord.Interaction, asked: Turn | Prompt) -> str | None:
    """What to say to somebody who may not decide over the reply to what was asked, or None if they may."""
    if interaction.user.id == asked.user_id or moderates(interaction):
        return None
    return texts.not_theirs(stored_name(asked.author_name) or "the one who asked")


def _buttons_of(turn: Turn) -> Buttons:
    """The buttons under the reply to an ended turn."""
    return buttons_after(Outcome(turn.state, turn.reply, turn.failure))


def _is_offered(button: Button, turn: Turn, attempt: int) -> bool:
    """Whether a button stands under the reply to a turn now. One that asks for a reply anew is for one attempt."""
    if button is Button.AGAIN:
        return attempt == turn.attempt and turn.state not in _RUNNING
    return button in _buttons_of(turn)


async def _nothing() -> None:
    """Restore nothing: no button was pressed."""


def _not_on_record(interaction: discord.Interaction) -> str:
    """The answer to a press on a message whose turn is not on record, or not yet."""
    is_new = interaction.message is not None and age(interaction.message.id) < _NEW
    return texts.ONE_MOMENT if is_new else texts.NOT_REMEMBERED

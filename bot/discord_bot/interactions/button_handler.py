"""Handles presses on the buttons under replies."""

from __future__ import annotations

import logging
import re
from functools import partial

import discord

from bot import texts
from bot.core.errors import StoreError
from bot.core.retrying import poll_until
from bot.core.service import ConversationService
from bot.core.turns import Outcome, StopReason, Turn, TurnState
from bot.discord_bot.access.policy import Policy
from bot.discord_bot.channels import moderates, reads_history
from bot.discord_bot.delivery.buttons import under_reply
from bot.discord_bot.delivery.messages import age
from bot.discord_bot.delivery.replies import Replies
from bot.discord_bot.delivery.view import Button, button_after
from bot.discord_bot.interactions.responses import acknowledge, defer_if_slow, respond_ephemeral, update
from bot.discord_bot.names import shown_name, stored_name
from bot.discord_bot.tasks import TaskSupervisor
from bot.store import Store
from bot.texts import access as words

log = logging.getLogger(__name__)

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
        self._tasks.spawn(self._handle(interaction, Button(id_["button"])), on_shutdown="drain")

    async def _handle(self, interaction: discord.Interaction, button: Button) -> None:
        """Do what a button says, for the author of the prompt and for moderators, once."""
        try:
            turn, refusal = await defer_if_slow(interaction, self._look_up(interaction, button))
        except StoreError as error:
            log.error("could not look up a press on %s: %s", button.value, error)
            await respond_ephemeral(interaction, texts.CANNOT_SAVE)
            return
        if turn is None:
            await respond_ephemeral(interaction, _not_on_record(interaction))
        elif interaction.user.id != turn.user_id and not moderates(interaction):
            await respond_ephemeral(interaction, texts.not_theirs(stored_name(turn.author_name) or "the one who asked"))
        elif button is Button.STOP:
            await self._stop(interaction, turn)
        elif button_after(Outcome(turn.state, turn.reply, turn.failure)) is not button:
            # Somebody else pressed it first.
            await acknowledge(interaction)
        elif refusal is not None:
            await respond_ephemeral(interaction, refusal)
        elif self._conversations.queue_limit(turn) is not None:
            await respond_ephemeral(interaction, texts.PRESS_LATER)
        else:
            # This takes the button away at once; the call counts towards no rate limit.
            await update(interaction)
            retrying = self._replies.retry(
                turn,
                interaction.channel,
                interaction.user.id,
                reads_history=reads_history(interaction),
                resume=button is Button.CONTINUE,
                report=partial(respond_ephemeral, interaction),
                restore=partial(update, interaction, view=under_reply(button)),
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

    async def _look_up(self, interaction: discord.Interaction, button: Button) -> tuple[Turn | None, str | None]:
        """The turn behind a press, and what refuses the press. Stop is refused to nobody, as it costs nothing."""
        turn = await self._turn_behind(interaction.message)
        refused = None if turn is None or button is Button.STOP else await self._refused(interaction, turn)
        return turn, refused

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
        return await poll_until(
            lambda: self._store.turns.of_message(message_id),
            every=_RECORD_CHECK_EVERY,
            timeout=min(_RECORD_TIMEOUT, _NEW - age(message_id)),
        )


def _not_on_record(interaction: discord.Interaction) -> str:
    """The answer to a press on a message whose turn is not on record, or not yet."""
    is_new = interaction.message is not None and age(interaction.message.id) < _NEW
    return texts.ONE_MOMENT if is_new else texts.NOT_REMEMBERED

"""Presses on the buttons under replies: by whom, on what, and in time."""

from __future__ import annotations

import asyncio
import logging
import time
from functools import partial

import discord

from bot import texts
from bot.core.access import Denial
from bot.core.errors import StoreError
from bot.core.service import ConversationService
from bot.core.turns import Outcome, StopReason, Turn, TurnState
from bot.discord_bot.access.policy import Policy
from bot.discord_bot.delivery.messages import age
from bot.discord_bot.delivery.opener import Spawn
from bot.discord_bot.delivery.replies import Replies
from bot.discord_bot.delivery.view import Button, button_after
from bot.discord_bot.interactions.responses import acknowledge, defer_if_slow, moderates, respond_ephemeral, update
from bot.discord_bot.names import shown_name, stored_name
from bot.store import Store
from bot.texts import access as words

log = logging.getLogger(__name__)

_NEW = 10.0
"""Seconds for which a message may be too new to be on record."""
_HEARD_WITHIN, _LOOK_AGAIN = 1.5, 0.05
"""Seconds that a press waits for that, of the 3 in which it has to be answered, and from one look to the next."""


class ButtonHandler:
    """Of one client."""

    def __init__(
        self, conversations: ConversationService, store: Store, gate: Policy, replies: Replies, spawn: Spawn
    ) -> None:
        self._conversations = conversations
        self._store = store
        self._gate = gate
        self._replies = replies
        self._spawn = spawn

    async def handle(self, interaction: discord.Interaction, button: Button) -> None:
        """Do what a button says, for the asker and for moderators, once."""
        try:
            turn, denied = await defer_if_slow(interaction, self._look_up(interaction, button))
        except StoreError as error:
            log.error("a press on %s could not be looked up: %s", button.value, error)
            await respond_ephemeral(interaction, texts.CANNOT_SAVE)
            return
        if turn is None:
            await respond_ephemeral(interaction, _not_on_record(interaction))
        elif interaction.user.id != turn.author_id and not moderates(interaction):
            await respond_ephemeral(interaction, texts.not_theirs(stored_name(turn.author_name) or "the one who asked"))
        elif button is Button.STOP:
            await self._stop(interaction, turn)
        elif denied is not None:
            await respond_ephemeral(interaction, words.denied(denied))
        elif button_after(Outcome(turn.state, turn.reply, turn.failure)) is not button:
            # Somebody was faster: this is being done, or is done already.
            await acknowledge(interaction)
        elif self._conversations.queue_limit(turn) is not None:
            await respond_ephemeral(interaction, texts.PRESS_LATER)
        else:
            # The button goes at once; this call counts towards no limit.
            await update(interaction)
            channel, user, report = interaction.channel, interaction.user, partial(respond_ephemeral, interaction)
            resume = button is Button.CONTINUE
            self._spawn(self._replies.retry(turn, channel, user.id, resume=resume, report=report))

    async def _stop(self, interaction: discord.Interaction, turn: Turn) -> None:
        running = [each for each in self._conversations.running if each.attempt.turn_id == turn.id]
        for each in running:
            each.stop(StopReason.USER, shown_name(interaction.user))
        if not running and turn.state is TurnState.INTERRUPTED:
            # It is about to be tried again after a restart.
            await respond_ephemeral(interaction, texts.ONE_MOMENT)
        else:
            await acknowledge(interaction)

    async def _look_up(self, interaction: discord.Interaction, button: Button) -> tuple[Turn | None, Denial | None]:
        """The turn behind a press, and why it is not to be answered. To stop a reply costs nothing, so nobody is denied
        that.
        """
        turn = await self._turn_behind(interaction.message)
        return turn, None if button is Button.STOP else await self._gate.check_interaction(interaction)

    async def _turn_behind(self, message: discord.Message | None) -> Turn | None:
        """The turn whose reply a message shows. People see a new one before the bot hears that it is there."""
        if message is None:
            return None
        give_up = time.monotonic() + _HEARD_WITHIN
        while (turn := await self._store.turns.of_message(message.id)) is None:
            if age(message.id) > _NEW or time.monotonic() > give_up:
                break
            await asyncio.sleep(_LOOK_AGAIN)
        return turn


def _not_on_record(interaction: discord.Interaction) -> str:
    """What to say of a message whose turn is not found: it may be too new for that."""
    is_new = interaction.message is not None and age(interaction.message.id) < _NEW
    return texts.ONE_MOMENT if is_new else texts.NOT_REMEMBERED

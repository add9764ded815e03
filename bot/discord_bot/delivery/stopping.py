"""Stops running replies for users: for the asker, or for a guild's moderators."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from bot.core.attempt import ActiveAttempt
from bot.core.errors import StoreError
from bot.core.service import ConversationService
from bot.core.turns import Conversation, StopReason
from bot.discord_bot.delivery.opener import Spawn
from bot.store import Store

log = logging.getLogger(__name__)

_RECHECKED_FOR = 60.0
"""Seconds after a moderator's decision in which new replies are checked again.

It is far more than the time from the first check of a prompt to its commit.
"""


class ReplyStopping:
    """Stops running replies. `by` is the name of the user who stops them, as it is shown under the reply."""

    def __init__(self, conversations: ConversationService, store: Store, spawn: Spawn) -> None:
        self._conversations = conversations
        self._store = store
        self._spawn = spawn
        self._decided_at = float("-inf")
        """When moderators last paused the bot or blocked somebody."""

    def stop(self, conversation: Conversation, user_id: int | None, by: str) -> int:
        """Stop the replies to what a user asked in a conversation's place, or to all that was asked there (None).

        Returns how many there are.
        """
        return self._stop(
            lambda each: (
                conversation in (each.prompt.conversation, each.prompt.asked_in)
                and user_id in (None, each.prompt.user_id)
            ),
            by,
        )

    def stop_user(self, user_id: int, guild_id: int, by: str) -> None:
        """Stop all replies to a user in a guild, including those that wait for their turn."""
        self._decided_at = time.monotonic()
        self._stop(lambda each: each.prompt.guild_id == guild_id and each.prompt.user_id == user_id, by)

    def stop_waiting(self, guild_id: int, by: str) -> None:
        """Stop all replies in a guild for which the model has not been asked yet."""
        self._decided_at = time.monotonic()
        self._stop(lambda each: each.prompt.guild_id == guild_id and each.estimated_usage() is None, by)

    def recheck(self, running: ActiveAttempt, user_id: int) -> None:
        """Stop a new reply if moderators decided against it after its prompt was checked and before it was saved."""
        guild_id = running.prompt.guild_id
        if guild_id is not None and time.monotonic() - self._decided_at < _RECHECKED_FOR:
            self._spawn(self._stop_if_denied(running, guild_id, user_id))

    def _stop(self, affected: Callable[[ActiveAttempt], bool], by: str) -> int:
        running = [each for each in self._conversations.running if affected(each)]
        for each in running:
            each.stop(StopReason.USER, by)
        return len(running)

    async def _stop_if_denied(self, running: ActiveAttempt, guild_id: int, user_id: int) -> None:
        try:
            rules = await self._store.guild_rules.rules_for(guild_id, user_id)
        except StoreError as error:
            log.warning("could not read what a server's moderators decided: %s", error)
            return
        if rules.paused or rules.block is not None:
            running.stop(StopReason.USER)

"""Forgets conversations and people for good, and ends the attempts that have something of what is forgotten.

Not its job: what is deleted, and when its bytes go (the store).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from bot.core.attempt import ActiveAttempt
from bot.core.changes import Change
from bot.core.protocols import Store
from bot.core.recent import RecentMessages
from bot.core.saving import ReplySaver
from bot.core.turns import Attempt, Conversation, StopReason


class Forgetting:
    """Deletes conversations and people from the store, and stops the attempts of this process that they are part of.

    `running` are all attempts of this process that have not ended. `recent` has the messages of a channel that are sent
    to the model with a question.
    """

    def __init__(
        self,
        store: Store,
        running: Mapping[Attempt, ActiveAttempt],
        saver: ReplySaver,
        recent: RecentMessages,
    ) -> None:
        self._store = store
        self._running = running
        self._saver = saver
        self._recent = recent
        self._begun = 0
        self._under_way = 0
        store.changes.on(Change.FORGOTTEN, self._forgotten_elsewhere)

    @property
    def mark(self) -> int | None:
        """A number that stays the same until something begins to be forgotten. None: something is being forgotten."""
        return None if self._under_way else self._begun

    async def forget(self, conversation: Conversation, by: str | None = None) -> set[int]:
        """Delete a conversation for good and stop its attempts. Returns the ids of its turns. Raises StoreError."""
        with self._marked():
            await self._saver.save(conversation)
            forgotten = await self._store.retention.forget_conversation(conversation)
            return self._stop_forgotten(forgotten, StopReason.RESET, by)

    async def forget_own(self, conversation: Conversation, user_id: int, by: str | None = None) -> set[int]:
        """Delete a person's turns in one conversation for good and stop their attempts. Returns the turns' ids.

        Raises StoreError.
        """
        with self._marked():
            await self._saver.save(conversation)
            forgotten = await self._store.retention.forget_own(conversation, user_id)
            return self._stop_forgotten(forgotten, StopReason.FORGOTTEN, by)

    async def forget_user(self, user_id: int, by: str | None = None, *, leave_out: bool = False) -> set[int]:
        """Delete a person's turns in all conversations for good and stop their attempts. Returns the turns' ids.

        Every prompt that was accepted before this call is among them. Turns of other people go too if messages of the
        person went along with their prompts. `leave_out` is what the person chose for the messages that they write from
        then on. What the person used of the quotas still counts. Raises StoreError.
        """
        with self._marked():
            await self._saver.save()
            forgotten = await self._store.people.forget(user_id, leave_out=leave_out)
            for running in self._running.values():
                if self._recent.has_messages_of(running, user_id):
                    # Whoever asked is not told whose messages they were, unless they are their own.
                    running.stop(StopReason.FORGOTTEN, by if running.attempt.turn_id in forgotten else None)
            return self._stop_forgotten(forgotten, StopReason.FORGOTTEN, by)

    @contextmanager
    def _marked(self) -> Iterator[None]:
        self._begun += 1
        self._under_way += 1
        try:
            yield
        finally:
            self._under_way -= 1

    def _forgotten_elsewhere(self, user_id: int) -> None:
        """Stop the attempts of a user whom another process has forgotten, and those with messages of theirs."""
        self._begun += 1
        for running in self._running.values():
            if running.prompt.user_id == user_id or self._recent.has_messages_of(running, user_id):
                running.stop(StopReason.FORGOTTEN)

    def _stop_forgotten(self, forgotten: set[int], cause: StopReason, by: str | None) -> set[int]:
        """Stop the attempts at these turns. An attempt that is not active yet finds its turn gone."""
        for running in self._running.values():
            if running.attempt.turn_id in forgotten:
                running.stop(cause, by)
        return forgotten

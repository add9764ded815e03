"""The messages that people wrote before a question and that go along with it, as long as they may."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

from bot.core.attempt import ActiveAttempt
from bot.core.errors import StoreError
from bot.core.outages import Outages
from bot.core.protocols import RecentAuthorStore
from bot.core.turns import Prompt, RecentMessage

log = logging.getLogger(__name__)

FindRecent = Callable[[Prompt], Coroutine[Any, Any, Sequence[RecentMessage]]]
"""The messages before a prompt that may go along with it now, oldest first. Raises StoreError."""


class RecentMessages:
    """What goes along with the questions of one process. `find` is set by a platform that knows such messages."""

    def __init__(self, authors: RecentAuthorStore, outages: Outages) -> None:
        self._authors = authors
        self._outages = outages
        self.find: FindRecent | None = None
        self._committed: WeakKeyDictionary[ActiveAttempt, set[int]] = WeakKeyDictionary()
        """The authors on record of what goes along."""

    async def add_to(self, running: ActiveAttempt) -> None:
        """Have the messages before a question go along with it. Where that fails for long, it is answered without."""
        if self.find is not None and running.stop_reason is None:
            running.prompt = replace(running.prompt, recent=await self._found(running, self.find))

    async def may_be_sent(self, running: ActiveAttempt) -> bool:
        """Whether what goes along with a question may be sent as it is, right after this call.

        Its authors are on record then. If not, the question has only what may still go along: what was deleted or left
        out meanwhile is gone, and what was edited is as it is now. It may not where this had to wait either, since the
        rest of the request is old then.
        """
        waited = False

        def waits() -> None:
            nonlocal waited
            waited = True

        while (sent := running.prompt.recent) and self.find is not None:
            ids = {each.id for each in sent}
            now = tuple(each for each in await self._found(running, self.find, waits) if each.id in ids)
            authors = {each.author_id for each in now}
            if now == sent and authors <= self._committed.get(running, set()):
                break
            # Before the commit: whoever is forgotten after it stops the attempt.
            self._committed.setdefault(running, set()).update(authors)
            if not await self._commit(running, authors, waits):
                now = ()
            if now != sent:
                running.prompt = replace(running.prompt, recent=now)
                return False
        return not waited

    def has_messages_of(self, running: ActiveAttempt, user_id: int) -> bool:
        """Whether the requests of an attempt have messages of a user, or are about to."""
        return user_id in self._committed.get(running, ())

    async def _found(
        self, running: ActiveAttempt, find: FindRecent, on_wait: Callable[[], None] = lambda: None
    ) -> tuple[RecentMessage, ...]:
        try:
            finding = self._outages.during(running, partial(find, running.prompt), on_wait)
            return tuple(await running.until_stopped(finding) or ())
        except Exception as error:
            log.error(
                "turn %d: recent messages could not be found: %s",
                running.attempt.turn_id,
                error,
                exc_info=not isinstance(error, StoreError),
            )
            return ()

    async def _commit(self, running: ActiveAttempt, authors: set[int], on_wait: Callable[[], None]) -> bool:
        try:
            adding = partial(self._authors.add, running.attempt, authors)
            return not authors or await self._outages.during(running, adding, on_wait)
        except StoreError as error:
            log.error("turn %d: recent messages could not go along: %s", running.attempt.turn_id, error)
            return False

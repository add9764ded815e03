"""Messages that somebody is about to ask about, in memory until their form is submitted.

Discord shows the bot such a message once, as the target of a command. What is submitted with the form does not have it.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass

import discord

KEPT_FOR = 15 * 60.0
"""Seconds for which a message is kept."""
_MOST = 500
"""Messages that are kept. For a further one the oldest goes."""
_MOST_PER_USER = 3


@dataclass(frozen=True, slots=True)
class _Kept:
    user_id: int
    message: discord.Message
    until: float


class Targets:
    """The messages of one client's open forms, by the ids of the interactions that opened them."""

    def __init__(self) -> None:
        self._kept: dict[int, _Kept] = {}

    def keep(self, interaction_id: int, user_id: int, message: discord.Message) -> None:
        """Keep a message for the form of a user."""
        self._drop_old()
        own = [key for key, kept in self._kept.items() if kept.user_id == user_id]
        too_many = max(0, len(own) + 1 - _MOST_PER_USER)
        for key in own[:too_many] or [*self._kept][: len(self._kept) >= _MOST]:
            del self._kept[key]
        self._kept[interaction_id] = _Kept(user_id, message, time.monotonic() + KEPT_FOR)

    def of(self, interaction_id: int, user_id: int) -> discord.Message | None:
        """The message for the form of a user. None: it is not kept any more."""
        self._drop_old()
        kept = self._kept.get(interaction_id)
        return None if kept is None or kept.user_id != user_id else kept.message

    def drop(self, interaction_id: int) -> None:
        """Drop the message of a form that was answered."""
        self._kept.pop(interaction_id, None)

    def deleted(self, message_ids: Collection[int]) -> None:
        """Drop messages that were deleted."""
        self._kept = {key: kept for key, kept in self._kept.items() if kept.message.id not in message_ids}

    def _drop_old(self) -> None:
        now = time.monotonic()
        self._kept = {key: kept for key, kept in self._kept.items() if kept.until > now}

"""What forgotten users have used of their quotas, until the hour and the day are over. No row names them.

It is in memory only, in that of all processes that run on one database: they tell each other, and one that starts is
told by the others.
"""

from __future__ import annotations

import json
import secrets
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import Any

from bot.core.changes import Announcement, Change
from bot.core.usage import DAY

HOUR = 3600
_QUESTIONS_TOLD = 300
"""The most questions in one announcement, of which PostgreSQL takes 8000 bytes."""


@dataclass(frozen=True, slots=True)
class _Use:
    """Tokens on a day, and the times of questions with whether each counts."""

    user_id: int
    day: int
    tokens: int
    questions: Sequence[tuple[int, bool]]


class ForgottenUse:
    """What is retained in one process. Times are seconds since the epoch; days are those of UTC."""

    def __init__(self) -> None:
        self._uses: dict[str, _Use] = {}
        """By keys that are the same in all processes, so that nothing counts twice that is told twice."""

    def add(self, user_id: int, tokens: int, questions: Sequence[tuple[int, bool]], now: int) -> Sequence[Announcement]:
        """Retain what a user has used today and in this hour; the result is what to tell other processes."""
        keys = []
        for first in range(0, max(1, len(questions)), _QUESTIONS_TOLD):
            keys.append(secrets.token_hex(8))
            some = questions[first : first + _QUESTIONS_TOLD]
            self._uses[keys[-1]] = _Use(user_id, now // DAY, 0 if first else tokens, some)
        self.drop_old(now)
        return [_announcement(key, self._uses[key]) for key in keys if key in self._uses]

    def announcements(self) -> Sequence[Announcement]:
        """What to tell a process that has just started."""
        return [_announcement(key, use) for key, use in self._uses.items()]

    def learn(self, announcement: Announcement) -> None:
        """Retain what another process tells."""
        key, day, tokens, questions = json.loads(announcement.more)
        self._uses[key] = _Use(announcement.id, day, tokens, [(at, bool(counts)) for at, counts in questions])

    def drop_old(self, now: int) -> None:
        """Drop what counts for nothing any more."""
        self._uses = {
            key: use
            for key, use in self._uses.items()
            if (use.tokens and use.day == now // DAY) or any(at > now - HOUR for at, _ in use.questions)
        }

    def tokens_on(self, day: int) -> Mapping[int, int]:
        """The tokens of a day by user."""
        sums = Counter[int]()
        for use in self._uses.values():
            if use.day == day:
                sums[use.user_id] += use.tokens
        return sums

    def questions_of(self, user_id: int, since: int) -> Sequence[tuple[int, bool]]:
        """The times of a user's questions after a time, and whether each counts."""
        return [
            each for use in self._uses.values() if use.user_id == user_id for each in use.questions if each[0] > since
        ]


def _announcement(key: str, use: _Use) -> Announcement:
    user_id, *rest = astuple(use)
    more: list[Any] = [key, *rest]
    return Announcement(Change.USED, user_id, json.dumps(more, separators=(",", ":")))

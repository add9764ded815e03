"""Keeps, for each turn, the ids of the people whose channel messages the model was sent before the question.

When one of these people uses /forget-me, the turn is deleted, since its reply may repeat what they said.
"""

from __future__ import annotations

import json
from collections.abc import Collection

from bot.core.turns import Attempt
from bot.store.engine import Value
from bot.store.part import Part
from bot.store.rows import RUNNING

_MAY_HAVE = f"""
    SELECT 1 FROM stored_turns
    WHERE id = (SELECT id FROM turns WHERE id = :turn AND attempt = :attempt) AND {RUNNING} AND reads_history = 1
    """
"""SQL for a row if the attempt is under way, and everybody who asked for it may read the history there."""


class RecentAuthorStore(Part):
    """The authors of recent messages by turn. The messages are on no record."""

    async def add(self, attempt: Attempt, user_ids: Collection[int]) -> bool:
        """Commit that messages of these users go along with the question of a running attempt.

        The result is False if they must not: the attempt was forgotten or superseded, or somebody who asked for it may
        not read the history there.
        """
        values: dict[str, Value] = {
            "turn": attempt.turn_id,
            "attempt": attempt.number,
            "users": json.dumps(list(user_ids)),
        }
        _, rows = await self._engine.transaction(
            (
                f"""
                INSERT INTO recent_authors (turn_id, user_id)
                SELECT :turn, value FROM json_each(:users) WHERE EXISTS ({_MAY_HAVE})
                ON CONFLICT DO NOTHING
                """,
                values,
            ),
            (_MAY_HAVE, values),
        )
        return bool(rows)

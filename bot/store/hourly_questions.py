"""SQL for the questions that a user has asked in the last hour, and whether they may ask one more."""

from __future__ import annotations

from bot.core.quotas import Quota, QuotaExceeded
from bot.store.engine import Rows
from bot.store.forgotten_use import HOUR

MAX_FAILED = 3
"""The multiple of the hourly quota that a user may ask if questions fail and so do not count: a failure costs too."""
PAYS_FOR_OTHERS = """
    EXISTS (
        SELECT 1 FROM stored_turns
        WHERE stored_turns.id = turn_id AND delivered = 0
          AND coalesce(stored_turns.user_id, 0) <> coalesce(recent_questions.user_id, 0)
    )
    """
"""SQL condition for a row of `recent_questions` that still says who pays for an attempt at another person's turn."""
_ASKED = f"""
    SELECT at, counts FROM recent_questions WHERE user_id = :user_id AND at > :now - {HOUR}
    UNION ALL
    SELECT CAST(json_extract(value, '$[0]') AS BIGINT), CAST(json_extract(value, '$[1]') AS BIGINT)
    FROM json_each(:carried_questions, '$')
    """
AT_LIMIT = f"""
    SELECT at, questions FROM (
        SELECT * FROM (
            SELECT at, :most AS questions FROM ({_ASKED}) AS asked WHERE counts = 1
            ORDER BY at DESC LIMIT 1 OFFSET coalesce(:most, 1) - 1
        ) AS counted
        UNION ALL SELECT * FROM (
            SELECT at, {MAX_FAILED} * :most FROM ({_ASKED}) AS asked
            ORDER BY at DESC LIMIT 1 OFFSET {MAX_FAILED} * coalesce(:most, 1) - 1
        ) AS tried
    ) AS full_hour
    WHERE :most IS NOT NULL ORDER BY at DESC LIMIT 1
    """
"""SQL for the oldest of a user's questions that fill the hourly quota, and their number. It is the first to go."""


def exceeded_questions(at_limit: Rows) -> QuotaExceeded | None:
    """The rows of `AT_LIMIT` as a quota that is used up, or None if there are none."""
    if not at_limit:
        return None
    return QuotaExceeded(Quota.QUESTIONS, at_limit[0]["questions"], until=at_limit[0]["at"] + HOUR)

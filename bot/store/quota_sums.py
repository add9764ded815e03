"""SQL for what is used of the quotas of a day, and for what is left of them for whoever a request is for."""

from __future__ import annotations

from collections.abc import Mapping

from bot.core.quotas import Quota
from bot.core.usage import MICRO

# Who asked for the latest attempt at a turn. Without a record, it is the turn's author.
_PAYER = """
    CASE WHEN EXISTS (SELECT 1 FROM recent_questions WHERE turn_id = turns.id)
    THEN (SELECT user_id FROM recent_questions WHERE turn_id = turns.id ORDER BY attempt DESC LIMIT 1)
    ELSE turns.user_id END
    """
SOMEBODY = "(SELECT :user AS user_id, :guild AS guild_id) AS asker"
"""SQL for the user and the guild that a statement is about."""
ATTEMPT = f"""
    (
        SELECT turns.id AS turn_id, attempt, {_PAYER} AS user_id, guild_id
        FROM turns JOIN conversations ON conversations.id = conversation_id
        WHERE turns.id = :turn AND turns.attempt = :attempt LIMIT 1
    ) AS asker
    """
"""SQL for an attempt, with whoever asked for it and the guild.

As elsewhere here, `LIMIT 1` has PostgreSQL find the one row first, and once. Without it, each mention of a column is
replaced by the SQL behind it: the statement takes ten times as long to plan, and reads all conversations.
"""
SPENT = {
    quota: f"coalesce((SELECT {amount} FROM daily_usage WHERE day = :day AND scope = '{scope}' AND id = {of}), 0)"
    for quota, amount, scope, of in (
        (Quota.USER, "tokens", "user", "asker.user_id"),
        (Quota.GUILD, "tokens", "guild", "asker.guild_id"),
        (Quota.TOTAL, "tokens", "total", "0"),
        (Quota.BUDGET, "cost", "total", "0"),
    )
}
_CARRIED = """
    coalesce(
        (
            SELECT CAST(json_extract(value, '$[1]') AS BIGINT) FROM json_each(:carried, '$')
            WHERE CAST(json_extract(value, '$[0]') AS BIGINT) = asker.user_id
        ),
        0
    )
    """
SPENT[Quota.USER] = f"({SPENT[Quota.USER]} + {_CARRIED})"
"""SQL for what an asker's quotas have used today, with what is reserved."""
_OPEN = "FROM charges INDEXED BY charges_open WHERE settled = 0 AND day = :day"
SETTLED = {
    quota: f"({SPENT[quota]} - coalesce((SELECT CAST(sum({amount}) AS BIGINT) {_OPEN} {whose}), 0))"
    for quota, amount, whose in (
        (Quota.USER, "quota_tokens", "AND charges.user_id = asker.user_id"),
        (Quota.GUILD, "quota_tokens", "AND charges.guild_id = asker.guild_id"),
        (Quota.TOTAL, "quota_tokens", ""),
        (Quota.BUDGET, "cost", ""),
    )
}
"""SQL for the same without what is reserved."""
_NO_LIMIT = 2**62
# More millionths than the longest reply can cost. It keeps the product in `room` within 64 bits.
_ENOUGH_FOR_A_REPLY = 10**12
SUMMARY = """
    (
        SELECT -summary.id AS turn_id, attempt, guild_id, CASE WHEN guild_id IS NULL THEN (
            SELECT user_id FROM turns WHERE conversation_id = conversations.id ORDER BY position DESC LIMIT 1
        ) END AS user_id
        FROM stored_summaries AS summary JOIN conversations ON conversations.id = conversation_id
        WHERE summary.id = :summary LIMIT 1
    ) AS asker
    """
"""SQL for a summary. It is nobody's question: it is charged to the guild, and in a DM to the user whose DM it is."""


def room(used: Mapping[Quota, str]) -> str:
    """SQL for the rest of the quota that has the least left. Money is the tokens of a reply that it pays for."""
    money = f"min(:budget - {used[Quota.BUDGET]} - :prompt_cost, {_ENOUGH_FOR_A_REPLY})"
    return f"""min(
        min(
            CASE WHEN :total IS NULL THEN {_NO_LIMIT} ELSE :total - {used[Quota.TOTAL]} END,
            CASE WHEN :budget IS NULL THEN {_NO_LIMIT} ELSE :prompt + {money} * {MICRO} / :reply_price END
        ),
        min(
            CASE WHEN :per_user IS NULL OR asker.user_id IS NULL THEN {_NO_LIMIT}
            ELSE :per_user - {used[Quota.USER]} END,
            CASE WHEN :per_guild IS NULL OR asker.guild_id IS NULL THEN {_NO_LIMIT}
            ELSE :per_guild - {used[Quota.GUILD]} END
        )
    )"""

"""Usage: reports of what the requests to models were charged."""

from __future__ import annotations

from bot.core.usage import UsageRow
from bot.store.part import Part

_FORGOTTEN = """
    EXISTS (
        SELECT 1 FROM forgotten_users AS gone
        WHERE gone.user_id = charges.user_id AND gone.conversation_id = 0 AND charges.turn_id <= through
    )
    """
"""SQL condition for a charge that is about to lose its user's name."""


class UsageStore(Part):
    """Reports by day, model, guild and user. `QuotaStore` makes the charges."""

    async def by_day(
        self, since_day: int, *, user_id: int | None = None, guild_id: int | None = None
    ) -> list[UsageRow]:
        """Return the usage of each model on each day from `since_day` on, in days since the epoch.

        The usage is that of everybody, of one person, or of one server.
        """
        # A condition is added only if it is wanted, since it would otherwise keep the index from being used. The plus
        # excludes the index of servers, because a server has many more rows there than a person.
        where = " ".join(
            ["day >= :since"]
            + [f"AND user_id = :user AND NOT {_FORGOTTEN}"] * (user_id is not None)
            + ["AND guild_id = :guild"] * (guild_id is not None and user_id is None)
            + ["AND +guild_id = :guild"] * (guild_id is not None and user_id is not None)
        )
        rows = await self._engine.read(
            f"""
            SELECT day, model, guild_id, user_id,
                sum(requests) AS requests, sum(prompt_tokens) AS prompt_tokens, sum(reply_tokens) AS reply_tokens,
                sum(cached_tokens) AS cached_tokens, sum(reasoning_tokens) AS reasoning_tokens
            FROM (
                SELECT day, model, guild_id, CASE WHEN NOT {_FORGOTTEN} THEN user_id END AS user_id,
                    requests, prompt_tokens, reply_tokens, cached_tokens, reasoning_tokens
                FROM charges WHERE {where}
            ) AS charged
            GROUP BY day, model, guild_id, user_id
            ORDER BY day, model, guild_id NULLS FIRST, user_id NULLS FIRST
            """,
            since=since_day,
            user=user_id,
            guild=guild_id,
        )
        return [UsageRow(**dict(row)) for row in rows]

"""Usage: reports of what the requests to models were charged."""

from __future__ import annotations

from bot.core.usage import UsageReport, UsageRow
from bot.store.part import Part

_FORGOTTEN = """
    EXISTS (
        SELECT 1 FROM forgotten_users AS gone
        WHERE gone.user_id = charges.user_id AND gone.conversation_id = 0 AND charges.turn_id <= through
    )
    """
"""SQL condition for a charge that is about to lose its user's name."""
_SUMS = """
    sum(requests) AS requests, sum(prompt_tokens) AS prompt_tokens, sum(reply_tokens) AS reply_tokens,
    sum(cached_tokens) AS cached_tokens, sum(reasoning_tokens) AS reasoning_tokens
    """
_NAMED = f"CASE WHEN NOT {_FORGOTTEN} THEN user_id END"
"""SQL for the user of a charge."""


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
            SELECT day, model, guild_id, user_id, {_SUMS}
            FROM (
                SELECT day, model, guild_id, {_NAMED} AS user_id,
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

    async def report(self, since_day: int, people: int) -> UsageReport:
        """The usage of everybody from a day on, in days since the epoch, and of the so many people who used most.

        Only sums leave the database: there may be more charges than fit into memory.
        """
        by_day = await self._engine.read(
            f"""
            SELECT day, model, NULL AS guild_id, NULL AS user_id, {_SUMS}
            FROM charges WHERE day >= :since GROUP BY day, model ORDER BY day, model
            """,
            since=since_day,
        )
        by_guild = await self._engine.read(
            f"""
            SELECT 0 AS day, model, guild_id, NULL AS user_id, {_SUMS}
            FROM charges WHERE day >= :since GROUP BY guild_id, model
            ORDER BY guild_id NULLS FIRST, model
            """,
            since=since_day,
        )
        # Nobody has the id 0.
        by_person = await self._engine.read(
            f"""
            WITH used AS (
                SELECT coalesce({_NAMED}, 0) AS id, model, {_SUMS} FROM charges WHERE day >= :since GROUP BY 1, 2
            ), most AS (
                SELECT id FROM used GROUP BY id ORDER BY sum(prompt_tokens + reply_tokens) DESC, id LIMIT :people
            )
            SELECT 0 AS day, model, NULL AS guild_id, nullif(id, 0) AS user_id,
                requests, prompt_tokens, reply_tokens, cached_tokens, reasoning_tokens
            FROM used WHERE id IN (SELECT id FROM most) ORDER BY id, model
            """,
            since=since_day,
            people=people,
        )
        return UsageReport(*([UsageRow(**dict(row)) for row in rows] for rows in (by_day, by_guild, by_person)))

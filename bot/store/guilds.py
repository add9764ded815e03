"""What becomes of all that is on record of servers and channels, when the bot has left them or they are no more."""

from __future__ import annotations

import json
from collections.abc import Collection

from bot.core.usage import DAY
from bot.store.engine import Statement, Value
from bot.store.part import Part

_LEFT_DAYS = 7
"""For so long after the bot has left it everything of a server is kept: it may be invited again."""


def left_before(now: int) -> int:
    """The time before which a server was left if what is on record of it is to go."""
    return now - _LEFT_DAYS * DAY


def forget_decisions(now: int) -> list[Statement]:
    """Deletes what was decided in servers that were left so long ago."""
    left: dict[str, Value] = {"since": left_before(now)}
    of_these = "guild_id IN (SELECT guild_id FROM servers WHERE left_at < :since)"
    return [
        (f"DELETE FROM behaviours WHERE {of_these} RETURNING 1", left),
        (f"DELETE FROM channel_rules WHERE {of_these} RETURNING 1", left),
        (f"DELETE FROM blocked WHERE {of_these} RETURNING 1", left),
        # Last, as the others are found by it.
        ("DELETE FROM servers WHERE left_at < :since RETURNING 1", left),
    ]


class GuildStore(Part):
    """The part of the store that is told where the bot is. Ids are Discord's."""

    async def mark_left(self, guild_id: int) -> None:
        """Commit that the bot is no longer in a server. `prune` deletes what is on record of it some days later."""
        values: dict[str, Value] = {"guild": guild_id, "now": self._now()}
        await self._engine.transaction(
            ("UPDATE conversations SET left_at = :now WHERE guild_id = :guild AND left_at IS NULL", values),
            (
                """
                INSERT INTO servers (guild_id, left_at) VALUES (:guild, :now)
                ON CONFLICT DO UPDATE SET left_at = coalesce(left_at, excluded.left_at), refused_at = NULL
                """,
                values,
            ),
        )

    async def sync(self, guild_ids: Collection[int]) -> None:
        """Commit which servers the bot is in: all of them. Of others it has been thrown out, or these are gone."""
        values: dict[str, Value] = {"guilds": json.dumps(list(guild_ids)), "now": self._now()}
        await self._engine.transaction(
            (
                """
                UPDATE conversations SET left_at = CASE WHEN left_at IS NULL THEN :now END
                WHERE guild_id IS NOT NULL
                  AND (guild_id IN (SELECT value FROM json_each(:guilds))) = (left_at IS NOT NULL)
                """,
                values,
            ),
            (
                """
                UPDATE servers SET left_at = NULL
                WHERE left_at IS NOT NULL AND guild_id IN (SELECT value FROM json_each(:guilds))
                """,
                values,
            ),
            (
                """
                INSERT INTO servers (guild_id, left_at)
                SELECT guild_id, :now FROM (
                    SELECT guild_id FROM servers WHERE left_at IS NULL
                    UNION SELECT guild_id FROM channel_rules
                    UNION SELECT guild_id FROM blocked
                    UNION SELECT guild_id FROM behaviours WHERE guild_id IS NOT NULL
                )
                WHERE guild_id NOT IN (SELECT value FROM json_each(:guilds))
                ON CONFLICT DO UPDATE SET left_at = coalesce(left_at, excluded.left_at)
                """,
                values,
            ),
        )

    async def forget_channel(self, channel_id: int, conversation: str) -> None:
        """Delete what was decided for a channel that was deleted, and for threads under it, for good.

        Of the rules the last that allows a channel stays: without it all would be.
        """
        await self._engine.delete_securely(
            (
                """
                DELETE FROM behaviours
                WHERE conversation = :key OR conversation IN (SELECT key FROM conversations WHERE parent = :key)
                RETURNING 1
                """,
                {"key": conversation},
            ),
            (
                """
                DELETE FROM channel_rules AS gone
                WHERE channel_id = :channel AND NOT (
                    allowed AND NOT EXISTS (
                        SELECT 1 FROM channel_rules
                        WHERE guild_id = gone.guild_id AND channel_id <> gone.channel_id AND allowed
                    )
                )
                """,
                {"channel": channel_id},
            ),
        )

    async def refused_at(self, guild_id: int) -> int | None:
        """When a server was told that it is not served; None: it was not."""
        rows = await self._engine.read("SELECT refused_at FROM servers WHERE guild_id = :guild", guild=guild_id)
        return rows[0]["refused_at"] if rows else None

    async def record_refusal(self, guild_id: int) -> None:
        """Commit that it was told so now."""
        await self._engine.write(
            """
            INSERT INTO servers (guild_id, refused_at) VALUES (:guild, :now)
            ON CONFLICT DO UPDATE SET refused_at = excluded.refused_at
            """,
            guild=guild_id,
            now=self._now(),
        )

    async def clear_refusal(self, guild_id: int) -> None:
        """Commit that what it was told no longer holds."""
        await self._engine.write("UPDATE servers SET refused_at = NULL WHERE guild_id = :guild", guild=guild_id)

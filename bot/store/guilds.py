"""Guilds and channels that the bot has left or that were deleted."""

from __future__ import annotations

import json
from collections.abc import Collection

from bot.core.turns import Conversation
from bot.core.usage import DAY
from bot.store.engine import Lock, Statement, Value
from bot.store.part import Part

_LEFT_DAYS = 7
"""Days for which everything of a guild is kept after the bot has left it, since it may be invited again."""

_MARK_LEFT = """
    WITH RECURSIVE present (guild_id) AS (
        SELECT min(guild_id) FROM conversations WHERE guild_id IS NOT NULL AND left_at IS NULL
        UNION ALL
        SELECT (
            SELECT min(guild_id) FROM conversations WHERE guild_id > present.guild_id AND left_at IS NULL
        )
        FROM present WHERE guild_id IS NOT NULL
    )
    UPDATE conversations SET left_at = :now
    WHERE left_at IS NULL AND guild_id IN (
        SELECT guild_id FROM present
        WHERE guild_id IS NOT NULL AND guild_id NOT IN (SELECT value FROM json_each(:guilds)) AND {served}
    )
    """
"""Goes from guild to guild through the index, and reads the conversations of those only that were left."""


def left_before(now: int) -> int:
    """Return the time before which a guild must have been left for its records to be deleted."""
    return now - _LEFT_DAYS * DAY


def forget_decisions(now: int, served: str) -> list[Statement]:
    """Return the statements that delete the rules, personas and notes of guilds that were left long enough ago.

    `served` is an SQL condition on `guild_id`, for the guilds that this is about.
    """
    left: dict[str, Value] = {"since": left_before(now)}
    of_these = f"guild_id IN (SELECT guild_id FROM guilds WHERE left_at < :since AND {served})"
    return [
        (f"DELETE FROM personas WHERE {of_these} RETURNING 1", left),
        (f"DELETE FROM notes WHERE {of_these} RETURNING 1", left),
        (f"DELETE FROM channel_rules WHERE {of_these} RETURNING 1", left),
        (f"DELETE FROM channel_settings WHERE {of_these} RETURNING 1", left),
        (f"DELETE FROM blocks WHERE {of_these} RETURNING 1", left),
        # This statement runs last, because the others look the guild up in this table.
        (f"DELETE FROM guilds WHERE left_at < :since AND {served} RETURNING 1", left),
    ]


class GuildStore(Part):
    """The guilds that the bot is in, was refused in, or has left."""

    async def mark_left(self, guild_id: int) -> None:
        """Commit that the bot is no longer in a guild. `RetentionStore.prune` deletes its records some days later."""
        values: dict[str, Value] = {"guild": guild_id, "now": self._now()}
        await self._engine.transaction(
            ("UPDATE conversations SET left_at = :now WHERE guild_id = :guild AND left_at IS NULL", values),
            (
                """
                INSERT INTO guilds (guild_id, left_at) VALUES (:guild, :now)
                ON CONFLICT (guild_id) DO UPDATE
                SET left_at = coalesce(guilds.left_at, excluded.left_at), refused_at = NULL
                """,
                values,
            ),
        )

    async def mark_joined(self, guild_id: int) -> None:
        """Commit that the bot is in a guild, which it may have left before."""
        values: dict[str, Value] = {"guild": guild_id}
        await self._engine.transaction(
            ("UPDATE conversations SET left_at = NULL WHERE guild_id = :guild AND left_at IS NOT NULL", values),
            ("UPDATE guilds SET left_at = NULL WHERE guild_id = :guild AND left_at IS NOT NULL", values),
        )

    async def sync(self, guild_ids: Collection[int]) -> None:
        """Commit the full list of guilds that the bot is in. All others that this process serves count as left."""
        served = self._served("guild_id")
        values: dict[str, Value] = {"guilds": json.dumps(list(guild_ids)), "now": self._now()}
        await self._engine.transaction(
            (
                """
                UPDATE conversations SET left_at = NULL
                WHERE left_at IS NOT NULL AND guild_id IN (SELECT value FROM json_each(:guilds))
                """,
                values,
            ),
            (_MARK_LEFT.format(served=served), values),
            (
                """
                UPDATE guilds SET left_at = NULL
                WHERE left_at IS NOT NULL AND guild_id IN (SELECT value FROM json_each(:guilds))
                """,
                values,
            ),
            (
                f"""
                INSERT INTO guilds (guild_id, left_at)
                SELECT guild_id, :now FROM (
                    SELECT guild_id FROM guilds WHERE left_at IS NULL
                    UNION SELECT guild_id FROM channel_rules
                    UNION SELECT guild_id FROM channel_settings
                    UNION SELECT guild_id FROM blocks
                    UNION SELECT guild_id FROM personas WHERE guild_id IS NOT NULL
                    UNION SELECT guild_id FROM notes WHERE guild_id IS NOT NULL
                ) AS known
                WHERE guild_id NOT IN (SELECT value FROM json_each(:guilds)) AND {served}
                ON CONFLICT (guild_id) DO UPDATE SET left_at = coalesce(guilds.left_at, excluded.left_at)
                """,
                values,
            ),
        )

    async def has_records_of(self, channel_id: int, conversation: Conversation) -> bool:
        """Whether anything is on record of a channel, or of its threads, by all writes that were asked for before."""
        # Not by `read`, which does not wait for a prompt that is being put on record.
        return bool(
            await self._engine.write(
                """
                SELECT 1
                WHERE EXISTS (SELECT 1 FROM conversations WHERE platform = :platform AND channel = :channel)
                   OR EXISTS (SELECT 1 FROM conversations WHERE parent_channel = :channel)
                   OR EXISTS (
                       SELECT 1 FROM conversations
                       WHERE platform = :platform AND channel > :channel || ':' AND channel < :channel || ';'
                   )
                   OR EXISTS (SELECT 1 FROM personas WHERE platform = :platform AND channel = :channel)
                   OR EXISTS (SELECT 1 FROM channel_rules WHERE channel_id = :channel_id)
                   OR EXISTS (SELECT 1 FROM channel_settings WHERE channel_id = :channel_id)
                """,
                channel_id=channel_id,
                platform=conversation.platform,
                channel=conversation.channel,
            )
        )

    async def forget_channel(self, channel_id: int, conversation: Conversation) -> None:
        """Delete the persona, model, settings and rule of a deleted channel, and the persona and model of its threads.

        The last rule that allows a channel in a guild stays: without it, all channels would be allowed.
        """
        await self._engine.delete_securely(
            (
                """
                DELETE FROM personas
                WHERE platform = :platform AND channel IN (
                    SELECT :channel UNION ALL SELECT channel FROM conversations WHERE parent_channel = :channel
                )
                RETURNING 1
                """,
                {"platform": conversation.platform, "channel": conversation.channel},
            ),
            (
                """
                DELETE FROM channel_rules AS gone
                WHERE channel_id = :channel_id AND NOT (
                    allowed = 1 AND NOT EXISTS (
                        SELECT 1 FROM channel_rules
                        WHERE guild_id = gone.guild_id AND channel_id <> gone.channel_id AND allowed = 1
                    )
                )
                """,
                {"channel_id": channel_id},
            ),
            ("DELETE FROM channel_settings WHERE channel_id = :channel_id", {"channel_id": channel_id}),
            # Which rule is the last one is decided for one channel after the other. Channels are seldom deleted.
            locks=[Lock("guild")],
        )

    async def refused_at(self, guild_id: int) -> int | None:
        """Return the time when a guild was told that it is not served, or None if it was not told."""
        rows = await self._engine.read("SELECT refused_at FROM guilds WHERE guild_id = :guild", guild=guild_id)
        return rows[0]["refused_at"] if rows else None

    async def refused(self) -> set[int]:
        """Return the guilds that were told that they are not served."""
        return {row["guild_id"] for row in await self._engine.read("SELECT guild_id FROM guilds WHERE refused_at > 0")}

    async def record_refusal(self, guild_id: int) -> None:
        """Commit that a guild is told now that it is not served."""
        await self._engine.write(
            """
            INSERT INTO guilds (guild_id, refused_at) VALUES (:guild, :now)
            ON CONFLICT (guild_id) DO UPDATE SET refused_at = excluded.refused_at
            """,
            guild=guild_id,
            now=self._now(),
        )

    async def clear_refusal(self, guild_id: int) -> None:
        """Commit that a guild is served, whatever it was told before."""
        await self._engine.write("UPDATE guilds SET refused_at = NULL WHERE guild_id = :guild", guild=guild_id)

"""Guild rules: where and by whom the bot may be used, as the moderators of each guild decided."""

from __future__ import annotations

import json
from collections.abc import Collection

from bot.core.access import Block, Decision, GuildDecisions, GuildRules
from bot.store.engine import Lock, Value
from bot.store.part import Part

IN_FORCE = "(until IS NULL OR until > :now)"
"""SQL condition for the rows of `blocks` that are still in force."""


class GuildRuleStore(Part):
    """Pauses, channel rules and blocks by guild. Times are seconds since the epoch."""

    async def rules_for(self, guild_id: int, user_id: int) -> GuildRules:
        """The rules for one user in a guild now. One query, since every turn waits for it."""
        rows = await self._engine.read(
            f"""
            SELECT 'channel' AS rule, channel_id, allowed AS value FROM channel_rules WHERE guild_id = :guild
            UNION ALL SELECT 'paused', NULL, paused FROM guilds WHERE guild_id = :guild
            UNION ALL
            SELECT 'block', NULL, until FROM blocks WHERE guild_id = :guild AND user_id = :user AND {IN_FORCE}
            """,
            guild=guild_id,
            user=user_id,
            now=self._now(),
        )
        return GuildRules(
            paused=any(row["value"] for row in rows if row["rule"] == "paused"),
            block=next((Block(row["value"]) for row in rows if row["rule"] == "block"), None),
            channels={row["channel_id"]: bool(row["value"]) for row in rows if row["rule"] == "channel"},
        )

    async def pause(self, guild_id: int, *, by: int | None = None) -> bool:
        """Commit that the bot answers nobody in a guild. The result is False if it was paused before."""
        rows = await self._engine.write(
            """
            INSERT INTO guilds (guild_id, paused, paused_by, paused_at) VALUES (:guild, 1, :by, :now)
            ON CONFLICT (guild_id) DO UPDATE SET paused = 1, paused_by = :by, paused_at = :now WHERE guilds.paused = 0
            RETURNING guild_id
            """,
            guild=guild_id,
            by=by,
            now=self._now(),
        )
        return bool(rows)

    async def resume(self, guild_id: int) -> bool:
        return bool(
            await self._engine.write(
                """
                UPDATE guilds SET paused = 0, paused_by = NULL, paused_at = NULL WHERE guild_id = :guild AND paused = 1
                RETURNING guild_id
                """,
                guild=guild_id,
            )
        )

    async def set_channel_rule(
        self, guild_id: int, channel_id: int, allowed: bool | None, *, by: int | None = None
    ) -> None:
        """Commit whether the bot is allowed in a channel, thread or category. None deletes the rule."""
        if allowed is None:
            await self._engine.write(
                "DELETE FROM channel_rules WHERE guild_id = :guild AND channel_id = :channel_id",
                guild=guild_id,
                channel_id=channel_id,
            )
        else:
            await self._engine.write(
                """
                INSERT INTO channel_rules (channel_id, guild_id, allowed, set_by, set_at)
                VALUES (:channel_id, :guild, :allowed, :by, :now)
                ON CONFLICT (guild_id, channel_id) DO UPDATE
                SET allowed = excluded.allowed, set_by = excluded.set_by, set_at = excluded.set_at
                """,
                channel_id=channel_id,
                guild=guild_id,
                allowed=allowed,
                by=by,
                now=self._now(),
            )

    async def claim_moderators_note(self, guild_id: int) -> bool:
        """Commit that the moderators of a guild are told now about channel rules.

        The result is False if they were told before, or know: if the guild has channel rules or settings.
        """
        values: dict[str, Value] = {"guild": guild_id}
        if await self._engine.read("SELECT 1 FROM guilds WHERE guild_id = :guild AND moderators_told = 1", **values):
            return False
        rules, claimed = await self._engine.transaction(
            (
                """
                SELECT 1 FROM channel_rules WHERE guild_id = :guild
                UNION ALL SELECT 1 FROM channel_settings WHERE guild_id = :guild LIMIT 1
                """,
                values,
            ),
            (
                """
                INSERT INTO guilds (guild_id, moderators_told) VALUES (:guild, 1)
                ON CONFLICT (guild_id) DO UPDATE SET moderators_told = 1 WHERE guilds.moderators_told = 0
                RETURNING guild_id
                """,
                values,
            ),
            locks=[Lock("guild", guild_id)],
        )
        return bool(claimed) and not rules

    async def clear_channel_rules(self, guild_id: int) -> bool:
        """Delete all channel rules of a guild. The result is False if there was none."""
        return bool(
            await self._engine.write(
                "DELETE FROM channel_rules WHERE guild_id = :guild RETURNING channel_id", guild=guild_id
            )
        )

    async def block(self, guild_id: int, user_id: int, until: int | None, *, by: int | None = None) -> None:
        """Commit that a user may not use the bot in a guild until a time, or (None) for good."""
        await self._engine.transaction(
            ("DELETE FROM blocks WHERE until <= :now", {"now": self._now()}),
            (
                """
                INSERT INTO blocks (guild_id, user_id, until, set_by, set_at)
                VALUES (:guild, :user, :until, :by, :now)
                ON CONFLICT (guild_id, user_id) DO UPDATE
                SET until = excluded.until, set_by = excluded.set_by, set_at = excluded.set_at
                """,
                {"guild": guild_id, "user": user_id, "until": until, "by": by, "now": self._now()},
            ),
        )

    async def unblock(self, guild_id: int, user_id: int) -> bool:
        """Delete the block of a user. The result is False if no block was in force."""
        rows = await self._engine.write(
            "DELETE FROM blocks WHERE guild_id = :guild AND user_id = :user RETURNING until",
            guild=guild_id,
            user=user_id,
        )
        return any(row["until"] is None or row["until"] > self._now() for row in rows)

    async def decisions(self, guild_id: int, most: int) -> GuildDecisions:
        """What is in force in a guild, with who decided it and when: at most so many channels, and so many blocks."""
        paused = await self._engine.read(
            "SELECT paused_by, paused_at FROM guilds WHERE guild_id = :guild AND paused = 1", guild=guild_id
        )
        channels = await self._engine.read(
            """
            SELECT channel_id, allowed, set_by, set_at FROM channel_rules WHERE guild_id = :guild
            ORDER BY allowed DESC, channel_id LIMIT :most
            """,
            guild=guild_id,
            most=most,
        )
        blocks = await self._engine.read(
            f"""
            SELECT user_id, until, set_by, set_at FROM blocks WHERE guild_id = :guild AND {IN_FORCE}
            ORDER BY until IS NULL, until LIMIT :most
            """,
            guild=guild_id,
            now=self._now(),
            most=most,
        )
        return GuildDecisions(
            next((Decision(row["paused_by"], row["paused_at"]) for row in paused), None),
            [(row["channel_id"], bool(row["allowed"]), Decision(row["set_by"], row["set_at"])) for row in channels],
            [(row["user_id"], Block(row["until"]), Decision(row["set_by"], row["set_at"])) for row in blocks],
        )

    async def blocked_among(self, guild_id: int, user_ids: Collection[int]) -> set[int]:
        """Those of these users whom the moderators of a guild block now."""
        rows = await self._engine.read(
            f"""
            SELECT user_id FROM blocks
            WHERE guild_id = :guild AND user_id IN (SELECT value FROM json_each(:users)) AND {IN_FORCE}
            """,
            guild=guild_id,
            users=json.dumps(list(user_ids)),
            now=self._now(),
        )
        return {row["user_id"] for row in rows}

    async def blocks_of(self, user_id: int, guild_id: int | None = None) -> dict[int, Block]:
        """Return the blocks in force of one user by guild, in all guilds or in one."""
        rows = await self._engine.read(
            f"""
            SELECT guild_id, until FROM blocks
            WHERE user_id = :user AND (:guild IS NULL OR guild_id = :guild) AND {IN_FORCE} ORDER BY guild_id
            """,
            user=user_id,
            guild=guild_id,
            now=self._now(),
        )
        return {row["guild_id"]: Block(row["until"]) for row in rows}

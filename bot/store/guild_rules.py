"""What a server's moderators decided: where and by whom the bot may be used there."""

from __future__ import annotations

import json

from bot.core.access import Block, GuildRules
from bot.store.part import Part

IN_FORCE = "(until IS NULL OR until > :now)"
"""SQL for what is not over, of rows of `blocked`."""


class GuildRuleStore(Part):
    """The part of the store that says who may use the bot where. Ids are Discord's, times seconds since the epoch."""

    async def rules_for(self, guild_id: int, person_id: int) -> GuildRules:
        """What holds for one person in a server now; one query, as it stands in the way of every turn."""
        [row] = await self._engine.read(
            f"""
            SELECT
                (SELECT paused FROM servers WHERE guild_id = :guild) AS paused,
                (
                    SELECT json_array(until) FROM blocked
                    WHERE guild_id = :guild AND person_id = :person AND {IN_FORCE}
                ) AS block,
                (SELECT json_group_object(channel_id, allowed) FROM channel_rules WHERE guild_id = :guild) AS channels
            """,
            guild=guild_id,
            person=person_id,
            now=self._now(),
        )
        return GuildRules(
            paused=bool(row["paused"]),
            block=None if row["block"] is None else Block(*json.loads(row["block"])),
            channels={int(channel): bool(allowed) for channel, allowed in json.loads(row["channels"]).items()},
        )

    async def pause(self, guild_id: int) -> bool:
        """Commit that the bot answers nobody in a server. False: that was so before."""
        rows = await self._engine.write(
            """
            INSERT INTO servers (guild_id, paused) VALUES (:guild, 1)
            ON CONFLICT DO UPDATE SET paused = 1 WHERE NOT paused
            RETURNING guild_id
            """,
            guild=guild_id,
        )
        return bool(rows)

    async def resume(self, guild_id: int) -> bool:
        """Commit that it does again. False: that was so before."""
        return bool(
            await self._engine.write(
                "UPDATE servers SET paused = 0 WHERE guild_id = :guild AND paused RETURNING guild_id", guild=guild_id
            )
        )

    async def set_channel_rule(self, guild_id: int, channel_id: int, allowed: bool | None) -> None:
        """Commit that the bot is or is not allowed in a channel, thread or category. None: that there is no rule."""
        if allowed is None:
            await self._engine.write("DELETE FROM channel_rules WHERE channel_id = :channel", channel=channel_id)
        else:
            await self._engine.write(
                "REPLACE INTO channel_rules (channel_id, guild_id, allowed) VALUES (:channel, :guild, :allowed)",
                channel=channel_id,
                guild=guild_id,
                allowed=allowed,
            )

    async def clear_channel_rules(self, guild_id: int) -> bool:
        """Commit that the bot is allowed in all channels of a server. False: there was no rule."""
        return bool(
            await self._engine.write(
                "DELETE FROM channel_rules WHERE guild_id = :guild RETURNING channel_id", guild=guild_id
            )
        )

    async def block(self, guild_id: int, person_id: int, until: int | None) -> None:
        """Commit that a person may not use the bot in a server until then, or (None) at all."""
        await self._engine.transaction(
            ("DELETE FROM blocked WHERE until <= :now", {"now": self._now()}),
            (
                "REPLACE INTO blocked (guild_id, person_id, until) VALUES (:guild, :person, :until)",
                {"guild": guild_id, "person": person_id, "until": until},
            ),
        )

    async def unblock(self, guild_id: int, person_id: int) -> bool:
        """Commit that they may. False: they might before."""
        rows = await self._engine.write(
            "DELETE FROM blocked WHERE guild_id = :guild AND person_id = :person RETURNING until",
            guild=guild_id,
            person=person_id,
        )
        return any(row["until"] is None or row["until"] > self._now() for row in rows)

    async def blocks(self, guild_id: int, most: int) -> list[tuple[int, Block]]:
        """Up to so many of the people who are blocked in a server now."""
        rows = await self._engine.read(
            f"""
            SELECT person_id, until FROM blocked WHERE guild_id = :guild AND {IN_FORCE}
            ORDER BY until IS NULL, until LIMIT :most
            """,
            guild=guild_id,
            now=self._now(),
            most=most,
        )
        return [(row["person_id"], Block(row["until"])) for row in rows]

    async def blocks_of(self, person_id: int, guild_id: int | None = None) -> dict[int, Block]:
        """The servers whose moderators keep somebody from using the bot now; of all, or that one alone."""
        rows = await self._engine.read(
            f"""
            SELECT guild_id, until FROM blocked
            WHERE person_id = :person AND (:guild IS NULL OR guild_id = :guild) AND {IN_FORCE} ORDER BY guild_id
            """,
            person=person_id,
            guild=guild_id,
            now=self._now(),
        )
        return {row["guild_id"]: Block(row["until"]) for row in rows}

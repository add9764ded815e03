"""What is forgotten for good: on somebody's word, with what was deleted on Discord, and after a time."""

from __future__ import annotations

import json
from collections.abc import Collection

from bot.store.ledger import HOUR
from bot.store.part import Part
from bot.turns import Forgotten

_DAY = 24 * 3600
_HANDLED_DAYS = 2
"""No event is asked about that is older."""
_SPENT_DAYS = 2
"""Of these the first is over, and whatever was asked for in it has ended."""
_CHARGES_DAYS = 90
_AT_ONCE = 10
"""Conversations that go in one statement, so that other writes come between."""
_CHARGES_AT_ONCE = 1000
"""And so for these."""


class Retention(Part):
    """The part of the store that deletes. Whatever goes is gone from the file's bytes when a call returns."""

    async def forget(self, conversation: str) -> Forgotten:
        """Delete a conversation's turns for good."""
        # Replacing the row takes its turns and their messages along (ON DELETE CASCADE) and leaves the new one without
        # an origin: all of it in one statement.
        rows, _ = await self._database.write_in_turn(
            (
                """
                SELECT turns.id, reply <> '' AS answered
                FROM turns JOIN conversations ON conversations.id = conversation_id WHERE key = :key
                """,
                {"key": conversation},
            ),
            (
                """
                REPLACE INTO conversations (id, key, guild_id, parent, used_at, left_at)
                SELECT id, key, guild_id, parent, used_at, left_at FROM conversations WHERE key = :key
                """,
                {"key": conversation},
            ),
        )
        await self._database.wipe(rewrite=bool(rows))
        return Forgotten(exchanges=sum(row["answered"] for row in rows), turn_ids=frozenset(row["id"] for row in rows))

    async def forget_turn(self, turn_id: int) -> None:
        """Delete one turn for good."""
        await self._delete("id = :turn", turn=turn_id)

    async def forget_prompts(self, conversation: str, positions: Collection[int]) -> set[int]:
        """Delete the turns of these prompts for good; the answer is the turns' ids."""
        return await self._delete(
            """
            conversation_id = (SELECT id FROM conversations WHERE key = :key)
            AND position IN (SELECT value FROM json_each(:positions))
            """,
            key=conversation,
            positions=json.dumps(list(positions)),
        )

    async def forget_replies(self, message_ids: Collection[int]) -> set[int]:
        """Delete the turns whose replies these messages show for good; the answer is the turns' ids."""
        return await self._delete(
            """
            id IN (
                SELECT turn_id FROM messages WHERE message_id IN (SELECT value FROM json_each(:messages))
            )
            """,
            messages=json.dumps(list(message_ids)),
        )

    async def left(self, guild_id: int) -> None:
        """Commit that the bot is no longer in a server. `prune` deletes its conversations after some days."""
        await self._database.write(
            "UPDATE conversations SET left_at = :now WHERE guild_id = :guild AND left_at IS NULL",
            guild=guild_id,
            now=self._now(),
        )

    async def joined(self, guild_ids: Collection[int]) -> None:
        """Commit which servers the bot is in: all of them. Of others it has been thrown out, or these are gone."""
        await self._database.write(
            """
            UPDATE conversations SET left_at = CASE WHEN left_at IS NULL THEN :now END
            WHERE guild_id IS NOT NULL
              AND (guild_id IN (SELECT value FROM json_each(:guilds))) = (left_at IS NOT NULL)
            """,
            guilds=json.dumps(list(guild_ids)),
            now=self._now(),
        )

    async def prune(self, unused_days: int, left_days: int = 7) -> int:
        """Delete Discord's conversations that nobody used for so many days (0: however long), or whose server was left
        so many days ago, old marks on prompts, and old counts. Returns how many conversations went.
        """
        now = self._now()
        pruned = 0
        while rows := await self._database.write(
            """
            DELETE FROM conversations WHERE id IN (
                SELECT id FROM conversations INDEXED BY conversations_by_use
                WHERE used_at < :unused_since AND key GLOB 'discord:*'
                UNION SELECT id FROM conversations WHERE left_at < :left_since
                LIMIT :most
            ) RETURNING id
            """,
            unused_since=now - unused_days * _DAY if unused_days else 0,
            left_since=now - left_days * _DAY,
            most=_AT_ONCE,
        ):
            pruned += len(rows)
        await self._forget_counts(now)
        if pruned:
            await self._database.wipe()
        return pruned

    async def _forget_counts(self, now: int) -> None:
        """Delete what counts towards no limit and no report any more."""
        await self._database.write_in_turn(
            ("DELETE FROM handled WHERE at < :since", {"since": now - _HANDLED_DAYS * _DAY}),
            ("DELETE FROM asked WHERE at <= :since", {"since": now - HOUR}),
            ("DELETE FROM told WHERE until <= :now", {"now": now}),
            ("DELETE FROM spent WHERE day < :day", {"day": now // _DAY - _SPENT_DAYS}),
        )
        while await self._database.write(
            "DELETE FROM charges WHERE id IN (SELECT id FROM charges WHERE day < :day LIMIT :most) RETURNING id",
            day=now // _DAY - _CHARGES_DAYS,
            most=_CHARGES_AT_ONCE,
        ):
            pass

    async def _delete(self, where: str, **values: str | int) -> set[int]:
        """Delete the turns `where` holds for, which is SQL of ours."""
        rows = await self._database.write(f"DELETE FROM turns WHERE {where} RETURNING id", **values)  # noqa: S608 - as said
        if rows:
            await self._database.wipe()
        return {row["id"] for row in rows}

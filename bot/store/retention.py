"""What is forgotten for good: on somebody's word, with what was deleted on Discord, and after a time."""

from __future__ import annotations

import json
from collections.abc import Collection

from bot.core.usage import DAY
from bot.store.engine import Value
from bot.store.guilds import forget_decisions, left_before
from bot.store.part import Part
from bot.store.quotas import HOUR

_HANDLED_DAYS = 2
"""No event is asked about that is older."""
_SPENT_DAYS = 2
"""Of these the first is over, and whatever was asked for in it has ended."""
_CHARGES_DAYS = 90
_AT_ONCE = 10
"""Conversations that go in one statement, so that other writes come between."""
_CHARGES_AT_ONCE = 1000
"""And so for these."""

_PRUNE = """
    DELETE FROM conversations WHERE id IN (
        SELECT id FROM conversations INDEXED BY conversations_by_use
        WHERE used_at < :unused_since AND key GLOB 'discord:*'
        UNION SELECT id FROM conversations WHERE left_at < :left_since
        LIMIT :most
    ) RETURNING id
    """


class RetentionStore(Part):
    """The part of the store that deletes.

    Whatever goes leaves the file's bytes too, in the background or by `wipe`: the file is written anew for all that is
    deleted until then.
    """

    async def forget_conversation(self, conversation: str) -> set[int]:
        """Delete a conversation's turns for good; the answer is their ids."""
        # Replacing the row takes its turns and their messages along (ON DELETE CASCADE) and leaves the new one without
        # an origin: all of it in one statement.
        rows, _ = await self._engine.delete_securely(
            (
                """
                SELECT turns.id FROM turns JOIN conversations ON conversations.id = conversation_id WHERE key = :key
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
        return {row["id"] for row in rows}

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

    async def prune(self, unused_days: int) -> int:
        """Delete Discord's conversations that nobody used for so many days (0: however long), what is on record of
        servers that were left some days ago, old marks on prompts, and old counts. Returns how many conversations went.
        """
        now = self._now()
        pruned = 0
        values: dict[str, Value] = {
            "unused_since": now - unused_days * DAY if unused_days else 0,
            "left_since": left_before(now),
            "most": _AT_ONCE,
        }
        while rows := (await self._engine.delete_securely((_PRUNE, values)))[0]:
            pruned += len(rows)
        await self._engine.delete_securely(*forget_decisions(now))
        await self._forget_counts(now)
        return pruned

    async def _forget_counts(self, now: int) -> None:
        """Delete what counts towards no limit and no report any more."""
        await self._engine.transaction(
            ("DELETE FROM handled WHERE at < :since", {"since": now - _HANDLED_DAYS * DAY}),
            ("DELETE FROM asked WHERE at <= :since", {"since": now - HOUR}),
            ("DELETE FROM told WHERE until <= :now", {"now": now}),
            ("DELETE FROM spent WHERE day < :day", {"day": now // DAY - _SPENT_DAYS}),
        )
        while await self._engine.write(
            "DELETE FROM charges WHERE id IN (SELECT id FROM charges WHERE day < :day LIMIT :most) RETURNING id",
            day=now // DAY - _CHARGES_DAYS,
            most=_CHARGES_AT_ONCE,
        ):
            pass

    async def _delete(self, where: str, **values: str | int) -> set[int]:
        """Delete the turns `where` holds for, which is SQL of ours."""
        sql = f"DELETE FROM turns WHERE {where} RETURNING id"
        [rows] = await self._engine.delete_securely((sql, values))
        return {row["id"] for row in rows}

"""Records of things done once: messages that are processed, and notices that are not repeated."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence

from bot.store.engine import Lock, Value
from bot.store.part import Part

PROCESSED = "SELECT 1 FROM processed_messages WHERE message_id = :message_id"
"""SQL that finds something where the message of a prompt had a turn or needs none; nothing where it has no message."""


class ProcessedStore(Part):
    """Processed messages and given notices. Both outlive the turns."""

    async def mark(self, message_id: int) -> bool:
        """Commit that the prompt in a message gets no turn, since it is refused or answered with a hint.

        The result is False if the prompt has a turn or was marked before.
        """
        [rows] = await self._engine.transaction(
            (
                """
                INSERT INTO processed_messages (message_id, at) VALUES (:message, :now)
                ON CONFLICT DO NOTHING RETURNING message_id
                """,
                {"message": message_id, "now": self._now()},
            ),
            locks=[Lock("message", message_id)],
        )
        return bool(rows)

    async def among(self, message_ids: Collection[int]) -> set[int]:
        """Return the messages that had a turn or were marked. Only the last two days are on record."""
        rows = await self._engine.read(
            "SELECT message_id FROM processed_messages WHERE message_id IN (SELECT value FROM json_each(:messages))",
            messages=json.dumps(list(message_ids)),
        )
        return {row["message_id"] for row in rows}

    async def withdraw_notices(self, prefix: str) -> Sequence[str]:
        """Commit that the notices whose keys begin so are not in force any more. The answer is the keys of those."""
        begins = "substr(key, 1, length(:prefix)) = :prefix AND until > :now AND user_id = 0"
        values: dict[str, Value] = {"prefix": prefix, "now": self._now()}
        if not await self._engine.read(f"SELECT 1 FROM notices WHERE {begins} LIMIT 1", **values):
            return []
        rows = await self._engine.write(f"DELETE FROM notices WHERE {begins} RETURNING key", **values)
        return [row["key"] for row in rows]

    async def claim_notice(self, key: str, until: int, user_id: int = 0) -> bool:
        """Commit that a notice is given now and not again before `until`: to a user, or (0) to anybody.

        The result is False if it was given before and its time has not passed yet.
        """
        rows = await self._engine.write(
            """
            INSERT INTO notices (key, user_id, until) VALUES (:key, :user, :until)
            ON CONFLICT (key, user_id) DO UPDATE SET until = excluded.until WHERE notices.until <= :now
            RETURNING key
            """,
            key=key,
            user=user_id,
            until=until,
            now=self._now(),
        )
        return bool(rows)

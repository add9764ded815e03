"""Deliveries: the messages that show replies, and the reactions that have to be removed."""

from __future__ import annotations

from bot.core.records import SentPart
from bot.core.turns import Attempt
from bot.store.engine import Value
from bot.store.part import Part


class DeliveryStore(Part):
    """Posted messages and pending reactions. Only the messages are forgotten with their turns."""

    async def posting(self, attempt: Attempt, part: int, start: int, nonce: str) -> bool:
        """Commit that a message is about to be posted for a part, in place of its former message and those behind that.

        These are stale until they are removed. The result is False, and nothing is recorded, if the attempt was
        forgotten or superseded.
        """
        values: dict[str, Value] = {
            "turn": attempt.turn_id,
            "attempt": attempt.number,
            "part": part,
            "start": start,
            "nonce": nonce,
        }
        _, rows = await self._engine.transaction(
            (
                """
                UPDATE messages SET part = -message_id
                WHERE turn_id = (SELECT id FROM turns WHERE id = :turn AND attempt = :attempt)
                  AND part >= :part AND message_id IS NOT NULL
                """,
                values,
            ),
            (
                """
                INSERT INTO messages (turn_id, part, start, nonce)
                SELECT id, :part, :start, :nonce FROM turns WHERE id = :turn AND attempt = :attempt
                ON CONFLICT (turn_id, part) DO UPDATE SET start = excluded.start, nonce = excluded.nonce
                RETURNING part
                """,
                values,
            ),
        )
        return bool(rows)

    async def posted(self, attempt: Attempt, part: int, message_id: int) -> None:
        """Commit the platform's id of a message. Writes nothing for a forgotten or superseded attempt."""
        await self._engine.write(
            """
            UPDATE messages SET message_id = :message
            WHERE turn_id = (SELECT id FROM turns WHERE id = :turn AND attempt = :attempt) AND part = :part
            """,
            turn=attempt.turn_id,
            attempt=attempt.number,
            part=part,
            message=message_id,
        )

    async def removed(self, message_id: int) -> None:
        """Commit that a message is gone from the platform."""
        await self._engine.write("DELETE FROM messages WHERE message_id = :message", message=message_id)

    async def sent(self, turn_id: int) -> list[SentPart]:
        """The messages that show a turn's reply, in the order of their parts."""
        rows = await self._engine.read(
            """
            SELECT part, start, nonce, messages.message_id FROM turns JOIN messages ON turn_id = turns.id
            WHERE turns.id = :turn AND part >= 0 ORDER BY part
            """,
            turn=turn_id,
        )
        return [SentPart(*row) for row in rows]

    async def stale(self, turn_id: int) -> list[int]:
        """The messages in whose place others were posted and that are not removed yet, as far as is known."""
        rows = await self._engine.read(
            "SELECT message_id FROM messages WHERE turn_id = :turn AND part < 0", turn=turn_id
        )
        return [row["message_id"] for row in rows]

    async def mark_reaction(self, channel_id: int, message_id: int) -> None:
        """Commit that a message may have the bot's reaction from now on."""
        await self._engine.write(
            """
            INSERT INTO pending_reactions (message_id, channel_id) VALUES (:message, :channel_id)
            ON CONFLICT DO NOTHING
            """,
            message=message_id,
            channel_id=channel_id,
        )

    async def unmark_reaction(self, message_id: int) -> None:
        """Commit that a message has no reaction of the bot any more."""
        await self._engine.write("DELETE FROM pending_reactions WHERE message_id = :message", message=message_id)

    async def pending_reactions(self) -> list[tuple[int, int]]:
        """The channel id and message id of each message that may have a reaction of the bot, where it is served."""
        # A question that is answered in a thread has it outside the conversation.
        rows = await self._engine.read(
            f"""
            SELECT channel_id, message_id FROM (
                SELECT channel_id, message_id, coalesce(
                    (
                        SELECT guild_id FROM conversations
                        WHERE platform = 'discord' AND channel = CAST(channel_id AS TEXT)
                    ),
                    (SELECT min(guild_id) FROM conversations WHERE parent_channel = CAST(channel_id AS TEXT))
                ) AS guild_id
                FROM pending_reactions
            ) AS pending
            WHERE {self._served("guild_id")} ORDER BY message_id
            """
        )
        return [(row["channel_id"], row["message_id"]) for row in rows]

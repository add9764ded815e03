"""The messages that show replies: where a reply is on Discord, and whose turn a message shows."""

from __future__ import annotations

import sqlite3

from bot.core.records import SentPart
from bot.core.turns import Attempt, FailureReason, Turn, TurnState
from bot.store.part import Part


class DeliveryStore(Part):
    """The part of the store that knows what was posted. It goes with the turns."""

    async def posting(self, attempt: Attempt, part: int, start: int, nonce: str) -> bool:
        """Commit that a message is about to be posted, in place of the part's former one. False: the attempt was
        forgotten or superseded, so there is nothing to keep a record of.
        """
        rows = await self._database.write(
            """
            INSERT INTO messages (turn_id, part, start, nonce)
            SELECT id, :part, :start, :nonce FROM turns WHERE id = :turn AND attempt = :attempt
            ON CONFLICT (turn_id, part)
            DO UPDATE SET start = excluded.start, nonce = excluded.nonce, message_id = NULL
            RETURNING part
            """,
            turn=attempt.turn_id,
            attempt=attempt.number,
            part=part,
            start=start,
            nonce=nonce,
        )
        return bool(rows)

    async def posted(self, attempt: Attempt, part: int, message_id: int) -> None:
        """Commit the platform's id of a message. Writes nothing for a forgotten or superseded attempt."""
        await self._database.write(
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
        await self._database.write("DELETE FROM messages WHERE message_id = :message", message=message_id)

    async def sent(self, turn_id: int) -> list[SentPart]:
        """The messages that show a turn's reply, in the order of their parts."""
        rows = await self._database.read(
            "SELECT part, start, nonce, message_id FROM messages WHERE turn_id = :turn ORDER BY part", turn=turn_id
        )
        return [SentPart(*row) for row in rows]

    async def remembers(self, turn_id: int) -> bool:
        """Whether a turn is on record: it was not forgotten."""
        return bool(await self._database.read("SELECT 1 FROM turns WHERE id = :turn", turn=turn_id))

    async def turn_of_message(self, message_id: int) -> Turn | None:
        """The turn whose reply a message shows."""
        rows = await self._database.read(
            """
            SELECT turns.*, key AS conversation, guild_id FROM messages
            JOIN turns ON turns.id = turn_id JOIN conversations ON conversations.id = conversation_id
            WHERE message_id = :message
            """,
            message=message_id,
        )
        return turn_of(rows[0]) if rows else None


def turn_of(row: sqlite3.Row) -> Turn:
    """A row of `turns`, with its `conversation` and `guild_id`."""
    return Turn(
        id=row["id"],
        conversation=row["conversation"],
        position=row["position"],
        prompt=row["prompt"],
        reply=row["reply"],
        state=TurnState(row["state"]),
        attempt=row["attempt"],
        author_id=row["author_id"],
        author_name=row["author_name"],
        failure=None if row["error"] is None else FailureReason(row["error"]),
        created_at=row["created_at"],
        tries=row["tries"],
        guild_id=row["guild_id"],
    )

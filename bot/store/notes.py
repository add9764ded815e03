"""Notes: what users want the model to know about them, each in one guild or in the user's DM."""

from __future__ import annotations

from collections.abc import Sequence

from bot.core.records import Note, NoteResult
from bot.core.usage import DAY
from bot.store.engine import Lock, Rows, Value
from bot.store.part import Part

MOST_CHARACTERS = 1000
"""Characters of all notes of a user in one place, as they are shown."""
MOST_NOTES = 20
"""Notes of a user in one place: each has a button, and a message on Discord has at most 25."""

_HERE = "user_id = :user AND coalesce(guild_id, 0) = coalesce(:guild, 0)"
"""SQL condition for the notes of a user in a guild or DM. No guild has the id 0."""


class NoteStore(Part):
    """The notes of users. A `guild_id` of None stands for the user's DM. A reset keeps them."""

    async def texts_of(self, user_id: int | None, guild_id: int | None) -> Sequence[str]:
        if user_id is None:
            return ()
        rows, long_ago = await self._of(user_id, guild_id), self._now() - DAY
        if any(row["used_at"] <= long_ago for row in rows):
            # For the deletion of what nobody uses, which counts in months.
            await self._engine.write(
                f"UPDATE notes SET used_at = :now WHERE {_HERE}", user=user_id, guild=guild_id, now=self._now()
            )
        return [row["text"] for row in rows]

    async def of(self, user_id: int, guild_id: int | None) -> Sequence[Note]:
        """A user's notes in one place, oldest first."""
        return [
            Note(row["id"], row["guild_id"], row["created_at"], row["text"])
            for row in await self._of(user_id, guild_id)
        ]

    async def _of(self, user_id: int, guild_id: int | None) -> Rows:
        return await self._engine.read(f"SELECT * FROM notes WHERE {_HERE} ORDER BY id", user=user_id, guild=guild_id)

    async def everywhere(self, user_id: int) -> Sequence[Note]:
        """A user's notes in all places, oldest first."""
        rows = await self._engine.read("SELECT * FROM notes WHERE user_id = :user ORDER BY id", user=user_id)
        return [Note(row["id"], row["guild_id"], row["created_at"], row["text"]) for row in rows]

    async def add(self, user_id: int, guild_id: int | None, text: str, size: int) -> NoteResult:
        """Commit a note that is shown as `size` characters, unless the user has it already or has too many."""
        values: dict[str, Value] = {
            "user": user_id,
            "guild": guild_id,
            "text": text,
            "size": size,
            "now": self._now(),
        }
        [before], added = await self._engine.transaction(
            (f"SELECT count(*) AS known FROM notes WHERE {_HERE} AND text = :text", values),
            (
                f"""
                INSERT INTO notes (user_id, guild_id, size, created_at, used_at, text)
                SELECT :user, :guild, :size, :now, :now, :text FROM (
                    SELECT count(*) AS notes, coalesce(sum(size), 0) AS characters,
                        count(*) FILTER (WHERE text = :text) AS known
                    FROM notes WHERE {_HERE}
                ) AS before
                WHERE known = 0 AND notes < {MOST_NOTES} AND characters + :size <= {MOST_CHARACTERS}
                RETURNING id
                """,
                values,
            ),
            locks=[Lock("user", user_id)],
        )
        if added:
            return NoteResult.ADDED
        return NoteResult.KNOWN if before["known"] else NoteResult.FULL

    async def delete(self, user_id: int, guild_id: int | None, note_id: int) -> bool:
        """Delete a user's note for good. The result is False if the user has no such note in that place."""
        [rows] = await self._engine.delete_securely(
            (
                f"DELETE FROM notes WHERE id = :note AND {_HERE} RETURNING id",
                {"note": note_id, "user": user_id, "guild": guild_id},
            )
        )
        return bool(rows)

"""Reads turns from the database, with the names and pictures of their prompts."""

from __future__ import annotations

from collections.abc import Sequence

from bot.core.pictures import PictureReference
from bot.core.turns import Attempt, Conversation, FailureReason, Prompt, Turn, TurnState, UserName
from bot.store.engine import Row, Rows
from bot.store.names import named_prompts
from bot.store.part import Part
from bot.store.pictures import pictures_of
from bot.store.rows import RUNNING, conversation_of, name_of

UNDELIVERED = """
    delivered = 0 AND conversation_id IN (
        SELECT id FROM conversations WHERE platform = :platform AND (:channel IS NULL OR channel = :channel)
    )
    """
"""SQL for the turns whose end nobody has seen, in one channel or (NULL) on a whole platform."""


class TurnReader(Part):
    """Turns as they are on record."""

    async def begun(self, prompt: Prompt) -> Attempt | None:
        rows = await self._engine.read(
            """
            SELECT id FROM turns
            WHERE position = :position AND attempt = 1 AND state = 'pending' AND conversation_id = (
                SELECT id FROM conversations WHERE platform = :platform AND channel = :channel
            )
            """,
            position=prompt.position,
            platform=prompt.conversation.platform,
            channel=prompt.conversation.channel,
        )
        return Attempt(rows[0]["id"]) if rows else None

    async def of_attempt(self, attempt: Attempt) -> Turn | None:
        rows = await self._engine.read(
            """
            SELECT turns.*, platform, channel, guild_id, asked_in
            FROM turns JOIN conversations ON conversations.id = conversation_id
            WHERE turns.id = :turn AND attempt = :attempt AND state IN ('pending', 'streaming')
            """,
            turn=attempt.turn_id,
            attempt=attempt.number,
        )
        return next(iter(await self._turns(rows)), None)

    def as_begun(self, prompt: Prompt, attempt: Attempt) -> Turn | None:
        if "⟦" in prompt.text or prompt.quote is not None:
            # What becomes of these on record is known there: of files, pictures and quotes, and of names.
            return None
        storable, name = self._engine.storable, prompt.author_name
        opened_thread = str(prompt.message_id) == prompt.conversation.channel
        return Turn(
            id=attempt.turn_id,
            conversation=prompt.conversation,
            position=prompt.position,
            prompt=storable(prompt.text),
            reply="",
            state=TurnState.PENDING,
            attempt=attempt.number,
            user_id=prompt.user_id,
            author_name=name and UserName(storable(name.display_name), storable(name.user_name)),
            failure=None,
            created_at=self._now(),
            guild_id=prompt.guild_id,
            message_id=prompt.message_id,
            target_id=prompt.target_id,
            asked_in=prompt.asked_in if opened_thread else None,
        )

    async def undelivered(self, platform: str, channel: str | None = None) -> list[Turn]:
        """Return the turns whose end nobody has seen, oldest first, in one channel or (None) on a whole platform."""
        rows = await self._engine.read(
            f"""
            SELECT turns.*, platform, channel, guild_id, asked_in
            FROM turns JOIN conversations ON conversations.id = conversation_id
            WHERE {UNDELIVERED} AND {self._served("guild_id")}
            """,
            platform=platform,
            channel=channel,
        )
        return sorted(await self._turns(rows), key=lambda turn: turn.position)

    async def unseen_ends(self, conversation: Conversation, limit: int) -> list[Turn]:
        """Up to `limit` turns of a conversation that have ended unseen, the latest ones, oldest first."""
        rows = await self._engine.read(
            f"""
            SELECT turns.*, platform, channel, guild_id, asked_in
            FROM turns JOIN conversations ON conversations.id = conversation_id
            WHERE {UNDELIVERED} AND NOT ({RUNNING}) ORDER BY position DESC LIMIT :limit
            """,
            platform=conversation.platform,
            channel=conversation.channel,
            limit=limit,
        )
        return list(reversed(await self._turns(rows)))

    async def history(self, conversation: Conversation, limit: int) -> list[Turn]:
        """Up to `limit` turns with text in their reply, newest first."""
        rows = await self._engine.read(
            """
            WITH here AS (SELECT * FROM conversations WHERE platform = :platform AND channel = :channel)
            SELECT turns.*, :platform AS platform, :channel AS channel, (SELECT guild_id FROM here) AS guild_id,
                (SELECT asked_in FROM here) AS asked_in
            FROM turns
            WHERE conversation_id = (SELECT id FROM here) AND reply <> ''
            ORDER BY position DESC LIMIT :limit
            """,
            platform=conversation.platform,
            channel=conversation.channel,
            limit=limit,
        )
        return await self._turns(rows)

    async def count(self, conversation: Conversation) -> int:
        """The number of turns in a conversation."""
        rows = await self._engine.read(
            """
            SELECT count(*) AS turns FROM turns WHERE conversation_id = (
                SELECT id FROM conversations WHERE platform = :platform AND channel = :channel
            )
            """,
            platform=conversation.platform,
            channel=conversation.channel,
        )
        return int(rows[0]["turns"])

    async def exists(self, turn_id: int) -> bool:
        """Whether a turn is on record, so that it was not forgotten."""
        return bool(await self._engine.read("SELECT 1 FROM turns WHERE id = :turn", turn=turn_id))

    async def was_retried_in_vain(self, turn: Turn) -> bool:
        """Whether somebody's latest attempt at a whole reply failed, so that the reply is the one before it."""
        return (
            turn.attempt > 1
            and turn.state is TurnState.COMPLETE
            and bool(
                await self._engine.read(
                    "SELECT 1 FROM recent_questions WHERE turn_id = :turn AND attempt = :attempt AND counts = 0",
                    turn=turn.id,
                    attempt=turn.attempt,
                )
            )
        )

    async def of_message(self, message_id: int) -> Turn | None:
        """The turn whose reply a message shows."""
        rows = await self._engine.read(
            """
            SELECT turns.*, platform, channel, guild_id, asked_in FROM messages
            JOIN turns ON turns.id = turn_id JOIN conversations ON conversations.id = conversation_id
            WHERE messages.message_id = :message AND part >= 0
            """,
            message=message_id,
        )
        return next(iter(await self._turns(rows)), None)

    async def of_prompt(self, message_id: int) -> Turn | None:
        """The turn whose prompt a message is."""
        rows = await self._engine.read(
            """
            SELECT turns.*, platform, channel, guild_id, asked_in
            FROM turns JOIN conversations ON conversations.id = conversation_id
            WHERE turns.message_id = :message
            """,
            message=message_id,
        )
        return next(iter(await self._turns(rows)), None)

    async def is_latest(self, turn: Turn) -> bool:
        """Whether its author asked nothing after a turn in its conversation that is on record."""
        return not await self._engine.read(
            """
            SELECT 1 FROM turns
            WHERE conversation_id = (SELECT conversation_id FROM turns WHERE id = :turn)
              AND coalesce(user_id, 0) = coalesce(:user, 0) AND position > :position
            LIMIT 1
            """,
            turn=turn.id,
            user=turn.user_id,
            position=turn.position,
        )

    async def _turns(self, rows: Rows) -> list[Turn]:
        prompts = await named_prompts(self._engine, rows)
        pictures = await pictures_of(self._engine, rows, prompts)
        return list(map(_turn, rows, prompts, pictures))


def _turn(row: Row, prompt: str, pictures: Sequence[PictureReference]) -> Turn:
    """A row of `turns` with the `platform`, `channel`, `guild_id` and `asked_in` of its conversation."""
    # A thread has the id of the message that it was opened on; all others of its messages are in it.
    opened_thread = row["asked_in"] is not None and str(row["message_id"]) == row["channel"]
    return Turn(
        id=row["id"],
        conversation=conversation_of(row),
        position=row["position"],
        prompt=prompt,
        reply=row["reply"],
        state=TurnState(row["state"]),
        attempt=row["attempt"],
        user_id=row["user_id"],
        author_name=name_of(row),
        failure=None if row["failure"] is None else FailureReason(row["failure"]),
        created_at=row["created_at"],
        tries=row["tries"],
        guild_id=row["guild_id"],
        message_id=row["message_id"],
        answered_by=row["answered_by"],
        pictures=pictures,
        target_id=row["target_id"],
        asked_in=Conversation(row["platform"], row["asked_in"]) if opened_thread else None,
    )

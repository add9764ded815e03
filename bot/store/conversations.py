"""Summaries and lists of whole conversations."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence

from bot.core.quotas import Usage
from bot.core.records import ConversationOverview, ConversationShares, ConversationSummary
from bot.core.turns import Conversation, UserName
from bot.store.part import Part
from bot.store.rows import conversation_of

_SAMPLE = 1000
"""Number of turns from which the total size is estimated. Reading all turns would delay other readers."""
_PEOPLE = 10
_LATEST = 20
"""Number of turns whose requests count as the latest."""
_CONVERSATIONS_AT_ONCE = 200


class ConversationStore(Part):
    """Summaries and lists of conversations."""

    async def direct(self, since: int) -> list[Conversation]:
        """Return at most 100 DM conversations used since a time, the latest used first."""
        rows = await self._engine.read(
            """
            SELECT platform, channel FROM conversations INDEXED BY conversations_by_use
            WHERE used_at >= :since AND guild_id IS NULL AND platform = 'discord'
            ORDER BY used_at DESC LIMIT 100
            """,
            since=since,
        )
        return [conversation_of(row) for row in rows]

    async def used_lately(self, since: int) -> list[str]:
        """Return the channels in guilds on Discord used since a time, at most 2,000, the latest used first."""
        rows = await self._engine.read(
            """
            SELECT channel FROM conversations INDEXED BY conversations_by_use
            WHERE used_at >= :since AND guild_id IS NOT NULL AND platform = 'discord'
            ORDER BY used_at DESC LIMIT 2000
            """,
            since=since,
        )
        return [row["channel"] for row in rows]

    async def shares(self, conversation: Conversation, user_id: int) -> ConversationShares:
        """Return how many questions a conversation holds, of how many people, and how many are a user's own."""
        [row] = await self._engine.read(
            """
            SELECT coalesce(sum(questions), 0) AS questions, count(*) AS people,
                coalesce(sum(questions) FILTER (WHERE user_id = :user), 0) AS own
            FROM (
                SELECT user_id, count(*) AS questions FROM turns
                WHERE conversation_id = (
                    SELECT id FROM conversations WHERE platform = :platform AND channel = :channel
                )
                GROUP BY user_id
            )
            """,
            platform=conversation.platform,
            channel=conversation.channel,
            user=user_id,
        )
        return ConversationShares(row["questions"], row["people"], row["own"])

    async def lately_sent(self, conversation: Conversation) -> Usage:
        """What the requests of the latest turns of a conversation used, as far as it is counted."""
        [row] = await self._engine.read(
            """
            WITH latest AS (
                SELECT id FROM turns
                WHERE conversation_id = (SELECT id FROM conversations WHERE platform = :platform AND channel = :channel)
                ORDER BY position DESC LIMIT :most
            )
            SELECT coalesce(sum(prompt_tokens), 0) AS prompt, coalesce(sum(reply_tokens), 0) AS reply,
                coalesce(sum(cached_tokens), 0) AS cached
            FROM latest CROSS JOIN charges ON turn_id = latest.id WHERE settled = 1
            """,
            platform=conversation.platform,
            channel=conversation.channel,
            most=_LATEST,
        )
        return Usage(row["prompt"], row["reply"], row["cached"])

    async def summary(self, conversation: Conversation) -> ConversationSummary | None:
        """Return a summary of a conversation, or None if nothing of it is on record."""
        [row] = await self._engine.read(
            """
            WITH here AS (SELECT id FROM conversations WHERE platform = :platform AND channel = :channel),
            counted AS (
                SELECT user_id, count(*) AS questions FROM turns WHERE conversation_id = (SELECT id FROM here)
                GROUP BY user_id
            ), most AS (
                SELECT * FROM counted ORDER BY questions DESC, user_id LIMIT :people
            ), named AS (
                SELECT display_name, user_name, questions
                FROM most LEFT JOIN turns ON turns.id = (
                    SELECT id FROM turns
                    WHERE conversation_id = (SELECT id FROM here) AND turns.user_id = most.user_id
                    ORDER BY id DESC LIMIT 1
                )
                ORDER BY questions DESC, most.user_id
            ), sample AS (
                SELECT size FROM turns WHERE conversation_id = (SELECT id FROM here)
                ORDER BY position DESC LIMIT :sample
            )
            SELECT
                (SELECT sum(questions) FROM counted) AS turns,
                (SELECT count(*) FROM counted) AS people_in_all,
                (SELECT avg(size) FROM sample) AS size,
                (
                    SELECT created_at FROM turns WHERE conversation_id = (SELECT id FROM here)
                    ORDER BY position LIMIT 1
                ) AS since,
                (SELECT json_group_array(json_array(display_name, user_name, questions)) FROM named) AS people
            """,
            platform=conversation.platform,
            channel=conversation.channel,
            people=_PEOPLE,
            sample=_SAMPLE,
        )
        if row["turns"] is None:
            return None
        return ConversationSummary(
            turns=row["turns"],
            since=row["since"],
            size=round(row["size"] * row["turns"]),
            people=[
                (None if display is None else UserName(display, user), questions)
                for display, user, questions in json.loads(row["people"])
            ],
            people_in_all=row["people_in_all"],
        )

    async def overview(self) -> AsyncIterator[Sequence[ConversationOverview]]:
        """Yield all conversations in batches, the latest used first."""
        used_at, last_id = None, None
        while rows := await self._engine.read(
            """
            WITH page AS (
                SELECT * FROM conversations
                WHERE :used_at IS NULL OR (used_at, id) < (:used_at, :last_id)
                ORDER BY used_at DESC, id DESC LIMIT :most
            )
            SELECT page.id, page.platform, page.channel, page.guild_id, used_at, count(turns.id) AS turns,
                count(DISTINCT turns.user_id) AS people, min(created_at) AS first_at,
                coalesce(sum(size), 0) AS size,
                persona IS NOT NULL AS persona, personas.model
            FROM page
            -- Not by the view, which an outer join would read as a whole.
            LEFT JOIN stored_turns AS turns ON turns.conversation_id = page.id AND NOT EXISTS (
                SELECT 1 FROM forgotten_users AS gone
                WHERE gone.user_id = turns.user_id AND gone.conversation_id IN (0, turns.conversation_id)
                  AND turns.id <= through
            )
            LEFT JOIN personas ON personas.platform = page.platform AND personas.channel = page.channel
            GROUP BY page.id ORDER BY used_at DESC, page.id DESC
            """,
            used_at=used_at,
            last_id=last_id,
            most=_CONVERSATIONS_AT_ONCE,
        ):
            used_at, last_id = rows[-1]["used_at"], rows[-1]["id"]
            yield [
                ConversationOverview(
                    conversation_of(row),
                    row["guild_id"],
                    row["turns"],
                    row["people"],
                    row["size"],
                    row["first_at"],
                    row["used_at"],
                    bool(row["persona"]),
                    row["model"],
                )
                for row in rows
            ]

"""Whole conversations: summaries, lists, and their exchanges out to a transcript and in from one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence

from bot.core.quotas import Usage
from bot.core.records import (
    ConversationOverview,
    ConversationShares,
    ConversationSummary,
    Exchange,
    ImportRefusal,
    Transcript,
)
from bot.core.turns import Conversation
from bot.store.engine import Value
from bot.store.names import named_prompts
from bot.store.part import Part
from bot.store.rows import conversation_of, lock_of, name_of

_SAMPLE = 1000
"""Number of turns from which the total size is estimated. Reading all turns would delay other readers."""
_PEOPLE = 10
_LATEST = 20
"""Number of turns whose requests count as the latest."""
_CONVERSATIONS_AT_ONCE = 200
_EXCHANGES_AT_ONCE = 50

_HERE = "conversations.platform = :platform AND conversations.channel = :channel"
_HAS_TURNS = "EXISTS (SELECT 1 FROM turns WHERE conversation_id = conversations.id)"
# In a terminal only an import sets a persona. On Discord people do, and theirs is not overwritten. In a DM nobody else
# sets one: it goes with its user, who is not known here.
_HAS_OTHER_PERSONA = """
    (
        conversations.platform = 'discord' AND coalesce(
            (
                SELECT persona FROM personas
                WHERE personas.platform = conversations.platform AND personas.channel = conversations.channel
            ),
            CASE WHEN conversations.guild_id IS NULL THEN '' END
        ) <> :persona
    ) IS TRUE
    """
_FREE = f"SELECT * FROM conversations WHERE {_HERE} AND NOT {_HAS_TURNS} AND NOT {_HAS_OTHER_PERSONA}"
_IMPORT = (
    f"""
    SELECT {_HAS_TURNS} AS has_turns, {_HAS_OTHER_PERSONA} AS has_other_persona FROM conversations WHERE {_HERE}
    UNION ALL SELECT false, false WHERE :platform <> 'discord'
    """,
    """
    INSERT INTO conversations (platform, channel, used_at) SELECT :platform, :channel, :now
    WHERE :platform <> 'discord'
    ON CONFLICT DO NOTHING
    """,
    f"""
    DELETE FROM personas
    WHERE (platform, channel) IN (SELECT platform, channel FROM ({_FREE}) AS here WHERE platform <> 'discord')
    RETURNING 1
    """,
    f"""
    INSERT INTO personas (platform, channel, guild_id, persona)
    SELECT platform, channel, guild_id, :persona FROM ({_FREE}) AS here WHERE :persona IS NOT NULL
    ON CONFLICT (platform, channel) DO UPDATE SET persona = excluded.persona
    """,
    f"UPDATE conversations SET last_number = last_number + :count WHERE id = (SELECT id FROM ({_FREE}) AS here)",
)
"""SQL that prepares a conversation without turns, or changes nothing. The first statement tells why it would not."""
_NUMBERS = [f"CAST(json_extract(value, '$[{index}]') AS INTEGER)" for index in range(4)]
# Positions below those of all later prompts: snowflakes and nanoseconds.
_FILL = f"""
    INSERT INTO stored_turns (
        conversation_id, position, number, prompt, reply, state, created_at, ended_at, delivered
    )
    SELECT here.id, key + 1, here.last_number - :count + key + 1, {{prompt}}, {{reply}},
        CASE WHEN {_NUMBERS[3]} > 0 THEN 'complete' ELSE 'interrupted' END, :now, :now, 1
    FROM ({_FREE}) AS here CROSS JOIN json_each(:places, '$')
    """
_PROMPT, _REPLY = f"substr(:texts, {_NUMBERS[0]}, {_NUMBERS[1]})", f"substr(:texts, {_NUMBERS[2]}, {_NUMBERS[3]})"
"""SQL that fills a conversation that is free, and for the bytes of a prompt and a reply.

`texts` holds all texts in UTF-8, since SQLite's JSON ends a text at a NUL, and `places` where they are, from 1.
"""

FOR_ONE = "channel LIKE '%:%'"
"""SQL condition for a conversation on Discord that only one user sees: its channel names the user too."""


class ConversationStore(Part):
    """Summaries and lists of conversations, and their exchanges."""

    async def direct(self, since: int, most: int) -> list[Conversation]:
        """Return at most `most` DM conversations used since a time, the latest used first."""
        rows = await self._engine.read(
            f"""
            SELECT platform, channel FROM conversations INDEXED BY conversations_by_use
            WHERE used_at >= :since AND guild_id IS NULL AND platform = 'discord' AND NOT {FOR_ONE}
            ORDER BY used_at DESC LIMIT :most
            """,
            since=since,
            most=most,
        )
        return [conversation_of(row) for row in rows]

    async def used_lately(self, since: int) -> list[str]:
        """Return the channels in guilds on Discord used since a time, the latest used first.

        Each of the latest 20,000 is followed by the channel that it is a thread of, if it is one.
        """
        rows = await self._engine.read(
            f"""
            SELECT channel, parent_channel FROM conversations INDEXED BY conversations_by_use
            WHERE used_at >= :since AND guild_id IS NOT NULL AND platform = 'discord' AND NOT {FOR_ONE}
            ORDER BY used_at DESC LIMIT 20000
            """,
            since=since,
        )
        return [each for row in rows for each in (row["channel"], row["parent_channel"]) if each is not None]

    async def threads_of(self, conversation: Conversation) -> list[Conversation]:
        """Return the conversations in threads of a channel."""
        rows = await self._engine.read(
            "SELECT platform, channel FROM conversations WHERE platform = :platform AND parent_channel = :channel",
            platform=conversation.platform,
            channel=conversation.channel,
        )
        return [conversation_of(row) for row in rows]

    async def for_one_in(self, channel: Conversation) -> list[Conversation]:
        """The conversations in a channel on Discord that only one user each sees."""
        rows = await self._engine.read(
            """
            SELECT platform, channel FROM conversations
            WHERE platform = :platform AND channel > :channel || ':' AND channel < :channel || ';'
            """,
            platform=channel.platform,
            channel=channel.channel,
        )
        return [conversation_of(row) for row in rows]

    async def for_one(self, user_id: int, guild_id: int | None) -> list[Conversation]:
        """The conversations on Discord that only this user sees, in a guild or (None) everywhere."""
        rows = await self._engine.read(
            f"""
            SELECT platform, channel FROM conversations
            WHERE id IN (SELECT DISTINCT conversation_id FROM turns WHERE user_id = :user)
              AND platform = 'discord' AND {FOR_ONE} AND (:guild IS NULL OR guild_id = :guild)
            """,
            user=user_id,
            guild=guild_id,
        )
        return [conversation_of(row) for row in rows]

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
            ) AS counted
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
            FROM latest CROSS JOIN charges WHERE turn_id = latest.id AND settled = 1
            """,
            platform=conversation.platform,
            channel=conversation.channel,
            most=_LATEST,
        )
        return Usage(row["prompt"], row["reply"], row["cached"])

    async def summary(self, conversation: Conversation) -> ConversationSummary | None:
        """Return a summary of a conversation, or None if nothing of it is on record."""
        rows = await self._engine.read(
            """
            WITH here AS (SELECT id FROM conversations WHERE platform = :platform AND channel = :channel),
            counted AS (
                SELECT user_id, count(*) AS questions FROM turns WHERE conversation_id = (SELECT id FROM here)
                GROUP BY user_id
            ), most AS (
                SELECT * FROM counted ORDER BY questions DESC, user_id LIMIT :people
            ), named AS (
                SELECT display_name, user_name, questions, most.user_id
                FROM most LEFT JOIN turns ON turns.id = (
                    SELECT id FROM turns
                    WHERE conversation_id = (SELECT id FROM here) AND turns.user_id = most.user_id
                    ORDER BY id DESC LIMIT 1
                )
            ), sample AS (
                SELECT size FROM turns WHERE conversation_id = (SELECT id FROM here)
                ORDER BY position DESC LIMIT :sample
            )
            SELECT summed.*, named.* FROM (
                SELECT
                    (SELECT sum(questions) FROM counted) AS turns,
                    (SELECT count(*) FROM counted) AS people_in_all,
                    (SELECT avg(size) FROM sample) AS size,
                    (
                        SELECT created_at FROM turns WHERE conversation_id = (SELECT id FROM here)
                        ORDER BY position LIMIT 1
                    ) AS since
            ) AS summed
            CROSS JOIN named ORDER BY questions DESC, user_id
            """,
            platform=conversation.platform,
            channel=conversation.channel,
            people=_PEOPLE,
            sample=_SAMPLE,
        )
        if not rows:
            return None
        return ConversationSummary(
            turns=rows[0]["turns"],
            since=rows[0]["since"],
            size=round(rows[0]["size"] * rows[0]["turns"]),
            people=[(name_of(row), row["questions"]) for row in rows],
            people_in_all=rows[0]["people_in_all"],
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
            GROUP BY page.id, page.platform, page.channel, page.guild_id, used_at, persona, personas.model
            ORDER BY used_at DESC, page.id DESC
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

    async def exists(self, conversation: Conversation) -> bool:
        """Whether a conversation is on record, be it with or without questions."""
        return bool(
            await self._engine.read(
                f"SELECT 1 FROM conversations WHERE {_HERE}",
                platform=conversation.platform,
                channel=conversation.channel,
            )
        )

    async def began(self, conversation: Conversation) -> int | None:
        """The position of the first question in a conversation. None: there is no question."""
        [row] = await self._engine.read(
            f"""
            SELECT min(position) AS first FROM turns
            WHERE conversation_id = (SELECT id FROM conversations WHERE {_HERE})
            """,
            platform=conversation.platform,
            channel=conversation.channel,
        )
        return None if row["first"] is None else int(row["first"])

    async def exchanges(self, conversation: Conversation) -> AsyncIterator[Sequence[Exchange]]:
        """Pages of all questions of a conversation with their replies, oldest first."""
        here: dict[str, Value] = {"platform": conversation.platform, "channel": conversation.channel}
        # By its id, which changes with a reset: what is asked after one is no part of it.
        found = await self._engine.read(f"SELECT id FROM conversations WHERE {_HERE}", **here)
        after = -1
        while rows := await self._engine.read(
            """
            SELECT id, position, prompt, reply, state = 'complete' AND failure IS NULL AS finished FROM turns
            WHERE conversation_id = :conversation AND position > :after
            ORDER BY position LIMIT :most
            """,
            conversation=found[0]["id"] if found else None,
            after=after,
            most=_EXCHANGES_AT_ONCE,
        ):
            after = rows[-1]["position"]
            prompts = await named_prompts(self._engine, rows)
            yield [
                Exchange(prompt, row["reply"], bool(row["finished"])) for row, prompt in zip(rows, prompts, strict=True)
            ]

    async def fill(self, conversation: Conversation, transcript: Transcript) -> ImportRefusal | None:
        """Commit a transcript as the past of a conversation without questions; or change nothing, and return why.

        The turns are nobody's. A terminal's conversation is made where it is missing, and its persona becomes the
        transcript's, or none. On Discord a persona is kept if the transcript has none.
        """
        engine = self._engine
        texts, places = await asyncio.to_thread(_packed, transcript.exchanges, engine.storable)
        values: dict[str, Value] = {
            "platform": conversation.platform,
            "channel": conversation.channel,
            "persona": transcript.persona,
            "texts": texts,
            "places": places,
            "count": len(transcript.exchanges),
            "now": self._now(),
        }
        fill = _FILL.format(prompt=engine.dialect.text_of(_PROMPT), reply=engine.dialect.text_of(_REPLY))
        before, *_ = await engine.delete_securely(
            *((statement, values) for statement in (*_IMPORT, fill)), locks=[lock_of(conversation)]
        )
        if not before:
            return ImportRefusal.UNKNOWN
        if before[0]["has_turns"]:
            return ImportRefusal.NOT_EMPTY
        return ImportRefusal.OTHER_PERSONA if before[0]["has_other_persona"] else None


def _packed(exchanges: Sequence[Exchange], storable: Callable[[str], str]) -> tuple[bytes, str]:
    """All texts in UTF-8, and as JSON for each exchange where its prompt begins, its length, and those of its reply."""
    texts, places = bytearray(), []
    for each in exchanges:
        prompt, reply = storable(each.prompt).encode(), storable(each.reply).encode()
        at = len(texts) + 1
        places.append((at, len(prompt), at + len(prompt), len(reply)))
        texts += prompt + reply
    return bytes(texts), json.dumps(places)

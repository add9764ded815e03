"""Retention: permanent deletion on request, with deleted messages, and after a time."""

from __future__ import annotations

import json
from collections.abc import Collection

from bot.core.turns import Conversation
from bot.core.usage import DAY
from bot.store.engine import Lock, Value
from bot.store.forgotten_use import HOUR
from bot.store.guilds import forget_decisions, left_before
from bot.store.hourly_questions import PAYS_FOR_OTHERS
from bot.store.part import Part
from bot.store.people import FORGET_TURNS, FORGOTTEN_QUOTE
from bot.store.rows import TURN_IDS, ids_in, lock_of

_PROCESSED_DAYS = 2
"""Days for which processed messages are kept. No event concerns an older message."""
_DAILY_USAGE_DAYS = 2
"""Days for which daily sums are kept. Every reply of the day before has ended by then."""
_CHARGES_DAYS = 90
_SERVER_FACTS_DAYS = 30
"""Days for which facts about a model are kept. The client does not believe them for so long."""
_AT_ONCE = 10
"""Number of conversations that are deleted in one statement. Other writes can run between the statements."""
_CHARGES_AT_ONCE = 1000
"""Number of charges that are deleted in one statement."""

_LONGEST_AWAY = 2 * DAY
"""Seconds between two looks at what is old, above which the clock is doubted: it may have jumped ahead."""
_SECOND_LOOK = DAY - HOUR
"""Seconds until a doubted clock is believed."""

_HERE = "SELECT id FROM conversations WHERE platform = :platform AND channel = :channel"
_OLD = """
    SELECT id FROM conversations INDEXED BY conversations_by_use
    WHERE used_at < :unused_since AND platform = 'discord' AND {served}
    UNION SELECT id FROM conversations WHERE left_at < :left_since AND {served}
    LIMIT :most
    """
_THESE = "id IN (SELECT value FROM json_each(:ids)) AND (used_at < :unused_since OR left_at < :left_since)"


class RetentionStore(Part):
    """Deletion of turns, conversations and old records. The deleted bytes are removed from the storage too."""

    async def forget_conversation(self, conversation: Conversation) -> set[int]:
        here: dict[str, Value] = {"platform": conversation.platform, "channel": conversation.channel}
        # A trigger records the old id, with which the turns stay behind, as forgotten.
        rows, _ = await self._engine.delete_securely(
            (TURN_IDS.format(which=f"conversation_id = ({_HERE})"), here),
            (
                f"""
                UPDATE conversations SET id = {self._engine.dialect.new_conversation_id}, origin_turn_id = NULL
                WHERE platform = :platform AND channel = :channel
                """,
                here,
            ),
            locks=[lock_of(conversation)],
        )
        return ids_in(rows)

    async def forget_own(self, conversation: Conversation, user_id: int) -> set[int]:
        """Forget a user's turns in one conversation for good, with what others quote of them there."""
        values: dict[str, Value] = {
            "platform": conversation.platform,
            "channel": conversation.channel,
            "user": user_id,
            "line": FORGOTTEN_QUOTE,
        }
        rows, _ = await self._engine.delete_securely(
            (TURN_IDS.format(which=f"user_id = :user AND conversation_id = ({_HERE})"), values),
            (FORGET_TURNS.format(conversation=_HERE), values),
            locks=[lock_of(conversation), Lock("user", user_id)],
        )
        return ids_in(rows)

    async def forget_turn(self, turn_id: int) -> None:
        await self._delete("id = :turn", turn=turn_id)

    async def are_of_turns(self, message_ids: Collection[int]) -> bool:
        """Whether any of these messages is the prompt of a turn on record, is what it is about, or shows its reply."""
        return bool(
            await self._engine.read(
                """
                SELECT 1 FROM json_each(:messages) AS each
                WHERE EXISTS (SELECT 1 FROM stored_turns WHERE message_id = each.value)
                   OR EXISTS (SELECT 1 FROM stored_turns WHERE target_id = each.value)
                   OR EXISTS (SELECT 1 FROM messages WHERE message_id = each.value)
                LIMIT 1
                """,
                messages=json.dumps(list(message_ids)),
            )
        )

    async def forget_prompts(self, message_ids: Collection[int]) -> set[int]:
        """Delete the turns of the prompts in or about these messages for good; the answer is the turns' ids."""
        return await self._delete(
            """
            message_id IN (SELECT value FROM json_each(:messages))
            OR target_id IN (SELECT value FROM json_each(:messages))
            """,
            messages=json.dumps(list(message_ids)),
        )

    async def forget_replies(self, message_ids: Collection[int]) -> set[int]:
        """Delete the turns whose replies these messages show for good; the answer is the turns' ids."""
        return await self._delete(
            """
            id IN (
                SELECT turn_id FROM messages
                WHERE message_id IN (SELECT value FROM json_each(:messages)) AND part >= 0
            )
            """,
            messages=json.dumps(list(message_ids)),
        )

    async def clock_is_credible(self) -> bool:
        """Whether old records may be deleted by the clock.

        A clock that has jumped ahead since the last call, or that was back in between, is believed from a call a day
        later on. So is that of a bot that was away for days.
        """
        now = self._now()
        rows = await self._engine.read("SELECT looked_at, doubted_since FROM clock")
        looked_at, doubted_since = rows[0] if rows else (0, None)
        if not 0 <= now - looked_at <= _LONGEST_AWAY:
            doubted_since = now
        elif doubted_since is not None and now - doubted_since >= _SECOND_LOOK:
            doubted_since = None
        await self._engine.write(
            """
            INSERT INTO clock (id, looked_at, doubted_since) VALUES (1, :now, :doubted_since)
            ON CONFLICT (id) DO UPDATE SET looked_at = excluded.looked_at, doubted_since = excluded.doubted_since
            """,
            now=now,
            doubted_since=doubted_since,
        )
        return doubted_since is None

    async def prune(self, unused_days: int) -> int:
        """Delete old records: conversations on Discord and notes that nobody used for `unused_days` (0: keep them),
        guilds that were left some days ago, processed messages, and counts. The conversations and guilds are those that
        this process serves. The answer is the number of deleted conversations.
        """
        now = self._now()
        pruned = 0
        values: dict[str, Value] = {
            "unused_since": now - unused_days * DAY if unused_days else 0,
            "left_since": left_before(now),
            "most": _AT_ONCE,
        }
        served = self._served("guild_id")
        while old := await self._engine.read(_OLD.format(served=served), **values):
            these: dict[str, Value] = {**values, "ids": json.dumps([row["id"] for row in old])}
            _, rows = await self._engine.delete_securely(
                (
                    f"""
                    DELETE FROM personas WHERE guild_id IS NULL
                    AND (platform, channel) IN (SELECT platform, channel FROM conversations WHERE {_THESE})
                    """,
                    these,
                ),
                (f"DELETE FROM conversations WHERE {_THESE} RETURNING id", these),
            )
            pruned += len(rows)
        await self._engine.delete_securely(
            ("DELETE FROM notes WHERE used_at < :unused_since RETURNING 1", values), *forget_decisions(now, served)
        )
        await self._forget_counts(now)
        return pruned

    async def _forget_counts(self, now: int) -> None:
        """Delete the records that count for no quota and no report any more."""
        await self._engine.transaction(
            ("DELETE FROM processed_messages WHERE at < :since", {"since": now - _PROCESSED_DAYS * DAY}),
            (f"DELETE FROM recent_questions WHERE at <= :since AND NOT {PAYS_FOR_OTHERS}", {"since": now - HOUR}),
            ("DELETE FROM notices WHERE until <= :now", {"now": now}),
            ("DELETE FROM server_facts WHERE learned_at < :since", {"since": now - _SERVER_FACTS_DAYS * DAY}),
            ("DELETE FROM daily_usage WHERE day < :day", {"day": now // DAY - _DAILY_USAGE_DAYS}),
        )
        while await self._engine.write(
            "DELETE FROM charges WHERE id IN (SELECT id FROM charges WHERE day < :day LIMIT :most) RETURNING id",
            day=now // DAY - _CHARGES_DAYS,
            most=_CHARGES_AT_ONCE,
        ):
            pass

    async def _delete(self, where: str, **values: str | int) -> set[int]:
        """Delete the turns for which the SQL condition holds."""
        sql = f"DELETE FROM stored_turns WHERE {where} RETURNING id"
        [rows] = await self._engine.delete_securely((sql, values))
        return {row["id"] for row in rows}

"""What is on record of people and of conversations: told to those who may know it, and deleted when asked."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence

from bot.core.records import ConversationOverview, ConversationSummary, ExportedTurn, UserRecord
from bot.core.turns import TurnState
from bot.store.database import Value
from bot.store.guild_rules import IN_FORCE
from bot.store.quotas import QuotaStore

FORGOTTEN_QUOTE = "[They are replying to a message that was forgotten.]"
"""For the model, in place of what a prompt quotes that is forgotten."""
_SAMPLE = 1000
"""Turns whose size stands for that of all: reading every text of a long conversation would hold up other readers."""
_PEOPLE = 10
_TURNS_AT_ONCE = 50
_CONVERSATIONS_AT_ONCE = 200

_THEIR_DMS = """
    SELECT conversations.id FROM conversations JOIN turns ON turns.conversation_id = conversations.id
    WHERE turns.author_id = :person AND guild_id IS NULL
    EXCEPT SELECT conversation_id FROM turns WHERE author_id IS NOT :person AND conversation_id IN (
        SELECT conversation_id FROM turns WHERE author_id = :person
    )
    """
_TRACES = (
    # What others quote of theirs.
    (
        "turns",
        "quoted_id = :person",
        "prompt = :line || substr(prompt, quote_length + 1), quoted_id = NULL, quote_length = 0",
    ),
    ("charges", "person_id = :person", "person_id = NULL"),
    ("spent", "scope = 'person' AND id = :person", None),
    ("asked", "person_id = :person", None),
    ("told", "person_id = :person", None),
    # One in force is the moderators', and stays.
    ("blocked", f"person_id = :person AND NOT {IN_FORCE}", None),
    ("behaviours", "person_id = :person", None),
)
"""Where else than in their own turns a person is on record: the table, which of its rows, and what these become to name
nobody. None: they go. All of it is SQL of ours."""
_FORGET_TRACES = tuple(
    f"UPDATE {table} SET {change} WHERE {theirs} RETURNING 1"  # noqa: S608 - as said
    if change
    else f"DELETE FROM {table} WHERE {theirs} RETURNING 1"  # noqa: S608 - as said
    for table, theirs, change in _TRACES
)
_FORGET_TURNS = (
    # Their DMs first: these are found by the turns.
    f"DELETE FROM conversations WHERE id IN ({_THEIR_DMS}) RETURNING 1",  # noqa: S608 - SQL of ours
    "DELETE FROM turns WHERE author_id = :person RETURNING 1",
)
_HAS_TRACES = " OR ".join(
    f"EXISTS (SELECT 1 FROM {table} WHERE {theirs})"  # noqa: S608 - as said
    for table, theirs, _ in _TRACES
)


class PeopleStore(QuotaStore):
    """The part of the store that knows what there is, and of whom. The ledger goes on counting what is forgotten."""

    async def forget_person(self, person_id: int) -> set[int]:
        """Delete whatever is on record of a person, in every conversation, for good, with what others quote of it.

        What they used stays in the sums of servers and of all, in nobody's name, and so does a block by moderators;
        for themselves it counts on in this process's memory alone, a reply under way with all that was reserved for it.
        The rest leaves the file's bytes in the background, or by `wipe`.
        The answer is the ids of their turns.
        """
        values: dict[str, Value] = {"person": person_id, "line": FORGOTTEN_QUOTE, "now": self._now()}
        tokens, prompts, turns, *_ = await self._database.delete_securely(
            *self.used_by(person_id),
            ("SELECT id FROM turns WHERE author_id = :person", values),
            *((statement, values) for statement in (*_FORGET_TRACES, *_FORGET_TURNS)),
        )
        self.retain_after_forget(person_id, tokens, prompts)
        return {turn["id"] for turn in turns}

    async def erase_deleted(self) -> bool:
        """As `Database.wipe`."""
        return await self._database.erase_deleted()

    async def record_of(self, person_id: int) -> UserRecord:
        """How much `forget_person` would delete."""
        [row] = await self._database.read(
            f"""
            SELECT count(*) AS turns, count(DISTINCT conversation_id) AS conversations, {_HAS_TRACES} AS traces,
                EXISTS (SELECT 1 FROM blocked WHERE person_id = :person AND {IN_FORCE}) AS blocked
            FROM turns WHERE author_id = :person
            """,  # noqa: S608 - SQL of ours
            person=person_id,
            now=self._now(),
        )
        return UserRecord(row["turns"], row["conversations"], bool(row["traces"]), bool(row["blocked"]))

    async def exchanges_of(self, person_id: int, guild_id: int | None = None) -> AsyncIterator[Sequence[ExportedTurn]]:
        """What a person asked and was answered, everywhere or in one server, newest first and some at a time."""
        before = None
        while rows := await self._database.read(
            """
            SELECT turns.id, key AS conversation, guild_id, author_name, created_at AS asked_at, prompt, reply, state,
                prompt_tokens, reply_tokens
            FROM turns JOIN conversations ON conversations.id = conversation_id
            WHERE author_id = :person AND (:before IS NULL OR turns.id < :before)
              AND (:guild IS NULL OR guild_id = :guild)
            ORDER BY turns.id DESC LIMIT :most
            """,
            person=person_id,
            guild=guild_id,
            before=before,
            most=_TURNS_AT_ONCE,
        ):
            before = rows[-1]["id"]
            yield [
                ExportedTurn(
                    row["conversation"],
                    row["guild_id"],
                    row["author_name"],
                    row["asked_at"],
                    row["prompt"],
                    row["reply"],
                    TurnState(row["state"]),
                    row["prompt_tokens"],
                    row["reply_tokens"],
                )
                for row in rows
            ]

    async def summary(self, conversation: str) -> ConversationSummary | None:
        """What is remembered of a conversation. None: nothing."""
        [row] = await self._database.read(
            """
            WITH here AS (SELECT id FROM conversations WHERE key = :key),
            counted AS (
                SELECT author_id, count(*) AS turns FROM turns WHERE conversation_id = (SELECT id FROM here)
                GROUP BY author_id
            ), most AS (
                SELECT * FROM counted ORDER BY turns DESC, author_id LIMIT :people
            ), sample AS (
                SELECT length(CAST(prompt AS BLOB)) + length(CAST(reply AS BLOB)) AS size
                FROM turns WHERE conversation_id = (SELECT id FROM here) ORDER BY position DESC LIMIT :sample
            )
            SELECT
                (SELECT sum(turns) FROM counted) AS turns,
                (SELECT count(*) FROM counted) AS people_in_all,
                (SELECT avg(size) FROM sample) AS size,
                (
                    SELECT created_at FROM turns WHERE conversation_id = (SELECT id FROM here)
                    ORDER BY position LIMIT 1
                ) AS since,
                (
                    SELECT json_group_array(json_array(
                        (
                            SELECT author_name FROM turns
                            WHERE conversation_id = (SELECT id FROM here) AND author_id = most.author_id
                            ORDER BY id DESC LIMIT 1
                        ),
                        turns
                    )) FROM most
                ) AS people
            """,
            key=conversation,
            people=_PEOPLE,
            sample=_SAMPLE,
        )
        if row["turns"] is None:
            return None
        return ConversationSummary(
            turns=row["turns"],
            since=row["since"],
            size=round(row["size"] * row["turns"]),
            people=[(name, turns) for name, turns in json.loads(row["people"])],
            people_in_all=row["people_in_all"],
        )

    async def overview(self) -> AsyncIterator[Sequence[ConversationOverview]]:
        """All conversations, the latest used first and some at a time."""
        used_at, last_id = None, None
        while rows := await self._database.read(
            """
            WITH page AS (
                SELECT * FROM conversations
                WHERE :used_at IS NULL OR (used_at, id) < (:used_at, :last_id)
                ORDER BY used_at DESC, id DESC LIMIT :most
            )
            SELECT page.id, key AS conversation, page.guild_id, used_at, count(turns.id) AS turns,
                count(DISTINCT author_id) AS people, min(created_at) AS first_at,
                coalesce(sum(length(CAST(prompt AS BLOB)) + length(CAST(reply AS BLOB))), 0) AS size,
                persona IS NOT NULL AS persona, behaviours.model
            FROM page
            LEFT JOIN turns ON turns.conversation_id = page.id
            LEFT JOIN behaviours ON behaviours.conversation = key
            GROUP BY page.id ORDER BY used_at DESC, page.id DESC
            """,
            used_at=used_at,
            last_id=last_id,
            most=_CONVERSATIONS_AT_ONCE,
        ):
            used_at, last_id = rows[-1]["used_at"], rows[-1]["id"]
            yield [
                ConversationOverview(
                    row["conversation"],
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

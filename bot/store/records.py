"""What is on record of people and of conversations: told to those who may know it, and deleted when asked."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from bot.store.database import Value
from bot.store.ledger import Ledger
from bot.turns import Forgotten, State

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
_FORGET_PERSON = (
    """
    UPDATE turns
    SET prompt = :line || substr(prompt, quote_length + 1), quoted_id = NULL, quote_length = 0
    WHERE quoted_id = :person
    RETURNING 1
    """,
    "UPDATE charges SET person_id = NULL WHERE person_id = :person RETURNING 1",
    "DELETE FROM spent WHERE scope = 'person' AND id = :person RETURNING 1",
    "DELETE FROM asked WHERE person_id = :person RETURNING 1",
    "DELETE FROM told WHERE person_id = :person RETURNING 1",
    "DELETE FROM blocked WHERE person_id = :person AND until <= :now RETURNING 1",
    "DELETE FROM behaviours WHERE person_id = :person RETURNING 1",
    f"DELETE FROM conversations WHERE id IN ({_THEIR_DMS}) RETURNING 1",  # noqa: S608 - as said
    "DELETE FROM turns WHERE author_id = :person RETURNING 1",
)
"""SQL of ours, in this order: the others look at the turns."""


@dataclass(frozen=True, slots=True)
class Extent:
    """How much is on record of a person: `exchanges` in so many `conversations`.

    `traces`: or anything else that is deleted with them. `blocked`: a server's moderators keep them out, which stays.
    """

    exchanges: int
    conversations: int
    traces: bool
    blocked: bool

    @property
    def nothing(self) -> bool:
        """Whether there is nothing to forget."""
        return not self.exchanges and not self.traces


@dataclass(frozen=True, slots=True)
class Exchange:
    """One turn, as it is told to whoever asked it. `asked_at` is in seconds since the epoch.

    The tokens are those of the whole request, with what the model was reminded of; None where they are not known.
    """

    conversation: str
    guild_id: int | None
    author_name: str | None
    """The name under which it is on record; None where only one person can be speaking."""
    asked_at: int
    prompt: str
    reply: str
    state: State
    prompt_tokens: int | None
    reply_tokens: int | None


@dataclass(frozen=True, slots=True)
class Summary:
    """What is remembered of one conversation.

    `since` is in seconds since the epoch. `size`, in UTF-8 bytes of prompts and replies, is an estimate where there are
    many. `people` has the names of those with the most exchanges, and how many these are; None is the name where only
    one person can be speaking.
    """

    exchanges: int
    since: int
    size: int
    people: Sequence[tuple[str | None, int]]
    people_in_all: int


@dataclass(frozen=True, slots=True)
class Remembered:
    """One conversation, as the operator is told of it. Times are seconds since the epoch, `size` is in UTF-8 bytes."""

    conversation: str
    guild_id: int | None
    exchanges: int
    people: int
    size: int
    first_at: int | None
    """None: there are no exchanges in it any more."""
    used_at: int
    persona: bool
    model: str | None


class Records(Ledger):
    """The part of the store that knows what there is, and of whom. The ledger goes on counting what is forgotten."""

    async def forget_person(self, person_id: int) -> Forgotten:
        """Delete whatever is on record of a person, in every conversation, for good, with what others quote of it.

        What they used stays in the sums of servers and of all, in nobody's name, and so does a block by moderators;
        for themselves it counts on in this process's memory alone, a reply under way with all that was reserved for it.
        The rest is gone from the file's bytes when the call returns, unless `wipe` then says that it could not be done.
        """
        values: dict[str, Value] = {"person": person_id, "line": FORGOTTEN_QUOTE, "now": self._now()}
        tokens, prompts, turns, *_ = await self._database.erase(
            *self.used_by(person_id),
            ("SELECT id, reply <> '' AS answered FROM turns WHERE author_id = :person", values),
            *((statement, values) for statement in _FORGET_PERSON),
        )
        self.carry(person_id, tokens, prompts)
        await self._database.wipe()
        return Forgotten(
            exchanges=sum(turn["answered"] for turn in turns), turn_ids=frozenset(turn["id"] for turn in turns)
        )

    async def wipe(self) -> bool:
        """Take what was deleted until now out of the file's bytes, where that is due. False: not yet, but later."""
        return await self._database.wipe()

    async def extent(self, person_id: int) -> Extent:
        """How much `forget_person` would delete."""
        [row] = await self._database.read(
            """
            SELECT count(*) AS exchanges, count(DISTINCT conversation_id) AS conversations,
                EXISTS (SELECT 1 FROM turns WHERE quoted_id = :person)
                OR EXISTS (SELECT 1 FROM charges WHERE person_id = :person)
                OR EXISTS (SELECT 1 FROM spent WHERE scope = 'person' AND id = :person)
                OR EXISTS (SELECT 1 FROM asked WHERE person_id = :person)
                OR EXISTS (SELECT 1 FROM told WHERE person_id = :person)
                OR EXISTS (SELECT 1 FROM behaviours WHERE person_id = :person)
                OR EXISTS (SELECT 1 FROM blocked WHERE person_id = :person AND until <= :now) AS traces,
                EXISTS (SELECT 1 FROM blocked WHERE person_id = :person AND (until IS NULL OR until > :now)) AS blocked
            FROM turns WHERE author_id = :person
            """,
            person=person_id,
            now=self._now(),
        )
        return Extent(row["exchanges"], row["conversations"], bool(row["traces"]), bool(row["blocked"]))

    async def exchanges_of(self, person_id: int, guild_id: int | None = None) -> AsyncIterator[Sequence[Exchange]]:
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
                Exchange(
                    row["conversation"],
                    row["guild_id"],
                    row["author_name"],
                    row["asked_at"],
                    row["prompt"],
                    row["reply"],
                    State(row["state"]),
                    row["prompt_tokens"],
                    row["reply_tokens"],
                )
                for row in rows
            ]

    async def summary(self, conversation: str) -> Summary | None:
        """What is remembered of a conversation. None: nothing."""
        [row] = await self._database.read(
            """
            WITH here AS (SELECT id FROM conversations WHERE key = :key),
            counted AS (
                SELECT author_id, count(*) AS exchanges FROM turns WHERE conversation_id = (SELECT id FROM here)
                GROUP BY author_id
            ), most AS (
                SELECT * FROM counted ORDER BY exchanges DESC, author_id LIMIT :people
            ), sample AS (
                SELECT length(CAST(prompt AS BLOB)) + length(CAST(reply AS BLOB)) AS size
                FROM turns WHERE conversation_id = (SELECT id FROM here) ORDER BY position DESC LIMIT :sample
            )
            SELECT
                (SELECT sum(exchanges) FROM counted) AS exchanges,
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
                        exchanges
                    )) FROM most
                ) AS people
            """,
            key=conversation,
            people=_PEOPLE,
            sample=_SAMPLE,
        )
        if row["exchanges"] is None:
            return None
        return Summary(
            exchanges=row["exchanges"],
            since=row["since"],
            size=round(row["size"] * row["exchanges"]),
            people=[(name, exchanges) for name, exchanges in json.loads(row["people"])],
            people_in_all=row["people_in_all"],
        )

    async def overview(self) -> AsyncIterator[Sequence[Remembered]]:
        """All conversations, the latest used first and some at a time."""
        used_at, last_id = None, None
        while rows := await self._database.read(
            """
            WITH page AS (
                SELECT * FROM conversations
                WHERE :used_at IS NULL OR (used_at, id) < (:used_at, :last_id)
                ORDER BY used_at DESC, id DESC LIMIT :most
            )
            SELECT page.id, key AS conversation, page.guild_id, used_at, count(turns.id) AS exchanges,
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
                Remembered(
                    row["conversation"],
                    row["guild_id"],
                    row["exchanges"],
                    row["people"],
                    row["size"],
                    row["first_at"],
                    row["used_at"],
                    bool(row["persona"]),
                    row["model"],
                )
                for row in rows
            ]

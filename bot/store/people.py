"""What is on record of people and of conversations: told to those who may know it, and deleted when asked."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence

from bot.core.records import ExportedTurn, UserRecord
from bot.core.turns import TurnState
from bot.store.engine import Engine, Value
from bot.store.guild_rules import IN_FORCE
from bot.store.part import Part
from bot.store.quotas import QuotaStore

FORGOTTEN_QUOTE = "[They are replying to a message that was forgotten.]"
"""For the model, in place of what a prompt quotes that is forgotten."""
_TURNS_AT_ONCE = 50

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
    f"UPDATE {table} SET {change} WHERE {theirs} RETURNING 1"
    if change
    else f"DELETE FROM {table} WHERE {theirs} RETURNING 1"
    for table, theirs, change in _TRACES
)
_FORGET_TURNS = (
    # Their DMs first: these are found by the turns.
    f"DELETE FROM conversations WHERE id IN ({_THEIR_DMS}) RETURNING 1",
    "DELETE FROM turns WHERE author_id = :person RETURNING 1",
)
_HAS_TRACES = " OR ".join(f"EXISTS (SELECT 1 FROM {table} WHERE {theirs})" for table, theirs, _ in _TRACES)


class PeopleStore(Part):
    """The part of the store that knows what there is, and of whom. The ledger goes on counting what is forgotten."""

    def __init__(self, engine: Engine, clock: Callable[[], float], quotas: QuotaStore) -> None:
        super().__init__(engine, clock)
        self._quotas = quotas

    async def forget(self, person_id: int) -> set[int]:
        """Delete whatever is on record of a person, in every conversation, for good, with what others quote of it.

        What they used stays in the sums of servers and of all, in nobody's name, and so does a block by moderators;
        for themselves it counts on in this process's memory alone, a reply under way with all that was reserved for it.
        The rest leaves the file's bytes in the background, or by `wipe`.
        The answer is the ids of their turns.
        """
        values: dict[str, Value] = {"person": person_id, "line": FORGOTTEN_QUOTE, "now": self._now()}
        tokens, prompts, turns, *_ = await self._engine.delete_securely(
            *self._quotas.used_by(person_id),
            ("SELECT id FROM turns WHERE author_id = :person", values),
            *((statement, values) for statement in (*_FORGET_TRACES, *_FORGET_TURNS)),
        )
        self._quotas.retain_after_forget(person_id, tokens, prompts)
        return {turn["id"] for turn in turns}

    async def record_of(self, person_id: int) -> UserRecord:
        """How much `forget` would delete."""
        [row] = await self._engine.read(
            f"""
            SELECT count(*) AS turns, count(DISTINCT conversation_id) AS conversations, {_HAS_TRACES} AS traces,
                EXISTS (SELECT 1 FROM blocked WHERE person_id = :person AND {IN_FORCE}) AS blocked
            FROM turns WHERE author_id = :person
            """,
            person=person_id,
            now=self._now(),
        )
        return UserRecord(row["turns"], row["conversations"], bool(row["traces"]), bool(row["blocked"]))

    async def exchanges_of(self, person_id: int, guild_id: int | None = None) -> AsyncIterator[Sequence[ExportedTurn]]:
        """What a person asked and was answered, everywhere or in one server, newest first and some at a time."""
        before = None
        while rows := await self._engine.read(
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

    async def has_asked(self, person_id: int) -> bool:
        """Whether a question of somebody's is on record, wherever it was asked."""
        return bool(await self._engine.read("SELECT 1 FROM turns WHERE author_id = :person LIMIT 1", person=person_id))

    async def asked_in(self, person_id: int, most: int = 200) -> list[int]:
        """The servers in which a person asked something, by their latest `most` turns, the latest first."""
        rows = await self._engine.read(
            """
            SELECT guild_id, max(id) AS latest FROM (
                SELECT turns.id, guild_id FROM turns INDEXED BY turns_by_author
                JOIN conversations ON conversations.id = conversation_id
                WHERE author_id = :person ORDER BY turns.id DESC LIMIT :most
            )
            WHERE guild_id IS NOT NULL GROUP BY guild_id ORDER BY latest DESC
            """,
            person=person_id,
            most=most,
        )
        return [row["guild_id"] for row in rows]

"""Users: what is on record of each, exported to them, and deleted when they ask."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence

from bot.core.changes import Announcement, Change
from bot.core.prompt_text import platform_note
from bot.core.records import ExportedTurn, UserRecord
from bot.core.turns import TurnState
from bot.store.engine import Engine, Lock, Value
from bot.store.guild_rules import IN_FORCE
from bot.store.hourly_questions import PAYS_FOR_OTHERS
from bot.store.names import named_prompts
from bot.store.part import Part
from bot.store.person_settings import LEAVE_OUT
from bot.store.pictures import pictures_of
from bot.store.quotas import QuotaStore
from bot.store.rows import TURN_IDS, conversation_of, ids_in, name_of

FORGOTTEN_QUOTE = platform_note("They are replying to a message that was forgotten.")
"""The text that the model gets in place of a forgotten quote."""
_TURNS_AT_ONCE = 50

FORGET_TURNS = """
    INSERT INTO forgotten_users (user_id, conversation_id, through, line)
    SELECT :user, id, max(
        coalesce((SELECT max(id) FROM stored_turns), 0), coalesce((SELECT max(turn_id) FROM charges), 0)
    ), :line
    FROM ({conversation}) AS here WHERE true
    ON CONFLICT (user_id, conversation_id) DO UPDATE SET through = excluded.through
    RETURNING 1
    """
"""SQL that puts a user's turns, and what is quoted of the user, out of reach.

`conversation` is a query for the id of the conversation in which it does, or for 0: in all of them. Turns' ids are
never reused, and charges outlive turns, so that nothing of the user's is later than `through`.
"""
_FORGOTTEN = "EXISTS (SELECT 1 FROM forgotten_users AS gone WHERE gone.user_id = :user AND {which} <= through)"
"""SQL condition for a row of a user that is out of reach already."""
_HERE = "gone.conversation_id IN (0, stored_turns.conversation_id) AND stored_turns.id"
_LONG_TRACES = (
    # Quotes of the user's messages in other people's turns.
    ("stored_turns", f"quoted_id = :user AND NOT {_FORGOTTEN.format(which=_HERE)}"),
    # Other people's turns that the user's recent messages went along with.
    ("recent_authors", f"user_id = :user AND NOT {_FORGOTTEN.format(which='gone.conversation_id = 0 AND turn_id')}"),
    ("charges", f"user_id = :user AND NOT {_FORGOTTEN.format(which='gone.conversation_id = 0 AND turn_id')}"),
)
"""The places where a user is on record beside their own turns, in any number of rows, and the condition for these rows.

Forgetting puts them out of reach; `bot.store.purge` takes the user out of them later.
"""
_SHORT_TRACES = (
    # By each day on record, so that the primary key is of use.
    (
        "daily_usage",
        """
        scope = 'user' AND id = :user AND day IN (
            WITH RECURSIVE days (day) AS (
                SELECT min(day) FROM daily_usage
                UNION ALL SELECT (SELECT min(day) FROM daily_usage WHERE day > days.day) FROM days WHERE day IS NOT NULL
            )
            SELECT day FROM days
        )
        """,
        None,
    ),
    ("recent_questions", f"user_id = :user AND {PAYS_FOR_OTHERS}", "user_id = NULL"),
    ("recent_questions", "user_id = :user", None),
    ("notices", "user_id = :user", None),
    # A block in force belongs to the moderators and stays.
    ("blocks", f"user_id = :user AND NOT {IN_FORCE}", None),
    ("personas", "user_id = :user", None),
    ("names", "user_id = :user", None),
    ("notes", "user_id = :user", None),
    ("person_settings", "user_id = :user", None),
    # What the user decided as a moderator stays in force, in nobody's name.
    ("guilds", "paused_by = :user", "paused_by = NULL, paused_at = NULL"),
    ("channel_rules", "set_by = :user", "set_by = NULL, set_at = NULL"),
    ("channel_settings", "decided_by = :user", "decided_by = NULL, decided_at = NULL"),
    ("blocks", "set_by = :user", "set_by = NULL, set_at = NULL"),
)
"""The places with few rows of a user, which go at once.

Each has the table, the condition for its rows, and the change that removes the user from a row. The change is None if
the row is deleted.
"""
_FORGET = (
    FORGET_TURNS.format(conversation="SELECT 0 AS id"),
    # What is reserved is compared with the sums, from which the user is gone.
    "UPDATE charges INDEXED BY charges_open SET user_id = NULL WHERE settled = 0 AND user_id = :user",
    *(
        f"UPDATE {table} SET {change} WHERE {theirs}" if change else f"DELETE FROM {table} WHERE {theirs}"
        for table, theirs, change in _SHORT_TRACES
    ),
)
_HAS_TRACES = " OR ".join(
    f"EXISTS (SELECT 1 FROM {table} WHERE {theirs})" for table, theirs, *_ in (*_LONG_TRACES, *_SHORT_TRACES)
)


class PeopleStore(Part):
    """The records of users. The ledger of charges still counts the usage of forgotten users."""

    def __init__(self, engine: Engine, clock: Callable[[], float], quotas: QuotaStore) -> None:
        super().__init__(engine, clock)
        self._quotas = quotas

    async def forget(self, user_id: int, *, leave_out: bool = False) -> set[int]:
        """Forget whatever is on record of a user in all conversations for good, with what others quote of it.

        So are turns of other people that the user's recent messages went along with: the replies may repeat them.
        What they used stays in the sums of guilds and in the total, in nobody's name. For their own quota it counts on
        in the memory of the processes that run, including all that is reserved for a running reply. A block by
        moderators stays. With `leave_out`, all that is kept of them is that their messages are left out of what goes
        along with other people's questions. The answer is the ids of their turns.
        """
        values: dict[str, Value] = {"user": user_id, "line": FORGOTTEN_QUOTE, "now": self._now()}
        tokens, prompts, turns, *_ = await self._engine.delete_securely(
            *self._quotas.used_by(user_id),
            (TURN_IDS.format(which="user_id = :user"), values),
            *((statement, values) for statement in _FORGET),
            *([(LEAVE_OUT, {"user": user_id, "choice": 1})] if leave_out else []),
            locks=[Lock("user", user_id), Lock("quotas")],
            tells=[Announcement(Change.FORGOTTEN, user_id)],
        )
        await self._quotas.retain_after_forget(user_id, tokens, prompts)
        return ids_in(turns)

    async def record_of(self, user_id: int) -> UserRecord:
        """Return the amount of data that is on record of a user."""
        [row] = await self._engine.read(
            f"""
            SELECT count(*) AS turns, count(DISTINCT conversation_id) AS conversations, {_HAS_TRACES} AS traces,
                EXISTS (SELECT 1 FROM blocks WHERE user_id = :user AND {IN_FORCE}) AS blocked
            FROM turns WHERE user_id = :user
            """,
            user=user_id,
            now=self._now(),
        )
        return UserRecord(row["turns"], row["conversations"], bool(row["traces"]), bool(row["blocked"]))

    async def exchanges_of(self, user_id: int, guild_id: int | None = None) -> AsyncIterator[Sequence[ExportedTurn]]:
        """Pages of the turns of a user, in all guilds or in one, newest first."""
        before = None
        while rows := await self._engine.read(
            """
            SELECT turns.id, platform, channel, guild_id, display_name, user_name,
                created_at AS asked_at, prompt, reply, state, prompt_tokens, reply_tokens
            FROM turns JOIN conversations ON conversations.id = conversation_id
            WHERE user_id = :user AND (:before IS NULL OR turns.id < :before)
              AND (:guild IS NULL OR guild_id = :guild)
            ORDER BY turns.id DESC LIMIT :most
            """,
            user=user_id,
            guild=guild_id,
            before=before,
            most=_TURNS_AT_ONCE,
        ):
            before = rows[-1]["id"]
            prompts = await named_prompts(self._engine, rows)
            pictures = await pictures_of(self._engine, rows, prompts)
            yield [
                ExportedTurn(
                    conversation_of(row),
                    row["guild_id"],
                    name_of(row),
                    row["asked_at"],
                    prompt,
                    row["reply"],
                    TurnState(row["state"]),
                    row["prompt_tokens"],
                    row["reply_tokens"],
                    tuple(each.name for each in shown),
                )
                for row, prompt, shown in zip(rows, prompts, pictures, strict=True)
            ]

    async def has_asked(self, user_id: int) -> bool:
        """Whether a question of a user is on record."""
        return bool(await self._engine.read("SELECT 1 FROM turns WHERE user_id = :user LIMIT 1", user=user_id))

    async def asked_in(self, user_id: int, most: int = 200) -> list[int]:
        """The guilds of the latest `most` turns of a user, the latest first."""
        rows = await self._engine.read(
            """
            SELECT guild_id, max(id) AS latest FROM (
                SELECT turns.id, guild_id FROM turns
                JOIN conversations ON conversations.id = conversation_id
                WHERE user_id = :user ORDER BY turns.id DESC LIMIT :most
            ) AS latest_turns
            WHERE guild_id IS NOT NULL GROUP BY guild_id ORDER BY latest DESC
            """,
            user=user_id,
            most=most,
        )
        return [row["guild_id"] for row in rows]

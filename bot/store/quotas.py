"""Quotas: the tokens reserved before a request, the tokens used, and the tokens left."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bot.core.quotas import Contended, Quota, QuotaExceeded, Quotas, Reservation
from bot.core.turns import Attempt, Outcome, Prompt
from bot.core.usage import DAY, UsageRow, UsageToday
from bot.store.engine import Engine, Row, Rows, Statement, Value
from bot.store.part import Part
from bot.store.processed import PROCESSED

HOUR = 3600

# The user and the guild that these statements are about.
_SOMEBODY = "(SELECT :user AS user_id, :guild AS guild_id) AS asker"
_ATTEMPT = """
    (
        SELECT turns.id AS turn_id, attempt, user_id, guild_id
        FROM turns JOIN conversations ON conversations.id = conversation_id
        WHERE turns.id = :turn AND turns.attempt = :attempt
    ) AS asker
    """
_SPENT = {
    scope: f"coalesce((SELECT tokens FROM daily_usage WHERE day = :day AND scope = '{scope}' AND id = {of}), 0)"
    for scope, of in (("user", "asker.user_id"), ("guild", "asker.guild_id"), ("total", "0"))
}
_CARRIED = "coalesce((SELECT value FROM json_each(:carried) WHERE key = CAST(asker.user_id AS TEXT)), 0)"
_SPENT["user"] = f"({_SPENT['user']} + {_CARRIED})"
_OPEN = "SELECT sum(prompt_tokens + reply_tokens) FROM charges INDEXED BY charges_open WHERE settled = 0 AND day = :day"
_SETTLED = {
    scope: f"({_SPENT[scope]} - coalesce(({_OPEN} {whose}), 0))"
    for scope, whose in (
        ("user", "AND charges.user_id = asker.user_id"),
        ("guild", "AND charges.guild_id = asker.guild_id"),
        ("total", ""),
    )
}


def _room(used: Mapping[str, str]) -> str:
    """SQL for the rest of the quota that has the least left."""
    return f"""min(
        :total - {used["total"]},
        iif(asker.user_id IS NULL, :total, :per_user - {used["user"]}),
        iif(asker.guild_id IS NULL, :total, :per_guild - {used["guild"]})
    )"""


# One statement checks and reserves, so that no tokens are promised twice to simultaneous requests. If the whole amount
# does not fit, a part is reserved only if no running request could still make room for more.
_RESERVE = f"""
    INSERT INTO charges (turn_id, attempt, user_id, guild_id, model, day, prompt_tokens, reply_tokens)
    SELECT turn_id, attempt, user_id, guild_id, :model, :day, :prompt, min(:reply, room - :prompt)
    FROM (SELECT *, {_room(_SPENT)} AS room FROM {_ATTEMPT}) AS asker
    WHERE room >= :prompt + :minimum AND (room >= :prompt + :reply OR :accept_partial OR room >= {_room(_SETTLED)})
    ON CONFLICT (turn_id, attempt) DO NOTHING
    RETURNING reply_tokens
    """
_SETTLED_COLUMNS = ", ".join(f"{sql} AS used_{scope}" for scope, sql in _SETTLED.items())
_RESERVED = f"""
    SELECT
        (SELECT reply_tokens FROM charges WHERE turn_id = asker.turn_id AND charges.attempt = asker.attempt) AS granted,
        user_id, guild_id, {_SETTLED_COLUMNS}
    FROM {_ATTEMPT}
    """
# The sums that include reservations are quicker to read, and usually they leave enough room.
_SHORT = f"SELECT user_id, guild_id, {_SETTLED_COLUMNS} FROM {_SOMEBODY} WHERE {_room(_SPENT)} < :tokens"

SETTLE_LEFT_OVER: Statement = (
    """
    UPDATE charges SET settled = 1, reply_tokens = reply_so_far WHERE settled = 0
    """,
    (),
)
"""A statement that charges the used part of a killed process's reservations. It runs before any attempt begins."""


def settlement(attempt: Attempt, outcome: Outcome) -> Statement:
    """Return the statement that replaces an attempt's reservation by its true usage.

    It takes effect once, and negative numbers count as 0. A forgotten attempt is charged too.
    """
    return (
        """
        UPDATE charges SET settled = 1, prompt_tokens = max(0, :prompt), reply_tokens = max(0, :reply)
        WHERE turn_id = :turn AND attempt = :attempt AND settled = 0
        """,
        {
            "turn": attempt.turn_id,
            "attempt": attempt.number,
            "prompt": outcome.usage.prompt_tokens if outcome.usage else 0,
            "reply": outcome.usage.reply_tokens if outcome.usage else 0,
        },
    )


@dataclass(frozen=True, slots=True)
class _Retained:
    """The usage of a forgotten user: tokens on a day, and the times of their questions."""

    day: int
    tokens: int
    prompts: tuple[int, ...]


class QuotaStore(Part):
    """Reservations, charges and usage. Days are days of UTC."""

    def __init__(self, engine: Engine, clock: Callable[[], float]) -> None:
        super().__init__(engine, clock)
        self._retained: dict[int, _Retained] = {}

    def used_by(self, user_id: int) -> tuple[Statement, Statement]:
        """Return the statements that read a user's usage for `carry`, in the transaction that deletes it."""
        now = self._now()
        return (
            (
                "SELECT tokens FROM daily_usage WHERE day = :day AND scope = 'user' AND id = :user",
                {"day": now // DAY, "user": user_id},
            ),
            (
                "SELECT at FROM recent_questions WHERE user_id = :user AND at > :since",
                {"user": user_id, "since": now - HOUR},
            ),
        )

    def retain_after_forget(self, user_id: int, tokens: Rows, prompts: Rows) -> None:
        """Keep the use of a forgotten user in this process's memory, until the hour and the day are over.

        `tokens` and `prompts` are the answers to `used_by`. No file holds it. Without it, being forgotten would be a
        way to use more. Reservations of replies under way count in full, because no name leads back from them.
        """
        now = self._now()
        today = now // DAY
        before = self._retained.pop(user_id, _Retained(today, 0, ()))
        self._retained[user_id] = _Retained(
            today,
            sum(row["tokens"] for row in tokens) + (before.tokens if before.day == today else 0),
            (*before.prompts, *(row["at"] for row in prompts)),
        )
        self._retained = {
            person: each
            for person, each in self._retained.items()
            if (each.tokens and each.day == today) or any(at > now - HOUR for at in each.prompts)
        }

    def retained_questions(self, user_id: int | None) -> list[int]:
        """Return the times of a forgotten person's prompts in the last hour, which are on record nowhere else."""
        carried = None if user_id is None else self._retained.get(user_id)
        return [at for at in carried.prompts if at > self._now() - HOUR] if carried else []

    def _carried_tokens(self) -> str:
        today = self._now() // DAY
        return json.dumps(
            {person: carried.tokens for person, carried in self._retained.items() if carried.day == today}
        )

    async def exceeded(self, prompt: Prompt, tokens: int, quotas: Quotas) -> QuotaExceeded | None:
        rows = await self._engine.read(
            _SHORT,
            user=prompt.user_id,
            guild=prompt.guild_id,
            tokens=tokens,
            **self._limits(quotas),
        )
        if not rows:
            return None
        left, used_up = self._tightest(rows[0], quotas)
        if left >= tokens:
            return None
        known = await self._engine.read(PROCESSED, message_id=prompt.message_id)
        return None if known else used_up

    async def reserve(
        self,
        attempt: Attempt,
        model: str,
        prompt_tokens: int,
        reply_tokens: int,
        minimum: int,
        quotas: Quotas,
        *,
        accept_partial: bool = False,
    ) -> Reservation | QuotaExceeded | Contended | None:
        # A reservation counts as used until `TurnStore.close` puts the true count in its place. So no quota is promised
        # twice, and none is overspent by requests that use no more than was reserved for them. Where the server counts
        # more, the surplus is charged too, but only then.
        values: dict[str, Value] = {
            "turn": attempt.turn_id,
            "attempt": attempt.number,
            "model": model,
            "prompt": prompt_tokens,
            "reply": reply_tokens,
            "minimum": minimum,
            "accept_partial": accept_partial,
            **self._limits(quotas),
        }
        fresh = await self._engine.write(_RESERVE, **values)
        if fresh and fresh[0]["reply_tokens"] == reply_tokens:
            return Reservation(reply_tokens)
        rows = await self._engine.read(_RESERVED, **values)
        if not rows:
            return None
        granted: int | None = rows[0]["granted"]
        left, used_up = self._tightest(rows[0], quotas)
        if granted is not None:
            return Reservation(
                granted, used_up if granted < reply_tokens and left < prompt_tokens + reply_tokens else None
            )
        return used_up if left < prompt_tokens + minimum else Contended()

    def _limits(self, quotas: Quotas) -> dict[str, Value]:
        """Return the parameters of the statements above for every quota and its use."""
        return {
            "day": self._now() // DAY,
            "carried": self._carried_tokens(),
            "per_user": quotas.daily_tokens_per_user,
            "per_guild": quotas.daily_tokens_per_server,
            "total": quotas.daily_tokens_total,
        }

    def _tightest(self, settled: Row, quotas: Quotas) -> tuple[int, QuotaExceeded]:
        """Return the tokens left after certain usage, and the quota that leaves no more."""
        most = {Quota.TOTAL: quotas.daily_tokens_total}
        if settled["user_id"] is not None:
            most[Quota.USER] = quotas.daily_tokens_per_user
        if settled["guild_id"] is not None:
            most[Quota.GUILD] = quotas.daily_tokens_per_server
        left = {quota: most[quota] - settled[f"used_{quota.value}"] for quota in most}
        tightest = min(left, key=left.__getitem__)
        return left[tightest], QuotaExceeded(tightest, most[tightest], until=(self._now() // DAY + 1) * DAY)

    async def usage_today(
        self, user_id: int | None = None, guild_id: int | None = None, *, reserved: bool = True
    ) -> UsageToday:
        """Return today's used tokens of a person, of a server and of all together, and the person's prompts.

        The prompts are those of the last hour. Reservations are included if `reserved` is true.
        """
        used = _SPENT if reserved else _SETTLED
        [row] = await self._engine.read(
            f"""
            SELECT {used["user"]} AS used_user, {used["guild"]} AS used_guild, {used["total"]} AS used_total, (
                SELECT count(*) FROM recent_questions
                WHERE recent_questions.user_id = asker.user_id AND at > :now - {HOUR}
            ) AS questions
            FROM {_SOMEBODY}
            """,
            user=user_id,
            guild=guild_id,
            carried=self._carried_tokens(),
            day=self._now() // DAY,
            now=self._now(),
        )
        return UsageToday(
            row["used_user"],
            row["used_guild"],
            row["used_total"],
            row["questions"] + len(self.retained_questions(user_id)),
        )

    async def usage(self, since_day: int, *, user_id: int | None = None, guild_id: int | None = None) -> list[UsageRow]:
        """Return the usage of each model on each day from `since_day` on, in days since the epoch.

        The usage is that of everybody, of one person, or of one server.
        """
        # A condition is added only if it is wanted, since it would otherwise keep the index from being used. The plus
        # excludes the index of servers, because a server has many more rows there than a person.
        where = " ".join(
            ["day >= :since"]
            + ["AND user_id = :user"] * (user_id is not None)
            + ["AND guild_id = :guild"] * (guild_id is not None and user_id is None)
            + ["AND +guild_id = :guild"] * (guild_id is not None and user_id is not None)
        )
        rows = await self._engine.read(
            f"""
            SELECT day, model, guild_id, user_id AS user_id,
                count(*) AS requests, sum(prompt_tokens) AS prompt_tokens, sum(reply_tokens) AS reply_tokens
            FROM charges WHERE {where}
            GROUP BY day, model, guild_id, user_id ORDER BY day, model, guild_id, user_id
            """,
            since=since_day,
            user=user_id,
            guild=guild_id,
        )
        return [UsageRow(**dict(row)) for row in rows]

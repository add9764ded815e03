"""What may be used, what was used, and what was said about it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass

from bot.store.database import Database, Statement, Value
from bot.store.part import Part
from bot.turns import Allowance, Allowances, Attempt, Grant, Outcome, UsedUp
from bot.usage import DAY, Spent, UsageRow

HOUR = 3600

_SPENT = {
    scope: f"coalesce((SELECT tokens FROM spent WHERE day = :day AND scope = '{scope}' AND id = {of}), 0)"  # noqa: S608 - SQL of ours
    for scope, of in (("person", "author_id"), ("server", "guild_id"), ("bot", "0"))
}
_CARRIED = "coalesce((SELECT value FROM json_each(:carried) WHERE key = CAST(author_id AS TEXT)), 0)"
_SPENT["person"] = f"({_SPENT['person']} + {_CARRIED})"
_ATTEMPT = """
    FROM turns JOIN conversations ON conversations.id = conversation_id
    WHERE turns.id = :turn AND turns.attempt = :attempt
    """
# One statement looks and takes, so that of all who ask at once nobody is promised what another one was.
_RESERVE = f"""
    INSERT INTO charges (turn_id, attempt, person_id, guild_id, model, day, prompt_tokens, reply_tokens)
    SELECT id, attempt, author_id, guild_id, :model, :day, :prompt, min(:reply, room - :prompt) FROM (
        SELECT turns.id, attempt, author_id, guild_id, min(
            :in_all - {_SPENT["bot"]},
            iif(author_id IS NULL, :in_all, :per_person - {_SPENT["person"]}),
            iif(guild_id IS NULL, :in_all, :per_server - {_SPENT["server"]})
        ) AS room {_ATTEMPT}
    )
    WHERE room >= :prompt + :least
    ON CONFLICT (turn_id, attempt) DO NOTHING
    RETURNING reply_tokens
    """  # noqa: S608 - SQL of ours
_RESERVED = f"""
    SELECT
        (SELECT reply_tokens FROM charges WHERE turn_id = turns.id AND charges.attempt = turns.attempt) AS granted,
        author_id, guild_id, {", ".join(f"{sql} AS {scope}" for scope, sql in _SPENT.items())}
    {_ATTEMPT}
    """  # noqa: S608 - SQL of ours

SETTLE_LEFT_OVER: Statement = (
    """
    UPDATE charges SET settled = 1, reply_tokens = reply_so_far WHERE settled = 0
    """,
    (),
)
"""Charges what a process that was killed had asked for. Only while no attempt is under way."""


def settlement(attempt: Attempt, outcome: Outcome) -> Statement:
    """Puts what an attempt did use in place of what it might have, once. It was asked for, remembered or not."""
    return (
        """
        UPDATE charges SET settled = 1, prompt_tokens = :prompt, reply_tokens = :reply
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
class _Carried:
    """What somebody who was forgotten had used: tokens on a day, and prompts in the hour before `until`."""

    day: int
    tokens: int
    prompts: int
    until: int


class Ledger(Part):
    """The part of the store that counts. Days are those of UTC."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.time) -> None:
        super().__init__(database, clock)
        self._carried: dict[int, _Carried] = {}

    async def carry_over(self, person_id: int) -> None:
        """Keep in mind what a person has used of the allowances, who is about to be forgotten.

        It is in this process's memory and in no file, until the hour and the day are over: or being forgotten would be
        a way to use more.
        """
        spent, now = await self.spent_today(person_id), self._now()
        today = now // DAY
        self._carried = {
            person: carried for person, carried in self._carried.items() if carried.day == today or carried.until > now
        }
        self._carried[person_id] = _Carried(today, spent.person, spent.prompts, now + HOUR)

    def carried_prompts(self, person_id: int | None) -> tuple[int, int]:
        """How many prompts of a person count that are on record nowhere, and until when."""
        carried = None if person_id is None else self._carried.get(person_id)
        return (carried.prompts, carried.until) if carried and carried.until > self._now() else (0, 0)

    def _carried_tokens(self) -> str:
        today = self._now() // DAY
        return json.dumps({person: carried.tokens for person, carried in self._carried.items() if carried.day == today})

    async def reserve(
        self, attempt: Attempt, model: str, prompt_tokens: int, reply_tokens: int, least: int, allowances: Allowances
    ) -> Grant | UsedUp | None:
        """Commit what an attempt's requests may use, before the first of them, if `least` tokens for the reply fit.

        Until `SQLiteStore.close` puts the truth in its place it counts as used. An attempt has one reservation: asked
        for again, it is the same. None: the attempt was forgotten or superseded.
        """
        day = self._now() // DAY
        values: dict[str, Value] = {
            "turn": attempt.turn_id,
            "attempt": attempt.number,
            "model": model,
            "day": day,
            "prompt": prompt_tokens,
            "reply": reply_tokens,
            "least": least,
            "carried": self._carried_tokens(),
            "per_person": allowances.tokens_per_person,
            "per_server": allowances.tokens_per_server,
            "in_all": allowances.tokens_in_all,
        }
        fresh = await self._database.write(_RESERVE, **values)
        if fresh and fresh[0]["reply_tokens"] == reply_tokens:
            return Grant(reply_tokens)
        rows = await self._database.read(_RESERVED, **values)
        if not rows:
            return None
        [row] = rows
        granted: int | None = row["granted"]
        if granted == reply_tokens:
            return Grant(reply_tokens)
        left = {Allowance.BOT: (allowances.tokens_in_all, row["bot"])}
        if row["author_id"] is not None:
            left[Allowance.PERSON] = (allowances.tokens_per_person, row["person"])
        if row["guild_id"] is not None:
            left[Allowance.SERVER] = (allowances.tokens_per_server, row["server"])
        tightest = min(left, key=lambda allowance: left[allowance][0] - left[allowance][1])
        bound = UsedUp(tightest, left[tightest][0], until=(day + 1) * DAY)
        return bound if granted is None else Grant(granted, bound)

    async def spent_today(self, person_id: int | None = None, guild_id: int | None = None) -> Spent:
        """What a person, a server and all together have used of today's tokens, what is reserved included; and how
        many prompts the person began within the last hour.
        """
        [row] = await self._database.read(
            f"""
            SELECT {_SPENT["person"]} AS person, {_SPENT["server"]} AS server, {_SPENT["bot"]} AS bot, (
                SELECT count(*) FROM asked WHERE person_id = author_id AND at > :now - {HOUR}
            ) AS prompts
            FROM (SELECT :person AS author_id, :guild AS guild_id)
            """,  # noqa: S608 - SQL of ours
            person=person_id,
            guild=guild_id,
            carried=self._carried_tokens(),
            day=self._now() // DAY,
            now=self._now(),
        )
        prompts, _ = self.carried_prompts(person_id)
        return Spent(row["person"], row["server"], row["bot"], row["prompts"] + prompts)

    async def usage(
        self, since_day: int, *, person_id: int | None = None, guild_id: int | None = None
    ) -> list[UsageRow]:
        """What was used of each model on each day from that one on, in days since the epoch; of everybody everywhere,
        or of one person, or in one server.
        """
        # Conditions only where they are wanted, or they would keep the index from being used.
        where = " ".join(
            ["day >= :since"]
            + ["AND person_id = :person"] * (person_id is not None)
            + ["AND guild_id = :guild"] * (guild_id is not None)
        )
        rows = await self._database.read(
            f"""
            SELECT day, model, guild_id, person_id,
                count(*) AS requests, sum(prompt_tokens) AS prompt_tokens, sum(reply_tokens) AS reply_tokens
            FROM charges WHERE {where}
            GROUP BY day, model, guild_id, person_id ORDER BY day, model, guild_id, person_id
            """,  # noqa: S608 - SQL of ours
            since=since_day,
            person=person_id,
            guild=guild_id,
        )
        return [UsageRow(**dict(row)) for row in rows]

    async def tell_once(self, key: str, until: int, person_id: int = 0) -> bool:
        """Commit that something is said, not to be said again before `until`: to a person, or (0) at all.

        False: such a time has not passed yet.
        """
        rows = await self._database.write(
            """
            INSERT INTO told (key, person_id, until) VALUES (:key, :person, :until)
            ON CONFLICT DO UPDATE SET until = excluded.until WHERE told.until <= :now
            RETURNING key
            """,
            key=key,
            person=person_id,
            until=until,
            now=self._now(),
        )
        return bool(rows)

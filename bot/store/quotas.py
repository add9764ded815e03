"""Quotas: the tokens reserved before a request, the tokens used, and the tokens left."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence

from bot.core.errors import StoreError
from bot.core.quotas import Contended, Quota, QuotaExceeded, Quotas, Reservation, Usage
from bot.core.shards import Shards
from bot.core.turns import Attempt, Prompt
from bot.core.usage import ANY_REQUEST, DAY, MICRO, LeastRequest, Price, UsageToday
from bot.store.engine import Engine, Lock, Row, Rows, Statement, Value
from bot.store.forgotten_use import HOUR, ForgottenUse
from bot.store.hourly_questions import AT_LIMIT, exceeded_questions
from bot.store.part import Part
from bot.store.processed import PROCESSED
from bot.store.quota_sums import ATTEMPT, SETTLED, SOMEBODY, SPENT, SUMMARY, room

log = logging.getLogger(__name__)

_SUMS = (Lock("quotas"),)
"""What all reservations read before they add to it."""
_NEXT_ATTEMPT = "UPDATE stored_summaries SET attempt = attempt + 1 WHERE id = :summary RETURNING attempt"
_SETTLE_KILLED = """
    UPDATE charges SET settled = 1, reply_tokens = reply_so_far
    WHERE turn_id = -:summary AND settled = 0
    """

# A reservation is made where it is checked, under a lock, so that no tokens are promised twice to simultaneous
# requests. If the whole amount does not fit, a part is reserved only if no running request could make room for more.
_RESERVE_FOR = f"""
    INSERT INTO charges (
        turn_id, attempt, user_id, guild_id, model, day, prompt_tokens, reply_tokens,
        prompt_price, cached_price, reply_price
    )
    SELECT turn_id, attempt, user_id, guild_id, :model, :day, :prompt, min(:reply, room - :prompt),
        :paid_prompt, :paid_cached, :paid_reply
    FROM (SELECT *, {room(SPENT)} AS room FROM {{asker}} LIMIT 1) AS asker
    WHERE room >= :prompt + :minimum AND (room >= :prompt + :reply OR :accept_partial = 1 OR room >= {room(SETTLED)})
    ON CONFLICT (turn_id, attempt) DO NOTHING
    RETURNING reply_tokens
    """
_RESERVE = _RESERVE_FOR.format(asker=ATTEMPT)
_RESERVE_SUMMARY = _RESERVE_FOR.format(asker=SUMMARY)
# A further request of an attempt grows its charge, so that an attempt has one charge however often it asks. What was
# spent is settled first, so that it stays charged where there is no room for more.
_SETTLE_SPENT = """
    UPDATE charges SET settled = 1, prompt_tokens = :spent_prompt, reply_tokens = :spent_reply,
        reply_so_far = :spent_reply, cached_tokens = :spent_cached, reasoning_tokens = :spent_reasoning
    WHERE turn_id = :turn AND attempt = :attempt
    """
_RESERVE_MORE = f"""
    UPDATE charges SET
        settled = 0,
        requests = requests + 1,
        prompt_tokens = prompt_tokens + :prompt,
        reply_tokens = reply_tokens + min(:reply, asker.room - :prompt)
    FROM (SELECT *, {room(SPENT)} AS room, {room(SETTLED)} AS settled_room FROM {ATTEMPT} LIMIT 1) AS asker
    WHERE charges.turn_id = asker.turn_id AND charges.attempt = asker.attempt
      AND room >= :prompt + :minimum AND (room >= :prompt + :reply OR :accept_partial = 1 OR room >= settled_room)
    RETURNING reply_tokens - :spent_reply AS reply_tokens
    """
_SETTLED_COLUMNS = ", ".join(f"{sql} AS used_{scope}" for scope, sql in SETTLED.items())
_RESERVED = f"""
    SELECT
        (SELECT reply_tokens FROM charges WHERE turn_id = asker.turn_id AND charges.attempt = asker.attempt) AS granted,
        user_id, guild_id, {_SETTLED_COLUMNS}
    FROM {ATTEMPT}
    """
# The sums that include reservations are quicker to read, and usually they leave enough room.
_SHORT_OF = f"FROM {SOMEBODY} WHERE {room(SPENT)} < :prompt + :minimum"
SHORT = f"SELECT 1 {_SHORT_OF}"
"""SQL that finds something where a quota has no room for a prompt, as long as all is used that is reserved."""
_USED_OF_SHORT = f"SELECT user_id, guild_id, {_SETTLED_COLUMNS} {_SHORT_OF}"
_SETTLE_LEFT_OVER = """
    UPDATE charges SET settled = 1, reply_tokens = reply_so_far,
        user_id = CASE WHEN reply_so_far > 0 THEN user_id END
    WHERE settled = 0 AND CASE
        WHEN :channel IS NULL THEN day < :day OR turn_id NOT IN (
            SELECT turns.id FROM turns JOIN conversations ON conversations.id = conversation_id
            WHERE turns.id = turn_id AND platform <> :platform
        )
        ELSE turn_id IN (
            SELECT turns.id FROM turns JOIN conversations ON conversations.id = conversation_id
            WHERE turns.id = turn_id AND platform = :platform AND channel = :channel
        )
    END AND {served}
    """


def settlement(attempt: Attempt, usage: Usage | None, *, free: bool) -> Statement:
    """Return the statement that replaces an attempt's reservation by its true usage.

    It takes effect once, and negative numbers count as 0. A forgotten attempt is charged too. A `free` one is charged
    to the guild and the total, but to no user.
    """
    usage = usage or Usage(0, 0)
    return (
        """
        UPDATE charges SET settled = 1, prompt_tokens = max(0, :prompt), reply_tokens = max(0, :reply),
            cached_tokens = max(0, min(:cached, :prompt)), reasoning_tokens = max(0, min(:reasoning, :reply)),
            user_id = CASE WHEN :free = 0 THEN user_id END
        WHERE turn_id = :turn AND attempt = :attempt AND settled = 0
        """,
        {
            "turn": attempt.turn_id,
            "attempt": attempt.number,
            "prompt": usage.prompt_tokens,
            "reply": usage.reply_tokens,
            "cached": usage.cached_tokens,
            "reasoning": usage.reasoning_tokens,
            "free": free,
        },
    )


class QuotaStore(Part):
    """Reservations, charges and usage. Days are days of UTC."""

    def __init__(self, engine: Engine, clock: Callable[[], float], shards: Shards, forgotten: ForgottenUse) -> None:
        super().__init__(engine, clock, shards)
        self._forgotten = forgotten

    def left_over(self, platform: str, channel: str | None) -> Statement:
        """Return the statement that charges the used part of what a killed process reserved in a channel.

        Without a channel it is about the whole platform, and about everything that is left open of earlier days. It
        runs before any attempt begins there.
        """
        values: dict[str, Value] = {"platform": platform, "channel": channel, "day": self._now() // DAY}
        return _SETTLE_LEFT_OVER.format(served=self._served("guild_id")), values

    def used_by(self, user_id: int) -> tuple[Statement, Statement]:
        """Return the statements that read a user's usage for `carry`, in the transaction that deletes it."""
        now = self._now()
        return (
            (
                "SELECT tokens FROM daily_usage WHERE day = :day AND scope = 'user' AND id = :user",
                {"day": now // DAY, "user": user_id},
            ),
            (
                "SELECT at, counts FROM recent_questions WHERE user_id = :user AND at > :since",
                {"user": user_id, "since": now - HOUR},
            ),
        )

    async def retain_after_forget(self, user_id: int, tokens: Rows, prompts: Rows) -> None:
        """Keep the use of a forgotten user in memory, and in that of other processes, until hour and day are over.

        `tokens` and `prompts` are the answers to `used_by`. No file holds it. Without it, being forgotten would be a
        way to use more. Reservations of replies under way count in full, because no name leads back from them.
        """
        used = sum(row["tokens"] for row in tokens)
        announcements = self._forgotten.add(
            user_id, used, [(row["at"], bool(row["counts"])) for row in prompts], now=self._now()
        )
        if announcements:
            try:
                await self._engine.transaction(tells=announcements)
            except StoreError as error:
                log.warning("other processes were not told what a forgotten person has used: %s", error)

    def retained_questions(self, user_id: int | None) -> Sequence[tuple[int, bool]]:
        """Return the times of a forgotten person's questions in the last hour, and whether each counts.

        They are on record nowhere else.
        """
        return [] if user_id is None else self._forgotten.questions_of(user_id, self._now() - HOUR)

    def hourly_limit(self, user_id: int | None, most: int | None) -> dict[str, Value]:
        """Return the parameters of `AT_LIMIT` for a user and the most questions that they may ask in an hour."""
        return {
            "user_id": user_id,
            "most": most,
            "carried_questions": json.dumps([(at, int(counts)) for at, counts in self.retained_questions(user_id)]),
            "now": self._now(),
        }

    def _carried_tokens(self) -> str:
        now = self._now()
        self._forgotten.drop_old(now)
        return json.dumps(list(self._forgotten.tokens_on(now // DAY).items()))

    async def questions_exceeded(self, user_id: int, hourly_limit: int | None) -> QuotaExceeded | None:
        return exceeded_questions(await self._engine.read(AT_LIMIT, **self.hourly_limit(user_id, hourly_limit)))

    def need(self, prompt: Prompt, least: LeastRequest) -> dict[str, Value]:
        """Return the parameters of `SHORT` for a prompt."""
        return {
            "user": prompt.user_id,
            "guild": prompt.guild_id,
            "minimum": least.reply_tokens,
            **self._limits(least.quotas, least.prompt_tokens, least.price),
        }

    async def exceeded(self, prompt: Prompt, least: LeastRequest) -> QuotaExceeded | None:
        if least is ANY_REQUEST:
            return None
        rows = await self._engine.read(_USED_OF_SHORT, **self.need(prompt, least))
        used_up = (
            self._short(rows[0], least.quotas, least.prompt_tokens, least.reply_tokens, least.price) if rows else None
        )
        if used_up is None:
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
        price: Price | None = None,
        spent: Usage | None = None,
        accept_partial: bool = False,
    ) -> Reservation | QuotaExceeded | Contended | None:
        # A reservation counts as used until `TurnStore.close` puts the true count in its place. So no quota is promised
        # twice, and none is overspent by requests that use no more than was reserved for them. Where the server counts
        # more, the surplus is charged too, but only then.
        values: dict[str, Value] = {
            "turn": attempt.turn_id,
            "attempt": attempt.number,
            "model": model,
            "reply": reply_tokens,
            "minimum": minimum,
            "accept_partial": accept_partial,
            **_paid(price),
            **_spent(spent or Usage(0, 0)),
            **self._limits(quotas, prompt_tokens, price),
        }
        if spent is None:
            [fresh] = await self._engine.transaction((_RESERVE, values), locks=_SUMS)
        else:
            _, fresh = await self._engine.transaction((_SETTLE_SPENT, values), (_RESERVE_MORE, values), locks=_SUMS)
        if fresh and fresh[0]["reply_tokens"] == reply_tokens:
            return Reservation(reply_tokens)
        rows = await self._engine.read(_RESERVED, **values)
        if not rows:
            return None
        granted: int | None = rows[0]["granted"]
        if spent is not None:
            granted = fresh[0]["reply_tokens"] if fresh else None
        if granted is None:
            return self._short(rows[0], quotas, prompt_tokens, minimum, price) or Contended()
        if granted == reply_tokens:
            return Reservation(granted)
        # What is spent is a part of the open reservation again.
        whole = (spent or Usage(0, 0)) + Usage(prompt_tokens, reply_tokens)
        return Reservation(granted, self._short(rows[0], quotas, whole.prompt_tokens, whole.reply_tokens, price))

    async def reserve_summary(
        self,
        summary_id: int,
        model: str,
        prompt_tokens: int,
        reply_tokens: int,
        quotas: Quotas,
        *,
        price: Price | None = None,
    ) -> Attempt | None:
        values: dict[str, Value] = {
            "summary": summary_id,
            "model": model,
            "reply": reply_tokens,
            "minimum": reply_tokens,
            "accept_partial": False,
            **_paid(price),
            **self._limits(quotas, prompt_tokens, price),
        }
        _, numbers, granted = await self._engine.transaction(
            (_SETTLE_KILLED, values), (_NEXT_ATTEMPT, values), (_RESERVE_SUMMARY, values), locks=_SUMS
        )
        return Attempt(-summary_id, numbers[0]["attempt"]) if granted else None

    async def settle(self, attempt: Attempt, usage: Usage | None) -> None:
        sql, values = settlement(attempt, usage, free=False)
        await self._engine.transaction((sql, values))

    async def settle_replaced(self, attempt: Attempt, usage: Usage, *, free: bool = True) -> None:
        # An attempt has one charge under its number. Under a negative number this one is out of the way of the next.
        statement, values = settlement(attempt, usage, free=free)
        moved = """
            UPDATE charges SET attempt = (SELECT min(0, min(attempt)) - 1 FROM charges WHERE turn_id = :turn)
            WHERE turn_id = :turn AND attempt = :attempt
            """
        await self._engine.transaction((statement, values), (moved, values))

    def _limits(self, quotas: Quotas, prompt_tokens: int, price: Price | None) -> dict[str, Value]:
        """Return the parameters of the statements above for every quota and its use."""
        return {
            "day": self._now() // DAY,
            "carried": self._carried_tokens(),
            "per_user": quotas.daily_tokens_per_user,
            "per_guild": quotas.daily_tokens_per_server,
            "total": quotas.daily_tokens_total,
            "budget": quotas.daily_budget,
            "prompt": prompt_tokens,
            "prompt_cost": _cost(price, prompt_tokens, 0),
            "reply_price": _reply_price(price),
        }

    def _short(
        self, settled: Row, quotas: Quotas, prompt_tokens: int, reply_tokens: int, price: Price | None
    ) -> QuotaExceeded | None:
        """Return the quota that does not allow a request of this size after certain usage, or None if all do."""
        tokens = prompt_tokens + reply_tokens
        wanted = {Quota.TOTAL: tokens, Quota.BUDGET: _cost(price, prompt_tokens, reply_tokens)}
        if settled["user_id"] is not None:
            wanted[Quota.USER] = tokens
        if settled["guild_id"] is not None:
            wanted[Quota.GUILD] = tokens
        left = {
            quota: limit - settled[f"used_{quota}"] for quota in wanted if (limit := quotas.of_day(quota)) is not None
        }
        short = [quota for quota in left if left[quota] < wanted[quota]]
        if not short:
            return None
        # Money and tokens are no numbers to compare. Whoever has no tokens left is told that first.
        tightest = min(short, key=lambda quota: (quota is Quota.BUDGET, left[quota]))
        return QuotaExceeded(tightest, quotas.of_day(tightest) or 0, until=(self._now() // DAY + 1) * DAY)

    async def usage_today(
        self, user_id: int | None = None, guild_id: int | None = None, *, reserved: bool = True
    ) -> UsageToday:
        """Return today's used tokens of a person, of a server and of all together, and the cost of the latter.

        With them come the person's prompts of the last hour. Reservations are included if `reserved` is true.
        """
        used = SPENT if reserved else SETTLED
        [row] = await self._engine.read(
            f"""
            SELECT {", ".join(f"{sql} AS used_{quota}" for quota, sql in used.items())}, (
                SELECT count(*) FROM recent_questions
                WHERE recent_questions.user_id = asker.user_id AND counts = 1 AND at > :now - {HOUR}
            ) AS questions
            FROM {SOMEBODY}
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
            row["questions"] + sum(counts for _, counts in self.retained_questions(user_id)),
            row["used_budget"],
        )


def _reply_price(price: Price | None) -> int:
    """The price of a million tokens of a reply. It is never 0, so that money can be divided by it."""
    return max(1, price.reply) if price else 1


def _cost(price: Price | None, prompt_tokens: int, reply_tokens: int) -> int:
    """The most that a request of this size costs, in millionths. Rounded as in `room`."""
    prompt = price.cost(Usage(prompt_tokens, 0)) if price else 0
    return prompt - -(reply_tokens * _reply_price(price)) // MICRO


def _paid(price: Price | None) -> dict[str, Value]:
    return {
        "paid_prompt": price.prompt if price else None,
        "paid_cached": price.cached if price else None,
        "paid_reply": price.reply if price else None,
    }


def _spent(usage: Usage) -> dict[str, Value]:
    return {
        "spent_prompt": usage.prompt_tokens,
        "spent_reply": usage.reply_tokens,
        "spent_cached": usage.cached_tokens,
        "spent_reasoning": usage.reasoning_tokens,
    }

"""What the processes of one bot share of Discord's limits: requests a second, and starts of gateway sessions.

All times are those of the database's clock.
"""

from __future__ import annotations

import math

from bot.store.engine import Engine

IDENTIFY_EVERY_MS = 5500
"""Milliseconds between two turns of a bucket: Discord's five seconds, and by what an IDENTIFY may be sooner there than
the one before it, which may have been sent 250 late."""
_FURTHEST_S = 60
"""Seconds ahead, for requests and IDENTIFYs, above which a time on record is of a clock that was wrong.

A process that Discord refuses for longer knows it itself.
"""

# One statement, whose row only one process at a time has. A generic cell rate: the time up to which slots are taken.
_DRAW = f"""
    INSERT INTO request_budget AS budget (id, taken_until)
    VALUES (1, clock_timestamp() + (:slots - :burst) * :gap * interval '1 us')
    ON CONFLICT (id) DO UPDATE SET
        taken_until = greatest(
            least(budget.taken_until, clock_timestamp() + interval '{_FURTHEST_S} s'),
            clock_timestamp() - :burst * :gap * interval '1 us'
        ) + :slots * :gap * interval '1 us'
    RETURNING extract(epoch FROM taken_until - clock_timestamp())::float8 AS last_in,
        (SELECT count(DISTINCT holder) FROM shards WHERE NOT released) AS processes
    """
_HOLD = """
    INSERT INTO request_budget AS budget (id, taken_until)
    VALUES (1, clock_timestamp() + :milliseconds * interval '1 ms')
    ON CONFLICT (id) DO UPDATE SET taken_until = greatest(budget.taken_until, excluded.taken_until)
    """
_TURN = "(extract(epoch FROM turn.next_at) * 1000000)::bigint"
# Nobody waits in here: a process that ends as it waits leaves no turn behind for which all others would have to wait.
# Whoever has the last turn, and nobody behind them, may have it later instead.
_IDENTIFY = f"""
    INSERT INTO identify_turns AS turn (bucket, next_at)
    VALUES (:bucket, clock_timestamp() + (:ahead + {IDENTIFY_EVERY_MS}) * interval '1 ms')
    ON CONFLICT (bucket) DO UPDATE SET next_at = CASE
        WHEN {_TURN} = :instead_of THEN clock_timestamp()
        ELSE greatest(
            least(turn.next_at, clock_timestamp() + interval '{IDENTIFY_EVERY_MS} ms'),
            clock_timestamp() + :ahead * interval '1 ms'
        )
    END + interval '{IDENTIFY_EVERY_MS} ms'
    WHERE {_TURN} = :instead_of OR turn.next_at NOT BETWEEN
        clock_timestamp() + :ahead * interval '1 ms' AND clock_timestamp() + interval '{_FURTHEST_S} s'
    RETURNING extract(epoch FROM next_at - clock_timestamp())::float8 - {IDENTIFY_EVERY_MS / 1000} AS wait,
        {_TURN} AS turn
    """
_ASK_AGAIN = """
    SELECT extract(epoch FROM next_at - clock_timestamp())::float8 - :ahead / 1000.0 AS wait, 0 AS turn
    FROM identify_turns WHERE bucket = :bucket
    """
_UNSEEN_S = 600
"""Seconds in which a start that was taken has become a session that the platform counts, or never does."""
_LEFT = f"""
    CASE WHEN known.taken_at BETWEEN clock_timestamp() - interval '{_UNSEEN_S} s' AND clock_timestamp()
        THEN least(known.remaining, :remaining) ELSE :remaining
    END
    """
_START = f"""
    INSERT INTO session_starts AS known (id, remaining, taken_at)
    SELECT 1, :remaining - 1, clock_timestamp() WHERE :remaining > 0
    ON CONFLICT (id) DO UPDATE SET remaining = {_LEFT} - 1, taken_at = clock_timestamp()
    WHERE {_LEFT} > 0
    RETURNING 1
    """


class SharedRequests:
    """The limits that several processes on one database share. Implements `bot.core.protocols.SharedLimits`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.unserved_since = math.inf

    async def draw(self, slots: int, per_second: int, burst: int) -> tuple[float, int]:
        [row] = await self._engine.write(_DRAW, slots=slots, burst=burst, gap=1_000_000 // per_second + 1)
        return row["last_in"], row["processes"]

    async def hold(self, seconds: float) -> None:
        await self._engine.write(_HOLD, milliseconds=int(seconds * 1000))

    async def take_start(self, remaining: int) -> bool:
        return bool(await self._engine.write(_START, remaining=remaining))

    async def identify_in(self, bucket: int, ahead: float, instead_of: int = 0) -> tuple[float, int]:
        values = {"bucket": bucket, "ahead": round(ahead * 1000), "instead_of": instead_of}
        taken, later = await self._engine.transaction((_IDENTIFY, values), (_ASK_AGAIN, values))
        [row] = taken or later
        return max(0.0, float(row["wait"])), row["turn"]

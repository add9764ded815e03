"""How long shards of a soak were without a process when one was lost, and why.

A takeover lasts from the end of the connection that held the shard's lock, as the database tells it, until another
process has a session of the shard. What no process could use is not counted: while the database was away, and what of
the wait for the holder was over when it went, since that wait begins anew at its return; while no process stood by that
could run, and while the one that had taken over was frozen.
"""

from __future__ import annotations

import asyncio
import re
import statistics
import time
from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn, TypeAlias

import psycopg

from bot.standin.rest import Exchange
from bot.standin.server import DiscordStandin
from bot.standin.sessions import Frame
from bot.store.postgresql.claims import SERVED

WITHIN = 20.0
"""Seconds that a takeover may last."""
_EVERY = 5.0
"""Seconds from one session of a bucket to the next."""
_LOOK_EVERY = 0.1
_ANSWER = 1.0
"""Seconds for the database to answer, after which it counts as away."""
_DATABASE, _STANDBY, _FROZEN = "the database was away", "no process stood by", "the one that took over was frozen"
_ANEW = "the wait for the holder had begun before the database went"
_ANOTHER, _REFUSED = "the only one that stood by took another shard", "Discord refused what a start needs"
_ASKED_FIRST = ("/users/@me", "/gateway/bot")
_LOCKED = f"{SERVED} AND granted AND objid::bigint = shard"
_SHARDS = f"SELECT shard, holder, released, EXISTS ({_LOCKED}) FROM shards"  # noqa: S608 - constants only
_Row: TypeAlias = tuple[int, str, bool, bool]
_SAYS = re.compile(rb"standing by: |serving shards (\d+) of ")


@dataclass
class _Loss:
    """A shard that is not served."""

    lost_by: str
    at: float
    released: bool = False
    taken_by: str = ""
    """The process that has it by now, if one has."""
    taken_at: float = 0.0
    claimed: float = 0.0
    """Seconds until then, without those that are not counted."""
    not_counted: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    only: defaultdict[int, float] = field(default_factory=lambda: defaultdict(float))
    """Seconds of those that are counted in which one process stood by, by its number."""
    before: _Loss | None = None
    """The one that was about to end when the process that had taken over lost its lock too."""


@dataclass(frozen=True)
class Takeover:
    """One that is over. All times are in seconds, without those that are not counted."""

    shard: int
    released: bool
    """Whether the process before has ended by itself."""
    claimed: float
    seconds: float
    waited: float
    """For how long after the claim Discord allowed no session, since one had been started less than 5 s before."""
    not_counted: Mapping[str, float]

    def __str__(self) -> str:
        left_out = "".join(
            f", without {seconds:.1f} s in which {why}" for why, seconds in self.not_counted.items() if seconds
        )
        return (
            f"shard {self.shard} was {'handed' if self.released else 'taken'} over in {self.seconds:.1f} s, claimed"
            f" after {self.claimed:.1f} s, then held up by other sessions for {self.waited:.1f} s{left_out}"
        )


class Takeovers:
    """Watches who serves which shard, with the processes' `logs` by number, and when their sessions begin."""

    def __init__(self, url: str, discord: DiscordStandin, logs: Callable[[], Mapping[int, Path]]) -> None:
        self.done: list[Takeover] = []
        self.cut_short = 0
        """Takeovers by a process that was lost itself before it had the session."""
        self.frozen: dict[int, int] = {}
        """The numbers of the processes that are frozen now, with their ids."""
        self._url = url
        self._logs = logs
        self._read: dict[int, int] = {}
        """How far the log of each process is read."""
        self._stands_by: dict[int, bool] = {}
        self._holders: dict[int, str] = {}
        self._losses: dict[int, _Loss] = {}
        self._asked: list[tuple[float, int]] = []
        """When sessions were asked for, and for which shards."""
        self._late: deque[tuple[float, float]] = deque(maxlen=round(60 / _LOOK_EVERY))
        """By how much this process was late lately, which judges when a session is asked for."""
        self.early: list[str] = []
        """The sessions that were asked for too early."""
        self._ready: dict[int, float] = {}
        """When the last session of each shard began."""
        self._first: list[tuple[float, Exchange]] = []
        """When processes that start asked Discord for something, and what became of it."""
        discord.gateway.on_frame.append(self._note)
        discord.on_exchange.append(self._note_call)

    def ended(self, number: int) -> None:
        """Note that a process has ended, whose log goes on with the next one."""
        self._stands_by[number] = False
        self.frozen.pop(number, None)
        self._read[number] = self._logs()[number].stat().st_size

    async def watch(self) -> NoReturn:
        """Look again and again, until the task is cancelled."""
        last = time.monotonic()
        connection: psycopg.AsyncConnection | None = None
        try:
            while True:
                rows: Sequence[_Row] | None = None
                try:
                    async with asyncio.timeout(_ANSWER):
                        if connection is None:
                            connection = await psycopg.AsyncConnection.connect(self._url, autocommit=True)
                        rows = await (await connection.execute(_SHARDS.encode())).fetchall()
                except (psycopg.Error, OSError, TimeoutError):
                    if connection is not None:
                        await connection.close()
                    connection = None
                now = time.monotonic()
                self._look(rows, last, now)
                last = now
                await asyncio.sleep(_LOOK_EVERY)
                self._late.append((time.monotonic(), time.monotonic() - now - _LOOK_EVERY))
        finally:
            if connection is not None:
                await connection.close()

    def summary(self) -> str:
        """What to print at the end."""
        left_out: defaultdict[str, float] = defaultdict(float)
        for each in self.done:
            for why, seconds in each.not_counted.items():
                left_out[why] += seconds
        lines = [
            *(
                f"{kind}: {len(took)} times, {statistics.median(took):.1f} s in the median, {max(took):.1f} s at worst"
                for kind, took in (
                    ("lost, and taken over", [each.seconds for each in self.done if not each.released]),
                    ("handed over", [each.seconds for each in self.done if each.released]),
                )
                if took
            ),
            f"lost by the one that took over, before it was connected: {self.cut_short} times",
            *(f"not counted: {seconds:.0f} s in which {why}" for why, seconds in sorted(left_out.items())),
            *(str(each) for each in sorted(self.done, key=lambda each: -each.seconds)[:5]),
        ]
        return "".join(f"shards: {line}\n" for line in lines).rstrip()

    def _note_call(self, exchange: Exchange) -> None:
        if exchange.answered is None and exchange.route in _ASKED_FIRST:
            self._first.append((time.monotonic(), exchange))

    def _note(self, frame: Frame) -> None:
        if frame.name == "READY":
            self._ready[frame.data["shard"][0]] = time.monotonic()
        elif frame.name == "IDENTIFY":
            now, shard = time.monotonic(), frame.data["shard"][0]
            if self._asked and now - self._asked[-1][0] < _EVERY:
                before, of = self._asked[-1]
                late = max((late for at, late in self._late if at >= before - 1), default=0.0)
                self.early.append(
                    f"a session of shard {shard} was asked for {now - before:.2f} s after one of shard {of}, by a clock"
                    f" that was up to {late:.2f} s late"
                )
            self._asked.append((now, shard))

    def _look(self, rows: Sequence[_Row] | None, last: float, now: float) -> None:
        """Take in who serves what now, or that the database does not say."""
        for number, log in self._logs().items():
            self._read_on(number, log)
        free = [number for number, up in self._stands_by.items() if up and number not in self.frozen]
        for shard, loss in self._losses.items():
            if loss.taken_by and self._ready.get(shard, 0.0) > loss.taken_at:
                # Its session has begun, which only the database does not tell yet.
                continue
            if why := self._excuse(loss, free, away=rows is None):
                loss.not_counted[why] += now - last
                if why == _DATABASE and not loss.taken_by:
                    # At its return all locks are gone, and each shard waits for its holder anew.
                    loss.not_counted[_ANEW] += now - loss.at - sum(loss.not_counted.values())
                    loss.only.clear()
            elif not loss.taken_by and len(free) == 1:
                loss.only[free[0]] += now - last
        if rows is None:
            for shard, holder in self._holders.items():
                self._losses.setdefault(shard, _Loss(holder, last))
        for shard, holder, released, locked in rows or ():
            if locked:
                self._served(shard, holder, last, now)
            else:
                self._unserved(shard, holder, released, now)
            self._holders[shard] = holder

    def _unserved(self, shard: int, holder: str, released: bool, now: float) -> None:
        loss = self._losses.get(shard)
        if loss is None or loss.taken_by:
            self._losses[shard] = _Loss(holder, now, released, before=loss)

    def _served(self, shard: int, holder: str, last: float, now: float) -> None:
        loss = self._losses.get(shard)
        had = loss.taken_by or loss.lost_by if loss is not None else self._holders.get(shard, holder)
        if holder != had:
            if loss is None or loss.taken_by:
                loss = self._losses[shard] = _Loss(had, last, before=loss)
            self.cut_short += loss.before is not None
            loss.before = None
            loss.taken_by, loss.taken_at = holder, now
            loss.claimed = now - loss.at - sum(loss.not_counted.values())
        elif loss is not None and not loss.taken_by:
            # The process that had lost it has it again.
            del self._losses[shard]
            if loss.before is not None:
                loss.before.not_counted[_DATABASE] += loss.not_counted[_DATABASE]
                self._losses[shard] = loss.before
        elif loss is not None and (ready := self._ready.get(shard, 0.0)) >= loss.taken_at - 3 * _LOOK_EVERY:
            del self._losses[shard]
            loss.not_counted[_REFUSED] += self._refused(loss.taken_at, ready)
            self.done.append(
                Takeover(
                    shard,
                    loss.released,
                    loss.claimed,
                    ready - loss.at - sum(loss.not_counted.values()),
                    self._waited(shard, loss.taken_at, ready),
                    loss.not_counted,
                )
            )

    def _refused(self, begins: float, ready: float) -> float:
        """For how many of these seconds Discord failed what a start needs, until it was asked again."""
        calls = [(at, call) for at, call in self._first if begins <= at <= ready]
        ends = [*(at for at, _ in calls[1:]), ready]
        return sum(end - at for (at, call), end in zip(calls, ends, strict=True) if call.fault is not None)

    def _waited(self, shard: int, begins: float, ready: float) -> float:
        """For how many of these seconds no session could be started for the sake of others."""
        asked = [at for at, of in self._asked if of == shard and at <= ready][-1]
        waited, over = 0.0, begins
        for at, _ in self._asked:
            ends = min(at + _EVERY, asked)
            if at < asked and ends > over:
                waited += ends - max(over, at)
                over = ends
        return waited

    def _excuse(self, loss: _Loss, free: Sequence[int], *, away: bool) -> str:
        """Why no process can do anything about it now."""
        if away:
            return _DATABASE
        if not loss.taken_by:
            return "" if free else _STANDBY
        pid = int(loss.taken_by.rsplit(":", 2)[1])
        return _FROZEN if pid in self.frozen.values() else ""

    def _read_on(self, number: int, log: Path) -> None:
        begins = self._read.get(number, 0)
        with log.open("rb") as file:
            file.seek(begins)
            text = file.read()
        # A line of which only a part is there is read again.
        whole = text[: text.rfind(b"\n") + 1]
        self._read[number] = begins + len(whole)
        for said in _SAYS.finditer(whole):
            self._stands_by[number] = said[1] is None
            for shard, loss in self._losses.items():
                if said[1] is not None and shard != int(said[1]) and not loss.taken_by:
                    loss.not_counted[_ANOTHER] += loss.only.pop(number, 0.0)

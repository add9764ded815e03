"""How long shards were away in a soak when a process lost them, until they were connected by another one."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

_LINE = re.compile(
    r"^(\S+ \S+),(\d{3}) \S+ +\S+: "
    r"(?:serving shards (?P<served>\d+) of|Shard ID (?P<connected>\d+) has connected to Gateway)",
    re.MULTILINE,
)


@dataclass
class Takeovers:
    """What was done to the processes, each by its number, with the time of the system's clock.

    A process serves one shard.
    """

    _events: list[tuple[float, str, int, int]] = field(default_factory=list)
    """When, what, to which process, and its shard, as far as that is known."""

    def held_up(self, number: int) -> None:
        """Note that a process was killed, frozen or told to end."""
        self._events.append((time.time(), "held up", number, -1))

    def goes_on(self, number: int) -> None:
        """Note that a frozen process goes on."""
        self._events.append((time.time(), "goes on", number, -1))

    def seconds(self, logs: Mapping[int, str]) -> list[float]:
        """How long each takeover took, from the processes' logs, by number. Takeovers under way are left out."""
        events = [*self._events, *(each for number, log in logs.items() for each in _events_of(number, log))]
        holders: dict[int, int] = {}
        away_since: dict[int, float] = {}
        took = []
        for at, what, number, shard in sorted(events):
            if what == "serving":
                if shard in holders:
                    # Without its loss, it was lost while the database was away.
                    away_since.setdefault(shard, at)
                holders[shard] = number
            elif what == "connected":
                if holders.get(shard) == number and shard in away_since:
                    took.append(at - away_since.pop(shard))
            else:
                for each in [each for each, holder in holders.items() if holder == number]:
                    if what == "held up":
                        away_since.setdefault(each, at)
                    else:
                        away_since.pop(each, None)
        return took


def _events_of(number: int, log: str) -> Iterable[tuple[float, str, int, int]]:
    for line in _LINE.finditer(log):
        at = time.mktime(time.strptime(line[1], "%Y-%m-%d %H:%M:%S")) + int(line[2]) / 1000
        served = line["served"]
        yield at, "connected" if served is None else "serving", number, int(line["connected"] or served)

"""Which part of a bot's guilds a process serves. The platform sorts guilds into shards by their ids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class Shards:
    """The shards that a process serves: those with these `ids`, out of `count`."""

    ids: Sequence[int] = (0,)
    count: int = 1

    @classmethod
    def all_of(cls, count: int) -> Self:
        """All shards of a bot that has so many."""
        return cls(range(count), count)

    @property
    def are_all(self) -> bool:
        """Whether no other process serves any."""
        return len(self.ids) == self.count

    def of(self, guild_id: int | None) -> int:
        """The shard with a guild's events; direct messages (None) come to the first.

        See https://docs.discord.com/developers/events/gateway#sharding.
        """
        return 0 if guild_id is None else (guild_id >> 22) % self.count

    def __str__(self) -> str:
        return "everything" if self.count == 1 else f"shards {span(self.ids)} of {self.count}"


@dataclass(frozen=True, slots=True)
class WantedShards:
    """The shards that a process is to serve, out of `count`: those with these `ids`, or up to `most` that are free.

    With a count of 1, one process serves everything, whatever the number of its connections.
    """

    count: int = 1
    ids: Sequence[int] | None = (0,)
    most: int = 0

    def chosen(self, free: Sequence[int]) -> Sequence[int]:
        """Those to serve where these are free: none where that is not enough."""
        if self.ids is None:
            return free[: self.most]
        return self.ids if set(self.ids) <= set(free) else ()

    def __str__(self) -> str:
        if self.count == 1:
            return "auto"
        if self.ids is None:
            return f"{self.most}/{self.count}"
        return f"{span(self.ids)}/{self.count}"


def span(ids: Sequence[int]) -> str:
    """The numbers of shards in few characters, such as 0-3."""
    runs: list[list[int]] = []
    for each in sorted(ids):
        if runs and each == runs[-1][-1] + 1:
            runs[-1].append(each)
        else:
            runs.append([each])
    return ",".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)

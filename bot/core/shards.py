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

    def of(self, guild_id: int | None) -> int:
        """The shard with a guild's events; direct messages (None) come to the first.

        See https://docs.discord.com/developers/events/gateway#sharding.
        """
        return 0 if guild_id is None else (guild_id >> 22) % self.count

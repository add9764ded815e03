"""Discord's rules for splitting one bot's gateway into shards, and its account of the bot's session starts.

https://docs.discord.com/developers/events/gateway#sharding
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

_GUILDS_RECOMMENDED = 1000
"""About as many guilds as Discord has one shard serve when it recommends a number of shards."""


@dataclass(frozen=True, slots=True)
class Sharding:
    """The limits of a bot's sessions. The defaults are Discord's for a bot that is not in very many guilds."""

    guilds_per_shard: int = 2500
    max_concurrency: int = 1
    """The number of buckets, `shard_id % max_concurrency`, whose shards may identify at the same time."""
    identify_every: float = 5.0
    """Seconds from one IDENTIFY in a bucket to the next. Discord answers an earlier one with INVALID_SESSION."""
    session_starts: int = 1000
    """The IDENTIFYs in a period of `session_starts_reset` seconds. One more resets the token."""
    session_starts_reset: float = 86_400.0
    least_recommended: int = 1
    """The number of shards that Discord recommends for few guilds."""

    def is_exceeded(self, shard: tuple[int, int], guild_ids: Iterable[int]) -> bool:
        """Tell whether a shard, given as its id and the number of shards, has more guilds than it may."""
        id_, count = shard
        return sum(shard_of(guild_id, count) == id_ for guild_id in guild_ids) > self.guilds_per_shard

    def recommended(self, guild_ids: Iterable[int]) -> int:
        """Return the number of shards for these guilds: one per 1000, and more if a shard would have too many."""
        ids = list(guild_ids)
        for count in itertools.count(max(self.least_recommended, -(-len(ids) // _GUILDS_RECOMMENDED))):
            if max(Counter(shard_of(id_, count) for id_ in ids).values(), default=0) <= self.guilds_per_shard:
                return count
        raise AssertionError("ids are unique, so that enough shards have one guild each at the most")


class SessionStarts:
    """The IDENTIFYs of one bot, as Discord counts them."""

    def __init__(self, rules: Sharding, clock: Callable[[], float]) -> None:
        self.rules = rules
        self.too_early = 0
        """The IDENTIFYs that came before their bucket was free again."""
        self._clock = clock
        self._taken = 0
        self._resets_at = float("-inf")
        self._free_at: dict[int, float] = {}

    @property
    def remaining(self) -> int:
        return self.rules.session_starts - (self._taken if self.reset_after else 0)

    @property
    def reset_after(self) -> float:
        """Seconds until all session starts are there again. 0 if none was used."""
        return max(0.0, self._resets_at - self._clock())

    def take(self, shard_id: int) -> bool:
        """Count an IDENTIFY, and tell whether it came late enough after the one before in its bucket."""
        now = self._clock()
        if not self.reset_after:
            self._taken = 0
            self._resets_at = now + self.rules.session_starts_reset
        self._taken += 1
        bucket = shard_id % self.rules.max_concurrency
        if now < self._free_at.get(bucket, float("-inf")):
            self.too_early += 1
            return False
        self._free_at[bucket] = now + self.rules.identify_every
        return True


def shard_of(guild_id: int | None, count: int) -> int:
    """Return the shard of a guild, out of `count`. What belongs to no guild, such as a DM, is the first shard's."""
    return (guild_id >> 22) % count if guild_id else 0

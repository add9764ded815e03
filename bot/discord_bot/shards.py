"""Which shards of Discord's gateway this process serves, and which of them are connected."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence

from bot.core.shards import Shards


class Connections:
    """The state of each shard's connection, as the client reports it. A shard is away while it has no session."""

    def __init__(self) -> None:
        self.has_begun = False
        """Whether any shard has had a session."""
        self._changed = asyncio.Event()
        self.begin(Shards())

    def begin(self, shards: Shards) -> None:
        """Note that these shards are connected anew, whatever was connected before."""
        self.shards = shards
        self._away_since: dict[int, float | None] = dict.fromkeys(shards.ids, time.monotonic())
        self._named: set[int] = set()
        """The shards that have named their guilds."""
        self._tell()

    def connected(self, shard_id: int) -> None:
        """Note that a session has begun, and with it which guilds the shard has."""
        self._away_since[shard_id] = None
        self._named.add(shard_id)
        self.has_begun = True
        self._tell()

    def resumed(self, shard_id: int) -> None:
        """Note that a session goes on."""
        self._away_since[shard_id] = None

    def lost(self, shard_id: int) -> None:
        """Note that a connection is lost, or that another attempt at one has failed."""
        if self._away_since.get(shard_id, 0.0) is None:
            self._away_since[shard_id] = time.monotonic()

    @property
    def named(self) -> Sequence[int]:
        """The shards that have named their guilds, though some may be away now."""
        return sorted(self._named)

    @property
    def complete(self) -> bool:
        """Whether all guilds are known: every shard has named its own, though it may be away now."""
        return self._named.issuperset(self.shards.ids)

    def away_for(self) -> Mapping[int, float | None]:
        """For each shard the seconds without a session, or None if it has one."""
        now = time.monotonic()
        return {
            shard_id: None if since is None else now - since for shard_id, since in sorted(self._away_since.items())
        }

    async def wait_for(self, guild_id: int | None) -> None:
        """Wait until a guild's shard has named its guilds, or the one for direct messages (None)."""
        await self._wait_until(lambda: self.shards.of(guild_id) in self._named)

    async def wait_for_all(self) -> None:
        """Wait until all guilds are known."""
        await self._wait_until(lambda: self.complete)

    async def _wait_until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            await self._changed.wait()

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
